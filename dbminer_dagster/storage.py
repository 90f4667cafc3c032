"""The result tables: one Delta table for each asset, replaced by whole days.

One commit replaces exactly the days of a run and notes, as a Delta application transaction
`day=YYYY-MM-DD`, when each of them was mined. So an empty day is told from a missing one, a run
that dies leaves the last good version, and the note survives compaction and log cleanup.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable, Field
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from dbminer_dagster import s3
from dbminer_dagster.day_files import (
    ROW_GROUP_ROWS,
    DayFile,
    commit_days,
    count_by_day,
    write_day_files,
)
from dbminer_dagster.errors import SchemaMismatchError, StorageError
from dbminer_dagster.schemas import Table
from dbminer_dagster.windows import Window

logger = logging.getLogger(__name__)

COMMIT_ATTEMPTS = 10
QUESTIONS_AT_ONCE = 8
FRAMES_AT_ONCE = 2
Result = TypeVar("Result")
TABLE_PROPERTIES = {
    # A checkpoint every 20 commits keeps opening a table fast as days pile up.
    "delta.checkpointInterval": "20",
    "delta.logRetentionDuration": "interval 30 days",
    "delta.deletedFileRetentionDuration": "interval 7 days",
}


class _FolderTable(DeltaTable):
    """A table whose files have the names that they have in the folder, and not those of a URL."""

    def file_uris(self, *arguments: Any, **keywords: Any) -> list[str]:
        return list(map(unquote, super().file_uris(*arguments, **keywords)))


@dataclass(frozen=True, slots=True)
class DayFrame:
    """Rows that replace the days of a run.

    Attributes:
        frame: The rows, with a `day` column; or frames of some rows each, of which two at a time
            are computed and written.
        absent: Days that the source does not cover. Without a row they stay as they are; with
            rows, such as scores of a window that lacks its last day, they count as not mined.
        row_count: Rows that must arrive; a difference is an error.
        row_group_rows: Rows of a row group in the files; fewer where rows are long.
    """

    frame: pl.LazyFrame | Sequence[pl.LazyFrame]
    absent: frozenset[date] = frozenset()
    row_count: int | None = None
    row_group_rows: int = ROW_GROUP_ROWS

    @property
    def frames(self) -> Sequence[pl.LazyFrame]:
        """All frames."""
        return [self.frame] if isinstance(self.frame, pl.LazyFrame) else self.frame


@dataclass(frozen=True, slots=True)
class Commit:
    """What one replacement of days left behind."""

    version: int
    rows_by_day: dict[date, int]
    uri: str


@dataclass(frozen=True)
class DeltaStorage:
    """The folder or bucket that holds the result tables.

    Args:
        uri: Local folder or `s3://bucket/prefix`.
        region: Region of the bucket.
        endpoint_url: Endpoint of an S3-compatible store.
    """

    uri: str
    region: str | None = None
    endpoint_url: str | None = None

    @cached_property
    def _location(self) -> s3.S3Location | None:
        if not self.uri.startswith("s3://"):
            return None
        return s3.S3Location.parse(self.uri, region=self.region, endpoint_url=self.endpoint_url)

    def options(self) -> dict[str, str] | None:
        """Object-store options with credentials of this moment; None for a folder."""
        return s3.storage_options(self._location) if self._location else None

    def table_uri(self, name: str) -> str:
        """Where the Delta table of this name lies."""
        if self._location:
            return f"{self._location.uri}/{name}"
        return str(Path(self.uri).absolute() / name)

    def check_writable(self) -> None:
        """Writes and deletes a probe, so that a run fails before its work and not after.

        Raises:
            StorageError: Says what is missing and how to repair it.
        """
        if self._location:
            s3.probe_writable(self._location)
            return
        folder = Path(self.uri).absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".dbminer-probe-{time.time_ns()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StorageError(
                f"DBMINER_STORAGE_URI={self.uri} cannot be written ({error.strerror}): "
                "give the user who runs dbminer the right to write there, or name another folder."
            ) from error

    def scan(self, table: Table, window: Window) -> pl.LazyFrame:
        """The rows of the days in the window; an empty frame if the table does not exist yet."""
        delta = self._open(table.name)
        if delta is None:
            return pl.LazyFrame(schema=table.schema)
        return _completed(pl.scan_delta(delta).filter(window.holds()), table.schema)

    def slices(self, table: Table, window: Window, row_count: int) -> list[pl.LazyFrame]:
        """The same rows in frames of some rows each, so that nobody reads further than asked."""
        return [
            _completed(
                pl.scan_parquet(file, storage_options=self.options(), credential_provider=None)
                .slice(offset, row_count)
                .with_columns(day=pl.lit(day)),
                table.schema,
            )
            for file, day, rows in self._files(table, window)
            for offset in range(0, rows, row_count)
        ]

    def _files(self, table: Table, window: Window) -> Iterator[tuple[str, date, int]]:
        """Address, day and row count of each file of the window."""
        delta = self._open(table.name)
        if delta is None:
            return
        found = pl.DataFrame(delta.get_add_actions(flatten=True))
        days = found.with_columns(day=pl.col("partition.day").cast(pl.Date)).filter(window.holds())
        for path, day, rows in days.select("path", "day", "num_records").iter_rows():
            yield f"{self.table_uri(table.name)}/{path}", day, rows

    def replace_days(self, table: Table, window: Window, rows: DayFrame) -> Commit:
        """Replaces the days of the window by `rows`, in one commit; a day is never lost by it.

        Raises:
            SchemaMismatchError: The frame does not have the table's columns and types.
            RowCountError: Not all rows arrived, or rows lie outside the window; nothing changes.
            StorageError: The table cannot be written.
        """
        frames = [table.conform(frame) for frame in rows.frames]
        self._create(table)
        files = self._write_files(table, frames, rows.row_group_rows)
        counts = count_by_day(table.name, window, files, rows.row_count)
        replaced = {day: count for day, count in counts.items() if count or day not in rows.absent}

        def commit() -> int:
            delta = self._require(table.name)
            if not replaced:
                return delta.version()
            commit_days(delta, replaced, files, rows.absent)
            # Without a rebase the commit is the version right after the one that was opened.
            return delta.version() + 1

        version = self._with_retries(table.name, commit)
        return Commit(version=version, rows_by_day=replaced, uri=self.table_uri(table.name))

    def _write_files(
        self, table: Table, frames: Sequence[pl.LazyFrame], row_group_rows: int
    ) -> list[DayFile]:
        uri, options = self.table_uri(table.name), self.options()

        def write(frame: pl.LazyFrame) -> list[DayFile]:
            return write_day_files(frame, uri, options, row_group_rows)

        try:
            with ThreadPoolExecutor(FRAMES_AT_ONCE) as threads:
                written = threads.map(write, frames)
                return [file for files in written for file in files]
        except (OSError, pl.exceptions.PolarsError) as error:
            raise self._explained(table.name, "written", error) from error

    def days_present(self, table: Table, window: Window) -> frozenset[date]:
        """The days of the window that have been mined, empty ones included."""
        delta = self._open(table.name)
        if delta is None:
            return frozenset()
        names = [f"day={day}" for day in window]
        # Each question reads the log anew, from the store.
        with ThreadPoolExecutor(QUESTIONS_AT_ONCE) as threads:
            versions = threads.map(delta.transaction_version, names)
            return frozenset(day for day, version in zip(window, versions, strict=True) if version)

    def has_day(self, table: Table, window: Window) -> bool:
        """Whether a day of the window has been mined; looks no further than the first that was."""
        delta = self._open(table.name)
        return delta is not None and any(delta.transaction_version(f"day={day}") for day in window)

    def mined_at(self, table: Table, day: date) -> datetime | None:
        """When the day was last replaced."""
        delta = self._open(table.name)
        seconds = delta.transaction_version(f"day={day}") if delta else None
        return datetime.fromtimestamp(seconds, UTC) if seconds else None

    def row_counts(self, table: Table, window: Window) -> dict[date, int]:
        """Rows of each day that has some, from the table's log alone."""
        delta = self._open(table.name)
        return _rows_by_day(delta, window) if delta else {}

    def files(self, table: Table, window: Window) -> list[str]:
        """Addresses of the Parquet files that hold the days of the window.

        Their rows lack `day`, which the folder `day=YYYY-MM-DD` of a file tells.
        """
        return [file for file, _, _ in self._files(table, window)]

    def newest_day(self, table: Table) -> date | None:
        """The newest day that has rows, or the last of the empty days mined right after it."""
        delta = self._open(table.name)
        days = [partition["day"] for partition in delta.partitions()] if delta else []
        if delta is None or not days:
            return None
        newest = date.fromisoformat(max(days))
        while delta.transaction_version(f"day={newest + timedelta(days=1)}"):
            newest += timedelta(days=1)
        return newest

    def append(self, name: str, frame: pl.DataFrame) -> None:
        """Adds rows to a table without days, such as a cache; parallel runs do not disturb."""
        self._with_retries(name, lambda: self._append(name, frame))

    def scan_whole(self, name: str, schema: pl.Schema) -> pl.LazyFrame:
        """All rows of a table without days; an empty frame if it does not exist yet."""
        delta = self._open(name)
        if delta is None:
            return pl.LazyFrame(schema=schema)
        return _completed(pl.scan_delta(delta), schema)

    def maintain(self, name: str) -> dict[str, int] | None:
        """Compacts small files, deletes files that no version of the last 7 days needs.

        Returns:
            Files added, removed by compaction, and deleted; None if there is no such table.
        """
        if self._open(name) is None:
            return None

        def compact() -> dict[str, Any]:
            return self._require(name).optimize.compact()

        metrics = self._with_retries(name, compact)
        try:
            delta = self._require(name)
            # Full, since a run that was killed leaves files that no version ever named.
            deleted = delta.vacuum(retention_hours=7 * 24, dry_run=False, full=True)
            delta.create_checkpoint()
            delta.cleanup_metadata()
        except (DeltaError, OSError) as error:
            raise self._explained(name, "maintained", error) from error
        return {
            "files_added": int(metrics["numFilesAdded"]),
            "files_removed": int(metrics["numFilesRemoved"]),
            "files_deleted": len(deleted),
        }

    def _open(self, name: str) -> DeltaTable | None:
        try:
            opened = DeltaTable if self._location else _FolderTable
            return opened(self.table_uri(name), storage_options=self.options())
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            raise self._explained(name, "read", error) from error

    def _require(self, name: str) -> DeltaTable:
        delta = self._open(name)
        if delta is None:
            raise StorageError(f"{self.table_uri(name)} holds no Delta table: run its asset first.")
        return delta

    def _create(self, table: Table) -> None:
        """Makes the table, or adds the columns that a newer release brings to an older table."""
        wanted = DeltaSchema.from_arrow(pl.DataFrame(schema=table.schema).to_arrow().schema)
        try:
            delta = self._open(table.name)
            if delta is None:
                DeltaTable.create(
                    self.table_uri(table.name),
                    wanted,
                    mode="ignore",
                    partition_by=["day"],
                    description=table.description,
                    configuration=TABLE_PROPERTIES,
                    storage_options=self.options(),
                )
            elif missing := _missing_fields(delta, wanted, self.table_uri(table.name)):
                delta.alter.add_columns(missing)
        except (DeltaError, OSError) as error:
            # Of two runs that create it at once, one finds it made.
            if not isinstance(error, CommitFailedError) or self._open(table.name) is None:
                raise self._explained(table.name, "created", error) from error

    def _append(self, name: str, frame: pl.DataFrame) -> None:
        frame.lazy().sink_delta(
            self.table_uri(name),
            mode="append",
            # A newer release may bring new columns.
            delta_write_options={"schema_mode": "merge"},
            storage_options=self.options(),
            credential_provider=None,
        )

    def _with_retries(self, name: str, commit: Callable[[], Result]) -> Result:
        """Commits again when a parallel run was faster; every attempt sees what that run did."""
        for attempt in range(1, COMMIT_ATTEMPTS):
            try:
                return self._explaining(name, commit)
            except CommitFailedError:
                logger.info("Table %s: another run committed first; committing again.", name)
                time.sleep(0.1 * attempt)
        try:
            return self._explaining(name, commit)
        except CommitFailedError as error:
            raise self._explained(name, "written", error) from error

    def _explaining(self, name: str, commit: Callable[[], Result]) -> Result:
        try:
            return commit()
        except CommitFailedError:
            raise
        except (DeltaError, OSError) as error:
            raise self._explained(name, "written", error) from error

    def _explained(self, name: str, action: str, error: Exception) -> StorageError:
        if self._location and action == "read":
            s3.probe_readable(self._location)
        elif self._location:
            s3.probe_writable(self._location)
        return StorageError(
            f"Table {name!r} at {self.table_uri(name)} could not be {action}: {error}. "
            "Nothing was changed; repair the cause and run the days again."
        )


def _completed(frame: pl.LazyFrame, schema: pl.Schema) -> pl.LazyFrame:
    """A table that an older release wrote lacks the columns that came since: they are null."""
    stored = frame.collect_schema()
    added = {name: pl.lit(None, t) for name, t in schema.items() if name not in stored}
    return frame.with_columns(**added).select(schema.names())


def _missing_fields(delta: DeltaTable, wanted: DeltaSchema, uri: str) -> list[Field]:
    found = {field.name: field.type for field in delta.schema().fields}
    for field in wanted.fields:
        if field.name in found and found[field.name] != field.type:
            raise SchemaMismatchError(
                f"{uri} is a table of other columns: {field.name!r} has type {found[field.name]}, "
                f"wanted {field.type}. Move it away, or set DBMINER_STORAGE_URI to another place."
            )
    return [field for field in wanted.fields if field.name not in found]


def _rows_by_day(delta: DeltaTable, window: Window) -> dict[date, int]:
    actions = pl.DataFrame(delta.get_add_actions(flatten=True))
    if actions.is_empty():
        return {}
    if "partition.day" not in actions.columns:
        raise SchemaMismatchError(
            f"{delta.table_uri} is not a table of dbminer: it is not partitioned by day. Move it "
            "away, or set DBMINER_STORAGE_URI to another place."
        )
    counts = (
        actions.select(day=pl.col("partition.day").cast(pl.Date), rows="num_records")
        .filter(window.holds())
        .group_by("day")
        .agg(pl.col("rows").sum())
    )
    return dict(counts.iter_rows())
