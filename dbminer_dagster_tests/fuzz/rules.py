"""What holds for any text whatever, in a form that hypothesis and atheris share."""

import time
from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from dbminer_dagster.mining.sql_reads import References, referenced_tables
from dbminer_dagster.mining.templates import with_query_hash

# Times the slowest texts of the parser's own limits take, on a slow and busy machine.
MAX_CPU_S = 2.0
MAX_TIMED_CHARACTERS = 100_000


def check_references(text: str) -> References:
    """A text has references or a reason for none, and soon; it raises nothing."""
    start = time.process_time()
    references = referenced_tables(text)
    elapsed_s = time.process_time() - start
    assert (references.error is None) == (references.attribution is not None)
    if references.error is not None:
        assert references == References.failed(references.error)
        assert "unforeseen" not in references.error, references.error
    assert {table for table, _ in references.columns} <= references.reads
    assert references.rebuilds <= references.writes
    assert len(text) > MAX_TIMED_CHARACTERS or elapsed_s < MAX_CPU_S, f"{elapsed_s:.1f} s"
    return references


def check_templates(texts: Sequence[str]) -> int:
    """Texts of one template have the same references; returns how many shared one.

    A text's template is its own: the texts hashed along with it do not matter.
    """
    hashes = _hashes(texts)
    groups: dict[str, list[str]] = {}
    for text, query_hash in hashes.items():
        groups.setdefault(query_hash, []).append(text)
    shared = [group for group in groups.values() if len(group) > 1]
    assert not shared or hashes == _hashes(texts[::2]) | _hashes(texts[1::2])
    for one, *others in shared:
        expected = _content(referenced_tables(one))
        for other in others:
            assert _content(referenced_tables(other)) == expected, (one, other)
    return sum(len(group) - 1 for group in shared)


def _hashes(texts: Sequence[str]) -> dict[str, str]:
    frame = with_query_hash(
        pl.DataFrame({"statement_text": texts}, schema={"statement_text": pl.String})
    )
    return dict(frame.iter_rows())


def _content(references: References) -> References:
    """References without the wording of their error, which may say where in the text it is."""
    return replace(references, error=None if references.error is None else "an error")
