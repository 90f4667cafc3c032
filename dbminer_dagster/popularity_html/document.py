"""The popularity report as one HTML document, whose bytes depend on its contents alone.

Data stands in it as JSON in which no character can end the element around it. The page's own script
and style are allowed by their hashes, and nothing else is: no address is ever asked.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Iterator
from importlib.resources import files
from itertools import islice
from string import Template
from typing import Any

from dbminer_dagster.popularity_html.contents import Contents, ReportSource
from dbminer_dagster.popularity_html.masking import masked

TABLES_IN_CHUNK = 50
COMPRESSION_LEVEL = 4
"""The next levels take three times as long for a tenth less."""
COMPACT = (",", ":")
_MARKUP = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&"}


def popularity_page(source: ReportSource) -> bytes:
    """The report of one day, in UTF-8."""
    # Whoever opens the report sees the texts, so literals are masked.
    contents = Contents(source, masked)
    style, script = _own("page.css"), _own("page.js")
    page = Template(_own("page.html")).substitute(
        day=str(source.window.last_day),
        policy=_policy(style, script),
        style=style,
        script=script,
        overview=_json(contents.overview() | {"tables_in_chunk": TABLES_IN_CHUNK}),
        details="\n".join(map(_packed, _chunks(contents.details()))),
    )
    return page.encode()


def _chunks(details: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while chunk := list(islice(details, TABLES_IN_CHUNK)):
        yield chunk


def _packed(chunk: list[dict[str, Any]]) -> str:
    """Deflated: a click unpacks one chunk, and the file has a fifth of the size."""
    text = json.dumps(chunk, separators=COMPACT)
    return base64.b64encode(zlib.compress(text.encode(), COMPRESSION_LEVEL)).decode()


def _own(name: str) -> str:
    """One of the small files beside this module."""
    return files("dbminer_dagster.popularity_html").joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """What a browser may run and load for this page."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(value: Any) -> str:
    """JSON in ASCII without a character of markup."""
    return json.dumps(value, separators=COMPACT).translate(_MARKUP)
