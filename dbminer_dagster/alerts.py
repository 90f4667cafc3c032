"""The sensor that tells a webhook of runs that failed, and of checks that did.

Dagster's own `run_failure_sensor` moves on when its function raises, so that an alert would be
lost whenever the webhook cannot be reached. This one moves on once the alert is posted.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Literal

import dagster as dg
import msgspec
from pydantic import SecretStr

from dbminer_dagster.errors import AlertError
from dbminer_dagster.redaction import known_secrets, redacted
from dbminer_dagster.run_outcomes import days_of, faults
from dbminer_dagster.settings import Settings
from dbminer_dagster.webhook import VARIABLE, post

SECONDS_BETWEEN_TICKS = 30
EVENTS_AT_ONCE = 25
POSTS_AT_ONCE = 5
LONGEST_POSTING_S = 15.0
"""No further post begins then: one takes up to 40 seconds, and Dagster gives a tick 60."""
LISTED_FAULTS = 8
WILL_RETRY_TAG = "dagster/will_retry"
NO_JOB = "__"
"""Begins the name that Dagster gives to what is materialised without a job."""
End = Literal[dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_SUCCESS]
WATCHED: dict[str, End] = {
    "failed": dg.DagsterEventType.RUN_FAILURE,
    "succeeded": dg.DagsterEventType.RUN_SUCCESS,
}


class Cursor(msgspec.Struct):
    """How far the records of runs have been looked through.

    Attributes:
        failed: The last event of a run that failed.
        succeeded: The last event of one that succeeded: its checks may have failed.
        not_before: Until when the webhook asked to be left alone.
    """

    failed: int
    succeeded: int
    not_before: datetime | None = None


def run_failure_alert(settings: Settings) -> dg.SensorDefinition:
    """The sensor for these settings."""

    @dg.sensor(
        name="run_failure_alert",
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Posts each run that failed and is not retried, and each check of severity "
        "ERROR that failed, to `DBMINER_ALERT_WEBHOOK_URL`.",
    )
    def run_failure_alert(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        watch = _Watch(context, settings)
        if settings.alert_webhook_url is None:
            reason = f"Set {VARIABLE}; what fails from then on is posted."
            return _skipped(reason, watch.newest())
        cursor = _parsed(context.cursor)
        if cursor is None:
            return _skipped("What fails from now on is posted.", watch.newest())
        if cursor.not_before and datetime.now(UTC) < cursor.not_before:
            return _skipped(f"The webhook asked to wait until {cursor.not_before}.", cursor)
        cursor.not_before = None
        posted = watch.post_from(cursor, settings.alert_webhook_url)
        return _skipped("\n".join(posted) or "Nothing failed.", cursor)

    return run_failure_alert


def _skipped(reason: str, cursor: Cursor) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=reason, cursor=msgspec.json.encode(cursor).decode())


def _parsed(text: str | None) -> Cursor | None:
    try:
        return msgspec.json.decode(text or "", type=Cursor)
    except msgspec.DecodeError:
        return None


@dataclass(frozen=True, slots=True)
class _Watch:
    """The runs of this code location, as one tick finds them."""

    context: dg.SensorEvaluationContext
    settings: Settings

    def newest(self) -> Cursor:
        """The end of what has been recorded."""
        newest = {}
        for outcome, event_type in WATCHED.items():
            found = self.context.instance.fetch_run_status_changes(event_type, limit=1)
            newest[outcome] = max((record.storage_id for record in found.records), default=0)
        return Cursor(**newest)

    def post_from(self, cursor: Cursor, url: SecretStr) -> list[str]:
        """Posts what comes after the cursor, and moves it behind what is posted.

        Returns:
            What was posted, and why it ended before all was.

        Raises:
            AlertError: The webhook did not take the first alert.
        """
        posted, begun = list[str](), time.monotonic()
        for outcome, storage_id, run in self._ended_after(cursor):
            alert = self._alert(outcome, run) if run else None
            if run and alert:
                if len(posted) == POSTS_AT_ONCE or time.monotonic() - begun > LONGEST_POSTING_S:
                    return [*posted, "The others come with the next tick."]
                try:
                    post(url, {"text": alert})
                except AlertError as error:
                    if error.wait_s is not None:
                        cursor.not_before = datetime.now(UTC) + timedelta(seconds=error.wait_s)
                    elif not posted:
                        raise
                    return [*posted, str(error)]
                posted.append(f"Posted that run {run.run_id} of {run.job_name} {outcome}.")
            setattr(cursor, outcome, storage_id)
        return posted

    def _ended_after(self, cursor: Cursor) -> Iterator[tuple[str, int, dg.DagsterRun | None]]:
        """Outcomes of runs with the storage ids of their events; the run, where it is ours."""
        for outcome, event_type in WATCHED.items():
            wanted = dg.RunStatusChangeRecordsFilter(
                event_type, after_storage_id=getattr(cursor, outcome)
            )
            found = self.context.instance.fetch_run_status_changes(
                wanted, limit=EVENTS_AT_ONCE, ascending=True
            )
            for record in found.records:
                run = self.context.instance.get_run_by_id(record.run_id)
                yield outcome, record.storage_id, run if run and self._is_ours(run) else None

    def _is_ours(self, run: dg.DagsterRun) -> bool:
        """Other code locations of the same Dagster have alerts of their own."""
        ours, origin = self.context.code_location_origin, run.remote_job_origin
        theirs = origin.repository_origin.code_location_origin if origin else None
        return (ours and ours.location_name) == (theirs and theirs.location_name)

    def _alert(self, outcome: str, run: dg.DagsterRun) -> str | None:
        """The text for a run; None if there is nothing to tell."""
        if run.tags.get(WILL_RETRY_TAG) == "true":
            return None
        found = faults(self.context.instance, run)
        if outcome == "succeeded" and not found:
            return None
        job = "A run without a job" if run.job_name.startswith(NO_JOB) else run.job_name
        days = days_of(run)
        end = "failed" if outcome == "failed" else "succeeded, but checks failed"
        listed = [f"• {fault}" for fault in found[:LISTED_FAULTS]]
        more = [f"… and {len(found) - LISTED_FAULTS} more"] if len(found) > LISTED_FAULTS else []
        lines = [f"dbminer: {job}{f' for {days}' if days else ''} {end}.", *listed, *more]
        text = redacted("\n".join(lines), known_secrets(self.settings))
        # Slack takes these for markup, by which a text could call everybody in a channel.
        return f"{escape(text, quote=False)}\nRun {self._link(run)}"

    def _link(self, run: dg.DagsterRun) -> str:
        base = self.settings.webserver_url
        return f"{base}/runs/{run.run_id}" if base else run.run_id
