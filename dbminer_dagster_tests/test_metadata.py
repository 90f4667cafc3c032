"""What a run notes on each day of each asset, for the plots and pages of the UI."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
from sample_generator import generate

from dbminer_dagster.assets.common import bars_table, inline_code, markdown_table
from dbminer_dagster.mining.lineage import ROW_KINDS
from dbminer_dagster.schemas import TABLES
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.pipeline import FIRST_DAY, Pipeline, failures

WINDOW = Window(FIRST_DAY, FIRST_DAY + timedelta(days=3))
Figures = dict[str, dict[date, dict[str, object]]]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A pipeline over three days of a small company."""
    offline = tmp_path_factory.mktemp("offline")
    generate(offline, first_day=FIRST_DAY, days=3, statements_per_day=30, seed=8)
    return Pipeline(str(offline), str(tmp_path_factory.mktemp("storage")))


@pytest.fixture(scope="module")
def figures(pipeline: Pipeline) -> Iterator[Figures]:
    """The metadata of one run over all days, by asset and day."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = pipeline.mine(WINDOW, instance=instance)
        assert result.success, failures(result)
        yield {name: noted(instance, name) for name in TABLES}


def noted(instance: dg.DagsterInstance, asset: str) -> dict[date, dict[str, object]]:
    records = instance.fetch_materializations(dg.AssetKey(asset), limit=100).records
    events = [record.asset_materialization for record in records]
    return {
        date.fromisoformat(event.partition or ""): {
            name: value.value for name, value in event.metadata.items()
        }
        for event in events
        if event
    }


@pytest.mark.parametrize("asset", TABLES)
def test_each_day_has_its_own_row_count(asset: str, figures: Figures, pipeline: Pipeline) -> None:
    """In a run over several days every day notes its rows, and the run their sum."""
    rows = pipeline.table(asset).group_by("day").len()
    stored = dict.fromkeys(WINDOW, 0) | dict(rows.iter_rows())
    counted = {day: found["dagster/partition_row_count"] for day, found in figures[asset].items()}

    assert counted == stored
    for found in figures[asset].values():
        assert found["run_rows_written"] == sum(stored.values())


def test_each_day_accounts_for_its_statements(figures: Figures, pipeline: Pipeline) -> None:
    """Rows in are rows kept and rows dropped, each under its reason."""
    raw = pipeline.table("raw_query_history")
    for day, found in figures["filtered_queries"].items():
        dropped = sum(
            int(str(count)) for name, count in found.items()
            if name.startswith("dropped_")
        )  # fmt: skip
        assert found["rows_in"] == raw.filter(day=day).height
        assert found["rows_in"] == int(str(found["rows_kept"])) + dropped
    assert any("dropped_own_statement" in found for found in figures["filtered_queries"].values())


@pytest.mark.parametrize("asset", ["daily_usage", "query_references"])
def test_each_day_tells_how_it_was_attributed(asset: str, figures: Figures) -> None:
    """The four ways share all statements of the day."""
    ways = ("lineage", "parsed", "scanned", "unattributed")
    for found in figures[asset].values():
        counts = [int(str(found[f"{way}_statements"])) for way in ways]
        shares = [float(str(found[f"{way}_share"])) for way in ways]
        assert found["statements"] == sum(counts)
        assert sum(shares) == pytest.approx(1)
        assert shares[0] == pytest.approx(counts[0] / sum(counts))


def test_each_score_tells_the_days_behind_it(figures: Figures, pipeline: Pipeline) -> None:
    """Days present grow with the window, and assets are counted by type, none included."""
    scores = pipeline.table("popularity_scores")
    for number, day in enumerate(WINDOW, start=1):
        found, of_day = figures["popularity_scores"][day], scores.filter(day=day)
        assert (found["days_present"], found["days_wanted"]) == (number, 10)
        assert found["tables_scored"] == of_day.filter(asset_type="table").height
        assert found["columns_scored"] == of_day.filter(asset_type="column").height


def test_each_score_tells_the_uses_of_its_window(figures: Figures, pipeline: Pipeline) -> None:
    """All statements of the window are counted by use, and with their task time and bytes."""
    usage, references = (pipeline.table(name) for name in ("daily_usage", "query_references"))
    rows = usage.join(references, on=["day", "reference_hash"])
    for day in WINDOW:
        found = figures["popularity_scores"][day]
        of_window = rows.filter(Window.trailing(day, 10).holds())
        selects = of_window.filter(operation="read")["statement_count"].sum()
        statements = (found[f"window_{use}_statements"] for use in ("select", "cached"))
        assert sum(int(str(count)) for count in statements) == selects
        assert found["window_task_duration_ms"] == of_window["total_task_duration_ms"].sum()
        assert found["window_bytes_read"] == of_window["read_bytes"].sum()


@pytest.mark.parametrize("level", ["table", "column"])
def test_each_day_counts_edges_by_status(level: str, figures: Figures, pipeline: Pipeline) -> None:
    """All three statuses are counted, and all raw rows of the day by kind."""
    edges = pipeline.table(f"{level}_lineage")
    raw = pipeline.table(f"raw_{level}_lineage")
    for day, found in figures[f"{level}_lineage"].items():
        for status in ("active", "superseded", "expired"):
            assert found[f"{status}_edges"] == edges.filter(day=day, status=status).height
        assert sum(int(str(found[kind])) for kind in ROW_KINDS) == raw.filter(day=day).height


def test_charts_and_tables_come_with_the_scores(figures: Figures, pipeline: Pipeline) -> None:
    """The page of the scores shows the most popular tables as a table and as a chart."""
    found = figures["popularity_scores"][WINDOW.last_day]
    scores = pipeline.table("popularity_scores").filter(day=WINDOW.last_day, asset_type="table")
    first = scores.sort("popularity_score", "table_name", descending=[True, False])["table_name"][0]

    assert str(found["top_tables"]).splitlines()[2].startswith(f"| {first} |")
    for chart in ("popularity_chart", "reads_per_day"):
        assert "](data:image/svg+xml;base64," in str(found[chart])


def test_a_markdown_table_keeps_hostile_names_in_their_cells() -> None:
    """Bars, line breaks, markup and backslashes of a name are shown and change no structure."""
    name = "a|b\nc\r<img src=x>\\|"

    text = markdown_table([{"name": name, "count": 1234}]).value or ""

    assert text.splitlines() == [
        "| name | count |",
        "| --- | --- |",
        r"| a\|b c &lt;img src=x&gt;\\\| | 1,234 |",
    ]


def test_a_wide_table_opens_on_a_click() -> None:
    """Dagster shows Markdown of less than 1,000 characters in place, where a wide table is cut."""
    narrow, wide = (markdown_table([{"name": "x" * width, "n": 1}]).value for width in (31, 32))

    assert len(narrow or "") < 1_000 <= len(wide or "")
    assert (wide or "").strip().splitlines()[2] == f"| {'x' * 32} | 1 |"


def test_bars_of_text_keep_their_proportions() -> None:
    """The longest bar belongs to the highest value; a long label is cut, and zero has no bar."""
    text = bars_table([("a" * 40, 6, "6"), ("b", 3, "3"), ("c", 0, "0")], "name").value or ""

    assert text.splitlines()[2:] == [
        f"| {'a' * 17}… | 6 | ██████ |",
        "| b | 3 | ███ |",
        "| c | 0 |  |",
    ]
    assert len(text) < 1_000


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a.b", "`a.b`"), ("a\nb", "`a b`"), ("`a`.b", "`` `a`.b ``"), ("a```b", "```` a```b ````")],
    ids=["plain", "line break", "quoted", "three quotes"],
)
def test_a_name_in_a_line_stays_code(name: str, shown: str) -> None:
    """No name ends the code that it stands in."""
    assert inline_code(name) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.5, "0.50"),
        (True, "true"),
        (None, ""),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02 03:04"),
        (date(2026, 1, 2), "2026-01-02"),
    ],
)
def test_a_cell_shows_its_value_shortly(value: object, shown: str) -> None:
    """Values are written as people read them; nothing is an empty cell."""
    text = markdown_table([{"value": value}]).value or ""

    assert text.splitlines()[2] == f"| {shown} |"


def test_no_rows_are_said() -> None:
    """A table without rows says so."""
    assert markdown_table([]).value == "(none)"


@pytest.mark.parametrize("asset", TABLES)
def test_each_run_says_what_it_changed(asset: str, figures: Figures, pipeline: Pipeline) -> None:
    """The summary shows in place, with the days of the run; new days changed by all their rows."""
    rows = dict(pipeline.table(asset).group_by("day").len().iter_rows())
    for day, found in figures[asset].items():
        assert found["rows_changed"] == rows.get(day, 0)
        assert f"**{WINDOW}**" in str(found["run_summary"])
        assert len(str(found["run_summary"])) < 1_000


def test_pages_of_the_newest_day_add_up(figures: Figures, pipeline: Pipeline) -> None:
    """What a page lists by kind accounts for the rows of the day."""
    newest = {asset: found[WINDOW.last_day] for asset, found in figures.items()}

    def total(asset: str, name: str, column: int) -> int:
        lines = [line.split("|") for line in str(newest[asset][name]).splitlines()[2:]]
        return sum(int(line[column].replace(",", "")) for line in lines)

    for asset, name in (
        ("raw_query_history", "statement_types"),
        ("raw_query_history", "statuses"),
        ("raw_table_lineage", "ends"),
        ("raw_column_lineage", "causes"),
    ):
        assert total(asset, name, 2) == pipeline.table(asset).filter(day=WINDOW.last_day).height
    edges = pipeline.table("table_lineage").filter(day=WINDOW.last_day)
    assert total("table_lineage", "edges_by_status", 3) == edges.height
    scores = pipeline.table("popularity_scores").filter(day=WINDOW.last_day)
    levels = total("popularity_scores", "levels", 2), total("popularity_scores", "levels", 3)
    assert levels == tuple(scores.filter(asset_type=t).height for t in ("table", "column"))


def test_pages_are_those_of_the_newest_day(figures: Figures) -> None:
    """Only the last day of a run carries charts and lists, so that the event log stays small."""
    for asset, name in (
        ("popularity_scores", "popularity_chart"),
        ("table_lineage", "sources_chart"),
        ("daily_usage", "attribution"),
        ("raw_query_history", "statement_types"),
    ):
        assert {day for day, found in figures[asset].items() if name in found} == {WINDOW.last_day}


@pytest.mark.parametrize("asset", TABLES)
def test_what_holds_for_a_run_is_named_so(asset: str, figures: Figures) -> None:
    """A figure of the run, which each day's page shows too, cannot be taken for the day's."""
    newest = figures[asset][WINDOW.last_day]
    repeated = {
        name
        for name, value in newest.items()
        if name not in ("dagster/uri", "dagster/table_name")
        and all(found.get(name) == value for found in figures[asset].values())
    }
    of_run = {name for name in newest if name.startswith("run_")}

    assert of_run
    assert of_run <= repeated


def test_each_day_has_every_count(figures: Figures) -> None:
    """A reason that only one day has is 0 on the others."""
    names = [
        {name for name in found if name.startswith("dropped_")}
        for found in figures["filtered_queries"].values()
    ]

    assert names[0]
    assert all(each == names[0] for each in names)
