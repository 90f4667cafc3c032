"""An object of S3 as a file."""

import io
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class ObjectReader(io.RawIOBase):
    """An object of S3, fetched range by range as it is read."""

    fetch: Callable[[str], bytes]
    size_bytes: int
    at: int = 0

    def readable(self) -> bool:
        """See `io.IOBase.readable`."""
        return True

    def seekable(self) -> bool:
        """See `io.IOBase.seekable`."""
        return True

    def tell(self) -> int:
        """See `io.IOBase.tell`."""
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.IOBase.seek`."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size_bytes}[whence]
        self.at = start + offset
        return self.at

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """See `io.RawIOBase.readinto`."""
        end = min(self.at + len(buffer), self.size_bytes)
        if self.at >= end:
            return 0
        content = self.fetch(f"bytes={self.at}-{end - 1}")
        buffer[: len(content)] = content
        self.at += len(content)
        return len(content)
