"""How references use assets, and which of these uses a score counts.

A *link* is a reference and the way in which it uses an asset:

| way | statements | named in |
| --- | --- | --- |
| `direct` | SELECTs; those served from the result cache are also counted apart | `tables_read`, `columns_read` |
| `pipeline` | the sources of INSERT, MERGE, CREATE TABLE AS, ... | the same |
| `indirect` | SELECTs, cached or not, that reach a table through a view | `tables_read_indirectly` |
| `cluster` | none: lineage events without a statement | `tables_read`, `columns_read` |

So the reads of an asset are the sum of its five uses, each read in one of them. What a pipeline
reaches through a view is a read of the view alone.
"""  # noqa: E501 - a table

from collections.abc import Collection

import polars as pl

LISTS = {"table": "tables_read", "column": "columns_read"}
WAYS = ("direct", "pipeline", "indirect", "cluster")
WAY = pl.Enum(WAYS)
WAY_OF_OPERATION = {"read": "direct", "write": "pipeline", "cluster": "cluster"}


def links(references: pl.DataFrame, asset_type: str) -> pl.DataFrame:
    """Each `asset` with each `reference` that uses it and the `way`.

    Args:
        references: `reference`, its operation and its lists.
        asset_type: `table` or `column`.
    """
    way = pl.col("operation").replace_strict(WAY_OF_OPERATION, return_dtype=WAY)
    found = [references.select("reference", way=way, asset=LISTS[asset_type])]
    if asset_type == "table":
        indirect = references.filter(pl.col("operation") == "read").select(
            "reference", way=pl.lit("indirect", WAY), asset="tables_read_indirectly"
        )
        found.append(indirect)
    return pl.concat(found).explode("asset").drop_nulls("asset")


def scored(found: pl.DataFrame, uses: Collection[str]) -> pl.DataFrame:
    """The links that a score counts.

    Args:
        found: See `links`.
        uses: Of `settings.USES`, those that count.

    Returns:
        `asset`, `link`, `reference`, and what of the reference counts: `of_all` times its
        statements plus `of_cached` times those served from the cache.
    """
    select, cached = "select" in uses, "cached" in uses
    rows = [("direct", int(select), int(cached) - int(select))] if select or cached else []
    rows += [(way, 1, 0) for way in WAYS if way in uses]
    weights = pl.DataFrame(
        rows, schema={"way": WAY, "of_all": pl.Int64, "of_cached": pl.Int64}, orient="row"
    )
    link = pl.col("reference") * len(WAYS) + pl.col("way").to_physical()
    return found.join(weights, on="way").select(
        "asset", "reference", "of_all", "of_cached", link=link
    )


def groups(counted: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Assets with the same links, such as most columns of a table, have the same figures.

    Args:
        counted: See `scored`.

    Returns:
        Each `asset` with its `group`, and each `group` with its links, see `scored`.
    """
    assets = counted.lazy().group_by("asset").agg(pl.col("link").sort()).collect()
    distinct = assets.select("link").unique().with_row_index("group")
    distinct = distinct.with_columns(pl.col("group").cast(pl.Int64))
    of_asset = assets.join(distinct, on="link").select("asset", "group")
    kinds = counted.drop("asset").unique("link")
    return of_asset, distinct.explode("link").join(kinds, on="link")


def use_counts(found: pl.DataFrame, totals: pl.DataFrame) -> pl.LazyFrame:
    """How often each asset was used in the ways that have a column of their own.

    Args:
        found: See `links`.
        totals: See `reference_totals`.
    """
    statements = pl.col("statement_count")
    return (
        found.lazy()
        .join(totals.lazy(), on="reference")
        .group_by("asset")
        .agg(
            pl.col("cached_statement_count")
            .filter(pl.col("way") == "direct").sum().alias("cached_read_count"),
            *(
                statements.filter(pl.col("way") == way).sum().alias(f"{way}_read_count")
                for way in WAYS if way != "direct"
            ),
        )
    )  # fmt: skip
