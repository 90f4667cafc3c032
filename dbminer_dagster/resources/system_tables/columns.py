"""The columns that a system table, or its clone, turned out to have."""

from dataclasses import dataclass

import polars as pl

from dbminer_dagster.databricks.system_tables import SystemTable, quoted
from dbminer_dagster.errors import MissingColumnsError


@dataclass(frozen=True, slots=True)
class FoundColumns:
    """Columns of a table, which a statement calls `t`.

    Attributes:
        table: The table.
        schema: Names and types as the warehouse gave them for no row at all.
    """

    table: SystemTable
    schema: pl.Schema

    def __post_init__(self) -> None:
        missing = sorted(name for name in self.table.required if self.dtype(name) is None)
        if missing:
            raise MissingColumnsError(
                f"{self.table.full_name} has no column {', '.join(missing)}. Let the view select "
                "all columns of the system table, or name another catalog and schema."
            )

    def dtype(self, path: str) -> pl.DataType | None:
        """The type of a column or, with dots, of a leaf of a struct; None if there is none."""
        fields = self.schema
        found = None
        for part in path.split("."):
            # As in Databricks, whose names know no case.
            found = {name.lower(): dtype for name, dtype in fields.items()}.get(part)
            fields = pl.Schema(found.to_schema() if isinstance(found, pl.Struct) else {})
        return found

    def sql(self, path: str, sql_type: str = "STRING") -> str:
        """The column or leaf as an expression; a typed NULL where the source lacks it."""
        if self.dtype(path) is None:
            return f"CAST(NULL AS {sql_type})"
        return f"t.{quoted(*path.split('.'))}"

    def lacking(self, leaves: tuple[str, ...]) -> list[str]:
        """The optional columns, and of the given leaves those, that the source does not have."""
        absent = {name for name in self.table.optional if self.dtype(name) is None}
        absent |= {
            leaf
            for leaf in leaves
            if leaf.partition(".")[0] not in absent and self.dtype(leaf) is None
        }
        return sorted(absent)
