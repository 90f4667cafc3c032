"""The parse pool: each text gets its answer, whatever the others do."""

import gc
import multiprocessing
import os
import time
from collections.abc import Iterator

import pytest

from dbminer_dagster.mining.parse_pool import ParsePool
from dbminer_dagster.mining.sql_reads import References, referenced_tables

DIES = "dies"
HANGS = "hangs"
RAISES = "raises"


def hostile_parser(text: str) -> References:
    """Do to the worker process what the text says."""
    if text == DIES:
        os._exit(3)
    if text == HANGS:
        time.sleep(600)
    if text == RAISES:
        raise LookupError(text)
    return referenced_tables(text)


def collector_settings(_: str) -> References:
    """Report the worker's garbage collector in the only text a result has room for."""
    return References.failed(str(gc.get_threshold()))


@pytest.fixture
def pool() -> Iterator[ParsePool]:
    """A pool that kills hung workers soon."""
    with ParsePool(2, chunk_size=5, timeout_s=0.5, parser=hostile_parser) as pool:
        yield pool


def children() -> set[int | None]:
    return {process.pid for process in multiprocessing.active_children()}


def query(number: int) -> str:
    return f"SELECT a FROM t{number}"


def test_every_key_comes_once_with_its_own_references() -> None:
    """Each text is answered exactly once, as if it had been parsed alone."""
    texts = {f"key{number}": query(number) for number in range(50)}
    with ParsePool(2, chunk_size=7) as pool:
        results = list(pool.parse(texts))
    assert len(results) == len(texts)
    assert dict(results) == {key: referenced_tables(text) for key, text in texts.items()}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param(DIES, "the parser process died", id="death"),
        pytest.param(HANGS, "timed out after 0.5 s", id="time_out"),
        pytest.param(RAISES, "the parser failed with LookupError", id="exception"),
    ],
)
def test_a_bad_text_costs_only_itself(pool: ParsePool, text: str, error: str) -> None:
    """The one text that fails says why; all others of its chunk are parsed."""
    texts = {str(number): query(number) for number in range(12)} | {"bad": text}
    results = dict(pool.parse(texts))
    assert results.pop("bad") == References.failed(error)
    assert results == {key: referenced_tables(texts[key]) for key in results}
    assert len(results) == 12


def test_many_bad_texts_cost_only_themselves(pool: ParsePool) -> None:
    """Several texts that kill their workers at the same time are each found."""
    texts = {str(number): DIES if number in {3, 4} else query(number) for number in range(8)}
    results = dict(pool.parse(texts))
    assert {key for key, result in results.items() if result.error} == {
        key for key, text in texts.items() if text == DIES
    }


def test_workers_start_late_and_are_reused() -> None:
    """No process starts before there is a text, and a second parse finds the first one's."""
    before = children()
    with ParsePool(1) as pool:
        assert list(pool.parse({})) == []
        assert children() == before
        list(pool.parse({"a": query(1)}))
        started = children()
        list(pool.parse({"b": query(2)}))
        assert children() == started


def test_workers_end_with_the_pool() -> None:
    """Leaving the pool in the middle of a parse ends its processes at once."""
    before = children()
    with ParsePool(2, chunk_size=1) as pool:
        next(pool.parse({str(number): query(number) for number in range(1000)}))
    assert children() <= before


def test_an_abandoned_parse_does_not_disturb_the_next() -> None:
    """Who stops reading half-way can still use the pool."""
    with ParsePool(1, chunk_size=1) as pool:
        results = pool.parse({str(number): query(number) for number in range(100)})
        next(results)
        results.close()  # type: ignore[attr-defined]
        assert dict(pool.parse({"a": query(1)})) == {"a": referenced_tables(query(1))}


def test_workers_collect_garbage_less_often() -> None:
    """Workers run with the collector's thresholds that suit syntax trees."""
    with ParsePool(1, parser=collector_settings) as pool:
        (_, result), *_ = pool.parse({"a": ""})
    assert result.error == "(50000, 20, 100)"
