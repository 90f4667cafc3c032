"""Which credentials the settings hold, and for which of the three ways to sign in."""

from dataclasses import dataclass

from pydantic import SecretStr

from dbminer_dagster.errors import SettingsError
from dbminer_dagster.settings import AuthType, Settings

VARIABLES = {
    AuthType.PAT: ("DATABRICKS_TOKEN",),
    AuthType.OAUTH_M2M: ("DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET"),
    AuthType.AZURE_CLIENT_SECRET: ("ARM_TENANT_ID", "ARM_CLIENT_ID", "ARM_CLIENT_SECRET"),
}
"""What each way needs; the fields of `Settings` are called the same in lower case."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials of one way to sign in, and nothing of the others.

    Attributes:
        auth_type: The way.
        secret: The personal access token, or the client secret.
        client_id: The application id of a service principal.
        tenant_id: The Entra tenant of an Azure service principal.
        resource_id: The Azure resource id of the workspace, for principals that are no member.
    """

    auth_type: AuthType
    secret: SecretStr
    client_id: str = ""
    tenant_id: str = ""
    resource_id: str | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> "Credentials":
        """The credentials of the way that is asked for, or else of the only one that is complete.

        Raises:
            SettingsError: Variables are missing, or the credentials of several ways are there.
        """
        match _auth_type(settings):
            case AuthType.PAT as way:
                return cls(way, _secret(settings.databricks_token))
            case AuthType.OAUTH_M2M as way:
                secret = _secret(settings.databricks_client_secret)
                return cls(way, secret, client_id=settings.databricks_client_id or "")
            case AuthType.AZURE_CLIENT_SECRET as way:
                return cls(
                    way,
                    _secret(settings.arm_client_secret),
                    client_id=settings.arm_client_id or "",
                    tenant_id=settings.arm_tenant_id or "",
                    resource_id=settings.databricks_azure_resource_id,
                )


def _secret(value: SecretStr | None) -> SecretStr:
    return value or SecretStr("")


def _auth_type(settings: Settings) -> AuthType:
    missing = {way: _missing(settings, way) for way in VARIABLES}
    if (wanted := settings.databricks_auth_type) is not None:
        if missing[wanted]:
            raise SettingsError(
                f"DATABRICKS_AUTH_TYPE={wanted.value} needs {_and(VARIABLES[wanted])}. "
                f"Set {_and(missing[wanted])}."
            )
        return wanted
    complete = [way for way in VARIABLES if not missing[way]]
    if len(complete) > 1:
        raise SettingsError(
            f"Credentials for {_and(complete)} are set. Set DATABRICKS_AUTH_TYPE to the one to use."
        )
    return complete[0] if complete else _refuse(missing)


def _missing(settings: Settings, way: AuthType) -> list[str]:
    values = {variable: getattr(settings, variable.lower()) for variable in VARIABLES[way]}
    return [
        variable
        for variable, value in values.items()
        if not (value.get_secret_value() if isinstance(value, SecretStr) else value)
    ]


def _refuse(missing: dict[AuthType, list[str]]) -> AuthType:
    begun = [way for way in VARIABLES if len(missing[way]) < len(VARIABLES[way])]
    ways = [f"{_and(missing[way])} ({way.value})" for way in begun or VARIABLES]
    found = "are incomplete" if begun else "are missing"
    raise SettingsError(f"The credentials for Databricks {found}. Set {', or '.join(ways)}.")


def _and(names: "list[str] | tuple[str, ...] | list[AuthType]") -> str:
    return " and ".join(names)
