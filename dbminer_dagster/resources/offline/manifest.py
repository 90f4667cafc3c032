"""The manifest that `dbminer extract` writes beside the parts of a folder.

It is authoritative: exactly the parts that it names are read, each as it was written. A folder
without a manifest, as other extractors write it, is read by the numbers of its parts.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import BinaryIO

import msgspec

from dbminer_dagster.errors import LocationError, UnreadableFileError
from dbminer_dagster.resources.offline.files import PART_NAME, Location, ordered_parts
from dbminer_dagster.windows import Window

MANIFEST_NAME = "manifest.json"
FORMAT = 1
LISTED_FAULTS = 5
REPAIR = (
    "If an extraction into this folder is at work, wait for it; else run its dbminer extract again "
    "with --resume, or copy the folder again."
)


class PartEntry(msgspec.Struct, frozen=True):
    """A part as it was written.

    Attributes:
        name: `result-N.json` or `result-N.json.gz`.
        rows: JSON objects in it.
        size_bytes: Of the file.
        sha256: Of the file, in hex.
        days: UTC days whose rows or edges it holds, ascending.
    """

    name: str
    rows: int
    size_bytes: int
    sha256: str
    days: list[date]


class ExtractionEntry(msgspec.Struct, frozen=True):
    """What one extraction read from a workspace.

    Attributes:
        workspace_id: Of the workspace.
        since: First UTC day that was wanted.
        until: Last UTC day that was wanted.
        extracted_at: When the extraction began.
        parts: Names of its parts; none if there was nothing to read.
        counts: What was read, and what was left out by reason.
        columns: Whether column lineage was read; None where that is no question, or not known.
        excluded_catalogs: Globs of catalogs that were not read, ascending; None as above.
    """

    workspace_id: str
    since: date
    until: date
    extracted_at: datetime
    parts: list[str]
    counts: dict[str, int] = {}
    columns: bool | None = None
    excluded_catalogs: list[str] | None = None

    @property
    def days(self) -> Window:
        """The days that were wanted."""
        return Window(self.since, self.until + timedelta(days=1))

    def replaces(self, other: "ExtractionEntry") -> bool:
        """Whether both tell of the same days of the same workspace."""
        identity = (self.workspace_id, self.since, self.until)
        return identity == (other.workspace_id, other.since, other.until)

    def is_like(self, other: "ExtractionEntry") -> bool:
        """Whether both were read by the same options, as far as these are known."""
        pairs = ((self.columns, other.columns), (self.excluded_catalogs, other.excluded_catalogs))
        return all(None in pair or pair[0] == pair[1] for pair in pairs)

    @property
    def options(self) -> str:
        """The options, for people."""
        columns = {True: "with columns", False: "without columns", None: ""}[self.columns]
        catalogs = ", ".join(self.excluded_catalogs or ()) or "none"
        return f"{columns} (excluded catalogs: {catalogs})".strip()


class Manifest(msgspec.Struct, frozen=True, dict=True):
    """The parts of a folder, and where they come from.

    Attributes:
        format: Version of this shape.
        parts: What is to be read, by number.
        superseded: Names whose content a later extraction has replaced: not to be read. Their
            files are emptied and stay, so that numbers have no gap for other readers.
        extractions: By workspace and days.
    """

    format: int = FORMAT
    parts: list[PartEntry] = []
    superseded: list[str] = []
    extractions: list[ExtractionEntry] = []

    def days(self) -> list[date]:
        """The days of all parts, ascending."""
        return sorted({day for part in self.parts for day in part.days})

    def extracted_days(self) -> frozenset[date]:
        """The days of all extractions, the quiet ones too, and of all parts."""
        return frozenset(self.days()).union(*(known.days for known in self.extractions))

    def entry(self, name: str) -> PartEntry:
        """The part of this name.

        Raises:
            KeyError: There is none.
        """
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, PartEntry]:
        return {part.name: part for part in self.parts}

    def with_extraction(self, entry: ExtractionEntry, parts: Iterable[PartEntry]) -> "Manifest":
        """The manifest with these parts of one more extraction, in place of one that it replaces.

        Args:
            entry: The extraction.
            parts: Its parts; their names are in no use by another extraction.
        """
        replaced = {
            name for known in self.extractions if entry.replaces(known) for name in known.parts
        }
        kept = [part for part in self.parts if part.name not in replaced]
        superseded = (replaced | {*self.superseded}) - {*entry.parts}
        others = [known for known in self.extractions if not entry.replaces(known)]
        return Manifest(
            parts=sorted([*kept, *parts], key=lambda part: part_number(part.name)),
            superseded=sorted(superseded, key=part_number),
            extractions=sorted(
                [*others, entry], key=lambda known: (known.workspace_id, known.since, known.until)
            ),
        )

    def encoded(self) -> bytes:
        """The text of the file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


_CHUNK_BYTES = 1024 * 1024
_DECODER = msgspec.json.Decoder(Manifest)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder holds.

    Attributes:
        parts: Names of what is to be read, by number.
        manifest: The manifest, if there is one.
        unlisted: Names of result files that the manifest does not know; they are not read.
    """

    parts: list[str]
    manifest: Manifest | None = None
    unlisted: tuple[str, ...] = ()

    def verify(self, file: str, part: str, stream: BinaryIO) -> None:
        """Makes sure that a part is as the manifest says, if there is one; rewinds the stream.

        Raises:
            UnreadableFileError: Its size or its checksum differs.
        """
        if self.manifest is None:
            return
        digest = hashlib.sha256()
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
        if digest.hexdigest() != self.manifest.entry(part).sha256:
            raise UnreadableFileError(
                f"{file} is not the file that {MANIFEST_NAME} describes: its SHA-256 differs. "
                f"{REPAIR}"
            )
        stream.seek(0)


def part_number(name: str) -> int:
    """The number in the name of a part.

    Raises:
        ValueError: It is no such name.
    """
    match = PART_NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is no name of a part")
    return int(match[1])


def list_parts(location: Location, folder: str) -> Listing:
    """The parts of a folder: those of its manifest, else all, numbered from 0 without a gap.

    Raises:
        LocationError: There is no part, or one is missing or not as long as the manifest says.
    """
    files = location.files(folder)
    manifest = manifest_among(location, folder, files)
    if manifest is None:
        return Listing(ordered_parts(location.uri(folder), files))
    faults = []
    for part in manifest.parts:
        if part.name not in files:
            faults.append(f"{part.name} is missing")
        elif (size_bytes := files[part.name].size_bytes) != part.size_bytes:
            faults.append(f"{part.name} has {size_bytes} bytes instead of {part.size_bytes}")
    if faults:
        raise LocationError(
            f"{location.uri(folder)} is not as its {MANIFEST_NAME} says; {len(faults)} of "
            f"{len(manifest.parts)} parts are wrong: {'; '.join(faults[:LISTED_FAULTS])}. {REPAIR}"
        )
    return Listing([part.name for part in manifest.parts], manifest, unlisted(manifest, files))


def manifest_among(location: Location, folder: str, names: Iterable[str]) -> Manifest | None:
    """The manifest of a folder that holds these files; None if there is none.

    Raises:
        LocationError: The manifest is not one.
    """
    if MANIFEST_NAME not in names:
        return None
    with location.open(folder, MANIFEST_NAME) as stream:
        content = stream.read()
    try:
        manifest = _DECODER.decode(content)
        for name in (*(part.name for part in manifest.parts), *manifest.superseded):
            part_number(name)
        manifest.extracted_days()
    except (msgspec.DecodeError, ValueError) as error:
        raise LocationError(
            f"{location.uri(folder)}{MANIFEST_NAME} cannot be understood: {error}. {REPAIR}"
        ) from None
    if manifest.format != FORMAT:
        raise LocationError(
            f"{location.uri(folder)}{MANIFEST_NAME} has the format {manifest.format}; this "
            f"release of dbminer reads {FORMAT}. Update dbminer."
        )
    return manifest


def unlisted(manifest: Manifest, names: Iterable[str]) -> tuple[str, ...]:
    """The result files among the names that the manifest does not know."""
    known = {*(part.name for part in manifest.parts), *manifest.superseded}
    return tuple(sorted(name for name in names if PART_NAME.fullmatch(name) and name not in known))
