"""Slices of time that are read page by page, a few at once, and split where they are large."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

from dbminer_dagster.rest_api.stages import SECONDS_BETWEEN_REPORTS, StoppedError
from dbminer_dagster.rest_api.statement_pages import Page, Statement

PARALLEL_SLICES = 4
LARGE_PAGES = 10
"""A slice with more pages is split, so that they are read side by side, and little is read again
when a token is refused."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The statements that started from `start_ms` up to, and without, `end_ms`; how far it is read.

    Attributes:
        start_ms: Its first millisecond since 1970.
        end_ms: The first millisecond after it.
        token: Of the page to go on with; None at the beginning and at the end.
        page_count: Pages that were read, empty ones too.
        row_count: Statements on them that belong to the slice, repeated ones too.
        oldest_ms: Earliest start of a statement on them, which may lie outside.
        is_newest_first: Whether the statements came in the order that is documented.
        is_read: Whether nothing is left to ask.
    """

    start_ms: int
    end_ms: int
    token: str | None = None
    page_count: int = 0
    row_count: int = 0
    oldest_ms: int | None = None
    is_newest_first: bool = True
    is_read: bool = False

    @classmethod
    def of(cls, start_ms: int, end_ms: int, length_ms: int) -> list[Self]:
        """A stretch of time in slices."""
        starts = range(start_ms, end_ms, length_ms)
        return [cls(start, min(start + length_ms, end_ms)) for start in starts]

    def own(self, page: Page) -> list[Statement]:
        """The statements of a page that belong to the slice."""
        return [one for one in page.statements if self.start_ms <= one.start_ms < self.end_ms]

    def after(self, page: Page) -> Self:
        """The same slice when this page of it has been read as well."""
        starts = [statement.start_ms for statement in page.statements]
        if self.oldest_ms is not None:
            starts.insert(0, self.oldest_ms)
        return replace(
            self,
            token=page.next_token,
            page_count=self.page_count + 1,
            row_count=self.row_count + len(self.own(page)),
            oldest_ms=min(starts, default=None),
            is_newest_first=self.is_newest_first and all(a >= b for a, b in pairwise(starts)),
            is_read=page.next_token is None,
        )

    def anew(self) -> Self:
        """The same slice before its first page; the rows that came stay counted."""
        return replace(self, token=None, page_count=0, oldest_ms=None, is_newest_first=True)

    def ended(self) -> Self:
        """The same slice when its rest is read in other slices."""
        return replace(self, token=None, is_read=True)

    def halves(self) -> list[Self]:
        """What is left of a slice that proves large, in two slices; none if that is not known."""
        is_large = self.page_count >= LARGE_PAGES and not self.is_read
        if not is_large or not self.is_newest_first or self.oldest_ms is None:
            return []
        # Of the oldest millisecond the next page may hold more. A rest that is no smaller than the
        # slice would be split for ever: a single millisecond is that large.
        rest_end = self.oldest_ms + 1
        if not self.start_ms + 1 < rest_end < self.end_ms:
            return []
        middle = (self.start_ms + rest_end) // 2
        return [type(self)(self.start_ms, middle), type(self)(middle, rest_end)]


class SliceThreads:
    """Reads slices, a few at once, until all are read, or the first error or interrupt."""

    def __init__(self) -> None:
        self._ends = threading.Event()

    def pause(self, seconds: float) -> None:
        """Waits, in one of the threads.

        Raises:
            StoppedError: The reading ends.
        """
        if self._ends.wait(seconds):
            raise StoppedError

    def read(
        self,
        slices: Iterable[Slice],
        read: Callable[[Slice], Iterable[Slice]],
        report: Callable[[int], object],
    ) -> None:
        """Reads slices, and those into which they are split.

        Args:
            slices: To begin with.
            read: Reads one, and gives those that are to be read instead of its rest. It calls
                `pause` before each request.
            report: Is told every now and then how many slices are not read yet.
        """
        with ThreadPoolExecutor(PARALLEL_SLICES) as pool:
            try:
                pending = {pool.submit(read, one) for one in slices}
                while pending:
                    # Never without a limit: Polars has SIGINT resume such a wait, and Ctrl-C
                    # would be noticed only when the next slice is read.
                    done, pending = wait(pending, SECONDS_BETWEEN_REPORTS, FIRST_COMPLETED)
                    for future in done:
                        pending |= {pool.submit(read, part) for part in future.result()}
                    report(len(pending))
            except BaseException:
                self._ends.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
