"""Parquet files with a day of system-table rows, made by DuckDB."""

from pathlib import Path

import duckdb

WORKSPACE_ID = "7405618923410267"
FIRST_INSTANT = "TIMESTAMPTZ '2026-01-05 00:00:00+00'"
TABLES, COLUMNS, USERS, TEMPLATES = 10_000, 40, 5_000, 20_000
_HISTORY = f"""
SELECT '{WORKSPACE_ID}' AS workspace_id,
    printf('01f10000-%08x-90c4-e25b6b3f02a9', i) AS statement_id,
    printf('01f20000-%06x', i // 20) AS session_id,
    printf('user.%d@larkfell.example', i % {USERS}) AS executed_by,
    'FINISHED' AS execution_status,
    struct_pack(type := 'WAREHOUSE', cluster_id := NULL, warehouse_id := 'a07e35d19c42bb80')
        AS compute,
    printf('SELECT a.c1, sum(a.c2) FROM prod.s%d.t%d AS a WHERE a.day = %d -- ',
        i % 100, i % {TABLES}, i % 365) || repeat(md5((i % {TEMPLATES})::VARCHAR), 26)
        AS statement_text,
    'SELECT' AS statement_type,
    'Databricks SQL Editor' AS client_application,
    {FIRST_INSTANT} + to_microseconds(i * 86400000000 // ?) AS start_time,
    start_time + to_seconds(3) AS end_time,
    end_time AS update_time,
    3000 AS total_duration_ms, 2500 AS execution_duration_ms, 500 AS compilation_duration_ms,
    15000 AS total_task_duration_ms, 37 * i AS read_bytes, i AS read_rows, 17 AS produced_rows,
    false AS from_result_cache, statement_id AS cache_origin_statement_id
FROM range(?) AS r(i)"""  # noqa: S608 - numbers of this file
# Every fifth row tells of the event before it once more, under another record id.
_LINEAGE = f"""
SELECT '{WORKSPACE_ID}' AS workspace_id,
    printf('%08x', i) AS record_id,
    i - (i % 5 = 4)::INT AS e,
    printf('01f10000-%08x-90c4-e25b6b3f02a9', e // 4) AS statement_id,
    'prod' AS source_table_catalog, printf('s%d', e % 100) AS source_table_schema,
    printf('t%d', e % {TABLES}) AS source_table_name,
    printf('prod.s%d.t%d', e % 100, e % {TABLES}) AS source_table_full_name, 'TABLE' AS source_type,
    'prod' AS target_table_catalog, 'gold' AS target_table_schema,
    printf('g%d', e % 3000) AS target_table_name,
    printf('prod.gold.g%d', e % 3000) AS target_table_full_name, 'TABLE' AS target_type,
    printf('user.%d@larkfell.example', e % {USERS}) AS created_by,
    true AS direct_access,
    {FIRST_INSTANT} + to_microseconds(e * 86400000000 // ?) AS event_time,
    event_time::DATE AS event_date,
    printf('c%d', e % {COLUMNS}) AS source_column_name,
    printf('d%d', e % {COLUMNS}) AS target_column_name
FROM range(?) AS r(i)"""  # noqa: S608 - numbers of this file


def generated(folder: Path, statements: int, lineage_rows: int) -> dict[str, Path]:
    """Writes the files unless they are there: two fifths of the lineage is between tables.

    Returns:
        The file of each system table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = lineage_rows * 2 // 5
    wanted = {
        "system.query.history": (_HISTORY, statements),
        "system.access.table_lineage": (_LINEAGE, tables),
        "system.access.column_lineage": (_LINEAGE, lineage_rows - tables),
    }
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    files = {}
    for name, (query, rows) in wanted.items():
        files[name] = folder / f"{name}-{rows}.parquet"
        if not files[name].exists():
            connection.sql(query, params=[rows, rows]).write_parquet(str(files[name]))
    return files
