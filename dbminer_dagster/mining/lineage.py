"""Raw lineage to edges: what feeds what, and whether that still holds.

An edge seen within the lineage window is `active`, unless its target was rebuilt later and the
edge has not been seen since: then it is `superseded`. An edge not seen within the window is
`expired`, for one more window; then it is gone. Rows without a source or a target are uses, not
edges, and neither is a table that feeds itself.
"""

from collections.abc import Sequence

import polars as pl

from dbminer_dagster.schemas import ENTITY, Table
from dbminer_dagster.windows import Window

ENDS = ("source", "target")
COLUMNS = ("source_column", "target_column")
ROW_KINDS = ("edge_rows", "self_rows", "read_only_rows", "write_only_rows", "no_column_rows")


def history_days(lineage_window_days: int) -> int:
    """Days of raw lineage that one day's edges are made of."""
    return 2 * lineage_window_days


def has_both_ends() -> pl.Expr:
    """Whether a row of raw lineage has a source and a target, without which it is no edge."""
    return pl.all_horizontal(
        pl.any_horizontal(pl.col(f"{end}_{part}").is_not_null() for part in ("name", "path"))
        for end in ENDS
    )


def with_row_kind(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Adds the key of each end, and `row_kind`, one of `ROW_KINDS`.

    A table's key is its lower-cased name. An end that has a path only is keyed by the path, as
    spelled but without a slash at its end. Rows of column lineage that lack a column are no edges
    between columns.
    """
    keys = {
        end: pl.coalesce(
            pl.col(f"{end}_name").str.to_lowercase(), pl.col(f"{end}_path").str.strip_chars_end("/")
        )
        for end in ENDS
    }
    source, target = pl.col("source"), pl.col("target")
    lacks_column = (pl.col(name).is_null() for name in _pair(raw.collect_schema().names()))
    kind = (
        pl.when(source.is_null())
        .then(pl.lit("write_only_rows"))
        .when(target.is_null())
        .then(pl.lit("read_only_rows"))
        .when(source == target)
        .then(pl.lit("self_rows"))
        .when(pl.any_horizontal(pl.lit(value=False), *lacks_column))
        .then(pl.lit("no_column_rows"))
        .otherwise(pl.lit("edge_rows"))
    )
    return raw.with_columns(**keys).with_columns(row_kind=kind)


def edges(
    table: Table,
    raw: pl.LazyFrame,
    rebuilds: pl.LazyFrame,
    window: Window,
) -> pl.LazyFrame:
    """Rows of `table_lineage` or `column_lineage` for the last day of the window.

    Args:
        table: Which of the two.
        raw: Rows of the raw lineage, of `history_days` up to the last day of the window.
        rebuilds: Rows of `table_rebuilds` of the same days.
        window: The lineage window.
    """
    pair = _pair(table.schema.names())
    key = [*ENDS, *pair]
    rows = (
        with_row_kind(raw)
        .filter(pl.col("row_kind") == "edge_rows")
        .with_columns(pl.col(name).str.to_lowercase() for name in pair)
        .join(
            rebuilds.select("workspace_id", "statement_id", target="table_name", own="rebuilt_at"),
            on=["target", "workspace_id", "statement_id"],
            how="left",
            nulls_equal=True,
        )
    )
    seen = pl.col("last_event_time")
    found = rows.group_by(key).agg(
        *(_newest(_type(end)).alias(f"{end}_type") for end in ENDS),
        first_seen=pl.col("first_event_time").min(),
        last_seen=seen.max(),
        # A rebuild's own edges stay, even where their event is a little older than its start.
        valid_until=pl.max_horizontal(seen, "own").max(),
        event_count=pl.col("event_count").sum(),
        last_statement_id=_newest(pl.col("statement_id")),
    )
    names = {f"{end}_name": pl.col(end) for end in ENDS}
    return (
        _with_next_rebuild(found, rebuilds)
        .with_columns(**_status(window))
        .join(_entities(rows, key), on=key, how="left")
        .with_columns(pl.col("entities").fill_null([]), **names, day=pl.lit(window.last_day))
        .select(table.schema.names())
    )


def _pair(names: Sequence[str]) -> list[str]:
    """The pair of columns that column lineage has; nothing for table lineage."""
    return [name for name in COLUMNS if name in names]


def _type(end: str) -> pl.Expr:
    is_path = pl.col(f"{end}_name").is_null()
    return pl.when(is_path).then(pl.lit("PATH")).otherwise(pl.col(f"{end}_type"))


def _newest(value: pl.Expr) -> pl.Expr:
    """The value of the newest event that has one; REST gives no type to the table it is asked for.

    `max_by` needs no sorting: that is many times faster where there are many small groups.
    """
    event = pl.struct("last_event_time", "statement_id", value.alias("value"))
    return value.max_by(pl.when(value.is_not_null()).then(event))


def _with_next_rebuild(found: pl.LazyFrame, rebuilds: pl.LazyFrame) -> pl.LazyFrame:
    """Adds when, and by which statement, the target was first rebuilt after the edge was seen."""
    by_time = rebuilds.select(
        "rebuilt_at", target="table_name", rebuild_statement_id="statement_id"
    ).sort("rebuilt_at", "rebuild_statement_id")
    return found.sort("valid_until").join_asof(
        by_time,
        left_on="valid_until",
        right_on="rebuilt_at",
        by="target",
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,
    )


def _status(window: Window) -> dict[str, pl.Expr]:
    is_expired = pl.col("last_seen") < pl.lit(window.start_time)
    is_superseded = pl.col("rebuilt_at").is_not_null()
    expired = pl.format(
        f"not seen since {{}}; the lineage window begins on {window.start}",
        pl.col("last_seen").dt.strftime("%Y-%m-%d"),
    )
    superseded = pl.format(
        "target rebuilt at {} by statement {}",
        pl.col("rebuilt_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "rebuild_statement_id",
    )
    return {
        "status": pl.when(is_expired)
        .then(pl.lit("expired"))
        .when(is_superseded)
        .then(pl.lit("superseded"))
        .otherwise(pl.lit("active")),
        "reason": pl.when(is_expired).then(expired).when(is_superseded).then(superseded),
    }


def _entities(rows: pl.LazyFrame, key: list[str]) -> pl.LazyFrame:
    entity = ["entity_type", "entity_id", "workspace_id"]
    names = list(ENTITY.to_schema())
    return (
        rows.drop_nulls("entity_type")
        .group_by(*key, *entity)
        .agg(last_seen=pl.col("last_event_time").max())
        .group_by(key)
        .agg(
            entities=pl.struct(names).sort_by(
                "last_seen", *entity, descending=[True, False, False, False], nulls_last=True
            )
        )
    )


def named_ends(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Each end of raw lineage that has a name: `table_name`, `table_type`, `path`, day and time."""
    ends = [
        raw.drop_nulls(f"{end}_name").select(
            "day",
            "last_event_time",
            table_name=pl.col(f"{end}_name").str.to_lowercase(),
            table_type=f"{end}_type",
            path=f"{end}_path",
        )
        for end in ENDS
    ]
    return pl.concat(ends)


def newest_type() -> pl.Expr:
    """The type that the newest of some `named_ends` tells, if one does."""
    kind = pl.col("table_type")
    return kind.max_by(pl.when(kind.is_not_null()).then(pl.struct("last_event_time", "table_type")))


def known_tables(raw: pl.LazyFrame) -> pl.LazyFrame:
    """`day`, `table_name` and `table_type` of every table that raw lineage names."""
    return named_ends(raw).group_by("day", "table_name").agg(table_type=newest_type())


def day_tables(raw: pl.LazyFrame) -> pl.DataFrame:
    """`day` and `table_name` of every table that raw lineage names; names are stored once."""
    names = known_tables(raw).select("day", pl.col("table_name").cast(pl.Categorical))
    return names.collect(engine="streaming")


def tables_of(known: pl.DataFrame, window: Window) -> pl.Series:
    """The tables that `day_tables` found in a window."""
    return known.filter(window.holds())["table_name"].unique().cast(pl.String)
