"""Delta tables behind Dagster's IO managers: an asset is a table, a run replaces its days."""

import dagster as dg
import polars as pl

from dbminer_dagster.partitions import run_window
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import TABLES, Table
from dbminer_dagster.storage import DayFrame


class DeltaIOManager(dg.ConfigurableIOManager):
    """Writes a `DayFrame` as the days of the run; loads the days of the mapped window lazily."""

    storage: dg.ResourceDependency[StorageResource]

    def handle_output(self, context: dg.OutputContext, obj: DayFrame) -> None:
        """Replaces the days of the run in one commit."""
        table = _table(context.asset_key)
        commit = self.storage.tables.replace_days(table, run_window(context), obj)
        context.add_output_metadata(
            {
                "dagster/row_count": sum(commit.rows_by_day.values()),
                "dagster/uri": commit.uri,
                "dagster/table_name": table.name,
                "delta_version": commit.version,
            }
        )

    def load_input(self, context: dg.InputContext) -> pl.LazyFrame:
        """The rows of the days that the input's partition mapping names."""
        return self.storage.tables.scan(_table(context.asset_key), run_window(context))


def _table(key: dg.AssetKey) -> Table:
    return TABLES[key.path[-1]]
