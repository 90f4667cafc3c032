"""Seeded days of use: the tables that windows are made of, without the statements behind them.

Templates follow a power law, and so do the users of a template; a template names a few tables and
some of their columns. On each day users change places, so that no pair of template and user comes
again: the window holds as many pairs as so many statements can have.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from random import Random

import polars as pl

from dbminer_dagster.schemas import DAILY_USAGE, QUERY_REFERENCES
from dbminer_dagster.storage import DayFrame, DeltaStorage
from dbminer_dagster.windows import Window

LAST_DAY = date(2026, 1, 5)
SEED = 11
EXPONENT = 1.1
USER_STEP = 37
TEXT_LENGTH = 900
COLUMNS_OF_TABLE = 30
TABLES_OF_TEMPLATE = 2.35
MEASURES = ("total_duration_ms", "total_task_duration_ms", "read_bytes", "estimated_cost_micro_usd")
MEASURE_LIMIT = 10_000
HASH_RANGE = 2**52
CACHED_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class UsageSize:
    """How much each day holds.

    Attributes:
        statements: Statements.
        templates: Templates that they are drawn from.
        users: Users of all templates.
        tables: Tables that templates name.
        audience: Users that a template may have on one day.
    """

    statements: int
    templates: int
    users: int
    tables: int
    audience: int


def day_writer(folder: Path, size: UsageSize, days: int) -> Callable[[], int]:
    """Prepares the templates; what is returned writes the days and counts their rows."""
    storage = DeltaStorage(str(folder))
    references = _references(size)

    def write() -> int:
        rows = 0
        for back in range(days):
            day = LAST_DAY - timedelta(days=back)
            usage = _usage(size, references, day, back)
            used = references.join(usage, on="reference_hash", how="semi")
            for table, frame in (
                (DAILY_USAGE, usage),
                (QUERY_REFERENCES, used.with_columns(day=pl.lit(day))),
            ):
                storage.replace_days(table, Window.of_day(day), DayFrame(frame.lazy()))
            rows += usage.height
        return rows

    return write


def _references(size: UsageSize) -> pl.DataFrame:
    dice = Random(SEED)
    rows = []
    for template in range(size.templates):
        count = max(1, round(dice.expovariate(1 / TABLES_OF_TEMPLATE)))
        tables = sorted({f"prod.gold.t{int(size.tables * dice.random() ** 2)}"
                         for _ in range(count)})  # fmt: skip
        columns = sorted(f"{table}.c{int(COLUMNS_OF_TABLE * dice.random() ** 1.5)}"
                         for table in tables for _ in range(dice.randint(1, 8)))  # fmt: skip
        text = f"SELECT {', '.join(columns)} FROM {', '.join(tables)} -- {template}"  # noqa: S608
        rows.append((_name("r", template), _name("q", template), tables, columns, text))
    columns = ("reference_hash", "query_hash", "tables_read", "columns_read", "statement_text")
    empty = pl.lit([], QUERY_REFERENCES.schema["tables_written"])
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(
        pl.col("columns_read").list.unique(),
        pl.col("statement_text").str.pad_end(TEXT_LENGTH, "."),
        operation=pl.lit("read"),
        attribution=pl.lit("parsed"),
        tables_written=empty,
        tables_read_indirectly=empty,
    )


def _name(kind: str, number: int) -> str:
    return f"{kind}{number:031x}"


def _usage(size: UsageSize, references: pl.DataFrame, day: date, back: int) -> pl.DataFrame:
    """A day's statements, drawn one by one, as rows of reference and user."""
    seeds = range(SEED + 4 * back, SEED + 4 * back + 4)
    template, place, dice, when = (_uniform(size.statements, seed) for seed in seeds)
    places = {
        "template": _power_law(template, size.templates),
        "place": _power_law(place, size.audience),
    }
    drawn = pl.DataFrame({**places, "dice": dice, "when": when})
    midnight = pl.lit(day).cast(pl.Datetime("us", "UTC"))
    user = pl.col("template") * 7919 + pl.col("place") * 17 + back * USER_STEP
    return (
        drawn.with_columns(
            user=user % size.users,
            measure=(pl.col("dice") * MEASURE_LIMIT).cast(pl.Int64),
            is_cached=pl.col("dice") < CACHED_SHARE,
        )
        .group_by("template", "user")
        .agg(
            *(pl.col("measure").sum().alias(name) for name in MEASURES),
            statement_count=pl.len().cast(pl.Int64),
            cached_statement_count=pl.col("is_cached").sum().cast(pl.Int64),
            max_duration_ms=pl.col("measure").max(),
            last_used_at=midnight + pl.duration(microseconds=pl.col("when").max() * 86_400e6),
        )
        .with_columns(
            reference_hash=pl.lit(references["reference_hash"]).gather(pl.col("template")),
            user_name="user" + pl.col("user").cast(pl.String) + "@example.com",
            last_statement_id=pl.lit("s"),
            day=pl.lit(day),
        )
        .select(DAILY_USAGE.schema.names())
    )


def _uniform(count: int, seed: int) -> pl.Series:
    return (pl.int_range(count, eager=True).hash(seed) % HASH_RANGE).cast(pl.Float64) / HASH_RANGE


def _power_law(uniform: pl.Series, count: int) -> pl.Series:
    """Numbers below `count`; small ones come most."""
    power = 1 - EXPONENT
    places = ((1 - uniform) + uniform * count**power) ** (1 / power)
    return places.floor().cast(pl.Int64).clip(1, count) - 1
