"""Mines a year in one run, and compares its days with each other: see `--help`.

A week of the sample is generated and copied under later dates and other ids, which takes a tenth of
the time that generating a year would.
"""

import argparse
import gzip
import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from measuring import Cost, in_fresh_process
from report import machine, markdown_table

if TYPE_CHECKING:
    import dagster as dg

FIRST_DAY = date(2025, 1, 6)
WEEK_DAYS = 7
ID_PREFIX = b'"01f1'
PART_ROWS = 100_000
JOB = "mine_lineage_and_popularity"
COMPARED_DAYS = 30
FULL_WINDOWS = 100
"""Days after which no window of a day begins before the first day."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """What is mined.

    Attributes:
        folder: Holds files, tables and the Dagster instance.
        days: Length of the run.
        statements: Of each day.
    """

    folder: Path
    days: int
    statements: int

    @property
    def files(self) -> Path:
        """The offline files, which are kept."""
        return self.folder / f"files-{self.days}-{self.statements}"

    @property
    def tables(self) -> Path:
        """The result tables."""
        return self.folder / "tables"


@dataclass(frozen=True, slots=True)
class Step:
    """How a step of the run went.

    Attributes:
        seconds: Elapsed time.
        stored_at: Seconds from its start until a day was stored, by the place of the day.
    """

    seconds: float
    stored_at: Mapping[int, float]

    def seconds_a_day(self, first: int, days: int) -> float | None:
        """Mean over some days; None if they were not stored one chunk after the other."""
        before, last = self.stored_at.get(first - 1), self.stored_at.get(first + days - 1)
        return None if before is None or last is None else (last - before) / days


def main() -> None:
    """Reads the command line, measures, prints, and writes where that is wanted."""
    parser = argparse.ArgumentParser(description="Mines many days in one run.")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--statements", type=int, default=50_000, help="of each day")
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path(tempfile.gettempdir()) / "dbminer-backfill",
        help="generated files stay here",
    )
    parser.add_argument("--write", type=Path, help="a Markdown file for the results")
    options = parser.parse_args()
    backfill = Backfill(options.work_dir, options.days, options.statements)
    if not backfill.files.exists():
        _generate(backfill)
    shutil.rmtree(backfill.tables, ignore_errors=True)
    steps, cost = in_fresh_process(prepared_backfill, backfill)
    report = _as_markdown(backfill, steps, cost)
    print(report)
    if options.write:
        options.write.write_text(report + "\n")


def _generate(backfill: Backfill) -> None:
    from sample_generator import generate

    unfinished = backfill.files.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    with tempfile.TemporaryDirectory() as week:
        generate(
            Path(week),
            first_day=FIRST_DAY,
            days=WEEK_DAYS,
            statements_per_day=backfill.statements,
            seed=7,
            part_rows=PART_ROWS,
            system_rows_only=True,
        )
        for folder in sorted(Path(week).iterdir()):
            target = unfinished / folder.name
            target.mkdir(parents=True)
            for number, copy in enumerate(_copies(folder, backfill.days)):
                (target / f"result-{number}.json.gz").write_bytes(gzip.compress(copy, 1))
    unfinished.rename(backfill.files)


def _copies(week: Path, days: int) -> Iterator[bytes]:
    """The parts of a week, week after week, under ids that tell the weeks apart."""
    dates = [FIRST_DAY + timedelta(days=number) for number in range(-1, WEEK_DAYS + 2)]
    for number in range(-(-days // WEEK_DAYS)):
        later = timedelta(days=number * WEEK_DAYS)
        for part in sorted(week.iterdir()):
            content = part.read_bytes()
            copy = gzip.decompress(content) if part.suffix == ".gz" else content
            copy = copy.replace(ID_PREFIX, b'"%04x' % (0x1000 + number))
            # The latest first, so that no date is moved twice.
            for day in reversed(dates):
                copy = copy.replace(str(day).encode(), str(day + later).encode())
            yield copy


def prepared_backfill(backfill: Backfill) -> Callable[[], dict[str, Step]]:
    """Loads Dagster and the definitions; what is returned mines all days in one run."""
    warnings.simplefilter("ignore")
    import dagster as dg

    from dbminer_dagster.automation import range_tags
    from dbminer_dagster.definitions import build_definitions
    from dbminer_dagster.settings import load_settings
    from dbminer_dagster.windows import Window

    settings = load_settings(
        lineage_method="offline",
        offline_uri=str(backfill.files),
        storage_uri=str(backfill.tables),
        start_date=FIRST_DAY,
    )
    definitions = build_definitions(
        settings, loggers={"console": dg.LoggerDefinition(_errors_only)}
    )
    run = Window(FIRST_DAY, FIRST_DAY + timedelta(days=backfill.days))

    def mine() -> dict[str, Step]:
        home = backfill.tables / "dagster-home"
        home.mkdir(parents=True)
        with dg.DagsterInstance.local_temp(str(home)) as instance:
            result = definitions.resolve_job_def(JOB).execute_in_process(
                instance=instance,
                tags=range_tags(run),
                run_config={"loggers": {"console": {}}},
            )
            return _steps(instance, result.run_id)

    return mine


def _errors_only(_context: object) -> logging.Logger:
    logger = logging.getLogger("dbminer.benchmark")
    logger.setLevel(logging.ERROR)
    return logger


def _steps(instance: "dg.DagsterInstance", run_id: str) -> dict[str, Step]:
    """The steps of a run, in the order in which they ran."""
    import dagster as dg

    steps = sorted(instance.get_run_step_stats(run_id), key=lambda step: step.start_time or 0)
    stored: dict[str, dict[int, float]] = {step.step_key: {} for step in steps}
    started = {step.step_key: step.start_time or 0 for step in steps}
    for record in instance.get_records_for_run(
        run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION
    ).records:
        event = record.event_log_entry
        step, partition = event.step_key or "", record.partition_key or ""
        place = (date.fromisoformat(partition) - FIRST_DAY).days
        stored[step][place] = event.timestamp - started[step]
    return {
        step.step_key: Step((step.end_time or 0) - started[step.step_key], stored[step.step_key])
        for step in steps
    }


def _as_markdown(backfill: Backfill, steps: Mapping[str, Step], cost: Cost) -> str:
    """The whole report."""
    parts = {
        f"days {first + 1} to {first + COMPARED_DAYS}": first
        for first in (10, FULL_WINDOWS, (backfill.days - COMPARED_DAYS) // 10 * 10 - 10)
    }
    rows = [
        [
            name,
            f"{step.seconds:,.1f}",
            f"{step.seconds / backfill.days:.3f}",
            *(_shown(step.seconds_a_day(first, COMPARED_DAYS)) for first in parts.values()),
        ]
        for name, step in steps.items()
        if step.stored_at
    ]
    others = sum(step.seconds for step in steps.values() if not step.stored_at)
    table = markdown_table(["step", "seconds", "seconds a day", *parts], rows)
    return f"""# Benchmark: a backfill of {backfill.days} days in one run

{backfill.days} days of {backfill.statements:,} statements each, from offline files, in one run:

- {cost.seconds / 60:,.1f} minutes, {cost.cpu_seconds / 60:,.1f} minutes of processor time;
- peak memory {cost.peak_mb:,.0f} MB, of the biggest worker process {cost.worker_peak_mb:,.0f} MB.

{table}

The columns of days are means over {COMPARED_DAYS} days each, without the reading that a step does
first for all days. Checks and the report took {others:,.1f} seconds. The popularity window has 30
days and the lineage window 90, so that early days have less to look at than those after day
{FULL_WINDOWS}.

{machine()}"""


def _shown(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.3f}"


if __name__ == "__main__":
    main()
