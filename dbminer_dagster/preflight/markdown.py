"""Findings as Markdown, for Dagster's pages."""

from dbminer_dagster.preflight.model import Finding


def summary(finding: Finding) -> str:
    """What came back, and the remedy."""
    return "\n\n".join(filter(None, (finding.answer.text, remedy(finding))))


def remedy(finding: Finding) -> str:
    """The remedy, with its statements in a block that can be copied."""
    statements = "".join(f"{sql};\n" for sql in finding.answer.statements)
    block = f"```sql\n{statements}```" if statements else ""
    return "\n\n".join(filter(None, (finding.answer.remedy, block)))
