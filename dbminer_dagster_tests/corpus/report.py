"""The comparison as a page for `docs/`."""

from collections.abc import Sequence
from importlib.metadata import version

from dbminer_dagster_tests.corpus.comparison import Tally

_HEAD = """# Real SQL, judged by Apache Spark's parser

Written by `make corpus`; do not edit.

The texts come from published packages, which are downloaded when the comparison runs; nothing of
them is kept in this repository. The judge is the parser of Apache Spark {spark}: a statement reads
the relations that Spark leaves unresolved in its plan, after Spark's own rule has put common table
expressions in place. A statement is right when dbminer (sqlglot {sqlglot}) finds exactly the same
set of tables; one that Spark cannot parse is not judged.

By agreement targets of writes are no reads, maintenance such as `CACHE TABLE t` reads nothing,
paths of files are no tables, and a string that names a table (`IDENTIFIER`, `table_changes`)
counts. Where only Databricks understands a statement, it is put in Spark's words first: pipelines'
tables and flows (their query), `CLONE` (a query of the table), `STREAM t`, `QUALIFY`, and paths
into variants.

**{equal:.2f} %** of the {judged:,} judged statements are right, and **{equal_of_reads:.2f} %** of
the {with_tables:,} that read a table.

| source | package | statements | judged | read a table | right | wrong | missing | extra \
| scanned | not understood |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""
_LEGEND = """
*missing* and *extra* count the wrong statements with a table that only Spark finds, and with one
that only dbminer finds. *scanned* statements are those that sqlglot does not parse and whose tables
were found by keywords. *not understood* are judged statements that dbminer gives an error for;
where they read no table they are right nevertheless.

## Wrong, and why

"""


def page(tallies: Sequence[Tally]) -> str:
    """The whole page, in Markdown."""
    judged = sum(tally.judged for tally in tallies)
    with_tables = sum(tally.with_tables for tally in tallies)
    misses = [miss for tally in tallies for miss in tally.misses]
    head = _HEAD.format(
        spark=version("pyspark"),
        sqlglot=version("sqlglot"),
        equal=100 - 100 * len(misses) / judged,
        equal_of_reads=100 - 100 * len(misses) / with_tables,
        judged=judged,
        with_tables=with_tables,
    )
    wrong = [
        f"- `{miss.fingerprint}`, {tally.source.title}: {miss.reason or 'not explained'}."
        for tally in tallies
        for miss in tally.misses
    ]
    rows = [_row(tally) for tally in tallies]
    return head + "\n".join(rows) + "\n" + _LEGEND + "\n".join(wrong) + "\n"


def _row(tally: Tally) -> str:
    cells = (
        tally.source.title,
        tally.source.package,
        tally.statements,
        tally.judged,
        tally.with_tables,
        tally.judged - len(tally.misses),
        len(tally.misses),
        sum(bool(miss.missing) for miss in tally.misses),
        sum(bool(miss.extra) for miss in tally.misses),
        tally.scanned,
        tally.not_understood,
    )
    return (
        f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else str(cell) for cell in cells)} |"
    )
