"""The words of the generator: tables, principals, and statements with what they truly touch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

MEASURES = ("amount", "count", "quantity", "cost", "price", "rate", "score", "minutes", "points")
DATES = ("_date", "_at")


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table or view of the company, with the tables that feed it."""

    catalog: str
    schema: str
    name: str
    columns: tuple[str, ...]
    kind: str = "TABLE"
    load: str = "none"
    sources: tuple["Table", ...] = ()

    @property
    def full_name(self) -> str:
        """The name as lineage spells it: parts joined by dots, never quoted."""
        return f"{self.catalog}.{self.schema}.{self.name}"

    @property
    def sql_name(self) -> str:
        """The name as a person writes it: quoted where a part needs it."""
        parts = (self.catalog, self.schema, self.name)
        return ".".join(p if p.replace("_", "a").isalnum() else f"`{p}`" for p in parts)

    @property
    def is_view(self) -> bool:
        """Whether reading it reads its sources, too."""
        return self.kind in ("VIEW", "METRIC_VIEW")

    @property
    def measures(self) -> list[str]:
        """Columns that one adds up."""
        return [c for c in self.columns if c.endswith(MEASURES)]

    @property
    def dates(self) -> list[str]:
        """Columns that hold a date or a time."""
        return [c for c in self.columns if c.endswith(DATES)]

    @property
    def keys(self) -> list[str]:
        """Columns that join to other tables."""
        return [c for c in self.columns if c.endswith("_id")]

    @property
    def attributes(self) -> list[str]:
        """Columns that one groups by."""
        taken = {*self.measures, *self.dates, *self.keys}
        return [c for c in self.columns if c not in taken and not c.startswith("_")]


class Principal(NamedTuple):
    """A person (name is an e-mail address) or a service principal (name is an application id)."""

    user_id: int
    name: str


class Entity(NamedTuple):
    """The dashboard, job, notebook, … that a statement ran in; `kind` as lineage spells it."""

    kind: str | None = None
    entity_id: str | None = None


class Edge(NamedTuple):
    """One column that a write copies or computes from a column of a source."""

    source: Table
    column: str
    target_column: str


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """A statement's text with `<<slots>>` for literals, and exactly what that text touches.

    Attributes:
        reads: Tables named in the text, each with the columns named.
        target: The table written, if any.
        edges: For writes, which read column ends in which column of the target.
        path: Cloud storage path read by the text.
        lineage: Whether lineage rows exist; None leaves it to chance.
    """

    text: str
    statement_type: str = "SELECT"
    reads: Mapping[Table, tuple[str, ...]] = field(default_factory=dict)
    target: Table | None = None
    edges: tuple[Edge, ...] = ()
    path: str | None = None
    lineage: bool | None = None
    status: str = "FINISHED"
    error: str | None = None
    redacted: str | None = None


class Trend(NamedTuple):
    """How the use of a template moves: a span of days, and a factor at either end of it."""

    first: int = 0
    last: int = 10_000
    start: float = 1.0
    end: float = 1.0

    def factor(self, day_index: int, days: int) -> float:
        """The factor on one day; 0 outside the span."""
        if not self.first <= day_index < self.last:
            return 0.0
        span = max(1, min(self.last, days) - self.first)
        return self.start + (self.end - self.start) * (day_index - self.first) / span


STEADY = Trend()


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """Statements that run one after the other, with who runs them and where.

    Attributes:
        statements: Usually one; several share a session of their own.
        own_session: A fresh session per run: for `USE`, temporary views, unqualified names.
        cacheable: A later run on the same day may be answered from the result cache.
    """

    statements: tuple[Statement, ...]
    users: tuple[Principal, ...]
    application: str
    entities: tuple[Entity, ...] = (Entity(),)
    trend: Trend = STEADY
    own_session: bool = False
    cacheable: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    typical_ms: int = 2_000
