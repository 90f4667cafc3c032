"""Writes whole days as Parquet files, and commits them to a Delta table in one transaction.

Polars streams the files to where they will stay; nobody sees them until one commit adds them and
removes the days' old files. `sink_delta` would do both, but for a partitioned table it holds the
whole frame in memory, see `docs/decisions/delta-tables-by-day.md`.
"""

import json
import time
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.transaction import AddAction

from dbminer_dagster.errors import RowCountError
from dbminer_dagster.windows import Window

COMPRESSION_LEVEL = 1
"""Files are some 4 % larger than at level 3, and a tenth less time goes into them."""
ROW_GROUP_ROWS = 25_000
"""Polars holds several groups at a time, and statements are long."""
LISTED_DAYS = 10


@dataclass(frozen=True, slots=True)
class DayFile:
    """A Parquet file with rows of one day.

    Attributes:
        path: Relative to the table.
        day: The day, as text; `None` for rows without one.
        row_count: Rows.
        byte_count: Size.
    """

    path: str
    day: str
    row_count: int
    byte_count: int


def write_day_files(
    frame: pl.LazyFrame,
    table_uri: str,
    storage_options: dict[str, str] | None,
    row_group_rows: int = ROW_GROUP_ROWS,
) -> list[DayFile]:
    """Streams the rows into files below `day=YYYY-MM-DD/`, under names that nobody else has.

    Args:
        frame: Rows with a `day` column.
        table_uri: Folder or `s3://` address of the table.
        storage_options: Options of the object store.
        row_group_rows: Rows of a row group.
    """
    write = uuid.uuid4().hex
    written: list[Any] = []
    frame.sink_parquet(
        pl.PartitionBy(
            table_uri,
            key="day",
            include_key=False,
            file_path_provider=lambda part: (
                f"day={part.partition_keys.item()}/part-{write}-{part.index_in_partition:05}.parquet"
            ),
        ),
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        row_group_size=row_group_rows,
        mkdir=True,
        storage_options=storage_options,
        credential_provider=None,
        sinked_paths_callback=lambda done: written.extend(done.paths),
    )
    return [_day_file(str(sinked.path), sinked.num_rows, sinked.num_bytes) for sinked in written]


def _day_file(path: str, row_count: int, byte_count: int) -> DayFile:
    folder, name = path.rsplit("/", maxsplit=2)[-2:]
    return DayFile(f"{folder}/{name}", folder.removeprefix("day="), row_count, byte_count)


def count_by_day(
    table: str, window: Window, files: Sequence[DayFile], wanted: int | None
) -> dict[date, int]:
    """Rows of each day of the window, if they are all there and no others.

    Args:
        table: Name of the table, for the message.
        window: The days that are written.
        files: What was written.
        wanted: Rows that were read; `None` if nobody counted.

    Raises:
        RowCountError: Rows are missing, or lie outside of the window.
    """
    counts = dict.fromkeys(map(str, window), 0)
    if outside := sorted({file.day for file in files} - counts.keys()):
        raise RowCountError(
            f"Table {table!r} was not written: a run for {window} gave it rows of the day "
            f"{', '.join(outside[:LISTED_DAYS])}. Report it as a bug."
        )
    for file in files:
        counts[file.day] += file.row_count
    arrived = sum(counts.values())
    if wanted is not None and arrived != wanted:
        raise RowCountError(
            f"Table {table!r} was not written: {wanted} rows were read for {window} and "
            f"{arrived} arrived. Run the days again; if it repeats, report it as a bug."
        )
    return {day: counts[str(day)] for day in window}


def commit_days(
    delta: DeltaTable, days: Collection[date], files: Sequence[DayFile], absent: Collection[date]
) -> None:
    """Replaces the days by the files, and notes when each of them was mined, if it was.

    Raises:
        CommitFailedError: Another run committed meanwhile: open the table and commit again.
    """
    now = time.time()
    delta.create_write_transaction(
        [
            AddAction(
                path=file.path,
                size=file.byte_count,
                partition_values={"day": file.day},
                modification_time=int(now * 1000),
                data_change=True,
                stats=json.dumps({"numRecords": file.row_count}),
            )
            for file in files
        ],
        mode="overwrite",
        schema=delta.schema(),
        partition_by=["day"],
        partition_filters=[("day", "in", [str(day) for day in days])],
        commit_properties=CommitProperties(
            # No rebase: it would not see that a compaction merged the files that are replaced.
            max_commit_retries=0,
            app_transactions=[
                Transaction(f"day={day}", 0 if day in absent else int(now)) for day in days
            ],
        ),
    )
