"""Statements over the Query History API to rows of `raw_query_history`."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from itertools import islice
from pathlib import Path

import dagster as dg
import msgspec
import polars as pl

from dbminer_dagster.databricks.rest_calls import RestCalls
from dbminer_dagster.errors import CutOffError, WorkspaceError
from dbminer_dagster.resources.extractor import Extraction
from dbminer_dagster.resources.offline.decoding import UNDECODABLE
from dbminer_dagster.resources.offline.query_history import (
    ApiRow,
    SystemRow,
    decode,
    frames,
    known_fields,
)
from dbminer_dagster.resources.offline.reading import BATCH_BYTES, BATCH_ROWS, FIELDS_SEEN_IN
from dbminer_dagster.rest_api.progress import ProgressLines
from dbminer_dagster.rest_api.query_history import DayStatements, covered_days, read_day
from dbminer_dagster.schemas import RAW_QUERY_HISTORY
from dbminer_dagster.settings import ExtractionMethod
from dbminer_dagster.spool import Spool
from dbminer_dagster.windows import Window

_NAME = RAW_QUERY_HISTORY.name


class _Named(msgspec.Struct):
    query_id: str


def read_query_history(
    calls: RestCalls, window: Window, spool: Spool, work_folder: Path, now: datetime
) -> Extraction:
    """The statements that started in the window, as rows of `raw_query_history`.

    Args:
        calls: On the workspace.
        window: The days; those that the API does not know are absent.
        spool: Takes the rows.
        work_folder: Keeps what was answered until all of it is in the spool.
        now: The present time, in UTC.

    Raises:
        SourceError: A call failed for good, or the API knows none of the days.
    """
    covered = covered_days(now)
    absent = Extraction(pl.LazyFrame(), 0, covered).require_coverage(
        window,
        "query history over the REST API",
        "Databricks keeps 30 days of it there. Read older days with "
        "DBMINER_QUERY_HISTORY_METHOD=system_table, or from offline files.",
    )
    progress = ProgressLines(dg.get_dagster_logger().info)
    counts, unknown_fields, read = Counter[str](), set[str](), list[DayStatements]()
    for day in sorted(frozenset(window) - absent):
        with read_day(calls, work_folder, day, progress, now=now) as statements:
            unknown_fields |= _unknown_fields(statements)
            counts["rows_of_other_days"] += _spool(statements, day, spool)
        counts.update(_counts(statements))
        read.append(statements)
    rows = spool.scan(_NAME, RAW_QUERY_HISTORY.schema)
    row_count = rows.select(pl.len()).collect(engine="streaming").item()
    _require_all(row_count + counts["rows_of_other_days"], counts["rows_of_these_days"])
    for statements in read:
        statements.discard()
    return Extraction(rows, row_count, covered, dict(counts), _notes(unknown_fields, counts))


def _spool(statements: DayStatements, day: date, spool: Spool) -> int:
    """Puts the rows of the day into the spool; how many belong to others."""
    holds, of_others = Window.of_day(day).holds(), 0
    for batch in _batches(statements.lines()):
        for frame in frames(list(map(_decoded, batch)), ExtractionMethod.REST_API):
            rows = frame.collect()
            inside = rows.filter(holds)
            of_others += rows.height - inside.height
            spool.write(_NAME, inside)
    return of_others


def _batches(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch, size = list[bytes](), 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _decoded(line: bytes) -> ApiRow | SystemRow:
    try:
        return decode(line)
    except UNDECODABLE as error:
        statement_id = msgspec.json.decode(line, type=_Named).query_id
        raise WorkspaceError(
            f"What the workspace says of statement {statement_id} cannot be understood: {error}.",
            "Read its day with `dbminer extract`, and mine the files with "
            "DBMINER_QUERY_HISTORY_METHOD=offline and DBMINER_OFFLINE_MAX_BAD_LINES=1.",
        ) from error


def _unknown_fields(statements: DayStatements) -> set[str]:
    fields = dict[str, object]()
    for line in islice(statements.lines(), FIELDS_SEEN_IN):
        fields.update(msgspec.json.decode(line))
    return set(fields) - known_fields()


def _counts(statements: DayStatements) -> dict[str, int]:
    return {
        "objects_read": statements.rows_answered,
        "rows_of_these_days": statements.row_count,
        "rows_merged": statements.rows_answered - statements.row_count,
        "rows_not_final": statements.not_final,
        "requests": statements.requests,
        "requests_refused": statements.refused,
    }


def _notes(unknown_fields: set[str], counts: Mapping[str, int]) -> dict[str, list[str]]:
    notes = {"unknown_fields": sorted(unknown_fields)}
    if not_final := counts["rows_not_final"]:
        notes["not_final"] = [
            f"{not_final:,} statements still ran when they were read, so that their status and "
            "measures may be out of date. Mine their days again."
        ]
    return {name: listed for name, listed in notes.items() if listed}


def _require_all(spooled: int, read: int) -> None:
    if spooled != read:
        raise CutOffError(
            f"{read:,} statements were read over the REST API, but {spooled:,} of them became "
            "rows. Run again; report it when it happens twice."
        )
