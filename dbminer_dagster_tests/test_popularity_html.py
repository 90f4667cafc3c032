"""The popularity report: what it tells, whatever names and texts hold, in the same bytes."""

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbminer_dagster.mining.popularity import LEVELS
from dbminer_dagster.popularity_html.contents import LISTED_COLUMNS, ReportSource, count_tables
from dbminer_dagster.popularity_html.document import TABLES_IN_CHUNK, popularity_page
from dbminer_dagster.popularity_html.known import known_tables, table_edges
from dbminer_dagster.popularity_html.masking import TEXT_CHARACTERS
from dbminer_dagster.schemas import KNOWN_TABLES, POPULARITY_SCORES, TABLE_LINEAGE
from dbminer_dagster.windows import Window

DAY = date(2026, 3, 30)
NOW = datetime(2026, 3, 30, 12, 30, tzinfo=UTC)
WINDOW = Window.trailing(DAY, 3)
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>\"'`&amp;<img src=x onerror=alert(1)>",
    "$style ${script} $$",
    "rtl\u202e \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u2028 line \x00 nul \ud7ff \U0001f4a3",
    "\r\n\t\x0b end",
)


def query(number: int, text: str | None, **figures: Any) -> dict[str, Any]:
    return {
        "query_hash": f"{number:032x}",
        "statement_text": text,
        "read_count": 10 - number,
        "user_count": 2,
        "mean_duration_ms": 1.5,
        "total_task_duration_ms": 7,
        "last_run_at": NOW,
        **figures,
    }


def score(table: str, column: str | None = None, **figures: Any) -> dict[str, Any]:
    """A row of `popularity_scores`."""
    nothing = dict.fromkeys(POPULARITY_SCORES.schema, None)
    lists = {name: [] for name, dtype in POPULARITY_SCORES.schema.items() if dtype == pl.List}
    return {
        **nothing,
        **lists,
        "asset_type": "column" if column else "table",
        "table_name": table,
        "column_name": column,
        "popularity_score": 4.5,
        "percentile": 0.5,
        "popularity_level": 3,
        "read_count": 6,
        "user_count": 2,
        "write_count": 1,
        "last_read_at": NOW,
        "last_read_by": "ana",
        "day": DAY,
        **dict.fromkeys(
            ("cached_read_count", "pipeline_read_count", "indirect_read_count"), 0
        ),
        "cluster_read_count": 0,
        **figures,
    }  # fmt: skip


def source(*rows: dict[str, Any], known: tuple[str, ...] = ()) -> ReportSource:
    """A report over these scores, with two reads of each table on the first and last day."""
    tables = [row["table_name"] for row in rows if row["asset_type"] == "table"]
    reads = {
        "day": [WINDOW.start, DAY] * len(tables),
        "table_name": [name for name in tables for _ in range(2)],
        "read_count": [2, 4] * len(tables),
    }
    schema = {"day": pl.Date, "table_name": pl.String, "read_count": pl.Int64}
    return ReportSource(
        WINDOW,
        frozenset({WINDOW.start, DAY}),
        ("select", "cached"),
        pl.LazyFrame(list(rows), schema=POPULARITY_SCORES.schema),
        pl.DataFrame(reads, schema=schema),
        pl.DataFrame(
            {"table_name": known, "table_type": ["VIEW"] * len(known)},
            schema={"table_name": pl.String, "table_type": pl.String},
        ),
        pl.DataFrame(schema={"source_name": pl.String, "target_name": pl.String}),
    )


class Page(HTMLParser):
    """A report as a browser parses it: its elements, and the texts of those that hold data."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keeps each element."""
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")

    def handle_data(self, data: str) -> None:
        """Adds to the text of the last element."""
        if self.texts:
            self.texts[-1] += data

    def data(self, name: str) -> str:
        """The text of the script element of this id."""
        elements = zip(self.elements, self.texts, strict=True)
        (found,) = [
            text for (tag, given), text in elements if (tag, given.get("id")) == ("script", name)
        ]
        return found

    @property
    def overview(self) -> dict[str, Any]:
        """What the page knows before a click."""
        return json.loads(self.data("overview"))

    @property
    def tables(self) -> list[dict[str, Any]]:
        """Its tables, by the names of their fields."""
        found = self.overview
        return [dict(zip(found["fields"], row, strict=True)) for row in found["tables"]]

    @property
    def details(self) -> list[dict[str, Any]]:
        """The details of all tables, unpacked."""
        lines = self.data("details").split()
        chunks = [json.loads(zlib.decompress(base64.b64decode(line))) for line in lines]
        assert all(len(chunk) == TABLES_IN_CHUNK for chunk in chunks[:-1])
        return [detail for chunk in chunks for detail in chunk]


def test_tables_stand_by_score_and_name() -> None:
    """Read tables come first, by score, then name; those that nobody read follow by name."""
    rows = [score("c.s.b"), score("c.s.a"), score("c.s.z", popularity_score=9.0)]
    page = Page(popularity_page(source(*rows, known=("c.s.y", "c.s.a", "c.s.x"))))

    names = [(table["name"], table["level"]) for table in page.tables]

    assert names == [("c.s.z", 3), ("c.s.a", 3), ("c.s.b", 3), ("c.s.x", 0), ("c.s.y", 0)]
    assert page.overview["levels"] == ["Not read", *LEVELS]


def test_a_table_tells_its_figures() -> None:
    """Figures are those of the score; days without reads are 0, days not mined are marked."""
    users = [{"user_name": name, "read_count": 3, "last_read_at": NOW} for name in ("ben", "ana")]
    page = Page(popularity_page(source(score("c.s.t", table_type="VIEW", top_users=users))))
    (table,), overview = page.tables, page.overview

    assert (overview["types"][table["type"]], table["score"], table["percentile"]) == (
        "VIEW",
        4.5,
        0.5,
    )
    assert (table["reads"], table["users"], table["writes"]) == (6, 2, 1)
    assert datetime.fromtimestamp(table["last_read"], UTC) == NOW
    assert overview["users"][table["last_read_by"]] == "ana"
    assert (overview["first_day"], overview["day"]) == ("2026-03-28", "2026-03-30")
    assert (table["by_day"], overview["present"]) == ([2, 0, 4], [1, 0, 1])
    assert [overview["users"][user[0]] for user in page.details[0]["users"]] == ["ben", "ana"]


def test_queries_share_their_texts_and_mask_literals() -> None:
    """A template that two lists name has one text, without its literals; an unknown one is null."""
    first, second = query(1, "SELECT a FROM t WHERE name = 'Smith' LIMIT 5"), query(2, None)
    row = score("c.s.t", popular_queries=[first, second], slow_queries=[first])
    (detail,) = Page(popularity_page(source(row))).details

    assert detail["texts"] == ["SELECT a FROM t WHERE name = ? LIMIT ?", None]
    assert detail["queries"]["popular"] == [
        [0, 9, 2, 1.5, 7, None, int(NOW.timestamp())],
        [1, 8, 2, 1.5, 7, None, int(NOW.timestamp())],
    ]
    assert detail["queries"]["slow"] == detail["queries"]["popular"][:1]
    assert detail["queries"]["costly"] == []


def test_costs_stand_where_they_are_known() -> None:
    """The list of the dearest queries has their cost, and no mean that it does not know."""
    costly = {
        "query_hash": "ab", "statement_text": "SELECT 1", "read_count": 3,
        "total_task_duration_ms": 5, "read_bytes": 1, "estimated_cost_micro_usd": 2_500_000,
    }  # fmt: skip
    (detail,) = Page(popularity_page(source(score("c.s.t", costly_queries=[costly])))).details

    assert detail["queries"]["costly"] == [[0, 3, None, None, 5, 2_500_000, None]]


def test_long_texts_are_cut() -> None:
    """A statement of 10 KB shows its first characters only."""
    text = "SELECT " + ", ".join(f"column_{number}" for number in range(800)) + " FROM t"
    (detail,) = Page(
        popularity_page(source(score("c.s.t", popular_queries=[query(1, text)])))
    ).details

    assert detail["texts"] == [text[:TEXT_CHARACTERS]]


def test_the_most_popular_columns_are_listed() -> None:
    """Columns stand by score; beyond a number they are counted."""
    names = [f"c{number:03}" for number in range(LISTED_COLUMNS + 7)]
    columns = [
        score("c.s.t", name, popularity_score=float(number)) for number, name in enumerate(names)
    ]
    (detail,) = Page(popularity_page(source(score("c.s.t"), *columns))).details

    assert [column[0] for column in detail["columns"]] == names[:6:-1]
    assert detail["more_columns"] == 7


def test_details_follow_the_overview() -> None:
    """Over several chunks, the details of each read table stand at its place."""
    rows = [score(f"c.s.t{n:03}", read_count=n) for n in range(2 * TABLES_IN_CHUNK + 1)]
    rows = [row | {"read_bytes": row["read_count"]} for row in rows]
    page = Page(popularity_page(source(*rows, known=("c.s.unread",))))

    assert [detail["bytes"] for detail in page.details] == [t["reads"] for t in page.tables[:-1]]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_and_texts_stay_data(hostile: str) -> None:
    """Names of tables, users, columns and texts change no element, and arrive as they were."""
    text = f"SELECT `{hostile}` FROM t"
    row = score(hostile, last_read_by=hostile, popular_queries=[query(1, text)], table_type=hostile)
    plain = Page(popularity_page(source(score("t"), score("t", "c"))))
    content = popularity_page(source(row, score(hostile, hostile)))
    page = Page(content)

    assert page.elements == plain.elements
    assert page.data("overview").isascii()
    assert (page.tables[0]["name"], page.overview["users"]) == (hostile, [hostile])
    assert page.overview["types"] == [hostile]
    assert page.details[0]["columns"][0][0] == hostile


@settings(deadline=None, max_examples=30)
@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_no_name_ends_its_element(name: str) -> None:
    """Any name at all is read back as it was."""
    page = Page(popularity_page(source(score(name))))

    assert page.tables[0]["name"] == name


def test_the_same_days_give_the_same_bytes() -> None:
    """Neither the order of rows nor the time of writing shows."""
    rows = [
        score(f"c.s.t{n % 7}{n}", popular_queries=[query(n % 3, f"SELECT {n % 3}")])
        for n in range(60)
    ]
    once, again = source(*rows, known=("u", "v")), source(*rows[::-1], known=("v", "u"))

    assert popularity_page(once) == popularity_page(again)


def test_nothing_is_loaded_and_only_our_script_runs() -> None:
    """The page names no address, has no handler, and allows its own script and style by hash."""
    content = popularity_page(source(score("c.s.t"))).decode()
    page = Page(content.encode())
    policy = next(
        given["content"] or ""
        for tag, given in page.elements
        if given.get("http-equiv") == "Content-Security-Policy"
    )
    style, script = (
        re.findall(rf"<{tag}>(.*?)</{tag}>", content, re.DOTALL) for tag in ("style", "script")
    )
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (*style, *script)
    ]

    assert policy == (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert {name for _, given in page.elements for name in given} & {
        "src",
        "href",
        "action",
    } == set()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", script[0])
    assert set(re.findall(r"https?://[^\"' ]+", content)) == {"http://www.w3.org/2000/svg"}


def test_the_files_of_the_page_are_in_the_package() -> None:
    """Page, style and script lie beside the code, where the wheel takes them."""
    names = {file.name for file in files("dbminer_dagster.popularity_html").iterdir()}

    assert {"page.html", "page.css", "page.js"} <= names


def test_tables_are_counted() -> None:
    """Known tables without a score are those that nobody read."""
    found = count_tables(source(score("a"), score("a", "c"), score("b"), known=("a", "x", "y")))

    assert found == {"tables_read": 2, "tables_not_read": 2}


def test_a_day_without_scores_still_lists_its_tables() -> None:
    """When nobody read anything, every known table is told as not read."""
    page = Page(popularity_page(source(known=("a", "b"))))

    assert [(table["name"], table["reads"]) for table in page.tables] == [("a", 0), ("b", 0)]
    assert page.details == []


def test_edges_tell_what_feeds_what() -> None:
    """The number of tables that a table feeds, and of those that feed it, stand beside it."""
    edges = pl.DataFrame({"source_name": ["a", "a", "x"], "target_name": ["b", "c", "a"]})
    found = replace(source(score("a"), known=("b",)), edges=edges)
    tables = {table["name"]: table for table in Page(popularity_page(found)).tables}

    assert (tables["a"]["feeds"], tables["a"]["fed_by"]) == (2, 1)
    assert (tables["b"]["feeds"], tables["b"]["fed_by"]) == (0, 1)


def test_known_tables_come_from_inventory_and_edges() -> None:
    """The inventory names the type; paths, ended edges and excluded catalogs are left out."""
    columns = ("source_name", "source_type", "target_name", "target_type", "status", "day")
    lineage = pl.LazyFrame(
        [
            ("c.s.a", "TABLE", "c.s.b", None, "active", DAY),
            ("c.s.b", "VIEW", "c.s.c", "TABLE", "active", DAY),
            ("s3://bucket/x", "PATH", "c.s.a", "TABLE", "active", DAY),
            ("c.s.old", "TABLE", "c.s.a", "TABLE", "expired", DAY),
            ("system.x.y", "TABLE", "c.s.a", "TABLE", "active", DAY),
        ],
        schema={name: TABLE_LINEAGE.schema[name] for name in columns},
        orient="row",
    )
    inventory = pl.LazyFrame(
        [{"table_name": "c.s.a", "table_type": "MANAGED"}, {"table_name": "c.s.new"}],
        schema=KNOWN_TABLES.schema,
    )

    edges = table_edges(lineage)
    found = known_tables(inventory, edges, ("system",))

    assert dict(found.iter_rows()) == {
        "c.s.a": "TABLE", "c.s.b": "VIEW", "c.s.c": "TABLE", "c.s.new": None,
    }  # fmt: skip
    assert edges.height == 3


def test_the_window_is_told_day_by_day() -> None:
    """A window of any length gives as many bars as it has days."""
    window = Window.trailing(DAY, 30)
    found = replace(source(score("a")), window=window, mined=frozenset(window))
    page = Page(popularity_page(found))

    assert page.overview["days_present"] == 30
    assert page.tables[0]["by_day"] == [0] * 27 + [2, 0, 4]
    assert page.overview["first_day"] == str(DAY - timedelta(days=29))
