"""The findings as a table on the terminal, and as JSON."""

import json
from collections import defaultdict
from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dbminer_dagster.preflight.model import (
    Finding,
    Source,
    SourceReport,
    Status,
    Verdict,
    verdict,
)

Reports = Mapping[Source, SourceReport]
NAME_WIDTH = 28
RESULT_WIDTH = 7
_STYLES = {
    Status.PASSED: "green",
    Status.WARNING: "yellow",
    Status.FAILED: "bold red",
    Status.SKIPPED: "dim",
}
_MEANINGS = {
    Verdict.READY: "every check passed",
    Verdict.PARTIAL: "a run may go on; read the warnings",
    Verdict.NOT_READY: "repair what failed, from the top",
}


def overall_verdict(reports: Reports) -> Verdict:
    """The verdict on all sources together."""
    return verdict(finding.status for report in reports.values() for finding in report.findings)


def has_wrong_setting(reports: Reports) -> bool:
    """Whether something failed for a setting that is missing or not allowed."""
    findings = (finding for report in reports.values() for finding in report.findings)
    return any(finding.answer.is_wrong_setting for finding in findings)


def as_json(reports: Reports) -> str:
    """The findings for programs."""
    sources = {
        source.value: {"method": report.method.value, "verdict": report.verdict.value}
        for source, report in reports.items()
    }
    checks = [
        {
            "source": source.value,
            "name": finding.probe.name,
            "status": finding.status.value,
            "tried": finding.probe.tries,
            "answer": finding.answer.text,
            "remedy": finding.remedy,
            "duration_ms": finding.duration_ms,
        }
        for source, report in reports.items()
        for finding in report.findings
    ]
    found = {"verdict": overall_verdict(reports).value, "sources": sources, "checks": checks}
    return json.dumps(found, indent=2, ensure_ascii=False)


def print_reports(reports: Reports) -> None:
    """Prints one line for each check, then what to do about those that did not pass."""
    # Texts may hold square brackets, which would count as markup.
    console = Console(markup=False, highlight=False)
    for source, report in reports.items():
        title = f"{source.value.replace('_', ' ')} by {report.method.value}: {report.verdict.value}"
        console.print(f"\n{title}", style="bold")
        console.print(_table(report))
    for finding, sources in _repairs(reports).items():
        label = f"{finding.probe.name} ({', '.join(source.value for source in sources)})"
        console.print(f"\n{finding.status.value}: {label}", style=_STYLES[finding.status])
        # Not wrapped: statements are copied from here.
        for line in (f"tried: {finding.probe.tries}", *finding.summary.splitlines()):
            console.print(f"  {line}", soft_wrap=True)
    found = overall_verdict(reports)
    console.print(f"\nverdict: {found.value} ({_MEANINGS[found]})", style="bold")


def _table(report: SourceReport) -> Table:
    shown = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), expand=True)
    shown.add_column("check", no_wrap=True, min_width=NAME_WIDTH)
    shown.add_column("result", no_wrap=True, min_width=RESULT_WIDTH)
    shown.add_column("answer", overflow="fold", ratio=1)
    for finding in report.findings:
        status = Text(finding.status.value, style=_STYLES[finding.status])
        answer = " ".join(finding.answer.text.split())
        shown.add_row(Text(finding.probe.name), status, Text(answer))
    return shown


def _repairs(reports: Reports) -> dict[Finding, list[Source]]:
    """What did not pass, each once, with the sources that it is about."""
    found = defaultdict(list)
    for source, report in reports.items():
        for finding in report.findings:
            if finding.status in {Status.FAILED, Status.WARNING}:
                found[finding].append(source)
    return found
