"""Rows of `system.billing`, for workspaces on loopback."""

from typing import Any

from dbminer_dagster_tests.databricks_emulator import Emulator

USAGE, LIST_PRICES = "system.billing.usage", "system.billing.list_prices"
SKU = "PREMIUM_SQL_PRO_COMPUTE_EU_CENTRAL"
START = "2026-01-05T12:00:00Z"


def usage_row(quantity: str | float, start: str = START, **changes: Any) -> dict[str, Any]:
    """A usage record of the hour from `start`, of a warehouse in workspace 17."""
    clock = int(start[11:13])
    until = f"{start[:11]}{clock + 1:02}{start[13:]}"
    return {
        "workspace_id": "17",
        "sku_name": SKU,
        "cloud": "AWS",
        "usage_unit": "DBU",
        "usage_start_time": start,
        "usage_end_time": until,
        "usage_date": start[:10],
        "usage_quantity": quantity,
        "usage_metadata": {"warehouse_id": "wh"},
        "record_type": "ORIGINAL",
        "billing_origin_product": "SQL",
        **changes,
    }


def price_row(price: str, **changes: Any) -> dict[str, Any]:
    """A list price in US dollars, from the beginning of 2025 on; the effective one counts."""
    return {
        "sku_name": SKU,
        "cloud": "AWS",
        "usage_unit": "DBU",
        "currency_code": "USD",
        "price_start_time": "2025-01-01T00:00:00Z",
        "pricing": {
            "default": "9.99",
            "promotional": {"default": price},
            "effective_list": {"default": price},
        },
        **changes,
    }


def load_billing(
    emulator: Emulator, usage: list[dict[str, Any]], prices: list[dict[str, Any]]
) -> None:
    """Puts the rows into the tables of the workspace."""
    for table, rows in ((USAGE, usage), (LIST_PRICES, prices)):
        if rows:
            emulator.load_rows(table, rows)
