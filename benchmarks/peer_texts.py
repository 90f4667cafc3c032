"""The texts that all tools get, and the tables that they read by the generator's lineage."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

import polars as pl
from workspace import DAY, Workspace

from dbminer_dagster.schemas import FILTERED_QUERIES, RAW_TABLE_LINEAGE
from dbminer_dagster.windows import Window

SEED = 7
RUN_LENGTH = 100
"""Statements that follow each other: tools that remember texts find repeated ones."""
STATEMENT = ("workspace_id", "statement_id")


@dataclass(frozen=True, slots=True)
class Texts:
    """A sample of the day's texts.

    Attributes:
        measured: The texts.
        reads: The tables that each of them reads, by lineage; none where lineage says nothing.
        warm_up: Texts that are not in the sample.
    """

    measured: Sequence[str]
    reads: Sequence[frozenset[str] | None]
    warm_up: Sequence[str]

    @property
    def judged(self) -> list[frozenset[str]]:
        """What lineage says, of the texts of which it says something."""
        return [names for names in self.reads if names is not None]

    def right_share(self, found: Iterable[frozenset[str] | None]) -> float:
        """The share of texts whose tables were found, and no others, where lineage tells."""
        right = [
            names is not None and _is_same(names, expected)
            for names, expected in zip(found, self.reads, strict=True)
            if expected is not None
        ]
        return sum(right) / len(right)


def sampled(workspace: Workspace, size: int) -> Texts:
    """Draws runs of statements, as they began one after the other; the last run is the warm-up.

    Args:
        workspace: Its `filtered_queries` and `raw_table_lineage` have been mined.
        size: Statements; there may be fewer.
    """
    window = Window.of_day(DAY)
    statements = (
        workspace.storage.scan(FILTERED_QUERIES, window)
        .filter(pl.col("statement_text").is_not_null(), ~pl.col("text_redacted"))
        .select(*STATEMENT, "start_time", "statement_text")
        .sort("start_time", *STATEMENT)
        .with_row_index("place")
        .with_columns(run=pl.col("place") // RUN_LENGTH)
    )
    run_count = statements.select(pl.col("run").max()).collect().item() + 1
    wanted = min(size // RUN_LENGTH + 1, run_count)
    *runs, warm_up = Random(SEED).sample(range(run_count), wanted)
    picked = statements.filter(pl.col("run").is_in([*runs, warm_up])).collect()
    measured = picked.filter(pl.col("run") != warm_up)
    lineage = workspace.storage.scan(RAW_TABLE_LINEAGE, window)
    reads = {tuple(row[:-1]): frozenset(row[-1]) for row in _reads(lineage, measured).iter_rows()}
    return Texts(
        measured["statement_text"].to_list(),
        [reads.get(row) for row in measured.select(STATEMENT).iter_rows()],
        picked.filter(pl.col("run") == warm_up)["statement_text"].to_list(),
    )


def _reads(lineage: pl.LazyFrame, statements: pl.DataFrame) -> pl.DataFrame:
    """The tables that the statements read themselves, without those under views."""
    return (
        lineage.join(statements.lazy(), on=STATEMENT, how="semi")
        .filter(pl.col("direct_access").fill_null(value=True))
        .group_by(STATEMENT)
        .agg(pl.col("source_name").drop_nulls().str.to_lowercase().unique())
        .collect()
    )


def _is_same(found: frozenset[str], expected: frozenset[str]) -> bool:
    """Whether they name the same tables; a name may lack what the session's defaults add."""
    names, wanted = map(_plain, (found, expected))
    matches = [[full for full in wanted if f".{full}".endswith(f".{name}")] for name in names]
    return all(matches) and {full for fits in matches for full in fits} == wanted


def _plain(names: Iterable[str]) -> set[str]:
    return {name.lower().replace("`", "").removeprefix("<default>.") for name in names}


def prepared_parser(texts: Texts) -> Callable[[], list[frozenset[str] | None]]:
    """Loads dbminer's parser; what is returned parses every text by itself, without a cache."""
    from dbminer_dagster.mining.sql_reads import referenced_tables

    logging.disable(logging.CRITICAL)
    for text in texts.warm_up:
        referenced_tables(text)

    def parse() -> list[frozenset[str] | None]:
        found = [referenced_tables(text) for text in texts.measured]
        return [None if text.error else text.reads for text in found]

    return parse
