"""Real SQL from published packages, and Apache Spark's own parser to judge what it reads.

`python -m dbminer_dagster_tests.corpus` fetches the packages, compares, and writes the report.
"""

from pathlib import Path

CACHE = Path(__file__).parents[2] / ".corpus"
"""Where the packages are kept; git ignores it."""
