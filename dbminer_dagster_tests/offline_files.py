"""Writes offline files for tests, and reads them as the miner does."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from dbminer_dagster.resources.extractor import Extraction, Extractor
from dbminer_dagster.resources.offline import LINEAGE_FOLDER, QUERY_HISTORY_FOLDER
from dbminer_dagster.resources.offline.extractor import OfflineExtractor
from dbminer_dagster.schemas import RAW_COLUMN_LINEAGE, RAW_TABLE_LINEAGE, Table
from dbminer_dagster.spool import open_spool
from dbminer_dagster.windows import Window

Row = dict[str, Any]
DAY = date(2026, 1, 5)
NOON = "2026-01-05T12:00:00Z"
LINEAGE_TABLES = (RAW_TABLE_LINEAGE, RAW_COLUMN_LINEAGE)


def epoch_ms(text: str) -> int:
    """A time in ISO form as the Query History API gives it."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def api_row(statement_id: str = "s-1", **changes: object) -> Row:
    """A row of the Query History API."""
    return {
        "query_id": statement_id,
        "query_start_time_ms": epoch_ms("2026-01-05T12:00:00"),
        "status": "FINISHED",
        "query_text": "select 1",
        "workspace_id": 17,
        **changes,
    }


def system_row(statement_id: str = "s-1", **changes: object) -> Row:
    """A row of `system.query.history`."""
    return {
        "statement_id": statement_id,
        "start_time": NOON,
        "execution_status": "FINISHED",
        "statement_text": "select 1",
        "workspace_id": "17",
        **changes,
    }


def lineage_row(**changes: object) -> Row:
    """A row of `system.access.table_lineage`."""
    return {
        "workspace_id": "17",
        "event_time": NOON,
        "source_table_full_name": "main.a.s",
        "target_table_full_name": "main.a.t",
        "record_id": "r-1",
        **changes,
    }


def column_row(**changes: object) -> Row:
    """A row of `system.access.column_lineage`."""
    return {**lineage_row(), "source_column_name": "x", "target_column_name": "y", **changes}


def ndjson(*rows: object) -> bytes:
    """One JSON value a line."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def write_parts(root: Path, folder: str, *parts: bytes, compress: bool = False) -> None:
    """Writes the parts of a folder, numbered from 0."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(parts):
        name = f"result-{number}.json" + (".gz" if compress else "")
        (root / folder / name).write_bytes(gzip.compress(content) if compress else content)


def write_history(root: Path, *parts: bytes, compress: bool = False) -> None:
    """Writes the parts of the query history."""
    write_parts(root, QUERY_HISTORY_FOLDER, *parts, compress=compress)


def write_lineage(root: Path, *parts: bytes, compress: bool = False) -> None:
    """Writes the parts of the lineage."""
    write_parts(root, LINEAGE_FOLDER, *parts, compress=compress)


@dataclass(frozen=True, slots=True)
class Read:
    """What an extractor gave, with its rows in memory."""

    rows: pl.DataFrame
    extraction: Extraction

    def column(self, name: str) -> list[Any]:
        """The values of a column, in the order of the rows' ids or names."""
        return self.rows[name].to_list()


def history_of(extractor: Extractor, window: Window) -> Read:
    """The statements of the window, by id."""
    with open_spool() as spool:
        extraction = extractor.query_history(window, spool)
        return Read(extraction.frame.collect().sort("workspace_id", "statement_id"), extraction)


def lineage_of(
    extractor: Extractor, window: Window, tables: Sequence[Table] = LINEAGE_TABLES
) -> dict[str, Read]:
    """The lineage of the window, in a fixed order, by table."""
    with open_spool() as spool:
        extractions = extractor.lineage(window, spool, tables)
        return {
            name: Read(found.frame.collect().sort(pl.all()), found)
            for name, found in extractions.items()
        }


def read_history(root: Path, window: Window | None = None, max_bad_lines: int = 0) -> Read:
    """The statements that offline files hold; of one day if not told otherwise."""
    extractor = OfflineExtractor(uri=str(root), max_bad_lines=max_bad_lines)
    return history_of(extractor, window or Window.of_day(DAY))


def read_lineage(root: Path, window: Window | None = None) -> dict[str, Read]:
    """The lineage that offline files hold; of one day if not told otherwise."""
    return lineage_of(OfflineExtractor(uri=str(root)), window or Window.of_day(DAY))
