"""What every extraction method does to lineage events before they are rows of raw lineage."""

from dbminer_dagster.schemas import Table

END = "source", "target"

ENTITY_KEYS = {
    "NOTEBOOK": "notebook_id",
    "JOB": "job_info.job_id",
    "PIPELINE": "dlt_pipeline_info.dlt_pipeline_id",
    "DASHBOARD_V3": "dashboard_id",
    "DBSQL_DASHBOARD": "legacy_dashboard_id",
    "DBSQL_QUERY": "sql_query_id",
    "GENIE_SPACE": "genie_space_id",
    "ALERT": "alert_id",
}
"""Where `entity_metadata` names an entity of each type; the first that it names counts."""

NAMES_OF_AN_EVENT = "record_id", "statement_id", "created_by"
"""An event that has none of these may be told twice, by either of its ends."""

TOLD_OF_THE_OTHER_END = tuple(f"{end}_{part}" for end in END for part in ("type", "path"))
"""Columns that such a telling gives for one end only."""

_COUNTED = {"event_count", "first_event_time", "last_event_time", "extraction_method"}


def combination(table: Table) -> list[str]:
    """The columns of a raw lineage table that tell its rows apart."""
    return [name for name in table.schema.names() if name not in _COUNTED]
