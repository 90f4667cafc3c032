"""The state of the emulated workspace: principals, privileges, a warehouse, tables."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dbminer_dagster_tests.databricks_emulator.grants import (
    Grants,
    SecurableType,
    make_grant,
    parse_grant_line,
)
from dbminer_dagster_tests.databricks_emulator.warehouse import Warehouse

_READ_NEEDS: tuple[tuple[str, SecurableType], ...] = (
    ("USE CATALOG", "CATALOG"),
    ("USE SCHEMA", "SCHEMA"),
    ("SELECT", "TABLE"),
)
ALL_APIS = "all-apis"
SCOPES = frozenset({ALL_APIS, "sql", "unity-catalog"})


@dataclass(frozen=True, slots=True)
class Principal:
    """Who may sign in.

    Attributes:
        id: The number that Databricks gives it.
        name: The user name, or the application id of a service principal; grants name it so.
        display_name: For people.
        secret: The personal access token of a user, the client secret of a service principal.
        tenant_id: The Entra tenant of an Azure service principal.
        groups: The groups it is a member of.
    """

    id: str
    name: str
    display_name: str
    secret: str = field(repr=False)
    tenant_id: str | None = None
    groups: tuple[str, ...] = ("users", "account users")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table of Unity Catalog, its type as SQL writes it."""

    name: str
    type_text: str = "string"


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view of Unity Catalog, as its REST API and information_schema show it.

    Attributes:
        table_type: `MANAGED`, `EXTERNAL`, `VIEW`, `MATERIALIZED_VIEW`, `STREAMING_TABLE`, …
        storage_location: Where its files are; none for a view.
    """

    catalog: str
    schema: str
    name: str
    table_type: str = "MANAGED"
    columns: tuple[Column, ...] = ()
    storage_location: str | None = None


class Workspace:
    """One Databricks workspace with Unity Catalog.

    Attributes:
        host: Its URL, set once it listens.
        user: Signs in with a personal access token.
        service_principal: Signs in with OAuth.
        azure_service_principal: Signs in through Entra.
        warehouse: The only SQL warehouse.
        enabled_system_schemas: Schemas of `system` that an account admin enabled; the others
            do not exist for SQL.
        unity_catalog: Whether the workspace has a metastore.
        metastore_admins: Names of the principals that may list and enable system schemas.
        sees_statement_text: Names of the principals for whom statement texts are not redacted.
        sees_only_own_statements: Names of the principals to whom the Query History API shows no
            statement of others.
        clock: Tells the present moment: what comes later has not happened yet.
        azure_member: Whether the Azure service principal is a member of the workspace.
        scopes: Scopes to which the token or secret of a principal is restricted, by its name.
        token_lifetime_s: How long an OAuth token is good.
        page_size: Rows on a page of the listing calls; as many as Databricks gives when None.
    """

    def __init__(self) -> None:
        self.host = ""
        self.workspace_id = "4126839075512048"
        self.account_id = "5e0b1c9d-3f57-4f0e-9a53-17c2d86b40aa"
        self.metastore_id = "b7e3f4c2-06d1-4a8f-8c3e-92f5a1d07be6"
        self.region = "eu-central-1"
        self.user = Principal(
            "7301", "miner@larkfell.example", "Miner", "dapi4c1e6f0a9b7d2835f0e1d2c3b4a59687"
        )
        self.service_principal = Principal(
            "7302",
            "3d8f2b1c-5a64-4e7f-b0c9-1f2e6d7a8b90",
            "dbminer",
            "dose8b1d7c2f4a6e9035b1c7d8e2",
        )
        self.azure_service_principal = Principal(
            "7303",
            "9a4c7e12-0b3d-4f58-a6e1-c5d2f8b07364",
            "dbminer on Azure",
            "Qx8~emulated.entra-secret",
            tenant_id="1b6f9c30-72d4-4e8a-9f15-d03c8a7be642",
        )
        self.azure_resource_id = (
            "/subscriptions/0f7b2d94-6c1e-4a35-8d20-e9b1f3c5a768/resourceGroups/larkfell"
            "/providers/Microsoft.Databricks/workspaces/larkfell"
        )
        self.principals = (self.user, self.service_principal, self.azure_service_principal)
        names = {principal.name for principal in self.principals}
        self.warehouse = Warehouse(can_use=set(names))
        self.enabled_system_schemas = {"access", "billing", "query", "information_schema"}
        self.unity_catalog = True
        self.metastore_admins = set(names)
        self.sees_statement_text = set(names)
        self.sees_only_own_statements: set[str] = set()
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.azure_member = True
        self.scopes: dict[str, set[str]] = {}
        self.token_lifetime_s = 3600.0
        self.page_size: int | None = None
        self.tables: dict[tuple[str, str, str], Table] = {}
        self._grants = {principal.name: Grants() for principal in self.principals}
        self._group_grants: dict[str, Grants] = {}

    @property
    def warehouse_id(self) -> str:
        """The id of the warehouse."""
        return self.warehouse.id

    def scopes_of(self, principal: Principal) -> frozenset[str]:
        """The scopes that tokens of a principal may have."""
        return frozenset(self.scopes.get(principal.name, {ALL_APIS}))

    def add_table(self, table: Table) -> None:
        """Makes a table or view known to REST and information_schema, or replaces it.

        The SQL engine calls it for each table and view that it makes.
        """
        key = (table.catalog.lower(), table.schema.lower(), table.name.lower())
        self.tables[key] = table

    def grant(
        self, privilege: str, securable_type: str, securable: str, *, to: Principal | str
    ) -> None:
        """Grants a privilege, as the metastore's admin.

        Raises:
            ValueError: The privilege or the principal does not exist.
        """
        self._grants_of(to).add(make_grant(privilege, securable_type, securable))

    def revoke(
        self, privilege: str, securable_type: str, securable: str, *, to: Principal | str
    ) -> None:
        """Takes a privilege away; one that is held on a securable above is held on.

        Raises:
            ValueError: The privilege or the principal does not exist.
        """
        self._grants_of(to).remove(make_grant(privilege, securable_type, securable))

    def revoke_everything(self, principal: Principal) -> None:
        """Takes all privileges of Unity Catalog away from a principal."""
        self._grants_of(principal).clear()

    def run_sql_as_admin(self, sql: str) -> None:
        """Runs a `GRANT` or `REVOKE` line.

        Raises:
            ValueError: It is no such line, or names what does not exist.
        """
        line = parse_grant_line(sql)
        grants = self._grants_of(line.principal)
        for grant in line.grants:
            if line.revokes:
                grants.remove(grant)
            else:
                grants.add(grant)

    def holds(self, principal: Principal, privilege: str, *parts: str) -> bool:
        """Whether a principal holds a privilege on a securable, itself or by a group."""
        owners = [self._grants[principal.name]]
        owners += [self._group_grants[g] for g in principal.groups if g in self._group_grants]
        return any(grants.hold(privilege, *parts) for grants in owners)

    def missing_privilege(
        self, principal: Principal, *parts: str
    ) -> tuple[str, SecurableType, str] | None:
        """The first privilege that a principal lacks to read a table, in Databricks' order.

        Args:
            principal: Who wants to read.
            parts: Catalog, schema and table; fewer to ask about the catalog or the schema alone.

        Returns:
            The privilege, the type and the name of the securable, or None when nothing is missing.
            information_schema may always be read; it shows each reader only what that one may see.
        """
        if parts[1:2] == ("information_schema",):
            return None
        for depth, (privilege, securable_type) in enumerate(_READ_NEEDS[: len(parts)], start=1):
            if not self.holds(principal, privilege, *parts[:depth]):
                return privilege, securable_type, ".".join(parts[:depth])
        return None

    def schema_exists(self, catalog: str, schema: str) -> bool:
        """Whether a schema is there for SQL: one of `system` only once it is enabled."""
        return catalog.lower() != "system" or schema.lower() in self.enabled_system_schemas

    def _grants_of(self, principal: Principal | str) -> Grants:
        name = principal if isinstance(principal, str) else principal.name
        groups = {group for principal in self.principals for group in principal.groups}
        if name in groups:
            return self._group_grants.setdefault(name, Grants(holds_defaults=False))
        if name not in self._grants:
            message = f"[PRINCIPAL_DOES_NOT_EXIST] Could not find principal with name {name}."
            raise ValueError(message)
        return self._grants[name]
