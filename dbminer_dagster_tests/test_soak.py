"""The parts of the soak test: who is struck, what processes hold, and the report."""

import os
import random
import re
import subprocess
import sys
from datetime import UTC, datetime

from dbminer_dagster_tests.e2e.deployment import children
from dbminer_dagster_tests.soak.__main__ import Plan
from dbminer_dagster_tests.soak.memory import family, held_mb
from dbminer_dagster_tests.soak.month import Blow, Tick
from dbminer_dagster_tests.soak.report import Growth, as_markdown

MORNING = datetime(2026, 1, 7, 6, tzinfo=UTC)
SLEEPER = "import time; time.sleep(60)"


def test_as_many_are_struck_as_planned() -> None:
    """Each planned blow hits a run of its own, the same one for the same seed."""
    plan = Plan(30, statements_per_day=1, fault_rate=0, kills=6, host_losses=2, seed=11)

    blows = plan.blows(random.Random(plan.seed))

    struck = list(blows.values())
    assert (struck.count(Blow.WORKER_KILLED), struck.count(Blow.HOST_LOST)) == (6, 2)
    assert set(blows) <= set(range(plan.days))
    assert blows == plan.blows(random.Random(plan.seed))


def test_a_family_is_a_process_with_its_descendants() -> None:
    """Memory is counted with all that a process started, and is none once it has ended."""
    with subprocess.Popen([sys.executable, "-c", SLEEPER]) as child:
        assert child.pid in children(os.getpid())
        assert {os.getpid(), child.pid} <= set(family(os.getpid()))
        child.kill()

    assert held_mb(os.getpid()) > 1
    assert (family(child.pid), held_mb(child.pid)) == ([child.pid], 0)


def test_the_report_counts_what_happened() -> None:
    """The report tells of each tick, and of the growth by tick since before the first."""
    held = {"code-server": 300.0, "webserver": 150.0, "daemon": 140.0, "postgres": 60.0}
    ticks = [
        Tick(MORNING, "2026-01-05 to 2026-01-05", Blow.WORKER_KILLED, 40.0, ["FAILURE", "SUCCESS"]),
        Tick(MORNING, "Nothing became minable.", Blow.NONE, 0.2),
    ]
    growth = [Growth(0, 10, 0.5, 9.0, held), Growth(2, 510, 1.5, 10.0, held)]

    report = as_markdown(ticks, growth, {"runs": 512.0}, {"daily_usage": 1200}, (5, 100), 120.0, 90)

    assert "2 ticks" in report
    assert "was\n90. 1 runs succeeded, 1 failed." in report
    assert re.search(r"adds 250 events,\s500 KB", report)
    assert "| 2026-01-07 06:00 | 2026-01-05 to 2026-01-05 | worker killed | FAILURE, SUCCESS |" in (
        report
    )
    assert "| 2 | 510 | 1.5 | 10.0 | 300 | 150 | 140 | 60 |" in report


def test_the_report_tells_what_nobody_caused() -> None:
    """What a run says that failed without a blow stands in the report, and else that none did."""
    growth = [Growth(ticks, 0, 0.0, 0.0, {}) for ticks in (0, 1)]
    seen = ["raw_lineage a | b", "The run's worker is gone."]

    def report(reasons: list[str]) -> str:
        tick = Tick(MORNING, "2026-01-05", Blow.NONE, 9.0, ["FAILURE", "SUCCESS"], reasons)
        return as_markdown([tick], growth, {}, {}, (0, 1), 9.0, 90)

    assert "| 2026-01-07 06:00 | raw_lineage a \\| b |" in report(seen)
    assert "| 2026-01-07 06:00 | The run's worker is gone. |" in report(seen)
    assert report([]).rstrip().endswith("None.")
