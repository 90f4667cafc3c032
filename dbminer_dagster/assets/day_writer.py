"""Stores the days of a run a few at a time, so that a long run keeps what it has finished.

Every chunk of days is one commit. The log tells how far a run is, and the next attempt of a run
that failed goes on behind the days that are stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, Self

import dagster as dg

from dbminer_dagster.assets.common import of_run
from dbminer_dagster.assets.finished_days import finished_days, tell_finished
from dbminer_dagster.assets.run_summary import RowsByDay, run_summary, summary_window
from dbminer_dagster.partitions import day_key, run_window
from dbminer_dagster.schemas import Table
from dbminer_dagster.storage import Commit, DayFrame, DeltaStorage
from dbminer_dagster.windows import Window

CHUNK_DAYS = 10
"""So many days of a table are done again at most when a run fails."""
ROW_COUNT = "dagster/partition_row_count"
"""Dagster's name for the rows of a day; one that the source does not cover lacks it."""


@dataclass
class DayWriter:
    """The days of one table in one run.

    Attributes:
        context: Of the asset.
        storage: Takes the rows.
        table: The table.
        run: All days of the run.
        before: The days as this attempt found them.
        finished: Days that earlier attempts of this run stored, with what they say of themselves.
        figures: What the days of this attempt say of themselves.
        commits: Of this attempt.
    """

    context: dg.AssetExecutionContext
    storage: DeltaStorage
    table: Table
    run: Window
    before: RowsByDay
    finished: Mapping[date, Mapping[str, Any]]
    figures: dict[date, Mapping[str, Any]] = field(default_factory=dict)
    commits: list[Commit] = field(default_factory=list)

    @classmethod
    def of(cls, context: dg.AssetExecutionContext, storage: DeltaStorage, table: Table) -> Self:
        """The writer of a table in the run of an asset."""
        run = run_window(context)
        before = RowsByDay.of(storage, table, summary_window(run))
        finished = {
            day: told
            for day, told in finished_days(context, table.name, run).items()
            # Somebody may have deleted the table since.
            if ROW_COUNT not in told or day in before.mined
        }
        return cls(context, storage, table, run, before, finished)

    @cached_property
    def chunks(self) -> list[Window]:
        """The days that are left, in order; the last ones always are: the page is made of them."""
        chunks = list(self.run.chunks(CHUNK_DAYS))
        while len(chunks) > 1 and self.finished.keys() >= set(chunks[0]):
            chunks.pop(0)
        if chunks[0].start > self.run.start:
            done = Window(self.run.start, chunks[0].start)
            self.context.log.info(
                f"{self.table.name}: an earlier attempt of this run has stored {done}."
            )
        return chunks

    def within(self, window: Window) -> list[Window]:
        """The chunks of a window that begins and ends where chunks do."""
        return [days for days in self.chunks if days.start in window]

    def store(
        self, days: Window, rows: DayFrame, figures: Mapping[date, Mapping[str, Any]]
    ) -> None:
        """Replaces the days of a chunk, in one commit.

        Args:
            days: One of the chunks.
            rows: Their rows.
            figures: What each day says of itself.
        """
        commit = self.storage.replace_days(self.table, days, rows)
        self.commits.append(commit)
        self.figures |= figures
        if days.end == self.run.end:
            return  # Dagster materialises all days as the asset ends.
        told = {day: {**figures[day], **self._stored(day)} for day in days}
        tell_finished(self.context, self.table.name, told)
        self.context.log.info(
            f"{self.table.name}: stored {days}, {sum(commit.rows_by_day.values()):,} rows; "
            f"{Window(self.run.start, days.end).days} of {self.run.days} days are done."
        )

    def result(
        self, of_attempt: Mapping[str, Any], page: Mapping[str, Any] | None = None
    ) -> dg.MaterializeResult:
        """What the run says of the table, after the last chunk.

        Args:
            of_attempt: What holds for all days that were stored.
            page: What the last day shows beside its figures.
        """
        key = dg.AssetKey(self.table.name)
        for day, told in self._told_by_day().items():
            self.context.add_asset_metadata(told, key, day_key(day))
        if page:
            self.context.add_asset_metadata(page, key, day_key(self.run.last_day))
        after = RowsByDay.of(self.storage, self.table, summary_window(self.run))
        last = self.commits[-1]
        metadata = {
            "summary": run_summary(self.run, self.before, after),
            "delta_version": last.version,
            "rows_written": sum(sum(commit.rows_by_day.values()) for commit in self.commits),
            "days_of_earlier_attempts": self.run.days - len(self.figures),
            **of_attempt,
        }
        places = {"dagster/uri": last.uri, "dagster/table_name": self.table.name}
        return dg.MaterializeResult(asset_key=key, metadata=places | of_run(metadata))

    def _told_by_day(self) -> dict[date, dict[str, Any]]:
        """What each day of the run says of itself.

        A count that only some days have is 0 on the others: the page of a day would otherwise show
        what the run says under that name.
        """
        names = dict.fromkeys(name for told in self.figures.values() for name in told)
        return {
            day: {name: self.figures[day].get(name, 0) for name in names} | self._stored(day)
            if day in self.figures
            else dict(self.finished[day])
            for day in self.run
        }

    def _stored(self, day: date) -> dict[str, int]:
        """The rows of a day, if it was stored, and how many more they are than before."""
        for commit in self.commits:
            if day in commit.rows_by_day:
                rows = commit.rows_by_day[day]
                return {"rows_changed": rows - (self.before.on(day) or 0), ROW_COUNT: rows}
        return {}


def chunks_left(writers: Sequence[DayWriter]) -> list[Window]:
    """The chunks that at least one of the tables of a run is left with."""
    return max((writer.chunks for writer in writers), key=len)
