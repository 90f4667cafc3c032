"""The extractor of the offline method."""

from collections.abc import Collection
from datetime import date, datetime

import polars as pl
from dagster_aws.s3 import S3Resource

from dbminer_dagster.resources.extractor import Extraction, Extractor, Inventory
from dbminer_dagster.resources.offline import (
    LINEAGE_FOLDER,
    QUERY_HISTORY_FOLDER,
    TABLES_FOLDER,
    lineage,
    lineage_objects,
    listed_tables,
    query_history,
    rest_lineage,
)
from dbminer_dagster.resources.offline.extraction import extraction
from dbminer_dagster.resources.offline.files import Location, locate
from dbminer_dagster.resources.offline.lines import BadLines
from dbminer_dagster.resources.offline.reading import Reading
from dbminer_dagster.resources.query_history_rows import each_once
from dbminer_dagster.schemas import (
    KNOWN_TABLES,
    RAW_COLUMN_LINEAGE,
    RAW_QUERY_HISTORY,
    RAW_TABLE_LINEAGE,
    Table,
)
from dbminer_dagster.settings import ExtractionMethod
from dbminer_dagster.spool import Spool
from dbminer_dagster.windows import Window, split_by_rows

EVENTS_AT_ONCE = 2_000_000


class OfflineExtractor(Extractor):
    """Reads `extracted-lineage/result-N.json` and `extracted-query-history/result-N.json`.

    Every file is read once for a run, however many days the run has. Bad lines are reported;
    more than `max_bad_lines` of them fail the run.
    """

    reads_query_history_by_days = False
    reads_lineage_by_days = False

    uri: str | None = None
    max_bad_lines: int = 0
    s3_region: str | None = None
    s3_endpoint_url: str | None = None

    @property
    def method(self) -> ExtractionMethod:
        """Offline."""
        return ExtractionMethod.OFFLINE

    def query_history(self, window: Window, spool: Spool) -> Extraction:
        """See `Extractor.query_history`."""
        reading = Reading(BadLines(self.max_bad_lines))
        name, schema = RAW_QUERY_HISTORY.name, RAW_QUERY_HISTORY.schema
        for batch in reading.batches(
            self._location(),
            QUERY_HISTORY_FOLDER,
            query_history.decode,
            query_history.known_fields(),
        ):
            for frame in query_history.frames(batch, self.method):
                spool.write(f"{name}-read", reading.within(window, frame))
        read = spool.scan(f"{name}-read", schema)
        rows = each_once(read)
        return self._extraction(RAW_QUERY_HISTORY, window, read, rows, reading)

    def lineage(
        self, window: Window, spool: Spool, tables: Collection[Table]
    ) -> dict[str, Extraction]:
        """See `Extractor.lineage`."""
        reading = Reading(BadLines(self.max_bad_lines))
        rest = rest_lineage.RestEvents()
        for batch in reading.batches(
            self._location(),
            LINEAGE_FOLDER,
            lineage_objects.decode,
            lineage_objects.known_fields(),
        ):
            for table, events, known_until in _lineage_events(batch, rest, reading):
                inside = reading.within(window, events, known_until)
                if table in tables:
                    spool.write(f"{table.name}-read", inside)
        extractions = {}
        for table in tables:
            read = spool.scan(f"{table.name}-read", lineage.EVENT_SCHEMA)
            counted = dict(read.group_by("day").len().collect().iter_rows())
            # What makes a row is of one day, and the rows of all days may not fit into memory.
            for days in split_by_rows(window, counted, EVENTS_AT_ONCE):
                events = read.filter(days.holds())
                spool.write(table.name, lineage.raw_lineage(table, events, self.method))
            rows = spool.scan(table.name, table.schema)
            extractions[table.name] = self._extraction(
                table, window, read, rows, reading, rest.counts[table.name]
            )
        return extractions

    def inventory(self, read_at: datetime, spool: Spool) -> Inventory:
        """See `Extractor.inventory`; of several extractions the newest one counts."""
        if not self._location().holds(TABLES_FOLDER):
            return super().inventory(read_at, spool)
        reading = Reading(BadLines(self.max_bad_lines))
        for batch in reading.batches(
            self._location(), TABLES_FOLDER, listed_tables.decode, listed_tables.known_fields()
        ):
            spool.write("listed", listed_tables.rows(batch, read_at, self.method.value))
        listed = spool.scan("listed", listed_tables.ROW_SCHEMA)
        newest = listed.filter(pl.col("read_at") == pl.col("read_at").max())
        spool.write(
            KNOWN_TABLES.name, newest.unique("table_name", keep="first", maintain_order=True)
        )
        rows = spool.scan(KNOWN_TABLES.name, listed_tables.ROW_SCHEMA)
        row_count = rows.select(pl.len()).collect(engine="streaming").item()
        return Inventory(rows, row_count, notes=tuple(reading.notes().get("bad_lines", ())))

    def _extraction(
        self,
        table: Table,
        window: Window,
        read: pl.LazyFrame,
        rows: pl.LazyFrame,
        reading: Reading,
        left_out: dict[str, int] | None = None,
    ) -> Extraction:
        found = extraction(read, rows, reading, left_out)
        found.require_coverage(
            window,
            f"rows for {table.name} in {self.uri}",
            "Extract these days, or mine the days that are there.",
        )
        return found

    def _location(self) -> Location:
        resource = S3Resource(region_name=self.s3_region, endpoint_url=self.s3_endpoint_url)
        return locate(
            self.uri,
            region=self.s3_region,
            endpoint_url=self.s3_endpoint_url,
            client=resource.get_client,
        )


def _lineage_events(
    batch: list[lineage_objects.LineageObject], rest: rest_lineage.RestEvents, reading: Reading
) -> list[tuple[Table, pl.LazyFrame, date | None]]:
    """The events of each table, and until when a snapshot knows them."""
    system_rows, known_until = [], None
    for item in batch:
        if isinstance(item, rest_lineage.Answers):
            rest.add(item)
            # A snapshot without a recent edge still knows all days before its own.
            reading.cover(None, item.known_until)
            known_until = max(filter(None, (known_until, item.known_until)), default=None)
        else:
            system_rows.append(item)
    rows = [(table, events, None) for table, events in lineage.events(system_rows)]
    answers = [
        (table, rest.frames(table), known_until)
        for table in (RAW_TABLE_LINEAGE, RAW_COLUMN_LINEAGE)
    ]
    return [*rows, *answers]
