"""Where offline files are written: a folder, or an S3 prefix; each is there whole or not at all."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dbminer_dagster import s3
from dbminer_dagster.errors import LocationError
from dbminer_dagster.resources.offline.files import (
    FileState,
    LocalLocation,
    Location,
    S3Location,
)
from dbminer_dagster.settings import Settings

if TYPE_CHECKING:
    from botocore.client import BaseClient


class Destination(Protocol):
    """A place for the folders of offline files."""

    @property
    def location(self) -> Location:
        """The same place, for reading."""
        ...

    def files(self, folder: str) -> dict[str, FileState]:
        """What lies in the folder, by name; nothing where there is no such folder yet."""
        ...

    def staged(self, folder: str, name: str) -> Path:
        """Where a file is made before it is published."""
        ...

    def publish(self, folder: str, name: str, staged: Path) -> None:
        """Puts what was made in its place, at once; takes the place of an older file."""
        ...

    def remove(self, folder: str, name: str) -> None:
        """Deletes a file, if it is there."""
        ...


@dataclass(frozen=True, slots=True)
class LocalDestination:
    """A folder of this machine."""

    location: LocalLocation

    def files(self, folder: str) -> dict[str, FileState]:
        """See `Destination.files`."""
        path = self.location.root / folder
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
        return self.location.files(folder)

    def staged(self, folder: str, name: str) -> Path:
        """See `Destination.staged`: beside its place, so that it can be renamed into it."""
        return self.location.root / folder / f".{name}.part"

    def publish(self, folder: str, name: str, staged: Path) -> None:
        """See `Destination.publish`."""
        path = self.location.root / folder
        with writing(path):
            _sync(staged)
            staged.replace(path / name)
            _sync(path)

    def remove(self, folder: str, name: str) -> None:
        """See `Destination.remove`."""
        path = self.location.root / folder / name
        with writing(path):
            path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class S3Destination:
    """A prefix of a bucket; files are made in a local folder."""

    location: S3Location
    client: "Callable[[], BaseClient]"
    staging: Path

    def files(self, folder: str) -> dict[str, FileState]:
        """See `Destination.files`."""
        return self.location.objects(folder)

    def staged(self, folder: str, name: str) -> Path:
        """See `Destination.staged`."""
        path = self.staging / folder / name
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def publish(self, folder: str, name: str, staged: Path) -> None:
        """See `Destination.publish`: one request, so that nothing is left of a broken one."""
        place = self.location.location
        with staged.open("rb") as body, s3.explaining(place, "write to"):
            self.client().put_object(
                Bucket=place.bucket, Key=self.location.key(folder, name), Body=body
            )
        staged.unlink()

    def remove(self, folder: str, name: str) -> None:
        """See `Destination.remove`."""
        place = self.location.location
        with s3.explaining(place, "delete from"):
            self.client().delete_object(Bucket=place.bucket, Key=self.location.key(folder, name))


def destination(uri: str, settings: Settings, staging: Path) -> Destination:
    """The destination that a uri names.

    Args:
        uri: A folder, or `s3://bucket/prefix`.
        settings: Region and endpoint of the store.
        staging: Local folder in which files for S3 are made.

    Raises:
        LocationError: The uri is malformed.
    """
    if not uri.startswith("s3://"):
        return LocalDestination(LocalLocation(Path(uri)))
    place = s3.S3Location.parse(
        uri, region=settings.s3_region, endpoint_url=settings.s3_endpoint_url
    )
    client = cache(partial(s3.s3_client, place))
    return S3Destination(S3Location(place, client), client, staging)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Explains why a local file cannot be written.

    Raises:
        LocationError: It cannot.
    """
    try:
        yield
    except OSError as error:
        remedy = (
            "Free some space there"
            if error.errno in {errno.ENOSPC, errno.EDQUOT}
            else "Make it a place that the user who runs dbminer may write"
        )
        raise LocationError(f"{path} cannot be written ({error.strerror}). {remedy}.") from error


def _sync(path: Path) -> None:
    """Makes a file, or the renames in a folder, last through a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
