"""Keeps signed links out of logs and messages: who has one may read the result it points to."""

import logging
import re

_SIGNATURE = re.compile(r"(?<=[^\s'\"?])\?[^\s'\")]+=[^\s'\")]*")
_LOGGERS = (
    "databricks.sql.cloudfetch.downloader",  # a warning with the link when a download is slow
    "databricks.sql.common.unified_http_client",  # an error with it when one fails
    "urllib3.connectionpool",  # a warning with it when one is tried again
)


def without_signatures(text: str) -> str:
    """The text, with the queries of all links in it left out."""
    return _SIGNATURE.sub("?…", text)


def _hide(record: logging.LogRecord) -> bool:
    record.msg, record.args = without_signatures(record.getMessage()), ()
    return True


def hide_in_logs() -> None:
    """Leaves the signatures out of what the SQL connector and its libraries log."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_hide)
