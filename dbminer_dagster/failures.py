"""How our own errors reach people who look at a run."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import polars as pl

from dbminer_dagster.errors import DbminerError, WorkspaceError


@contextmanager
def user_errors() -> Iterator[None]:
    """Shows errors that a user can repair as what they say, without a traceback.

    Frames are evaluated late, so a file that is gone or a full disk may show in any step.
    """
    try:
        yield
    except DbminerError as error:
        may_pass = isinstance(error, WorkspaceError) and error.retryable
        raise dg.Failure(description=str(error), allow_retries=may_pass) from None
    except (pl.exceptions.ComputeError, OSError) as error:
        raise dg.Failure(
            description=f"Rows could not be read or written: {str(error).strip()}. Nothing of "
            "this table was changed; repair the cause and run the days again."
        ) from error
