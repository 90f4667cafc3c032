"""Measures the stages one after the other, and the baseline.

Files are generated first, once for each size. Every stage then runs in a process of its own, so
that the peak of its memory is its own, too. The time to start Python and to load dbminer is left
out.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from baseline import prepared_baseline
from measuring import in_fresh_process
from report import Measured, Results, as_markdown, machine
from stages import DAY_STAGES, Stage, popularity_stage, prepared_run
from workspace import Size, Workspace, generated, window_filler


def main() -> None:
    """Reads the command line, measures, prints, and writes where that is wanted."""
    options = _options()
    size = Size(options.statements, options.templates, options.users, options.tables)
    workspace = Workspace(options.work_dir, size, options.window_days)
    with _cleared(workspace, keep=options.keep):
        report = as_markdown(_results(workspace, options.sample), machine())
    print(report)
    if options.write:
        options.write.write_text(report + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Times every stage over one generated day.")
    parser.add_argument("--statements", type=int, default=1_000_000)
    parser.add_argument("--templates", type=int, default=20_000)
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--window-days", type=int, default=30, help="of popularity")
    parser.add_argument("--sample", type=int, default=3_000, help="statements of the baseline")
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path(tempfile.gettempdir()) / "dbminer-benchmark",
        help="generated files stay here",
    )
    parser.add_argument("--keep", action="store_true", help="result tables stay there, too")
    parser.add_argument("--write", type=Path, help="a Markdown file for the results")
    return parser.parse_args()


@contextmanager
def _cleared(workspace: Workspace, *, keep: bool) -> Iterator[None]:
    """Begins without result tables, and ends so unless they are to be kept."""
    workspace.clear()
    yield
    if not keep:
        workspace.clear()


def _results(workspace: Workspace, sample_size: int) -> Results:
    _say(f"Generating {workspace.size.statements:,} statements, unless they are there.")
    summary = generated(workspace)
    measured = [_measured(workspace, stage, summary) for stage in DAY_STAGES]
    measured.append(_measured(workspace, popularity_stage(1), summary))
    in_fresh_process(window_filler, workspace)
    days = workspace.window_days
    measured.append(_measured(workspace, popularity_stage(days), summary, days=days))
    _say(f"Baseline: parsing {sample_size:,} statements one by one.")
    parsed, cost = in_fresh_process(prepared_baseline, workspace, sample_size)
    return Results(summary, days, measured, Measured("plain sqlglot", parsed, cost))


def _measured(
    workspace: Workspace, stage: Stage, summary: dict[str, int], *, days: int = 1
) -> Measured:
    _, cost = in_fresh_process(prepared_run, workspace, stage)
    if stage.file_rows:
        rows = summary[stage.file_rows]
    else:
        rows = workspace.row_count(*stage.inputs, days=days)
    _say(f"{stage.name}: {rows:,} rows in {cost.seconds:.1f} s, {cost.peak_mb:,.0f} MB")
    return Measured(stage.name, rows, cost)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
