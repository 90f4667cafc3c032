"""The system tables, with the columns and types that `DESCRIBE` shows for the real ones."""

_JOB_RUN = "struct<job_id:string,job_run_id:string>"
_ENTITY_METADATA = (
    f"struct<job_info:{_JOB_RUN},dashboard_id:string,legacy_dashboard_id:string,"
    "notebook_id:string,sql_query_id:string,"
    "dlt_pipeline_info:struct<dlt_pipeline_id:string,dlt_update_id:string>,"
    "genie_space_id:string,alert_id:string>"
)
_QUERY_SOURCE = (
    "struct<job_info:struct<job_id:string,job_run_id:string,job_task_run_id:string>,"
    "legacy_dashboard_id:string,dashboard_id:string,alert_id:string,notebook_id:string,"
    "sql_query_id:string,genie_space_id:string,"
    "pipeline_info:struct<pipeline_id:string,update_id:string>>"
)


def _columns(*groups: tuple[str, str]) -> dict[str, str]:
    """Column names to types, from pairs of a type and the names that have it."""
    return {name: sql_type for sql_type, names in groups for name in names.split()}


def _struct(names: str) -> str:
    """A struct of strings."""
    return f"struct<{','.join(f'{name}:string' for name in names.split())}>"


TABLE_LINEAGE = _columns(
    (
        "string",
        "account_id metastore_id workspace_id entity_type entity_id entity_run_id "
        "source_table_full_name source_table_catalog source_table_schema source_table_name "
        "source_path source_type target_table_full_name target_table_catalog "
        "target_table_schema target_table_name target_path target_type created_by",
    ),
    ("timestamp", "event_time"),
    ("date", "event_date"),
    ("string", "record_id event_id statement_id"),
    (_ENTITY_METADATA, "entity_metadata"),
    ("boolean", "direct_access"),
)
COLUMN_LINEAGE = TABLE_LINEAGE | _columns(("string", "source_column_name target_column_name"))
QUERY_HISTORY = _columns(
    ("string", "account_id workspace_id statement_id executed_by session_id execution_status"),
    ("struct<type:string,cluster_id:string,warehouse_id:string>", "compute"),
    (
        "string",
        "executed_by_user_id statement_text statement_type error_message client_application "
        "client_driver",
    ),
    (
        "bigint",
        "total_duration_ms waiting_for_compute_duration_ms waiting_at_capacity_duration_ms "
        "execution_duration_ms compilation_duration_ms total_task_duration_ms "
        "result_fetch_duration_ms",
    ),
    ("timestamp", "start_time end_time update_time"),
    ("bigint", "read_partitions pruned_files read_files read_rows produced_rows read_bytes"),
    ("tinyint", "read_io_cache_percent"),
    ("boolean", "from_result_cache"),
    ("bigint", "spilled_local_bytes written_bytes shuffle_read_bytes"),
    (_QUERY_SOURCE, "query_source"),
    ("string", "executed_as_user_id executed_as"),
    ("bigint", "written_rows written_files"),
    ("string", "cache_origin_statement_id"),
    ("map<string,string>", "query_tags"),
    ("bigint", "pruned_files_bytes read_files_bytes"),
)
INFORMATION_SCHEMA_TABLES = _columns(
    (
        "string",
        "table_catalog table_schema table_name table_type is_insertable_into commit_action "
        "table_owner comment",
    ),
    ("timestamp", "created"),
    ("string", "created_by"),
    ("timestamp", "last_altered"),
    ("string", "last_altered_by data_source_format storage_sub_directory storage_path"),
)
INFORMATION_SCHEMA_COLUMNS = _columns(
    ("string", "table_catalog table_schema table_name column_name"),
    ("int", "ordinal_position"),
    ("string", "column_default is_nullable full_data_type data_type"),
    ("bigint", "character_maximum_length character_octet_length"),
    ("int", "numeric_precision numeric_precision_radix numeric_scale datetime_precision"),
    ("string", "comment"),
)
_PRICE = "struct<default:decimal(38,18)>"
_USAGE_METADATA_NAMES = (
    "cluster_id job_id warehouse_id instance_pool_id node_type job_run_id notebook_id "
    "dlt_pipeline_id endpoint_name endpoint_id dlt_update_id dlt_maintenance_id run_name job_name "
    "notebook_path central_clean_room_id source_region destination_region app_id app_name "
    "metastore_id private_endpoint_name storage_api_type budget_policy_id"
)
BILLING_USAGE = _columns(
    ("string", "record_id account_id workspace_id sku_name cloud"),
    ("timestamp", "usage_start_time usage_end_time"),
    ("date", "usage_date"),
    ("map<string,string>", "custom_tags"),
    ("string", "usage_unit"),
    ("decimal(38,18)", "usage_quantity"),
    (_struct(_USAGE_METADATA_NAMES), "usage_metadata"),
    (_struct("run_as owned_by created_by"), "identity_metadata"),
    ("string", "record_type"),
    ("date", "ingestion_date"),
    ("string", "billing_origin_product"),
    (
        "struct<jobs_tier:string,sql_tier:string,dlt_tier:string,is_serverless:boolean,"
        "is_photon:boolean,serving_type:string>",
        "product_features",
    ),
    ("string", "usage_type"),
)
BILLING_LIST_PRICES = _columns(
    ("timestamp", "price_start_time price_end_time"),
    ("string", "account_id sku_name cloud currency_code usage_unit"),
    (
        f"struct<default:decimal(38,18),promotional:{_PRICE},effective_list:{_PRICE}>",
        "pricing",
    ),
)

SYSTEM_TABLES = {
    ("system", "access", "table_lineage"): TABLE_LINEAGE,
    ("system", "access", "column_lineage"): COLUMN_LINEAGE,
    ("system", "query", "history"): QUERY_HISTORY,
    ("system", "billing", "usage"): BILLING_USAGE,
    ("system", "billing", "list_prices"): BILLING_LIST_PRICES,
    ("system", "information_schema", "tables"): INFORMATION_SCHEMA_TABLES,
    ("system", "information_schema", "columns"): INFORMATION_SCHEMA_COLUMNS,
}
"""By catalog, schema and name."""
PARTITION_COLUMN = {name: "event_date" for name in SYSTEM_TABLES if name[1] == "access"}
"""Tables that `DESCRIBE` shows as partitioned."""
