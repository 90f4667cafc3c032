"""The numbered parts of an offline location: a folder, or an S3 prefix."""

import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from dbminer_dagster import s3
from dbminer_dagster.errors import LocationError, UnreadableFileError

if TYPE_CHECKING:
    from dagster_aws.s3 import S3Resource

PART_NAME = re.compile(r"result-([0-9]+)\.json(\.gz)?")


class Location(Protocol):
    """Where offline files lie."""

    def parts(self, folder: str) -> list[str]:
        """The names of all parts in the folder, by number; each from 0 once, or an error."""
        ...

    def open(self, folder: str, part: str) -> AbstractContextManager[BinaryIO]:
        """A part, opened for reading bytes and seekable."""
        ...


@dataclass(frozen=True, slots=True)
class LocalLocation:
    """A folder of this machine."""

    root: Path

    def parts(self, folder: str) -> list[str]:
        """See `Location.parts`."""
        path = self.root / folder
        try:
            names = [entry.name for entry in path.iterdir()]
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
        return ordered_parts(str(path), names)

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
    resource: "S3Resource"

    def parts(self, folder: str) -> list[str]:
        """See `Location.parts`."""
        prefix = f"{self.location.prefix}/{folder}/".lstrip("/")
        uri = f"s3://{self.location.bucket}/{prefix}"
        s3.probe_readable(self.location)
        pages = (
            self.resource.get_client()
            .get_paginator("list_objects_v2")
            .paginate(Bucket=self.location.bucket, Prefix=prefix, Delimiter="/")
        )
        with s3.explaining(self.location, "list"):
            names = [
                entry["Key"].removeprefix(prefix)
                for page in pages
                for entry in page.get("Contents", ())
            ]
        return ordered_parts(uri, names)

    @contextmanager
    def open(self, folder: str, part: str) -> Iterator[BinaryIO]:
        """See `Location.open`."""
        key = f"{self.location.prefix}/{folder}/{part}".lstrip("/")
        with tempfile.TemporaryFile(prefix="dbminer-") as spooled:
            with s3.explaining(self.location, "read"):
                self.resource.get_client().download_fileobj(self.location.bucket, key, spooled)
            spooled.seek(0)
            yield spooled


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
