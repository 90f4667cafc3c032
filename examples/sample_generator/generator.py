"""Writes a sample workspace: all of it from one seed."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

from sample_generator.agenda import Agenda
from sample_generator.answers import rest_answers
from sample_generator.company import build_company
from sample_generator.days import DAY_MS, Days
from sample_generator.writer import PartWriter

FIRST_DAY = date(2026, 1, 5)
WEEK = (1.15, 1.2, 1.2, 1.15, 1.05, 0.35, 0.3)
PLAIN_ROWS = 60


@dataclass(frozen=True, slots=True)
class Summary:
    """What was written."""

    statements: int
    history_rows: int
    history_parts: int
    lineage_rows: int
    lineage_parts: int
    statements_with_lineage: int
    text_characters: int


def generate(
    out: Path,
    *,
    first_day: date = FIRST_DAY,
    days: int = 40,
    statements_per_day: int = 400,
    seed: int = 7,
    templates: int | None = None,
    users: int = 60,
    tables: int = 150,
    part_rows: int = 5_000,
    text_length: int = 0,
    unique_texts: bool = False,
    system_rows_only: bool = False,
) -> Summary:
    """Write a sample workspace as offline files.

    Args:
        out: Folder that gets `extracted-lineage/` and `extracted-query-history/`.
        first_day: Should be a Monday, for the weekly rhythm.
        days: Number of days.
        statements_per_day: Mean over the days; loads and stories may exceed a very small number.
        seed: The same seed gives the same bytes.
        templates: Number of everyday templates; by default 900.
        users: Principals, at least 31.
        tables: Tables and views; the named core of about 150 is always there.
        part_rows: Lines in each compressed part.
        text_length: Characters that dashboards and notebooks add to their texts; 1,700 gives a mean
            of about 1 KB.
        unique_texts: Every query gets aliases of its own, so that no template repeats.
        system_rows_only: All rows have the shape of the system tables, none that of REST answers.

    Returns:
        Counts of what was written.
    """
    rng = Random(seed)
    company = build_company(rng, users=users, tables=tables)
    agenda = Agenda(rng, company, templates=templates or 900, days=days, text_length=text_length)
    folders = (out / "extracted-query-history", out / "extracted-lineage")
    history, lineage = (
        PartWriter(folder, part_rows=part_rows, plain_rows=PLAIN_ROWS) for folder in folders
    )
    with history, lineage:
        if not system_rows_only:
            lineage.write(rest_answers(company, first_day + timedelta(days=days - 1)))
            lineage.close_part()
        first_ms = _midnight(first_day)
        writer = Days(
            rng,
            company,
            agenda,
            history,
            lineage,
            first_ms=first_ms,
            unique_texts=unique_texts,
            system_rows_only=system_rows_only,
        )
        for index, count in enumerate(_counts(days, statements_per_day)):
            day = first_day + timedelta(days=index)
            writer.write_day(index, day, first_ms + index * DAY_MS, count, last=index == days - 1)
        writer.write_late_rows()
    return Summary(
        statements=writer.statements,
        history_rows=history.rows,
        history_parts=history.parts,
        lineage_rows=lineage.rows,
        lineage_parts=lineage.parts,
        statements_with_lineage=writer.with_lineage,
        text_characters=writer.text_characters,
    )


def _midnight(day: date) -> int:
    """The first millisecond of a UTC day."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def _counts(days: int, per_day: int) -> list[int]:
    """Statements of each day: busy in midweek, quiet at the weekend, `per_day` on average."""
    weights = [WEEK[index % 7] for index in range(days)]
    return [round(days * per_day * weight / sum(weights)) for weight in weights]
