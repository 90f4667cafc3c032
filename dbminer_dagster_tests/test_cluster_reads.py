"""Reads by clusters: lineage rows without a statement."""

from datetime import timedelta
from typing import Any

import narwhals as nw
import polars as pl
import pytest

from dbminer_dagster.engines.polars import PolarsEngine
from dbminer_dagster.mining.by_lineage import DayLineage
from dbminer_dagster.mining.cluster_reads import OUTCOMES, ClusterReads, cluster_reads
from dbminer_dagster.mining.paths import PATH_TABLE_SCHEMA
from dbminer_dagster.schemas import DAILY_USAGE, QUERY_REFERENCES
from dbminer_dagster_tests.frames import DAY, at, column_lineage, lineage

ENGINE = PolarsEngine()


def read(source: str | None, user: str | None = "ann", **more: Any) -> dict[str, Any]:
    return {"source_name": source, "created_by": user, "entity_type": "NOTEBOOK"} | more


def found(
    *tables: dict[str, Any],
    columns: tuple[dict[str, Any], ...] = (),
    at_paths: dict[str, str] | None = None,
    **excluded: tuple[str, ...],
) -> ClusterReads:
    paths = [(path, name, "TABLE") for path, name in (at_paths or {}).items()]
    rows = DayLineage(
        nw.from_native(lineage(*tables).lazy()),
        nw.from_native(column_lineage(*columns).lazy()),
        pl.DataFrame(paths, schema=PATH_TABLE_SCHEMA, orient="row"),
    )
    reads = cluster_reads(ENGINE, rows, DAY, **excluded)
    assert reads.references.schema == QUERY_REFERENCES.schema
    assert reads.usage.schema == DAILY_USAGE.schema
    assert reads.references["reference_hash"].is_unique().all()
    assert set(reads.usage["reference_hash"]) == set(reads.references["reference_hash"])
    assert list(reads.counts) == list(OUTCOMES)
    return reads


def counts_of(reads: ClusterReads) -> dict[tuple[str, str], int]:
    """Events of each asset and user."""
    joined = reads.usage.join(reads.references, on="reference_hash")
    return {
        (*row["tables_read"], *row["columns_read"], row["user_name"]): row["statement_count"]
        for row in joined.iter_rows(named=True)
    }


def test_each_table_and_each_column_is_a_reference() -> None:
    """Events count for each user, table and column, whatever the case of the names."""
    reads = found(
        read("A.b.C", event_count=2, at=at(3)),
        read("a.b.c", target_name="a.b.t", at=at(5)),
        read("a.b.c", user="bob"),
        columns=(
            read("a.b.c", source_column="X", target_column="y"),
            read("a.b.c", source_column="o.d", target_column="y"),
        ),
    )
    assert counts_of(reads) == {
        ("a.b.c", "ann"): 3,
        ("a.b.c", "bob"): 1,
        ("a.b.c.x", "ann"): 1,
        ("a.b.c.`o.d`", "ann"): 1,
    }
    assert reads.counts["counted"] == 4
    assert set(reads.references["operation"]) == {"cluster"}
    assert set(reads.references["attribution"]) == {"lineage"}
    of_ann = (
        reads.usage.filter(pl.col("user_name") == "ann").sort("statement_count").row(-1, named=True)
    )
    assert of_ann["last_used_at"] == at(5)
    assert (of_ann["read_bytes"], of_ann["last_statement_id"]) == (0, None)
    assert of_ann["estimated_cost_micro_usd"] is None


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        (read("a.b.c", user=None), "without_user"),
        (read("a.b.c", user="svc-1"), "excluded_user"),
        (read("system.b.c"), "excluded_catalog"),
        (read("a.b.c", direct_access=False), "indirect"),
        (read(None, source_path="s3://b/unknown"), "no_table"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_use_is_counted_under_its_reason(row: dict[str, Any], outcome: str) -> None:
    """Events that no known user caused, or that read nothing that counts, are left out."""
    reads = found(
        row | {"event_count": 5}, excluded_catalogs=("system",), excluded_users=("svc-*",)
    )
    assert reads.usage.is_empty()
    assert {name: count for name, count in reads.counts.items() if count} == {outcome: 5}


@pytest.mark.parametrize(
    "row",
    [
        read("a.b.c", statement_id="s1"),
        read(None, target_name="a.b.t"),
        read("a.b.c", at=at(12, DAY - timedelta(days=1))),
    ],
    ids=["of a statement", "write only", "of the day before"],
)
def test_other_rows_are_not_looked_at(row: dict[str, Any]) -> None:
    """Rows of statements, of writes only, and of other days are no cluster's reads of the day."""
    reads = found(row)
    assert reads.usage.is_empty()
    assert not any(reads.counts.values())


def test_paths_of_tables_are_reads_of_them() -> None:
    """A read of a path where a known table lies is a read of that table."""
    reads = found(read(None, source_path="s3://b/c"), at_paths={"s3://b/c": "a.b.c"})
    assert counts_of(reads) == {("a.b.c", "ann"): 1}


def test_columns_reached_by_a_view_only_are_no_reads() -> None:
    """Column lineage lacks the flag; where the user only reached the table by a view, so it is."""
    reads = found(
        read("a.b.base", direct_access=False),
        read("a.b.base", user="bob"),
        columns=(
            read("a.b.base", source_column="x"),
            read("a.b.base", user="bob", source_column="x"),
        ),
    )
    assert counts_of(reads) == {("a.b.base", "bob"): 1, ("a.b.base.x", "bob"): 1}


def test_hashes_do_not_depend_on_the_day_s_other_reads() -> None:
    """The reference of a table is the same on every day, and is not that of a column."""
    alone = found(read("a.b.c"))
    more = found(read("a.b.c"), read("a.b.d"), columns=(read("a.b", source_column="c"),))
    assert set(alone.references["reference_hash"]) < set(more.references["reference_hash"])
    assert more.references.height == 3
