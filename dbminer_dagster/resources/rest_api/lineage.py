"""Lineage over REST to raw lineage: the lines of offline files, decoded as those are."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import msgspec

from dbminer_dagster.databricks.rest_calls import RestCalls
from dbminer_dagster.errors import WorkspaceError
from dbminer_dagster.resources.extractor import Extraction
from dbminer_dagster.resources.offline import lineage, rest_lineage
from dbminer_dagster.resources.offline.decoding import UNDECODABLE
from dbminer_dagster.resources.offline.extraction import extraction
from dbminer_dagster.resources.offline.lines import BadLines
from dbminer_dagster.resources.offline.reading import BATCH_BYTES, Reading
from dbminer_dagster.rest_api.lineage import LineageAnswers, Rates, read_lineage
from dbminer_dagster.rest_api.progress import ProgressLines
from dbminer_dagster.schemas import RAW_COLUMN_LINEAGE, RAW_TABLE_LINEAGE, Table
from dbminer_dagster.settings import ExtractionMethod
from dbminer_dagster.spool import Spool
from dbminer_dagster.windows import Window

NOTE = (
    "A snapshot of {time} UTC: each edge counts on the day on which it was last seen, once. Edges "
    "of older days that were seen again later are not among them."
)
REMEDY = (
    "Grant the principal BROWSE on the catalogs, look whether anything ran in them, or mine the "
    "days that are there."
)


class _Named(msgspec.Struct):
    table_name: str


def read_lineage_over_rest(
    calls: RestCalls,
    window: Window,
    spool: Spool,
    tables: Collection[Table],
    *,
    work_folder: Path,
    excluded_catalogs: Sequence[str],
    tables_per_second: float,
    columns_per_second: float,
) -> dict[str, Extraction]:
    """The edges of the window in a snapshot of now, as rows of the wanted raw lineage tables.

    Args:
        calls: To the workspace.
        window: The days.
        spool: Takes the rows.
        tables: The wanted tables; columns are asked only if column lineage is among them.
        work_folder: Keeps what was answered until all of it is in the spool.
        excluded_catalogs: Globs; what lies in them is not asked.
        tables_per_second: Table-lineage requests that are sent at most.
        columns_per_second: The same for column lineage.

    Raises:
        SourceError: A call failed for good, or the snapshot knows none of the days.
    """
    today = Window.of_day(datetime.now(UTC).date()).start_time
    with read_lineage(
        calls,
        work_folder,
        excluded_catalogs=excluded_catalogs,
        with_columns=RAW_COLUMN_LINEAGE in tables,
        progress=ProgressLines(dg.get_dagster_logger().info),
        rates=Rates(tables_per_second, columns_per_second),
        # A snapshot that was begun before a day was over does not know all of its edges.
        begun_since=min(window.end_time, today),
    ) as answers:
        reading, left_out = _spool(answers, window, spool, tables)
        found = {
            table.name: _extraction(table, answers, reading, spool, left_out[table.name])
            for table in tables
        }
    answers.discard()  # first: who makes good what is missing asks all of it again
    for name, each in found.items():
        each.require_coverage(window, f"{name} over the REST API", REMEDY)
    return found


def _spool(
    answers: LineageAnswers, window: Window, spool: Spool, tables: Collection[Table]
) -> tuple[Reading, Mapping[str, Mapping[str, int]]]:
    """Puts the events of the window into the spool; what else there was, and what was left out."""
    reading, events = Reading(BadLines(0)), rest_lineage.RestEvents()

    def flush() -> None:
        for table in (RAW_TABLE_LINEAGE, RAW_COLUMN_LINEAGE):
            inside = reading.within(window, events.frames(table), known_until)
            if table in tables:
                spool.write(f"{table.name}-read", inside)

    size, known_until = 0, None
    for line in answers.lines():
        found = _decoded(line)
        events.add(found)
        # A snapshot without a recent edge still knows all days before its own.
        known_until = found.known_until
        reading.cover(None, known_until)
        reading.counts["objects_read"] += 1
        size += len(line)
        if size >= BATCH_BYTES:
            flush()
            size = 0
    flush()
    return reading, events.counts


def _decoded(line: bytes) -> rest_lineage.Answers:
    try:
        return rest_lineage.DECODER.decode(line)
    except UNDECODABLE as error:
        table_name = msgspec.json.decode(line, type=_Named).table_name
        raise WorkspaceError(
            f"What the workspace says of the lineage of {table_name} cannot be understood: "
            f"{error}.",
            "Read it with `dbminer extract`, and mine the files with "
            "DBMINER_LINEAGE_METHOD=offline and DBMINER_OFFLINE_MAX_BAD_LINES=1.",
        ) from error


def _extraction(
    table: Table,
    answers: LineageAnswers,
    reading: Reading,
    spool: Spool,
    left_out: Mapping[str, int],
) -> Extraction:
    read = spool.scan(f"{table.name}-read", lineage.EVENT_SCHEMA)
    spool.write(table.name, lineage.raw_lineage(table, read, ExtractionMethod.REST_API))
    found = extraction(read, spool.scan(table.name, table.schema), reading, left_out)
    time = f"{answers.extracted_at:%Y-%m-%d %H:%M:%S}"
    failed = {"failed": list(answers.failed)} if answers.failed else {}
    asked = {"requests": answers.requests, "requests_refused": answers.refused}
    return replace(
        found,
        counts={**answers.counts, **asked, **found.counts},
        notes={**found.notes, **failed, "snapshot": [NOTE.format(time=time)]},
    )
