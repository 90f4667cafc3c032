"""The Databricks workspace as a Dagster resource."""

from functools import cached_property
from typing import TYPE_CHECKING, Self

import dagster as dg

from dbminer_dagster.settings import Settings, load_settings

if TYPE_CHECKING:
    from dbminer_dagster.databricks.connection import Connection


class DatabricksResource(dg.ConfigurableResource):
    """Where the workspace is and as whom to sign in.

    Dagster shows and stores what stands here, so no secret does: those are read from the
    environment when the connection is made.
    """

    host: str | None = None
    auth_type: str | None = None
    client_id: str | None = None
    arm_client_id: str | None = None
    arm_tenant_id: str | None = None
    azure_resource_id: str | None = None
    warehouse_id: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The resource that the settings describe."""
        return cls(
            host=settings.databricks_host,
            auth_type=settings.databricks_auth_type,
            client_id=settings.databricks_client_id,
            arm_client_id=settings.arm_client_id,
            arm_tenant_id=settings.arm_tenant_id,
            azure_resource_id=settings.databricks_azure_resource_id,
            warehouse_id=settings.warehouse_id,
        )

    @cached_property
    def connection(self) -> "Connection":
        """The connection, made once; nothing is asked of the workspace before it is used.

        Raises:
            SettingsError: The host or credentials are missing, ambiguous, or would travel
                unencrypted.
        """
        # Databricks' clients take seconds to import, and not every process talks to a workspace.
        from dbminer_dagster.databricks.connection import Connection

        settings = load_settings(
            databricks_host=self.host,
            databricks_auth_type=self.auth_type,
            databricks_client_id=self.client_id,
            arm_client_id=self.arm_client_id,
            arm_tenant_id=self.arm_tenant_id,
            databricks_azure_resource_id=self.azure_resource_id,
        )
        return Connection.from_settings(settings)
