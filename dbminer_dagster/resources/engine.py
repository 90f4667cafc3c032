"""The engine of the heavy frame steps as a Dagster resource."""

from functools import cached_property

import dagster as dg

from dbminer_dagster.engines import Engine
from dbminer_dagster.engines.polars import PolarsEngine
from dbminer_dagster.settings import load_settings


class EngineResource(dg.ConfigurableResource):
    """Runs the heavy frame steps: Spark where it has an address, else Polars in this process.

    Dagster shows and stores the address, so the options after it, which may hold a token, are
    read from the environment.
    """

    spark_address: str | None = None

    @cached_property
    def engine(self) -> Engine:
        """The engine; Spark is reached when it is first used."""
        if self.spark_address is None:
            return PolarsEngine()
        # Polars alone needs nothing of Spark's client.
        from dbminer_dagster.engines.spark import SparkEngine

        remote = load_settings().spark_remote
        options = "".join(remote.get_secret_value().partition(";")[1:]) if remote else ""
        return SparkEngine(self.spark_address + options)
