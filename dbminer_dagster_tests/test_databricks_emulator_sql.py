"""What the emulated warehouse answers: types, dialect, errors, privileges, tables."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from dbminer_dagster_tests.databricks_emulator import Emulator
from dbminer_dagster_tests.offline_files import (
    api_row,
    column_row,
    lineage_row,
    ndjson,
    system_row,
    write_history,
    write_lineage,
)
from dbminer_dagster_tests.warehouse_client import HISTORY, LINEAGE, error_of, query, value

TIME = pl.Datetime("us", "Etc/UTC")


def test_columns_have_the_types_of_the_real_tables(databricks_emulator: Emulator) -> None:
    """Structs, maps, times in UTC and NULLs arrive in Polars as from a real warehouse."""
    job = {"job_info": {"job_id": "9", "job_run_id": None}}
    databricks_emulator.load_rows(
        LINEAGE, [lineage_row(direct_access=True, entity_metadata=job), {"event_time": None}]
    )
    tags = {"team": "bi", "adhoc": None}
    databricks_emulator.load_rows(
        HISTORY,
        [system_row(query_tags=tags, compute={"warehouse_id": "w"}, read_io_cache_percent=7)],
    )
    columns = "event_time, event_date, direct_access, entity_metadata, source_table_full_name"
    found = query(databricks_emulator, f"SELECT {columns} FROM {LINEAGE} ORDER BY event_time DESC")
    assert found.schema["event_time"] == TIME
    assert found.schema["event_date"] == pl.Date()
    assert found.row(0)[:3] == (datetime(2026, 1, 5, 12, tzinfo=UTC), date(2026, 1, 5), True)
    assert found["entity_metadata"].struct.field("job_info")[0] == job["job_info"]
    assert found.row(1) == (None,) * 5
    found = query(
        databricks_emulator,
        f"SELECT to_json(query_tags) AS j, compute, read_io_cache_percent FROM {HISTORY}",
    )
    assert found.schema["read_io_cache_percent"] == pl.Int8()
    assert found["compute"].to_list() == [{"type": None, "cluster_id": None, "warehouse_id": "w"}]
    assert found["j"].to_list() == ['{"team":"bi","adhoc":null}']


@pytest.mark.parametrize(
    ("expression", "dtype"),
    [
        ("count(*)", pl.Int64()),
        ("sum(read_rows)", pl.Int64()),
        ("sum(read_io_cache_percent)", pl.Int64()),
        ("count_if(read_rows > 1)", pl.Int64()),
        ("avg(read_rows)", pl.Float64()),
        ("max(start_time)", TIME),
        ("min(date(start_time))", pl.Date()),
        ("max(length(statement_text))", pl.Int32()),
        ("CAST(sum(read_rows) AS DECIMAL(12, 2))", pl.Decimal(12, 2)),
    ],
)
def test_expressions_have_the_types_of_databricks(
    databricks_emulator: Emulator, expression: str, dtype: pl.DataType
) -> None:
    """Counts and sums of whole numbers are `BIGINT`, whatever DuckDB makes of them."""
    found = query(databricks_emulator, f"SELECT {expression} FROM {HISTORY}")
    assert found.dtypes == [dtype]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'prod.gold.t' RLIKE '^prod\\\\.'", True),
        ("'a_b' LIKE 'a\\\\_b' AND NOT 'axb' LIKE 'a\\\\_b'", True),
        ("concat('a', NULL)", None),
        ("concat_ws('.', 'a', NULL, 'b')", "a.b"),
        ("replace('a b', ' ', '')", "ab"),
        ("CASE WHEN coalesce(NULL, 2) > 1 THEN 'x' END", "x"),
        ("to_json(named_struct('a', 1, 'b', NULL))", '{"a":1}'),
        ("date_sub(DATE'2026-01-05', 1)", date(2026, 1, 4)),
        ("CAST('2026-01-05 01:00:00+02:00' AS TIMESTAMP)", datetime(2026, 1, 4, 23, tzinfo=UTC)),
        ("map('a', 1)['a']", 1),
        ("current_user()", "miner@larkfell.example"),
        ("(WITH r AS (SELECT 1 AS n) SELECT max(n) FROM r)", 1),
        ("(SELECT n FROM (VALUES (1), (2)) AS v(n) QUALIFY row_number() OVER (ORDER BY n) = 2)", 2),
    ],
)
def test_expressions_mean_what_they_mean_in_databricks(
    databricks_emulator: Emulator, expression: str, expected: object
) -> None:
    """The dialect is Databricks', not DuckDB's."""
    assert value(databricks_emulator, expression) == expected


def test_columns_without_a_name_are_named_as_in_databricks(databricks_emulator: Emulator) -> None:
    """An expression is named by its text, a field of a struct by the field."""
    columns = "count(*), max(h.start_time), h.query_source.job_info.job_id"
    found = query(databricks_emulator, f"SELECT {columns} FROM {HISTORY} AS h GROUP BY ALL LIMIT 0")
    assert found.columns == ["count(1)", "max(h.start_time)", "job_id"]


@pytest.mark.parametrize(
    "bound",
    [
        "it's",
        7,
        2**40,
        1.5,
        True,
        None,
        Decimal("12.50"),
        date(2026, 1, 5),
        datetime(2026, 1, 5, 1, 2, 3, 4, tzinfo=UTC),
        ["a", "b"],
    ],
    ids=str,
)
def test_parameters_keep_value_and_type(databricks_emulator: Emulator, bound: object) -> None:
    """What is bound to a marker comes back as it was."""
    found = query(databricks_emulator, "SELECT :x AS x", {"x": bound})
    assert found["x"].to_list() == [bound]


def test_parameters_select_rows(databricks_emulator: Emulator) -> None:
    """Bound times, dates and limits work where literals do, and the record tells them."""
    databricks_emulator.load_rows(
        LINEAGE, [lineage_row(event_time=f"2026-01-05T{hour:02}:00:00Z") for hour in range(6)]
    )
    text = (
        f"SELECT event_time FROM {LINEAGE} WHERE event_date = :day AND event_time >= :start "
        "AND array_contains(:names, target_table_full_name) ORDER BY event_time LIMIT :most"
    )
    start = datetime(2026, 1, 5, 3, tzinfo=UTC)
    bound = {"day": start.date(), "start": start, "names": ["main.a.t"], "most": 2}
    found = query(databricks_emulator, text, bound)
    assert [time.hour for time in found["event_time"]] == [3, 4]
    record = databricks_emulator.statements[-1]
    assert (record.text, record.parameters["most"]) == (text, "2")


@pytest.mark.parametrize(
    ("statement", "text", "sql_state"),
    [
        ("SELEC 1", "[PARSE_SYNTAX_ERROR] Syntax error at or near", "42601"),
        ("SELECT * FROM a.b.c", "[NO_SUCH_CATALOG_EXCEPTION] Catalog 'a' was not found.", "42704"),
        (
            "SELECT * FROM system.nope.t",
            "[SCHEMA_NOT_FOUND] The schema `system`.`nope` cannot be found.",
            "42704",
        ),
        (
            "DESCRIBE TABLE system.access.nope",
            "[TABLE_OR_VIEW_NOT_FOUND] The table or view `system`.`access`.`nope` cannot be found.",
            "42P01",
        ),
        (
            f"SELECT l.nope FROM {LINEAGE} AS l",
            "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with "
            "name `nope` cannot be resolved.",
            "42703",
        ),
        (f"SELECT compute.nope FROM {HISTORY}", "[FIELD_NOT_FOUND] No such struct field", "42704"),
        (f"SELECT count(*), compute FROM {HISTORY}", "[MISSING_AGGREGATION]", "42803"),
        ("SELECT CAST('x' AS INT)", "[CAST_INVALID_INPUT]", "22018"),
        ("SELECT :x", "[UNBOUND_SQL_PARAMETER] Found the unbound parameter: x.", "42P02"),
        (f"DELETE FROM {HISTORY}", "The emulator does not run DELETE statements.", "0A000"),
    ],
)
def test_a_statement_fails_as_in_databricks(
    databricks_emulator: Emulator, statement: str, text: str, sql_state: str
) -> None:
    """Each error has the class, the text and the SQLSTATE of the real one."""
    error = error_of(databricks_emulator, statement)
    assert text in error
    assert error.endswith(f"SQLSTATE: {sql_state}")
    assert databricks_emulator.statements[-1].state == "FAILED"


def test_a_system_schema_exists_once_it_is_enabled(databricks_emulator: Emulator) -> None:
    """For SQL a schema that nobody enabled does not exist."""
    databricks_emulator.workspace.enabled_system_schemas.discard("query")
    assert "[SCHEMA_NOT_FOUND]" in error_of(databricks_emulator, f"SELECT 1 FROM {HISTORY}")


@pytest.mark.parametrize(
    ("privilege", "securable_type", "securable", "text"),
    [
        ("USE CATALOG", "CATALOG", "system", "USE CATALOG on Catalog 'system'"),
        ("USE SCHEMA", "SCHEMA", "system.access", "USE SCHEMA on Schema 'system.access'"),
        ("SELECT", "SCHEMA", "system.access", f"SELECT on Table '{LINEAGE}'"),
    ],
)
@pytest.mark.parametrize("statement", ["SELECT 1 FROM", "DESCRIBE TABLE"])
def test_a_missing_privilege_is_named(
    databricks_emulator: Emulator,
    privilege: str,
    securable_type: str,
    securable: str,
    text: str,
    statement: str,
) -> None:
    """Each table that a statement names is checked; after the grant the statement works."""
    workspace = databricks_emulator.workspace
    workspace.revoke(privilege, securable_type, securable, to=workspace.user)
    error = error_of(databricks_emulator, f"{statement} {LINEAGE}")
    assert error == (
        f"[INSUFFICIENT_PERMISSIONS] Insufficient privileges:\nUser does not have {text}."
        " SQLSTATE: 42501"
    )
    workspace.run_sql_as_admin(
        f"GRANT {privilege} ON {securable_type} {securable} TO `{workspace.user.name}`"
    )
    query(databricks_emulator, f"{statement} {LINEAGE}")


def test_a_view_gives_what_its_owner_may_read(databricks_emulator: Emulator) -> None:
    """A cloned view needs no right to the table below, and shows texts that the reader may not."""
    emulator, workspace = databricks_emulator, databricks_emulator.workspace
    emulator.load_rows(HISTORY, [system_row(), system_row("s-2", statement_text=None)])
    emulator.create_view("governance.clones.query_history", f"SELECT * FROM {HISTORY}")
    workspace.sees_statement_text.discard(workspace.user.name)
    texts = "SELECT statement_text FROM {} ORDER BY statement_id"
    found = query(emulator, texts.format(HISTORY))
    assert found["statement_text"].to_list() == ["<REDACTED>", None]
    workspace.revoke("SELECT", "SCHEMA", "system.query", to=workspace.user)
    found = query(emulator, texts.format("`governance`.`clones`.`query_history`"))
    assert found["statement_text"].to_list() == ["select 1", None]
    workspace.revoke("SELECT", "SCHEMA", "governance.clones", to=workspace.user)
    error = error_of(emulator, texts.format("governance.clones.query_history"))
    assert "SELECT on Table 'governance.clones.query_history'" in error


def test_information_schema_shows_what_one_may_see(databricks_emulator: Emulator) -> None:
    """Tables without the rights to them are left out without a word."""
    emulator, workspace = databricks_emulator, databricks_emulator.workspace
    rows = [
        {"table_catalog": "prod", "table_schema": schema, "table_name": "t"}
        for schema in ("gold", "hidden")
    ]
    for name in ("tables", "columns"):
        emulator.load_rows(f"system.information_schema.{name}", rows)
    workspace.revoke("USE SCHEMA", "SCHEMA", "prod.hidden", to=workspace.user)
    listed = (
        "SELECT table_schema FROM system.information_schema.{} "
        "WHERE table_catalog = 'prod' ORDER BY ALL"
    )
    for name in ("tables", "columns"):
        found = query(emulator, listed.format(name))
        assert found["table_schema"].to_list() == ["gold"]
    types = (
        "SELECT full_data_type FROM system.information_schema.columns "
        "WHERE table_name = 'history' AND column_name IN ('compute', 'query_tags') ORDER BY ALL"
    )
    assert query(emulator, types)["full_data_type"].to_list() == [
        "map<string,string>",
        "struct<type:string,cluster_id:string,warehouse_id:string>",
    ]


def test_describe_tells_columns_and_partition(databricks_emulator: Emulator) -> None:
    """`DESCRIBE TABLE` gives name, type and comment, then the partition columns again."""
    found = query(databricks_emulator, f"DESCRIBE TABLE {LINEAGE}")
    assert found.columns == ["col_name", "data_type", "comment"]
    types = dict(zip(found["col_name"], found["data_type"], strict=True))
    assert types["event_time"] == "timestamp"
    assert types["entity_metadata"].startswith("struct<job_info:struct<job_id:string,")
    assert found["col_name"].to_list()[-3:] == [
        "# Partition Information",
        "# col_name",
        "event_date",
    ]


def test_show_lists_what_one_may_read(databricks_emulator: Emulator) -> None:
    """`SHOW` lists catalogs, schemas and tables."""
    emulator = databricks_emulator
    assert query(emulator, "SHOW CATALOGS")["catalog"].to_list() == ["system"]
    schemas = query(emulator, "SHOW SCHEMAS IN `system`")["databaseName"].to_list()
    assert schemas == ["access", "billing", "information_schema", "query"]
    tables = query(emulator, "SHOW TABLES IN system.query")
    assert tables.rows() == [("query", "history", False)]


@pytest.mark.parametrize("of_view", [False, True], ids=["table", "view"])
def test_columns_come_and_go(databricks_emulator: Emulator, *, of_view: bool) -> None:
    """Columns can be missing or additional, for queries and for `DESCRIBE`."""
    emulator, name = databricks_emulator, LINEAGE
    if of_view:
        name = "governance.clones.table_lineage"
        emulator.create_view(name, f"SELECT * FROM {LINEAGE}")
    emulator.load_rows(LINEAGE, [lineage_row()])
    emulator.drop_columns(name, "direct_access", "created_by")
    emulator.add_column(name, "brand_new", "map<string,int>")
    found = query(emulator, f"SELECT * FROM {name}")
    assert {"direct_access", "created_by"}.isdisjoint(found.columns)
    assert found["brand_new"].to_list() == [None]
    described = query(emulator, f"DESCRIBE TABLE {name}")
    assert ("brand_new", "map<string,int>", None) in described.rows()
    assert "direct_access" in error_of(emulator, f"SELECT direct_access FROM {name}")


def test_offline_files_fill_the_tables(databricks_emulator: Emulator, tmp_path: Path) -> None:
    """Rows of one lineage file go to their own tables, and `event_date` follows from the time."""
    rows = [lineage_row(event_time="2026-01-05 01:00:00+02:00"), column_row(workspace_id=18)]
    write_lineage(tmp_path, ndjson(*rows), compress=True)
    write_history(tmp_path, ndjson(system_row()), ndjson(system_row("s-2", brand_new=1)))
    databricks_emulator.load_files(tmp_path)
    ends = "workspace_id, event_date"
    found = query(databricks_emulator, f"SELECT {ends} FROM {LINEAGE}")
    assert found.rows() == [("17", date(2026, 1, 4))]
    columns = "system.access.column_lineage"
    found = query(databricks_emulator, f"SELECT {ends}, source_column_name FROM {columns}")
    assert found.rows() == [("18", date(2026, 1, 5), "x")]
    assert value(databricks_emulator, f"(SELECT count(*) FROM {HISTORY})") == 2


def test_rows_of_other_shapes_are_refused(databricks_emulator: Emulator, tmp_path: Path) -> None:
    """A REST answer or a misspelt column is no row of a system table."""
    with pytest.raises(ValueError, match="no offline files"):
        databricks_emulator.load_files(tmp_path)
    write_history(tmp_path, ndjson(api_row()))
    with pytest.raises(ValueError, match="answers of the REST API"):
        databricks_emulator.load_files(tmp_path)
    with pytest.raises(ValueError, match="no column stat_id"):
        databricks_emulator.load_rows(HISTORY, [{"stat_id": "x"}])


def test_a_session_is_its_openers_own(databricks_emulator: Emulator) -> None:
    """Short names are looked up in the session's schema, and times come in its time zone."""
    found = query(
        databricks_emulator,
        "SELECT max(start_time) AS t, count(*) AS n FROM history",
        catalog="system",
        schema="query",
        session_configuration={"TIMEZONE": "Europe/Berlin"},
    )
    assert found.schema["t"] == pl.Datetime("us", "Europe/Berlin")
