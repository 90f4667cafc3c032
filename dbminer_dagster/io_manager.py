"""Delta tables behind Dagster's IO managers: an asset is a table, an input some of its days."""

from typing import NoReturn

import dagster as dg
import narwhals as nw
import polars as pl

from dbminer_dagster.failures import user_errors
from dbminer_dagster.partitions import run_window
from dbminer_dagster.resources.engine import EngineResource
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import TABLES


class DeltaIOManager(dg.ConfigurableIOManager):
    """Loads the days of the mapped window lazily; assets store theirs with a `DayWriter`."""

    storage: dg.ResourceDependency[StorageResource]
    engine: dg.ResourceDependency[EngineResource]

    def handle_output(self, context: dg.OutputContext, obj: object) -> NoReturn:
        """Refuses: an asset stores chunks of days while it runs, and hands over no value."""
        raise TypeError(
            f"{context.asset_key.to_user_string()} gave a {type(obj).__name__}: let it store its "
            "days with a DayWriter, and return the writer's result."
        )

    def load_input(self, context: dg.InputContext) -> pl.LazyFrame | nw.LazyFrame:
        """The rows of the days that the input's partition mapping names.

        A parameter of type `nw.LazyFrame` gets a frame of the engine, any other one of Polars.
        """
        table, window = TABLES[context.asset_key.path[-1]], run_window(context)
        with user_errors():
            if context.dagster_type.typing_type is nw.LazyFrame:
                return self.engine.engine.scan(self.storage.tables, table, window)
            return self.storage.tables.scan(table, window)
