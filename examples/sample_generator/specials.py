"""Statements that are there on purpose; `examples/README.md` lists them by name.

Each recurs at random and is sure to run at least once in a sample of ten days or more.
"""

# ruff: noqa: S608 - these texts go to files and are never run

from sample_generator.company import Company
from sample_generator.model import Entity, Principal, Statement, Table, Template

EDITOR = "Databricks SQL Editor"
NOTEBOOK = "Databricks Notebook"
NYC_TRIPS = Table(
    "samples", "nyctaxi", "trips", ("trip_distance", "fare_amount", "pickup_zip", "dropoff_zip")
)
BILLING = Table("system", "billing", "usage", ("usage_date", "sku_name", "usage_quantity"))
LINEAGE = Table(
    "system",
    "access",
    "table_lineage",
    ("event_date", "source_table_full_name", "target_table_full_name", "statement_id"),
)
FAILURE = "[TABLE_OR_VIEW_NOT_FOUND] The table or view cannot be found. SQLSTATE: 42P01"

# Commands that use no data
COMMANDS = (
    Statement("SHOW TABLES IN prod.gold", "SHOW"),
    Statement("SHOW CATALOGS", "SHOW"),
    Statement("DESCRIBE TABLE EXTENDED prod.gold.fact_orders", "DESCRIBE"),
    Statement("DESCRIBE HISTORY analytics.marts.customer_value", "DESCRIBE"),
    Statement("SET TIME ZONE 'Europe/Vienna'", "SET"),
    Statement("EXPLAIN SELECT count(*) FROM prod.gold.fact_orders", "EXPLAIN"),
    Statement("GRANT SELECT ON TABLE prod.gold.dim_stores TO `analysts`", "GRANT"),
    Statement("REVOKE SELECT ON TABLE finance.payroll.salaries FROM `analysts`", "REVOKE"),
    Statement("OPTIMIZE prod.gold.fact_orders ZORDER BY (order_date)", "OPTIMIZE"),
    Statement("VACUUM prod.gold.fact_orders RETAIN 168 HOURS", "OTHER"),
    Statement("ANALYZE TABLE prod.gold.dim_products COMPUTE STATISTICS", "ANALYZE"),
    Statement("SELECT 1"),
)


class Specials:
    """The company's deliberate templates."""

    def __init__(self, company: Company) -> None:
        self._company = company
        self._tables = company.tables
        self._people = tuple(company.people)

    def templates(self) -> list[Template]:
        """Templates of reads, of writes, of sessions and of commands."""
        single = [*self._shapes(), *self._names(), *self._outside(), *self._hidden()]
        people = self._people[3:15]
        return [
            *(Template((s,), people, EDITOR, self._queries()) for s in single),
            *(self._session(*statements) for statements in self._sessions()),
            *(Template((s,), people, EDITOR, self._queries()) for s in COMMANDS),
        ]

    def monitor(self) -> list[Template]:
        """What the monitoring and backup services ask all day; a demo excludes `svc-*`."""
        hot = [t for t in self._company.readable[:40] if not t.is_view]
        return [
            Template((self._probe(t),), (self._watcher(i),), "Databricks SQL Connector for Python")
            for i, t in enumerate(hot)
        ]

    def miner(self) -> Template:
        """The miner's own statement: it tags itself and must not count itself."""
        text = (
            "SELECT source_table_full_name, target_table_full_name, count(statement_id) AS events\n"
            "FROM system.access.table_lineage WHERE event_date = DATE'<<day>>' GROUP BY ALL"
        )
        statement = Statement(text, reads={LINEAGE: LINEAGE.columns}, lineage=False)
        tags = (("application", "dbminer"), ("dbminer_version", "0.1.0"))
        miner = (self._company.services[-1],)
        return Template(
            (statement,), miner, "Databricks SQL Connector for Python", tags=tags, typical_ms=9_000
        )

    def _queries(self) -> tuple[Entity, ...]:
        return tuple(self._company.entities["DBSQL_QUERY"])

    def _watcher(self, index: int) -> Principal:
        return self._company.backup if index % 5 == 0 else self._company.monitor

    def _probe(self, table: Table) -> Statement:
        newest = (table.dates or table.columns)[0]
        text = (
            f"SELECT count(*) AS row_count, max({newest}) AS newest\n"
            f"FROM {table.sql_name} AS p<<u>>"
        )
        return Statement(text, reads={table: (newest,)})

    def _session(self, *statements: Statement) -> Template:
        notebooks = tuple(self._company.entities["NOTEBOOK"][:6])
        return Template(statements, self._people[:8], NOTEBOOK, notebooks, own_session=True)

    def _read(
        self, text: str, columns: dict[str, str], *, lineage: bool | None = None
    ) -> Statement:
        """A `SELECT` with the columns that it names in each table."""
        reads = {self._tables[name]: tuple(listed.split()) for name, listed in columns.items()}
        return Statement(text, reads=reads, lineage=lineage)

    def _shapes(self) -> list[Statement]:
        """Shapes of SQL that attribution gets wrong easily."""
        orders, lines = "prod.gold.fact_orders", "prod.gold.fact_order_lines"
        returns, daily = "prod.gold.fact_returns", "analytics.marts.orders_daily"
        return [
            self._read(  # the expression named like a table hides the table
                "WITH fact_orders<<u>> AS (\n  SELECT r.order_id, r.refund_amount\n"
                "  FROM prod.gold.fact_returns AS r WHERE r.return_date >= DATE'<<day>>'\n)\n"
                "SELECT count(*) AS orders, sum(refund_amount) AS refunded FROM fact_orders<<u>>",
                {returns: "order_id refund_amount return_date"},
            ),
            self._read(
                "SELECT o<<u>>.region, sum(o<<u>>.net_amount) AS then_amount\n"
                "FROM prod.gold.fact_orders VERSION AS OF <<version>> AS o<<u>>\nGROUP BY ALL",
                {orders: "region net_amount"},
            ),
            self._read(
                "SELECT count(DISTINCT l<<u>>.product_id) AS products\n"
                "FROM prod.gold.fact_order_lines TIMESTAMP AS OF '<<day>>' AS l<<u>>",
                {lines: "product_id"},
            ),
            self._read(
                "SELECT 'sold' AS what, a<<u>>.product_id, a<<u>>.quantity AS pieces\n"
                "FROM prod.gold.fact_order_lines AS a<<u>>\nUNION ALL\n"
                "SELECT 'returned', b<<u>>.product_id, b<<u>>.return_quantity\n"
                "FROM prod.gold.fact_returns AS b<<u>>",
                {lines: "product_id quantity", returns: "product_id return_quantity"},
            ),
            self._read(  # several statements in one text
                "SELECT s<<u>>.city FROM prod.gold.dim_stores AS s<<u>> LIMIT <<limit>>;\n"
                "SELECT p<<u>>.brand FROM prod.gold.dim_products AS p<<u>> LIMIT <<limit>>;",
                {"prod.gold.dim_stores": "city", "prod.gold.dim_products": "brand"},
            ),
            self._read(  # lineage knows all columns, the text names none
                "select * from analytics.marts.orders_daily limit <<limit>>",
                {daily: " ".join(self._tables[daily].columns)},
            ),
        ]

    def _names(self) -> list[Statement]:
        """Names that need care: quoted, in capitals, short, ambiguous, unknown."""
        churn = self._tables["sandbox.growth.churn-scores"]
        trial = self._tables["sandbox.growth.trial.v2"]
        budget = self._tables["analytics.marketing.CampaignBudget"]
        return [
            Statement(
                "SELECT c<<u>>.segment, count(*) AS people\n"
                "FROM sandbox.growth.`churn-scores` AS c<<u>> GROUP BY c<<u>>.segment",
                reads={churn: ("segment",)},
            ),
            Statement(
                "SELECT v<<u>>.device, v<<u>>.session_minutes\n"
                "FROM `sandbox`.`growth`.`trial.v2` AS v<<u>> LIMIT <<limit>>",
                reads={trial: ("device", "session_minutes")},
            ),
            Statement(
                "SELECT b<<u>>.Channel, sum(b<<u>>.budget_amount) AS budget\n"
                "FROM ANALYTICS.Marketing.campaignbudget AS b<<u>> GROUP BY 1",
                reads={budget: ("channel", "budget_amount")},
            ),
            self._read(  # two parts, fits exactly one table
                "SELECT e<<u>>.event_type, sum(e<<u>>.open_count) AS opened\n"
                "FROM marketing.email_engagement AS e<<u>> GROUP BY e<<u>>.event_type",
                {"analytics.marketing.email_engagement": "event_type open_count"},
            ),
            Statement(  # two parts, in `analytics` and in `finance`
                "SELECT k<<u>>.* FROM reporting.daily_kpis AS k<<u>> LIMIT <<limit>>", lineage=False
            ),
            Statement(
                "SELECT count(*) AS old_orders FROM legacy_dw.orders_2019 AS o<<u>>", lineage=False
            ),
            Statement("SELECT max(o<<u>>.id) FROM orders_backup AS o<<u>>", lineage=False),
        ]

    def _outside(self) -> list[Statement]:
        """Reads of excluded catalogs and of files."""
        path = "s3://larkfell-landing/partner-feeds/carriers/"
        customers = self._tables["prod.gold.dim_customers"]
        return [
            Statement(
                "SELECT t<<u>>.pickup_zip, avg(t<<u>>.fare_amount) AS fare\n"
                "FROM samples.nyctaxi.trips AS t<<u>> GROUP BY t<<u>>.pickup_zip",
                reads={NYC_TRIPS: ("pickup_zip", "fare_amount")},
            ),
            Statement(
                "SELECT u<<u>>.sku_name, sum(u<<u>>.usage_quantity) AS dbu\n"
                "FROM system.billing.usage AS u<<u>>\n"
                "WHERE u<<u>>.usage_date >= DATE'<<day>>' GROUP BY ALL",
                reads={BILLING: ("sku_name", "usage_quantity", "usage_date")},
            ),
            Statement(
                "SELECT c<<u>>.country, t<<u>>.trip_distance\n"
                "FROM prod.gold.dim_customers AS c<<u>>\n"
                "CROSS JOIN samples.nyctaxi.trips AS t<<u>> LIMIT <<limit>>",
                reads={customers: ("country",), NYC_TRIPS: ("trip_distance",)},
            ),
            Statement(f"SELECT count(*) FROM parquet.`{path}` AS f<<u>>", path=path, lineage=True),
            Statement(f"SELECT * FROM read_files('{path}', format => 'csv') AS f<<u>>", path=path),
        ]

    def _hidden(self) -> list[Statement]:
        """Redacted texts, with and without lineage; no SQL at all; a failure; a cancelled query."""
        salaries, bonus = (self._tables[f"finance.payroll.{n}"] for n in ("salaries", "bonus_pool"))
        orders = self._tables["prod.gold.fact_orders"]
        text = "SELECT * FROM t"
        return [
            Statement(
                text, reads={salaries: salaries.columns}, lineage=True, redacted="<REDACTED>"
            ),
            Statement(text, reads={bonus: bonus.columns[:4]}, lineage=False, redacted="<REDACTED>"),
            Statement(text, reads={bonus: bonus.columns[:2]}, lineage=True, redacted="<Redacted>"),
            Statement("selct everything about tents frm the big warehouse pls", lineage=False),
            Statement(
                "SELECT o<<u>>.net_amout FROM prod.gold.fact_orders_v9 AS o<<u>>",
                status="FAILED",
                error=FAILURE,
            ),
            Statement(
                "SELECT o<<u>>.order_id FROM prod.gold.fact_orders AS o<<u>> ORDER BY 1",
                reads={orders: ("order_id",)},
                status="CANCELED",
                error="The query was cancelled by its user.",
            ),
        ]

    def _sessions(self) -> list[tuple[Statement, ...]]:
        """Sessions whose later statements need the earlier ones to be understood."""
        use_catalog = Statement("USE CATALOG prod", "USE")
        by_store = self._read(
            "SELECT s<<u>>.region, sum(o<<u>>.net_amount) AS amount\nFROM fact_orders AS o<<u>>\n"
            "JOIN dim_stores AS s<<u>> ON o<<u>>.store_id = s<<u>>.store_id\nGROUP BY ALL",
            {
                "prod.gold.fact_orders": "net_amount store_id",
                "prod.gold.dim_stores": "region store_id",
            },
        )
        silver = self._read(
            "SELECT c<<u>>.segment, count(*) FROM silver.customers AS c<<u>> GROUP BY ALL",
            {"prod.silver.customers": "segment"},
        )
        ledger = self._read(
            "SELECT g<<u>>.provider, sum(g<<u>>.paid_amount) AS paid\n"
            "FROM general_ledger AS g<<u>> GROUP BY g<<u>>.provider",
            {"finance.ledger.general_ledger": "provider paid_amount"},
        )
        temporary = self._read(
            "CREATE OR REPLACE TEMPORARY VIEW recent_returns AS\nSELECT r<<u>>.reason,"
            " r<<u>>.refund_amount\nFROM prod.gold.fact_returns AS r<<u>>\n"
            "WHERE r<<u>>.return_date >= DATE'<<day>>'",
            {"prod.gold.fact_returns": "reason refund_amount return_date"},
        )
        by_reason = Statement(
            "SELECT v<<u>>.reason, sum(v<<u>>.refund_amount)\n"
            "FROM recent_returns AS v<<u>> GROUP BY 1",
            lineage=False,
        )
        return [
            (use_catalog, Statement("USE SCHEMA gold", "USE"), by_store),
            (use_catalog, silver),
            (Statement("USE finance.ledger", "USE"), ledger),
            (Statement(temporary.text, "CREATE", temporary.reads, lineage=False), by_reason),
        ]
