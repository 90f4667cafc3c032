"""Databricks' own syntax in Apache Spark's words, so that Spark's parser can judge it."""

import re

_FLAGS = re.IGNORECASE | re.DOTALL
# Each says the same about tables; what else it says is of no interest here.
_TRANSLATIONS = (
    # A pipeline's table or view: only its query.
    (
        r"\bCREATE\s+(?:OR\s+\w+\s+)?(?:\w+\s+)?(?:STREAMING|LIVE|MATERIALIZED)\s.*?\bAS\s+"
        r"(?=SELECT\b|WITH\b|FROM\b)",
        "",
    ),
    (r"\bCREATE\s+FLOW\s.*?\bINTO\s+.*?\b(FROM\s+STREAM\s*\([^)]*\)).*", r"SELECT * \1"),
    (r"\b(?:SHALLOW|DEEP)\s+CLONE\b", "AS SELECT * FROM"),
    (r"\b(FROM|JOIN)\s+STREAM\s+(?=[\w`])", r"\1 "),
    (r"\bQUALIFY\b", "HAVING"),
    # A path into a variant: one into a struct.
    (r"(?<=[\w`\])])\s?(?<!:):(?=\w|`)(?!:)", "."),
    (r"(?<=[\w`\])])\s?(?<!:):(?=\[)", ""),
)


def in_spark_words(statement: str) -> str:
    """The statement without what only Databricks understands, as far as that is known here."""
    for pattern, replacement in _TRANSLATIONS:
        statement = re.sub(pattern, replacement, statement, flags=_FLAGS)
    return statement
