"""What the journal of a lineage extraction holds, and the questions that it is asked.

Rows are only ever added, so the highest number in a table is how many rows it has.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from dbminer_dagster.mining.names import spelled_name
from dbminer_dagster.rest_api.journal import Journal
from dbminer_dagster.rest_api.outcomes import Outcome

SCHEMA = """
CREATE TABLE IF NOT EXISTS workspace (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS catalogs (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, is_done INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS tables (
    number INTEGER PRIMARY KEY, table_name TEXT NOT NULL UNIQUE,
    catalog TEXT NOT NULL, schema TEXT NOT NULL, name TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS table_answers (
    number INTEGER PRIMARY KEY, table_name TEXT NOT NULL UNIQUE, outcome TEXT NOT NULL, body BLOB
);
CREATE TABLE IF NOT EXISTS schemas (
    number INTEGER PRIMARY KEY, catalog TEXT NOT NULL, name TEXT NOT NULL, wanted TEXT NOT NULL,
    is_done INTEGER NOT NULL DEFAULT 0, UNIQUE (catalog, name, wanted)
);
CREATE TABLE IF NOT EXISTS listed_columns (table_name TEXT PRIMARY KEY, names TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS columns (
    number INTEGER PRIMARY KEY, table_name TEXT NOT NULL, name TEXT NOT NULL,
    UNIQUE (table_name, name)
);
CREATE TABLE IF NOT EXISTS column_answers (
    number INTEGER PRIMARY KEY, table_name TEXT NOT NULL, name TEXT NOT NULL,
    outcome TEXT NOT NULL, body BLOB, UNIQUE (table_name, name)
);
CREATE TABLE IF NOT EXISTS not_listed (
    kind TEXT NOT NULL, name TEXT NOT NULL, outcome TEXT NOT NULL, UNIQUE (kind, name)
)
"""

CATALOGS = """
SELECT number, name FROM catalogs WHERE number > ? AND NOT is_done ORDER BY number LIMIT ?"""
SCHEMAS_WITH_TABLES = """
SELECT number, catalog, name FROM schemas
WHERE number > ? AND wanted = 'tables' AND NOT is_done ORDER BY number LIMIT ?"""
SCHEMAS_WITH_COLUMNS = """
SELECT number, catalog, name FROM schemas
WHERE number > ? AND wanted = 'columns' AND NOT is_done ORDER BY number LIMIT ?"""
TABLES = """
SELECT number, catalog, schema, name FROM tables AS t
WHERE number > ? AND NOT EXISTS (
    SELECT 1 FROM table_answers AS a WHERE a.table_name = t.table_name
) ORDER BY number LIMIT ?"""
COLUMNS = """
SELECT c.number, t.catalog, t.schema, t.name, c.name
FROM columns AS c JOIN tables AS t ON t.table_name = c.table_name
WHERE c.number > ? AND NOT EXISTS (
    SELECT 1 FROM column_answers AS a WHERE a.table_name = c.table_name AND a.name = c.name
) ORDER BY c.number LIMIT ?"""
_WITH_LINEAGE = """
INSERT OR IGNORE INTO columns (table_name, name)
SELECT a.table_name, c.value
FROM table_answers AS a JOIN listed_columns AS l ON l.table_name = a.table_name,
    json_each(l.names) AS c
WHERE a.body IS NOT NULL"""
_FAILED = """
SELECT table_name FROM table_answers WHERE outcome = 'failed' UNION ALL
SELECT table_name || '.' || name FROM column_answers WHERE outcome = 'failed' ORDER BY 1 LIMIT ?"""
_WITHOUT_COLUMNS = """
SELECT count(*) FROM table_answers AS a WHERE body IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM columns AS c WHERE c.table_name = a.table_name)"""


Wanted = Literal["tables", "columns"]
"""What is to be listed of a schema."""


@dataclass(frozen=True, slots=True)
class LineageJournal:
    """A journal of catalogs, tables, columns, and what the workspace answered about them."""

    journal: Journal

    def keep_workspace(self, workspace_id: str) -> None:
        """Keeps where it all comes from."""
        self.journal.add("INSERT INTO workspace VALUES (?)", (workspace_id,))

    @property
    def workspace_id(self) -> str | None:
        """Where it all comes from; None before it is known."""
        return self.journal.value("SELECT id FROM workspace")

    def add_catalogs(self, names: Iterable[str]) -> None:
        """Adds all catalogs at once."""
        self.journal.add("INSERT INTO catalogs (name) VALUES (?)", *((name,) for name in names))

    @property
    def has_catalogs(self) -> bool:
        """Whether the catalogs are known."""
        return self.journal.value("SELECT 1 FROM catalogs") is not None

    def finish_catalog(self, number: int) -> None:
        """Notes that all tables of a catalog are known, or the schemas in which to list them."""
        self.journal.add("UPDATE catalogs SET is_done = 1 WHERE number = ?", (number,))

    def add_tables(self, tables: Iterable[tuple[str, str, str]]) -> None:
        """Adds tables by the parts of their names; those that are known stay."""
        self.journal.add(
            "INSERT OR IGNORE INTO tables (table_name, catalog, schema, name) VALUES (?, ?, ?, ?)",
            *((spelled_name(parts), *parts) for parts in tables),
        )

    def skip(self, kind: str, parts: Sequence[str], outcome: Outcome) -> None:
        """Notes what could not be listed."""
        self.journal.add(
            "INSERT OR IGNORE INTO not_listed VALUES (?, ?, ?)",
            (kind, spelled_name(parts), outcome),
        )

    def keep_table(self, table: Sequence[str], outcome: Outcome, body: bytes | None) -> None:
        """Keeps the answer about a table; None is an answer without lineage."""
        self.journal.add(
            "INSERT INTO table_answers (table_name, outcome, body) VALUES (?, ?, ?)",
            (spelled_name(table), outcome, body),
        )
        if body is not None:
            self._find_columns_of([spelled_name(table)])

    def add_schemas(self, wanted: Wanted, schemas: Iterable[tuple[str, str]]) -> None:
        """Adds schemas, by the parts of their names, whose tables or columns are to be listed."""
        self.journal.add(
            "INSERT OR IGNORE INTO schemas (wanted, catalog, name) VALUES (?, ?, ?)",
            *((wanted, *schema) for schema in schemas),
        )

    def keep_columns(self, columns: Iterable[tuple[Sequence[str], list[str]]]) -> None:
        """Keeps the names of the columns of tables."""
        rows = [(spelled_name(table), names) for table, names in columns]
        self.journal.add(
            "INSERT OR IGNORE INTO listed_columns VALUES (?, ?)",
            *((table_name, msgspec.json.encode(names).decode()) for table_name, names in rows),
        )
        self._find_columns_of(table_name for table_name, _ in rows)

    def finish_schema(self, number: int) -> None:
        """Notes that what was wanted of a schema is known."""
        self.journal.add("UPDATE schemas SET is_done = 1 WHERE number = ?", (number,))

    def find_columns(self) -> None:
        """Adds the columns of all tables that have lineage and whose columns are known.

        A killed run may have learnt of both, and have put them together no more.
        """
        self.journal.add(_WITH_LINEAGE, ())

    def _find_columns_of(self, table_names: Iterable[str]) -> None:
        """The same for tables of which one of both has just become known."""
        named = f"{_WITH_LINEAGE} AND a.table_name = ?"
        self.journal.add(named, *((table_name,) for table_name in table_names))

    def keep_column(
        self, table: Sequence[str], name: str, outcome: Outcome, body: bytes | None
    ) -> None:
        """Keeps the answer about a column; None is an answer without lineage."""
        self.journal.add(
            "INSERT INTO column_answers (table_name, name, outcome, body) VALUES (?, ?, ?, ?)",
            (spelled_name(table), name, outcome, body),
        )

    def how_far(self) -> dict[str, tuple[int, int]]:
        """How many tables and columns are answered, and how many are known to be asked."""
        return {
            "tables": (self._height("table_answers"), self._height("tables")),
            "columns": (self._height("column_answers"), self._height("columns")),
        }

    def counts(self, *, with_columns: bool) -> dict[str, int]:
        """What was asked, and what gave no lineage, by reason."""
        counts = {"tables_asked": self._height("table_answers")}
        counts |= self._outcomes("tables", "table_answers")
        if with_columns:
            counts["columns_asked"] = self._height("column_answers")
            counts |= self._outcomes("columns", "column_answers")
            counts["tables_without_columns"] = self.journal.value(_WITHOUT_COLUMNS)
        counts |= self.journal.rows(
            "SELECT kind || '_' || outcome, count(*) FROM not_listed GROUP BY 1 ORDER BY 1"
        )
        return counts

    def failed(self, most: int) -> list[str]:
        """The first names of tables and columns that failed."""
        rows = self.journal.rows(_FAILED, most)
        return [name for (name,) in rows]

    def lines(self) -> Iterator[bytes]:
        """An object for each table with lineage, in the format of offline files, by name."""
        workspace_id, extracted_at = self.workspace_id, self.journal.begun_at
        for table_name, body in self.journal.rows(
            "SELECT table_name, body FROM table_answers WHERE body IS NOT NULL ORDER BY table_name"
        ):
            columns = self.journal.rows(
                "SELECT name, body FROM column_answers "
                "WHERE table_name = ? AND body IS NOT NULL ORDER BY name",
                table_name,
            )
            yield msgspec.json.encode(
                {
                    "table_name": table_name,
                    "table_lineage": msgspec.Raw(body),
                    "columns": {name: msgspec.Raw(answer) for name, answer in columns},
                    "extracted_at": extracted_at,
                    "workspace_id": workspace_id,
                }
            )

    def _height(self, table: str) -> int:
        return self.journal.value(f"SELECT max(number) FROM {table}") or 0  # noqa: S608

    def _outcomes(self, kind: str, table: str) -> dict[str, int]:
        found: dict[tuple[str, int], int] = {
            (outcome, is_empty): count
            for outcome, is_empty, count in self.journal.rows(
                f"SELECT outcome, body IS NULL, count(*) FROM {table} GROUP BY 1, 2"  # noqa: S608
            )
        }
        return {
            f"{kind}_without_lineage": found.get((Outcome.ANSWERED, 1), 0),
            f"{kind}_denied": found.get((Outcome.DENIED, 1), 0),
            f"{kind}_gone": found.get((Outcome.GONE, 1), 0),
            f"{kind}_failed": found.get((Outcome.FAILED, 1), 0),
        }
