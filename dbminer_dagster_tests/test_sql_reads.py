"""What a text of SQL reads and writes."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbminer_dagster.mining.sql_reads import References, referenced_tables

# How long an example takes says nothing on a machine with other work.
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

READS = {
    "select": ("SELECT * FROM main.sales.orders", "main.sales.orders"),
    "upper_case": ("SELECT * FROM Main.Sales.ORDERS", "main.sales.orders"),
    "join": ("SELECT * FROM a JOIN b ON a.x = b.x LEFT JOIN c USING (x), d", "a b c d"),
    "backticks": ("SELECT * FROM `my-cat`.`a.b`.`t``x`", "my-cat.`a.b`.`t``x`"),
    "digits": ("SELECT * FROM raw.2024_events", "raw.2024_events"),
    "cte": ("WITH c AS (SELECT * FROM t) SELECT * FROM c JOIN C AS d", "t"),
    "cte_shadows_table": ("WITH t AS (SELECT * FROM t) SELECT * FROM t", "t"),
    "cte_shadows_only_bare_name": ("WITH t AS (SELECT 1) SELECT * FROM t, s.t", "s.t"),
    "cte_out_of_sight": ("SELECT * FROM (WITH c AS (SELECT 1) SELECT * FROM c), c", "c"),
    "cte_seen_later": ("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a, b", "b"),
    "cte_nested": ("WITH a AS (WITH b AS (SELECT * FROM t) SELECT * FROM b) SELECT * FROM a", "t"),
    "cte_recursive": (
        "WITH RECURSIVE r AS (SELECT id FROM t UNION ALL SELECT id FROM r) SELECT * FROM r",
        "t",
    ),
    "cte_recursion_level": (
        "WITH RECURSIVE r (id) MAX RECURSION LEVEL 9 AS (SELECT id FROM t) SELECT * FROM r",
        "t",
    ),
    "cte_and_insert": ("WITH c AS (SELECT * FROM t) INSERT INTO x SELECT * FROM c", "t"),
    "derived": ("SELECT * FROM (SELECT * FROM (SELECT * FROM t) a) b", "t"),
    "parentheses": ("SELECT * FROM ((a JOIN (b) ON a.x = b.x)) j", "a b"),
    "correlated": ("SELECT (SELECT max(x) FROM b WHERE b.i = a.i) FROM a", "a b"),
    "in_and_exists": (
        "SELECT 1 FROM a WHERE x IN (SELECT x FROM b) AND EXISTS (SELECT 1 FROM c)",
        "a b c",
    ),
    "set_operations": (
        "SELECT 1 FROM a UNION SELECT 1 FROM b INTERSECT (SELECT 1 FROM c) EXCEPT SELECT 1 FROM d",
        "a b c d",
    ),
    "lateral_view": ("SELECT * FROM t LATERAL VIEW OUTER explode(t.xs) v AS x", "t"),
    "lateral_query": ("SELECT * FROM a, LATERAL (SELECT * FROM b WHERE b.i = a.i)", "a b"),
    "version": ("SELECT * FROM t VERSION AS OF 3 AS x", "t"),
    "timestamp": ("SELECT * FROM t TIMESTAMP AS OF '2024-01-01'", "t"),
    "system_version": ("SELECT * FROM t FOR SYSTEM_VERSION AS OF 3", "t"),
    "at_version": ("SELECT * FROM s.t@v12 AS x JOIN u@20240131000000000 y", "s.t u"),
    "hints": ("SELECT /*+ BROADCAST(c), MERGE(d) */ * FROM t AS c", "t"),
    "comments": ("SELECT 1 -- FROM x\n/* FROM y */ FROM t", "t"),
    "double_quotes": ('SELECT "x FROM y" FROM t', "t"),
    "range": ("SELECT * FROM range(10), explode(array(1)) x", ""),
    "read_files": ("SELECT * FROM read_files('/v/x', format => 'csv')", ""),
    "function_over_query": ("SELECT * FROM f((SELECT max(x) FROM t))", "t"),
    "table_argument": ("SELECT * FROM event_log(TABLE(a.b.c))", "a.b.c"),
    "table_argument_parts": ("SELECT * FROM f(TABLE(a.t) PARTITION BY x, y), u", "a.t u"),
    "table_changes": ("SELECT * FROM table_changes('a.b', 2)", "a.b"),
    "identifier": ("SELECT * FROM IDENTIFIER('a.`b.c`') x", "a.`b.c`"),
    "identifier_of_literals": (
        "SELECT * FROM IDENTIFIER('a.' || 'b') JOIN IDENTIFIER(concat('c', '.d'))", "a.b c.d"),
    "identifier_as_catalog": ("SELECT * FROM IDENTIFIER('a').b.c", "a.b.c"),
    "identifier_parameter": ("SELECT * FROM IDENTIFIER(:name), t", "t"),
    "text_parameter": ("SELECT * FROM ${catalog}.s.t, u", "u"),
    "stream": ("SELECT * FROM STREAM(a.t) JOIN STREAM u", "a.t u"),
    "path": ("SELECT * FROM delta.`/path/x`, parquet.`s3://b/x`, t", "t"),
    "schema_named_as_format": ("SELECT * FROM json.orders", "json.orders"),
    "values": ("SELECT * FROM VALUES (1) AS v(x)", ""),
    "no_table": ("SELECT 1", ""),
    "pivot": ("SELECT * FROM t PIVOT (sum(x) FOR y IN (1, 2))", "t"),
    "unpivot": ("SELECT * FROM t UNPIVOT (v FOR n IN (a, b))", "t"),
    "sample": ("SELECT * FROM t TABLESAMPLE (5 PERCENT) s", "t"),
    "table_statement": ("TABLE a.b.c", "a.b.c"),
    "table_in_set_operation": ("SELECT * FROM a UNION ALL TABLE b", "a b"),
    "table_as_query": ("WITH c AS (TABLE a) SELECT * FROM (TABLE b) JOIN c", "a b"),
    "table_as_column": ("SELECT table FROM t WHERE x IN (table, t.table)", "t"),
    "scanned_commas": ("SELECT a, b FROM t, u FOR VERSION AS OF 1 x ERROR GROUP BY a, b", "t u"),
    "from_first": ("FROM t SELECT x WHERE y = 1", "t"),
    "pipe": ("FROM t |> WHERE a > 1 |> JOIN u ON t.a = u.a |> SELECT a", "t u"),
    "global_temporary_view": ("SELECT * FROM global_temp.v, t", "t"),
    "from_in_functions": ("SELECT extract(YEAR FROM a), trim(BOTH 'x' FROM b) FROM t", "t"),
    "distinct_from": ("SELECT * FROM t WHERE a IS NOT DISTINCT FROM b", "t"),
    "information_schema": ("SELECT * FROM system.information_schema.tables",
                           "system.information_schema.tables"),
    "long_name": ("SELECT * FROM a.b.c.files", "a.b.c.files"),
    "explicit_query": ("(SELECT * FROM a) UNION (SELECT * FROM b) ORDER BY 1", "a b"),
}  # fmt: skip

# Statement: what it reads, what it writes, what it rebuilds.
CHANGES = {
    "insert": ("INSERT INTO w SELECT * FROM t", "t", "w", ""),
    "insert_into_itself": ("INSERT INTO w SELECT * FROM w", "w", "w", ""),
    "insert_columns": ("INSERT INTO TABLE a.w (x, y) VALUES (1, 2)", "", "a.w", ""),
    "insert_table": ("INSERT INTO w TABLE t", "t", "w", ""),
    "insert_identifier": ("INSERT INTO IDENTIFIER('a.w') (x) SELECT x FROM t", "t", "a.w", ""),
    "insert_partition": ("INSERT INTO w PARTITION (d = 1) SELECT * FROM t", "t", "w", ""),
    "insert_by_name": ("INSERT INTO w BY NAME SELECT * FROM t", "t", "w", ""),
    "insert_overwrite": ("INSERT OVERWRITE w SELECT * FROM t", "t", "w", ""),
    "insert_overwrite_table": ("INSERT OVERWRITE TABLE w SELECT * FROM t", "t", "w", ""),
    "insert_directory": ("INSERT OVERWRITE DIRECTORY '/x' SELECT * FROM t", "t", "", ""),
    "insert_replace_where": ("INSERT INTO w REPLACE WHERE d = 1 SELECT * FROM t", "t", "w", ""),
    "insert_replace_using": ("INSERT INTO w REPLACE USING (d) SELECT * FROM t", "t", "w", ""),
    "insert_replace_on": ("INSERT INTO w REPLACE ON w.d = s.d (SELECT * FROM t) s", "t", "w", ""),
    "insert_evolution": ("INSERT WITH SCHEMA EVOLUTION INTO w SELECT * FROM t", "t", "w", ""),
    "multiple_inserts": (
        "FROM t INSERT INTO a SELECT x INSERT OVERWRITE b SELECT y", "t", "a b", ""),
    "merge": (
        "MERGE INTO w USING t ON w.i = t.i WHEN MATCHED THEN UPDATE SET w.x = t.x "
        "WHEN NOT MATCHED THEN INSERT (i) VALUES (t.i)", "t", "w", ""),
    "merge_query": (
        "MERGE INTO w a USING (SELECT * FROM t JOIN w) b ON a.i = b.i WHEN MATCHED THEN DELETE",
        "t w", "w", ""),
    "merge_evolution": (
        "MERGE WITH SCHEMA EVOLUTION INTO w USING t ON w.i = t.i WHEN MATCHED THEN UPDATE SET *",
        "t", "w", ""),
    "update": ("UPDATE w SET x = (SELECT max(x) FROM t) WHERE y = 1", "t", "w", ""),
    "delete": ("DELETE FROM w AS a WHERE EXISTS (SELECT 1 FROM t WHERE t.i = a.i)", "t", "w", ""),
    "truncate": ("TRUNCATE TABLE w", "", "w", ""),
    "copy": ("COPY INTO w FROM 's3://b/x' FILEFORMAT = JSON", "", "w", ""),
    "copy_query": ("COPY INTO w FROM (SELECT a FROM 's3://b/x') FILEFORMAT = CSV", "", "w", ""),
    "load": ("LOAD DATA INPATH '/x' INTO TABLE w", "", "w", ""),
    "path_target": ("INSERT INTO delta.`/x` SELECT * FROM t", "t", "", ""),
    "create": ("CREATE TABLE w (x INT, FOREIGN KEY (x) REFERENCES z (x))", "", "w", ""),
    "create_with_odd_column": ("CREATE TABLE w (table STRING)", "", "w", ""),
    "create_like": ("CREATE TABLE w LIKE z", "", "w", ""),
    "create_or_replace": ("CREATE OR REPLACE TABLE w (x INT) USING delta", "", "w", "w"),
    "ctas": ("CREATE TABLE w AS SELECT * FROM t", "t", "w", "w"),
    "ctas_options": (
        "CREATE TABLE w USING delta LOCATION 's3://b' AS WITH c AS (TABLE t) SELECT * FROM c",
        "t", "w", "w"),
    "ctas_if_not_exists": ("CREATE TABLE IF NOT EXISTS w AS SELECT * FROM t", "t", "w", ""),
    "crtas": ("CREATE OR REPLACE TABLE w AS SELECT * FROM w JOIN t", "t w", "w", "w"),
    "replace": ("REPLACE TABLE w AS SELECT * FROM t", "t", "w", "w"),
    "view": ("CREATE VIEW w AS SELECT * FROM t", "t", "w", ""),
    "view_replaced": ("CREATE OR REPLACE VIEW w (a COMMENT 'x') AS SELECT * FROM t", "t", "w", "w"),
    "view_collation": ("CREATE VIEW w DEFAULT COLLATION UTF8_BINARY AS TABLE t", "t", "w", ""),
    "materialized_view": (
        "CREATE OR REPLACE MATERIALIZED VIEW w AS SELECT * FROM t", "t", "w", "w"),
    "materialized_view_schedule": (
        "CREATE MATERIALIZED VIEW w SCHEDULE EVERY 1 HOUR AS SELECT * FROM t", "t", "w", ""),
    "streaming_table": (
        "CREATE OR REFRESH STREAMING TABLE w AS SELECT * FROM STREAM t", "t", "w", ""),
    "streaming_table_replaced": (
        "CREATE OR REPLACE STREAMING TABLE w AS SELECT * FROM STREAM(t)", "t", "w", "w"),
    "streaming_table_watermark": (
        "CREATE OR REFRESH STREAMING TABLE w SCHEDULE CRON '0 0 * * * ?' AS SELECT a FROM "
        "STREAM(t) WATERMARK ts DELAY OF INTERVAL 1 HOUR", "t", "w", ""),
    "clone": ("CREATE OR REPLACE TABLE w SHALLOW CLONE t VERSION AS OF 3", "t", "w", "w"),
    "deep_clone": ("CREATE TABLE IF NOT EXISTS w DEEP CLONE t", "t", "w", ""),
    "flow": ("CREATE FLOW f AS INSERT INTO w BY NAME SELECT * FROM STREAM(t)", "t", "w", ""),
    "change_flow": (
        "CREATE FLOW f AS AUTO CDC INTO w FROM STREAM(t) KEYS (id) SEQUENCE BY ts", "t", "w", ""),
    "function": ("CREATE FUNCTION f(x INT) RETURNS INT RETURN (SELECT max(a) FROM t)", "t", "", ""),
    "schema": ("CREATE SCHEMA IF NOT EXISTS main.s", "", "", ""),
    "parameter_as_target": ("INSERT INTO IDENTIFIER(:p) SELECT * FROM t", "t", "", ""),
    "literals_as_target": ("CREATE TABLE IDENTIFIER('a.' || 'w') AS SELECT 1", "", "a.w", "a.w"),
    "script": (
        "BEGIN DECLARE n INT DEFAULT 1; INSERT INTO w SELECT * FROM t; "
        "IF n > 0 THEN UPDATE u SET x = 1; END IF; DROP TABLE z; END", "t", "u w", ""),
}  # fmt: skip

# Statement: columns used, as `table.column`.
COLUMNS = {
    "only_source": ("SELECT a, upper(B) AS c FROM s.t WHERE d = 1", "s.t.a s.t.b s.t.d"),
    "alias": ("SELECT x.a FROM t AS x WHERE X.b = 1", "t.a t.b"),
    "qualified_by_schema": ("SELECT s.t.a, c.s.t.b FROM c.s.t", "c.s.t.a c.s.t.b"),
    "ambiguous": ("SELECT a, t.b FROM t JOIN u ON t.i = u.i", "t.b t.i u.i"),
    "ambiguous_table": ("SELECT t.a FROM x.t JOIN y.t", ""),
    "star": ("SELECT *, t.*, * EXCEPT (a) FROM t", ""),
    "count_star": ("SELECT count(*) FROM t", ""),
    "struct_field": ("SELECT t.a.b.c, d.e FROM t", "t.a t.d"),
    "variant_path": ("SELECT a:b.c[0], t.d:e FROM t", "t.a t.d"),
    "cte_column": ("WITH c AS (SELECT a AS z FROM t) SELECT z, c.z FROM c", "t.a"),
    "derived_column": ("SELECT x.z FROM (SELECT a AS z FROM t) x WHERE z = 1", "t.a"),
    "derived_sees_no_neighbour": ("SELECT 1 FROM a x JOIN (SELECT x.y FROM t) z", "t.x"),
    "correlated": ("SELECT 1 FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.i = a.j)", "a.j b.i"),
    "sub_query_without_source": ("SELECT (SELECT a) FROM t", "t.a"),
    "in_query": ("SELECT a FROM t WHERE b IN (SELECT u.c FROM u)", "t.a t.b u.c"),
    "perhaps_correlated": ("SELECT a FROM t WHERE b IN (SELECT c FROM u)", "t.a t.b"),
    "through_a_star": ("SELECT a FROM (SELECT * FROM t)", "t.a"),
    "through_a_star_of_a_cte": ("WITH c AS (SELECT * FROM t) SELECT c.a FROM c", "t.a"),
    "beside_a_star": ("SELECT a, b FROM (SELECT *, 1 AS b FROM t)", "t.a"),
    "using": ("SELECT t.a FROM t JOIN u USING (i)", "t.a t.i u.i"),
    "using_after_using": ("SELECT i FROM t JOIN u USING (i) JOIN v USING (i)", "t.i u.i v.i"),
    "semi_join": ("SELECT a FROM t LEFT SEMI JOIN u ON t.i = u.j", "t.a t.i u.j"),
    "columns_of_values": ("SELECT x FROM VALUES (1) AS v(x) JOIN t ON t.i = v.x", "t.i"),
    "order_by_output": ("SELECT t.a FROM t JOIN u ORDER BY a", "t.a"),
    "having_alias": ("SELECT sum(a) AS n FROM t HAVING n > 1", "t.a"),
    "qualify_alias": ("SELECT row_number() OVER (ORDER BY a) AS n FROM t QUALIFY n = 1", "t.a"),
    "struct_star": ("SELECT a.* FROM t", "t.a"),
    "exists_star": ("SELECT 1 FROM t WHERE EXISTS (SELECT * FROM u WHERE u.i = t.i)", "t.i u.i"),
    "lambda": ("SELECT filter(xs, x -> x.y > z) FROM t", "t.xs t.z"),
    "time_units": ("SELECT dateadd(DAY, 1, a), extract(YEAR FROM b) FROM t", "t.a t.b"),
    "named_argument": ("SELECT f(n => a) FROM t", "t.a"),
    "lateral_view": ("SELECT a, x, v.x FROM t LATERAL VIEW explode(xs) v AS x", "t.a t.xs"),
    "lateral_view_without_names": ("SELECT a, t.b FROM t LATERAL VIEW explode(t.xs) v", "t.b t.xs"),
    "select_alias": ("SELECT a AS b, b + 1 AS c FROM t GROUP BY c", "t.a"),
    "assigned_column": ("MERGE INTO w USING t ON w.i = t.i WHEN MATCHED THEN UPDATE SET i = t.a",
                        "t.a t.i"),
    "select_alias_of_own_name": ("SELECT upper(a) AS a FROM t GROUP BY a", "t.a"),
    "select_alias_not_in_where": ("SELECT 1 AS b FROM t WHERE b > 1", "t.b"),
    "order_of_set_operation": ("SELECT a FROM t UNION SELECT b FROM u ORDER BY c", "t.a u.b"),
    "window": ("SELECT sum(a) OVER (PARTITION BY b ORDER BY c) FROM t QUALIFY d > 1",
               "t.a t.b t.c t.d"),
    "pivot": ("SELECT z FROM t PIVOT (sum(a) FOR b IN (1))", "t.a t.b"),
    "unpivot": ("SELECT v FROM t UNPIVOT (v FOR n IN (a, b))", "t.a t.b"),
    "renamed_columns": ("SELECT a, x.b FROM t AS x (a, b)", ""),
    "target_is_not_read": ("UPDATE w SET a = b WHERE c = 1", ""),
    "merge": ("MERGE INTO w USING t ON w.i = t.i WHEN MATCHED THEN UPDATE SET w.x = t.y",
              "t.i t.y"),
    "multiple_inserts": ("FROM t INSERT INTO a SELECT x INSERT INTO b SELECT y", "t.x t.y"),
    "file_metadata": ("SELECT _metadata.file_path, t._metadata FROM t", ""),
    "change_feed": ("SELECT a, _change_type FROM table_changes('s.t', 1)", "s.t.a"),
    "function_parameter": ("CREATE FUNCTION f(x INT) RETURN (SELECT max(a) FROM t WHERE b = x)",
                           ""),
    "variable_of_a_path": ("SELECT a FROM delta.`/x`", ""),
    "backticks": ("SELECT `A b`, `x`.`c.d` FROM t AS `X`", "t.a b,t.c.d"),
    "scanned": ("SELECT a FROM t FOR SYSTEM_VERSION AS OF 3", ""),
}  # fmt: skip

METADATA = [
    "SHOW TABLES IN main.sales", "DESCRIBE EXTENDED t", "DESC t", "USE main.sales", "SET x = 1",
    "GRANT SELECT ON TABLE t TO `a@b.c`", "REVOKE SELECT ON t FROM x", "EXPLAIN SELECT * FROM t",
    "ANALYZE TABLE t COMPUTE STATISTICS", "OPTIMIZE t ZORDER BY (a)", "VACUUM t RETAIN 1 HOURS",
    "ALTER TABLE t ADD COLUMN a INT", "DROP VIEW IF EXISTS t", "CACHE SELECT * FROM t",
    "REFRESH TABLE t", "MSCK REPAIR TABLE t", "COMMENT ON TABLE t IS 'x'", "RESTORE TABLE t TO 3",
]  # fmt: skip

GARBAGE = {
    "empty": "",
    "comment": "-- nothing\n/* at all */",
    "semicolons": ";;",
    "words": "SELEC FRM garbage ((",
    "sentence": "hello world from t",
    "open_quote": "SELECT * FROM t WHERE a = 'x",
    "open_parenthesis": "SELECT * FROM (t WHERE (",
    "no_name": "SELECT FROM WHERE )",
    "expression": "1 + 1",
    "good_then_bad": "SELECT * FROM t; SELEC * FROM u",
    "too_long": "SELECT " + "a" * (17 << 20),
}

DEEP = {
    "or": "SELECT 1 FROM t WHERE " + "a = 1 OR " * 10_000 + "b",
    "not": "SELECT " + "NOT " * 10_000 + "a FROM t",
    "minus": "SELECT " + "- " * 10_000 + "a FROM t",
    "union": "SELECT a FROM t" + " UNION ALL SELECT a FROM t" * 5_000,
    "case": "SELECT " + "CASE WHEN a THEN " * 5_000 + "1" + " END" * 5_000 + " FROM t",
    "parentheses": "SELECT " + "(" * 5_000 + "a" + ")" * 5_000 + " FROM t",
    "sub_queries": "SELECT * FROM " + "(SELECT * FROM " * 10_000 + "t" + ")" * 10_000,
    "types": "SELECT CAST(a AS " + "ARRAY<" * 5_000 + "INT" + ">" * 5_000 + ") FROM t",
    "bare_joins": "SELECT * FROM t" + " JOIN t" * 200,
    "from": "SELECT * FROM t WHERE a IN (SELECT " + "FROM " * 20_000 + ")",
    "joined_queries": "SELECT * FROM t" + " JOIN SELECT a ON b" * 10_000,
    "joined_unions": "SELECT * FROM t" + " UNION FROM SELECT" * 10_000,
    "dots": "SELECT " + "a." * 20_000 + "a FROM t",
    "long": "SELECT * FROM t WHERE a IN (" + "1, " * 400_000 + "1)",
}


def names(text: str) -> set[str]:
    return set(text.split())


def found(sql: str) -> tuple[set[str], set[str], set[str]]:
    references = referenced_tables(sql)
    assert references.error is None
    return set(references.reads), set(references.writes), set(references.rebuilds)


@pytest.mark.parametrize(("sql", "reads"), READS.values(), ids=READS)
def test_tables_read(sql: str, reads: str) -> None:
    """A query reads the tables that it names, and nothing that only looks like one."""
    references = referenced_tables(sql)
    assert references.error is None
    assert set(references.reads) == names(reads)


@pytest.mark.parametrize(("sql", "reads", "writes", "rebuilds"), CHANGES.values(), ids=CHANGES)
def test_tables_changed(sql: str, reads: str, writes: str, rebuilds: str) -> None:
    """A target is written, read only if the source names it too, and rebuilt if replaced whole."""
    assert found(sql) == (names(reads), names(writes), names(rebuilds))


@pytest.mark.parametrize(("sql", "columns"), COLUMNS.values(), ids=COLUMNS)
def test_columns_read(sql: str, columns: str) -> None:
    """A column counts where its table is certain, and is never guessed."""
    separator = "," if "," in columns else None
    pairs = {f"{table}.{column}" for table, column in referenced_tables(sql).columns}
    assert pairs == set(columns.split(separator))


@pytest.mark.parametrize("sql", METADATA)
def test_metadata_statements_use_no_table(sql: str) -> None:
    """Statements about tables are understood and read and write nothing."""
    assert referenced_tables(sql) == References(attribution="parsed")


@pytest.mark.parametrize("sql", GARBAGE.values(), ids=GARBAGE)
def test_what_is_not_understood_has_an_error_and_no_tables(sql: str) -> None:
    """A text that is no statement says so, without any table."""
    references = referenced_tables(sql)
    assert references.error
    assert references == References(error=references.error)


@pytest.mark.parametrize("sql", DEEP.values(), ids=DEEP)
def test_hostile_texts_neither_crash_nor_get_lost(sql: str) -> None:
    """However deep or long a statement is, its table is found."""
    assert found(sql) == ({"t"}, set(), set())


@pytest.mark.parametrize(
    ("sql", "attribution"),
    [
        pytest.param("SELECT * FROM t", "parsed", id="parsed"),
        pytest.param("SELECT * FROM t FOR SYSTEM_VERSION AS OF 3", "scanned", id="scanned"),
        pytest.param("SELECT 1; SELECT * FROM t FOR SYSTEM_VERSION AS OF 3", "scanned", id="both"),
    ],
)
def test_attribution(sql: str, attribution: str) -> None:
    """References that had to be scanned for are told apart from parsed ones."""
    assert referenced_tables(sql).attribution == attribution


@pytest.mark.parametrize(
    ("sql", "reads"),
    [
        pytest.param("SELECT * FROM t, s.t, c.s.t", "main.sales.t main.s.t c.s.t", id="parts"),
        pytest.param("USE CATALOG x; SELECT * FROM t, s.t", "x.default.t x.s.t", id="catalog"),
        pytest.param("SET CATALOG x; SELECT * FROM s.t", "x.s.t", id="set_catalog"),
        pytest.param("USE SCHEMA y; SELECT * FROM t", "main.y.t", id="schema"),
        pytest.param("USE DATABASE y; SELECT * FROM t", "main.y.t", id="database"),
        pytest.param("USE y; SELECT * FROM t", "main.y.t", id="bare_schema"),
        pytest.param("USE x.y; SELECT * FROM t", "x.y.t", id="both"),
        pytest.param("USE IDENTIFIER('x.y'); SELECT * FROM t", "x.y.t", id="literal"),
        pytest.param("USE IDENTIFIER(:p); SELECT * FROM t", "t", id="unknown"),
        pytest.param("SELECT * FROM t; USE x.y", "main.sales.t", id="only_afterwards"),
        pytest.param("SELECT * FROM t FOR SYSTEM_VERSION AS OF 1", "main.sales.t", id="scanned"),
    ],
)
def test_defaults_complete_short_names(sql: str, reads: str) -> None:
    """Short names get the session's catalog and schema, which USE changes for what follows."""
    references = referenced_tables(sql, catalog="Main", schema="Sales")
    assert set(references.reads) == names(reads)


@pytest.mark.parametrize(
    ("catalog", "schema", "reads"),
    [
        pytest.param(None, None, "t s.t", id="none"),
        pytest.param("c", None, "t c.s.t", id="catalog"),
        pytest.param(None, "d", "d.t s.t", id="schema"),
    ],
)
def test_names_stay_as_written_without_defaults(
    catalog: str | None, schema: str | None, reads: str
) -> None:
    """What is not known is not added to a name."""
    references = referenced_tables("SELECT * FROM t, s.t", catalog=catalog, schema=schema)
    assert set(references.reads) == names(reads)


@pytest.mark.parametrize(
    ("sql", "reads", "views"),
    [
        pytest.param(
            "CREATE OR REPLACE TEMP VIEW V AS SELECT * FROM t; SELECT * FROM v", "t", "v", id="view"
        ),
        pytest.param(
            "CREATE TEMPORARY VIEW t AS SELECT * FROM t; SELECT a FROM t", "t", "t", id="shadows"
        ),
        pytest.param(
            "CREATE TEMP VIEW v AS SELECT 1; SELECT * FROM s.v", "s.v", "v", id="only_bare_names"
        ),
        pytest.param(
            "CREATE GLOBAL TEMP VIEW v AS SELECT * FROM t; SELECT * FROM v", "t v", "", id="global"
        ),
        pytest.param(
            "CREATE TEMP VIEW v USING csv OPTIONS (path '/x'); SELECT * FROM v", "", "v", id="file"
        ),
    ],
)
def test_temporary_views_are_no_tables(sql: str, reads: str, views: str) -> None:
    """A temporary view is neither written nor, from then on, read."""
    references = referenced_tables(sql)
    assert set(references.reads) == names(reads)
    assert set(references.temporary_views) == names(views)
    assert not references.writes


def test_several_statements_count_together() -> None:
    """The references of a text are those of all its statements."""
    assert found("INSERT INTO a SELECT * FROM b;\nSELECT * FROM c;") == ({"b", "c"}, {"a"}, set())


def test_errors_do_not_quote_the_text() -> None:
    """What a user typed may be secret and stays out of the error."""
    error = referenced_tables("SELECT password123 FRM (").error
    assert error
    assert "password123" not in error


STATEMENTS = [sql for sql, *_ in (*READS.values(), *CHANGES.values(), *COLUMNS.values())]
UNCOMMENTED = [sql for sql in STATEMENTS if "--" not in sql]
QUERIES = [sql for sql, _ in READS.values() if sql.startswith("SELECT")]


@RELAXED
@given(st.text())
def test_no_text_raises(sql: str) -> None:
    """Whatever the text is, there is an answer, and an error comes without tables."""
    references = referenced_tables(sql)
    assert references.error is None or references == References(error=references.error)


@RELAXED
@given(st.sampled_from(STATEMENTS), st.sampled_from(STATEMENTS), st.randoms(use_true_random=False))
def test_no_mutated_statement_raises(one: str, other: str, chance: random.Random) -> None:
    """Cut, doubled and mixed statements get an answer, and rebuilds are among the writes."""
    words = one.split()
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(words) + 1)
        end = min(len(words), start + chance.randrange(3))
        words[start:end] = chance.choices([*other.split(), *"();,.`'"], k=chance.randrange(3))
    references = referenced_tables(" ".join(words))
    assert references.rebuilds <= references.writes
    assert {table for table, _ in references.columns} <= references.reads


@RELAXED
@given(st.sampled_from(QUERIES))
def test_wrapping_a_query_changes_no_table(sql: str) -> None:
    """A query reads the same tables as a derived table, a CTE, and half of a union."""
    reads = referenced_tables(sql).reads
    for wrapped in (
        f"SELECT * FROM ({sql}) AS wrapped_",
        f"WITH wrapped_ AS ({sql}) SELECT * FROM wrapped_",
        f"{sql} UNION ALL {sql}",
        f"SELECT 1 WHERE EXISTS ({sql})",
        f"CREATE VIEW wrapped_ AS {sql}",
    ):
        assert referenced_tables(wrapped).reads == reads, wrapped


@RELAXED
@given(st.sampled_from(UNCOMMENTED), st.sampled_from([" /* ; FROM x */ ", " -- '( \n", "\n\t"]))
def test_comments_and_space_change_nothing(sql: str, space: str) -> None:
    """Comments and white space between words bear on no reference."""
    padded = space + sql.replace(" FROM ", f"{space}FROM{space}") + space
    assert referenced_tables(padded) == referenced_tables(sql)


@RELAXED
@given(
    st.lists(st.sampled_from(["a", "b_1", "select", "x y", "t.u", "q`q", "Ä"]), min_size=1,
             max_size=3),
    st.sampled_from(["", " AS x", " x"]),
)  # fmt: skip
def test_quoting_and_aliasing_change_no_table(parts: list[str], alias: str) -> None:
    """A back-quoted name means the same with any alias, and with a qualified column."""
    quoted = ".".join("`" + part.replace("`", "``") + "`" for part in parts)
    plain = referenced_tables(f"SELECT a FROM {quoted}")
    aliased = referenced_tables(f"SELECT {'x.' if alias else ''}a FROM {quoted}{alias}")
    assert len(plain.reads) == 1
    assert aliased == plain
