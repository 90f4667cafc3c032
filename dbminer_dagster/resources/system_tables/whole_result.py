"""A result of one statement that is of use as a whole only, from a source that may refuse.

A refusal fails no run: who may not read such a source goes on without. A result that is not whole
does, for it would say something else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from dbminer_dagster.errors import NOT_FOUND, AccessDeniedError, CutOffError, StatementError
from dbminer_dagster.resources.system_tables.attempts import attempts
from dbminer_dagster.spool import Spool

if TYPE_CHECKING:
    from dbminer_dagster.databricks.connection import Connection
    from dbminer_dagster.databricks.warehouse import Warehouse

REFUSALS = NOT_FOUND | {"UNRESOLVED_COLUMN", "FIELD_NOT_FOUND"}
"""Error conditions that say that a source is not there as it is needed."""
ALL_ROWS = "all_rows"

Refusal = AccessDeniedError | StatementError


@dataclass(frozen=True, slots=True)
class WholeResult:
    """What a statement gives.

    Attributes:
        source: The full name of what is read.
        part: Its name in the spool.
        statement: Selects the columns of the schema, and how many rows there are as `ALL_ROWS`.
        parameters: What is bound to it.
        schema: The columns that are kept.
    """

    source: str
    part: str
    statement: str
    parameters: Mapping[str, str | date | datetime]
    schema: pl.Schema

    def read(self, connection: "Connection", warehouse_id: str, spool: Spool) -> Refusal | None:
        """Spools all rows, or none and says why the source refuses them.

        Raises:
            CutOffError: The result held fewer rows than it says itself.
            WorkspaceError: The statement failed for another cause than a refusal.
        """
        try:
            attempts(
                connection,
                warehouse_id,
                self.source,
                lambda warehouse: self._spool(warehouse, spool),
            )
        except (AccessDeniedError, StatementError) as error:
            if not _is_refusal(error):
                raise
            return error
        return None

    def _spool(self, warehouse: "Warehouse", spool: Spool) -> None:
        dg.get_dagster_logger().debug(self.statement)
        read = all_rows = 0
        kept = [pl.col(name).cast(dtype) for name, dtype in self.schema.items()]
        with spool.all_or_nothing(self.part):
            for batch in warehouse.batches(self.statement, self.parameters):
                spool.write(self.part, batch.select(kept))
                read += batch.height
                all_rows = max([all_rows, *batch[ALL_ROWS].head(1)])
            if read < all_rows:
                raise CutOffError(
                    f"{self.source}: the result held {read:,} of its {all_rows:,} rows. Run the "
                    "day again; if it stays so, look for a row limit on the warehouse."
                )


def _is_refusal(error: Refusal) -> bool:
    if isinstance(error, AccessDeniedError):
        return True
    return (error.error_class or "").partition(".")[0] in REFUSALS
