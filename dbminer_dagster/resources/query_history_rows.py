"""What every extraction method does to statements before they are rows of `raw_query_history`."""

from contextlib import suppress
from typing import Any

import msgspec
import polars as pl

from dbminer_dagster.schemas import RAW_QUERY_HISTORY

REDACTED = "<redacted>"
"""What Databricks gives instead of a text that the reader may not see, in any case."""

RENAMED_SYSTEM_COLUMNS = {
    "status": "execution_status",
    "user_id": "executed_by_user_id",
    "user_name": "executed_by",
}
"""Our name of a column to that of `system.query.history`, where they differ."""


def finished(rows: pl.LazyFrame, method: str) -> pl.LazyFrame:
    """Rows in the columns of `raw_query_history`, with those that follow from the others.

    Redacted text is null and marked so; blank text is null.

    Args:
        rows: All columns but `text_redacted`, `extraction_method` and `day`.
        method: The extraction method.
    """
    text = pl.col("statement_text").str.strip_chars()
    redacted = (text.str.to_lowercase() == REDACTED).fill_null(value=False)
    return rows.with_columns(
        pl.when(~redacted & (text.str.len_bytes() > 0)).then("statement_text"),
        text_redacted=redacted,
        extraction_method=pl.lit(method),
        day=pl.col("start_time").dt.date(),
    ).select(RAW_QUERY_HISTORY.schema.names())


def tags_text(tags: Any) -> str | None:
    """Tags as one JSON object, whether they came as such, as its text, or as a list of pairs."""
    if not tags:
        return None
    if isinstance(tags, str):
        with suppress(msgspec.DecodeError, RecursionError):
            tags = msgspec.json.decode(tags)
    if isinstance(tags, list) and all(isinstance(tag, dict) and "key" in tag for tag in tags):
        tags = {str(tag["key"]): tag.get("value") for tag in tags}
    return msgspec.json.encode(tags, order="sorted").decode()


def each_once(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Of each statement the version that the source changed last; a row without id is one.

    Ties are broken by all columns, so that the order of the input never matters. Held in memory
    are the statements that repeat, and of each row a hash of 8 bytes, about 30 while they are
    sorted: of all days, since nothing promises that all versions of a statement start on one.
    """
    key = list(RAW_QUERY_HISTORY.key)
    # Equal keys have equal hashes, which take a fraction of the memory of keys. Null matches none.
    key_hash = pl.when(pl.col("statement_id").is_not_null()).then(pl.struct(key).hash())
    hashed = rows.with_columns(key_hash=key_hash)
    hashes = hashed.select("key_hash").collect(engine="streaming").to_series().sort()
    repeated = hashes.filter(hashes == hashes.shift()).unique().to_frame()
    if repeated.is_empty():
        return rows
    others = [name for name in RAW_QUERY_HISTORY.schema if name not in {"update_time", "end_time"}]
    newest = (
        hashed.join(repeated.lazy(), on="key_hash", how="semi")
        .sort("update_time", "end_time", *others, nulls_last=False)
        .unique(key, keep="last", maintain_order=True)
        .collect(engine="streaming")
    )
    once = hashed.join(repeated.lazy(), on="key_hash", how="anti")
    return pl.concat([once, newest.lazy()]).drop("key_hash")
