"""What a source of batches owes to Polars, which asks it for no more than it needs."""

from collections.abc import Iterable, Iterator

import polars as pl


def wanted_rows(
    batches: Iterable[pl.DataFrame],
    columns: list[str] | None,
    predicate: pl.Expr | None,
    row_limit: int | None,
) -> Iterator[pl.DataFrame]:
    """The wanted part of each batch; nothing more is computed once there are enough rows.

    Args:
        batches: All rows.
        columns: The wanted ones; `None` for all.
        predicate: Which rows are wanted; `None` for all.
        row_limit: So many of them; `None` for all.
    """
    left = row_limit
    for batch in batches:
        rows = batch if predicate is None else batch.filter(predicate)
        rows = rows if columns is None else rows.select(columns)
        if left is not None:
            rows = rows.head(left)
            left -= rows.height
        yield rows
        if left == 0:
            return
