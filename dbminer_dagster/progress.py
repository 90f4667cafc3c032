"""A console logger for people: the step and what it says, nothing else."""

import logging
import sys
from typing import Any

import dagster as dg


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        step = _meta(record).get("step_key") or "dbminer"
        message = _meta(record).get("orig_message", record.getMessage())
        return f"{self.formatTime(record, '%H:%M:%S')}  {step:<18} {message}"


def _meta(record: logging.LogRecord) -> dict[str, Any]:
    return getattr(record, "dagster_meta", None) or {}


def _said_by_us(record: logging.LogRecord) -> bool:
    """Dagster logs its events as well, and as errors each step that a failure leaves out."""
    return record.levelno < logging.ERROR and _meta(record).get("dagster_event") is None


def _progress(_context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.getLogger("dbminer.progress")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    handler.addFilter(_said_by_us)
    logger.handlers = [handler]
    return logger


progress_logger = dg.LoggerDefinition(
    _progress, description="One short line on standard error for each thing that a step says."
)
