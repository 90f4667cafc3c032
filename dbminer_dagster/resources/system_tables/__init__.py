"""The system-table extraction method: statements on a SQL warehouse."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Self

import dagster as dg
import polars as pl

from dbminer_dagster.errors import SettingsError
from dbminer_dagster.resources.databricks import DatabricksResource
from dbminer_dagster.resources.extractor import Costs, Extraction, Extractor, Inventory
from dbminer_dagster.resources.query_history_rows import each_once
from dbminer_dagster.resources.system_tables.billing import read_costs
from dbminer_dagster.resources.system_tables.inventory import read_inventory
from dbminer_dagster.resources.system_tables.lineage import lineage_source
from dbminer_dagster.resources.system_tables.query_history import query_history_source
from dbminer_dagster.resources.system_tables.reading import SourceRead, SourceReader
from dbminer_dagster.resources.system_tables.source import Source
from dbminer_dagster.schemas import RAW_QUERY_HISTORY, Table
from dbminer_dagster.settings import ExtractionMethod, Settings
from dbminer_dagster.spool import Spool
from dbminer_dagster.windows import Window


class SystemTableExtractor(Extractor):
    """Reads the lineage and query-history system tables, or views that clone them.

    Lineage is grouped in the warehouse, so that only distinct rows travel. Every source is counted
    by day before it is read, and what was read is compared with that.
    """

    reads_query_history_by_days = True
    reads_lineage_by_days = True

    databricks: dg.ResourceDependency[DatabricksResource]
    lineage_catalog: str
    lineage_schema: str
    query_history_catalog: str
    query_history_schema: str
    excluded_catalogs: list[str]

    @classmethod
    def of(cls, settings: Settings, databricks: DatabricksResource) -> Self:
        """The extractor that the settings ask for."""
        return cls(
            databricks=databricks,
            lineage_catalog=settings.lineage_catalog,
            lineage_schema=settings.lineage_schema,
            query_history_catalog=settings.query_history_catalog,
            query_history_schema=settings.query_history_schema,
            excluded_catalogs=list(settings.excluded_catalogs),
        )

    @property
    def method(self) -> ExtractionMethod:
        """System tables."""
        return ExtractionMethod.SYSTEM_TABLE

    def query_history(self, window: Window, spool: Spool) -> Extraction:
        """See `Extractor.query_history`."""
        reader = self._reader(query_history_source(self, self.method), spool)
        read = reader.read(window)
        rows = each_once(spool.scan(RAW_QUERY_HISTORY.name, RAW_QUERY_HISTORY.schema))
        covered = _covered(window, [reader], [read])
        return _extraction(reader.source, window, read, rows, covered)

    def lineage(
        self, window: Window, spool: Spool, tables: Collection[Table]
    ) -> dict[str, Extraction]:
        """See `Extractor.lineage`."""
        sources = [lineage_source(table, self, self.method) for table in tables]
        readers = [self._reader(source, spool) for source in sources]
        reads = [reader.read(window) for reader in readers]
        # By all of them, for a day may have events of tables and none of columns.
        covered = _covered(window, readers, reads)
        return {
            source.raw.name: _extraction(
                source, window, read, spool.scan(source.raw.name, source.raw.schema), covered
            )
            for source, read in zip(sources, reads, strict=True)
        }

    def inventory(self, read_at: datetime, spool: Spool) -> Inventory:
        """See `Extractor.inventory`."""
        return read_inventory(
            self.databricks.connection, self._warehouse_id, self.excluded_catalogs, read_at, spool
        )

    def costs(self, window: Window, spool: Spool) -> Costs:
        """See `Extractor.costs`."""
        return read_costs(self, self.databricks.connection, self._warehouse_id, window, spool)

    def _reader(self, source: Source, spool: Spool) -> SourceReader:
        return SourceReader(self.databricks.connection, self._warehouse_id, source, spool)

    @property
    def _warehouse_id(self) -> str:
        if self.databricks.warehouse_id is None:
            raise SettingsError(
                "System tables are read through a SQL warehouse: set DBMINER_WAREHOUSE_ID to its "
                "id, the last part of its HTTP path."
            )
        return self.databricks.warehouse_id


def _covered(
    window: Window, readers: Sequence[SourceReader], reads: Sequence[SourceRead]
) -> tuple[date, date] | None:
    """First and last day that the sources cover: of the window, or of all where it has none."""
    days = [day for day in window if any(read.counted[day] for read in reads)]

    def reaches(edge: date, *, before: bool) -> bool:
        # An empty day may lie within what a source holds, or beyond.
        return edge in days or any(reader.has_rows(window, before=before) for reader in readers)

    from_start = reaches(window.start, before=True)
    to_end = reaches(window.last_day, before=False)
    if days or (from_start and to_end):
        first = window.start if from_start else days[0]
        return first, window.last_day if to_end else days[-1]
    # Dear, but the run fails anyway, and its error tells them.
    bounds = [bound for reader in readers for bound in reader.bounds() or ()]
    return (min(bounds), max(bounds)) if bounds else None


def _extraction(
    source: Source,
    window: Window,
    read: SourceRead,
    rows: pl.LazyFrame,
    covered: tuple[date, date] | None,
) -> Extraction:
    row_count = rows.select(pl.len()).collect(engine="streaming").item()
    name = source.table.full_name
    missing = [f"{name} has no `{column}`" for column in read.lacking]
    extraction = Extraction(
        frame=rows,
        row_count=row_count,
        covered=covered,
        counts={
            "source_rows": read.counted.total(),
            "rows_read": read.rows_read,
            "rows_merged": read.rows_read - row_count,
        },
        notes={"missing_columns": missing} if missing else {},
    )
    extraction.require_coverage(
        window,
        f"rows in {name}",
        "System tables keep 365 days: mine days that it has, and older ones from offline files "
        "that were extracted in time.",
    )
    return extraction
