"""Which parts of an offline location are new or were replaced, and the days that they hold.

What has been seen is kept in a cursor, so that no version of a part is read twice. Each look does
a bounded amount of work; the next one goes on where it ended.
"""

import hashlib
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from typing import BinaryIO

import msgspec

from dbminer_dagster.errors import SourceError
from dbminer_dagster.resources.offline.files import FileState, Location
from dbminer_dagster.resources.offline.manifest import Listing, Manifest, list_parts
from dbminer_dagster.resources.offline.part_days import days_of_part


class FolderCursor(msgspec.Struct):
    """What is known of a folder.

    Attributes:
        versions: A digest of the version of each part that has been seen, by name.
        covered: First and last day of all that has been seen.
    """

    versions: dict[str, str] = {}
    covered: tuple[date, date] | None = None

    def cover(self, days: Iterable[date]) -> None:
        """Widens the covered days."""
        known = [*days, *(self.covered or ())]
        self.covered = (min(known), max(known)) if known else None


class Cursor(msgspec.Struct):
    """What has been seen of a location.

    Attributes:
        folders: By name.
        days: Days that were found and have not been requested yet.
        history: A digest of all versions in the order in which they were seen. It changes with
            every new version, and also when an old one comes back.
    """

    folders: dict[str, FolderCursor] = {}
    days: set[date] = set()
    history: str = ""

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
        faults: Why parts were passed over.
        unread: Parts that are left for the next look.
    """

    location: Location
    max_bad_lines: int
    cursor: Cursor
    budget: Budget
    waiting: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    unread: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether everything that a run would read is there and has been looked through."""
        return not self.waiting and not self.unread

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
        known = self.cursor.folders[folder]
        known.cover(manifest.days())
        known.cover(day for entry in manifest.extractions for day in (entry.since, entry.until))

    def _read(self, folder: str, new: dict[str, str], listing: Listing) -> None:
        """Finds the days in the parts, as far as the budget goes."""
        parts = [part for part in listing.parts if part in new]
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
                self.cursor.note(folder, part, new[part])
                self._find_days(folder, part, stream)

    def _find_days(self, folder: str, part: str, stream: BinaryIO) -> None:
        size_bytes = 0
        try:
            days, size_bytes = days_of_part(folder, part, stream, self.max_bad_lines)
            self.cursor.days |= days
            self.cursor.folders[folder].cover(days)
        except SourceError as error:
            self.faults.append(str(error))
        self.budget.spend(size_bytes)


def _version(state: FileState) -> str:
    return _digest(state.version, str(state.size_bytes))


def _digest(*texts: str) -> str:
    """48 bits: enough to tell a version of a part from the next one."""
    digest = hashlib.blake2b("\0".join(texts).encode(), digest_size=6).digest()
    return urlsafe_b64encode(digest).decode()
