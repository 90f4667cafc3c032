"""What most tools do: parse the text of every statement, and list the tables in its tree."""

import logging
from collections.abc import Callable
from random import Random

import polars as pl
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from workspace import DAY, Workspace

from dbminer_dagster.schemas import FILTERED_QUERIES
from dbminer_dagster.windows import Window

SEED = 7


def prepared_baseline(workspace: Workspace, size: int) -> Callable[[], int]:
    """Draws a sample of the day's texts; what is returned parses it and counts the statements."""
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
    texts = _sample(workspace, size)

    def parse() -> int:
        for text in texts:
            tables_named(text)
        return len(texts)

    return parse


def _sample(workspace: Workspace, size: int) -> list[str]:
    rows = workspace.storage.scan(FILTERED_QUERIES, Window.of_day(DAY))
    texts = rows.select("statement_text").drop_nulls()
    count = texts.select(pl.len()).collect().item()
    picks = pl.Series(Random(SEED).sample(range(count), min(size, count)), dtype=pl.UInt32)
    picked = texts.with_row_index().filter(pl.col("index").is_in(picks.implode()))
    return picked.collect(engine="streaming")["statement_text"].to_list()


def tables_named(text: str) -> set[str]:
    """All tables of the tree but the names of its CTEs; none if the text cannot be parsed."""
    try:
        trees = sqlglot.parse(text, read="databricks")
    except (SqlglotError, RecursionError):
        return set()
    names: set[str] = set()
    for tree in filter(None, trees):
        views = {view.alias for view in tree.find_all(exp.CTE)}
        names |= {exp.table_name(t) for t in tree.find_all(exp.Table) if t.name not in views}
    return names
