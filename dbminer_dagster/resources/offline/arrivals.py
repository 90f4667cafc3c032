"""Which parts of an offline location are new or were replaced, and the days that they hold.

What has been seen is kept in a cursor, so that no version of a part is read twice. Each look does
a bounded amount of work; the next one goes on where it ended.
"""

import hashlib
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import BinaryIO

import msgspec

from dbminer_dagster.errors import SourceError
from dbminer_dagster.resources.offline import QUERY_HISTORY_FOLDER
from dbminer_dagster.resources.offline.files import FileState, Location
from dbminer_dagster.resources.offline.manifest import (
    ExtractionEntry,
    Listing,
    Manifest,
    list_parts,
)
from dbminer_dagster.resources.offline.part_days import TooLargeError, days_of_part
from dbminer_dagster.windows import Window


class Fault(msgspec.Struct):
    """Why a run could not read a part.

    Attributes:
        version: A digest of the version of the part, and of what is tolerated.
        reason: In words.
    """

    version: str
    reason: str


class FolderCursor(msgspec.Struct):
    """What is known of a folder.

    Attributes:
        versions: A digest of the version of each part and extraction that has been seen, by name.
        faults: Of parts whose days could not be found, by name.
        covered: First and last day of all that has been seen.
        missing: Days between them that a manifest does not name.
    """

    versions: dict[str, str] = {}
    faults: dict[str, Fault] = {}
    covered: tuple[date, date] | None = None
    missing: set[date] = set()

    def cover(self, days: Iterable[date]) -> None:
        """Widens the covered days."""
        known = [*days, *(self.covered or ())]
        self.covered = (min(known), max(known)) if known else None

    def cover_exactly(self, days: AbstractSet[date]) -> None:
        """Covers these days and no others."""
        self.covered = None
        self.cover(days)
        between = Window(min(days), max(days) + timedelta(days=1)) if days else ()
        self.missing = {*between} - days

    def covers(self, day: date) -> bool:
        """Whether the day has been seen, or lies between two that have been."""
        if self.covered is None or day in self.missing:
            return False
        first, last = self.covered
        return first <= day <= last


class Cursor(msgspec.Struct):
    """What has been seen of a location.

    Attributes:
        folders: By name.
        days: Days that were found and have not been requested yet.
        history: A digest of all versions in the order in which they were seen. It changes with
            every new version, and also when an old one comes back.
        location: A digest of the URI; of none in the cursors of older releases.
    """

    folders: dict[str, FolderCursor] = {}
    days: set[date] = set()
    history: str = ""
    location: str = ""

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """Reads what `text` wrote; an empty cursor if there is none.

        Raises:
            SourceError: It is not a cursor.
        """
        try:
            return msgspec.json.decode(text, type=cls) if text else cls()
        except msgspec.DecodeError as error:
            raise SourceError(
                f"The cursor of the sensor cannot be understood: {error}. Reset it on the page of "
                "the sensor; all files count as new then."
            ) from None

    def of(self, uri: str) -> "Cursor":
        """This cursor, or one that has seen nothing if this one tells of another location."""
        location = _digest(uri)
        if self.location in {"", location}:
            return msgspec.structs.replace(self, location=location)
        # The history goes on, so that no run key comes back.
        return Cursor(history=self.history, location=location)

    @property
    def text(self) -> str:
        """The cursor as JSON, some 35 bytes a part."""
        return msgspec.json.encode(self, order="sorted").decode()

    def note(self, folder: str, part: str, version: str) -> None:
        """Marks a version as seen."""
        self.folders[folder].versions[part] = version
        self.history = _digest(self.history, folder, part, version)


@dataclass
class Budget:
    """What one look may still read.

    Attributes:
        files: Parts.
        content_bytes: Of JSON; the part that uses them up is read to its end.
        seconds: After which no further part is begun.
    """

    files: int = 100
    content_bytes: int = 256 * 1024**2
    seconds: float = 20
    _start: float = field(default_factory=time.monotonic)

    def is_left(self) -> bool:
        """Whether one more part may be read."""
        in_time = time.monotonic() - self._start < self.seconds
        return self.files > 0 and self.content_bytes > 0 and in_time

    def spend(self, content_bytes: int) -> None:
        """Notes that a part was read."""
        self.files -= 1
        self.content_bytes -= content_bytes


@dataclass
class Look:
    """One look at the folders of a location; the cursor is carried on.

    Attributes:
        location: What is looked at.
        max_bad_lines: Bad lines that are tolerated in a part.
        cursor: What has been seen.
        budget: What may still be read.
        waiting: Why folders cannot be mined yet.
        faults: Why parts cannot be read; a run would fail.
        passed_over: Why the days of parts are not looked for; a run can read them.
        unread: Parts that are left for the next look.
    """

    location: Location
    max_bad_lines: int
    cursor: Cursor
    budget: Budget
    waiting: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    unread: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether everything that a run would read is there and has been looked through."""
        return not self.waiting and not self.faults and not self.unread

    def at(self, folder: str) -> None:
        """Looks at one folder."""
        try:
            # In this order: what is replaced in between is new again at the next look.
            files = self.location.files(folder)
            listing = list_parts(self.location, folder)
        except SourceError as error:
            self.waiting.append(str(error))
            return
        known = self.cursor.folders.setdefault(folder, FolderCursor())
        present = {part: _version(files[part]) for part in listing.parts if part in files}
        if listing.manifest is not None and folder == QUERY_HISTORY_FOLDER:
            present |= {_name(entry): _state(entry) for entry in listing.manifest.extractions}
        # A part that is gone is forgotten, so that the cursor does not grow.
        known.versions = {part: old for part, old in known.versions.items() if part in present}
        new = {
            part: version
            for part, version in present.items()
            if known.versions.get(part) != version
        }
        if listing.manifest is not None:
            self._take(folder, new, listing.manifest)
        else:
            self._read(folder, new, listing)

    def _take(self, folder: str, new: dict[str, str], manifest: Manifest) -> None:
        """Takes the days from the manifest."""
        for entry in manifest.parts:
            if entry.name in new:
                self.cursor.note(folder, entry.name, new[entry.name])
                self.cursor.days.update(entry.days)
        for extraction in manifest.extractions:
            if (name := _name(extraction)) in new:
                self.cursor.note(folder, name, new[name])
                # Its other days come with their parts.
                parts = [part for part in manifest.parts if part.name in extraction.parts]
                held = {day for part in parts for day in part.days}
                self.cursor.days.update({*extraction.days} - held)
        known = self.cursor.folders[folder]
        known.faults = {}
        known.cover_exactly(manifest.extracted_days())

    def _read(self, folder: str, new: dict[str, str], listing: Listing) -> None:
        """Finds the days in the parts, as far as the budget goes."""
        known = self.cursor.folders[folder]
        known.missing = set()
        # What was bad is so until it changes, or more is tolerated.
        known.faults = {
            part: fault
            for part, fault in known.faults.items()
            if part in new and fault.version == self._tried(new[part])
        }
        self.faults += [fault.reason for fault in known.faults.values()]
        parts = [part for part in listing.parts if part in new and part not in known.faults]
        for count, part in enumerate(parts):
            if not self.budget.is_left():
                self.unread += len(parts) - count
                return
            with ExitStack() as opened:
                try:
                    stream = opened.enter_context(self.location.open(folder, part))
                except SourceError as error:
                    # Nothing is known of its content, so that it is tried again.
                    self.faults.append(str(error))
                    self.budget.spend(0)
                    continue
                self._find_days(folder, part, new[part], stream)

    def _find_days(self, folder: str, part: str, version: str, stream: BinaryIO) -> None:
        known, days, size_bytes = self.cursor.folders[folder], set[date](), 0
        try:
            days, size_bytes = days_of_part(folder, part, stream, self.max_bad_lines)
        except TooLargeError as error:
            self.passed_over.append(str(error))
        except SourceError as error:
            self.faults.append(str(error))
            known.faults[part] = Fault(self._tried(version), str(error))
        if part not in known.faults:
            self.cursor.note(folder, part, version)
            self.cursor.days |= days
            known.cover(days)
        self.budget.spend(size_bytes)

    def _tried(self, version: str) -> str:
        return _digest(version, str(self.max_bad_lines))


def _name(entry: ExtractionEntry) -> str:
    return f"{entry.workspace_id} {entry.since}..{entry.until}"


def _state(entry: ExtractionEntry) -> str:
    return _digest(entry.extracted_at.isoformat(), *entry.parts)


def _version(state: FileState) -> str:
    return _digest(state.version, str(state.size_bytes))


def _digest(*texts: str) -> str:
    """48 bits: enough to tell a version of a part from the next one."""
    digest = hashlib.blake2b("\0".join(texts).encode(), digest_size=6).digest()
    return urlsafe_b64encode(digest).decode()
