"""What Spark's Python workers run: Polars functions on Arrow batches.

Workers import this module, so it knows nothing of Spark's client.
"""

from collections.abc import Iterable, Iterator
from io import BytesIO

import polars as pl
import pyarrow as pa

from dbminer_dagster.engines import BatchFunction

ARROW_OLDEST = pl.CompatLevel.oldest()
"""Without string views, which Spark does not know."""
ENCODED = "rows"
ENCODED_TYPE = f"`{ENCODED}` binary"


def arrow_schema(schema: pl.Schema) -> pa.Schema:
    """The Arrow schema by which Spark takes rows of the Polars schema."""
    fields = pl.DataFrame(schema=schema).to_arrow(compat_level=ARROW_OLDEST).schema
    return pa.schema([pa.field(field.name, _narrow(field.type)) for field in fields])


def _narrow(dtype: pa.DataType) -> pa.DataType:
    """The type with 32-bit offsets, the only ones that every Spark reads."""
    if pa.types.is_large_string(dtype):
        return pa.string()
    if pa.types.is_large_binary(dtype):
        return pa.binary()
    if pa.types.is_large_list(dtype):
        return pa.list_(_narrow(dtype.value_type))
    if pa.types.is_struct(dtype):
        return pa.struct([pa.field(field.name, _narrow(field.type)) for field in dtype])
    return dtype


def apply_to_batches(
    batches: Iterable[pa.RecordBatch], function: BatchFunction, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """The function's rows for one batch after the other."""
    for batch in batches:
        yield from _applied(pl.DataFrame(batch), function, schema)


def apply_to_partition(
    batches: Iterable[pa.RecordBatch], function: BatchFunction, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """The function's rows for all batches at once."""
    if frames := [pl.DataFrame(batch) for batch in batches]:
        yield from _applied(pl.concat(frames), function, schema)


def _applied(
    rows: pl.DataFrame, function: BatchFunction, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    table = function(rows).select(schema.names).to_arrow(compat_level=ARROW_OLDEST)
    yield from table.cast(schema).to_batches()


def encode_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Each batch as one binary value, see `decoded`."""
    for batch in batches:
        buffer = BytesIO()
        pl.DataFrame(batch).write_ipc(buffer, compression="zstd")
        yield pa.record_batch({ENCODED: pa.array([buffer.getvalue()], pa.binary())})


def decoded(value: bytes) -> pl.DataFrame:
    """The rows of a batch that a worker encoded."""
    return pl.read_ipc(BytesIO(value))
