"""Compare what dbminer finds in every statement of the corpus with what Spark's parser finds."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dbminer_dagster.mining.sql_reads import References, referenced_tables
from dbminer_dagster_tests.corpus.sources import SOURCES, Source
from dbminer_dagster_tests.corpus.spark_parser import SparkParser, spark_parser
from dbminer_dagster_tests.corpus.spark_words import in_spark_words

# Why a statement may differ, by the first digits of its fingerprint.
EXPLAINED = {
    "ba9bf82573": "a select list that is left out; to Spark `FROM` is then a column and the table "
    "its alias",
    "ff20d6f51a": "PostgreSQL's `DISTINCT ON`; to Spark it is a function, multiplied by a column "
    "named `FROM`",
    "2271ac5b25": "PostgreSQL's `DISTINCT ON`, as above",
}


@dataclass(frozen=True, slots=True)
class Miss:
    """A statement in which dbminer finds other tables read than Spark's parser.

    Attributes:
        fingerprint: Tells the statement without quoting it.
        missing: Tables that only Spark finds.
        extra: Tables that only dbminer finds.
        error: Why dbminer did not understand the statement, if it did not.
    """

    fingerprint: str
    missing: frozenset[str]
    extra: frozenset[str]
    error: str | None

    @property
    def reason(self) -> str | None:
        """Why it may differ; `None` when nobody has said why."""
        return EXPLAINED.get(self.fingerprint)


@dataclass(slots=True)
class Tally:
    """The counts of one source; `judged` and what follows are about what Spark can parse.

    Attributes:
        source: The source, without statements that an earlier source has too.
        statements: Distinct statements, of which some are other SQL or no SQL.
        judged: Statements that Spark can parse.
        with_tables: Those of the judged that read a table.
        scanned: Those of the judged whose names dbminer scanned for.
        not_understood: Those of the judged that dbminer gives an error for.
        misses: Those of the judged in which the two differ.
    """

    source: Source
    statements: int = 0
    judged: int = 0
    with_tables: int = 0
    scanned: int = 0
    not_understood: int = 0
    misses: list[Miss] = field(default_factory=list)


def compare(cache: Path, sources: Sequence[Source] = SOURCES) -> list[Tally]:
    """The tally of each source, whose packages are kept in `cache`."""
    seen: set[str] = set()
    tallies = [Tally(source) for source in sources]
    with spark_parser() as parser:
        for tally in tallies:
            for statement in _unseen(tally.source.statements(cache), seen):
                tally.statements += 1
                _judge(tally, parser, statement)
    return tallies


def _unseen(statements: Iterator[str], seen: set[str]) -> Iterator[str]:
    """Statements that differ in more than white space from those in `seen`, which grows."""
    for statement in statements:
        key = " ".join(statement.split())
        if key and key not in seen:
            seen.add(key)
            yield statement


def _judge(tally: Tally, parser: SparkParser, statement: str) -> None:
    expected = parser.reads(in_spark_words(statement))
    if expected is None:
        expected = parser.reads(statement)
    if expected is None:
        return
    found: References = referenced_tables(statement)
    tally.judged += 1
    tally.with_tables += bool(expected)
    tally.scanned += found.attribution == "scanned"
    tally.not_understood += found.error is not None
    if found.reads != expected:
        missing, extra = expected - found.reads, found.reads - expected
        tally.misses.append(Miss(fingerprint(statement), missing, extra, found.error))


def fingerprint(statement: str) -> str:
    """Ten digits that stay the same however the statement is indented."""
    return hashlib.sha256(" ".join(statement.split()).encode()).hexdigest()[:10]
