"""What lies outside: the lineage and the query history of the workspace."""

import dagster as dg

from dbminer_dagster.preflight.model import Source
from dbminer_dagster.settings import ExtractionMethod

LINEAGE_SOURCE = dg.AssetSpec(
    "databricks_lineage",
    description="Lineage as Unity Catalog recorded it; read by `DBMINER_LINEAGE_METHOD`.",
    group_name="sources",
    kinds={"databricks"},
)
QUERY_HISTORY_SOURCE = dg.AssetSpec(
    "databricks_query_history",
    description="Statements that people and tools ran; read by `DBMINER_QUERY_HISTORY_METHOD`.",
    group_name="sources",
    kinds={"databricks"},
)
SOURCE_ASSETS = {Source.LINEAGE: LINEAGE_SOURCE, Source.QUERY_HISTORY: QUERY_HISTORY_SOURCE}
POOLS = {
    ExtractionMethod.SYSTEM_TABLE: "databricks_warehouse",
    ExtractionMethod.REST_API: "databricks_rest_api",
}
"""The pool of the steps that read by a method; its limit is set in `dagster.yaml`.

A step runs one statement at a time on the SQL warehouse, or sends up to 20 requests at once.
"""


def preflight_step(source: Source) -> str:
    """The name of the step that runs the checks of a source."""
    return f"preflight_{source.value}"
