"""What a deployment knows, asked of its webserver as the UI asks."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Found = TypeVar("Found")

POLL_S = 0.5
FINISHED = ("SUCCESS", "FAILURE", "CANCELED")
FAILURES = ("ExecutionStepFailureEvent", "RunFailureEvent")
REPOSITORY = {"repositoryLocationName": "dbminer", "repositoryName": "__repository__"}


@dataclass(frozen=True, slots=True)
class Run:
    """A run.

    Attributes:
        status: As Dagster names it, such as `SUCCESS`.
        tags: Its tags.
    """

    run_id: str
    job_name: str
    status: str
    tags: dict[str, str]

    @property
    def days(self) -> tuple[str, str]:
        """Its first and its last day."""
        if day := self.tags.get("dagster/partition"):
            return day, day
        first, last = (f"dagster/asset_partition_range_{end}" for end in ("start", "end"))
        return self.tags.get(first, ""), self.tags.get(last, "")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run that a schedule asks for."""

    job_name: str
    tags: dict[str, str]


@dataclass(frozen=True, slots=True)
class GraphQL:
    """The API of the webserver at an address."""

    url: str

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """The data of an answer; the names of its fields lead to the interesting part.

        Raises:
            RuntimeError: The answer holds errors.
        """
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(  # noqa: S310 - http on loopback
            f"{self.url}/graphql", body, {"Content-Type": "application/json"}
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=60) as answer:
            found = json.load(answer)
        if "errors" in found:
            raise RuntimeError(json.dumps(found["errors"])[:2000])
        return found["data"]

    def is_ready(self) -> bool:
        """Whether the code is loaded."""
        query = """{ workspaceOrError { ... on Workspace {
            locationEntries { locationOrLoadError { __typename } } } } }"""
        try:
            entries = self.ask(query)["workspaceOrError"]["locationEntries"]
        except (OSError, RuntimeError):
            return False
        loaded = [(entry["locationOrLoadError"] or {}).get("__typename") for entry in entries]
        return loaded == ["RepositoryLocation"]

    def runs(self, *, limit: int = 200, **conditions: object) -> list[Run]:
        """Runs, the newest first.

        Args:
            limit: How many at most.
            **conditions: As fields of Dagster's `RunsFilter`.
        """
        query = """query($filter: RunsFilter, $limit: Int) {
            runsOrError(filter: $filter, limit: $limit) { ... on Runs { results {
                runId jobName status tags { key value } } } } }"""
        found = self.ask(query, filter=conditions, limit=limit)["runsOrError"]["results"]
        return [
            Run(
                each["runId"],
                each["jobName"],
                each["status"],
                {tag["key"]: tag["value"] for tag in each["tags"]},
            )
            for each in found
        ]

    def run(self, run_id: str) -> Run:
        """One run."""
        return self.runs(runIds=[run_id])[0]

    def messages(self, run_id: str) -> list[str]:
        """What the log of a run says."""
        query = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection {
            events { ... on MessageEvent { message } } } } }"""
        events = self.ask(query, id=run_id)["logsForRun"]["events"]
        return [event.get("message", "") for event in events]

    def launch(self, job: str, tags: dict[str, str]) -> str:
        """Puts a run of a job into the queue; its id."""
        query = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
            __typename
            ... on LaunchRunSuccess { run { runId } }
            ... on PythonError { message } } }"""
        selector = {**REPOSITORY, "jobName": job, "assetSelection": [], "assetCheckSelection": []}
        launched = [{"key": key, "value": value} for key, value in tags.items()]
        parameters = {
            "selector": selector,
            "mode": "default",
            "runConfigData": {},
            "executionMetadata": {"tags": launched},
        }
        answer = self.ask(query, params=parameters)["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise RuntimeError(json.dumps(answer))
        return answer["run"]["runId"]

    def why_failed(self, run_id: str) -> list[str]:
        """What the failures of a run and of its steps say."""
        query = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
            __typename
            ... on ExecutionStepFailureEvent { stepKey message error { message } }
            ... on RunFailureEvent { message error { message } } } } } }"""
        events = self.ask(query, id=run_id)["logsForRun"]["events"]
        return [
            " ".join(f"{event.get('stepKey', '')} {(event['error'] or event)['message']}".split())
            for event in events
            if event["__typename"] in FAILURES
        ]

    def materialised(self, asset: str) -> list[tuple[str, str]]:
        """First and last day of each stretch of days that Dagster calls materialised."""
        query = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) {
            ... on AssetNode { assetPartitionStatuses { ... on TimePartitionStatuses {
                ranges { startKey endKey status } } } } } }"""
        node = self.ask(query, key={"path": [asset]})["assetNodeOrError"]
        ranges = node["assetPartitionStatuses"]["ranges"]
        return [
            (each["startKey"], each["endKey"])
            for each in ranges
            if each["status"] == "MATERIALIZED"
        ]

    def checks(self, asset: str) -> dict[str, str | None]:
        """The newest outcome of each check of an asset; None for a check that never ran."""
        query = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) {
            ... on AssetNode { assetChecksOrError { ... on AssetChecks {
                checks { name executionForLatestMaterialization { status } } } } } } }"""
        node = self.ask(query, key={"path": [asset]})["assetNodeOrError"]
        return {
            check["name"]: (check["executionForLatestMaterialization"] or {}).get("status")
            for check in node["assetChecksOrError"]["checks"]
        }

    def freshness(self, asset: str) -> str:
        """What the freshness policy of an asset says of it, such as `HEALTHY`."""
        query = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) {
            ... on AssetNode { freshnessStatusInfo { freshnessStatus } } } }"""
        node = self.ask(query, key={"path": [asset]})["assetNodeOrError"]
        return node["freshnessStatusInfo"]["freshnessStatus"]

    def schedule(self, name: str) -> dict[str, Any]:
        """A schedule: its job, and its state with the newest ticks."""
        query = """query($selector: ScheduleSelector!) {
            scheduleOrError(scheduleSelector: $selector) {
            ... on Schedule { pipelineName scheduleState { id status
                ticks(limit: 5) { status skipReason runIds } } } } }"""
        selector = {**REPOSITORY, "scheduleName": name}
        return self.ask(query, selector=selector)["scheduleOrError"]

    def evaluate_schedule(self, name: str, timestamp: float) -> tuple[list[RunRequest], str]:
        """What a schedule asks for at a time, or why it asks for nothing; launches nothing.

        Raises:
            RuntimeError: The schedule failed.
        """
        query = """mutation($selector: ScheduleSelector!, $timestamp: Float) {
            scheduleDryRun(selectorData: $selector, timestamp: $timestamp) {
            __typename ... on DryRunInstigationTick { evaluationResult { skipReason
                error { message causes { message } } runRequests { tags { key value } } } } } }"""
        selector = {**REPOSITORY, "scheduleName": name}
        tick = self.ask(query, selector=selector, timestamp=timestamp)["scheduleDryRun"]
        job = self.schedule(name)["pipelineName"]
        result = tick.get("evaluationResult")
        if result is None or result["error"]:
            raise RuntimeError(json.dumps(tick))
        requests = [
            RunRequest(job, {tag["key"]: tag["value"] for tag in each["tags"]})
            for each in result["runRequests"] or []
        ]
        return requests, result["skipReason"] or ""

    def stop_schedule(self, name: str) -> None:
        """Switches a schedule off."""
        query = "mutation($id: String!) { stopRunningSchedule(id: $id) { __typename } }"
        self.ask(query, id=self.schedule(name)["scheduleState"]["id"])


def wait_until(condition: Callable[[], Found | None], timeout_s: float, what: str) -> Found:
    """The first true value of a condition.

    Raises:
        TimeoutError: There was none; it says what was waited for.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(POLL_S)
    raise TimeoutError(f"waited {timeout_s} s for {what}")
