"""Parse many texts in worker processes, so that no text can take the whole run down."""

import gc
import math
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pebble import ProcessExpired, ProcessPool

from dbminer_dagster.mining.references import References
from dbminer_dagster.mining.sql_reads import referenced_tables

MAX_CHUNK_CHARACTERS = 4 << 20
# A failed chunk is cut in so many pieces: halves would cost one time-out for each halving.
PIECES = 8
MAX_ATTEMPTS = 3


_Answers = Future[list[References]]


@dataclass(frozen=True, slots=True)
class _Chunk:
    keys: Sequence[str]
    attempt: int = 1


class ParsePool:
    """Worker processes that parse texts; they start with the first parse and are reused.

    A text that takes too long, or that kills its worker, costs only itself.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        chunk_size: int = 250,
        timeout_s: float = 30.0,
        parser: Callable[[str], References] = referenced_tables,
    ) -> None:
        """Set up a pool without starting it.

        Args:
            workers: Number of processes; by default one for each core.
            chunk_size: Texts handed to a worker at a time.
            timeout_s: Seconds that a chunk, and in the end a single text, may take.
            parser: A function that worker processes can import.
        """
        self._workers = workers or os.cpu_count() or 1
        self._chunk_size = chunk_size
        self._timeout_s = timeout_s
        self._parser = parser
        self._pool: ProcessPool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def parse(self, texts: Mapping[str, str]) -> Iterator[tuple[str, References]]:
        """Parse every text; yields each key once, in any order, with its references."""
        # A few texts are shared among all workers too.
        share = math.ceil(len(texts) / (2 * self._workers))
        waiting = deque(_chunks(texts, min(self._chunk_size, max(1, share))))
        running: dict[_Answers, tuple[_Chunk, ProcessPool]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < 2 * self._workers:
                    chunk, pool = waiting.popleft(), self._started()
                    work = (self._parser, [texts[key] for key in chunk.keys])
                    future = pool.schedule(_parse_all, args=work, timeout=self._timeout_s)
                    running[future] = chunk, pool
                for future in _finished(running):
                    chunk, _ = running.pop(future)
                    # Without an answer it was lost in the fall of its pool.
                    error = future.exception() if future.done() else BrokenProcessPool()
                    if error is None:
                        yield from zip(chunk.keys, future.result(), strict=True)
                    elif retries := _retries(chunk, error):
                        waiting.extend(retries)
                    else:
                        yield chunk.keys[0], References.failed(self._reason(error))
        finally:
            for future in running:
                future.cancel()

    def _started(self) -> ProcessPool:
        """The running pool; a new one when there is none or it has broken down."""
        if self._pool is None or not self._pool.active:
            self._stop()
            self._pool = ProcessPool(
                max_workers=self._workers,
                initializer=_prepare_worker,
                # The protocol knows the Unix connection type only.
                context=multiprocessing.get_context("spawn"),  # pyright: ignore[reportArgumentType]
            )
        return self._pool

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, TimeoutError):
            return f"timed out after {self._timeout_s:g} s"
        if isinstance(error, (ProcessExpired, BrokenProcessPool)):
            return "the parser process died"
        return f"the parser failed with {type(error).__name__}"


def _chunks(texts: Mapping[str, str], size: int) -> Iterator[_Chunk]:
    keys: list[str] = []
    characters = 0
    for key, text in texts.items():
        if keys and (len(keys) == size or characters + len(text) > MAX_CHUNK_CHARACTERS):
            yield _Chunk(keys)
            keys, characters = [], 0
        keys.append(key)
        characters += len(text)
    if keys:
        yield _Chunk(keys)


def _finished(running: Mapping[_Answers, tuple[_Chunk, ProcessPool]]) -> list[_Answers]:
    """Wait until a chunk has an answer, or never will because its pool broke down."""
    while True:
        wait(running, timeout=1, return_when=FIRST_COMPLETED)
        if found := [f for f, (_, pool) in running.items() if f.done() or not pool.active]:
            return found


def _retries(chunk: _Chunk, error: BaseException) -> list[_Chunk]:
    """What to try again of a chunk that failed; nothing when its one text is to blame."""
    if isinstance(error, BrokenProcessPool) and chunk.attempt < MAX_ATTEMPTS:
        # All chunks in flight fail with the pool, and most of them are innocent.
        return [_Chunk(chunk.keys, chunk.attempt + 1)]
    if len(chunk.keys) == 1:
        return []
    size = -(-len(chunk.keys) // PIECES)
    return [_Chunk(chunk.keys[start : start + size]) for start in range(0, len(chunk.keys), size)]


def _prepare_worker() -> None:
    """Syntax trees are cyclic and short-lived: collect garbage less often."""
    gc.set_threshold(50_000, 20, 100)
    gc.freeze()


def _parse_all(parser: Callable[[str], References], texts: list[str]) -> list[References]:
    return [parser(text) for text in texts]
