"""Which statements count as use, and why the others do not."""

from typing import Any

import narwhals as nw
import polars as pl
import pytest

from dbminer_dagster.mining.filters import READ_TYPES, WRITE_TYPES, with_drop_reason
from dbminer_dagster_tests.frames import history


def reasons(*rows: dict[str, Any], excluded: tuple[str, ...] = ()) -> list[str | None]:
    judged = with_drop_reason(nw.from_native(history(*rows).lazy()), excluded).to_native()
    assert isinstance(judged, pl.LazyFrame)
    found = judged.collect()
    assert found.height == len(rows)
    return found["drop_reason"].to_list()


def excludes(*globs: str, **user: str | None) -> bool:
    return reasons(user, excluded=globs) == ["excluded_user"]


@pytest.mark.parametrize("status", ["FAILED", "CANCELED", "RUNNING"])
def test_only_finished_statements_count(status: str) -> None:
    """A statement that did not finish is dropped, and its status is the reason."""
    assert reasons({"status": status}, {"status": "FINISHED"}) == [f"status:{status}", None]


def test_unknown_status_and_type_are_reasons_too() -> None:
    """A statement without a status or a type is dropped under the reason `unknown`."""
    found = reasons({"status": None}, {"statement_type": None})
    assert found == ["status:unknown", "statement_type:unknown"]


@pytest.mark.parametrize(
    "kind", ["SHOW", "DESCRIBE", "USE", "SET", "EXPLAIN", "GRANT", "ANALYZE", "OPTIMIZE", "VACUUM"]
)
def test_types_that_use_no_data_are_dropped(kind: str) -> None:
    """Metadata and maintenance statements are dropped, each type under its own reason."""
    assert reasons({"statement_type": kind}) == [f"statement_type:{kind}"]


@pytest.mark.parametrize("kind", [*READ_TYPES, *WRITE_TYPES])
def test_operation_is_read_for_select_only(kind: str) -> None:
    """A SELECT is a read; every other type that counts is a write."""
    judged = with_drop_reason(nw.from_native(history({"statement_type": kind}).lazy())).collect()
    row = judged.rows(named=True)[0]
    assert row["drop_reason"] is None
    assert row["operation"] == ("read" if kind == "SELECT" else "write")


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ('{"application":"dbminer","dbminer_version":"0.1.0"}', "own_statement"),
        ('{"team": "x", "application": "dbminer"}', "own_statement"),
        ('{"application":"dbminer2"}', None),
        ('{"note":"application dbminer"}', None),
        ("{}", None),
        (None, None),
    ],
)
def test_own_statements_are_known_by_their_tag(tags: str | None, reason: str | None) -> None:
    """Statements that the miner tagged as its own are dropped, others with such words are not."""
    assert reasons({"query_tags": tags}) == [reason]


def test_first_rule_that_applies_gives_the_reason() -> None:
    """The order is status, own statement, statement type, excluded user."""
    row: dict[str, Any] = {
        "status": "FAILED",
        "query_tags": '{"application":"dbminer"}',
        "statement_type": "SHOW",
        "user_name": "bot@x.com",
    }
    rows = [row]
    for name, value in {
        "status": "FINISHED",
        "query_tags": None,
        "statement_type": "SELECT",
        "user_name": "ann@x.com",
    }.items():
        rows.append(rows[-1] | {name: value})
    assert reasons(*rows, excluded=("bot@*",)) == [
        "status:FAILED",
        "own_statement",
        "statement_type:SHOW",
        "excluded_user",
        None,
    ]


@pytest.mark.parametrize(
    ("glob", "user"),
    [
        ("ann@x.com", {"user_name": "ann@x.com"}),
        ("ANN@X.com", {"user_name": "Ann@x.COM"}),
        ("0b7c-11", {"user_name": "0b7c-11"}),
        ("42", {"user_name": "ann@x.com", "user_id": "42"}),
        ("svc-*@x.com", {"user_name": "svc-etl@x.com"}),
        ("svc-?@x.com", {"user_name": "SVC-1@x.com"}),
        ("*@x.com", {"user_name": "ann@x.com", "user_id": None}),
        ("a+b (c)|[d]^$\\@x.com", {"user_name": "A+B (c)|[d]^$\\@x.com"}),
        ("ÄNNE@x.com", {"user_name": "änne@x.com"}),
    ],
)
def test_user_is_excluded_by_name_id_or_glob(glob: str, user: dict[str, str | None]) -> None:
    """A user is excluded by exact name, e-mail, id or glob, in any case, and sign for sign."""
    assert excludes("nobody", glob, **user)


@pytest.mark.parametrize(
    ("glob", "name"),
    [
        ("ann@x.com", "joann@x.com"),
        ("ann@x.com", "ann@x.com.org"),
        ("ann@x.com", "ann@xycom"),
        ("svc-?@x.com", "svc-10@x.com"),
        ("a|ann@x.com", "a"),
        ("[a-z]*", "ann@x.com"),
        ("(", "ann@x.com"),
        ("?*", None),
    ],
)
def test_user_is_kept_unless_a_whole_name_matches(glob: str, name: str | None) -> None:
    """Globs match whole names, signs of regular expressions mean themselves, null is no name."""
    assert not excludes(glob, user_name=name)


def test_kept_and_dropped_are_all_rows() -> None:
    """Every row stays, with a reason or without: nothing is dropped uncounted."""
    rows = [
        {"status": status, "statement_type": kind, "user_name": user}
        for status in ("FINISHED", "FAILED", None)
        for kind in ("SELECT", "SHOW", None)
        for user in ("ann@x.com", "bot@x.com", None)
    ]
    found = reasons(*rows, excluded=("bot*",))
    assert len(found) == 27
    assert found.count(None) == 2
    assert found.count("excluded_user") == 1
