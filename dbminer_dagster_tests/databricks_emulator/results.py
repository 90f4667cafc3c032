"""Rows of a result on their way to the client: in Arrow batches, never as Python rows."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import lz4.frame
import pyarrow as pa
from databricks.sql.thrift_api.TCLIService import ttypes

from dbminer_dagster_tests.databricks_emulator.cloud_fetch import CloudFetchStore, Link


@dataclass(slots=True)
class ResultSettings:
    """How results travel; may be changed at any time and holds for the next statement.

    Attributes:
        row_cut: The most rows that a result gives; further ones are lost without a word.
        links_above_bytes: A larger result is given by CloudFetch links if the client can.
        direct_results_wait_s: How long a statement may run within the call that starts it.
        status_wait_s: How long a call for its state waits for a change.
    """

    row_cut: int | None = None
    links_above_bytes: int = 5 * 2**20
    direct_results_wait_s: float = 0.2
    status_wait_s: float = 0.3


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of a statement: their types, and batches that are made as they are taken."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


@dataclass(frozen=True, slots=True)
class ResultForm:
    """What a result looks like on the wire.

    Attributes:
        lz4: Whether its batches or files are compressed.
        links: Whether it is given by CloudFetch links.
    """

    lz4: bool
    links: bool


class ResultRows:
    """The rows that a client has not yet taken. Holds a few batches at most.

    Args:
        answer: Where they come from.
        row_limit: The most rows to give.

    Attributes:
        schema: Their types.
        offset: How many rows were taken.
    """

    def __init__(self, answer: Answer, row_limit: int | None) -> None:
        self.schema = answer.schema
        self.offset = 0
        self._batches = answer.batches
        self._left = row_limit
        self._held: deque[pa.RecordBatch] = deque()
        self._lock = threading.Lock()

    def is_larger_than(self, size_bytes: int) -> bool:
        """Whether there are more bytes than these; as many are then held in memory."""
        with self._lock:
            while _size(self._held) <= size_bytes and self._pull():
                continue
            return _size(self._held) > size_bytes

    def has_more(self) -> bool:
        """Whether rows are left."""
        with self._lock:
            return bool(self._held) or self._pull()

    def rows_at_hand(self) -> int:
        """How many rows are held in memory, which are at least those of the next batch."""
        with self._lock:
            if not self._held:
                self._pull()
            return sum(batch.num_rows for batch in self._held)

    def take(self, max_rows: int, max_bytes: int) -> list[pa.RecordBatch]:
        """The next batches within both limits, but at least one row if any is left."""
        taken: list[pa.RecordBatch] = []
        rows = size = 0
        with self._lock:
            while rows < max_rows and (self._held or self._pull()):
                batch = self._held.popleft()
                if taken and size + batch.nbytes > max_bytes:
                    self._held.appendleft(batch)
                    break
                if batch.num_rows > max_rows - rows:
                    self._held.appendleft(batch.slice(max_rows - rows))
                    batch = batch.slice(0, max_rows - rows)
                taken.append(batch)
                rows, size = rows + batch.num_rows, size + batch.nbytes
            self.offset += rows
        return taken

    def _pull(self) -> bool:
        """Fetches the next batch that has rows; False when there is none."""
        for batch in self._batches:
            kept = batch if self._left is None else batch.slice(0, self._left)
            if self._left is not None:
                self._left -= kept.num_rows
            if kept.num_rows:
                self._held.append(kept)
                return True
            if self._left == 0:
                break
        return False


def _size(batches: Iterable[pa.RecordBatch]) -> int:
    return sum(batch.nbytes for batch in batches)


def inline_rows(batches: Sequence[pa.RecordBatch], offset: int, form: ResultForm) -> ttypes.TRowSet:
    """Batches as messages of an IPC stream; the client has the schema from the metadata."""
    messages = [
        ttypes.TSparkArrowBatch(batch=_packed(batch.serialize(), form), rowCount=batch.num_rows)
        for batch in batches
    ]
    return ttypes.TRowSet(startRowOffset=offset, rows=[], arrowBatches=messages)


def linked_rows(
    batches: Sequence[pa.RecordBatch],
    offset: int,
    form: ResultForm,
    store: CloudFetchStore,
    base_url: str,
    *,
    expired: bool,
) -> tuple[ttypes.TRowSet, list[Link]]:
    """Batches as files in the store, each a whole IPC stream, and the links to them.

    Args:
        batches: The rows.
        offset: How many rows came before.
        form: How they look on the wire.
        store: Takes the files.
        base_url: Where the emulator listens.
        expired: Whether the links are too old already.
    """
    given: list[ttypes.TSparkArrowResultLink] = []
    links: list[Link] = []
    for batch in batches:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        content = sink.getvalue()
        link = store.put(_packed(content, form), expired=expired)
        links.append(link)
        given.append(
            ttypes.TSparkArrowResultLink(
                fileLink=f"{base_url}/cloud-fetch/{link.key}",
                expiryTime=int(link.expires_at),
                startRowOffset=offset,
                rowCount=batch.num_rows,
                bytesNum=content.size,
            )
        )
        offset += batch.num_rows
    first = given[0].startRowOffset if given else offset
    return ttypes.TRowSet(startRowOffset=first, rows=[], resultLinks=given), links


def _packed(content: pa.Buffer, form: ResultForm) -> bytes:
    return lz4.frame.compress(content) if form.lz4 else content.to_pybytes()
