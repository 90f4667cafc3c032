"""A temporary folder of Parquet parts: what has been computed, until one commit takes it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import polars as pl


@dataclass
class Spool:
    """Parts on local disk.

    Work that may fail half way ends here first, so that the result tables only ever see
    finished work, in one commit, and no frame has to be held in memory until then.
    """

    folder: Path
    _numbers: count = field(default_factory=count)

    def write(self, name: str, frame: pl.DataFrame | pl.LazyFrame) -> None:
        """Adds a part to the frame called `name`."""
        target = self.folder / name / f"{next(self._numbers):06}.parquet"
        target.parent.mkdir(exist_ok=True)
        # Statistics would double the cost of a part, which is read whole anyhow.
        frame.lazy().sink_parquet(target, compression="lz4", statistics=False)

    def scan(self, name: str, schema: pl.Schema) -> pl.LazyFrame:
        """All parts of the frame called `name`; an empty frame if there is none."""
        parts = self._parts(name)
        return pl.scan_parquet(parts, schema=schema) if parts else pl.LazyFrame(schema=schema)

    @contextmanager
    def all_or_nothing(self, name: str) -> Iterator[None]:
        """Takes back the parts of `name` that were written inside, if the block fails."""
        before = set(self._parts(name))
        try:
            yield
        except BaseException:
            for part in set(self._parts(name)) - before:
                part.unlink()
            raise

    def _parts(self, name: str) -> list[Path]:
        return sorted((self.folder / name).glob("*.parquet"))


@contextmanager
def open_spool() -> Iterator[Spool]:
    """A spool that is deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="dbminer-") as folder:
        yield Spool(Path(folder))
