"""Asset checks on the result tables: nothing lost, nothing twice, nothing stale.

Each check recounts from the stored tables, over the days of the popularity window that ends with
the newest stored day, and so also finds a table that is older than what it was made from. Days
before the start date cannot be mined and are not asked for.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from dbminer_dagster.assets.common import markdown_table
from dbminer_dagster.checks.row_account import excluded_users_of, row_faults
from dbminer_dagster.checks.window_days import days_in_window
from dbminer_dagster.failures import user_errors
from dbminer_dagster.mining.cluster_reads import OPERATION
from dbminer_dagster.mining.lineage import history_days, with_row_kind
from dbminer_dagster.mining.paths import PathResolver, path_ends, with_tables
from dbminer_dagster.resources.storage import StorageResource
from dbminer_dagster.schemas import (
    COLUMN_LINEAGE,
    DAILY_USAGE,
    FILTERED_QUERIES,
    KNOWN_TABLES,
    POPULARITY_SCORES,
    QUERY_REFERENCES,
    RAW_COLUMN_LINEAGE,
    RAW_QUERY_HISTORY,
    RAW_TABLE_LINEAGE,
    TABLE_LINEAGE,
    WAREHOUSE_COSTS,
    Table,
)
from dbminer_dagster.settings import Settings
from dbminer_dagster.storage import DeltaStorage
from dbminer_dagster.windows import Window

Check = Callable[[DeltaStorage, Window], dg.AssetCheckResult]
LISTED_FAULTS = 10
KEYED_TABLES = (
    RAW_QUERY_HISTORY,
    KNOWN_TABLES,
    WAREHOUSE_COSTS,
    FILTERED_QUERIES,
    QUERY_REFERENCES,
    DAILY_USAGE,
    POPULARITY_SCORES,
    TABLE_LINEAGE,
    COLUMN_LINEAGE,
)


def quality_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """All checks for these settings."""
    return [
        *(_unique_keys(settings, table) for table in KEYED_TABLES),
        *(_newest_day(settings, table) for table in (RAW_QUERY_HISTORY, RAW_TABLE_LINEAGE)),
        _rows_accounted_for(settings),
        _recount(settings, DAILY_USAGE, "usage_matches_references", _usage_matches_references),
        _recount(settings, DAILY_USAGE, "attribution_coverage", _attribution_coverage(settings)),
        _recount(settings, POPULARITY_SCORES, "days_in_window", days_in_window(settings)),
        _edges(settings, RAW_TABLE_LINEAGE, TABLE_LINEAGE, ("source", "target")),
        _edges(
            settings,
            RAW_COLUMN_LINEAGE,
            COLUMN_LINEAGE,
            ("source", "source_column", "target", "target_column"),
        ),
    ]


DESCRIPTIONS = {
    "keys_unique": "No key of the table stands twice on a day.",
    "newest_minable_day_present": "The newest day that may be mined has been mined.",
    "every_row_accounted_for": "Rows of raw history = rows kept + rows dropped for a reason.",
    "usage_matches_references": "Each use has its references, and no more uses than statements.",
    "attribution_coverage": "Enough statements could be attributed to what they used.",
    "days_in_window": "The days of the popularity window have been mined, and before its scores.",
    "every_edge_accounted_for": "Each pair that raw lineage holds is an edge, and no other.",
}
"""What holds when a check of this name passes."""


def _recount(settings: Settings, table: Table, name: str, check: Check) -> dg.AssetChecksDefinition:
    """A check over the window that ends with the table's newest stored day."""

    @dg.asset_check(asset=table.name, name=name, description=DESCRIPTIONS[name])
    def recount(storage: StorageResource) -> dg.AssetCheckResult:
        return _recounted(settings, table, storage.tables, check)

    return recount


def _recounted(
    settings: Settings, table: Table, storage: DeltaStorage, check: Check
) -> dg.AssetCheckResult:
    with user_errors():
        newest = storage.newest_day(table)
        if newest is None:
            return _without_rows(storage, table, settings)
        window = Window.trailing(newest, settings.popularity_window_days)
        return check(storage, _minable(window, settings))


def _without_rows(storage: DeltaStorage, table: Table, settings: Settings) -> dg.AssetCheckResult:
    """Nothing is wrong with a table of mined days for which the source had no row."""
    today = max(datetime.now(UTC).date(), settings.start_date)
    if storage.has_day(table, Window(settings.start_date, today + timedelta(days=1))):
        return dg.AssetCheckResult(passed=True, description=f"{table.name} has no row to check.")
    return _warning(f"{table.name} holds no rows yet: materialise it.")


def _minable(window: Window, settings: Settings) -> Window:
    """Without the days before the start date: nobody can mine them."""
    return Window(min(max(window.start, settings.start_date), window.last_day), window.end)


def _result(faults: list[dict[str, Any]], fine: str, wrong: str) -> dg.AssetCheckResult:
    if not faults:
        return dg.AssetCheckResult(passed=True, description=fine)
    return dg.AssetCheckResult(
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        description=wrong,
        metadata={"faults": markdown_table(faults[:LISTED_FAULTS]), "fault_count": len(faults)},
    )


def _warning(description: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=False, severity=dg.AssetCheckSeverity.WARN, description=description
    )


def _unique_keys(settings: Settings, table: Table) -> dg.AssetChecksDefinition:
    def check(storage: DeltaStorage, window: Window) -> dg.AssetCheckResult:
        # Day by day: the keys of a whole window may not fit into memory.
        repeated = [_repeated(storage, table, day) for day in storage.row_counts(table, window)]
        # Quiet days have no rows, and a window of one day may be such.
        found = (
            pl.concat(repeated) if repeated else pl.DataFrame(schema=["rows", "day", *table.key])
        )
        return _result(
            found.sort("rows", "day", *table.key, descending=True).to_dicts(),
            f"Every key of {window} stands once.",
            f"Keys stand more than once; materialise {table.name} again for these days.",
        )

    return _recount(settings, table, "keys_unique", check)


def _repeated(storage: DeltaStorage, table: Table, day: date) -> pl.DataFrame:
    rows = storage.scan(table, Window.of_day(day))
    if "statement_id" in table.key:
        # Statements without an id cannot be told apart, and are all kept.
        rows = rows.drop_nulls("statement_id")
    keyed = rows.select("day", *table.key, key_hash=pl.struct(table.key).hash())
    # Equal keys have equal hashes, which take a fraction of the memory of keys.
    hashes = keyed.group_by("key_hash").len().filter(pl.col("len") > 1).select("key_hash")
    suspects = keyed.join(hashes.collect(engine="streaming").lazy(), on="key_hash", how="semi")
    counted = suspects.group_by("day", *table.key).len("rows").filter(pl.col("rows") > 1)
    return counted.collect(engine="streaming")


def _newest_day(settings: Settings, table: Table) -> dg.AssetChecksDefinition:
    name = "newest_minable_day_present"

    @dg.asset_check(asset=table.name, name=name, description=DESCRIPTIONS[name])
    def newest_minable_day_present(storage: StorageResource) -> dg.AssetCheckResult:
        wanted = settings.newest_minable_day(datetime.now(UTC).date())
        with user_errors():
            present = storage.tables.days_present(table, Window.of_day(wanted))
            newest = storage.tables.newest_day(table)
        if present:
            return dg.AssetCheckResult(passed=True, description=f"{wanted} has been mined.")
        if newest is None:
            return _warning(f"{table.name} holds no rows yet: materialise it.")
        return _warning(
            f"{wanted} may be mined and has not been; the newest stored day is {newest}. "
            f"Materialise {table.name} from there on, or switch on mining_schedule."
        )

    return newest_minable_day_present


def _rows_accounted_for(settings: Settings) -> dg.AssetChecksDefinition:
    name = "every_row_accounted_for"

    @dg.asset_check(asset=FILTERED_QUERIES.name, name=name, description=DESCRIPTIONS[name])
    def every_row_accounted_for(
        context: dg.AssetCheckExecutionContext, storage: StorageResource
    ) -> dg.AssetCheckResult:
        def check(storage: DeltaStorage, window: Window) -> dg.AssetCheckResult:
            excluded = excluded_users_of(context.instance, window, settings.excluded_users)
            return _result(
                row_faults(storage, excluded),
                f"All rows of {window} are kept or dropped for a reason.",
                "By today's rules and raw rows the counts differ; materialise filtered_queries and "
                "what follows from it again for these days.",
            )

        return _recounted(settings, FILTERED_QUERIES, storage.tables, check)

    return every_row_accounted_for


def _usage_matches_references(storage: DeltaStorage, window: Window) -> dg.AssetCheckResult:
    key = ["day", "reference_hash"]
    usage = storage.scan(DAILY_USAGE, window)
    references = storage.scan(QUERY_REFERENCES, window)
    lost = usage.join(references, on=key, how="anti").group_by("day").len("uses_without_reference")
    unused = (
        references.join(usage, on=key, how="anti").group_by("day").len("references_without_use")
    )
    faults = pl.concat([lost.collect(), unused.collect()], how="diagonal").sort("day").to_dicts()
    of_statements = _statement_uses(usage, references)
    used = dict(
        of_statements.group_by("day").agg(pl.col("statement_count").sum()).collect().iter_rows()
    )
    kept = storage.row_counts(FILTERED_QUERIES, window)
    faults += [
        {"day": day, "statements": kept.get(day, 0), "uses": uses}
        for day, uses in sorted(used.items())
        if uses > kept.get(day, 0)
    ]
    return _result(
        faults,
        f"Uses and references of {window} agree.",
        "They do not agree; materialise query_references and daily_usage again for these days.",
    )


def _statement_uses(usage: pl.LazyFrame, references: pl.LazyFrame) -> pl.LazyFrame:
    """Without the reads of clusters, which no statement stands for."""
    of_clusters = references.filter(pl.col("operation") == OPERATION)
    return usage.join(of_clusters, on=["day", "reference_hash"], how="anti")


def _attribution_coverage(settings: Settings) -> Check:
    def check(storage: DeltaStorage, window: Window) -> dg.AssetCheckResult:
        statements = sum(storage.row_counts(FILTERED_QUERIES, window).values())
        uses = _statement_uses(
            storage.scan(DAILY_USAGE, window), storage.scan(QUERY_REFERENCES, window)
        )
        attributed = uses.select(pl.col("statement_count").sum()).collect().item()
        share = attributed / statements if statements else 1.0
        return dg.AssetCheckResult(
            passed=share >= settings.minimum_attribution,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{share:.1%} of {statements:,} statements of {window} are attributed; "
            f"at least {settings.minimum_attribution:.0%} wanted. The metadata of daily_usage "
            "says why the others are not.",
            metadata={"attributed_share": share, "statements": statements},
        )

    return check


def _edges(
    settings: Settings, raw: Table, table: Table, key: tuple[str, ...]
) -> dg.AssetChecksDefinition:
    def check(storage: DeltaStorage, window: Window) -> dg.AssetCheckResult:
        newest = Window.of_day(window.last_day)
        reach = Window.trailing(window.last_day, history_days(settings.lineage_window_days))
        rows = storage.scan(raw, reach)
        tables = PathResolver.of_run(
            path_ends(rows),
            storage.scan(RAW_TABLE_LINEAGE, reach),
            storage.scan(KNOWN_TABLES, newest),
        ).tables(reach)
        wanted = _pairs(with_tables(rows, tables), key).collect(engine="streaming").lazy()
        stored = storage.scan(table, newest).select(**dict(zip(key, table.key, strict=True)))
        lost = wanted.join(stored, on=key, how="anti").with_columns(fault=pl.lit("no edge"))
        made_up = stored.join(wanted, on=key, how="anti").with_columns(fault=pl.lit("no raw row"))
        faults = pl.concat([lost, made_up]).sort(key).collect()
        return _result(
            faults.to_dicts(),
            f"Every edge of {newest} has its raw rows, and every pair in them its edge.",
            f"They do not agree; materialise {table.name} again for {newest}.",
        )

    return _recount(settings, table, "every_edge_accounted_for", check)


def _pairs(raw: pl.LazyFrame, key: tuple[str, ...]) -> pl.LazyFrame:
    """The distinct pairs that are edges, whatever has become of them."""
    rows = with_row_kind(raw).filter(pl.col("row_kind") == "edge_rows")
    parts = [pl.col(part).str.to_lowercase() if "column" in part else part for part in key]
    return rows.select(parts).drop_nulls().unique()
