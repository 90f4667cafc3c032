"""Table names as one string: `catalog.schema.table`, lower-case, odd parts back-quoted."""

import re
from collections.abc import Sequence

_PART = re.compile(r"\s*`((?:[^`]|``)*)`\s*(?:\.|$)|([^.]*)(?:\.|$)")


def table_name(parts: Sequence[str]) -> str:
    """Join the parts of a name, in lower case; see `spelled_name`."""
    return spelled_name(parts).lower()


def spelled_name(parts: Sequence[str]) -> str:
    """Join the parts of a name; a part that holds a dot or a backtick is back-quoted."""
    name = ".".join(parts)
    if "`" in name or name.count(".") != len(parts) - 1 or "" in parts:
        name = ".".join(map(_quoted, parts))
    return name


def name_parts(name: str) -> tuple[str, ...]:
    """Split a name into its parts, without their back-quotes; the inverse of `table_name`."""
    parts: list[str] = []
    position = 0
    while name and (match := _PART.match(name, position)):
        quoted, plain = match.groups()
        parts.append(plain if quoted is None else quoted.replace("``", "`"))
        position = match.end()
        if not match[0].endswith("."):
            break
    return tuple(parts)


def _quoted(part: str) -> str:
    if part and "." not in part and "`" not in part:
        return part
    return "`" + part.replace("`", "``") + "`"
