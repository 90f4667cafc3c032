"""Turns a template into executions: ids, session, user, text, outcome and cost."""

from collections.abc import Iterator
from datetime import date
from random import Random
from typing import NamedTuple

from sample_generator.company import Company
from sample_generator.literals import Literals
from sample_generator.model import Principal, Statement, Template
from sample_generator.records import Execution

SESSION_PAUSE_MS = 40 * 60_000
CACHE_MS = 4 * 3_600_000
CACHE_SHARE = 0.2
FAILED_SHARE = 0.03
CANCELED_SHARE = 0.01
FAILURES = (
    "[DIVIDE_BY_ZERO] Division by zero. SQLSTATE: 22012",
    "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with that name cannot be resolved.",
    "[INSUFFICIENT_PERMISSIONS] User does not have SELECT on this table. SQLSTATE: 42501",
)


class CachedResult(NamedTuple):
    """The last answer of a template, for as long as it may be given again."""

    statement_id: str
    text: str
    until_ms: int


class Executions:
    """Runs templates.

    Args:
        rng: The one source of chance.
        company: Supplies the warehouses.
        unique_texts: Whether every query gets aliases of its own; nothing is cached then.
    """

    def __init__(self, rng: Random, company: Company, *, unique_texts: bool) -> None:
        self._rng = rng
        self._company = company
        self._unique = unique_texts
        self._literals = Literals(rng, unique=unique_texts)
        self._sessions: dict[Principal, tuple[str, int]] = {}
        self._cache: dict[Template, CachedResult] = {}
        self._growth = 100
        self._ids = 0

    def open_day(self, index: int, day: date) -> None:
        """Move to a day: dates in texts follow it, and tables grow with it."""
        self._growth = 100 + index
        self._literals.open_day(day)

    def run(self, template: Template, start_ms: int, *, planned: bool) -> Iterator[Execution]:
        """Run a template's statements one after the other; what is planned succeeds."""
        rng = self._rng
        user = template.users[int(len(template.users) * rng.random() ** 2)]
        session = self.new_id() if template.own_session else self._session(user, start_ms)
        entity = template.entities[int(len(template.entities) * rng.random())]
        run_id = str(rng.getrandbits(46)) if entity.kind in ("JOB", "PIPELINE") else ""
        for statement in template.statements:
            cached = None if planned else self._from_cache(template, start_ms)
            status, error = self._outcome(statement, certain=planned or cached is not None)
            duration = self._duration(template, cached=cached is not None)
            text = cached.text if cached else self._literals.fill(statement)
            run = Execution(
                statement=statement,
                statement_id=self.new_id(),
                session_id=session,
                user=user,
                text=statement.redacted or text,
                start_ms=start_ms,
                duration_ms=duration,
                compilation_ms=min(duration, 20 + template.typical_ms // 90),
                status=status,
                error=error,
                entity=entity,
                run_id=run_id,
                application=template.application,
                warehouse_id=self._company.warehouses[user.user_id % 3],
                tags=template.tags,
                rows_read=0 if cached else self._rows_read(template, statement),
                rows_produced=int(1000 * rng.random() ** 4) if status == "FINISHED" else 0,
                cache_origin=cached.statement_id if cached else None,
            )
            yield run
            start_ms = run.end_ms + 1500 + int(9000 * rng.random())

    def remember(self, run: Execution, template: Template) -> None:
        """Keep a result, so that the very same text may be answered from the cache."""
        if template.cacheable and not self._unique:
            until = run.end_ms + CACHE_MS
            self._cache[template] = CachedResult(run.statement_id, run.text, until)

    def new_id(self) -> str:
        """An id in the form that Databricks gives statements and sessions: it grows with time."""
        self._ids += 1
        high, low = divmod(self._ids, 0x10000)
        text = f"{self._rng.getrandbits(36):09x}"
        return f"01f1{high:04x}-{low:04x}-1{text[:3]}-9{text[3:6]}-{text[6:]}b6b3f02a9"

    def _rows_read(self, template: Template, statement: Statement) -> int:
        return template.typical_ms * self._growth // 2 if statement.reads else 0

    def _outcome(self, statement: Statement, *, certain: bool) -> tuple[str, str | None]:
        """Three in a hundred queries fail and one is cancelled."""
        if certain or statement.status != "FINISHED" or statement.statement_type != "SELECT":
            return statement.status, statement.error
        chance = self._rng.random()
        if chance < FAILED_SHARE:
            return "FAILED", FAILURES[int(chance / FAILED_SHARE * len(FAILURES))]
        return ("CANCELED", None) if chance > 1 - CANCELED_SHARE else ("FINISHED", None)

    def _duration(self, template: Template, *, cached: bool) -> int:
        """Milliseconds around what is typical; a cached result takes next to nothing."""
        chance = self._rng.random()
        return 30 + int(60 * chance if cached else template.typical_ms * (0.5 + chance))

    def _from_cache(self, template: Template, start_ms: int) -> CachedResult | None:
        """An earlier answer to the very same text, now and then."""
        cached = self._cache.get(template)
        usable = cached is not None and start_ms < cached.until_ms
        return cached if usable and self._rng.random() < CACHE_SHARE else None

    def _session(self, user: Principal, start_ms: int) -> str:
        """The user's session; a new one after a pause."""
        session, last_ms = self._sessions.get(user, ("", -SESSION_PAUSE_MS))
        if start_ms - last_ms >= SESSION_PAUSE_MS:
            session = self.new_id()
        self._sessions[user] = (session, start_ms)
        return session
