"""Objects out of files: any wrapping gives the same objects, and nothing is lost unseen."""

import gzip
import io
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbminer_dagster.errors import BadLinesError, UnreadableFileError
from dbminer_dagster.resources.offline import lines
from dbminer_dagster.resources.offline.lines import BadLines, page_rows, read_objects
from dbminer_dagster_tests.offline_files import ndjson

TEXTS = st.text(alphabet='ab"\\[]{},: \n\u00e9', max_size=6)
VALUES = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.lists(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=3), max_size=5)
ROWS = [{"a": 'x]},{"\\'}, {"b": [1, {"c": []}]}, {"d": {}}]
BOM = b"\xef\xbb\xbf"


def read(content: bytes, name: str = "result-0.json", limit: int = 0) -> list[tuple[str, bytes]]:
    return list(read_objects(name, io.BytesIO(content), BadLines(limit)))


def objects(content: bytes, name: str = "result-0.json") -> list[Any]:
    """The objects of a file; the rows of its pages in their place."""
    pieces = [content for _, content in read(content, name)]
    rows = [row for piece in pieces for row in (page_rows(piece) or [piece])]
    return [json.loads(row) for row in rows if page_rows(row) is None]


def compact(value: object) -> bytes:
    return json.dumps(value).encode()


def pretty(value: object) -> bytes:
    return json.dumps(value, indent=2).encode()


SHAPES = {
    "lines": ndjson(*ROWS),
    "no_last_newline": ndjson(*ROWS).rstrip(),
    "crlf": ndjson(*ROWS).replace(b"\n", b"\r\n"),
    "blank_lines": b"\n  \n" + ndjson(*ROWS).replace(b"\n", b"\n\n \t\n"),
    "array": compact(ROWS),
    "pretty_array": pretty(ROWS),
    "pretty_array_crlf": pretty(ROWS).replace(b"\n", b"\r\n"),
    "array_on_each_line": ndjson(ROWS[:1], [], ROWS[1:]),
    "page": compact({"res": ROWS, "has_next_page": False}),
    "pretty_page": pretty({"res": ROWS, "has_next_page": False}),
    "page_with_token_first": pretty({"next_page_token": "t", "res": ROWS}),
    "page_on_each_line": ndjson(
        {"res": ROWS[:1], "has_next_page": True}, {"has_next_page": True}, {"res": ROWS[1:]}
    ),
    "array_of_pages": compact([{"res": ROWS[:2]}, {"res": ROWS[2:]}]),
    "pretty_objects": b"\n".join(map(pretty, ROWS)),
    "lines_after_an_array": compact(ROWS[:1]) + b"\n" + ndjson(*ROWS[1:]),
}


@pytest.mark.parametrize("prefix", [b"", BOM], ids=["plain", "byte_order_mark"])
@pytest.mark.parametrize("content", SHAPES.values(), ids=SHAPES.keys())
def test_every_shape_gives_the_same_objects(content: bytes, prefix: bytes) -> None:
    """Lines, arrays and pages, compact or pretty, zipped or not, hold the same objects."""
    assert objects(prefix + content) == ROWS
    assert objects(gzip.compress(prefix + content), "result-0.json.gz") == ROWS


@given(OBJECTS)
@settings(max_examples=60, deadline=None)
def test_any_objects_survive_any_wrapping(rows: list[dict[str, Any]]) -> None:
    """Whatever the objects hold, every wrapping gives them back, byte for byte in value."""
    for content in (ndjson(*rows), compact(rows), pretty(rows), b"".join(map(pretty, rows))):
        assert [json.loads(piece) for _, piece in read(content)] == rows


@given(OBJECTS, st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_the_size_of_reads_does_not_matter(rows: list[dict[str, Any]], size: int) -> None:
    """Objects that cross the border of two reads stay whole."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_CHUNK_BYTES", size)
        assert [json.loads(piece) for _, piece in read(pretty(rows))] == rows


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_objects_or_an_error_of_ours(content: bytes) -> None:
    """No content whatsoever makes reading fail in another way than with our own error."""
    for wrapped in (content, b"[" + content, b'{"res":[\n' + content):
        with suppress(UnreadableFileError):
            read(wrapped)


@pytest.mark.parametrize(
    "content", [b"", b"\n\r\n  \n", BOM, b"[]", b"[ ]\n"], ids=["0", "blank", "bom", "[]", "[ ]"]
)
def test_an_empty_file_holds_nothing(content: bytes) -> None:
    """A file without an object is fine."""
    assert read(content) == []
    assert read(gzip.compress(content), "result-0.json.gz") == []


def test_places_are_lines() -> None:
    """Each object has the line where it begins; in an array its number too."""
    assert [place for place, _ in read(b'\n{"a":1}\n\n{"b":2}')] == ["line 2", "line 4"]
    spread = b'[\n{"a":\n1},\n\n{"b":2}, {"c":3}]'
    places = [place for place, _ in read(spread)]
    assert places == ["line 2, object 1", "line 5, object 2", "line 5, object 3"]


ZIPPED = gzip.compress(ndjson(*({"number": number} for number in range(5000))))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        pytest.param("r.json.gz", ZIPPED[:-4], "breaks off after line", id="without_trailer"),
        pytest.param("r.json.gz", ZIPPED[: len(ZIPPED) // 2], "breaks off after line", id="half"),
        pytest.param("r.json.gz", ZIPPED[:5], "breaks off after line 0", id="in_the_header"),
        pytest.param("r.json.gz", ZIPPED[:-8] + bytes(8), "breaks off after line", id="checksum"),
        pytest.param("r.json.gz", ZIPPED + b"more", "breaks off after line", id="trailing_bytes"),
        pytest.param("r.json.gz", b'{"a":1}\n', "line 1 on: it is not gzip", id="plain"),
        pytest.param("r.json.gz", b"", "line 1 on: it is not gzip", id="empty"),
        pytest.param("r.json", ZIPPED, "line 1 on: it is gzip", id="zipped_as_plain"),
        pytest.param("r.json", b'[{"a":1},\n{"b":', "after line 1, object 1", id="cut_array"),
        pytest.param("r.json", b'{"res": [\n{"a":1},\n', "after line 0", id="cut_page"),
        pytest.param("r.json", b'["abc', "is not closed", id="cut_text"),
    ],
)
def test_a_damaged_file_is_never_tolerated(name: str, content: bytes, reason: str) -> None:
    """A file that breaks off fails with its name and line, however many bad lines are allowed."""
    with pytest.raises(UnreadableFileError, match=f"^{name} .*{reason}"):
        read(content, name, limit=1000)


@pytest.mark.parametrize("line", [b'{"a": [', b'{"a": {', b"{", b'["x"'])
def test_a_cut_first_line_does_not_swallow_others_unseen(line: bytes) -> None:
    """After a cut line the others come out, or the file fails; they never vanish."""
    try:
        pieces = [piece for _, piece in read(line + b"\n" + ndjson({"b": 1}, {"c": 2}))]
    except UnreadableFileError:
        return
    assert pieces[-2:] == [b'{"b": 1}', b'{"c": 2}']


def test_a_line_over_the_limit_is_a_bad_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line longer than the limit is bad, one as long as the limit is not, and both end there."""
    monkeypatch.setattr(lines, "LINE_LIMIT_BYTES", 20)
    bad_lines = BadLines(9)
    fits, over = b'"' + b"x" * 18 + b'"', b'"' + b"x" * 50 + b'"'

    found = list(
        read_objects("r.json", io.BytesIO(b"\n".join([over, fits, over, b"1"])), bad_lines)
    )

    assert found == [("line 2", fits), ("line 4", b"1")]
    assert bad_lines.listed == [f"r.json, line {n}: longer than 20 bytes" for n in (1, 3)]


def test_an_object_of_an_array_over_the_limit_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that cannot be held fails the file by its number; a long array does not."""
    monkeypatch.setattr(lines, "LINE_LIMIT_BYTES", 100)
    monkeypatch.setattr(lines, "_CHUNK_BYTES", 10)

    assert len(read(compact([{"a": number} for number in range(1000)]))) == 1000
    with pytest.raises(UnreadableFileError, match="object 2 is longer than 100 bytes"):
        read(compact([1, "x" * 500]))


def test_a_line_of_50_megabytes_is_read() -> None:
    """Statements are long; a line of 50 MB is read like any other."""
    text = b"x" * 50_000_000

    assert [len(piece) for _, piece in read(b'{"a":"' + text + b'"}\n{}')] == [len(text) + 8, 2]
    assert [len(piece) for _, piece in read(b'[{"a":"' + text + b'"},{}]')] == [len(text) + 8, 2]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b'{"res":[{"a":1},{"b":2}]}', [b'{"a":1}', b'{"b":2}']),
        (b'{"res":[]}', []),
        (b'{"has_next_page":false}', []),
        (b'{"res":null,"has_next_page":false}', []),
        (b'{"res":"text"}', None),
        (b'{"a":1}', None),
        (b"[]", None),
        (b'{"res":[', None),
        (b"[" * 5000 + b"]" * 5000, None),
    ],
)
def test_pages_are_told_from_rows(content: bytes, rows: list[bytes] | None) -> None:
    """A page is an object with rows under `res`, or one that tells of a next page."""
    assert page_rows(content) == rows


def test_bad_lines_up_to_the_limit_pass() -> None:
    """As many bad lines as allowed pass; one more fails, with file, line and reason of each."""
    bad_lines = BadLines(1)
    bad_lines.add("a.json", "line 3", "no key")
    bad_lines.require_few()
    bad_lines.add("b.json", "line 7", "cut off")

    with pytest.raises(BadLinesError) as caught:
        bad_lines.require_few()

    assert "2 bad lines, 1 allowed; nothing was committed" in str(caught.value)
    assert "  a.json, line 3: no key\n  b.json, line 7: cut off\n" in str(caught.value)
    assert "DBMINER_OFFLINE_MAX_BAD_LINES" in str(caught.value)


def test_a_hopeless_file_is_given_up_early() -> None:
    """Far more bad lines than allowed end the reading, with the first of them listed."""
    bad_lines = BadLines(5)

    for number in range(25):
        bad_lines.add("a.json", f"line {number}", "bad")
    with pytest.raises(BadLinesError):
        bad_lines.add("a.json", "line 25", "bad")

    assert bad_lines.total == 26
    assert len(bad_lines.listed) == lines.LISTED_BAD_LINES
