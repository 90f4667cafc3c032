"""Measures dbminer on whole workloads, and the other tools on samples of the same texts."""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
from measuring import in_fresh_process
from peer_chart import chart
from peer_report import Comparison, Rate, as_markdown
from peer_texts import Texts, prepared_parser, sampled
from peer_tools import PEERS, Peer, reading_of
from report import machine
from stages import COLD_STAGE, FILTER_STAGE, RAW_STAGES, prepared_run
from workspace import DAY, Size, Workspace, generated

from dbminer_dagster.schemas import FILTERED_QUERIES
from dbminer_dagster.windows import Window

HISTORY_STAGE, LINEAGE_STAGE = RAW_STAGES


def main() -> None:
    """Reads the command line, measures, prints, and writes where that is wanted."""
    options = _options()
    shape = (options.templates, options.users, options.tables)
    workloads = {
        "with repetition": Size(options.statements, *shape),
        "without repetition": Size(options.unique_statements, *shape, unique_texts=True),
    }
    peers = [peer for peer in PEERS if peer.key in options.tools.split(",")]
    comparisons = [
        _compared(name, Workspace(options.work_dir, size, window_days=1), options.sample, peers)
        for name, size in workloads.items()
    ]
    picture = options.write.with_suffix(".svg").name if options.write else None
    report = as_markdown(comparisons, machine(), picture)
    print(report)
    if options.write:
        options.write.write_text(report + "\n")
        options.write.with_suffix(".svg").write_text(chart(comparisons) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compares dbminer with DataHub and sqllineage.")
    parser.add_argument("--statements", type=int, default=1_000_000)
    parser.add_argument(
        "--unique-statements", type=int, default=100_000, help="in the workload without repetition"
    )
    parser.add_argument("--templates", type=int, default=20_000)
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--sample", type=int, default=2_000, help="statements of the other tools")
    keys = [peer.key for peer in PEERS]
    parser.add_argument("--tools", default=",".join(keys), help=f"some of {', '.join(keys)}")
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path(tempfile.gettempdir()) / "dbminer-benchmark",
        help="generated files and the tools' environments stay here",
    )
    parser.add_argument("--write", type=Path, help="a Markdown file; the picture lies beside it")
    return parser.parse_args()


def _compared(
    name: str, workspace: Workspace, sample_size: int, peers: Sequence[Peer]
) -> Comparison:
    """Runs everything over one workload; dbminer has no lineage, and so must read every text."""
    workspace.clear()
    _say(f"Workload {name}: generating {workspace.size.statements:,} statements.")
    generated(workspace)
    in_fresh_process(prepared_run, workspace, HISTORY_STAGE)
    stages = (FILTER_STAGE, COLD_STAGE)
    cpu_seconds = sum(
        in_fresh_process(prepared_run, workspace, stage)[1].cpu_seconds for stage in stages
    )
    statements = workspace.row_count(FILTERED_QUERIES.name)
    templates = _template_count(workspace)
    in_fresh_process(prepared_run, workspace, LINEAGE_STAGE)
    texts = sampled(workspace, sample_size)
    workspace.clear()
    ours = Rate("**dbminer**", statements, cpu_seconds)
    rates = [ours, *_rates(texts, peers, workspace.folder)]
    return Comparison(name, statements, templates, len(texts.judged), rates)


def _template_count(workspace: Workspace) -> int:
    rows = workspace.storage.scan(FILTERED_QUERIES, Window.of_day(DAY))
    return rows.select(pl.col("query_hash").n_unique()).collect().item()


def _rates(texts: Texts, peers: Sequence[Peer], folder: Path) -> Iterator[Rate]:
    """What each way of reading texts one by one does with the sample."""
    found, cost = in_fresh_process(prepared_parser, texts)
    yield _rate("dbminer's parser alone, every text", texts, found, cost.cpu_seconds)
    for peer in peers:
        _say(f"{peer.key}: {len(texts.measured):,} statements.")
        reading = reading_of(peer, texts.measured, texts.warm_up, folder)
        yield _rate(reading.title, texts, reading.reads, reading.cpu_seconds)


def _rate(
    title: str, texts: Texts, found: Sequence[frozenset[str] | None], cpu_seconds: float
) -> Rate:
    return Rate(title, len(found), cpu_seconds, texts.right_share(found), found.count(None))


def _say(text: str) -> None:
    print(text, file=sys.stderr)
