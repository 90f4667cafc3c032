"""Probes of the offline method: the location, its files, and what the files hold."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from dbminer_dagster.errors import DbminerError, LocationError, SettingsError
from dbminer_dagster.preflight.model import Answer, Probe, Source, Stage, Status
from dbminer_dagster.resources.offline import (
    LINEAGE_FOLDER,
    QUERY_HISTORY_FOLDER,
    lineage_objects,
    query_history,
)
from dbminer_dagster.resources.offline.decoding import UNDECODABLE
from dbminer_dagster.resources.offline.files import Location, locate
from dbminer_dagster.resources.offline.lines import BadLines, page_rows, read_objects
from dbminer_dagster.resources.offline.manifest import list_parts
from dbminer_dagster.settings import Settings

PARALLEL_FILES = 8
READING_SECONDS = 45
"""Time for the first objects of all files; what is not read by then is only reported."""

LISTED_FILES = 5

_FOLDERS: dict[Source, tuple[str, Callable[[bytes], Any]]] = {
    Source.LINEAGE: (LINEAGE_FOLDER, lineage_objects.decode),
    Source.QUERY_HISTORY: (QUERY_HISTORY_FOLDER, query_history.decode),
}


def location_probe(settings: Settings) -> Probe:
    """The probe of the place that holds the folders of both sources."""
    return Probe(
        "location_reachable",
        Stage.REACHABILITY,
        f"List {settings.offline_uri or 'DBMINER_OFFLINE_URI, which is not set'}.",
        partial(_location_reachable, settings),
    )


def offline_probes(settings: Settings, source: Source, location: Probe) -> list[Probe]:
    """The probes of one source; the probe of its location first."""
    folder, decode = _FOLDERS[source]
    files = _Files(settings, folder, decode)
    present = Probe(
        "files_present",
        Stage.AUTHORISATION,
        f"List {folder}/result-N.json and .json.gz, N from 0 without a gap.",
        files.present,
        needs=(location,),
    )
    readable = Probe(
        "files_readable",
        Stage.AUTHORISATION,
        f"Open each file of {folder}/ and understand its first object.",
        files.readable,
        needs=(present,),
    )
    return [location, present, readable]


def _locate(settings: Settings) -> Location:
    return locate(
        settings.offline_uri, region=settings.s3_region, endpoint_url=settings.s3_endpoint_url
    )


def _location_reachable(settings: Settings) -> Answer:
    try:
        location = _locate(settings)
    except LocationError as error:
        raise SettingsError(str(error)) from None
    location.probe()
    return Answer(f"{settings.offline_uri} can be listed.")


@dataclass(frozen=True, slots=True)
class _Files:
    """The parts of one folder."""

    settings: Settings
    folder: str
    decode: Callable[[bytes], Any]

    def present(self) -> Answer:
        listing = list_parts(_locate(self.settings), self.folder)
        if listing.unlisted:
            return self._unlisted(listing.unlisted)
        parts, by_manifest = listing.parts, " as its manifest says" if listing.manifest else ""
        span = f", {parts[0]} to {parts[-1]}" if parts else ""
        return Answer(f"{self.folder}/ holds {len(parts)} files{span}{by_manifest}.")

    def _unlisted(self, names: Sequence[str]) -> Answer:
        more = f" and {len(names) - LISTED_FILES} more" if len(names) > LISTED_FILES else ""
        return Answer(
            f"{len(names)} files of {self.folder}/ are not in its manifest and are not read: "
            f"{', '.join(names[:LISTED_FILES])}{more}.",
            Status.WARNING,
            "If an extraction was cut off, run its dbminer extract again with --resume; else move "
            "these files away.",
        )

    def readable(self) -> Answer:
        location = _locate(self.settings)
        parts = list_parts(location, self.folder).parts
        deadline = time.monotonic() + READING_SECONDS
        with ThreadPoolExecutor(PARALLEL_FILES) as pool:
            heads = list(pool.map(partial(self._head, location, deadline), parts))
        if faults := [head for head in heads if head.fault]:
            return self._unreadable(faults, len(parts))
        if unread := [head for head in heads if not head.is_read]:
            return Answer(
                f"The first objects of {len(parts) - len(unread)} of {len(parts)} files parse; for "
                f"the others {READING_SECONDS} seconds were too short.",
                Status.WARNING,
                "Nothing is known to be wrong: a run reads every file in full, so start it.",
            )
        return Answer(f"The first object of each of {len(parts)} files parses.")

    def _unreadable(self, faults: "list[_Head]", count: int) -> Answer:
        bad_lines = [head for head in faults if head.is_bad_line]
        tolerated = self.settings.offline_max_bad_lines
        is_tolerated = len(bad_lines) == len(faults) <= tolerated
        listed = "; ".join(str(head.fault).rstrip(".") for head in faults[:LISTED_FILES])
        more = f"; and {len(faults) - LISTED_FILES} more" if len(faults) > LISTED_FILES else ""
        return Answer(
            f"{len(faults)} of {count} files cannot be read: {listed}{more}.",
            Status.WARNING if is_tolerated else Status.FAILED,
            "Extract or copy these files again. A file is UTF-8 and holds one JSON object a line, "
            "a JSON array of them, or an API page; it is gzip if its name ends in .gz, else not.",
        )

    def _head(self, location: Location, deadline: float, part: str) -> "_Head":
        if time.monotonic() > deadline:
            return _Head(is_read=False)
        file, bad_lines = f"{self.folder}/{part}", BadLines(limit=0)
        try:
            with location.open_head(self.folder, part) as stream:
                first = next(iter(read_objects(file, stream, bad_lines)), None)
        except DbminerError as error:
            return _Head(str(error))
        if bad_lines.listed:
            return _Head(bad_lines.listed[0], is_bad_line=True)
        fault = self._undecodable(f"{file}, {first[0]}", first[1]) if first else None
        return _Head(fault, is_bad_line=True)

    def _undecodable(self, place: str, content: bytes) -> str | None:
        try:
            self.decode(content)
        except UNDECODABLE as error:
            rows = page_rows(content)
            if rows is None:
                return f"{place}: {error}"
            return self._undecodable(f"{place}, row 1", rows[0]) if rows else None
        return None


@dataclass(frozen=True, slots=True)
class _Head:
    """The beginning of a file: what is wrong with it, if anything is known to be."""

    fault: str | None = None
    is_bad_line: bool = False
    is_read: bool = True
