"""What a single run may be asked to do otherwise than the settings say."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
from pydantic import Field, field_validator

from dbminer_dagster.errors import SettingsError
from dbminer_dagster.settings import LONGEST_POPULARITY_WINDOW_DAYS, Settings

KEY = "mining_options"
NOBODY = "none"
_WHERE = f"Run configuration, resources.{KEY}.config"


class MiningOptions(dg.ConfigurableResource):
    """Options of a run, which the launchpad shows with the settings as their defaults.

    Attributes:
        excluded_users: As of `DBMINER_EXCLUDED_USERS`, and in place of it, for the days of the run.
        popularity_window_days: As of `DBMINER_POPULARITY_WINDOW_DAYS`, and in place of it.
        ignore_cache: Texts are parsed anew; the parse cache is neither read nor written.
    """

    excluded_users: list[str] = Field(
        default=[],
        description="User names, e-mails, service-principal ids or globs, one each; their "
        "statements on the days of this run do not count.",
    )
    popularity_window_days: int = Field(
        default=LONGEST_POPULARITY_WINDOW_DAYS,
        description="Trailing days that a score looks at, the scored day included; 1 to "
        f"{LONGEST_POPULARITY_WINDOW_DAYS}.",
    )
    ignore_cache: bool = Field(
        default=False,
        description="Parse every text anew; the parse cache is neither read nor written.",
    )

    # Errors are raised as our own: Pydantic would wrap a ValueError into advice on Pydantic.
    @field_validator("excluded_users")
    @classmethod
    def _check_users(cls, value: Sequence[str]) -> list[str]:
        for user in value:
            if not user.strip() or "," in user:
                raise SettingsError(
                    f"{_WHERE}: excluded_users holds {user!r}. Give one user name, e-mail, id or "
                    "glob an item."
                )
        return [user.strip() for user in value]

    @field_validator("popularity_window_days")
    @classmethod
    def _check_window(cls, value: int) -> int:
        if not 1 <= value <= LONGEST_POPULARITY_WINDOW_DAYS:
            raise SettingsError(
                f"{_WHERE}: popularity_window_days is {value}. Allowed are 1 to "
                f"{LONGEST_POPULARITY_WINDOW_DAYS} days."
            )
        return value

    @property
    def shown_users(self) -> str:
        """The excluded users, as metadata tell them."""
        return ", ".join(self.excluded_users) or NOBODY


def users_of(shown: str) -> tuple[str, ...]:
    """The excluded users that metadata tell."""
    return () if shown == NOBODY else tuple(shown.split(", "))


def mining_options(settings: Settings) -> MiningOptions:
    """The options with the settings as their defaults.

    A run that configures one option keeps the defaults of the others: Dagster takes those from the
    class, and forgets what an instance was made with.
    """

    class Options(MiningOptions):
        excluded_users: list[str] = _defaulting("excluded_users", [*settings.excluded_users])
        popularity_window_days: int = _defaulting(
            "popularity_window_days", settings.popularity_window_days
        )

    return Options()


def _defaulting(name: str, default: object) -> Any:
    return Field(default=default, description=MiningOptions.model_fields[name].description)
