"""A console logger for people: the step and what it says, nothing else."""

import logging
import sys

import dagster as dg


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", None) or {}
        step = meta.get("step_key") or "dbminer"
        message = meta.get("orig_message", record.msg)
        return f"{self.formatTime(record, '%H:%M:%S')}  {step:<18} {message}"


def _progress(_context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.getLogger("dbminer.progress")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logger.handlers = [handler]
    return logger


progress_logger = dg.LoggerDefinition(
    _progress, description="One short line on standard error for each thing that a step says."
)
