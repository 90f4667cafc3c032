"""The numbered parts of an offline location: a folder, or an S3 prefix."""

import io
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from dbminer_dagster import s3
from dbminer_dagster.errors import LocationError, UnreadableFileError
from dbminer_dagster.resources.offline import LINEAGE_FOLDER, QUERY_HISTORY_FOLDER
from dbminer_dagster.resources.offline.object_reader import ObjectReader

if TYPE_CHECKING:
    from botocore.client import BaseClient

HEAD_BYTES = 256 * 1024
"""What is fetched at once of an object whose beginning is read."""

PART_NAME = re.compile(r"result-([0-9]+)\.json(\.gz)?")


@dataclass(frozen=True, slots=True)
class FileState:
    """What a listing tells of a file.

    Attributes:
        size_bytes: Its size.
        version: A text that changes when the file is replaced.
    """

    size_bytes: int
    version: str


class Location(Protocol):
    """Where offline files lie."""

    def uri(self, folder: str) -> str:
        """The folder as people name it, with a slash at its end."""
        ...

    def files(self, folder: str) -> dict[str, FileState]:
        """What lies in the folder, by name; raises `LocationError` if it cannot be listed."""
        ...

    def open(self, folder: str, part: str) -> AbstractContextManager[BinaryIO]:
        """A part, opened for reading bytes and seekable."""
        ...

    def open_head(self, folder: str, part: str) -> AbstractContextManager[BinaryIO]:
        """The same for who reads only its beginning: nothing is fetched before it is read."""
        ...

    def holds(self, folder: str) -> bool:
        """Whether there is anything in a folder that may be missing."""
        ...

    def probe(self) -> None:
        """Makes sure that the location exists and can be listed, or raises `LocationError`."""
        ...


@dataclass(frozen=True, slots=True)
class LocalLocation:
    """A folder of this machine."""

    root: Path

    def uri(self, folder: str) -> str:
        """See `Location.uri`."""
        return f"{self.root / folder}/"

    def files(self, folder: str) -> dict[str, FileState]:
        """See `Location.files`."""
        return _listed(self.root / folder)

    def holds(self, folder: str) -> bool:
        """See `Location.holds`."""
        return (self.root / folder).is_dir()

    def probe(self) -> None:
        """See `Location.probe`."""
        _listed(self.root)

    def open_head(self, folder: str, part: str) -> AbstractContextManager[BinaryIO]:
        """See `Location.open_head`."""
        return self.open(folder, part)

    @contextmanager
    def open(self, folder: str, part: str) -> Iterator[BinaryIO]:
        """See `Location.open`."""
        path = self.root / folder / part
        try:
            stream = path.open("rb")
        except OSError as error:
            raise UnreadableFileError(
                f"{path} cannot be opened ({error.strerror}): make it a file that the user who "
                "runs dbminer may read."
            ) from error
        with stream:
            yield stream


@dataclass(frozen=True, slots=True)
class S3Location:
    """A prefix of a bucket; parts are spooled to disk, so a broken transfer is resumed."""

    location: s3.S3Location
    client: "Callable[[], BaseClient]"

    def uri(self, folder: str) -> str:
        """See `Location.uri`."""
        return f"s3://{self.location.bucket}/{self.key(folder)}"

    def key(self, folder: str, name: str = "") -> str:
        """The key of a file of the folder, or what the keys of all of them begin with."""
        return f"{self.location.prefix}/{folder}/{name}".lstrip("/")

    def files(self, folder: str) -> dict[str, FileState]:
        """See `Location.files`."""
        s3.probe_readable(self.location)
        return self.objects(folder)

    def objects(self, folder: str) -> dict[str, FileState]:
        """The same where nothing need be there yet."""
        prefix = self.key(folder)
        pages = (
            self.client()
            .get_paginator("list_objects_v2")
            .paginate(Bucket=self.location.bucket, Prefix=prefix, Delimiter="/")
        )
        with s3.explaining(self.location, "list"):
            return {
                entry["Key"].removeprefix(prefix): FileState(entry["Size"], entry["ETag"])
                for page in pages
                for entry in page.get("Contents", ())
            }

    def holds(self, folder: str) -> bool:
        """See `Location.holds`."""
        return bool(self.objects(folder))

    @contextmanager
    def open(self, folder: str, part: str) -> Iterator[BinaryIO]:
        """See `Location.open`."""
        with tempfile.TemporaryFile(prefix="dbminer-") as spooled:
            with s3.explaining(self.location, "read"):
                self.client().download_fileobj(
                    self.location.bucket, self.key(folder, part), spooled
                )
            spooled.seek(0)
            yield spooled

    def probe(self) -> None:
        """See `Location.probe`."""
        s3.probe_readable(self.location)

    @contextmanager
    def open_head(self, folder: str, part: str) -> Iterator[BinaryIO]:
        """See `Location.open_head`."""
        client = self.client()
        named = {"Bucket": self.location.bucket, "Key": self.key(folder, part)}
        with s3.explaining(self.location, "read"):
            size_bytes = client.head_object(**named)["ContentLength"]

            def fetch(byte_range: str) -> bytes:
                return client.get_object(**named, Range=byte_range)["Body"].read()

            yield io.BufferedReader(ObjectReader(fetch, size_bytes), HEAD_BYTES)


def _listed(path: Path) -> dict[str, FileState]:
    try:
        with os.scandir(path) as entries:
            return {entry.name: _state(entry) for entry in entries}
    except FileNotFoundError:
        raise LocationError(
            f"The folder {path} does not exist. Set DBMINER_OFFLINE_URI to the folder that "
            "holds extracted-lineage/ and extracted-query-history/."
        ) from None
    except OSError as error:
        raise LocationError(
            f"The folder {path} cannot be listed ({error.strerror}): make it a folder that "
            "the user who runs dbminer may read."
        ) from error


def _state(entry: os.DirEntry[str]) -> FileState:
    try:
        found = entry.stat()
    except OSError:
        return FileState(0, "")  # a dangling link: who opens it is told
    return FileState(found.st_size, str(found.st_mtime_ns))


def locate(
    uri: str | None,
    *,
    region: str | None,
    endpoint_url: str | None,
    client: "Callable[[], BaseClient] | None" = None,
) -> Location:
    """The location that the settings name.

    Args:
        uri: A folder, or `s3://bucket/prefix`.
        region: Region of the bucket.
        endpoint_url: Endpoint of an S3-compatible store.
        client: Makes the client that reads objects; by default `s3.s3_client`.

    Raises:
        LocationError: There is no uri, or it is malformed.
    """
    if uri is None:
        raise LocationError(
            "The offline method needs DBMINER_OFFLINE_URI. Set it to the folder or "
            f"s3://bucket/prefix that holds {LINEAGE_FOLDER}/ and {QUERY_HISTORY_FOLDER}/."
        )
    if not uri.startswith("s3://"):
        return LocalLocation(Path(uri))
    place = s3.S3Location.parse(uri, region=region, endpoint_url=endpoint_url)
    return S3Location(place, client or partial(s3.s3_client, place))


def ordered_parts(uri: str, names: Iterable[str]) -> list[str]:
    """The parts among `names`, by number.

    Raises:
        LocationError: There is no part, a number is missing, or one is there twice.
    """
    parts: dict[int, str] = {}
    for name in names:
        if match := PART_NAME.fullmatch(name):
            number = int(match[1])
            if number in parts:
                raise LocationError(
                    f"{uri} holds part {number} twice, as {parts[number]} and {name}: remove one."
                )
            parts[number] = name
    if not parts:
        raise LocationError(
            f"{uri} holds no result-0.json or result-0.json.gz: write the extracted files there."
        )
    last = max(parts)
    if missing := last + 1 - len(parts):
        numbers = (number for number in range(last) if number not in parts)
        listed = ", ".join(f"result-{number}.json" for number in islice(numbers, 10))
        raise LocationError(
            f"{uri} has parts up to result-{last} but lacks {missing}: {listed}. "
            "Copy what is missing; rows would be lost without it."
        )
    return [parts[number] for number in sorted(parts)]
