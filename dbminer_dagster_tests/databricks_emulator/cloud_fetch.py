"""Files of large results, which clients download by links instead of over the SQL protocol."""

import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Link:
    """A link to a file of rows.

    Attributes:
        key: What follows `/cloud-fetch/` in the link.
        expires_at: Epoch seconds until which it is good.
    """

    key: str
    expires_at: float


class CloudFetchStore:
    """The files, on disk as a bucket would hold them. Safe to use from any thread.

    Attributes:
        link_lifetime_s: How long links are good; Databricks gives at most 15 minutes.
    """

    def __init__(self, folder: Path) -> None:
        self.link_lifetime_s = 900.0
        self._folder = folder
        self._links: dict[str, Link] = {}
        self._lock = threading.Lock()

    def put(self, content: bytes, *, expired: bool = False) -> Link:
        """Keeps a file.

        Args:
            content: A whole Arrow IPC stream, compressed or not.
            expired: Whether its link is too old from the start.
        """
        lifetime_s = -1.0 if expired else self.link_lifetime_s
        link = Link(uuid.uuid4().hex, time.time() + lifetime_s)
        (self._folder / link.key).write_bytes(content)
        with self._lock:
            self._links[link.key] = link
        return link

    def get(self, key: str) -> bytes | None:
        """The file behind a link; None when there is none or the link has expired."""
        with self._lock:
            link = self._links.get(key)
            if link is None or link.expires_at <= time.time():
                return None
            return (self._folder / key).read_bytes()

    def remove(self, links: Iterable[Link]) -> None:
        """Forgets the files of a statement that was closed."""
        with self._lock:
            for link in links:
                if self._links.pop(link.key, None):
                    (self._folder / link.key).unlink(missing_ok=True)
