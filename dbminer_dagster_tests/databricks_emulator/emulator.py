"""The emulator as tests and people use it."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Literal

from dbminer_dagster_tests.databricks_emulator.engine import Engine
from dbminer_dagster_tests.databricks_emulator.faults import Faults
from dbminer_dagster_tests.databricks_emulator.lineage_api import LineageApi
from dbminer_dagster_tests.databricks_emulator.lineage_tables import tables_of_lineage
from dbminer_dagster_tests.databricks_emulator.name_resolution import physical
from dbminer_dagster_tests.databricks_emulator.query_history_api import QueryHistoryApi
from dbminer_dagster_tests.databricks_emulator.rate_limits import RateLimits
from dbminer_dagster_tests.databricks_emulator.records import (
    Request,
    StatementLog,
    StatementRecord,
)
from dbminer_dagster_tests.databricks_emulator.server import EmulatorServer, serve
from dbminer_dagster_tests.databricks_emulator.thrift_service import ThriftService
from dbminer_dagster_tests.databricks_emulator.workspace import Workspace

AuthType = Literal["pat", "oauth-m2m", "azure-client-secret"]


class Emulator:
    """A running workspace on loopback.

    Attributes:
        workspace: Its state, free to be changed at any time.
        faults: What goes wrong next.
        engine: Its tables and statements.
        results: How results travel, and where they are cut off.
        links: The files of large results.
        history: The Query History API.
        lineage: The lineage API.
        host: `http://127.0.0.1:PORT`.
    """

    def __init__(self, port: int = 0) -> None:
        self.workspace = Workspace()
        self.faults = Faults()
        self._server = EmulatorServer(port, self.workspace, self.faults)
        self.host = self.workspace.host
        self._log = StatementLog()
        self.engine = Engine(self.workspace)
        service = ThriftService(self.workspace, self.engine, self.faults, self._log)
        self.results, self.links = service.results, service.links
        self._server.sql, self._server.links = service, self.links
        self.history = QueryHistoryApi(self.workspace, self.engine)
        self.lineage = LineageApi(self.workspace, self.engine)
        self._server.routes += (*self.history.routes, *self.lineage.routes)
        self._thread = serve(self._server)

    def close(self) -> None:
        """Stops to answer and frees everything."""
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join()
        self.engine.close()

    @property
    def requests(self) -> list[Request]:
        """The requests that were answered, in order."""
        return self._server.requests

    @property
    def rate_limits(self) -> RateLimits:
        """How many requests it takes, and how many it took and refused."""
        return self._server.rate_limits

    @property
    def statements(self) -> list[StatementRecord]:
        """The statements that clients ran, in the order in which they started."""
        return self._log.records

    @property
    def most_parallel_statements(self) -> int:
        """The greatest number of statements that ran at once."""
        return self._log.most_parallel

    def environment(self, auth_type: AuthType) -> dict[str, str]:
        """The variables with which the miner signs in here and uses the warehouse."""
        workspace = self.workspace
        common = {
            "DATABRICKS_HOST": self.host,
            "DATABRICKS_AUTH_TYPE": auth_type,
            "DBMINER_WAREHOUSE_ID": workspace.warehouse_id,
        }
        match auth_type:
            case "pat":
                return {**common, "DATABRICKS_TOKEN": workspace.user.secret}
            case "oauth-m2m":
                return {
                    **common,
                    "DATABRICKS_CLIENT_ID": workspace.service_principal.name,
                    "DATABRICKS_CLIENT_SECRET": workspace.service_principal.secret,
                }
            case "azure-client-secret":
                return {
                    **common,
                    "ARM_TENANT_ID": workspace.azure_service_principal.tenant_id or "",
                    "ARM_CLIENT_ID": workspace.azure_service_principal.name,
                    "ARM_CLIENT_SECRET": workspace.azure_service_principal.secret,
                    "DATABRICKS_AZURE_RESOURCE_ID": workspace.azure_resource_id,
                }

    def load_rows(self, full_name: str, rows: Iterable[Mapping[str, object]]) -> None:
        """Adds rows to a table; see `Engine.load_rows`."""
        self.engine.load_rows(full_name, rows)

    def load_files(self, folder: Path, shift_to: date | None = None) -> None:
        """Adds the rows of offline files; see `Engine.load_files`."""
        self.engine.load_files(folder, shift_to)

    def add_tables_of_lineage(self) -> None:
        """Makes the tables known that lineage names, so that lists show them."""
        with closing(self.engine.cursor()) as cursor:
            for table in tables_of_lineage(cursor):
                self.workspace.add_table(table)

    def adopt_workspace_id(self) -> None:
        """Lets the workspace be the one in which most of the loaded statements ran."""
        history = physical("system", "query", "history")
        count = f"SELECT workspace_id FROM {history} GROUP BY ALL ORDER BY count(*) DESC LIMIT 1"
        with closing(self.engine.cursor()) as cursor:
            for (workspace_id,) in cursor.execute(count).fetchall():
                self.workspace.workspace_id = workspace_id

    def load_parquet(self, full_name: str, path_glob: str) -> None:
        """Adds the rows of Parquet files to a table; see `Engine.load_parquet`."""
        self.engine.load_parquet(full_name, path_glob)

    def create_view(self, full_name: str, sql: str) -> None:
        """Makes a view; see `Engine.create_view`."""
        self.engine.create_view(full_name, sql)

    def drop_columns(self, full_name: str, *names: str) -> None:
        """Takes columns away from a table; see `Engine.drop_columns`."""
        self.engine.drop_columns(full_name, *names)

    def add_column(self, full_name: str, name: str, sql_type: str) -> None:
        """Adds an empty column to a table; see `Engine.add_column`."""
        self.engine.add_column(full_name, name, sql_type)


@contextmanager
def run_emulator(port: int = 0) -> Iterator[Emulator]:
    """Runs a workspace on loopback; all of it is granted to its principals.

    Args:
        port: Where it listens; any free port when 0.

    Yields:
        The emulator, ready for requests.
    """
    emulator = Emulator(port)
    try:
        yield emulator
    finally:
        emulator.close()
