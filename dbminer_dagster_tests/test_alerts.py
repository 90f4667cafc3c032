"""The alert of a failed run: what it tells, to whom, and that none is lost or told twice."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import msgspec
import pytest

from dbminer_dagster import alerts, webhook
from dbminer_dagster.alerts import POSTS_AT_ONCE, WILL_RETRY_TAG, Cursor
from dbminer_dagster.automation import range_tags
from dbminer_dagster.definitions import build_definitions
from dbminer_dagster.errors import AlertError, SourceError
from dbminer_dagster.failures import user_errors
from dbminer_dagster.settings import Settings, load_settings
from dbminer_dagster.windows import Window
from dbminer_dagster_tests.pipeline import FIRST_DAY, JOB, Pipeline
from dbminer_dagster_tests.webhook_server import Answer, WebhookServer, run_webhook_server

TOKEN = "dapi0123456789abcdef0123456789abcdef"
DAYS = Window(FIRST_DAY, FIRST_DAY + timedelta(days=2))


@pytest.fixture
def server(no_databricks: pytest.MonkeyPatch) -> Iterator[WebhookServer]:
    """A webhook, reached without a proxy; nobody waits between attempts."""
    no_databricks.setattr(webhook.time, "sleep", lambda _: None)
    with run_webhook_server() as found:
        yield found


@pytest.fixture
def settings(server: WebhookServer) -> Settings:
    """Settings that name the webhook."""
    return load_settings(
        alert_webhook_url=server.url,
        webserver_url="https://dagster.example/",
        databricks_token=TOKEN,
    )


class Watcher:
    """The sensor, tick after tick."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings = settings
        self.instance = instance
        self.cursor: str | None = None

    def tick(self) -> str:
        """One tick; what it says. When it fails, the cursor stays, as in Dagster's daemon."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        found = alerts.run_failure_alert(self.settings)(context)
        assert isinstance(found, dg.SensorResult)
        assert found.skip_reason is not None
        self.cursor = found.cursor
        return found.skip_reason.skip_message or ""


@pytest.fixture
def watcher(settings: Settings, instance: dg.DagsterInstance) -> Watcher:
    """The sensor after its first tick, with which it begins to watch."""
    found = Watcher(settings, instance)
    assert found.tick() == "What fails from now on is posted."
    return found


def run(
    instance: dg.DagsterInstance, error: Exception | None = None, **tags: str
) -> dg.ExecuteInProcessResult:
    """A run that raises the error in its step, as our assets do."""

    @dg.op
    def read_source() -> None:
        with user_errors():
            if error:
                raise error

    @dg.job(name="mine")
    def mine() -> None:
        read_source()

    return mine.execute_in_process(
        instance=instance, tags=range_tags(DAYS) | tags, raise_on_error=False
    )


def test_a_failed_run_is_told(
    watcher: Watcher, server: WebhookServer, instance: dg.DagsterInstance
) -> None:
    """The alert names job, days, failed step, the first words of the error, and links the run."""
    failed = run(instance, SourceError("No rows for 2026-01-05. Choose another day."))

    said = watcher.tick()

    assert server.posted == [
        {
            "text": f"dbminer: mine for {DAYS} failed.\n"
            "• read_source: No rows for 2026-01-05. Choose another day.\n"
            f"Run https://dagster.example/runs/{failed.run_id}"
        }
    ]
    assert said == f"Posted that run {failed.run_id} of mine failed."


def test_without_an_address_of_the_ui_the_run_is_named(
    settings: Settings, instance: dg.DagsterInstance, server: WebhookServer
) -> None:
    """A link needs to know where the UI is."""
    watcher = Watcher(settings.model_copy(update={"webserver_url": None}), instance)
    watcher.tick()
    failed = run(instance, SourceError("No."))
    watcher.tick()

    assert server.texts[0].endswith(f"\nRun {failed.run_id}")


def test_an_alert_is_told_once(
    watcher: Watcher, server: WebhookServer, instance: dg.DagsterInstance
) -> None:
    """The next tick goes on behind what was posted."""
    run(instance, SourceError("No."))
    run(instance)

    watcher.tick()

    assert watcher.tick() == "Nothing failed."
    assert len(server.posted) == 1


def test_what_failed_before_is_not_told(
    settings: Settings, instance: dg.DagsterInstance, server: WebhookServer
) -> None:
    """Whoever switches the sensor on is not told of old failures."""
    run(instance, SourceError("No."))
    watcher = Watcher(settings, instance)

    watcher.tick()

    assert watcher.tick() == "Nothing failed."
    assert server.posted == []


def test_no_alert_is_lost_while_the_webhook_is_away(
    watcher: Watcher, server: WebhookServer, instance: dg.DagsterInstance
) -> None:
    """The tick fails with what to do, and the next one posts the same alert."""
    failed = run(instance, SourceError("No."))
    server.answers = [Answer(404)]

    with pytest.raises(AlertError, match="it answered 404") as caught:
        watcher.tick()
    assert "hush" not in str(caught.value)
    assert server.posted == []

    watcher.tick()
    assert failed.run_id in server.texts[0]


def test_alerts_that_arrived_are_not_posted_again(
    watcher: Watcher, server: WebhookServer, instance: dg.DagsterInstance
) -> None:
    """When the webhook goes away between two alerts, the next tick begins with the second."""
    first, second = (run(instance, SourceError(text)) for text in ("One.", "Two."))
    server.answers = [Answer(), Answer(404)]

    said = watcher.tick()
    watcher.tick()

    assert "it answered 404" in said
    assert [each.run_id in text for each, text in zip((first, second), server.texts, strict=True)]
    assert ["One." in text for text in server.texts] == [True, False]


def test_a_webhook_is_left_alone_as_long_as_it_asks(
    watcher: Watcher, server: WebhookServer, instance: dg.DagsterInstance
) -> None:
    """Ticks do not post before the time that the webhook named; then the alert comes."""
    run(instance, SourceError("No."))
    server.answers = [Answer(429, {"Retry-After": "600"})]

    watcher.tick()
    said = watcher.tick()

    assert said.startswith("The webhook asked to wait until ")
    assert server.requests == 1
    cursor = msgspec.json.decode(watcher.cursor or "", type=Cursor)
    assert cursor.not_before is not None
    assert cursor.not_before > datetime.now(UTC)
    cursor.not_before = datetime.now(UTC)
    watcher.cursor = msgspec.json.encode(cursor).decode()
    watcher.tick()
    assert len(server.posted) == 1


def test_a_flood_is_posted_tick_by_tick(
    watcher: Watcher, server: WebhookServer, instance: dg.DagsterInstance
) -> None:
    """A tick posts a few alerts, and the next one goes on."""
    failed = [run(instance, SourceError("No.")).run_id for _ in range(POSTS_AT_ONCE + 1)]

    said = watcher.tick()
    watcher.tick()

    assert "The others come with the next tick." in said
    told = [text.rpartition("/")[2] for text in server.texts]
    assert told == failed


def test_a_run_that_is_retried_is_not_told(
    watcher: Watcher, server: WebhookServer, instance: dg.DagsterInstance
) -> None:
    """Dagster starts it again by itself; the last attempt tells if it fails too."""
    run(instance, SourceError("No."), **{WILL_RETRY_TAG: "true"})

    assert watcher.tick() == "Nothing failed."
    assert server.posted == []


@pytest.mark.parametrize(
    "text",
    [
        f"401 for token {TOKEN}",
        "https://user:hush-hush@host refused",
        "password=hush-hush",
        "<!channel> <https://evil.example|click>",
    ],
)
def test_nothing_secret_is_told(
    text: str, watcher: Watcher, server: WebhookServer, instance: dg.DagsterInstance
) -> None:
    """Errors of libraries may hold anything: credentials and markup do not leave."""
    run(instance, RuntimeError(text))

    watcher.tick()

    (told,) = server.texts
    assert "RuntimeError: " in told
    assert not [word for word in (TOKEN, "hush", "<!", "<http") if word in told]


def test_long_errors_are_cut(
    watcher: Watcher, server: WebhookServer, instance: dg.DagsterInstance
) -> None:
    """The first lines are enough to know; the link leads to the others."""
    run(instance, SourceError("\n".join(f"line {number} " + "x" * 50 for number in range(500))))

    watcher.tick()

    (told,) = server.texts
    assert "line 4" in told
    assert "line 5" not in told
    assert len(told) < 1000


def test_a_failed_check_is_told(
    watcher: Watcher, server: WebhookServer, instance: dg.DagsterInstance
) -> None:
    """A check of severity ERROR does not fail the run, and is told; one that warns is not."""

    @dg.asset(
        check_specs=[dg.AssetCheckSpec(name, asset="scores") for name in ("keys", "days", "age")]
    )
    def scores() -> dg.MaterializeResult:
        return dg.MaterializeResult(
            check_results=[
                dg.AssetCheckResult(
                    check_name="keys", passed=False, description="2 keys stand twice."
                ),
                dg.AssetCheckResult(
                    check_name="days", passed=False, severity=dg.AssetCheckSeverity.WARN
                ),
                dg.AssetCheckResult(check_name="age", passed=True),
            ]
        )

    found = dg.materialize([scores], instance=instance)
    assert found.success

    watcher.tick()

    assert server.texts == [
        "dbminer: A run without a job succeeded, but checks failed.\n"
        "• check keys of scores: 2 keys stand twice.\n"
        f"Run https://dagster.example/runs/{found.run_id}"
    ]


def test_a_run_that_broke_before_its_steps_is_told(
    watcher: Watcher, server: WebhookServer, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """Where no step failed, the alert tells why the run did."""
    pipeline = Pipeline(str(tmp_path / "files"), str(tmp_path / "tables"))
    job = build_definitions(pipeline.settings).resolve_job_def(JOB)
    config = {"resources": {"mining_options": {"config": {"popularity_window_days": 31}}}}
    job.execute_in_process(
        instance=instance, tags=range_tags(DAYS), run_config=config, raise_on_error=False
    )

    watcher.tick()

    (told,) = server.texts
    assert f"{JOB} for {DAYS} failed." in told
    assert "SettingsError: Run configuration, resources.mining_options.config: " in told
    assert "popularity_window_days is 31" in told


def test_a_failed_preflight_is_told_with_its_remedy(
    watcher: Watcher, server: WebhookServer, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """The blocking checks say what is missing, and so does the alert, once for each source."""
    pipeline = Pipeline(str(tmp_path / "files"), str(tmp_path / "tables"))
    assert not pipeline.mine(DAYS, instance=instance).success

    watcher.tick()

    (told,) = server.texts
    assert "• preflight_lineage: The preflight of lineage failed" in told
    assert told.count("Set DBMINER_OFFLINE_URI to the folder") == 2


def test_without_a_webhook_the_tick_says_so(
    instance: dg.DagsterInstance, server: WebhookServer
) -> None:
    """The sensor asks for its setting, and does not pile up what fails until then."""
    watcher = Watcher(load_settings(), instance)
    assert watcher.tick().startswith("Set DBMINER_ALERT_WEBHOOK_URL")
    run(instance, SourceError("No."))
    watcher.tick()

    watcher.settings = load_settings(alert_webhook_url=server.url)

    assert watcher.tick() == "Nothing failed."


def test_a_cursor_of_somebody_else_is_replaced(watcher: Watcher) -> None:
    """What is no cursor of ours begins anew."""
    watcher.cursor = "nonsense"

    assert watcher.tick() == "What fails from now on is posted."


def test_runs_of_others_do_not_stop_the_sensor(
    watcher: Watcher,
    server: WebhookServer,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Runs of another code location are passed over, however many there are."""
    monkeypatch.setattr(alerts, "EVENTS_AT_ONCE", 1)
    others = {run(instance, SourceError("No.")).run_id for _ in range(2)}
    ours = run(instance, SourceError("No.")).run_id
    is_ours = alerts._Watch._is_ours  # noqa: SLF001
    monkeypatch.setattr(
        alerts._Watch,  # noqa: SLF001
        "_is_ours",
        lambda watch, found: found.run_id not in others and is_ours(watch, found),
    )

    for _ in range(3):
        watcher.tick()

    (told,) = server.texts
    assert ours in told


def test_the_sensor_is_stopped_until_switched_on(settings: Settings) -> None:
    """Loading the definitions posts nothing."""
    found = build_definitions(settings).resolve_sensor_def("run_failure_alert")

    assert found.default_status is dg.DefaultSensorStatus.STOPPED
