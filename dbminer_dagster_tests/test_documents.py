"""Documents beside the tables are whole, in a folder and in a bucket."""

from pathlib import Path

import pytest

from dbminer_dagster import s3
from dbminer_dagster.documents import write_document
from dbminer_dagster.errors import LocationError, StorageError
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster_tests.s3_server import S3Server

NAME = "reports/popularity.html"


def test_a_document_is_replaced_whole(tmp_path: Path) -> None:
    """The folder is made, the newest content stands, and nothing lies beside it."""
    storage = DeltaStorage(str(tmp_path / "tables"))
    write_document(storage, NAME, b"x" * 1_000)

    place = write_document(storage, NAME, "neu: ü".encode())

    assert place == str(tmp_path / "tables" / NAME)
    assert Path(place).read_text(encoding="utf-8") == "neu: ü"
    assert list(Path(place).parent.iterdir()) == [Path(place)]


def test_what_cannot_be_written_says_so(tmp_path: Path) -> None:
    """A file where the folder should be is an error that names the place and the repair."""
    (tmp_path / "reports").write_text("in the way")

    with pytest.raises(StorageError, match=r"popularity\.html could not be written.*right and the"):
        write_document(DeltaStorage(str(tmp_path)), NAME, b"")


def test_a_failed_write_keeps_the_old_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk is full, the old document stands and no part of the new one is left."""
    storage = DeltaStorage(str(tmp_path))
    place = Path(write_document(storage, NAME, b"old"))

    def full(path: Path, content: bytes) -> int:
        path.touch()
        raise OSError(28, "No space left on device", len(content))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="No space left on device"):
        write_document(storage, NAME, b"new")

    assert place.read_text() == "old"
    assert list(place.parent.iterdir()) == [place]


def test_a_bucket_serves_a_page(s3_prefix: str, s3_server: S3Server) -> None:
    """The object is replaced, and is called HTML so that a browser shows it."""
    storage = DeltaStorage(s3_prefix, endpoint_url=s3_server.endpoint_url)
    write_document(storage, NAME, b"old")

    place = write_document(storage, NAME, b"<p>new</p>")

    assert place == f"{s3_prefix}/{NAME}"
    location = s3.S3Location.parse(place, region=None, endpoint_url=s3_server.endpoint_url)
    found = s3.s3_client(location).get_object(Bucket=location.bucket, Key=location.prefix)
    assert found["Body"].read() == b"<p>new</p>"
    assert found["ContentType"] == "text/html; charset=utf-8"


def test_a_bucket_that_is_not_there_says_so(s3_prefix: str, s3_server: S3Server) -> None:
    """A wrong bucket is named, with what to do."""
    assert s3_prefix
    storage = DeltaStorage("s3://no-such-bucket/a", endpoint_url=s3_server.endpoint_url)

    with pytest.raises(LocationError, match="no-such-bucket"):
        write_document(storage, NAME, b"")
