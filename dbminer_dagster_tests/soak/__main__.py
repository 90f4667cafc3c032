"""Runs the month and writes what was seen: `make soak`, or this module with `--help`."""

import argparse
import os
import random
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

from sample_generator import generate

from dbminer_dagster.schemas import TABLES
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.databricks_emulator import Emulator, run_emulator
from dbminer_dagster_tests.e2e.deployment import PROCESSES, Deployment, run_deployment
from dbminer_dagster_tests.e2e.postgres import Postgres, run_postgres
from dbminer_dagster_tests.pipeline import FIRST_DAY, Pipeline, assert_same_tables
from dbminer_dagster_tests.soak.memory import MemoryWatch, family
from dbminer_dagster_tests.soak.month import LAG_DAYS, Blow, Month, Tick
from dbminer_dagster_tests.soak.report import Growth, as_markdown

TICKS_BETWEEN_FIGURES = 5
FAULTS = ("429", "503", "dropped_before_answer", "dropped_in_answer", "slow")
MAX_RUNTIME_S = 180
WAITS = {
    "run_monitoring": {
        "poll_interval_seconds": 3,
        "max_runtime_seconds": MAX_RUNTIME_S,
        "free_slots_after_run_end_seconds": 1,
    },
    "run_queue": {"user_code_failure_retry_delay": 3, "dequeue_interval_seconds": 1},
}
"""What a month in minutes cannot wait for as long as a deployment does."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of the month, and how bad it is."""

    days: int
    statements_per_day: int
    fault_rate: float
    kills: int
    host_losses: int
    seed: int

    def blows(self, dice: random.Random) -> dict[int, Blow]:
        """Which ticks' runs are struck; not the last, whose day the next tick would mine."""
        struck = dice.sample(range(self.days), self.kills + self.host_losses)
        return {
            number: Blow.HOST_LOST if place < self.host_losses else Blow.WORKER_KILLED
            for place, number in enumerate(struck)
        }


def main() -> None:
    """Reads the command line, runs the month, prints, and writes where that is wanted."""
    parser = argparse.ArgumentParser(description="Runs a month of a deployment over bad days.")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--statements-per-day", type=int, default=400)
    parser.add_argument("--fault-rate", type=float, default=0.05, help="share of the requests")
    parser.add_argument("--kills", type=int, default=6, help="workers that are killed")
    parser.add_argument("--host-losses", type=int, default=2, help="also with their code server")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--write", type=Path, help="a Markdown file for the results")
    options = vars(parser.parse_args())
    write = options.pop("write")
    with tempfile.TemporaryDirectory(prefix="dbminer-soak-") as folder:
        report = soak(Plan(**options), Path(folder))
    print(report)  # noqa: T201 - what the command is for
    if write:
        write.write_text(report)


def soak(plan: Plan, folder: Path) -> str:
    """Runs the month in a folder of its own, compares its tables, and reports.

    Raises:
        AssertionError: A table differs from that of a run without faults.
    """
    with ExitStack() as stack:
        workspace = stack.enter_context(run_emulator())
        _fill(workspace, plan, folder / "files")
        os.environ.update(workspace.environment("pat"))
        soaked, calm = (
            Pipeline("", str(folder / name), 30, 30, lineage_method="system_table")
            for name in ("soaked", "calm")
        )
        postgres = stack.enter_context(run_postgres())
        deployment = stack.enter_context(
            run_deployment(folder / "home", postgres, _settings(workspace, soaked, folder), WAITS)
        )
        workspace.faults.at_random(plan.fault_rate, seed=plan.seed, kinds=FAULTS)
        watch = stack.enter_context(MemoryWatch(lambda: _families(deployment, postgres)))
        started, asked = time.monotonic(), len(workspace.requests)
        ticks, growth = _run(plan, deployment, workspace, postgres, watch)
        seconds = time.monotonic() - started
        answers = [request.status for request in workspace.requests[asked:]]
        faults = (sum(status != HTTPStatus.OK for status in answers), len(answers))
        workspace.faults.clear()
        month = Window(FIRST_DAY, FIRST_DAY + timedelta(days=plan.days))
        calm.mined(month)
        assert_same_tables(calm, soaked, "read_at")
        missing = set(month) - set(soaked.table("popularity_scores")["day"])
        rows = {name: soaked.table(name).height for name in TABLES}
        if missing:
            raise AssertionError(f"days are missing: {sorted(missing)}")
    return as_markdown(ticks, growth, watch.peak_mb, rows, faults, seconds, MAX_RUNTIME_S)


def _fill(workspace: Emulator, plan: Plan, files: Path) -> None:
    generate(
        files,
        first_day=FIRST_DAY,
        days=plan.days + LAG_DAYS,
        statements_per_day=plan.statements_per_day,
        seed=plan.seed,
        system_rows_only=True,
    )
    workspace.load_files(files)
    workspace.add_tables_of_lineage()


def _settings(workspace: Emulator, pipeline: Pipeline, folder: Path) -> dict[str, str]:
    return {
        **workspace.environment("pat"),
        "DBMINER_LINEAGE_METHOD": pipeline.lineage_method,
        "DBMINER_START_DATE": FIRST_DAY.isoformat(),
        "DBMINER_LAG_DAYS": str(LAG_DAYS),
        "DBMINER_SCHEDULE": "hourly",  # so that a tick can follow an hour after a failed one
        "DBMINER_LINEAGE_WINDOW_DAYS": str(pipeline.lineage_window_days),
        "DBMINER_POPULARITY_WINDOW_DAYS": str(pipeline.popularity_window_days),
        "DBMINER_EXCLUDED_USERS": ",".join(pipeline.settings.excluded_users),
        "DBMINER_STORAGE_URI": pipeline.storage,
        "DBMINER_WORK_FOLDER": str(folder / "work"),
    }


def _families(deployment: Deployment, postgres: Postgres) -> dict[str, list[int]]:
    workers = [pid for worker in deployment.run_workers() for pid in family(worker)]
    found = {name: family(pid) for name in PROCESSES if (pid := deployment.pid(name))}
    found["code-server"] = [pid for pid in found.get("code-server", []) if pid not in workers]
    return {**found, "runs": workers, "postgres": family(postgres.pid)}


def _run(
    plan: Plan,
    deployment: Deployment,
    workspace: Emulator,
    postgres: Postgres,
    watch: MemoryWatch,
) -> tuple[list[Tick], list[Growth]]:
    dice = random.Random(plan.seed)
    month = Month(deployment, workspace, FIRST_DAY, plan.days, plan.blows(dice), dice)
    ticks: list[Tick] = []
    growth = [Growth.of(0, postgres, watch)]
    for tick in month.ticks():
        ticks.append(tick)
        print(tick, flush=True)  # noqa: T201 - progress
        if len(ticks) % TICKS_BETWEEN_FIGURES == 0:
            growth.append(Growth.of(len(ticks), postgres, watch))
    return ticks, [*growth, Growth.of(len(ticks), postgres, watch)]


if __name__ == "__main__":
    main()
