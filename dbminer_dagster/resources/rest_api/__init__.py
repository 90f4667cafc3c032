"""The REST extraction method: the lineage calls and the Query History API."""

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

import dagster as dg

from dbminer_dagster.resources.databricks import DatabricksResource
from dbminer_dagster.resources.extractor import Extraction, Extractor, Inventory
from dbminer_dagster.schemas import Table
from dbminer_dagster.settings import ExtractionMethod, Settings
from dbminer_dagster.spool import Spool
from dbminer_dagster.windows import Window

if TYPE_CHECKING:
    from dbminer_dagster.databricks.rest_calls import RestCalls


class RestApiExtractor(Extractor):
    """Asks for the lineage of each table and column, and reads query history page by page.

    What was answered is kept in the work folder until all of it has been read, so that a run that
    was cut off is gone on with.
    """

    reads_query_history_by_days = True
    reads_lineage_by_days = False

    databricks: dg.ResourceDependency[DatabricksResource]
    work_folder: str
    tables_per_second: float
    columns_per_second: float
    max_requests: int | None
    excluded_catalogs: list[str]

    @classmethod
    def of(cls, settings: Settings, databricks: DatabricksResource) -> Self:
        """The extractor that the settings ask for."""
        return cls(
            databricks=databricks,
            work_folder=settings.work_folder,
            tables_per_second=settings.rest_tables_per_second,
            columns_per_second=settings.rest_columns_per_second,
            max_requests=settings.rest_max_requests,
            excluded_catalogs=list(settings.excluded_catalogs),
        )

    @property
    def method(self) -> ExtractionMethod:
        """REST API."""
        return ExtractionMethod.REST_API

    def query_history(self, window: Window, spool: Spool) -> Extraction:
        """See `Extractor.query_history`."""
        from dbminer_dagster.resources.rest_api.query_history import read_query_history

        folder = Path(self.work_folder)
        return read_query_history(self._calls(), window, spool, folder, datetime.now(UTC))

    def lineage(
        self, window: Window, spool: Spool, tables: Collection[Table]
    ) -> dict[str, Extraction]:
        """See `Extractor.lineage`."""
        from dbminer_dagster.resources.rest_api.lineage import read_lineage_over_rest

        return read_lineage_over_rest(
            self._calls(),
            window,
            spool,
            tables,
            work_folder=Path(self.work_folder),
            excluded_catalogs=self.excluded_catalogs,
            tables_per_second=self.tables_per_second,
            columns_per_second=self.columns_per_second,
        )

    def inventory(self, read_at: datetime, spool: Spool) -> Inventory:
        """See `Extractor.inventory`."""
        from dbminer_dagster.resources.rest_api.inventory import read_inventory_over_rest

        return read_inventory_over_rest(self._calls(), self.excluded_catalogs, read_at, spool)

    def _calls(self) -> "RestCalls":
        # Databricks' clients take seconds to import, and definitions must load without.
        from dbminer_dagster.databricks.rest_calls import RestCalls

        return RestCalls(self.databricks.connection, self.max_requests)
