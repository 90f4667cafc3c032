"""Which days a scheduled run is due for, by those that are done."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from dbminer_dagster.windows import Window

LISTED_DAYS = 5


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the days have got.

    Attributes:
        minable: From the start date to the newest minable day.
        done: Days that are done.
        tried: Days that a run has ended well for. Of those that are not done the source knew
            nothing.
        oldest: The first day that the source still has; None where nothing is known to end.
    """

    minable: Window
    done: frozenset[date]
    tried: frozenset[date] = frozenset()
    oldest: date | None = None

    @property
    def first_askable(self) -> date:
        """The first day that a run may be asked for."""
        return max(self.minable.start, self.oldest or self.minable.start)

    @property
    def settled(self) -> frozenset[date]:
        """Days that need no run but for the rows that came late."""
        return self.done | self.tried


@dataclass(frozen=True, slots=True)
class Rules:
    """How days are asked for.

    Attributes:
        period_days: Days that become minable between two ticks; all that the first run asks for.
        late_days: Days before the new ones that are read again, for rows that came late.
        reach_days: How far back a hole is filled: further back it changes nothing of today.
        done_word: What has become of a day that is done.
    """

    period_days: int
    late_days: int
    reach_days: int
    done_word: str = "mined"


@dataclass(frozen=True, slots=True)
class Due:
    """What a tick asks for.

    Attributes:
        window: The days of the run; None if no day is due.
        reason: Why no day is due.
        notes: Days that no run will be asked for, and what to do about them.
    """

    window: Window | None
    reason: str = ""
    notes: list[str] = field(default_factory=list)


def due(progress: Progress, rules: Rules, failed: Window | None = None) -> Due:
    """The days from the first one that is due to the newest: later windows hold the earlier days.

    Args:
        progress: What is done.
        rules: How days are asked for.
        failed: Days of the last run, if it failed. A hole that it could not fill waits for a run
            that succeeds, so that it does not hold up new days.
    """
    minable, askable = progress.minable, progress.first_askable
    known = progress.done.intersection(minable)
    if not known:
        first = minable.last_day - timedelta(days=rules.period_days - 1)
        return Due(Window(max(first, askable), minable.end))
    begun, last = min(known), max(progress.settled.intersection(minable))
    missing = [day for day in Window(begun, minable.end) if day not in progress.settled]
    within = max(askable, minable.end - timedelta(days=rules.reach_days))
    fresh = [day for day in missing if day > last and day >= askable]
    holes = [day for day in missing if within <= day < last]
    if fresh and holes and failed and holes[0] in failed:
        holes = []
    late = [fresh[0] - timedelta(days=rules.late_days)] if fresh else []
    first = max(min([*holes, *late], default=minable.end), begun, askable)
    notes = [
        *_lost([day for day in missing if day < askable], askable),
        *_out_of_reach([day for day in missing if askable <= day < min(within, first)], rules),
        *_uncovered([day for day in sorted(progress.tried - known) if begun < day < first]),
    ]
    if first > minable.last_day:
        return Due(None, _why_none(progress, rules), notes)
    return Due(Window(first, minable.end), notes=notes)


def _why_none(progress: Progress, rules: Rules) -> str:
    newest = progress.minable.last_day
    if newest in progress.done:
        return f"Nothing became minable: {newest}, the newest minable day, is {rules.done_word}."
    return (
        f"Nothing became minable: a run has asked for {newest}, the newest minable day, and the "
        "source did not cover it yet. It is asked for again with the next day."
    )


def _lost(days: Sequence[date], oldest: date) -> list[str]:
    if not days:
        return []
    return [
        f"The source has nothing before {oldest} any more, and {listed(days)} were not read in "
        "time: mine them from offline files, if they were extracted."
    ]


def _out_of_reach(days: Sequence[date], rules: Rules) -> list[str]:
    if not days:
        return []
    return [
        f"{listed(days)} are not {rules.done_word}, and too old for today's windows "
        f"({rules.reach_days} days): launch a backfill if you want them."
    ]


def _uncovered(days: Sequence[date]) -> list[str]:
    if not days:
        return []
    return [f"The source did not cover {listed(days)}: launch a backfill once it does."]


def listed(days: Sequence[date]) -> str:
    """The first few days, and how many there are."""
    shown = ", ".join(map(str, days[:LISTED_DAYS]))
    return shown if len(days) <= LISTED_DAYS else f"{shown}, … ({len(days)} days)"
