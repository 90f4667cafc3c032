"""Answers of the lineage REST calls for some tables: snapshots without statement and user."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import msgspec

from sample_generator.company import Company
from sample_generator.model import Entity, Table

MASKED_TABLE = {"tableInfo": {"has_permission": False}}
MASKED_COLUMN = {"has_permission": False}
ASKED = (
    "prod.gold.fact_orders",
    "prod.gold.dim_customers",
    "prod.gold.fact_shipments",
    "prod.silver.orders",
    "prod.silver.page_views",
    "analytics.marts.orders_daily",
    "analytics.marts.delivery_times",
    "analytics.reporting.v_orders_enriched",
)


def rest_answers(company: Company, day: date) -> Iterator[bytes]:
    """One line for each table asked about, then two tables that only REST knows."""
    feeds: dict[Table, list[Table]] = {}
    for table in company.tables.values():
        for source in table.sources:
            feeds.setdefault(source, []).append(table)
    for name in ASKED:
        table = company.tables[name]
        targets = [t for t in feeds.get(table, []) if t.load not in ("none", "story", "regional")]
        yield _line(_answer(company, table, targets, day))
    for answer in _weather(company, day):
        yield _line(answer)


def _answer(company: Company, table: Table, targets: list[Table], day: date) -> dict[str, Any]:
    time = f"{day} 05:30:00.0"
    upstreams = [_item(s, time, company.entities["JOB"][0], company) for s in table.sources]
    downstreams = [_item(t, time, company.entities["JOB"][1], company) for t in targets]
    lineage = {
        "upstreams": [*upstreams, *_odd_items(table, time)],
        "downstreams": [*downstreams, _notebook_item(company, time), MASKED_TABLE],
    }
    columns = {c: _column(c, table, targets, time) for c in table.columns}
    return _document(company, table.full_name, lineage, columns, day)


def _item(table: Table, time: str, job: Entity, company: Company) -> dict[str, Any]:
    info = {
        "name": table.name,
        "catalog_name": table.catalog,
        "schema_name": table.schema,
        "table_type": "PERSISTED_VIEW" if table.is_view else table.kind,
        "lineage_timestamp": time,
        "has_permission": True,
    }
    workspace = int(company.workspace_id)
    return {
        "tableInfo": info,
        "jobInfos": [{"workspace_id": workspace, "job_id": int(job.entity_id or 0)}],
    }


def _odd_items(table: Table, time: str) -> list[dict[str, Any]]:
    """A file, and a kind of item that no reader knows yet."""
    path = f"s3://larkfell-landing/{table.name}/"
    file = {
        "path": path,
        "has_permission": True,
        "securable_name": "larkfell_landing",
        "securable_type": "EXTERNAL_LOCATION",
        "storage_location": path,
        "lineage_timestamp": time,
    }
    if table.schema == "silver":
        return [{"fileInfo": file}]
    return [{"holographInfo": {"name": "unheard-of", "lineage_timestamp": time}}]


def _notebook_item(company: Company, time: str) -> dict[str, Any]:
    """A notebook that reads the table and writes nothing."""
    notebook = company.entities["NOTEBOOK"][2]
    ids = {"workspace_id": int(company.workspace_id), "notebook_id": int(notebook.entity_id or 0)}
    return {"notebookInfos": [{**ids, "lineage_timestamp": time}]}


def _column(name: str, table: Table, targets: list[Table], time: str) -> dict[str, Any]:
    source = next((s for s in table.sources if name in s.columns), None)
    upstream = [_column_entry(source, name, time)] if source else []
    downstream = [_column_entry(t, name, time) for t in targets if name in t.columns]
    masked = [MASKED_COLUMN] if name == table.columns[0] else []
    return {"upstream_cols": upstream, "downstream_cols": [*downstream, *masked]}


def _column_entry(table: Table, name: str, time: str) -> dict[str, Any]:
    return {
        "name": name,
        "catalog_name": table.catalog,
        "schema_name": table.schema,
        "table_name": table.name,
        "table_type": "PERSISTED_VIEW" if table.is_view else table.kind,
        "lineage_timestamp": time,
        "has_permission": True,
    }


def _weather(company: Company, day: date) -> Iterator[dict[str, Any]]:
    """A pair of tables that no system-table row names, and a table without any lineage."""
    columns = ("station_id", "observed_date", "weather", "temperature_rate")
    silver = Table("prod", "silver", "weather_observations", columns)
    gold = Table("prod", "gold", "dim_weather", columns, sources=(silver,))
    time = f"{day} 05:30:00.0"
    item = _item(silver, time, company.entities["JOB"][0], company)
    lineage = {"upstreams": [item], "downstreams": []}
    names = {c: _column(c, gold, [], time) for c in columns}
    yield _document(company, gold.full_name, lineage, names, day)
    yield _document(company, "sandbox.growth.untouched", {}, {}, day)


def _document(
    company: Company,
    name: str,
    lineage: dict[str, Any],
    columns: dict[str, Any],
    day: date,
) -> dict[str, Any]:
    return {
        "table_name": name,
        "table_lineage": lineage,
        "columns": columns,
        "extracted_at": f"{day}T23:30:00Z",
        "workspace_id": company.workspace_id,
    }


def _line(document: dict[str, Any]) -> bytes:
    return msgspec.json.encode(document) + b"\n"
