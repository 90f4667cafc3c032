"""What runs the heavy frame steps: Polars on this machine, or Spark on a cluster.

`mining` is written once: relational steps as Narwhals frames, work on texts and lists as Polars
functions on batches. An engine runs both, and gives small results back as Polars frames.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import narwhals as nw
import polars as pl

from dbminer_dagster.schemas import Table
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window

HASH_BITS = 40
"""Of a row's hash: sums over millions of rows do not overflow."""
BatchFunction = Callable[[pl.DataFrame], pl.DataFrame]
"""A pure function of a module, so that other processes can import it."""


class Engine(Protocol):
    """One way to run the frame steps; every engine gives the same rows, in any order."""

    @property
    def has_workers(self) -> bool:
        """Whether functions run in processes of the engine's own, on other machines."""
        ...

    @property
    def rows_at_a_time(self) -> int:
        """So many rows of numbers may be given to `map_groups` at once, or be summed to groups."""
        ...

    def scan(self, storage: DeltaStorage, table: Table, window: Window) -> nw.LazyFrame:
        """The rows of the days in the window; an empty frame if the table does not exist yet."""
        ...

    def slices(self, storage: DeltaStorage, table: Table, window: Window) -> list[nw.LazyFrame]:
        """The same rows in frames that fit into memory two at a time, whatever their texts are."""
        ...

    def frame(self, rows: pl.DataFrame) -> nw.LazyFrame:
        """Rows of this machine, for joins with the engine's frames."""
        ...

    def collect(self, frame: nw.LazyFrame) -> pl.DataFrame:
        """All rows, on this machine."""
        ...

    def batches(self, frame: nw.LazyFrame) -> Iterator[pl.DataFrame]:
        """All rows, a batch at a time."""
        ...

    def stream(self, frame: nw.LazyFrame) -> pl.LazyFrame:
        """All rows as a frame of this machine, which asks for them as it is run."""
        ...

    def map_batches(
        self, frame: nw.LazyFrame, function: BatchFunction, schema: pl.Schema
    ) -> nw.LazyFrame:
        """The rows that the function gives for each batch, whose limits mean nothing.

        Args:
            frame: The rows.
            function: Takes and gives a frame.
            schema: What it gives.
        """
        ...

    def map_groups(
        self, frame: nw.LazyFrame, key: Sequence[str], function: BatchFunction, schema: pl.Schema
    ) -> nw.LazyFrame:
        """The same, with all rows of one key in the same batch; a batch may hold many keys."""
        ...

    def look_up(self, frame: nw.LazyFrame, table: nw.LazyFrame, key: Sequence[str]) -> nw.LazyFrame:
        """A left join with a frame that is much smaller, and alone is held in memory.

        Args:
            frame: The rows.
            table: Rows whose keys are distinct.
            key: Columns of both.
        """
        ...

    def with_row_hash(
        self, frame: nw.LazyFrame, columns: Sequence[str], names: Sequence[str]
    ) -> nw.LazyFrame:
        """Adds integers of `HASH_BITS` that tell rows apart, for use within a run only.

        Args:
            frame: The rows.
            columns: What the hashes are of; nulls are values like any other.
            names: Of the added columns, whose hashes do not depend on each other.
        """
        ...

    def keep(self, frame: nw.LazyFrame) -> nw.LazyFrame:
        """The same rows, computed once however often they are used, where the engine can."""
        ...

    def release(self) -> None:
        """Lets go of all that `keep` gave."""
        ...

    def spooled(self, frame: nw.LazyFrame) -> AbstractContextManager[nw.LazyFrame]:
        """The same rows, computed once and held outside of memory until the block ends."""
        ...
