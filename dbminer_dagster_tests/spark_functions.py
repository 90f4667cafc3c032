"""Functions that Spark's workers import."""

import polars as pl

COUNTS = pl.Schema({"key": pl.String, "rows": pl.Int64})


def doubled(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(number=pl.col("number") * 2)


def counted(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.group_by("key").agg(rows=pl.len().cast(pl.Int64))
