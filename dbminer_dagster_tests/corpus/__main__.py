"""`python -m dbminer_dagster_tests.corpus --write docs/sql-corpus.md`."""

import argparse
from pathlib import Path

from dbminer_dagster_tests.corpus import CACHE
from dbminer_dagster_tests.corpus.comparison import compare
from dbminer_dagster_tests.corpus.report import page


def main() -> None:
    """Compare the whole corpus and write the report."""
    arguments = argparse.ArgumentParser(description="Compare with Apache Spark's parser.")
    arguments.add_argument("--write", type=Path, required=True, help="The report to write.")
    arguments.add_argument("--cache", type=Path, default=CACHE, help="Where packages are kept.")
    options = arguments.parse_args()
    options.write.write_text(page(compare(options.cache)))


if __name__ == "__main__":
    main()
