"""The parser of statements as a Dagster resource."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import PrivateAttr

from dbminer_dagster.engines import Engine
from dbminer_dagster.mining.parse_pool import ParsePool
from dbminer_dagster.parse_cache import ParseCache
from dbminer_dagster.resources.storage import StorageResource


class ParserResource(dg.ConfigurableResource):
    """Parses templates; the steps of a run share its worker processes."""

    storage: dg.ResourceDependency[StorageResource]
    _pool: ParsePool = PrivateAttr()

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["ParserResource"]:  # noqa: ARG002
        """Stops the workers when the run ends; they start with the first new template."""
        with ParsePool() as pool:
            self._pool = pool
            yield self

    def cache(self, engine: Engine | None = None, *, is_ignored: bool = False) -> ParseCache:
        """The templates parsed so far, by whichever run; new ones go to the engine's workers.

        Args:
            engine: Whose workers; by default those of this machine parse.
            is_ignored: All templates are new, and none is kept.
        """
        return ParseCache(self.storage.tables, self._pool, engine, is_ignored)
