"""The SQL engine of the emulated warehouse: DuckDB over tables with Databricks' names and types."""

import tempfile
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa

from dbminer_dagster_tests.databricks_emulator import loading
from dbminer_dagster_tests.databricks_emulator.column_types import (
    converted,
    databricks_type,
    duckdb_type,
    result_type,
)
from dbminer_dagster_tests.databricks_emulator.information_schema import select_visible
from dbminer_dagster_tests.databricks_emulator.metadata_statements import metadata_answer
from dbminer_dagster_tests.databricks_emulator.name_resolution import (
    Namespace,
    Resolver,
    physical,
)
from dbminer_dagster_tests.databricks_emulator.results import Answer
from dbminer_dagster_tests.databricks_emulator.sql_dialect import MACROS, parse, translated
from dbminer_dagster_tests.databricks_emulator.sql_errors import from_duckdb
from dbminer_dagster_tests.databricks_emulator.sql_parameters import Parameters
from dbminer_dagster_tests.databricks_emulator.system_tables import SYSTEM_TABLES
from dbminer_dagster_tests.databricks_emulator.workspace import (
    Column,
    Principal,
    Table,
    Workspace,
)

_BATCH_ROWS = 50_000
TIME_ZONE = "Etc/UTC"
"""As warehouses call UTC in the types of their results."""


class Engine:
    """Keeps the tables and runs statements.

    Attributes:
        folder: A folder for files, gone with the engine.
        changes: Grows with each change of what a table holds.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._temporary = tempfile.TemporaryDirectory(prefix="databricks-emulator-")
        self.folder = Path(self._temporary.name)
        self._connection = duckdb.connect(config={"temp_directory": str(self.folder / "spilled")})
        self._lock = threading.Lock()
        self._views: dict[str, str] = {}
        self.changes = 0
        self._connection.execute(f"SET TimeZone = '{TIME_ZONE}'; {MACROS}")
        for parts, columns in SYSTEM_TABLES.items():
            self._create_table(parts, columns)

    def close(self) -> None:
        """Frees everything."""
        with self._lock:
            self._connection.close()
        self._temporary.cleanup()

    def cursor(self, time_zone: str = TIME_ZONE) -> duckdb.DuckDBPyConnection:
        """A connection of its own, for one statement."""
        with self._lock:
            cursor = self._connection.cursor()
        cursor.execute(f"SET TimeZone = {loading.text(time_zone)}")
        return cursor

    def run(
        self,
        cursor: duckdb.DuckDBPyConnection,
        statement: str,
        parameters: Parameters,
        principal: Principal,
        namespace: Namespace,
    ) -> Answer:
        """Runs a statement of Databricks SQL up to its first rows.

        Args:
            cursor: Where it runs; `interrupt` stops it.
            statement: Its text.
            parameters: The values of its markers.
            principal: Who runs it.
            namespace: Where short names are looked up.

        Raises:
            SqlError: It fails, as it would in Databricks.
        """
        resolver = self._resolver(cursor, principal, namespace)
        table = metadata_answer(statement, self._workspace, principal, resolver)
        if table is not None:
            return Answer(table.schema, iter(table.to_batches()))
        query = translated(parse(statement), parameters, principal.name, resolver.source)
        try:
            relation = cursor.sql(query)
            reader = relation.to_arrow_reader(_BATCH_ROWS)
        except duckdb.Error as error:
            raise from_duckdb(str(error)) from error
        types = [str(kind) for kind in relation.types]
        schema = pa.schema(
            pa.field(field.name, result_type(field.type, kind))
            for field, kind in zip(reader.schema, types, strict=True)
        )
        return Answer(schema, _converted_batches(reader, schema))

    def load_rows(self, full_name: str, rows: Iterable[Mapping[str, object]]) -> None:
        """Adds rows to a table; columns that a row lacks are NULL.

        Args:
            full_name: Such as `system.access.table_lineage`; its `event_date` follows from
                `event_time` where it is missing.
            rows: By column; times in ISO form, UTC when nothing else is said.

        Raises:
            ValueError: A row has a column that the table lacks.
        """
        columns = self._columns(full_name)
        path = self.folder / f"{uuid.uuid4().hex}.json"
        try:
            loading.write_lines(path, rows, columns)
            self._insert(full_name, loading.select_json([path], columns))
        finally:
            path.unlink(missing_ok=True)

    def load_files(self, folder: Path, shift_to: date | None = None) -> None:
        """Adds the rows of offline files, JSON lines with rows of system tables.

        Args:
            folder: It holds `extracted-lineage/` or `extracted-query-history/` or both.
            shift_to: The day to which the newest of them is moved, and all others with it.

        Raises:
            ValueError: A file holds answers of the REST API, or there is no file.
        """
        found = {
            full_name: (paths, self._columns(full_name), condition)
            for full_name, subfolder, condition in loading.OFFLINE_FILES
            if (paths := sorted((Path(folder) / subfolder).glob("result-*.json*")))
        }
        if not found:
            raise ValueError(f"{folder} holds no offline files.")
        shift_days = 0
        if shift_to:
            newest = (self._newest_day(*source) for source in found.values())
            shift_days = (shift_to - max(day for day in newest if day)).days
        for full_name, source in found.items():
            self._insert(full_name, loading.select_json(*source, shift_days))

    def load_parquet(self, full_name: str, path_glob: str) -> None:
        """Puts the rows of Parquet files in the place of a table; they are read where they are."""
        columns = self._columns(full_name)
        files = self._connection.sql(f"SELECT * FROM read_parquet({loading.text(path_glob)})")
        place = physical(*_parts(full_name))
        kind = "VIEW" if full_name in self._views else "TABLE"
        self._connection.execute(f"DROP {kind} {place}")
        self._set_view(full_name, loading.select_parquet(path_glob, columns, files.columns))

    def create_view(self, full_name: str, sql: str) -> None:
        """Makes a view over a query of Databricks SQL, and its catalog and schema if need be."""
        resolver = self._resolver(self._connection, None, Namespace())
        query = translated(parse(sql), Parameters(None), "admin", resolver.source)
        self._create_schema(_parts(full_name))
        self._set_view(full_name, query)

    def drop_columns(self, full_name: str, *names: str) -> None:
        """Takes columns away from a table or view."""
        if full_name in self._views:
            left_out = ", ".join(map(loading.quoted, names))
            self._set_view(
                full_name, f"SELECT * EXCLUDE ({left_out}) FROM ({self._views[full_name]})"
            )
            return
        for name in names:
            self._alter(full_name, f"DROP COLUMN {loading.quoted(name)}")

    def add_column(self, full_name: str, name: str, sql_type: str) -> None:
        """Adds a column that is NULL in every row; its type as Databricks SQL writes it."""
        column, kind = loading.quoted(name), duckdb_type(sql_type)
        if full_name in self._views:
            value = f"CAST(NULL AS {kind}) AS {column}"
            self._set_view(full_name, f"SELECT *, {value} FROM ({self._views[full_name]})")
        else:
            self._alter(full_name, f"ADD COLUMN {column} {kind}")

    def _resolver(
        self,
        cursor: duckdb.DuckDBPyConnection,
        principal: Principal | None,
        namespace: Namespace,
    ) -> Resolver:
        def information_schema(catalog: str, name: str) -> str:
            return select_visible(cursor, self._workspace, principal, catalog, name)

        return Resolver(self._workspace, principal, namespace, information_schema)

    def _columns(self, full_name: str) -> dict[str, str]:
        """Columns of a table with DuckDB's names of their types."""
        relation = self._connection.sql(f"FROM {physical(*_parts(full_name))}")
        return dict(zip(relation.columns, map(str, relation.types), strict=True))

    def _insert(self, full_name: str, select: str) -> None:
        try:
            self._connection.execute(f"INSERT INTO {physical(*_parts(full_name))} BY NAME {select}")
        except duckdb.InvalidInputException as error:
            raise ValueError(f"{full_name} cannot be filled: {error}") from error
        self.changes += 1

    def _newest_day(
        self, paths: Iterable[Path], columns: loading.Columns, condition: str
    ) -> date | None:
        """The newest day of rows in files; none without rows."""
        time = "event_time" if "event_time" in columns else "start_time"
        rows = loading.select_json(paths, {time: columns[time]}, condition)
        newest = f"SELECT CAST(max({time}) AS DATE) FROM ({rows})"
        return self._connection.execute(newest).fetchall()[0][0]

    def _alter(self, full_name: str, change: str) -> None:
        self._connection.execute(f"ALTER TABLE {physical(*_parts(full_name))} {change}")
        self._publish(_parts(full_name), "MANAGED")

    def _create_table(self, parts: tuple[str, str, str], columns: Mapping[str, str]) -> None:
        self._create_schema(parts)
        listed = ", ".join(
            f"{loading.quoted(name)} {duckdb_type(kind)}" for name, kind in columns.items()
        )
        self._connection.execute(f"CREATE TABLE {physical(*parts)} ({listed})")
        self._publish(parts, "MANAGED")

    def _create_schema(self, parts: tuple[str, str, str]) -> None:
        schema = loading.quoted(f"{parts[0]}.{parts[1]}".lower())
        self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")

    def _set_view(self, full_name: str, select: str) -> None:
        parts = _parts(full_name)
        self._connection.execute(f"CREATE OR REPLACE VIEW {physical(*parts)} AS {select}")
        self._views[full_name] = select
        self._publish(parts, "MANAGED" if parts in SYSTEM_TABLES else "VIEW")

    def _publish(self, parts: tuple[str, str, str], table_type: str) -> None:
        """Makes a table known to the workspace, with the columns that it has now."""
        schema = self._connection.sql(f"FROM {physical(*parts)} LIMIT 0").to_arrow_table().schema
        columns = tuple(Column(field.name, databricks_type(field.type)) for field in schema)
        self._workspace.add_table(Table(*parts, table_type=table_type, columns=columns))
        self.changes += 1


def _parts(full_name: str) -> tuple[str, str, str]:
    catalog, schema, name = full_name.split(".")
    return catalog, schema, name


def _converted_batches(reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    try:
        for batch in reader:
            yield converted(batch, schema)
    except (OSError, pa.ArrowInvalid, duckdb.Error) as error:
        raise from_duckdb(str(error)) from error
