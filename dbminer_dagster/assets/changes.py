"""What the newest day of a run has that the day before it had not, and the other way round."""

from datetime import date, timedelta

import dagster as dg
import polars as pl

from dbminer_dagster.assets.common import inline_code
from dbminer_dagster.charts import shortened
from dbminer_dagster.schemas import Table
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window

LISTED_NAMES = 5
NAME_CHARACTERS = 32


def day_before(storage: DeltaStorage, table: Table, day: date) -> pl.LazyFrame | None:
    """The stored rows of the day before this one; None if it has not been mined."""
    window = Window.of_day(day - timedelta(days=1))
    return storage.scan(table, window) if storage.days_present(table, window) else None


def changed_names(
    day: date, newest: pl.LazyFrame, before: pl.LazyFrame | None, *columns: str
) -> dg.MarkdownMetadataValue:
    """How many names came and went, with some of them.

    Args:
        day: The newest day.
        newest: Its rows.
        before: Those of the day before, see `day_before`.
        *columns: What names a row: one, or those of one end of an edge and of the other.
    """
    if before is None:
        return dg.MetadataValue.md(f"The day before {day} has not been mined.")
    lines = [
        _listed("new", newest, before, columns),
        _listed("gone", before, newest, columns),
    ]
    return dg.MetadataValue.md("\n".join(lines))


def _listed(word: str, rows: pl.LazyFrame, others: pl.LazyFrame, columns: tuple[str, ...]) -> str:
    """A line of the rows that the others lack."""
    found = (
        rows.select(columns)
        .join(others.select(columns), on=columns, how="anti", nulls_equal=True)
        .collect(engine="streaming")
    )
    first = found.sort(columns).head(LISTED_NAMES)
    names = [_name(row) for row in first.iter_rows()]
    if found.height > LISTED_NAMES:
        names.append(f"{found.height - LISTED_NAMES:,} more")
    return f"- **{found.height:,} {word}**{': ' if names else ''}{', '.join(names)}"


def _name(row: tuple[str | None, ...]) -> str:
    """A name, or an edge; so short that it shows in place."""
    size = max(len(row) // 2, 1)
    ends = [".".join(part or "" for part in row[at : at + size]) for at in range(0, len(row), size)]
    return " → ".join(inline_code(shortened(end, NAME_CHARACTERS)) for end in ends)
