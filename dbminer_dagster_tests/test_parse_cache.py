"""The cache of parsed templates: parsed once, for all runs to come."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl
import pytest

from dbminer_dagster import parse_cache
from dbminer_dagster.mining.parse_pool import ParsePool
from dbminer_dagster.mining.sql_reads import References, referenced_tables
from dbminer_dagster.mining.template_rows import TEMPLATE_SCHEMA, template_row
from dbminer_dagster.parse_cache import CACHE_TABLE, ParseCache
from dbminer_dagster.storage import DeltaStorage


class PoolHere(ParsePool):
    """A pool that parses in this process, notes what it parsed, and fails where told."""

    def __init__(self, failures: Mapping[str, str] | None = None) -> None:
        super().__init__(workers=1)
        self.failures = failures or {}
        self.parsed: list[str] = []

    def parse(self, texts: Mapping[str, str]) -> Iterator[tuple[str, References]]:
        """Parse every text."""
        for key, text in texts.items():
            self.parsed.append(key)
            if key in self.failures:
                yield key, References.failed(self.failures[key])
            else:
                yield key, referenced_tables(text)


@pytest.fixture
def storage(tmp_path: Path) -> DeltaStorage:
    return DeltaStorage(str(tmp_path))


def templates(**texts: str) -> pl.DataFrame:
    return pl.DataFrame({"query_hash": list(texts), "statement_text": list(texts.values())})


def test_references_of_templates(storage: DeltaStorage) -> None:
    """Each template has one row: its names sorted, its columns, and why it was not understood."""
    texts = templates(
        q="SELECT c.x FROM a.b.c c, a.b.b",
        w="CREATE OR REPLACE TABLE a.b.t AS SELECT 1",
        e="no words of SQL",
    )
    found = ParseCache(storage, PoolHere()).references(texts)
    assert found.schema == TEMPLATE_SCHEMA
    rows = {row["query_hash"]: row for row in found.to_dicts()}
    assert rows["q"]["reads"] == ["a.b.b", "a.b.c"]
    assert rows["q"]["columns"] == [{"table_name": "a.b.c", "column_name": "x"}]
    assert (rows["w"]["writes"], rows["w"]["rebuilds"]) == (["a.b.t"], ["a.b.t"])
    assert rows["e"]["attribution"] is None
    assert rows["e"]["error"]


def test_parsed_once_and_found_later(storage: DeltaStorage) -> None:
    """A template is parsed by the first run that meets it; the same and later runs find it."""
    first = PoolHere()
    cache = ParseCache(storage, first)
    one = cache.references(templates(q="SELECT * FROM a.b.c"))
    cache.references(templates(q="SELECT * FROM a.b.c", r="SELECT 1"))
    assert first.parsed == ["q", "r"]
    assert (cache.parsed, cache.found) == (2, 1)
    second = PoolHere()
    later = ParseCache(storage, second)
    assert later.references(templates(q="SELECT * FROM a.b.c")).equals(one)
    assert second.parsed == []
    assert (later.parsed, later.found) == (0, 1)


def test_only_the_asked_are_given(storage: DeltaStorage) -> None:
    """What else the cache knows stays out, and no template asks for nothing."""
    ParseCache(storage, PoolHere()).references(templates(q="SELECT 1", r="SELECT 2"))
    cache = ParseCache(storage, PoolHere())
    assert cache.references(templates(r="SELECT 2"))["query_hash"].to_list() == ["r"]
    assert cache.references(templates(q="").head(0)).is_empty()


def test_new_rules_parse_again(storage: DeltaStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of another version of the rules are not used, and not lost either."""
    ParseCache(storage, PoolHere()).references(templates(q="SELECT 1"))
    with monkeypatch.context() as patch:
        patch.setattr(parse_cache, "RULES_VERSION", "next")
        pool = PoolHere()
        ParseCache(storage, pool).references(templates(q="SELECT 1"))
        assert pool.parsed == ["q"]
    pool = PoolHere()
    ParseCache(storage, pool).references(templates(q="SELECT 1"))
    assert pool.parsed == []


def test_a_table_of_an_older_release_gets_the_new_columns(storage: DeltaStorage) -> None:
    """Its rows are of other rules: they are passed over, and new rows go beside them."""
    older = [name for name in TEMPLATE_SCHEMA if name not in {"candidates", "stars", "unknowns"}]
    row = template_row("q", referenced_tables("SELECT 1 FROM a.b.old"))
    stored = pl.DataFrame([row], schema=TEMPLATE_SCHEMA, orient="row").select(older)
    storage.append(CACHE_TABLE, stored.with_columns(rules_version=pl.lit("1-0")))
    texts = templates(q="SELECT t.*, x FROM a.b.t, a.b.u")
    found = ParseCache(storage, PoolHere()).references(texts)
    assert found["reads"].to_list() == [["a.b.t", "a.b.u"]]
    pool = PoolHere()
    later = ParseCache(storage, pool).references(texts)
    assert pool.parsed == []
    assert later.equals(found)
    star = {"table_name": "a.b.t", "excluded": [], "shared_with": []}
    level = {"tables": ["a.b.t", "a.b.u"], "is_open": False, "is_shared": False}
    assert later["stars"].to_list() == [[star]]
    assert later["candidates"].to_list() == [[{"column_name": "x", "levels": [level]}]]
    schema = pl.Schema(TEMPLATE_SCHEMA | {"rules_version": pl.String})
    assert storage.scan_whole(CACHE_TABLE, schema).collect().height == 2


def test_an_older_table_alone_is_read(storage: DeltaStorage) -> None:
    """A table without the new columns can be read before anything is added to it."""
    storage.append(CACHE_TABLE, pl.DataFrame({"query_hash": ["q"], "rules_version": ["1-0"]}))
    assert ParseCache(storage, PoolHere()).references(templates(q="").head(0)).is_empty()


def test_parallel_runs_do_not_disturb(storage: DeltaStorage) -> None:
    """Two runs that parse the same template leave rows of which either serves."""
    caches = [ParseCache(storage, PoolHere()) for _ in range(2)]
    for cache in caches:
        cache.references(templates(seen="SELECT 1"))
    for cache in caches:
        cache.references(templates(q="SELECT * FROM a.b.c"))
    pool = PoolHere()
    found = ParseCache(storage, pool).references(templates(q="SELECT * FROM a.b.c"))
    assert found.height == 1
    assert pool.parsed == []


@pytest.mark.parametrize("error", ["timed out after 30 s", "the parser process died"])
def test_passing_errors_are_not_kept(storage: DeltaStorage, error: str) -> None:
    """A text that a busy machine failed on is not parsed again in this run, but in the next."""
    pool = PoolHere({"q": error})
    cache = ParseCache(storage, pool)
    for _ in range(2):
        assert cache.references(templates(q="SELECT 1"))["error"].to_list() == [error]
    assert pool.parsed == ["q"]
    found = ParseCache(storage, PoolHere()).references(templates(q="SELECT 1"))
    assert found["attribution"].to_list() == ["parsed"]


def test_lasting_errors_are_kept(storage: DeltaStorage) -> None:
    """A text that nobody can parse is not tried again, whatever its error speaks of."""
    error = "Invalid expression: the clock timed out and died"
    ParseCache(storage, PoolHere({"q": error})).references(templates(q="?"))
    pool = PoolHere()
    assert ParseCache(storage, pool).references(templates(q="?"))["error"].to_list() == [error]
    assert pool.parsed == []
    stored = storage.scan_whole(CACHE_TABLE, TEMPLATE_SCHEMA).collect()
    assert stored.height == 1
