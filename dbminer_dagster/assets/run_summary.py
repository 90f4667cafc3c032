"""What a run did to the days of a table, in a few lines on the page of its asset."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import dagster as dg

from dbminer_dagster.charts import as_markdown, small_bars
from dbminer_dagster.schemas import Table
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window

CHARTED_DAYS = 30


@dataclass(frozen=True, slots=True)
class RowsByDay:
    """The rows of the days of a table, as they are at a moment.

    Attributes:
        rows: Rows of each day that has some.
        mined: The days that have been mined, empty ones included.
    """

    rows: Mapping[date, int]
    mined: frozenset[date]

    @classmethod
    def of(cls, storage: DeltaStorage, table: Table, window: Window) -> "RowsByDay":
        """The days of a window."""
        return cls(storage.row_counts(table, window), storage.days_present(table, window))

    def on(self, day: date) -> int | None:
        """The rows of a day; None if it has not been mined."""
        return self.rows.get(day, 0) if day in self.mined else None


def summary_window(run: Window) -> Window:
    """The days that a summary tells of: those of the run, and those that its chart shows."""
    return Window(min(run.start, Window.trailing(run.last_day, CHARTED_DAYS).start), run.end)


def changed_rows(run: Window, before: RowsByDay, after: RowsByDay) -> dict[date, int]:
    """Rows of each mined day of the run, more or less than the day had before."""
    return {day: (after.on(day) or 0) - (before.on(day) or 0) for day in run if day in after.mined}


def run_summary(run: Window, before: RowsByDay, after: RowsByDay) -> dg.MarkdownMetadataValue:
    """The run in words, and the rows of the last days as a chart.

    Args:
        run: The days of the run.
        before: The days of `summary_window` before the run wrote.
        after: The same days after it.
    """
    charted = Window.trailing(run.last_day, CHARTED_DAYS)
    chart = small_bars([after.on(day) for day in charted])
    lines = [_written(run, before, after), _newest(run.last_day, after)]
    text = "  \n".join(lines)
    return dg.MetadataValue.md(f"{text}\n\n{as_markdown(chart, f'rows per day, {charted}')}")


def _written(run: Window, before: RowsByDay, after: RowsByDay) -> str:
    """Which days are new, which changed, and which are missing."""
    changes = changed_rows(run, before, after)
    again = [day for day in changes if day in before.mined]
    changed = [day for day in again if changes[day]]
    counts = {
        "new": len(changes) - len(again),
        "changed": len(changed),
        "as before": len(again) - len(changed),
        "not covered by the source": run.days - len(changes),
    }
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    difference = sum(changes.values())
    return f"**{run}**:  \n{told}; {difference:+,} rows."


def _newest(day: date, after: RowsByDay) -> str:
    """The last day beside the day before it."""
    rows, earlier = after.on(day), after.on(day - timedelta(days=1))
    if rows is None:
        return f"{day} has not been mined."
    if earlier is None:
        return f"{day}: {rows:,} rows; the day before has not been mined."
    share = f" ({(rows - earlier) / earlier:+.1%})" if earlier else ""
    return f"{day}: {rows:,} rows, {rows - earlier:+,}{share} to the day before."
