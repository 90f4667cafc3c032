"""Runs the agenda day by day and writes every execution as it happens."""

from collections.abc import Iterator
from datetime import date
from random import Random

import msgspec

from sample_generator.agenda import Agenda
from sample_generator.company import Company
from sample_generator.executions import Executions
from sample_generator.lineage import Event, LineageRows
from sample_generator.model import Entity, Table, Template
from sample_generator.records import Execution, Row, rest_row, system_row
from sample_generator.stories import Planned
from sample_generator.writer import PartWriter

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
HOURS = (1, 1, 1, 2, 2, 3, 6, 12, 22, 28, 28, 24, 18, 22, 26, 24, 20, 14, 9, 6, 4, 3, 2, 2)
LINEAGE_SHARE = 0.27
# Statements, by number, that are exported twice: first while they run, again at the end
EARLY = range(997, 17 * 997, 997)
LATE_MS = 90_000
SYSTEM_PART = 2


class Days:
    """Writes query history and lineage of one day after the other.

    Args:
        rng: The one source of chance.
        company: The company.
        agenda: What runs when.
        history: Takes the query history.
        lineage: Takes the lineage.
        first_ms: First millisecond of the sample.
        unique_texts: Whether every query gets aliases of its own.
        system_rows_only: Whether no row of the query history has the shape of the REST API.
    """

    def __init__(
        self,
        rng: Random,
        company: Company,
        agenda: Agenda,
        history: PartWriter,
        lineage: PartWriter,
        *,
        first_ms: int,
        unique_texts: bool,
        system_rows_only: bool,
    ) -> None:
        self._rng = rng
        self._company = company
        self._agenda = agenda
        self._system_rows_only = system_rows_only
        self._history = history
        self._lineage = lineage
        self._executions = Executions(rng, company, unique_texts=unique_texts)
        self._rows = LineageRows(company, ids_from=first_ms + 7 * DAY_MS)
        self._late: dict[bool, list[Execution]] = {True: [], False: []}
        self._encode = msgspec.json.Encoder().encode
        self.statements = 0
        self.with_lineage = 0
        self.text_characters = 0

    def write_day(self, index: int, day: date, midnight: int, count: int, *, last: bool) -> None:
        """Write one day: planned templates at their time, chance in between."""
        self._executions.open_day(index, day)
        self._agenda.open_day(index)
        self._cluster_loads(midnight)
        planned = self._agenda.planned(index, day.day, room=count // 4)
        if last:  # nothing may end after the sample
            planned = [p for p in planned if p.second < 23 * 3600]
        free = max(0, count - sum(len(p.template.statements) for p in planned))
        for moment, template in self._merged(planned, free, last=last):
            is_planned = template is not None
            chosen = template or self._agenda.draw()
            for run in self._executions.run(chosen, midnight + moment, planned=is_planned):
                self._emit(run, chosen)

    def write_late_rows(self) -> None:
        """Write the rows again that were exported before they were final, each in its shape."""
        for is_system, runs in self._late.items():
            self._history.close_part()
            for run in runs:
                row = system_row(run, self._company, late_ms=LATE_MS)
                self._write_row(row if is_system else rest_row(run, self._company))

    def _merged(
        self, planned: list[Planned], free: int, *, last: bool
    ) -> Iterator[tuple[int, Template | None]]:
        """Milliseconds of the day in order, each with its template if one is planned."""
        position = 0
        for moment in self._moments(free, last=last):
            while position < len(planned) and planned[position].second * 1000 <= moment:
                yield planned[position].second * 1000, planned[position].template
                position += 1
            yield moment, None
        for second, template in planned[position:]:
            yield second * 1000, template

    def _moments(self, count: int, *, last: bool) -> Iterator[int]:
        """Milliseconds of the day, ascending; most of them in office hours."""
        total, done = sum(HOURS), 0.0
        for hour, weight in enumerate(HOURS):
            before, done = done, done + count * weight / total
            number = round(done) - round(before)
            span = HOUR_MS // 2 if last and hour == len(HOURS) - 1 else HOUR_MS
            yield from sorted(
                hour * HOUR_MS + int(span * self._rng.random()) for _ in range(number)
            )

    def _cluster_loads(self, midnight: int) -> None:
        """Lineage of jobs and pipelines on clusters: there is no statement to join."""
        pipelines, jobs = (self._company.entities[k] for k in ("PIPELINE", "JOB"))
        for number, table in enumerate(self._agenda.cluster_loads()):
            streams = table.kind == "STREAMING_TABLE"
            entity = pipelines[number % 4] if streams else jobs[4 + number % 4]
            event = self._load_event(table, midnight, entity)
            self._lineage.write(self._rows.of_load(table, event))

    def _load_event(self, table: Table, midnight: int, entity: Entity) -> Event:
        hour = 1 if table.load == "path" else 2
        time_ms = midnight + hour * HOUR_MS + self._rng.randrange(HOUR_MS // 2)
        run_id = str(self._rng.getrandbits(46))
        created_by = self._company.services[0].name
        return Event(self._executions.new_id(), time_ms, created_by, entity, run_id)

    def _emit(self, run: Execution, template: Template) -> None:
        """Write one execution and, by plan or by chance, its lineage."""
        self.statements += 1
        self.text_characters += len(run.text)
        finished = run.status == "FINISHED"
        self._write_history(run, early=finished and self.statements in EARLY)
        if finished and not run.cache_origin:
            self._executions.remember(run, template)
            self._write_lineage(run)

    def _write_history(self, run: Execution, *, early: bool) -> None:
        """Write a row; every third part comes from the system table instead of the REST API."""
        is_system = self._system_rows_only or self._history.part % 3 == SYSTEM_PART
        if early:
            self._late[is_system].append(run)
        if is_system:
            self._write_row(system_row(run, self._company))
        else:
            self._write_row(rest_row(run, self._company, is_final=not early))

    def _write_row(self, row: Row) -> None:
        self._history.write([self._encode(row) + b"\n"])

    def _write_lineage(self, run: Execution) -> None:
        statement = run.statement
        wanted = statement.lineage
        if wanted is None:
            wanted = self._rng.random() < LINEAGE_SHARE
        if not wanted or not (statement.reads or statement.target or statement.path):
            return
        name, key = run.user.name, run.statement_id
        event = Event(key, run.end_ms, name, run.entity, run.run_id, key)
        self.with_lineage += 1
        self._lineage.write(self._rows.of_statement(statement, event))
