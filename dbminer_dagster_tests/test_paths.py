"""Paths in lineage to the tables that lie there."""

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbminer_dagster.mining.lineage import edges, with_row_kind
from dbminer_dagster.mining.paths import (
    PathResolver,
    count_path_ends,
    distinct_paths,
    located,
    location,
    locations,
    path_ends,
    tables_at,
    with_tables,
)
from dbminer_dagster.schemas import COLUMN_LINEAGE, TABLE_LINEAGE
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.frames import DAY, at, column_lineage, inventory, lineage, rebuilds

WINDOW = Window.trailing(DAY, 30)
Row = dict[str, Any]


def spelled(path: str | None) -> str | None:
    frame = pl.DataFrame({"path": [path]}, schema={"path": pl.String})
    return frame.select(location(pl.col("path"))).item()


def at_location(*tables: tuple[str, str], seen: tuple[Row, ...] = ()) -> pl.DataFrame:
    rows = inventory(*({"table_name": name, "storage_path": path} for name, path in tables))
    return locations(rows.lazy(), located(lineage(*seen).lazy()))


def found(path: str, known: pl.DataFrame) -> str | None:
    """The table of a path; `ambiguous` where there are several, None where there is none."""
    paths = distinct_paths(pl.LazyFrame({"path": [path]}))
    names = tables_at(paths, known)["table_name"].to_list()
    return (names[0] or "ambiguous") if names else None


@pytest.mark.parametrize(
    ("path", "same_as"),
    [
        ("s3a://bucket/key", "s3://bucket/key"),
        ("s3n://bucket/key", "s3://bucket/key"),
        ("S3://Bucket/key/", "s3://bucket/key"),
        ("s3://bucket/key///", "s3://bucket/key"),
        ("s3://bucket/", "s3://bucket"),
        ("gs://bucket/key/", "gs://bucket/key"),
        ("abfs://box@acc.dfs.core.windows.net/key", "abfss://box@acc.dfs.core.windows.net/key"),
        ("wasbs://box@acc.blob.core.windows.net/key", "abfss://box@acc.dfs.core.windows.net/key"),
        ("wasb://Box@ACC.blob.core.windows.net/key/", "abfss://box@acc.dfs.core.windows.net/key"),
        ("abfss://box@acc.blob.core.cn/key", "abfss://box@acc.dfs.core.cn/key"),
        ("dbfs:/mnt/key/", "dbfs:/mnt/key"),
    ],
)
def test_spellings_of_one_place_are_one_location(path: str, same_as: str) -> None:
    """Aliases of a scheme, case of the bucket, Azure's two hosts and end slashes do not matter."""
    assert spelled(path) == spelled(same_as) == same_as


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("s3://bucket/Key", "s3://bucket/key"),
        ("s3://bucket/a%20b", "s3://bucket/a b"),
        ("s3://bucket/a//b", "s3://bucket/a/b"),
        ("s3://bucket/key", "gs://bucket/key"),
        ("s3://bucket/one\ntwo", "s3://bucket/one"),
        ("s3://bucket/x.blob.y", "s3://bucket/x.dfs.y"),
        ("abfss://a@b.dfs.net/x.blob.y", "abfss://a@b.dfs.net/x.dfs.y"),
    ],
)
def test_different_places_stay_apart(path: str, other: str) -> None:
    """Keys are taken as they are: their case, their escapes and their line breaks tell."""
    assert spelled(path) == path
    assert spelled(path) != spelled(other)


@pytest.mark.parametrize(
    "path",
    ["/Volumes/c/s/v/x", "dbfs:/Volumes/c/s/v/x", "dbfs:///Volumes/c/s/v", "/volumes/c", "/", None],
)
def test_files_of_volumes_have_no_location(path: str | None) -> None:
    """A volume's files belong to no table, and so does no path at all."""
    assert spelled(path) is None


@pytest.mark.parametrize(
    ("path", "table"),
    [
        ("s3://b/sales", "c.s.sales"),
        ("s3a://B/sales/day=1/part-0.parquet", "c.s.sales"),
        ("s3://b/sales/archive", "c.s.archive"),
        ("s3://b/sales/archive/2025", "c.s.archive"),
        ("s3://b/sales/archive2", "c.s.sales"),
        ("s3://b/sales2", None),
        ("s3://b", None),
        ("s3://b/", None),
        ("s3://b/Sales", None),
        ("gs://b/sales", None),
        ("s3://b/sales/shared", "ambiguous"),
        ("s3://b/sales/shared/x", "ambiguous"),
        ("s3://b/sales/shared2", "c.s.sales"),
        ("s3://root/any/thing", "c.s.root"),
        ("/Volumes/c/s/v", None),
    ],
)
def test_the_longest_location_that_ends_at_a_slash_wins(path: str, table: str | None) -> None:
    """A path is the deepest table's around it; of two tables at one place it is neither's."""
    known = at_location(
        ("c.s.sales", "s3://b/sales/"),
        ("c.s.archive", "s3://b/sales/archive"),
        ("c.s.shared", "s3://b/sales/shared"),
        ("c.s.twin", "s3a://b/sales/shared/"),
        ("c.s.root", "s3://root"),
        ("c.s.volume", "/Volumes/c/s/v"),
    )
    assert found(path, known) == table


def test_the_inventory_comes_before_lineage() -> None:
    """Lineage tells of places that the inventory does not list, and does not overrule it."""
    known = at_location(
        ("c.s.new_name", "s3://b/renamed"),
        seen=(
            {"source_name": "c.s.old_name", "source_path": "s3://b/renamed"},
            {"target_name": "C.S.Unlisted", "target_path": "s3a://b/unlisted/"},
        ),
    )
    assert found("s3://b/renamed/x", known) == "c.s.new_name"
    assert found("s3://b/unlisted/x", known) == "c.s.unlisted"


def test_two_names_in_lineage_are_ambiguous() -> None:
    """Where lineage alone names two tables at one place, neither is chosen."""
    seen = (
        {"source_name": "c.s.a", "source_path": "s3://b/x"},
        {"source_name": "c.s.b", "source_path": "s3://b/x/"},
    )
    assert found("s3://b/x", at_location(seen=seen)) == "ambiguous"


def test_a_name_that_came_with_a_path_type_is_no_table() -> None:
    """An end that was accessed by path says nothing about where a table lies."""
    seen = ({"source_name": "c.s.a", "source_path": "s3://b/x", "source_type": "PATH"},)
    assert found("s3://b/x", at_location(seen=seen)) is None


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        ("MANAGED", "TABLE"),
        ("EXTERNAL", "TABLE"),
        ("FOREIGN", "TABLE"),
        ("MATERIALIZED_VIEW", "MATERIALIZED_VIEW"),
        ("STREAMING_TABLE", "STREAMING_TABLE"),
        (None, None),
    ],
)
def test_types_are_those_of_lineage(listed: str | None, told: str | None) -> None:
    """What a path becomes has the word for its type that lineage uses for named ends."""
    rows = inventory({"table_name": "c.s.t", "storage_path": "s3://b/t", "table_type": listed})
    known = locations(rows.lazy(), located(lineage().lazy()))
    assert known["table_type"].to_list() == [told]


def test_ends_become_their_tables() -> None:
    """A path end has the table's name and type; named ends and other paths stay as they are."""
    raw = lineage(
        {"source_path": "s3://b/t/x", "source_type": "PATH", "target_name": "c.s.view"},
        {"source_name": "c.s.named", "source_path": "s3://b/t", "source_type": "TABLE"},
        {"source_path": "s3://b/other", "target_path": "s3a://b/t", "target_type": "PATH"},
        {"source_name": "c.s.t", "target_path": "s3://b/t"},
    ).with_columns(event_count=pl.int_range(pl.len()))
    paths = distinct_paths(path_ends(raw.lazy()))
    tables = tables_at(paths, at_location(("c.s.t", "s3://b/t")))
    rows = with_tables(raw.lazy(), tables).sort("event_count").collect()

    ends = ["source_name", "source_type", "target_name", "target_type"]
    assert rows.schema == raw.schema
    assert rows.drop(ends).equals(raw.drop(ends))
    assert rows.select(ends).rows() == [
        ("c.s.t", "TABLE", "c.s.view", None),
        ("c.s.named", "TABLE", None, None),
        (None, None, "c.s.t", "TABLE"),
        ("c.s.t", None, "c.s.t", "TABLE"),
    ]
    kinds = with_row_kind(rows.lazy()).collect()["row_kind"].to_list()
    assert kinds == ["edge_rows", "read_only_rows", "edge_rows", "self_rows"]


def test_path_ends_are_counted_by_what_they_led_to() -> None:
    """Each end that has a path only counts once: resolved, ambiguous or unresolved."""
    raw = lineage(
        {"source_path": "s3://b/t/x", "target_path": "s3://b/t/y"},
        {"source_path": "s3://b/t/x", "target_name": "c.s.u", "target_path": "s3://b/u"},
        {"source_path": "s3://b/two", "target_path": "s3://b/nothing"},
        {"source_path": "/Volumes/c/s/v/file", "target_path": None},
    ).lazy()
    known = at_location(("c.s.t", "s3://b/t"), ("c.s.a", "s3://b/two"), ("c.s.b", "s3://b/two"))
    tables = tables_at(distinct_paths(path_ends(raw)), known)

    assert count_path_ends(path_ends(raw), tables) == {
        "path_ends_resolved": 3,
        "path_ends_ambiguous": 1,
        "path_ends_unresolved": 2,
    }


def resolver(raw: pl.DataFrame, tables: pl.DataFrame, listed: pl.DataFrame) -> PathResolver:
    return PathResolver.of_run(path_ends(raw.lazy()), tables.lazy(), listed.lazy())


def test_edges_by_path_and_by_name_are_one() -> None:
    """What a job wrote by path and a query by name is one edge between tables, columns too."""
    by_path = {"source_path": "s3a://b/s/", "source_type": "PATH", "target_path": "s3://b/t"}
    by_name = {"source_name": "c.s.s", "source_type": "TABLE", "target_name": "c.s.t"}
    columns = {"source_column": "x", "target_column": "y"}
    places = [
        {"table_name": f"c.s.{name}", "storage_path": f"s3://b/{name}", "table_type": "EXTERNAL"}
        for name in ("s", "t")
    ]
    for table, raw in (
        (TABLE_LINEAGE, lineage(by_path, by_name)),
        (COLUMN_LINEAGE, column_lineage(by_path | columns, by_name | columns)),
    ):
        tables = resolver(raw, lineage(), inventory(*places)).tables(WINDOW)
        rows = edges(table, with_tables(raw.lazy(), tables), rebuilds().lazy(), WINDOW).collect()
        assert rows.select(table.key).rows() == [
            ("c.s.s", "c.s.t") if table is TABLE_LINEAGE else ("c.s.s", "x", "c.s.t", "y")
        ]
        assert rows.select("source_type", "target_type", "event_count").rows() == [
            ("TABLE", "TABLE", 2)
        ]


def test_each_day_goes_by_its_own_inventory_and_window() -> None:
    """A run over days resolves each by the inventory of that day, else by lineage up to it."""
    before = DAY - timedelta(days=1)
    raw = lineage({"source_path": "s3://b/t", "target_name": "c.s.u"})
    listed = inventory(
        {"table_name": "c.s.then", "storage_path": "s3://b/t", "day": before},
        {"table_name": "c.s.now", "storage_path": "s3://b/t", "day": DAY},
    )
    named = lineage(
        {"source_name": "c.s.lineage", "source_path": "s3://b/t", "at": at(1, WINDOW.start)}
    )

    def names(day: date) -> list[str]:
        return found_tables.tables(Window.trailing(day, 30))["table_name"].to_list()

    found_tables = resolver(raw, named, listed)
    assert names(before) == ["c.s.then"]
    assert names(DAY) == ["c.s.now"]
    found_tables = resolver(raw, named, inventory())
    assert names(DAY) == ["c.s.lineage"]
    assert names(DAY + timedelta(days=1)) == []


def test_no_path_end_needs_no_table() -> None:
    """Where every end has a name nothing is looked up, and rows pass unchanged."""
    raw = lineage({"source_name": "c.s.a", "source_path": "s3://b/a", "target_name": "c.s.b"})
    nothing = resolver(raw, raw, inventory({"table_name": "c.s.a", "storage_path": "s3://b/a"}))

    assert nothing.from_lineage.is_empty()
    assert nothing.tables(WINDOW).is_empty()
    assert with_tables(raw.lazy(), nothing.tables(WINDOW)).collect().equals(raw)


SCHEMES = {
    "s3": ["s3://b", "s3a://B", "S3N://b"],
    "azure": [
        "abfss://x@acc.dfs.core.windows.net",
        "wasbs://x@acc.blob.core.windows.net",
        "WASB://X@acc.blob.core.windows.net",
    ],
    "gcs": ["gs://b", "GS://B"],
}
KEYS = st.lists(st.sampled_from(["a", "A", "b", "ab", "%61", "day=1"]), max_size=4)
PLACES = st.tuples(st.sampled_from(sorted(SCHEMES)), KEYS)


@st.composite
def spellings(draw: st.DrawFn, place: st.SearchStrategy = PLACES) -> tuple[str, str]:
    """A place, as plain text that tells places apart, and one of its spellings."""
    store, keys = draw(place)
    root = draw(st.sampled_from(SCHEMES[store]))
    slashes = draw(st.sampled_from(["", "/", "//"]))
    return "/".join([store, *keys]), "/".join([root, *keys]) + slashes


@settings(deadline=None, max_examples=200)
@given(st.lists(spellings(), max_size=8), st.lists(spellings(), min_size=1, max_size=20))
def test_resolution_is_the_longest_prefix(
    tables: list[tuple[str, str]], paths: list[tuple[str, str]]
) -> None:
    """For any tables and any paths, however spelled, the table is that of plain prefix search."""
    named = [(f"c.s.t{number}", path) for number, (_, path) in enumerate(tables)]
    known = at_location(*named)
    asked = distinct_paths(pl.LazyFrame({"path": [path for _, path in paths]}))
    rows = dict(tables_at(asked, known).select("path", "table_name").iter_rows())

    for place, path in paths:
        parts = place.split("/")
        prefixes = ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]
        fitting = [
            [f"c.s.t{number}" for number, (other, _) in enumerate(tables) if other == prefix]
            for prefix in prefixes
        ]
        longest = next((names for names in fitting if names), None)
        if longest is None:
            assert path not in rows
        else:
            assert rows[path] == (longest[0] if len(longest) == 1 else None)


@settings(deadline=None)
@given(st.lists(spellings(), max_size=6), st.randoms(use_true_random=False))
def test_order_does_not_matter(tables: list[tuple[str, str]], dice: Any) -> None:
    """Tables listed in any order, or told by lineage alone, are found at the same places."""
    named = [(f"c.s.t{number}", path) for number, (_, path) in enumerate(tables)]
    shuffled = dice.sample(named, len(named))
    seen = tuple({"source_name": name, "source_path": path} for name, path in shuffled)
    columns = ["location", "table_name"]
    expected = at_location(*named).select(columns).sort(columns)

    assert at_location(*shuffled).select(columns).sort(columns).equals(expected)
    assert at_location(seen=seen).select(columns).sort(columns).equals(expected)
