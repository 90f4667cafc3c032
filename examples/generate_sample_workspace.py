"""Writes a sample workspace: `python examples/generate_sample_workspace.py --out DIR`."""

import argparse
from dataclasses import asdict
from datetime import date
from pathlib import Path

from sample_generator import generate


def main() -> None:
    """Read the command line, write the files, say what was written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--days", type=int, default=40)
    parser.add_argument("--first-day", type=date.fromisoformat, default=date(2026, 1, 5))
    parser.add_argument("--statements-per-day", type=int, default=400)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--part-rows", type=int, default=5_000, help="lines in a compressed part")
    parser.add_argument("--templates", type=int, default=900, help="distinct everyday queries")
    parser.add_argument("--users", type=int, default=60)
    parser.add_argument("--tables", type=int, default=150)
    parser.add_argument("--text-length", type=int, default=0, help="1700: a mean of about 1 KB")
    parser.add_argument("--unique-texts", action="store_true", help="no two queries alike")
    parser.add_argument(
        "--system-rows-only", action="store_true", help="the shape of the system tables only"
    )
    options = vars(parser.parse_args())
    for name, value in asdict(generate(options.pop("out"), **options)).items():
        print(f"{name:>24} {value:>14,}")


if __name__ == "__main__":
    main()
