"""The manifest of a folder of offline files: what it lists is read as it was written, no more."""

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbminer_dagster.errors import DbminerError, LocationError, UnreadableFileError
from dbminer_dagster.preflight.model import Status
from dbminer_dagster.preflight.offline import location_probe, offline_probes
from dbminer_dagster.preflight.plan import Source
from dbminer_dagster.resources.offline import QUERY_HISTORY_FOLDER
from dbminer_dagster.resources.offline.extractor import OfflineExtractor
from dbminer_dagster.resources.offline.files import LocalLocation
from dbminer_dagster.resources.offline.manifest import (
    MANIFEST_NAME,
    ExtractionEntry,
    Manifest,
    PartEntry,
    list_parts,
    part_number,
)
from dbminer_dagster.s3 import s3_client
from dbminer_dagster.settings import load_settings
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.offline_files import (
    DAY,
    api_row,
    history_of,
    ndjson,
    read_history,
    write_history,
)
from dbminer_dagster_tests.s3_server import S3Server

BEGUN_AT = datetime(2026, 1, 9, tzinfo=UTC)


def listed(folder: Path, *names: str, days: Sequence[date] = (DAY,)) -> Manifest:
    """A manifest of these files as they are now."""
    parts = []
    for name in names:
        content = (folder / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        parts.append(PartEntry(name, 1, len(content), digest, list(days)))
    entry = ExtractionEntry("17", DAY, DAY, BEGUN_AT, list(names))
    return Manifest(parts=parts, extractions=[entry])


def write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / MANIFEST_NAME).write_bytes(manifest.encoded())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three parts, of which a manifest names the first and the last."""
    write_history(tmp_path, *(ndjson(api_row(f"s-{number}")) for number in range(3)))
    history = tmp_path / QUERY_HISTORY_FOLDER
    write_manifest(history, listed(history, "result-0.json", "result-2.json"))
    return history


def test_only_listed_parts_are_read(folder: Path) -> None:
    """A result file that the manifest does not name gives no row, and a note that names it."""
    found = read_history(folder.parent)

    assert found.column("statement_id") == ["s-0", "s-2"]
    assert found.extraction.notes["unlisted_files"] == [f"{QUERY_HISTORY_FOLDER}/result-1.json"]


def test_a_superseded_part_is_neither_read_nor_reported(folder: Path) -> None:
    """A part whose content was replaced is nobody's concern, emptied or not yet."""
    manifest = listed(folder, "result-0.json", "result-2.json")
    write_manifest(folder, Manifest(parts=manifest.parts, superseded=["result-1.json"]))

    found = read_history(folder.parent)

    assert found.column("statement_id") == ["s-0", "s-2"]
    assert not found.extraction.notes


def test_without_a_manifest_all_parts_are_read(folder: Path) -> None:
    """A folder of another extractor is read by the numbers of its parts."""
    (folder / MANIFEST_NAME).unlink()

    assert read_history(folder.parent).column("statement_id") == ["s-0", "s-1", "s-2"]


def removed(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def changed(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"s-2", b"s-9"))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (removed, r"result-2\.json is missing"),
        (cut, r"result-2\.json has \d+ bytes instead of \d+"),
        (changed, r"result-2\.json is not the file .* SHA-256"),
    ],
)
def test_a_listed_part_that_is_not_as_written_fails(
    damage: Callable[[Path], None], reason: str, folder: Path
) -> None:
    """A part that is missing, cut or changed fails by its name, with what repairs it."""
    damage(folder / "result-2.json")

    with pytest.raises((LocationError, UnreadableFileError), match=reason) as caught:
        read_history(folder.parent)

    assert "--resume, or copy the folder again" in str(caught.value)


@pytest.mark.parametrize("damage", [removed, cut, changed])
def test_s3_is_verified_like_a_folder(
    damage: Callable[[Path], None], folder: Path, s3_prefix: str, s3_server: S3Server
) -> None:
    """Parts in S3 are compared with the manifest as well."""
    damage(folder / "result-2.json")
    location = s3_server.location(s3_prefix.partition(f"{s3_server.bucket}/")[2])
    client = s3_client(location)
    for path in folder.iterdir():
        key = f"{location.prefix}/{path.relative_to(folder.parent)}"
        client.put_object(Bucket=location.bucket, Key=key, Body=path.read_bytes())
    extractor = OfflineExtractor(
        uri=s3_prefix, s3_region=s3_server.region, s3_endpoint_url=s3_server.endpoint_url
    )

    with pytest.raises((LocationError, UnreadableFileError), match=r"result-2\.json"):
        history_of(extractor, Window.of_day(DAY))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "cannot be understood"),
        (b"[]", "cannot be understood"),
        (b"\xff", "cannot be understood"),
        (b'{"parts": [{"name": "result-0.json"}]}', "missing required field"),
        (b'{"superseded": ["../result-0.json"]}', "is no name of a part"),
        (b'{"format": 2, "parts": []}', "has the format 2"),
    ],
    ids=["cut", "array", "not_utf8", "without_fields", "foreign_name", "newer"],
)
def test_a_manifest_that_is_none_fails(content: bytes, reason: str, folder: Path) -> None:
    """A file of that name which is no manifest is an error, not a folder without one."""
    (folder / MANIFEST_NAME).write_bytes(content)

    with pytest.raises(LocationError, match=f"manifest.json .*{reason}"):
        list_parts(LocalLocation(folder.parent), QUERY_HISTORY_FOLDER)


def test_a_manifest_comes_back_as_it_was_written(folder: Path) -> None:
    """What is written is what is read; a folder without one has none."""
    manifest = listed(folder, "result-0.json", days=[DAY, DAY + timedelta(days=1)])
    write_manifest(folder, manifest)
    location = LocalLocation(folder.parent)

    assert list_parts(location, QUERY_HISTORY_FOLDER).manifest == manifest
    assert manifest.days() == [DAY, DAY + timedelta(days=1)]
    (folder / MANIFEST_NAME).unlink()
    assert list_parts(location, QUERY_HISTORY_FOLDER).manifest is None


def test_a_day_without_statements_is_covered_when_it_was_extracted(folder: Path) -> None:
    """A day on which nothing ran was extracted nonetheless, and gives no row and no error."""
    quiet = DAY + timedelta(days=1)
    entry = ExtractionEntry("17", quiet, quiet, BEGUN_AT, [])
    write_manifest(folder, Manifest(extractions=[entry]))

    assert read_history(folder.parent, Window.of_day(quiet)).rows.is_empty()
    with pytest.raises(DbminerError, match="the source holds"):
        read_history(folder.parent, Window.of_day(DAY))


def test_a_day_between_two_extractions_is_absent(folder: Path) -> None:
    """A day that was never extracted is no quiet day, though days around it were."""
    entries = [
        ExtractionEntry("17", day, day, BEGUN_AT, [])
        for day in (DAY + timedelta(days=offset) for offset in (0, 1, 3))
    ]
    write_manifest(folder, Manifest(extractions=entries))
    gap = DAY + timedelta(days=2)
    window = Window(DAY, DAY + timedelta(days=5))

    found = read_history(folder.parent, window).extraction
    assert found.absent_days(window) == {gap, DAY + timedelta(days=4)}
    with pytest.raises(DbminerError, match=f"{DAY} to .*, but for 1 days in between"):
        read_history(folder.parent, Window.of_day(gap))


def test_a_manifest_of_an_older_release_is_read(folder: Path) -> None:
    """Options that it does not tell differ from no others."""
    old = ExtractionEntry("17", DAY, DAY, BEGUN_AT, [])
    new = msgspec.structs.replace(old, columns=False, excluded_catalogs=["system"])
    content = json.loads(Manifest(extractions=[old]).encoded())
    for name in ("columns", "excluded_catalogs"):
        del content["extractions"][0][name]
    (folder / MANIFEST_NAME).write_text(json.dumps(content))

    read = list_parts(LocalLocation(folder.parent), QUERY_HISTORY_FOLDER).manifest
    assert read == Manifest(extractions=[old])
    assert new.is_like(old)
    assert not new.is_like(msgspec.structs.replace(new, columns=True))
    assert not new.is_like(msgspec.structs.replace(new, excluded_catalogs=[]))


def present(folder: Path) -> tuple[Status, str]:
    settings = load_settings(offline_uri=str(folder.parent))
    probes = offline_probes(settings, Source.QUERY_HISTORY, location_probe(settings))
    answer = next(probe for probe in probes if probe.name == "files_present").ask()
    return answer.status, answer.text


def test_preflight_tells_of_unlisted_files(folder: Path) -> None:
    """Preflight warns of result files that will not be read, and is content without them."""
    status, message = present(folder)
    (folder / "result-1.json").unlink()

    assert status is Status.WARNING
    assert "not in its manifest and are not read: result-1.json." in message
    assert present(folder)[0] is Status.PASSED


def test_preflight_finds_a_missing_part(folder: Path) -> None:
    """Preflight fails where a run would."""
    (folder / "result-0.json").unlink()

    with pytest.raises(LocationError, match=r"result-0\.json is missing"):
        present(folder)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.integers(0, 3)), max_size=8))
def test_extractions_replace_their_like_alone(history: list[tuple[str, int, int]]) -> None:
    """After any extractions each workspace and day has its last one, and no name has two uses."""
    manifest, expected, number = Manifest(), {}, 0
    for workspace_id, offset, count in history:
        day = DAY + timedelta(days=offset)
        parts = [
            PartEntry(f"result-{n}.json", 1, 1, "-", [day]) for n in range(number, number + count)
        ]
        number += count
        names = [part.name for part in parts]
        manifest = manifest.with_extraction(
            ExtractionEntry(workspace_id, day, day, BEGUN_AT, names), parts
        )
        expected[workspace_id, day] = names

    assert {(e.workspace_id, e.since): e.parts for e in manifest.extractions} == expected
    kept = [part.name for part in manifest.parts]
    assert sorted(kept) == sorted(name for names in expected.values() for name in names)
    assert kept == sorted(kept, key=part_number)
    assert sorted(map(part_number, [*kept, *manifest.superseded])) == list(range(number))
