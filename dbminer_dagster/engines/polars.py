"""The engine of one machine."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import reduce
from operator import xor

import narwhals as nw
import polars as pl
from polars.io.plugins import register_io_source

from dbminer_dagster.engines import HASH_BITS, BatchFunction
from dbminer_dagster.engines.batch_source import wanted_rows
from dbminer_dagster.schemas import Table
from dbminer_dagster.spool import open_spool
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window

BATCH_ROWS = 75_000
SPOOLED = "rows"
BATCHES_IN_FLIGHT = 2
"""So many batches are worked on at once; more would cost memory and gain nothing."""


class PolarsEngine:
    """Runs the frame steps in this process; see `Engine`."""

    has_workers = False
    rows_at_a_time = 2_000_000

    def scan(self, storage: DeltaStorage, table: Table, window: Window) -> nw.LazyFrame:
        """The rows of the days in the window."""
        return nw.from_native(storage.scan(table, window))

    def slices(self, storage: DeltaStorage, table: Table, window: Window) -> list[nw.LazyFrame]:
        """The rows of the days, in frames of `BATCH_ROWS`."""
        return [nw.from_native(rows) for rows in storage.slices(table, window, BATCH_ROWS)]

    def frame(self, rows: pl.DataFrame) -> nw.LazyFrame:
        """The rows, lazily."""
        return nw.from_native(rows.lazy())

    def collect(self, frame: nw.LazyFrame) -> pl.DataFrame:
        """All rows."""
        return frame.to_native().collect(engine="streaming")

    def batches(self, frame: nw.LazyFrame) -> Iterator[pl.DataFrame]:
        """All rows, some ten thousand at a time."""
        return frame.to_native().collect_batches(chunk_size=BATCH_ROWS, maintain_order=False)

    def stream(self, frame: nw.LazyFrame) -> pl.LazyFrame:
        """The frame itself."""
        return frame.to_native()

    def map_batches(
        self, frame: nw.LazyFrame, function: BatchFunction, schema: pl.Schema
    ) -> nw.LazyFrame:
        """The function's rows, a few batches in memory at a time."""

        def source(
            columns: list[str] | None,
            predicate: pl.Expr | None,
            row_limit: int | None,
            _batch_size: int | None,
        ) -> Iterator[pl.DataFrame]:
            rows = self._mapped(frame, function)
            return wanted_rows(rows, columns, predicate, row_limit)

        return nw.from_native(register_io_source(source, schema=schema))

    def map_groups(
        self, frame: nw.LazyFrame, key: Sequence[str], function: BatchFunction, schema: pl.Schema
    ) -> nw.LazyFrame:
        """The function's rows for the whole frame."""
        del key  # all rows come together, whatever their key

        def whole(rows: pl.DataFrame) -> pl.DataFrame:
            return function(rows).match_to_schema(schema)

        return nw.from_native(frame.to_native().map_batches(whole, schema=schema))

    def look_up(self, frame: nw.LazyFrame, table: nw.LazyFrame, key: Sequence[str]) -> nw.LazyFrame:
        """Joins while the rows pass by; Polars, left to itself, holds ten million of them first."""
        rows, found = frame.to_native(), table.to_native()
        joined = rows.join(found, on=list(key), how="left", build_side="force_right")
        return nw.from_native(joined)

    def with_row_hash(
        self, frame: nw.LazyFrame, columns: Sequence[str], names: Sequence[str]
    ) -> nw.LazyFrame:
        """Adds hashes of the columns' values."""

        def row_hash(first_seed: int) -> pl.Expr:
            hashes = (pl.col(name).hash(first_seed + place) for place, name in enumerate(columns))
            return (reduce(xor, hashes).hash(first_seed) % 2**HASH_BITS).cast(pl.Int64)

        hashes = {name: row_hash(place * len(columns)) for place, name in enumerate(names)}
        return nw.from_native(frame.to_native().with_columns(**hashes))

    def keep(self, frame: nw.LazyFrame) -> nw.LazyFrame:
        """The same rows, in memory."""
        return self.frame(self.collect(frame))

    def release(self) -> None:
        """Nothing: frames are let go of with their last use."""

    @contextmanager
    def spooled(self, frame: nw.LazyFrame) -> Iterator[nw.LazyFrame]:
        """The same rows, in a temporary file."""
        rows = frame.to_native()
        with open_spool() as spool:
            spool.write(SPOOLED, rows)
            yield nw.from_native(spool.scan(SPOOLED, rows.collect_schema()))

    def _mapped(self, frame: nw.LazyFrame, function: BatchFunction) -> Iterator[pl.DataFrame]:
        pending: deque[Future[pl.DataFrame]] = deque()
        with ThreadPoolExecutor(BATCHES_IN_FLIGHT) as threads:
            for batch in self.batches(frame):
                pending.append(threads.submit(function, batch))
                if len(pending) == BATCHES_IN_FLIGHT:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
