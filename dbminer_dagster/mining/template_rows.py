"""What is known of a template's references, as a row of a frame."""

from typing import Any

import polars as pl

from dbminer_dagster.mining.references import ColumnCandidates, References, Star

COLUMN_PAIR = pl.Struct({"table_name": pl.String, "column_name": pl.String})
LEVEL = pl.Struct({"tables": pl.List(pl.String), "is_open": pl.Boolean, "is_shared": pl.Boolean})
CANDIDATES = pl.Struct({"column_name": pl.String, "levels": pl.List(LEVEL)})
STAR = pl.Struct(
    {
        "table_name": pl.String,
        "excluded": pl.List(pl.String),
        "shared_with": pl.List(pl.String),
    }
)
UNKNOWN = pl.Struct({"reason": pl.String, "name": pl.String})
TEMPLATE_SCHEMA = pl.Schema(
    {
        "query_hash": pl.String,
        "attribution": pl.String,
        "reads": pl.List(pl.String),
        "columns": pl.List(COLUMN_PAIR),
        "writes": pl.List(pl.String),
        "rebuilds": pl.List(pl.String),
        "error": pl.String,
        "candidates": pl.List(CANDIDATES),
        "stars": pl.List(STAR),
        "unknowns": pl.List(UNKNOWN),
    }
)
"""The fields of `References`, sorted."""


def template_row(query_hash: str, found: References) -> tuple[Any, ...]:
    """The row of a template, as `TEMPLATE_SCHEMA`."""
    return (
        query_hash,
        found.attribution,
        sorted(found.reads),
        [{"table_name": name, "column_name": column} for name, column in sorted(found.columns)],
        sorted(found.writes),
        sorted(found.rebuilds),
        found.error,
        sorted((_candidates_row(each) for each in found.candidates), key=repr),
        sorted((_star_row(star) for star in found.stars), key=repr),
        [{"reason": reason, "name": name} for reason, name in sorted(found.unknowns)],
    )


def _candidates_row(candidates: ColumnCandidates) -> dict[str, Any]:
    levels = [
        {"tables": sorted(each.tables), "is_open": each.is_open, "is_shared": each.is_shared}
        for each in candidates.levels
    ]
    return {"column_name": candidates.column, "levels": levels}


def _star_row(star: Star) -> dict[str, Any]:
    return {
        "table_name": star.table,
        "excluded": sorted(star.excluded),
        "shared_with": sorted(star.shared_with),
    }
