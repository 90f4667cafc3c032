"""Probes of the system-table method: whether the tables can be read, and have what is read."""

from dataclasses import replace

from dbminer_dagster.databricks.system_tables import (
    SystemTable,
    billing_usage,
    column_lineage,
    list_prices,
    query_history,
    table_lineage,
)
from dbminer_dagster.errors import NOT_FOUND, AccessDeniedError, StatementError
from dbminer_dagster.preflight.advice import freshness_probe, text_probe
from dbminer_dagster.preflight.grants import denied_answer
from dbminer_dagster.preflight.missing_tables import not_found_answer
from dbminer_dagster.preflight.model import Answer, Probe, Source, Stage, Status
from dbminer_dagster.preflight.workspace import WorkspaceSession


def system_table_probes(session: WorkspaceSession, source: Source, warehouse: Probe) -> list[Probe]:
    """The probes of one source; those that the probe of the warehouse needs come first."""
    settings, is_lineage = session.settings, source is Source.LINEAGE
    if is_lineage:
        tables = (table_lineage(settings), column_lineage(settings))
    else:
        tables = (query_history(settings),)
    reading = _Reading(session, tables)
    names = " and ".join(table.full_name for table in tables)
    readable = Probe(
        "lineage_tables_readable" if is_lineage else "query_history_readable",
        Stage.AUTHORISATION,
        f"Select all columns and no row of {names}.",
        reading.readable,
        needs=(warehouse,),
        budget_seconds=session.wait_seconds,
        abandon=session.abandon,
    )
    columns = Probe(
        "required_columns_present",
        Stage.AUTHORISATION,
        f"Compare the columns of {names} with those that dbminer reads.",
        reading.columns_present,
        needs=(readable,),
    )
    fresh = freshness_probe(session, source, tables, columns)
    more = (
        []
        if is_lineage
        else [text_probe(session, tables[0], columns), _billing_probe(session, columns)]
    )
    return [*warehouse.needs, warehouse, readable, columns, fresh, *more]


def _billing_probe(session: WorkspaceSession, columns: Probe) -> Probe:
    """The probe of what statements cost; without it everything else is mined all the same."""
    tables = (billing_usage(session.settings), list_prices(session.settings))
    reading = _Reading(session, tables)

    def ask() -> Answer:
        answer = reading.readable()
        if answer.status is Status.PASSED:
            return answer
        text = f"{answer.text} What statements cost stays unknown."
        return replace(answer, text=text, status=Status.WARNING)

    return Probe(
        "billing_readable",
        Stage.ADVICE,
        f"Select all columns and no row of {' and '.join(table.full_name for table in tables)}.",
        ask,
        needs=(columns,),
        budget_seconds=session.wait_seconds,
        abandon=session.abandon,
    )


class _Reading:
    """The tables of one source, and their columns once they have been read."""

    def __init__(self, session: WorkspaceSession, tables: tuple[SystemTable, ...]) -> None:
        self._session = session
        self._tables = tables
        self._columns: dict[SystemTable, frozenset[str]] = {}

    def readable(self) -> Answer:
        denied: dict[SystemTable, AccessDeniedError] = {}
        absent: dict[SystemTable, StatementError] = {}
        for table in self._tables:
            try:
                self._columns[table] = self._columns_of(table)
            except AccessDeniedError as error:
                denied[table] = error
            except StatementError as error:
                if error.error_class not in NOT_FOUND:
                    raise
                absent[table] = error
        if denied:
            return denied_answer(denied, self._session.connection.principal)
        if absent:
            return not_found_answer(self._session, absent)
        names = " and ".join(table.full_name for table in self._tables)
        return Answer(f"{self._session.connection.principal} may read {names}.")

    def _columns_of(self, table: SystemTable) -> frozenset[str]:
        sql = f"SELECT * FROM {table.quoted} LIMIT 0"  # noqa: S608 - names are quoted
        (empty,) = self._session.warehouse.batches(sql)
        return frozenset(name.lower() for name in empty.columns)

    def columns_present(self) -> Answer:
        required = {table: table.required - self._columns[table] for table in self._tables}
        optional = {table: table.optional - self._columns[table] for table in self._tables}
        if any(required.values()):
            return Answer(
                f"Columns without which nothing can be mined are missing: {_listed(required)}.",
                Status.FAILED,
                self._remedy(
                    "Let the owner of the view add these columns to its SELECT.",
                    "nothing can be mined from it; set another method",
                ),
            )
        if any(optional.values()):
            return Answer(
                f"All required columns are there; optional ones are missing: {_listed(optional)}.",
                Status.WARNING,
                self._remedy(
                    "What they tell stays empty: go on without, or let the owner of the view add "
                    "them to its SELECT.",
                    "what they tell stays empty; go on without",
                ),
            )
        counts = ", ".join(
            f"{len(self._columns[table])} of {table.full_name}" for table in required
        )
        return Answer(f"Every column that dbminer reads is there; columns found: {counts}.")

    def _remedy(self, of_clones: str, otherwise: str) -> str:
        """In words: a statement would replace what the owner of a clone hides on purpose."""
        if any(table.is_clone for table in self._tables):
            return of_clones
        return f"Databricks does not offer these columns in this workspace: {otherwise}."


def _listed(missing: dict[SystemTable, frozenset[str]]) -> str:
    return "; ".join(
        f"{', '.join(sorted(names))} of {table.full_name}"
        for table, names in missing.items()
        if names
    )
