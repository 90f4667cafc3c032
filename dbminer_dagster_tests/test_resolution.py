"""Short names to full ones, never by a guess."""

import polars as pl
import pytest

from dbminer_dagster.mining.resolution import in_catalogs, quoted, resolve, suffixes
from dbminer_dagster.mining.sessions import SEPARATOR

KNOWN = ["a.s.t", "b.s.t", "a.s.u", "a.r.v", "a.r.`w.x`", "odd", "too.few", "a.b.c.d"]


def resolved(
    name: str, catalog: str | None = None, schema: str | None = None, views: str | None = None
) -> tuple[str | None, str | None]:
    names = pl.DataFrame(
        {
            "row": 7,
            "name": [name],
            "default_catalog": [catalog],
            "default_schema": [schema],
            "temporary_views": [views],
        },
        schema_overrides=dict.fromkeys(
            ("default_catalog", "default_schema", "temporary_views"), pl.String
        ),
    )
    found = resolve(names, suffixes(pl.Series(KNOWN)))
    assert found.columns == [*names.columns, "resolved", "reason"]
    return found.select("resolved", "reason").row(0)


@pytest.mark.parametrize(
    ("name", "catalog", "schema", "full"),
    [
        ("x.y.z", "c", "d", "x.y.z"),
        ("y.z", "c", "d", "c.y.z"),
        ("z", "c", "d", "c.d.z"),
        ("`y.1`.z", "c", "d", "c.`y.1`.z"),
        ("`z.1`", "c.x", "d`e", "`c.x`.`d``e`.`z.1`"),
        ("t", "a", "s", "a.s.t"),
        ("u", None, None, "a.s.u"),
        ("s.u", None, None, "a.s.u"),
        ("u", None, "s", "a.s.u"),
        ("v", None, None, "a.r.v"),
        ("`w.x`", None, None, "a.r.`w.x`"),
        ("r.`w.x`", None, None, "a.r.`w.x`"),
    ],
)
def test_name_resolves(name: str, catalog: str | None, schema: str | None, full: str) -> None:
    """The session's defaults complete a name; without them the one table with that ending does."""
    assert resolved(name, catalog, schema) == (full, None)


@pytest.mark.parametrize(
    ("name", "schema", "reason"),
    [
        ("t", None, "ambiguous"),
        ("s.t", None, "ambiguous"),
        ("t", "s", "ambiguous"),
        ("nowhere", None, "unknown_table"),
        ("s.v", None, "unknown_table"),
        ("v", "s", "unknown_table"),
        ("odd", None, "unknown_table"),
        ("a.b.c.d", None, "too_many_parts"),
        ("w.x", None, "unknown_table"),
    ],
)
def test_name_does_not_resolve(name: str, schema: str | None, reason: str) -> None:
    """What fits no table or several stays unresolved and says why, also with half a default."""
    assert resolved(name, None, schema) == (None, reason)


def test_temporary_views_are_no_tables() -> None:
    """A one-part name that the session made a view of is that view; longer names are not."""
    views = SEPARATOR.join(["t", "w.x"])
    assert resolved("t", "a", "s", views) == (None, "temporary_view")
    assert resolved("`w.x`", None, None, views) == (None, "temporary_view")
    assert resolved("s.t", "a", "s", views) == ("a.s.t", None)
    assert resolved("u", "a", "s", views) == ("a.s.u", None)


def test_each_row_is_resolved_once() -> None:
    """Rows with equal names keep apart, and none is lost or doubled."""
    names = pl.DataFrame(
        {
            "row": [0, 1, 2, 3],
            "name": ["u", "u", "u", "t"],
            "default_catalog": ["c", None, "d", None],
            "default_schema": ["s", None, "s", None],
            "temporary_views": [None, None, "u", None],
        }
    )
    found = resolve(names, suffixes(pl.Series(KNOWN))).sort("row")
    assert found["resolved"].to_list() == ["c.s.u", "a.s.u", None, None]
    assert resolve(names.head(0), suffixes(pl.Series([], dtype=pl.String))).is_empty()


@pytest.mark.parametrize(
    ("name", "globs", "expected"),
    [
        ("system.access.audit", ["system"], True),
        ("System.access.audit", ["SYS*"], True),
        ("systems.access.audit", ["system"], False),
        ("prod.sales_raw.t", ["*_raw"], False),
        ("sales_raw.s.t", ["*_raw"], True),
        ("`my.cat`.s.t", ["my.cat"], True),
        ("`my.cat`.s.t", ["my"], False),
        ("prod.system.t", ["system"], False),
        ("prod.s.t", [], False),
        ("prod", ["prod"], False),
        (None, ["*"], False),
    ],
)
def test_catalogs_match_by_their_whole_name(
    name: str | None, globs: list[str], expected: bool
) -> None:
    """A glob speaks of the catalog alone, in any case; a null name lies in none."""
    frame = pl.DataFrame({"name": [name]}, schema={"name": pl.String})
    assert frame.select(found=in_catalogs(pl.col("name"), globs))["found"].to_list() == [expected]


def test_parts_are_quoted_where_they_must_be() -> None:
    """A part with a dot or a backtick is back-quoted, others stay as they are."""
    frame = pl.DataFrame({"part": ["a b-1", "a.b", "a`b", None]})
    assert frame.select(found=quoted(pl.col("part")))["found"].to_list() == [
        "a b-1", "`a.b`", "`a``b`", None,
    ]  # fmt: skip
