"""Documents beside the result tables, such as reports: each is whole, or as it was before."""

import uuid
from pathlib import Path

from dbminer_dagster import s3
from dbminer_dagster.errors import StorageError
from dbminer_dagster.storage import DeltaStorage

CONTENT_TYPE = "text/html; charset=utf-8"


def write_document(storage: DeltaStorage, name: str, content: bytes) -> str:
    """Writes an HTML document, or replaces it.

    Args:
        storage: The place of the result tables.
        name: Path below it, such as `reports/popularity.html`.
        content: The document, in UTF-8.

    Returns:
        Where it lies: a path, or `s3://bucket/key`.

    Raises:
        StorageError: It cannot be written; the one that was there is as it was.
        LocationError: The same, for a bucket; the message tells why.
    """
    if storage.uri.startswith("s3://"):
        return _put(storage, name, content)
    path = Path(storage.uri).absolute() / name
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.write_bytes(content)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"The document {path} could not be written ({error.strerror}): give the user who runs "
            "dbminer the right and the room to write there, and materialise its asset again."
        ) from error
    return str(path)


def _put(storage: DeltaStorage, name: str, content: bytes) -> str:
    """A put is atomic: readers see the old object or the new one."""
    location = s3.S3Location.parse(
        storage.uri, region=storage.region, endpoint_url=storage.endpoint_url
    )
    key = f"{location.prefix}/{name}".lstrip("/")
    client = s3.s3_client(location)
    with s3.explaining(location, "write to"):
        client.put_object(Bucket=location.bucket, Key=key, Body=content, ContentType=CONTENT_TYPE)
    return f"s3://{location.bucket}/{key}"
