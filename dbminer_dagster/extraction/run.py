"""The work of `dbminer extract`: reads a workspace, and writes what it answers as offline files."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import Path

import msgspec

from dbminer_dagster.databricks.connection import Connection
from dbminer_dagster.databricks.rest_calls import RestCalls
from dbminer_dagster.errors import SettingsError
from dbminer_dagster.extraction.destinations import destination
from dbminer_dagster.extraction.folder import OfflineFolder
from dbminer_dagster.extraction.parts import lineage_days
from dbminer_dagster.extraction.plan import Plan
from dbminer_dagster.extraction.reporting import EveryProgress, Reporter
from dbminer_dagster.extraction.summary import Summary
from dbminer_dagster.extraction.work import Work, open_work
from dbminer_dagster.resources.offline import (
    LINEAGE_FOLDER,
    QUERY_HISTORY_FOLDER,
    TABLES_FOLDER,
)
from dbminer_dagster.resources.offline.manifest import ExtractionEntry
from dbminer_dagster.rest_api.lineage import Rates, read_lineage
from dbminer_dagster.rest_api.progress import Progress, ProgressLines
from dbminer_dagster.rest_api.query_history import read_day
from dbminer_dagster.rest_api.tables import Listing
from dbminer_dagster.settings import Settings
from dbminer_dagster.windows import Window

SECONDS_BETWEEN_NOTES = 2.0


class Start(Enum):
    """What becomes of the same extraction if one was cut off."""

    REFUSE = "it is an error"
    RESUME = "it is gone on with"
    RESTART = "it is forgotten"


def extract(
    plan: Plan, settings: Settings, connection: Connection, start: Start, reporter: Reporter
) -> Summary:
    """Reads what the plan asks for and writes it; what is written already is not read again.

    Args:
        plan: What, and where to.
        settings: Of the store, the work folder and the limits of requests.
        connection: To the workspace.
        start: What to do if the same extraction was cut off.
        reporter: Is told of the progress.

    Raises:
        SettingsError: The same extraction was cut off, and `start` does not say what to do; or
            the destination holds lineage of these days that was read by other options.
        WorkspaceError: The workspace cannot be read. What it has answered is kept.
        LocationError: The destination or the work folder cannot be used. The same holds.
    """
    with open_work(Path(settings.work_folder), plan) as work:
        _settle_start(plan, work, start)
        place = destination(plan.out, settings, work.folder / "staging")
        folders = {
            name: OfflineFolder.open(
                place, name, work, part_bytes=plan.part_bytes, is_gzip=plan.is_gzip
            )
            for name in plan.folders
        }
        begun_at = work.begin()
        calls = RestCalls(connection, settings.rest_max_requests)
        extraction = _Extraction(plan, settings, calls, work, begun_at, reporter, folders)
        extraction.require_like()
        if plan.query_history:
            for day in plan.window:
                extraction.read_history(day)
        if plan.lineage:
            extraction.read_lineage()
            extraction.read_tables()
        work.forget()
    return extraction.summary


def _settle_start(plan: Plan, work: Work, start: Start) -> None:
    progress = work.progress
    if progress is None:
        return
    if start is Start.RESTART:
        work.forget()
    elif start is Start.REFUSE:
        raise SettingsError(
            f"The same extraction into {plan.out} was cut off ({progress}). Go on with it by "
            "--resume, or forget what it has read by --restart."
        )


@dataclass(frozen=True, slots=True)
class _Extraction:
    plan: Plan
    settings: Settings
    calls: RestCalls
    work: Work
    begun_at: datetime
    reporter: Reporter
    folders: dict[str, OfflineFolder]
    summary: Summary = field(default_factory=Summary)

    def require_like(self) -> None:
        """Makes sure that no lineage is replaced that was read by other options.

        Raises:
            SettingsError: It would be.
        """
        if not self.plan.lineage:
            return
        try:
            self.folders[LINEAGE_FOLDER].require_like(self._lineage_entry())
        except SettingsError:
            # It can never be written here, so that there is nothing to go on with.
            self.work.forget()
            raise

    def read_history(self, day: date) -> None:
        """Brings the statements of a day into the destination."""
        title, folder = f"Query history of {day}", self.folders[QUERY_HISTORY_FOLDER]
        wanted = self._entry(Window.of_day(day))
        if written := folder.written(wanted):
            self.summary.add(title, folder.manifest, written)
            return
        with self._stage(title) as progress:
            now = datetime.now(UTC)
            with read_day(self.calls, self.work.folder, day, progress, now=now) as found:
                counts = {"rows": found.row_count, "not_final": found.not_final}
                entry = msgspec.structs.replace(wanted, counts=counts)
                written = folder.add(entry, found.lines(), lambda _: {day})
        found.discard()
        self.summary.add(
            title, folder.manifest, written, requests=found.requests, refused=found.refused
        )

    def read_lineage(self) -> None:
        """Brings the lineage of every table into the destination."""
        title, folder = f"Lineage, edges of {self.plan.window}", self.folders[LINEAGE_FOLDER]
        wanted = self._lineage_entry()
        if written := folder.written(wanted):
            self.summary.add(title, folder.manifest, written)
            return
        with (
            self._stage(title) as progress,
            read_lineage(
                self.calls,
                self.work.folder,
                excluded_catalogs=self.plan.excluded_catalogs,
                with_columns=self.plan.columns,
                progress=progress,
                rates=Rates(
                    self.settings.rest_tables_per_second, self.settings.rest_columns_per_second
                ),
            ) as found,
        ):
            entry = msgspec.structs.replace(
                wanted, counts=dict(found.counts), extracted_at=found.extracted_at
            )
            written = folder.add(entry, found.lines(), lineage_days(self.plan.window))
        found.discard()
        self.summary.add(
            title, folder.manifest, written, requests=found.requests, refused=found.refused
        )

    def read_tables(self) -> None:
        """Brings the list of tables into the destination, against which names are resolved."""
        title, folder = "Tables", self.folders[TABLES_FOLDER]
        wanted = self._entry(self.plan.window)
        if written := folder.written(wanted):
            self.summary.add(title, folder.manifest, written)
            return
        skipped: list[str] = []
        with self._stage(title) as progress:
            written = folder.add(wanted, self._table_lines(progress, skipped), lambda _: set())
        if skipped:
            self.reporter.say(f"Gone, or may not be listed: {', '.join(skipped)}")
        self.summary.add(title, folder.manifest, written)

    def _table_lines(self, progress: Progress, skipped: list[str]) -> Iterator[bytes]:
        listing = Listing(self.calls)
        catalogs = sorted(listing.catalogs(self.plan.excluded_catalogs))
        for done, catalog in enumerate(catalogs):
            progress.update(done, len(catalogs), "catalogs")
            for page in listing.tables_of([catalog], skipped):
                for table in page:
                    yield msgspec.json.encode({**table, "extracted_at": self.begun_at})
        progress.update(len(catalogs), len(catalogs), "catalogs")

    def _entry(self, window: Window) -> ExtractionEntry:
        return ExtractionEntry(
            self._workspace_id(), window.start, window.last_day, self.begun_at, []
        )

    def _lineage_entry(self) -> ExtractionEntry:
        return msgspec.structs.replace(
            self._entry(self.plan.window),
            columns=self.plan.columns,
            excluded_catalogs=sorted(self.plan.excluded_catalogs),
        )

    def _workspace_id(self) -> str:
        known = self.work.workspace_id
        if known is None:
            known = self.calls.workspace_id
            self.work.note_workspace_id(known)
        return known

    @contextmanager
    def _stage(self, title: str) -> Iterator[Progress]:
        def note(line: str) -> None:
            self.work.note_progress(f"{title}: {line}")

        self.work.note_progress(f"{title}: begun")
        kept = ProgressLines(note, seconds_between=SECONDS_BETWEEN_NOTES)
        with self.reporter.stage(title) as shown:
            yield EveryProgress(shown, kept)
