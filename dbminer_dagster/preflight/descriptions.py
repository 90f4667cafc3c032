"""What each check proves when it passes."""

DESCRIPTIONS = {
    "workspace_reachable": "The workspace answers at `DATABRICKS_HOST`.",
    "credentials_accepted": "The workspace knows the principal and accepts its credentials.",
    "unity_catalog_enabled": "The workspace has a metastore of Unity Catalog.",
    "warehouse_usable": "The SQL warehouse exists, may be used, and runs a statement.",
    "lineage_tables_readable": "Both lineage tables, or their clones, may be read.",
    "query_history_readable": "The query history, or its clone, may be read.",
    "required_columns_present": "The tables have every column that dbminer reads.",
    "source_is_fresh": "The newest row is younger than the lag and a day.",
    "statement_text_visible": "The texts of recent statements are shown, not redacted or empty.",
    "billing_readable": "The billed usage and the list prices may be read, to estimate costs.",
    "catalogs_visible": "Unity Catalog lists the catalogs to be mined, and tables in them.",
    "lineage_api_enabled": "The lineage API answers for a table.",
    "query_history_api_reachable": "The Query History API answers.",
    "other_users_visible": "Statements of other users are shown, not those of the principal alone.",
    "location_reachable": "The offline location exists and can be listed.",
    "files_present": "The folder of the source holds its numbered files without a gap.",
    "files_readable": "The first object of each file parses.",
}
