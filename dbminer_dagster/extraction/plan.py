"""What one extraction is to read, and where it is to write it."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from dbminer_dagster.errors import SettingsError
from dbminer_dagster.extraction import DEFAULT_PART_BYTES
from dbminer_dagster.resources.offline import (
    LINEAGE_FOLDER,
    QUERY_HISTORY_FOLDER,
    TABLES_FOLDER,
)
from dbminer_dagster.rest_api.query_history import covered_days
from dbminer_dagster.settings import Settings
from dbminer_dagster.windows import Window


@dataclass(frozen=True, slots=True)
class Plan:
    """One extraction.

    Attributes:
        host: Of the workspace.
        out: A folder, or `s3://bucket/prefix`.
        lineage: Whether lineage is read, and the list of tables with it.
        query_history: Whether query history is read.
        columns: Whether column lineage belongs to lineage.
        window: Days of the history; and those whose edges the manifest tells of.
        excluded_catalogs: Globs of catalogs whose tables are not asked for.
        part_bytes: Lines of a part, uncompressed; the last line may exceed it.
        is_gzip: Whether parts are compressed.
    """

    host: str
    out: str
    lineage: bool
    query_history: bool
    columns: bool
    window: Window
    excluded_catalogs: tuple[str, ...]
    part_bytes: int = DEFAULT_PART_BYTES
    is_gzip: bool = True

    @property
    def folders(self) -> list[str]:
        """The folders that it writes to."""
        wanted = {
            QUERY_HISTORY_FOLDER: self.query_history,
            LINEAGE_FOLDER: self.lineage,
            TABLES_FOLDER: self.lineage,
        }
        return [folder for folder, is_wanted in wanted.items() if is_wanted]

    def identity(self) -> dict[str, object]:
        """What makes another extraction the same, so that it can go on with this one."""
        return {
            "host": self.host,
            "lineage": self.lineage,
            "query_history": self.query_history,
            "columns": self.columns and self.lineage,
            "window": str(self.window),
            "excluded_catalogs": sorted(self.excluded_catalogs),
        }


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a user asks for; the settings say what is left open.

    Attributes:
        lineage: Whether lineage is wanted; both kinds where neither is.
        query_history: Whether query history is wanted.
        columns: Whether column lineage belongs to lineage.
        since: First day; by default the last one.
        until: Last day; by default the newest that may be mined.
        out: Destination; by default that of the offline method.
        part_bytes: See `Plan`.
        is_gzip: See `Plan`.
    """

    lineage: bool = False
    query_history: bool = False
    columns: bool = True
    since: date | None = None
    until: date | None = None
    out: str | None = None
    part_bytes: int = DEFAULT_PART_BYTES
    is_gzip: bool = True

    def plan(self, settings: Settings, host: str, now: datetime) -> Plan:
        """The extraction to be done.

        Args:
            settings: With what is left open.
            host: Of the workspace.
            now: The present time.

        Raises:
            SettingsError: There is no destination, or the days cannot be extracted.
        """
        both = self.lineage is self.query_history
        out = self.out or settings.offline_uri
        if out is None:
            raise SettingsError(
                "It is not known where to write. Set --out or DBMINER_OFFLINE_URI to a folder or "
                "s3://bucket/prefix."
            )
        if "://" in out and not out.startswith("s3://"):
            raise SettingsError(f"--out {out} is neither a folder nor s3://bucket/prefix.")
        history = both or self.query_history
        return Plan(
            host=host,
            out=out,
            lineage=both or self.lineage,
            query_history=history,
            columns=self.columns,
            window=self._window(settings.newest_minable_day(now.date()), now, history=history),
            excluded_catalogs=settings.excluded_catalogs,
            part_bytes=self.part_bytes,
            is_gzip=self.is_gzip,
        )

    def _window(self, newest: date, now: datetime, *, history: bool) -> Window:
        first, last = self.since or self.until or newest, self.until or newest
        if last > newest:
            raise SettingsError(
                f"--until {last} is too new: the newest day that may be mined is {newest}. Choose "
                "an earlier one, or change DBMINER_LAG_DAYS."
            )
        if last < first:
            raise SettingsError(f"--since {first} lies after the last day, {last}.")
        oldest, _ = covered_days(now)
        if history and first < oldest:
            raise SettingsError(
                f"--since {first} is too old: the Query History API knows whole days from {oldest} "
                "on. Begin there, or extract --lineage alone."
            )
        return Window(first, last + timedelta(days=1))
