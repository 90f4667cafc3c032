"""Delta tables behind Dagster's IO managers: an asset is a table, a run replaces its days."""

import dagster as dg
import narwhals as nw
import polars as pl

from dbminer_dagster.assets.run_summary import (
    RowsByDay,
    changed_rows,
    run_summary,
    summary_window,
)
from dbminer_dagster.failures import user_errors
from dbminer_dagster.partitions import day_key, run_window
from dbminer_dagster.resources.engine import EngineResource
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import TABLES, Table
from dbminer_dagster.storage import DayFrame


class DeltaIOManager(dg.ConfigurableIOManager):
    """Writes a `DayFrame` as the days of the run; loads the days of the mapped window lazily."""

    storage: dg.ResourceDependency[StorageResource]
    engine: dg.ResourceDependency[EngineResource]

    def handle_output(self, context: dg.OutputContext, obj: DayFrame) -> None:
        """Replaces the days of the run in one commit."""
        table, run = _table(context.asset_key), run_window(context)
        with user_errors():
            before = RowsByDay.of(self.storage.tables, table, summary_window(run))
            commit = self.storage.tables.replace_days(table, run, obj)
            after = RowsByDay.of(self.storage.tables, table, summary_window(run))
        changes = changed_rows(run, before, after)
        context.add_output_metadata(
            {
                "run_summary": run_summary(run, before, after),
                "dagster/uri": commit.uri,
                "dagster/table_name": table.name,
                "run_delta_version": commit.version,
                "run_rows_written": sum(commit.rows_by_day.values()),
            }
        )
        for day, rows in commit.rows_by_day.items():
            context.step_context.add_asset_metadata(
                {"rows_changed": changes.get(day, 0), "dagster/partition_row_count": rows},
                context.asset_key,
                day_key(day),
            )

    def load_input(self, context: dg.InputContext) -> pl.LazyFrame | nw.LazyFrame:
        """The rows of the days that the input's partition mapping names.

        A parameter of type `nw.LazyFrame` gets a frame of the engine, any other one of Polars.
        """
        table, window = _table(context.asset_key), run_window(context)
        with user_errors():
            if context.dagster_type.typing_type is nw.LazyFrame:
                return self.engine.engine.scan(self.storage.tables, table, window)
            return self.storage.tables.scan(table, window)


def _table(key: dg.AssetKey) -> Table:
    return TABLES[key.path[-1]]
