"""Shows people how far an extraction is: a bar on a terminal, lines of text in a log."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from dbminer_dagster.rest_api.progress import Progress, ProgressLines


class Reporter(Protocol):
    """Where an extraction tells what it does."""

    def say(self, text: str) -> None:
        """Shows a line."""

    def stage(self, title: str) -> AbstractContextManager[Progress]:
        """Shows the progress of one part of the work, for the time of a block."""
        ...


class LineReporter:
    """Lines of text, at most one every few seconds.

    Args:
        show: Takes a line.
    """

    def __init__(self, show: Callable[[str], object]) -> None:
        self._show = show

    def say(self, text: str) -> None:
        """See `Reporter.say`."""
        self._show(text)

    @contextmanager
    def stage(self, title: str) -> Iterator[Progress]:
        """See `Reporter.stage`."""
        self._show(f"{title}: begins")
        yield ProgressLines(lambda line: self._show(f"{title}: {line}"))


class TerminalReporter:
    """Bars that move.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        """See `Reporter.say`."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def stage(self, title: str) -> Iterator[Progress]:
        """See `Reporter.stage`."""
        self.say(title)
        bars = Bars(
            TextColumn("  {task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        with bars:
            yield _BarsProgress(bars)


class _BarsProgress:
    """A bar for each kind of work."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def update(self, done: int, total: int, what: str) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total, completed=done)
        self._bars.update(self._tasks[what], completed=done, total=total)


class EveryProgress:
    """Hands on to several.

    Args:
        takers: Each is told everything.
    """

    def __init__(self, *takers: Progress) -> None:
        self._takers = takers

    def update(self, done: int, total: int, what: str) -> None:
        """See `Progress.update`."""
        for taker in self._takers:
            taker.update(done, total, what)
