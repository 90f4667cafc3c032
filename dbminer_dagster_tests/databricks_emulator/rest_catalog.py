"""REST calls on Unity Catalog: its metastore, system schemas, and lists of what it holds."""

import base64
import re
from collections.abc import Iterable
from typing import NamedTuple

from dbminer_dagster_tests.databricks_emulator.api_error import refused
from dbminer_dagster_tests.databricks_emulator.routes import Body, Call, route
from dbminer_dagster_tests.databricks_emulator.workspace import Table, Workspace

_ROOT = "/api/2.1/unity-catalog"
_SYSTEM_SCHEMAS = ("access", "billing", "compute", "information_schema", "lakeflow", "query")
_OWNER = "admin@larkfell.example"
_TYPE_NAMES = {"bigint": "LONG", "tinyint": "BYTE", "smallint": "SHORT"}


class _Listed(NamedTuple):
    """A row of a list and the parts of its name."""

    parts: tuple[str, ...]
    body: Body


def _metastore_summary(call: Call) -> Body:
    workspace = _with_metastore(call)
    return {
        "metastore_id": workspace.metastore_id,
        "global_metastore_id": f"aws:{workspace.region}:{workspace.metastore_id}",
        "name": "larkfell",
        "cloud": "aws",
        "region": workspace.region,
        "owner": _OWNER,
        "privilege_model_version": "1.0",
    }


def _metastore_assignment(call: Call) -> Body:
    workspace = _with_metastore(call)
    return {
        "metastore_id": workspace.metastore_id,
        "workspace_id": int(workspace.workspace_id),
        "default_catalog_name": "main",
    }


def _list_system_schemas(call: Call) -> Body:
    enabled = _as_metastore_admin(call).enabled_system_schemas
    return {
        "schemas": [
            {"schema": name, "state": "ENABLE_COMPLETED" if name in enabled else "AVAILABLE"}
            for name in _SYSTEM_SCHEMAS
        ]
    }


def _enable_system_schema(call: Call) -> Body:
    _as_metastore_admin(call).enabled_system_schemas.add(_system_schema(call))
    return {}


def _disable_system_schema(call: Call) -> Body:
    _as_metastore_admin(call).enabled_system_schemas.discard(_system_schema(call))
    return {}


def _list_catalogs(call: Call) -> Body:
    tables = _with_metastore(call).tables.values()
    names = dict.fromkeys(["system", *(table.catalog for table in tables)])
    return _page(
        call,
        "catalogs",
        [_Listed((name,), {"name": name, "full_name": name, "owner": _OWNER}) for name in names],
    )


def _list_schemas(call: Call) -> Body:
    catalog = call.query.get("catalog_name", "")
    tables = _tables_of(call, catalog)
    enabled = sorted(call.workspace.enabled_system_schemas) if catalog == "system" else []
    names = dict.fromkeys([*(table.schema for table in tables), *enabled])
    return _page(
        call,
        "schemas",
        [
            _Listed(
                (catalog, name),
                {"name": name, "catalog_name": catalog, "full_name": f"{catalog}.{name}"},
            )
            for name in names
        ],
    )


def _list_tables(call: Call) -> Body:
    catalog, schema = call.query.get("catalog_name", ""), call.query.get("schema_name", "")
    tables = [
        table for table in _tables_of(call, catalog) if table.schema.lower() == schema.lower()
    ]
    if not tables:
        message = f"Schema '{catalog}.{schema}' does not exist."
        raise refused(404, "SCHEMA_DOES_NOT_EXIST", message)
    with_columns = call.query.get("omit_columns") != "true"
    return _page(
        call,
        "tables",
        [
            _Listed(
                (table.catalog, table.schema, table.name),
                _table(call.workspace, table, with_columns=with_columns),
            )
            for table in tables
        ],
    )


def _list_table_summaries(call: Call) -> Body:
    in_schema = _like(call.query.get("schema_name_pattern", "%"))
    named = _like(call.query.get("table_name_pattern", "%"))
    return _page(
        call,
        "tables",
        [
            _Listed(
                (table.catalog, table.schema, table.name),
                {"full_name": _full_name(table), "table_type": table.table_type},
            )
            for table in _tables_of(call, call.query.get("catalog_name", ""))
            if in_schema.fullmatch(table.schema) and named.fullmatch(table.name)
        ],
        most=10_000,
    )


def _with_metastore(call: Call) -> Workspace:
    if not call.workspace.unity_catalog:
        message = "No metastore assigned for the current workspace."
        raise refused(404, "METASTORE_DOES_NOT_EXIST", message)
    return call.workspace


def _as_metastore_admin(call: Call) -> Workspace:
    workspace = _with_metastore(call)
    if call.parts[0] != workspace.metastore_id:
        message = f"Metastore '{call.parts[0]}' does not exist."
        raise refused(404, "METASTORE_DOES_NOT_EXIST", message)
    if call.principal.name not in workspace.metastore_admins:
        message = "Only metastore admins or account admins may manage system schemas."
        raise refused(403, "PERMISSION_DENIED", message)
    return workspace


def _system_schema(call: Call) -> str:
    name = call.parts[1]
    if name not in _SYSTEM_SCHEMAS:
        message = f"System schema '{name}' does not exist."
        raise refused(404, "SCHEMA_DOES_NOT_EXIST", message)
    return name


def _tables_of(call: Call, catalog: str) -> list[Table]:
    """The tables of a catalog that SQL knows too.

    Raises:
        ApiError: There is no such catalog.
    """
    workspace = _with_metastore(call)
    tables = [
        table
        for (name, schema, _), table in workspace.tables.items()
        if name == catalog.lower() and workspace.schema_exists(name, schema)
    ]
    if not tables and catalog != "system":
        raise refused(404, "CATALOG_DOES_NOT_EXIST", f"Catalog '{catalog}' does not exist.")
    return tables


def _page(call: Call, key: str, listed: list[_Listed], most: int = 50) -> Body:
    """A page of a list; rows that the caller may not see are left out, even if none is left."""
    start = _page_start(call.query.get("page_token", ""))
    most = call.workspace.page_size or most
    wanted = int(call.query.get("max_results", "0"))
    end = start + min(wanted or most, most)
    body: Body = {key: list(_visible(call, listed[start:end]))}
    if end < len(listed):
        body["next_page_token"] = base64.urlsafe_b64encode(str(end).encode()).decode()
    return body


def _page_start(token: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(token) or 0)
    except ValueError:
        raise refused(400, "INVALID_PARAMETER_VALUE", "Invalid page token.") from None


def _visible(call: Call, listed: Iterable[_Listed]) -> Iterable[Body]:
    """What the caller may use, and, marked so, what it may only browse."""
    browses = call.query.get("include_browse") == "true"
    for parts, body in listed:
        if call.workspace.missing_privilege(call.principal, *parts) is None:
            yield body
        elif browses and call.workspace.holds(call.principal, "BROWSE", *parts):
            yield {**body, "browse_only": True}


def _table(workspace: Workspace, table: Table, *, with_columns: bool) -> Body:
    body: Body = {
        "name": table.name,
        "catalog_name": table.catalog,
        "schema_name": table.schema,
        "full_name": _full_name(table),
        "table_type": table.table_type,
        "metastore_id": workspace.metastore_id,
        "owner": _OWNER,
    }
    if table.storage_location:
        body |= {"data_source_format": "DELTA", "storage_location": table.storage_location}
    if with_columns:
        body["columns"] = [
            {
                "name": column.name,
                "position": position,
                "type_text": column.type_text,
                "type_name": _type_name(column.type_text),
                "nullable": True,
            }
            for position, column in enumerate(table.columns)
        ]
    return body


def _type_name(type_text: str) -> str:
    plain = re.split(r"[(<]", type_text.lower())[0]
    return _TYPE_NAMES.get(plain, plain.upper())


def _full_name(table: Table) -> str:
    """Unity Catalog joins the parts as they are, without quotes."""
    return f"{table.catalog}.{table.schema}.{table.name}"


def _like(pattern: str) -> re.Pattern[str]:
    """A pattern of SQL's LIKE."""
    wildcards = {"%": ".*", "_": "."}
    return re.compile("".join(wildcards.get(c, re.escape(c)) for c in pattern), re.IGNORECASE)


ROUTES = (
    route("GET", f"{_ROOT}/metastore_summary", "unity-catalog", _metastore_summary),
    route("GET", f"{_ROOT}/current-metastore-assignment", "unity-catalog", _metastore_assignment),
    route("GET", f"{_ROOT}/metastores/*/systemschemas", "unity-catalog", _list_system_schemas),
    route("PUT", f"{_ROOT}/metastores/*/systemschemas/*", "unity-catalog", _enable_system_schema),
    route(
        "DELETE", f"{_ROOT}/metastores/*/systemschemas/*", "unity-catalog", _disable_system_schema
    ),
    route("GET", f"{_ROOT}/catalogs", "unity-catalog", _list_catalogs),
    route("GET", f"{_ROOT}/schemas", "unity-catalog", _list_schemas),
    route("GET", f"{_ROOT}/tables", "unity-catalog", _list_tables),
    route("GET", f"{_ROOT}/table-summaries", "unity-catalog", _list_table_summaries),
)
