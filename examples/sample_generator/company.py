"""Larkfell Outfitters, an imagined outdoor retailer: its tables, people and tools."""

from dataclasses import dataclass
from random import Random
from uuid import UUID

from sample_generator.model import Entity, Principal, Table

DOMAIN = "larkfell.example"
ENTITIES = {
    "orders": "order_id customer_id store_id order_date order_status channel region currency"
    " gross_amount discount_amount net_amount item_count",
    "order_lines": "order_line_id order_id product_id order_date category color size"
    " unit_price quantity line_amount",
    "customers": "customer_id signup_date country segment email_domain loyalty_tier"
    " lifetime_amount order_count",
    "products": "product_id supplier_id launch_date product_name category brand season"
    " list_price unit_cost",
    "stores": "store_id opened_date store_name city region format floor_area_count",
    "inventory": "product_id store_id snapshot_date stock_status on_hand_quantity"
    " reserved_quantity reorder_quantity",
    "shipments": "shipment_id order_id shipped_date delivered_date carrier service_level"
    " shipping_cost parcel_count",
    "returns": "return_id order_id product_id return_date reason condition refund_amount"
    " return_quantity",
    "payments": "payment_id order_id customer_id paid_at method provider currency"
    " paid_amount fee_amount",
    "web_sessions": "session_id customer_id session_date device browser landing_page utm_source"
    " page_count session_minutes",
    "page_views": "page_view_id session_id product_id viewed_at page_type referrer dwell_minutes",
    "campaigns": "campaign_id start_date channel campaign_name audience budget_amount target_rate",
    "email_events": "email_event_id campaign_id customer_id event_date event_type client"
    " open_count click_count",
    "suppliers": "supplier_id onboarded_date supplier_name country incoterm quality_score"
    " lead_time_minutes",
    "purchase_orders": "purchase_order_id supplier_id product_id ordered_date expected_date"
    " order_status ordered_quantity ordered_amount",
    "reviews": "review_id product_id customer_id review_date headline language review_score"
    " helpful_count",
    "loyalty_accounts": "loyalty_account_id customer_id joined_date tier status points"
    " earned_points",
    "promotions": "promotion_id campaign_id start_date promotion_code mechanic discount_rate"
    " redemption_count",
    "support_tickets": "ticket_id customer_id order_id opened_at priority topic queue"
    " handling_minutes satisfaction_score",
    "store_visits": "store_id visit_date hour_of_day entrance weather visitor_count dwell_minutes",
}
DIMENSIONS = ("customers", "products", "stores", "campaigns", "suppliers", "promotions")
# name, kind, how it is loaded, sources; columns come from the sources by name
DERIVED = """
analytics.marketing.campaign_attribution TABLE replace prod.gold.dim_campaigns prod.gold.fact_email_events
analytics.marketing.CampaignBudget TABLE insert prod.gold.dim_campaigns
analytics.marketing.email_engagement TABLE replace prod.gold.fact_email_events prod.gold.dim_customers
analytics.marketing.segment_members TABLE replace prod.gold.dim_customers prod.gold.fact_loyalty_accounts
analytics.marketing.promotion_uplift TABLE replace prod.gold.dim_promotions prod.gold.dim_campaigns
analytics.marketing.review_sentiment TABLE insert prod.gold.fact_reviews
analytics.marketing.audience_overlap TABLE none prod.gold.dim_customers
analytics.marts.customer_value TABLE story prod.gold.dim_customers prod.gold.fact_orders
analytics.marts.store_traffic_daily TABLE story prod.gold.fact_store_visits
analytics.marts.store_footfall_daily TABLE story prod.gold.fact_store_visits
analytics.marts.holiday_gift_guide TABLE story prod.gold.dim_products prod.gold.fact_order_lines
analytics.marts.winter_clearance TABLE story prod.gold.dim_products prod.gold.fact_inventory
analytics.marts.returns_by_supplier TABLE replace prod.gold.fact_returns prod.gold.dim_products
analytics.marts.basket_pairs TABLE replace prod.gold.fact_order_lines prod.gold.fact_orders
analytics.marts.delivery_times MATERIALIZED_VIEW cluster prod.gold.fact_shipments prod.gold.fact_orders
analytics.reporting.v_orders_enriched VIEW view prod.gold.fact_orders prod.gold.dim_customers
analytics.reporting.v_sales_overview VIEW view analytics.reporting.v_orders_enriched
analytics.reporting.v_board_pack VIEW view analytics.reporting.v_sales_overview
analytics.reporting.v_stock_health VIEW view prod.gold.fact_inventory prod.gold.dim_products
analytics.reporting.v_stock_alerts VIEW view analytics.reporting.v_stock_health
analytics.reporting.daily_kpis TABLE replace analytics.marts.orders_daily
finance.reporting.daily_kpis TABLE replace analytics.marts.payments_daily
finance.ledger.general_ledger TABLE merge prod.gold.fact_payments
finance.ledger.revenue_recognition TABLE story prod.gold.fact_orders prod.gold.fact_shipments
finance.ledger.refund_accruals TABLE overwrite prod.gold.fact_returns prod.gold.fact_orders
finance.ledger.supplier_payables TABLE merge prod.gold.fact_purchase_orders prod.gold.dim_suppliers
finance.ledger.payment_fees TABLE insert prod.gold.fact_payments
finance.ledger.month_end_balance TABLE monthly finance.ledger.general_ledger
finance.planning.budget_import TABLE none prod.gold.fact_payments
finance.planning.budget_baseline TABLE story finance.ledger.general_ledger
finance.planning.cost_forecast TABLE replace finance.ledger.supplier_payables
finance.planning.margin_bridge TABLE replace prod.gold.fact_order_lines prod.gold.dim_products
finance.reporting.v_cash_position VIEW view finance.ledger.general_ledger
finance.payroll.salaries TABLE none prod.gold.fact_payments
finance.payroll.bonus_pool TABLE none prod.gold.fact_payments
sandbox.growth.churn-scores TABLE insert prod.gold.dim_customers prod.gold.fact_web_sessions
sandbox.growth.trial.v2 TABLE none prod.gold.fact_web_sessions
sandbox.growth.uplift_draft TABLE none prod.gold.fact_email_events
sandbox.data_science.demand_features TABLE replace prod.gold.fact_order_lines prod.gold.fact_inventory
sandbox.data_science.demand_forecast TABLE cluster sandbox.data_science.demand_features
sandbox.data_science.review_embeddings TABLE cluster prod.gold.fact_reviews
sandbox.data_science.size_advice TABLE none prod.gold.fact_returns
sandbox.people.ana_tmp_orders TABLE none prod.gold.fact_orders
sandbox.people.copy_of_customers TABLE none prod.gold.dim_customers
"""  # noqa: E501
HOT = (
    "prod.gold.fact_orders",
    "prod.gold.dim_customers",
    "analytics.reporting.v_sales_overview",
    "prod.gold.dim_products",
    "analytics.marts.orders_daily",
    "prod.gold.fact_order_lines",
    "analytics.reporting.v_orders_enriched",
    "analytics.marketing.campaign_attribution",
    "finance.ledger.general_ledger",
    "analytics.reporting.v_stock_health",
)
FIRST_NAMES = (
    "ana ben carla dmitri elif farah goran hana ivan jules kofi lena mara nils oda pavel"
    " quinn rosa sami tara uwe vera wim yara"
)
LAST_NAMES = (
    "abara berg costa dahl evers fabre gruber hansen ito jansen keller lund moreau novak"
    " okafor petit quist rossi silva tanaka ueda vargas weber zhou"
)
SERVICES = 9


@dataclass(frozen=True, slots=True)
class Company:
    """Everything that exists before anyone runs a statement."""

    tables: dict[str, Table]
    readable: list[Table]
    people: list[Principal]
    services: list[Principal]
    monitor: Principal
    backup: Principal
    entities: dict[str, list[Entity]]
    workspace_id: str = "7405618923410267"
    account_id: str = "5d0f2f0e-6f0b-4c51-9a3e-2b8c1de0a714"
    metastore_id: str = "b1a6c2d4-3e57-4f8a-8c90-7d2e1f30a5b6"
    warehouses: tuple[str, ...] = ("4f1c9b7a20de8365", "a07e35d19c42bb80", "c9d2416e8f7035ab")


def build_company(rng: Random, *, users: int, tables: int) -> Company:
    """Build the company; the named core of about 150 tables is always there."""
    catalogue = _core_tables()
    for index in range(len(catalogue), tables):
        extra = _regional_table(catalogue, index)
        catalogue[extra.full_name] = extra
    people, services = _principals(rng, users)
    named = {
        kind: Principal(rng.getrandbits(49), f"svc-{kind}@{DOMAIN}")
        for kind in ("monitoring", "backup")
    }
    return Company(
        tables=catalogue,
        readable=_readable(rng, catalogue),
        people=people,
        services=services,
        monitor=named["monitoring"],
        backup=named["backup"],
        entities=_entities(rng, users),
    )


def _core_tables() -> dict[str, Table]:
    """The medallion layers of every entity, then the tables derived from them."""
    layers = [_layers(name, index) for index, name in enumerate(ENTITIES)]
    tables = {t.full_name: t for layer in layers for t in layer}
    for line in DERIVED.strip().splitlines():
        full_name, kind, load, *sources = line.split()
        catalog, schema, name = full_name.split(".", 2)
        feeding = tuple(tables[s] for s in sources)
        columns = _derived_columns(feeding)
        tables[full_name] = Table(catalog, schema, name, columns, kind, load, feeding)
    return tables


def _layers(entity: str, index: int) -> list[Table]:
    """Raw files, cleaned rows, the published table, its daily and weekly sums, and a view."""
    columns = tuple(ENTITIES[entity].split())
    prefix = "dim" if entity in DIMENSIONS else "fact"
    raw = (*columns, "_ingested_at", "_source_file")
    bronze_load = "copy" if index % 3 == 0 else "path"
    bronze = Table("prod", "bronze", f"{entity}_raw", raw, "TABLE", bronze_load)
    streaming = index % 3 == 1
    silver_kind = "STREAMING_TABLE" if streaming else "TABLE"
    silver_load = "cluster" if index % 3 else "merge"
    silver = Table(
        "prod", "silver", entity, (*columns, "updated_at"), silver_kind, silver_load, (bronze,)
    )
    gold_load = "overwrite" if prefix == "dim" else "insert"
    gold = Table("prod", "gold", f"{prefix}_{entity}", columns, "TABLE", gold_load, (silver,))
    view = Table("analytics", "reporting", f"v_{entity}", columns, "VIEW", "view", (gold,))
    if prefix == "dim":
        return [bronze, silver, gold, view]
    sums = (*gold.dates[:1], *gold.attributes[:3], *gold.measures)
    daily = Table("analytics", "marts", f"{entity}_daily", sums, "TABLE", "replace", (gold,))
    weekly = Table("analytics", "marts", f"{entity}_weekly", sums, "TABLE", "weekly", (daily,))
    return [bronze, silver, gold, view, daily, weekly]


def _derived_columns(sources: tuple[Table, ...]) -> tuple[str, ...]:
    """Columns of a derived table: by name from its sources, without the second one's dates."""
    columns = list(sources[0].columns)
    for other in sources[1:]:
        columns += [c for c in other.attributes[:3] + other.measures if c not in columns]
    return tuple(columns)


def _regional_table(tables: dict[str, Table], index: int) -> Table:
    """One of the many regional copies that a large company keeps."""
    entity = list(ENTITIES)[index % len(ENTITIES)]
    prefix = "dim" if entity in DIMENSIONS else "fact"
    gold = tables[f"prod.gold.{prefix}_{entity}"]
    schema = f"region_{index % 50:02d}"
    return Table(
        "analytics", schema, f"{entity}_{index}", gold.columns, "TABLE", "regional", (gold,)
    )


def _readable(rng: Random, tables: dict[str, Table]) -> list[Table]:
    """Tables that people query, hottest first; raw layers and a few others are never read."""
    kept = [t for t in tables.values() if t.schema not in ("bronze", "payroll")]
    kept = [t for t in kept if t.full_name not in HOT and t.load not in ("none", "story")]
    rng.shuffle(kept)
    never_read = len(kept) // 8
    return [tables[name] for name in HOT] + kept[: len(kept) - never_read]


def _principals(rng: Random, users: int) -> tuple[list[Principal], list[Principal]]:
    """People as first.last@…, and service principals known by their application id."""
    services = [
        Principal(rng.getrandbits(49), str(UUID(int=rng.getrandbits(128), version=4)))
        for _ in range(SERVICES)
    ]
    people: list[Principal] = []
    pairs = [(first, last) for first in FIRST_NAMES.split() for last in LAST_NAMES.split()]
    rng.shuffle(pairs)
    for index in range(max(20, users - SERVICES - 2)):
        first, last = pairs[index % len(pairs)]
        suffix = str(index // len(pairs)) if index >= len(pairs) else ""
        people.append(Principal(rng.getrandbits(49), f"{first}.{last}{suffix}@{DOMAIN}"))
    return people, services


def _entities(rng: Random, users: int) -> dict[str, list[Entity]]:
    """Dashboards, queries, jobs, notebooks and pipelines; their number grows with the users."""

    def numbers() -> str:
        return str(rng.randrange(10**14, 10**15))

    def uuids() -> str:
        return str(UUID(int=rng.getrandbits(128), version=4))

    makers = {
        "DASHBOARD_V3": (uuids, 14),
        "DBSQL_DASHBOARD": (uuids, 3),
        "DBSQL_QUERY": (uuids, 20),
        "NOTEBOOK": (numbers, 18),
        "JOB": (numbers, 10),
        "PIPELINE": (uuids, 4),
    }
    scale = max(1, users // 60)
    return {
        kind: [Entity(kind, make()) for _ in range(count * scale)]
        for kind, (make, count) in makers.items()
    }
