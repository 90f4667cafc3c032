"""Which tables and columns a statement used: lineage first, then its text."""

from dataclasses import replace
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from dbminer_dagster.engines.polars import PolarsEngine
from dbminer_dagster.mining.attribution import WAYS, Attribution, Evidence, attribute
from dbminer_dagster.mining.by_lineage import DayLineage
from dbminer_dagster.mining.by_text import NO_COLUMNS, UNRESOLVED
from dbminer_dagster.mining.paths import PATH_TABLE_SCHEMA
from dbminer_dagster.mining.sessions import session_states
from dbminer_dagster.mining.usage import REFERENCE, added_up
from dbminer_dagster_tests.frames import (
    at,
    column_lineage,
    examples,
    history,
    lineage,
    parse_here,
    queries,
)

Sets = tuple[list[str], list[str], list[str]]
ENGINE = PolarsEngine()


def attributed(
    *statements: dict[str, Any],
    tables: tuple[dict[str, Any], ...] = (),
    columns: tuple[dict[str, Any], ...] = (),
    session: tuple[dict[str, Any], ...] = (),
    known: tuple[str, ...] = (),
    excluded: tuple[str, ...] = (),
    at_paths: dict[str, str] | None = None,
    users: tuple[str, ...] = (),
) -> Attribution:
    """Each statement is run by a user of its own, so that it is a use of its own, or by `users`."""
    rows = queries(*statements)
    if not users:
        rows = rows.with_columns(user_name=user_of(rows).to_series())
    paths = [(path, name, "TABLE") for path, name in (at_paths or {}).items()]
    evidence = Evidence(
        lineage=DayLineage(
            nw.from_native(lineage(*tables).lazy()),
            nw.from_native(column_lineage(*columns).lazy()),
            pl.DataFrame(paths, schema=PATH_TABLE_SCHEMA, orient="row"),
        ),
        session_states=session_states(history(*session).lazy()),
        known_tables=pl.Series(known, dtype=pl.String),
        known_columns=NO_COLUMNS,
        references_of=parse_here,
        excluded_catalogs=excluded,
    )
    frame = nw.from_native(rows.drop("statement_text").lazy())
    with attribute(ENGINE, frame, examples(rows).collect(), evidence) as of_day:
        found = replace(of_day, uses=ENGINE.keep(of_day.uses))
    assert sum(found.counts[name] for name in WAYS) == len(statements)
    assert found.sets["set_hash"].is_unique().all()
    return found


def user_of(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(pl.concat_str(pl.col("workspace_id").fill_null("w1"), "statement_id"))


def uses_of(found: Attribution) -> dict[str, dict[str, Any]]:
    """What each attributed statement used, by its id."""
    uses = ENGINE.collect(found.uses).join(found.sets, on="set_hash")
    return {row["user_name"].removeprefix("w1"): row for row in uses.iter_rows(named=True)}


def sets_of(found: Attribution) -> dict[str, tuple[str, Sets]]:
    """Attribution and lists of each attributed statement, by its id."""
    return {
        statement: (
            use["attribution"],
            (use["tables_read"], use["columns_read"], use["tables_written"]),
        )
        for statement, use in uses_of(found).items()
    }


def read(source: str, **more: Any) -> dict[str, Any]:
    return {"statement_id": "s0", "source_name": source, "direct_access": True} | more


def test_lineage_wins_over_the_text() -> None:
    """Lineage rows tell tables, columns and targets, in lower case, whatever the text says."""
    found = attributed(
        {"statement_text": "INSERT INTO x.y.z SELECT q FROM x.y.other"},
        tables=(read("C.S.B"), read("c.s.A", target_name="C.s.T")),
        columns=(
            read("c.s.a", source_column="Id", target_name="c.s.t", target_column="id"),
            read("c.s.a", source_column="odd.One", direct_access=None),
            read("c.s.b", source_column=None),
        ),
    )
    columns = ["c.s.a.`odd.one`", "c.s.a.id"]
    assert sets_of(found)["s0"] == ("lineage", (["c.s.a", "c.s.b"], columns, ["c.s.t"]))


def test_lineage_belongs_to_one_workspace() -> None:
    """Rows of a statement with the same id in another workspace are no evidence."""
    found = attributed(
        {"statement_text": "SELECT 1"},
        {"statement_text": "SELECT 1", "workspace_id": "w2", "statement_id": "s0"},
        tables=(read("a.b.c", workspace_id="w2"),),
    )
    by_user = {name: use["attribution"] for name, use in uses_of(found).items()}
    assert by_user == {"s0": "parsed", "w2s0": "lineage"}


def test_statements_with_different_rows_keep_apart() -> None:
    """Statements that share a part of their rows, or name them crosswise, have their own sets."""
    pairs = {
        "s0": [("a", "x"), ("b", "y")],
        "s1": [("a", "y"), ("b", "x")],
        "s2": [("a", "x")],
        "s3": [("a", "x"), ("b", "y")],
    }
    found = attributed(
        *({"statement_text": None} for _ in pairs),
        tables=tuple(
            read(f"c.s.{table}", statement_id=statement)
            for statement, uses in pairs.items()
            for table, _ in uses
        ),
        columns=tuple(
            read(f"c.s.{table}", statement_id=statement, source_column=column)
            for statement, uses in pairs.items()
            for table, column in uses
        ),
    )
    sets = sets_of(found)
    assert sets["s0"] == ("lineage", (["c.s.a", "c.s.b"], ["c.s.a.x", "c.s.b.y"], []))
    assert sets["s1"] == ("lineage", (["c.s.a", "c.s.b"], ["c.s.a.y", "c.s.b.x"], []))
    assert sets["s2"] == ("lineage", (["c.s.a"], ["c.s.a.x"], []))
    assert sets["s3"] == sets["s0"]
    assert found.sets.height == 3


def test_cached_result_has_the_lineage_of_its_origin() -> None:
    """A cached result uses its origin's rows of the same workspace; its own rows win."""
    cached = {"statement_text": "SELECT 1", "cache_origin_statement_id": "old"}
    found = attributed(
        cached,
        cached,
        cached | {"workspace_id": "w2"},
        tables=(read("a.b.old", statement_id="old"), read("a.b.own", statement_id="s1")),
    )
    assert sets_of(found) == {
        "s0": ("lineage", (["a.b.old"], [], [])),
        "s1": ("lineage", (["a.b.own"], [], [])),
        "w2s2": ("parsed", ([], [], [])),
    }


def test_indirect_access_is_no_read() -> None:
    """What a view reads, its columns included, is not what the statement reads."""
    found = attributed(
        {"statement_text": None},
        tables=(
            read("a.b.view"),
            read("a.b.base", direct_access=False),
            read("a.b.both", direct_access=False),
            read("a.b.both"),
        ),
        columns=(
            read("a.b.view", source_column="v", direct_access=None),
            read("a.b.base", source_column="x", direct_access=None),
            read("a.b.both", source_column="y", direct_access=None),
            read("a.b.both", source_column="z", direct_access=False),
        ),
    )
    tables, columns = ["a.b.both", "a.b.view"], ["a.b.both.y", "a.b.view.v"]
    assert sets_of(found)["s0"] == ("lineage", (tables, columns, []))
    assert uses_of(found)["s0"]["tables_read_indirectly"] == ["a.b.base"]


def test_tables_under_views_tell_statements_apart() -> None:
    """The same direct reads with other tables under the view are another set; rows may repeat."""
    found = attributed(
        *({"statement_text": None} for _ in range(3)),
        tables=(
            *(read("a.b.view", statement_id=f"s{number}") for number in range(3)),
            read("a.b.one", statement_id="s0", direct_access=False),
            read("a.b.one", statement_id="s1", direct_access=False),
            read("a.b.one", statement_id="s1", direct_access=False, entity_id="again"),
            read("system.b.two", statement_id="s2", direct_access=False),
        ),
        columns=(read("A.b.One", statement_id="s1", source_column="x", direct_access=False),),
        excluded=("system",),
    )
    uses = uses_of(found)
    assert uses["s0"]["tables_read_indirectly"] == ["a.b.one"]
    assert uses["s0"]["set_hash"] == uses["s1"]["set_hash"] != uses["s2"]["set_hash"]
    assert uses["s2"]["tables_read_indirectly"] == []
    assert found.counts["excluded_references"] == 1


def test_paths_of_tables_have_the_tables_names() -> None:
    """A row that names a path where a known table lies is a use of that table."""
    found = attributed(
        {"statement_text": None},
        {"statement_text": None},
        tables=(
            read("", statement_id="s0", source_name=None, source_path="s3://b/one"),
            read("", statement_id="s1", source_name=None, source_path="s3://b/two"),
        ),
        at_paths={"s3://b/one": "a.b.one", "s3://b/two": "a.b.two"},
    )
    assert sets_of(found) == {
        "s0": ("lineage", (["a.b.one"], [], [])),
        "s1": ("lineage", (["a.b.two"], [], [])),
    }


@pytest.mark.parametrize("rows_at_a_time", [1, 2, 5])
def test_parts_of_a_day_add_up(monkeypatch: pytest.MonkeyPatch, rows_at_a_time: int) -> None:
    """However many rows are held at a time, the uses of the day are the same."""
    texts = ["SELECT x FROM a.b.c", "SELECT 1", "SELECT x FROM t", None, "no SQL"]
    rows = [{"statement_text": text, "user_name": "ann"} for text in texts * 2]
    arguments: dict[str, Any] = {
        "tables": (
            read("a.b.c"),
            read("a.b.c", statement_id="s3"),
            read("a.b.d", statement_id="s8"),
        ),
        "known": ("a.b.t",),
    }
    whole = attributed(*rows, **arguments, users=("ann",))
    monkeypatch.setattr("dbminer_dagster.engines.polars.BATCH_ROWS", rows_at_a_time)
    monkeypatch.setattr(PolarsEngine, "rows_at_a_time", rows_at_a_time)
    parts = attributed(*rows, **arguments, users=("ann",))
    key = [*REFERENCE, "user_name", "attribution"]
    uses = [ENGINE.collect(added_up(found.uses, key)) for found in (whole, parts)]
    assert_frame_equal(*uses, check_row_order=False)
    assert whole.counts == parts.counts


def test_only_indirect_rows_are_no_evidence() -> None:
    """Where lineage tells of indirect access only, the text is parsed."""
    found = attributed(
        {"statement_text": "SELECT v FROM a.b.view"},
        tables=(read("a.b.base", direct_access=False),),
        columns=(read("a.b.base", source_column="x", direct_access=None),),
    )
    assert sets_of(found)["s0"] == ("parsed", (["a.b.view"], ["a.b.view.v"], []))


def test_paths_are_evidence_of_no_table() -> None:
    """A statement whose lineage names a path only is attributed, and used no table."""
    found = attributed(
        {"statement_text": None},
        tables=(read("", source_name=None, source_path="s3://b/x", source_type="PATH"),),
    )
    assert sets_of(found)["s0"] == ("lineage", ([], [], []))


def test_excluded_catalogs_are_left_out_and_counted() -> None:
    """Each statement counts each excluded table once, by whichever evidence, with its columns."""
    found = attributed(
        {"statement_text": None},
        {"statement_text": "SELECT t.x, u.y FROM System.a.t, p.b.u u, system.a.t t2"},
        {"statement_text": "SELECT x FROM system.a.only"},
        tables=(
            read("system.a.t"),
            read("SYSTEM.A.T", target_name="system.a.t"),
            read("p.b.u", target_name="hive_metastore.c.v"),
        ),
        columns=(read("system.a.t", source_column="x"),),
        excluded=("sys*", "hive_metastore"),
    )
    sets = sets_of(found)
    assert sets["s0"] == ("lineage", (["p.b.u"], [], []))
    assert sets["s1"] == ("parsed", (["p.b.u"], ["p.b.u.y"], []))
    assert sets["s2"] == ("parsed", ([], [], []))
    assert found.counts["excluded_references"] == 2 + 1 + 1


def test_redacted_statements_need_lineage() -> None:
    """Redacted text counts by its lineage; without any, the statement is unattributed."""
    redacted = {"statement_text": None, "text_redacted": True}
    found = attributed(redacted, redacted, {"statement_text": None}, tables=(read("a.b.c"),))
    assert sets_of(found) == {
        "s0": ("lineage", (["a.b.c"], [], [])),
    }
    assert found.counts["unattributed"] == 2
    assert found.counts["unattributed:text_redacted"] == 1
    assert found.counts["unattributed:no_text"] == 1


def test_texts_by_how_they_were_understood() -> None:
    """A text is parsed, or scanned, or not understood; one that names nothing is parsed."""
    found = attributed(
        {"statement_text": "SELECT 1"},
        {"statement_text": "SELECT * FROM a.b.c c JOIN a.b.c d ON c.x = d.x"},
        {"statement_text": "SELECT * FROM a.b.c c AND THEN SOME NOISE"},
        {"statement_text": "these are no words of SQL"},
        {"statement_text": ""},
    )
    empty: Sets = ([], [], [])
    assert sets_of(found) == {
        "s0": ("parsed", empty),
        "s1": ("parsed", (["a.b.c"], ["a.b.c.x"], [])),
        "s2": ("scanned", (["a.b.c"], [], [])),
    }
    assert found.counts["unattributed:not_understood"] == 2


def test_short_names_go_by_their_session() -> None:
    """The same text means other tables in other sessions, and at other times of one session."""
    text = "SELECT x FROM t"
    use = {"statement_type": "USE", "start_time": at(2)}
    found = attributed(
        {"statement_text": text, "session_id": "one", "start_time": at(1)},
        {"statement_text": text, "session_id": "one", "start_time": at(3)},
        {"statement_text": text, "session_id": "two", "start_time": at(3)},
        {"statement_text": text, "session_id": None, "start_time": at(3)},
        session=(
            use | {"statement_text": "USE a.b", "session_id": "one"},
            use | {"statement_text": "USE c.d", "session_id": "two"},
        ),
        known=("k.s.t",),
    )
    sets = sets_of(found)
    by_known = ("parsed", (["k.s.t"], ["k.s.t.x"], []))
    assert sets["s0"] == sets["s3"] == by_known
    assert sets["s1"] == ("parsed", (["a.b.t"], ["a.b.t.x"], []))
    assert sets["s2"] == ("parsed", (["c.d.t"], ["c.d.t.x"], []))


def test_unresolved_names_are_counted_by_reason() -> None:
    """A name that fits no one table counts once for each statement, with its reason."""
    found = attributed(
        {"statement_text": "INSERT INTO t SELECT * FROM t", "operation": "write"},
        {"statement_text": "SELECT * FROM t, nowhere, a.b.c"},
        {"statement_text": "SELECT * FROM t, nowhere, a.b.c"},
        {"statement_text": "SELECT * FROM a.b.c.d"},
        known=("a.b.t", "a.c.t"),
    )
    of_tables = found.reasons.filter(pl.col("reason").is_in(UNRESOLVED))
    assert of_tables.select("name", "reason", "statement_count").rows() == [
        ("t", "ambiguous", 3),
        ("nowhere", "unknown_table", 2),
        ("a.b.c.d", "too_many_parts", 1),
    ]
    assert found.counts["unresolved:ambiguous"] == 3
    assert sets_of(found)["s1"] == ("parsed", (["a.b.c"], [], []))


def test_empty_day() -> None:
    """A day without statements has no sets and zero counts."""
    found = attributed()
    assert found.sets.is_empty()
    assert found.reasons.is_empty()
    assert set(found.counts.values()) == {0}


def test_a_statement_of_which_no_name_resolves_is_unattributed() -> None:
    """A text whose every name fits no table tells nothing; a temporary view and no name do."""
    found = attributed(
        {"statement_text": "SELECT * FROM nowhere"},
        {"statement_text": "SELECT * FROM nowhere JOIN a.b.c"},
        {"statement_text": "SELECT 1"},
        {"statement_text": "SELECT * FROM system.access.audit"},
        excluded=("system",),
    )
    assert set(sets_of(found)) == {"s1", "s2", "s3"}
    assert found.counts["unattributed:unresolved"] == 1
    assert found.counts["unresolved:unknown_table"] == 2


def test_lineage_tells_the_workspace_of_rows_without_one() -> None:
    """History that names no workspace, as raw API pages do, meets the lineage of its statements."""
    found = attributed(
        {"workspace_id": None, "statement_text": None, "text_redacted": True},
        tables=(read("a.b.c"),),
    )
    assert sets_of(found) == {"s0": ("lineage", (["a.b.c"], [], []))}


def test_a_cached_result_without_a_workspace_has_that_of_its_origin() -> None:
    """Lineage of the origin tells the workspace where the cached statement has none of its own."""
    found = attributed(
        {
            "workspace_id": None,
            "statement_text": None,
            "text_redacted": True,
            "cache_origin_statement_id": "old",
        },
        tables=(read("a.b.old", statement_id="old"),),
    )
    assert sets_of(found) == {"s0": ("lineage", (["a.b.old"], [], []))}
