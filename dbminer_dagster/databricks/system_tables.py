"""The system tables that dbminer reads, or their clones: where they are and what they must have.

Columns as in Databricks' pages on the lineage and the query-history system tables. They get added
without notice, so that every statement names its columns and leaves out what a source lacks.
"""

from dataclasses import dataclass
from typing import Protocol

SYSTEM_CATALOG = "system"
_ENTITY_COLUMNS = frozenset({"entity_type", "entity_id", "entity_metadata"})
_LINEAGE_REQUIRED = frozenset(
    {"event_date", "event_time", "source_table_full_name", "target_table_full_name"}
)
_LINEAGE_OPTIONAL = _ENTITY_COLUMNS | frozenset(
    {"workspace_id", "statement_id", "created_by", "direct_access", "record_id"}
    | {
        f"{end}_{part}"
        for end in ("source", "target")
        for part in ("table_catalog", "table_schema", "table_name", "path", "type")
    }
)


class Places(Protocol):
    """Where the system tables or their clones are, as the settings tell it."""

    lineage_catalog: str
    lineage_schema: str
    query_history_catalog: str
    query_history_schema: str


def quoted(*parts: str) -> str:
    """An identifier of SQL: each part in back-quotes, those inside doubled."""
    return ".".join(f"`{part.replace('`', '``')}`" for part in parts)


@dataclass(frozen=True, slots=True)
class SystemTable:
    """A system table, or a view that clones it.

    Attributes:
        catalog: Its catalog.
        schema: Its schema.
        name: Its name.
        required: Columns without which it cannot be mined.
        optional: Columns that are used where they exist.
    """

    catalog: str
    schema: str
    name: str
    required: frozenset[str]
    optional: frozenset[str]

    @property
    def quoted(self) -> str:
        """The name as it stands in a statement."""
        return quoted(self.catalog, self.schema, self.name)

    @property
    def full_name(self) -> str:
        """The name as people write it."""
        return f"{self.catalog}.{self.schema}.{self.name}"

    @property
    def is_clone(self) -> bool:
        """Whether an administrator made it over the system table."""
        return self.catalog.lower() != SYSTEM_CATALOG


def table_lineage(places: Places) -> SystemTable:
    """Lineage between tables."""
    return SystemTable(
        places.lineage_catalog,
        places.lineage_schema,
        "table_lineage",
        _LINEAGE_REQUIRED,
        _LINEAGE_OPTIONAL,
    )


def column_lineage(places: Places) -> SystemTable:
    """Lineage between columns."""
    return SystemTable(
        places.lineage_catalog,
        places.lineage_schema,
        "column_lineage",
        _LINEAGE_REQUIRED | {"source_column_name", "target_column_name"},
        _LINEAGE_OPTIONAL,
    )


def query_history(places: Places) -> SystemTable:
    """Query history; `system.query.history`, and `query_history` in a cloned catalog."""
    catalog = places.query_history_catalog
    return SystemTable(
        catalog,
        places.query_history_schema,
        "history" if catalog.lower() == SYSTEM_CATALOG else "query_history",
        frozenset(
            {
                *("workspace_id", "statement_id", "start_time", "executed_by"),
                *("execution_status", "statement_text", "statement_type"),
            }
        ),
        frozenset(
            {
                *("session_id", "executed_by_user_id", "executed_as", "executed_as_user_id"),
                *("error_message", "compute", "client_application", "end_time", "update_time"),
                *("total_duration_ms", "execution_duration_ms", "compilation_duration_ms"),
                *("total_task_duration_ms", "read_bytes", "read_rows", "produced_rows"),
                *("from_result_cache", "cache_origin_statement_id", "query_source", "query_tags"),
            }
        ),
    )


def billing_usage(places: Places) -> SystemTable:
    """What the account was billed for, in units; in a cloned catalog beside the query history."""
    return _billing_table(
        places,
        "usage",
        "billing_usage",
        *("workspace_id", "sku_name", "cloud", "usage_unit", "usage_quantity"),
        *("usage_start_time", "usage_end_time", "usage_date", "usage_metadata"),
    )


def list_prices(places: Places) -> SystemTable:
    """What a unit costs before discounts; in a cloned catalog beside the query history."""
    return _billing_table(
        places,
        "list_prices",
        "list_prices",
        *("sku_name", "cloud", "usage_unit", "currency_code"),
        *("price_start_time", "price_end_time", "pricing"),
    )


def _billing_table(places: Places, name: str, name_of_clone: str, *required: str) -> SystemTable:
    catalog = places.query_history_catalog
    if catalog.lower() == SYSTEM_CATALOG:
        return SystemTable(catalog, "billing", name, frozenset(required), frozenset())
    schema = places.query_history_schema
    return SystemTable(catalog, schema, name_of_clone, frozenset(required), frozenset())
