"""One deployment and one browser for all end-to-end tests."""

import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from sample_generator import generate

from dbminer_dagster_tests.databricks_emulator import Emulator, run_emulator
from dbminer_dagster_tests.e2e.deployment import Deployment, run_deployment
from dbminer_dagster_tests.e2e.postgres import Postgres, run_postgres

DAYS = 12
LAG_DAYS = 2
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking")
WAITS = {
    "run_monitoring": {
        "poll_interval_seconds": 3,
        "max_runtime_seconds": 60,
        "free_slots_after_run_end_seconds": 1,
    },
    "run_queue": {"user_code_failure_retry_delay": 3, "dequeue_interval_seconds": 1},
}
"""What the tests cannot wait for as long as a deployment does."""


@pytest.fixture(scope="session")
def first_day() -> date:
    """The first of the days that can be mined; the last is two days ago."""
    return datetime.now(UTC).date() - timedelta(days=LAG_DAYS + DAYS - 1)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory, first_day: date) -> Iterator[Emulator]:
    """A workspace with statements and lineage up to yesterday."""
    files = tmp_path_factory.mktemp("files")
    generate(
        files,
        first_day=first_day,
        days=DAYS + LAG_DAYS - 1,
        statements_per_day=200,
        seed=3,
        system_rows_only=True,
    )
    with run_emulator() as emulator:
        emulator.load_files(files)
        emulator.add_tables_of_lineage()
        yield emulator


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The database of the deployment."""
    with run_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the result tables."""
    return tmp_path_factory.mktemp("tables")


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the base class names it
        """Nothing."""


@pytest.fixture(scope="session")
def reports_url(storage: Path) -> Iterator[str]:
    """Where the folder of the reports is served."""
    folder = str(storage / "reports")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def deployment(
    tmp_path_factory: pytest.TempPathFactory,
    postgres: Postgres,
    workspace: Emulator,
    storage: Path,
    reports_url: str,
    first_day: date,
) -> Iterator[Deployment]:
    """The shipped deployment over the workspace; its schedule ticks each minute."""
    folder = tmp_path_factory.mktemp("deployment")
    settings = {
        **workspace.environment("pat"),
        "DBMINER_START_DATE": first_day.isoformat(),
        "DBMINER_SCHEDULE": "* * * * *",
        "DBMINER_STORAGE_URI": str(storage),
        "DBMINER_REPORTS_URL": reports_url,
        "DBMINER_WORK_FOLDER": str(folder / "work"),
    }
    with run_deployment(folder / "home", postgres, settings, WAITS) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, the system's own or else Playwright's."""
    installed = next(filter(None, map(shutil.which, CHROMIUM)), None)
    with sync_playwright() as playwright:
        program = installed or playwright.chromium.executable_path
        if not Path(program).exists():
            pytest.skip(f"There is no browser: none of {', '.join(CHROMIUM)} is installed.")
        browser = playwright.chromium.launch(executable_path=program, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, deployment: Deployment) -> Iterator[Page]:
    """A fresh tab on the deployment; paths are relative to it."""
    with browser.new_context(
        base_url=deployment.url, viewport={"width": 1400, "height": 900}
    ) as context:
        yield context.new_page()
