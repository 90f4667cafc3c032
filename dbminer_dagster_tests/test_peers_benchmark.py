"""The comparison with other tools: the same texts for all, judged by the generator's lineage.

Other tools are installed when the benchmark runs; here dbminer stands alone in both workloads.
"""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as Xml

from dbminer_dagster_tests.test_benchmarks import SCRIPTS, number, printed_by, tables_of

SIZE = {
    "statements": 2000,
    "unique-statements": 1000,
    "templates": 300,
    "users": 60,
    "tables": 200,
    "sample": 400,
}


def sections(report: str) -> dict[str, dict[str, dict[str, str]]]:
    """Heading to the rows of the table below it."""
    parts = (part.partition("\n") for part in report.split("## ")[1:])
    return {heading: tables_of(body) for heading, _, body in parts}


def test_both_workloads_are_read_whole_and_right(tmp_path: Path) -> None:
    """Dbminer reads all statements of a workload, and finds the tables that lineage names."""
    printed = printed_by("peers.py", tmp_path, {**SIZE, "work-dir": tmp_path, "tools": ""})

    found = sections(printed)
    assert list(found) == ["Workload with repetition", "Workload without repetition"]
    for rows in found.values():
        whole, alone = rows["**dbminer**"], rows["dbminer's parser alone, every text"]
        assert whole["dbminer is faster by"] == "1.0 x"
        assert 900 < number(whole["statements"]) <= 2300
        assert 100 <= number(alone["statements"]) <= 400
        assert float(alone["right tables"].rstrip("%")) == 100
        assert "extrapolated" in alone["whole workload, CPU s"]
        assert min(number(row["CPU s"]) for row in rows.values()) > 0
    drawing = Xml.fromstring((tmp_path / "report.svg").read_text())  # noqa: S314 - our own file
    assert len(drawing.findall("{*}rect")) == 4
    assert not (tmp_path / "tables").exists()


def test_right_means_the_same_tables() -> None:
    """A name may lack what the session adds; a missing, additional or absent answer is wrong."""
    texts = (
        "from peer_texts import Texts; import json, sys; "
        "names = lambda found: [None if f is None else frozenset(f) for f in found]; "
        "expected, found = json.loads(sys.argv[1]); "
        "print(Texts([''] * len(found), names(expected), []).right_share(names(found)))"
    )

    def share(*pairs: tuple[list[str] | None, list[str] | None]) -> float:
        both = json.dumps([[pair[0] for pair in pairs], [pair[1] for pair in pairs]])
        command = [sys.executable, "-c", texts, both]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=SCRIPTS)
        return float(done.stdout)

    full = ["a.b.c", "a.b.d"]
    right = [(full, full), (full, ["b.C", "`d`"]), (full, ["<default>.c", "a.b.d"]), ([], [])]
    wrong = [
        (full, ["a.b.c"]),
        (full, [*full, "x"]),
        (full, ["x.c", "d"]),
        (full, []),
        (full, None),
    ]
    assert share(*right, (None, ["whatever"])) == 1
    assert share(*wrong, right[0]) == 1 / 6
