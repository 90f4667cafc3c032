"""The engine of a cluster: Spark Connect, over the same Delta tables.

What it needs and where it was tried stands in `docs/decisions/spark-engine.md`.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import narwhals as nw
import polars as pl
from polars.io.plugins import register_io_source

from dbminer_dagster.engines import HASH_BITS, BatchFunction
from dbminer_dagster.engines.batch_source import wanted_rows
from dbminer_dagster.engines.spark_session import connected, spark_errors
from dbminer_dagster.engines.spark_worker import (
    ARROW_OLDEST,
    ENCODED,
    ENCODED_TYPE,
    apply_to_batches,
    apply_to_partition,
    arrow_schema,
    decoded,
    encode_batches,
)
from dbminer_dagster.schemas import Table
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.connect.session import SparkSession

LOCAL_ROWS = 100_000
"""So many rows of this machine go to Spark in one message, which must stay below 128 MB."""
SPARK_TYPES = {
    pl.String: "string",
    pl.Binary: "binary",
    pl.Boolean: "boolean",
    pl.Int8: "tinyint",
    pl.Int16: "smallint",
    pl.Int32: "int",
    pl.Int64: "bigint",
    pl.Float64: "double",
    pl.Date: "date",
    pl.Datetime: "timestamp",
}
NULL = "\x00"
NO_DELTA = "DATA_SOURCE_NOT_FOUND"
KEEPS_NOTHING = "NOT_SUPPORTED_WITH_SERVERLESS"


def spark_schema(schema: pl.Schema) -> str:
    """The schema as Spark writes it."""
    return ", ".join(f"`{name}` {_spark_type(dtype)}" for name, dtype in schema.items())


def _spark_type(dtype: Any) -> str:
    if isinstance(dtype, pl.List):
        return f"array<{_spark_type(dtype.inner)}>"
    if isinstance(dtype, pl.Struct):
        fields = (f"`{field.name}`: {_spark_type(field.dtype)}" for field in dtype.fields)
        return f"struct<{', '.join(fields)}>"
    return SPARK_TYPES[dtype.base_type()]


class SparkEngine:
    """Runs the frame steps on Spark; see `Engine`.

    Args:
        remote: Spark Connect address, `sc://host:port`, with its options.
    """

    has_workers = True
    rows_at_a_time = sys.maxsize

    def __init__(self, remote: str) -> None:
        self.remote = remote
        self._knows_delta: bool | None = None
        self._kept: list[DataFrame] = []

    def scan(self, storage: DeltaStorage, table: Table, window: Window) -> nw.LazyFrame:
        """The rows of the days in the window."""
        files = storage.files(table, window)
        if not files:
            return self.frame(pl.DataFrame(schema=table.schema))
        uri = _address(storage.table_uri(table.name))
        with spark_errors(self.remote):
            if self._reads_delta(uri):
                rows = self._session.read.format("delta").load(uri)
            else:
                # The table's log says which files hold its days; a file's folder tells its day.
                reader = self._session.read.schema(spark_schema(table.schema))
                rows = reader.option("basePath", uri).parquet(
                    *(_address(unquote(file)) for file in files)
                )
            return nw.from_native(_of_table(rows, table, window))

    def slices(self, storage: DeltaStorage, table: Table, window: Window) -> list[nw.LazyFrame]:
        """All rows, which the cluster divides by itself."""
        return [self.scan(storage, table, window)]

    def frame(self, rows: pl.DataFrame) -> nw.LazyFrame:
        """The rows, sent to Spark."""
        schema = spark_schema(rows.schema)
        with spark_errors(self.remote):
            if rows.is_empty():
                return nw.from_native(self._session.createDataFrame([], schema))
            parts = [
                self._session.createDataFrame(part.to_arrow(compat_level=ARROW_OLDEST), schema)
                for part in rows.iter_slices(LOCAL_ROWS)
            ]
        return nw.concat([nw.from_native(part) for part in parts])

    def collect(self, frame: nw.LazyFrame) -> pl.DataFrame:
        """All rows."""
        with spark_errors(self.remote):
            return pl.DataFrame(_native(frame).toArrow())

    def batches(self, frame: nw.LazyFrame) -> Iterator[pl.DataFrame]:
        """All rows, in batches as Spark made them."""
        # Spark's client streams rows as Python objects; binary ones are few and keep the types.
        encoded = _native(frame).mapInArrow(encode_batches, ENCODED_TYPE)
        with spark_errors(self.remote):
            for row in encoded.toLocalIterator():
                yield decoded(bytes(row[ENCODED]))

    def stream(self, frame: nw.LazyFrame) -> pl.LazyFrame:
        """All rows, which Spark sends as they are asked for."""

        def source(
            columns: list[str] | None,
            predicate: pl.Expr | None,
            row_limit: int | None,
            _batch_size: int | None,
        ) -> Iterator[pl.DataFrame]:
            return wanted_rows(self.batches(frame), columns, predicate, row_limit)

        return register_io_source(source, schema=self.collect(frame.head(0)).schema)

    def map_batches(
        self, frame: nw.LazyFrame, function: BatchFunction, schema: pl.Schema
    ) -> nw.LazyFrame:
        """The function's rows, made by Spark's Python workers."""
        work = partial(apply_to_batches, function=function, schema=arrow_schema(schema))
        return nw.from_native(_native(frame).mapInArrow(work, spark_schema(schema)))

    def map_groups(
        self, frame: nw.LazyFrame, key: Sequence[str], function: BatchFunction, schema: pl.Schema
    ) -> nw.LazyFrame:
        """The function's rows for each partition by the key."""
        work = partial(apply_to_partition, function=function, schema=arrow_schema(schema))
        groups = _native(frame).repartition(*key)
        return nw.from_native(groups.mapInArrow(work, spark_schema(schema)))

    def look_up(self, frame: nw.LazyFrame, table: nw.LazyFrame, key: Sequence[str]) -> nw.LazyFrame:
        """Joins as Spark sees fit."""
        return frame.join(table, on=list(key), how="left")

    def with_row_hash(
        self, frame: nw.LazyFrame, columns: Sequence[str], names: Sequence[str]
    ) -> nw.LazyFrame:
        """Adds hashes of the columns' values."""
        from pyspark.sql.connect import functions

        # Spark's hash skips nulls, and so would not see which of two columns holds one.
        values = [
            functions.coalesce(functions.col(name).cast("string"), functions.lit(NULL))
            for name in columns
        ]
        hashes = {
            name: functions.pmod(
                functions.xxhash64(functions.lit(seed), *values), functions.lit(2**HASH_BITS)
            )
            for seed, name in enumerate(names)
        }
        return nw.from_native(_native(frame).withColumns(hashes))

    def keep(self, frame: nw.LazyFrame) -> nw.LazyFrame:
        """The same rows; the cluster keeps them if it can."""
        kept = self._persisted(frame)
        if kept is not None:
            self._kept.append(kept)
            return nw.from_native(kept)
        return frame

    def release(self) -> None:
        """Lets the cluster forget what it keeps."""
        with spark_errors(self.remote):
            while self._kept:
                self._kept.pop().unpersist()

    @contextmanager
    def spooled(self, frame: nw.LazyFrame) -> Iterator[nw.LazyFrame]:
        """The same rows; the cluster keeps them if it can, until the block ends."""
        kept = self._persisted(frame)
        if kept is None:
            yield frame
            return
        try:
            yield nw.from_native(kept)
        finally:
            kept.unpersist()

    @property
    def _session(self) -> "SparkSession":
        return connected(self.remote)

    def _persisted(self, frame: nw.LazyFrame) -> "DataFrame | None":
        from pyspark.errors import PySparkException

        with spark_errors(self.remote):
            try:
                return _native(frame).persist()
            except PySparkException as error:
                # Serverless compute keeps nothing, and computes the rows again.
                if KEEPS_NOTHING in str(error):
                    return None
                raise

    def _reads_delta(self, uri: str) -> bool:
        """Whether this Spark reads Delta tables; Apache Spark by itself does not."""
        from pyspark.errors import PySparkException

        if self._knows_delta is None:
            try:
                _ = self._session.read.format("delta").load(uri).schema
            except PySparkException as error:
                if NO_DELTA not in str(error):
                    raise
                self._knows_delta = False
            else:
                self._knows_delta = True
        return self._knows_delta


def _native(frame: nw.LazyFrame) -> "DataFrame":
    return frame.to_native()


def _address(location: str) -> str:
    """A place as Spark names it, whatever its default file system is."""
    return location if "://" in location else f"file://{location}"


def _of_table(rows: "DataFrame", table: Table, window: Window) -> "DataFrame":
    """The rows of the window's days, with all columns: an older table lacks the newer ones."""
    from pyspark.sql.connect import functions

    day = functions.col("day")
    columns = [
        functions.col(name)
        if name in rows.columns
        else functions.lit(None).cast(_spark_type(dtype)).alias(name)
        for name, dtype in table.schema.items()
    ]
    of_days = (day >= functions.lit(window.start)) & (day < functions.lit(window.end))
    return rows.filter(of_days).select(columns)
