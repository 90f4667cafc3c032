"""What lies outside: the lineage and the query history of the workspace."""

import dagster as dg

from dbminer_dagster.assets.common import OWNERS

LINEAGE_SOURCE = dg.AssetSpec(
    "databricks_lineage",
    description="Lineage as Unity Catalog recorded it; read by `DBMINER_LINEAGE_METHOD`.",
    group_name="sources",
    kinds={"databricks"},
    owners=OWNERS,
)
QUERY_HISTORY_SOURCE = dg.AssetSpec(
    "databricks_query_history",
    description="Statements that people and tools ran; read by `DBMINER_QUERY_HISTORY_METHOD`.",
    group_name="sources",
    kinds={"databricks"},
    owners=OWNERS,
)
