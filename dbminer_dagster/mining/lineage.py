"""Raw lineage to edges: what feeds what, and whether that still holds.

An edge seen within the lineage window is `active`, unless its target was rebuilt later and the
edge has not been seen since: then it is `superseded`. An edge not seen within the window is
`expired`, for one more window; then it is gone. Rows without a source or a target are uses, not
edges, and neither is a table that feeds itself.
"""

import polars as pl

from dbminer_dagster.schemas import ENTITY, Table
from dbminer_dagster.windows import Window

ENDS = ("source", "target")
ROW_KINDS = ("edge_rows", "self_rows", "read_only_rows", "write_only_rows")


def history_days(lineage_window_days: int) -> int:
    """Days of raw lineage that one day's edges are made of."""
    return 2 * lineage_window_days


def with_row_kind(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Adds the key of each end, and `row_kind`, one of `ROW_KINDS`.

    A table's key is its lower-cased name. An end that has a path only is keyed by the path, as
    spelled but without a slash at its end.
    """
    keys = {
        end: pl.coalesce(
            pl.col(f"{end}_name").str.to_lowercase(), pl.col(f"{end}_path").str.strip_chars_end("/")
        )
        for end in ENDS
    }
    source, target = pl.col("source"), pl.col("target")
    kind = (
        pl.when(source.is_null())
        .then(pl.lit("write_only_rows"))
        .when(target.is_null())
        .then(pl.lit("read_only_rows"))
        .when(source == target)
        .then(pl.lit("self_rows"))
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
    pair = [f"{end}_column" for end in ENDS if f"{end}_column" in table.schema]
    key = [*ENDS, *pair]
    rows = (
        with_row_kind(raw)
        .filter(pl.col("row_kind") == "edge_rows")
        .with_columns(pl.col(name).str.to_lowercase() for name in pair)
        .drop_nulls(pair)
        .join(_last_rebuilds(rebuilds), left_on="target", right_on="table_name", how="left")
    )
    newest = {"by": ["last_event_time", "statement_id"], "nulls_last": False}
    seen = pl.col("last_event_time")
    own = pl.col("statement_id") == pl.col("rebuild_statement_id")
    found = rows.group_by(key).agg(
        *(_newest_type(end).alias(f"{end}_type") for end in ENDS),
        first_seen=pl.col("first_event_time").min(),
        last_seen=seen.max(),
        # The rebuild's own edges stay, even where its event is a little older than its start.
        valid_until=pl.when(own).then(pl.max_horizontal(seen, "rebuilt_at")).otherwise(seen).max(),
        event_count=pl.col("event_count").sum(),
        last_statement_id=pl.col("statement_id").sort_by(**newest).drop_nulls().last(),
        rebuilt_at=pl.col("rebuilt_at").first(),
        rebuild_statement_id=pl.col("rebuild_statement_id").first(),
    )
    names = {f"{end}_name": pl.col(end) for end in ENDS}
    return (
        found.with_columns(**_status(window))
        .join(_entities(rows, key), on=key, how="left")
        .with_columns(pl.col("entities").fill_null([]), **names, day=pl.lit(window.last_day))
        .select(table.schema.names())
    )


def _newest_type(end: str) -> pl.Expr:
    """The type that the newest event gives; REST tells none for the table that was asked for."""
    is_path = pl.col(f"{end}_name").is_null()
    kind = pl.when(is_path).then(pl.lit("PATH")).otherwise(pl.col(f"{end}_type"))
    return kind.sort_by("last_event_time", "statement_id", kind).drop_nulls().last()


def _last_rebuilds(rebuilds: pl.LazyFrame) -> pl.LazyFrame:
    order = ["rebuilt_at", "statement_id"]
    return rebuilds.group_by("table_name").agg(
        rebuilt_at=pl.col("rebuilt_at").max(),
        rebuild_statement_id=pl.col("statement_id").sort_by(order).last(),
    )


def _status(window: Window) -> dict[str, pl.Expr]:
    is_expired = pl.col("last_seen") < pl.lit(window.start_time)
    is_superseded = pl.col("valid_until") < pl.col("rebuilt_at")
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


def known_tables(raw: pl.LazyFrame) -> pl.LazyFrame:
    """`day`, `table_name` and `table_type` of every table that raw lineage names."""
    ends = [
        raw.drop_nulls(f"{end}_name").select(
            "day",
            "last_event_time",
            table_name=pl.col(f"{end}_name").str.to_lowercase(),
            table_type=f"{end}_type",
        )
        for end in ENDS
    ]
    return pl.concat(ends).group_by("day", "table_name").agg(
        table_type=pl.col("table_type").sort_by("last_event_time", "table_type").drop_nulls().last()
    )  # fmt: skip
