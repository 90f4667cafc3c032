"""Long texts without their bulk: what makes a text of megabytes is nearly always literals."""

import re

_STRINGS_AND_COMMENTS = (
    r"(?s)(`[^`]*`)|(')(?:[^'\\]|\\.)*'|(\")(?:[^\"\\]|\\.)*\""
    r"|--[^\n\r]*|/\*(?:[^*]|\*+[^*/])*\*+/"
)
# The space keeps apart what a comment kept apart.
_EMPTIED = "${1}${2}${2}${3}${3} "
_LITERAL = (
    r"(?:(?i:date|timestamp)?\s*(?:(?:''|\"\")\s*)+|[-+]?[0-9][0-9.eE]*|(?i:null|true|false))\s*"
)
_FURTHER_LITERALS = rf"(?:,\s*{_LITERAL})+([,)])"
_FURTHER_ROWS = rf"(?:,\s*\(\s*{_LITERAL}\)\s*)+"
# Looked for where no strings are left: what strings would have named, and strings in which a
# backslash does not escape.
_NEEDS_ITS_STRINGS = re.compile(
    r"\b(?:identifier\s*\(|table_changes\s*\(|immediate\b|use\b|set\s+catalog\b|r(?:''|\"\"))",
    re.IGNORECASE,
)


def shortened(sql: str) -> str:
    """The text with empty strings, without comments, and with one item of each list of literals.

    It refers to the same tables and columns. Texts in which strings tell more are left alone.
    """
    import polars as pl

    text = pl.Series([sql]).str.replace_all(_STRINGS_AND_COMMENTS, _EMPTIED)
    if _NEEDS_ITS_STRINGS.search(text.item()):
        return sql
    text = text.str.replace_all(_FURTHER_LITERALS, "$1").str.replace_all(_FURTHER_ROWS, "")
    return text.str.replace_all(r"\s+", " ").item()
