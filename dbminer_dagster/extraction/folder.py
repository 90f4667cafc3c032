"""One folder of offline files: takes in the lines of extractions, each as a whole.

Whatever moment a kill strikes, readers that go by the manifest see every extraction as a whole or
not at all. Parts come first, under names that the manifest does not have, and are noted as pending
beforehand; then one manifest takes them in and gives up those that they replace; then these are
emptied. What is left undone is done by the next extraction into the folder.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count

import msgspec

from dbminer_dagster.errors import LocationError, SettingsError
from dbminer_dagster.extraction.destinations import Destination, writing
from dbminer_dagster.extraction.parts import DaysOf, empty_content, part_name, write_part
from dbminer_dagster.extraction.work import Work
from dbminer_dagster.resources.offline.manifest import (
    MANIFEST_NAME,
    ExtractionEntry,
    Manifest,
    PartEntry,
    manifest_among,
    part_number,
    unlisted,
)

_PROBE_NAME = ".dbminer-probe"


@dataclass
class OfflineFolder:
    """A folder that an extraction writes to.

    Attributes:
        destination: Where it lies.
        name: Such as `extracted-lineage`.
        work: Knows the parts that were cut off.
        part_bytes: Uncompressed lines of a part.
        is_gzip: Whether new parts are compressed.
        manifest: As it is now.
    """

    destination: Destination
    name: str
    work: Work
    part_bytes: int
    is_gzip: bool
    manifest: Manifest

    @classmethod
    def open(
        cls, destination: Destination, name: str, work: Work, *, part_bytes: int, is_gzip: bool
    ) -> "OfflineFolder":
        """Opens the folder, and finishes what a killed extraction has left undone in it.

        Raises:
            LocationError: It cannot be read or written, or holds result files of somebody else.
        """
        files = destination.files(name)
        found = manifest_among(destination.location, name, files)
        manifest = found or Manifest()
        if strangers := {*unlisted(manifest, files)} - work.pending(name):
            raise LocationError(_about_strangers(destination.location.uri(name), strangers))
        folder = cls(destination, name, work, part_bytes, is_gzip, manifest)
        folder._require_writable()
        folder._remove_pending()
        folder._empty_superseded()
        return folder

    def require_like(self, wanted: ExtractionEntry) -> None:
        """Makes sure that the extraction replaces none that was read by other options.

        Raises:
            SettingsError: It would.
        """
        for known in self.manifest.extractions:
            if wanted.replaces(known) and not wanted.is_like(known):
                raise SettingsError(
                    f"{self.destination.location.uri(self.name)} holds {known.since} to "
                    f"{known.until} {known.options}, which this extraction would replace by what "
                    f"it reads {wanted.options}. Extract by the same options "
                    "(--columns/--no-columns, DBMINER_EXCLUDED_CATALOGS), or into another --out."
                )

    def written(self, wanted: ExtractionEntry) -> ExtractionEntry | None:
        """The same entry with its parts, if they were read since this extraction began."""
        return next(
            (
                known
                for known in self.manifest.extractions
                if wanted.replaces(known) and known.extracted_at >= wanted.extracted_at
            ),
            None,
        )

    def add(
        self, entry: ExtractionEntry, lines: Iterator[bytes], days_of: DaysOf
    ) -> ExtractionEntry:
        """Writes the lines as parts, in place of what an earlier extraction of the same read.

        Args:
            entry: The extraction; the names of its parts are filled in here.
            lines: JSON objects without a line end.
            days_of: Tells the days of a line.

        Returns:
            The entry with its parts.

        Raises:
            LocationError: The folder cannot be written.
        """
        names = self._free_names()
        parts = [self._publish_part(next(names), chain([first], lines), days_of) for first in lines]
        entry = msgspec.structs.replace(entry, parts=[part.name for part in parts])
        manifest = self.manifest.with_extraction(entry, parts)
        self._publish(MANIFEST_NAME, manifest.encoded())
        self.manifest = manifest
        self.work.settle(self.name)
        self._empty_superseded()
        return entry

    def _free_names(self) -> Iterator[str]:
        """The lowest names that readers do not read, and whose number has no other file."""
        used = {part_number(part.name) for part in self.manifest.parts}
        placeholders = {part_number(name): name for name in self.manifest.superseded}
        for number in count():
            name = part_name(number, is_gzip=self.is_gzip)
            if number not in used and placeholders.get(number, name) == name:
                yield name

    def _publish_part(self, name: str, lines: Iterator[bytes], days_of: DaysOf) -> PartEntry:
        self.work.note_pending(self.name, name)
        staged = self.destination.staged(self.name, name)
        with writing(staged):
            part = write_part(staged, name, lines, limit_bytes=self.part_bytes, days_of=days_of)
        self.destination.publish(self.name, name, staged)
        return part

    def _publish(self, name: str, content: bytes) -> None:
        staged = self.destination.staged(self.name, name)
        with writing(staged):
            staged.write_bytes(content)
        self.destination.publish(self.name, name, staged)

    def _require_writable(self) -> None:
        """Finds out before hours of reading."""
        self._publish(_PROBE_NAME, b"")
        self.destination.remove(self.name, _PROBE_NAME)

    def _remove_pending(self) -> None:
        """Removes what a killed extraction had not yet brought into the manifest."""
        pending = self.work.pending(self.name)
        for name in pending:
            staged = self.destination.staged(self.name, name)
            with writing(staged):
                staged.unlink(missing_ok=True)
        for name in unlisted(self.manifest, pending):
            self.destination.remove(self.name, name)
        self.work.settle(self.name)

    def _empty_superseded(self) -> None:
        """Takes the content of superseded parts from readers that know no manifest."""
        files = self.destination.files(self.name)
        for name in self.manifest.superseded:
            content = empty_content(name)
            if name not in files or files[name].size_bytes != len(content):
                self._publish(name, content)


def _about_strangers(uri: str, names: set[str]) -> str:
    listed = ", ".join(sorted(names)[:5])
    return (
        f"{uri} holds {len(names)} result files that its {MANIFEST_NAME} does not name ({listed}): "
        "dbminer would neither replace nor read them. Choose another --out, or move them away; if "
        "they come from an extraction of another machine, end that one there with --resume."
    )
