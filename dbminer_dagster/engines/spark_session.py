"""Connects to Spark, or says what is in the way."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from dbminer_dagster.errors import EngineError

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession

FIRST_CALL_RETRIES = 3
"""Spark by itself would try for ten minutes to reach an address that is wrong."""
SHOWN_CHARACTERS = 300
CLIENTS = "pip install 'dbminer[spark]', or on Databricks pip install databricks-connect"


def shown(remote: str) -> str:
    """The address without its options, which may hold a token."""
    return remote.partition(";")[0].rstrip("/")


@cache
def connected(remote: str) -> "SparkSession":
    """The session of this address; there is one in a process.

    Args:
        remote: Spark Connect address, with its options.

    Raises:
        EngineError: There is no client, or no server answers.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql.connect.client.retries import DefaultPolicy
        from pyspark.sql.connect.session import SparkSession
    except ImportError as error:
        raise EngineError(
            f"DBMINER_ENGINE=spark needs Spark's client, which is not installed ({error}): "
            f"{CLIENTS}, and run again."
        ) from error
    try:
        session = SparkSession.builder.remote(remote).create()
        session.client.set_retry_policies([DefaultPolicy(max_retries=FIRST_CALL_RETRIES)])
        # Days are UTC on every engine.
        session.conf.set("spark.sql.session.timeZone", "UTC")
        session.client.set_retry_policies([DefaultPolicy()])
    except (PySparkException, OSError) as error:
        raise EngineError(
            f"Spark at DBMINER_SPARK_REMOTE={shown(remote)} does not answer "
            f"({type(error).__name__}): check the address and its token, and that the Spark "
            "Connect server runs and can be reached from here."
        ) from None
    return session


@contextmanager
def spark_errors(remote: str) -> Iterator[None]:
    """Shows what Spark says about a step that failed.

    Raises:
        EngineError: A step failed.
    """
    from pyspark.errors import PySparkException

    try:
        yield
    except PySparkException as error:
        # Between them stands a trace of Spark's or of a worker.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        said = " ".join(
            dict.fromkeys(line.strip()[:SHOWN_CHARACTERS] for line in (lines[0], lines[-1]))
        )
        raise EngineError(
            f"Spark at {shown(remote)} could not run a step: {said} Nothing of this table was "
            "changed; repair the cause, of which Spark's log tells more, and run the days again."
        ) from error
