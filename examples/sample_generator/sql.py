"""SQL as dashboards, dbt, notebooks and people write it, with a record of what it touches.

A text holds `<<slots>>` that every run fills anew; `<<u>>` ends aliases and names of common table
expressions and stays empty unless every text has to be unique.
"""

# ruff: noqa: S608 - these texts go to files and are never run

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from sample_generator.model import Statement, Table

REGION_COLUMNS = {
    "region": "region",
    "channel": "channel",
    "currency": "currency",
    "category": "category",
    "country": "country",
}

OFTEN = 0.55


class Source(NamedTuple):
    """A table under an alias."""

    table: Table
    alias: str


class Scope:
    """The sources of one query; hands out names and remembers which columns were named."""

    def __init__(
        self, tables: Sequence[Table], *, quote: str = "", depth: int = 3, alias: str = "t"
    ) -> None:
        self.sources = [Source(t, f"{alias}{i}<<u>>") for i, t in enumerate(tables)]
        self._used: dict[Table, dict[str, None]] = {t: {} for t in tables}
        self._quote = quote
        self._depth = depth

    @property
    def reads(self) -> dict[Table, tuple[str, ...]]:
        """Each table with the columns named so far."""
        return {table: tuple(columns) for table, columns in self._used.items()}

    def column(self, source: Source, name: str) -> str:
        """Name a column, qualified by its source's alias."""
        self._used[source.table][name] = None
        return f"{self.quoted(source.alias)}.{self.quoted(name)}"

    def quoted(self, name: str) -> str:
        """A name between this scope's quotes."""
        return f"{self._quote}{name}{self._quote}"

    def table(self, table: Table) -> str:
        """A table's name with as many parts as this scope writes."""
        if self._quote:
            return ".".join(self.quoted(p) for p in (table.catalog, table.schema, table.name))
        return ".".join(table.sql_name.split(".", 2)[3 - self._depth :])

    def from_clause(self, indent: str = "") -> str:
        """`FROM` and one `JOIN` for each further source, on the key that both have."""
        first, *others = self.sources
        lines = [f"{indent}FROM {self.table(first.table)} AS {self.quoted(first.alias)}"]
        for number, source in enumerate(others, start=1):
            left, key = _join_key(self.sources[:number], source.table)
            on = f"{self.column(left, key)} = {self.column(source, key)}"
            name = f"{self.table(source.table)} AS {self.quoted(source.alias)}"
            lines.append(f"{indent}LEFT JOIN {name}\n{indent}  ON {on}")
        return "\n".join(lines)

    def find(self, column: str) -> Source | None:
        """The first source that has the column."""
        return next((s for s in self.sources if column in s.table.columns), None)


def joinable(table: Table, others: Sequence[Table]) -> list[Table]:
    """The other tables that share a key with this one."""
    keys = set(table.keys)
    return [o for o in others if o is not table and keys & set(o.keys)]


def select(rng: Random, style: str, tables: Sequence[Table], *, length: int = 0) -> Statement:
    """One `SELECT` over the tables in one of the `STYLES`.

    Args:
        rng: The one source of chance.
        style: Whose hand it shows.
        tables: What it reads; each shares a key with an earlier one.
        length: Dashboards and notebooks add conditional sums up to so many characters.
    """
    return STYLES[style](rng, tables, length)


def _join_key(left: Sequence[Source], right: Table) -> tuple[Source, str]:
    """A source and the key that it shares with `right`."""
    for source in left:
        for key in source.table.keys:
            if key in right.columns:
                return source, key
    raise ValueError(f"{right.full_name} shares no key with {[s.table.full_name for s in left]}")


def _some(rng: Random, names: Sequence[str], most: int) -> list[str]:
    """Between one and `most` of the names, in their order; none of none."""
    if not names:
        return []
    taken = set(rng.sample(range(len(names)), min(len(names), rng.randint(1, most))))
    return [name for index, name in enumerate(names) if index in taken]


def _where(rng: Random, scope: Scope) -> str:
    """A condition on a date, and often one on an attribute."""
    source = scope.sources[0]
    date = next(iter(source.table.dates), None)
    terms = [f"{scope.column(source, date)} >= DATE'<<day>>'"] if date else ["1 = 1"]
    filterable = [c for c in source.table.columns if c in REGION_COLUMNS]
    if filterable and rng.random() < OFTEN:
        column = rng.choice(filterable)
        slot = REGION_COLUMNS[column]
        terms.append(f"{scope.column(source, column)} IN ('<<{slot}>>', '<<{slot}>>')")
    return "\n  AND ".join(terms)


def _conditional_sums(rng: Random, scope: Scope, length: int) -> list[str]:
    """Sums of one column where another has a value, as generated pivots have them."""
    source, items = scope.sources[0], []
    names, measures = source.table.attributes, source.table.measures
    while names and measures and sum(map(len, items)) < length:
        condition = f"{scope.column(source, rng.choice(names))} = '<<region>>'"
        value = scope.column(source, rng.choice(measures))
        items.append(f"SUM(CASE WHEN {condition} THEN {value} ELSE 0 END) AS pivot_{len(items)}")
    return items


def _dashboard(rng: Random, tables: Sequence[Table], length: int) -> Statement:
    """A chart's query: every name quoted, aggregates labelled by the tool."""
    scope = Scope(tables, quote="`", alias=rng.choice(("t", "q_", "src")))
    groups, sums = [], []
    for source in scope.sources:
        groups += [scope.column(source, c) for c in _some(rng, source.table.attributes, 3)]
        for name in _some(rng, source.table.measures, 3):
            function = rng.choice(("SUM", "AVG", "MAX"))
            label = f"`{function.lower()}:{name}:ok`"
            sums.append(f"{function}({scope.column(source, name)}) AS {label}")
    sums += [*_conditional_sums(rng, scope, length), "COUNT(1) AS `cnt:rows:ok`"]
    columns = ",\n  ".join([*groups, *sums])
    where = _where(rng, scope)
    tail = f"\nGROUP BY {', '.join(groups)}" if groups else ""
    limit = f"\nLIMIT {rng.choice((1000, 5001, 10000, 64000))}"
    text = f"SELECT\n  {columns}\n{scope.from_clause()}\nWHERE {where}{tail}{limit}"
    return Statement(text, reads=scope.reads)


def _dbt(rng: Random, tables: Sequence[Table], _: int) -> Statement:
    """A data test: a JSON comment in front, imports as common table expressions."""
    scope = Scope(tables, alias="src_")
    source = scope.sources[0]
    column = rng.choice(source.table.columns)
    kind = rng.choice(("not_null", "accepted_range", "recency"))
    node = f"test.larkfell.{kind}_{source.table.name}_{column}"
    comment = (
        '/* {"app": "dbt", "dbt_version": "1.10.4", "profile_name": "larkfell",'
        f' "target_name": "prod", "node_id": "{node}"}} */'
    )
    named = scope.column(source, column)
    body = (
        f"with source<<u>> as (\n  select {named}\n  {scope.from_clause('  ').strip()}\n"
        f"  where {_where(rng, scope)}\n),\nfailing<<u>> as (\n  select * from source<<u>>"
        f" where {column} is null\n)\nselect count(*) as failures, count(*) != 0 as should_warn\n"
        "from failing<<u>>"
    )
    return Statement(f"{comment}\n{body}", reads=scope.reads)


def _notebook(rng: Random, tables: Sequence[Table], length: int) -> Statement:
    """An analysis: a comment, a common table expression, a window over it."""
    scope = Scope(tables, alias=rng.choice("abdxyz"))
    source = scope.sources[0]
    names = _some(rng, source.table.attributes, 3) or source.table.columns[:1]
    groups = [scope.column(source, c) for c in names]
    measure = rng.choice(source.table.measures or ["*"])
    total = "COUNT(*)" if measure == "*" else f"SUM({scope.column(source, measure)})"
    extra = [
        f"    MAX({scope.column(s, c)}) AS max_{c},\n"
        for s in scope.sources[1:]
        for c in _some(rng, s.table.measures, 2)
    ]
    extra += [f"    {item},\n" for item in _conditional_sums(rng, scope, length)]
    where = _where(rng, scope).replace("\n", "\n  ")
    text = (
        f"-- cell {rng.randint(2, 40)}: {rng.choice(('weekly check', 'for the review', 'draft'))}\n"
        f"WITH base<<u>> AS (\n  SELECT\n    {', '.join(groups)},\n{''.join(extra)}"
        f"    {total} AS total\n{scope.from_clause('  ')}\n  WHERE {where}\n"
        f"  GROUP BY {', '.join(groups)}\n)\n"
        f"SELECT *, RANK() OVER (PARTITION BY {names[0]} ORDER BY total DESC) AS place\n"
        "FROM base<<u>>\nWHERE total > <<number>>\nORDER BY place"
    )
    return Statement(text, reads=scope.reads)


def _person(rng: Random, tables: Sequence[Table], _: int) -> Statement:
    """What somebody types: lower case, one line or two."""
    scope = Scope(tables, alias=rng.choice("ceoprst"))
    columns = [scope.column(s, c) for s in scope.sources for c in _some(rng, s.table.columns, 5)]
    where = _where(rng, scope).replace("\n ", "")
    origin = scope.from_clause().replace("FROM", "from").replace("LEFT JOIN", "left join")
    order = f" order by {rng.choice(columns)} desc" if rng.random() < OFTEN else ""
    text = f"select {', '.join(columns)}\n{origin}\nwhere {where}{order} limit <<limit>>"
    return Statement(text, reads=scope.reads)


def _service(rng: Random, tables: Sequence[Table], _: int) -> Statement:
    """A look-up by an application: a few columns by key."""
    scope = Scope(tables[:1], alias="r")
    source = scope.sources[0]
    key = rng.choice(source.table.keys or list(source.table.columns))
    columns = ", ".join(scope.column(source, c) for c in _some(rng, source.table.columns, 6))
    where = f"{scope.column(source, key)} = <<id>>"
    text = f"SELECT {columns} {scope.from_clause()} WHERE {where} LIMIT <<limit>>"
    return Statement(text, reads=scope.reads)


STYLES = {
    "dashboard": _dashboard,
    "dbt": _dbt,
    "notebook": _notebook,
    "person": _person,
    "service": _service,
}
