"""Parse many texts in worker processes, so that no text can take the whole run down."""

import gc
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
            workers: Number of processes; by default one for each usable core.
            chunk_size: Texts handed to a worker at a time.
            timeout_s: Seconds that a chunk, and in the end a single text, may take.
            parser: A function that worker processes can import.
        """
        self._workers = workers or len(os.sched_getaffinity(0))
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
        waiting = deque(_chunks(texts, self._chunk_size))
        running: dict[Future[list[References]], _Chunk] = {}
        try:
            while waiting or running:
                while waiting and len(running) < 2 * self._workers:
                    chunk = waiting.popleft()
                    running[self._submit([texts[key] for key in chunk.keys])] = chunk
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    chunk = running.pop(future)
                    error = future.exception()
                    if error is None:
                        yield from zip(chunk.keys, future.result(), strict=True)
                    elif isinstance(error, BrokenProcessPool) and chunk.attempt < MAX_ATTEMPTS:
                        # All chunks in flight fail with the pool; most of them are innocent.
                        self._stop()
                        waiting.append(_Chunk(chunk.keys, chunk.attempt + 1))
                    elif len(chunk.keys) > 1:
                        waiting.extend(_pieces(chunk))
                    else:
                        yield chunk.keys[0], References.failed(self._reason(error))
        finally:
            for future in running:
                future.cancel()

    def _submit(self, texts: list[str]) -> Future[list[References]]:
        if self._pool is None or not self._pool.active:
            self._stop()
            self._pool = ProcessPool(
                max_workers=self._workers,
                initializer=_prepare_worker,
                context=multiprocessing.get_context("spawn"),
            )
        return self._pool.schedule(_parse_all, args=(self._parser, texts), timeout=self._timeout_s)

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


def _pieces(chunk: _Chunk) -> Iterator[_Chunk]:
    size = -(-len(chunk.keys) // PIECES)
    for start in range(0, len(chunk.keys), size):
        yield _Chunk(chunk.keys[start : start + size])


def _prepare_worker() -> None:
    """Syntax trees are cyclic and short-lived: collect garbage less often."""
    gc.set_threshold(50_000, 20, 100)
    gc.freeze()


def _parse_all(parser: Callable[[str], References], texts: list[str]) -> list[References]:
    return [parser(text) for text in texts]
