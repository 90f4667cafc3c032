"""What a reading of offline objects comes to."""

from collections.abc import Mapping

import polars as pl

from dbminer_dagster.resources.extractor import Extraction
from dbminer_dagster.resources.offline.reading import Reading


def extraction(
    read: pl.LazyFrame,
    rows: pl.LazyFrame,
    reading: Reading,
    left_out: Mapping[str, int] | None = None,
) -> Extraction:
    """The rows of a raw table, and how they came about.

    Args:
        read: The rows of the window as they were read.
        rows: Those that remain, each combination once.
        reading: Has met them.
        left_out: What was left out while they were decoded, by reason.
    """
    rows_read, row_count = (
        frame.select(pl.len()).collect(engine="streaming").item() for frame in (read, rows)
    )
    return Extraction(
        frame=rows,
        row_count=row_count,
        covered=reading.covered,
        counts={
            **reading.counts,
            **(left_out or {}),
            "rows_of_these_days": rows_read,
            "rows_merged": rows_read - row_count,
        },
        notes=reading.notes(),
        missing=reading.missing,
    )
