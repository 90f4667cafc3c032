"""Stages of an extraction that work side by side, each on what the one before it finds.

What is to be done stands in the journal, so it may be of any length, and what is done is not
handed out again after a kill.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from dbminer_dagster.errors import RequestBudgetError
from dbminer_dagster.rest_api.journal import Journal

BATCH_ROWS = 500
SECONDS_BETWEEN_REPORTS = 1.0


class StoppedError(Exception):
    """The extraction ends, in this thread because of what happened in another."""


class WorkList:
    """Rows of the journal that are not done, in the order in which they were added.

    Args:
        journal: Holds them.
        query: Gives rows whose first value is their number, those after the number in its first
            parameter, ascending, at most as many as its second parameter says.
    """

    def __init__(self, journal: Journal, query: str) -> None:
        self._journal, self._query = journal, query
        self._rows: deque[tuple[Any, ...]] = deque()
        self._last = 0
        self._is_complete = self._is_stopped = False
        self._news = threading.Condition()

    def take(self) -> tuple[Any, ...] | None:
        """The next row; waits for one. None when there will be none.

        Raises:
            StoppedError: The extraction ends.
        """
        with self._news:
            while not self._is_stopped:
                if self._rows or self._read():
                    return self._rows.popleft()
                if self._is_complete:
                    return None
                self._news.wait()
            raise StoppedError

    def added(self) -> None:
        """Says that rows were added to the journal."""
        with self._news:
            self._news.notify_all()

    def complete(self) -> None:
        """Says that no more rows will be added."""
        with self._news:
            self._is_complete = True
            self._news.notify_all()

    def stop(self) -> None:
        """Hands out nothing any more."""
        with self._news:
            self._is_stopped = True
            self._news.notify_all()

    def _read(self) -> bool:
        self._rows.extend(self._journal.rows(self._query, self._last, BATCH_ROWS))
        if self._rows:
            self._last = self._rows[-1][0]
        return bool(self._rows)


@dataclass(frozen=True, slots=True)
class Stage:
    """Threads that do the same work.

    Attributes:
        todo: What they take from.
        do: Does one row of it, and keeps the result in the journal; tells whether there is
            something new for the lists that it feeds.
        threads: How many there are.
        feeds: The lists to which it may add rows.
    """

    todo: WorkList
    do: Callable[[tuple[Any, ...]], bool]
    threads: int
    feeds: tuple[WorkList, ...] = ()

    def work(self) -> None:
        """What each of the threads does."""
        while row := self.todo.take():
            if self.do(row):
                for todo in self.feeds:
                    todo.added()


class Stages:
    """Runs stages until all is done, or the first error or interrupt.

    Args:
        report: Is called every now and then while they run, and once more at the end.
    """

    def __init__(self, report: Callable[[], object]) -> None:
        self._report = report
        self._ends = threading.Event()

    def pause(self, seconds: float) -> None:
        """Waits, in the thread of a stage.

        Raises:
            StoppedError: The extraction ends.
        """
        if self._ends.wait(seconds):
            raise StoppedError

    def run(self, *stages: Stage) -> None:
        """Returns when all is done.

        No thread is left behind: a request that is under way is waited for, none is sent any more
        but those that the budget has paid for.
        """
        with ThreadPoolExecutor(sum(stage.threads for stage in stages)) as pool:
            try:
                self._run(pool, stages)
            except BaseException as error:
                for stage in stages:
                    stage.todo.stop()
                if not isinstance(error, RequestBudgetError):
                    self._ends.set()
                raise

    def _run(self, pool: ThreadPoolExecutor, stages: Sequence[Stage]) -> None:
        threads = [
            (stage, {pool.submit(stage.work) for _ in range(stage.threads)}) for stage in stages
        ]
        running = {future for _, futures in threads for future in futures}
        while running:
            fed = {todo for stage, futures in threads if futures & running for todo in stage.feeds}
            for stage in stages:
                if stage.todo not in fed:
                    stage.todo.complete()
            done, running = wait(running, SECONDS_BETWEEN_REPORTS, FIRST_COMPLETED)
            for future in done:
                future.result()
            self._report()
