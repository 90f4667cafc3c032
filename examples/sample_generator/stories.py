"""Dated events: each is told in `examples/README.md`, with the names to look up.

Days count from the first day of the sample.
"""

# ruff: noqa: S608 - these texts go to files and are never run

from collections.abc import Iterator
from typing import NamedTuple

from sample_generator.company import Company
from sample_generator.model import Edge, Statement, Table, Template
from sample_generator.writes import load

REBUILT_FROM = 17
RENAMED_ON = 21
TWICE_ON = 29
FIRST_WEEK = 5


class Planned(NamedTuple):
    """A template that runs at a second of a day."""

    second: int
    template: Template


class Stories:
    """What happens to named tables on named days."""

    def __init__(self, company: Company) -> None:
        self._tables = company.tables
        self._jobs = tuple(company.entities["JOB"])
        self._notebooks = tuple(company.entities["NOTEBOOK"])
        self._dbt = (company.services[1],)
        self._finance = (company.services[2],)
        self._ana = (company.people[0],)

    def of_day(self, index: int) -> Iterator[Planned]:
        """All planned events of one day."""
        yield from self._rebuilt(index)
        yield from self._twice_rebuilt(index)
        yield from self._renamed(index)
        yield from self._first_week_only(index)
        yield from self._dialect(index)
        yield from self._sandbox(index)
        yield self._over_midnight()

    def _job(self, clock: str, statement: Statement, *, typical_ms: int = 40_000) -> Planned:
        template = Template((statement,), self._dbt, "dbt", self._jobs[:2], typical_ms=typical_ms)
        return Planned(_second(clock), template)

    def _by_hand(self, clock: str, statement: Statement) -> Planned:
        template = Template((statement,), self._ana, "Databricks Notebook", self._notebooks[:1])
        return Planned(_second(clock), template)

    def _gold(self, *names: str) -> list[Table]:
        return [self._tables[f"prod.gold.{name}"] for name in names]

    def _rebuilt(self, index: int) -> Iterator[Planned]:
        """`customer_value` moves from orders to payments."""
        fact = "fact_orders" if index < REBUILT_FROM else "fact_payments"
        target = self._tables["analytics.marts.customer_value"]
        yield self._job("05:40", load(target, sources=self._gold("dim_customers", fact)))

    def _twice_rebuilt(self, index: int) -> Iterator[Planned]:
        """`budget_baseline` is rebuilt from the ledger at nine and from an import at three."""
        target = self._tables["finance.planning.budget_baseline"]
        ledger = load(target, sources=[self._tables["finance.ledger.general_ledger"]])
        imported = load(target, sources=[self._tables["finance.planning.budget_import"]])
        if index == TWICE_ON:
            yield self._job("09:00", ledger)
            yield self._job("15:00", imported)
        elif index % 7 == 0:
            yield self._job("06:30", ledger if index < TWICE_ON else imported)

    def _renamed(self, index: int) -> Iterator[Planned]:
        """`store_traffic_daily` becomes `store_footfall_daily`; lineage does not follow."""
        old, new = (
            self._tables[f"analytics.marts.store_{n}_daily"] for n in ("traffic", "footfall")
        )
        if index == RENAMED_ON:
            text = f"ALTER TABLE {old.sql_name} RENAME TO {new.sql_name}"
            yield self._job("04:30", Statement(text, "ALTER"))
        target = old if index < RENAMED_ON else new
        yield self._job("05:10", load(target))

    def _first_week_only(self, index: int) -> Iterator[Planned]:
        """Two seasonal tables are loaded in the first week and never again."""
        if index < FIRST_WEEK:
            for name in ("holiday_gift_guide", "winter_clearance"):
                yield self._job("06:05", load(self._tables[f"analytics.marts.{name}"]))

    def _dialect(self, index: int) -> Iterator[Planned]:
        """Statements that Databricks accepts and many parsers do not; lineage comes and goes."""
        ways = {
            "merge_evolving": "sandbox.data_science.size_advice",
            "replace_where": "sandbox.growth.uplift_draft",
            "replace_on": "sandbox.growth.trial.v2",
        }
        how = list(ways)[index % 3]
        statement = load(self._tables[ways[how]], how=how)
        if index % 2:
            statement = _without_lineage(statement)
        yield self._job("07:15", statement)

    def _sandbox(self, index: int) -> Iterator[Planned]:
        """One person's own table: created, updated, thinned out, dropped, created again."""
        table = self._tables["sandbox.people.ana_tmp_orders"]
        if index in (0, 13):
            yield self._by_hand("09:20", load(table, how="create"))
        if index == 12:  # noqa: PLR2004 - the day on which she starts over
            yield self._by_hand("16:45", Statement(f"DROP TABLE {table.sql_name}", "DROP"))
        if index % 5 == 1:
            update = f"UPDATE {table.sql_name} SET order_status = 'checked' WHERE order_id = <<id>>"
            delete = f"DELETE FROM {table.sql_name} WHERE order_date < DATE'<<day>>'"
            yield self._by_hand("10:05", Statement(update, "UPDATE", target=table, lineage=True))
            yield self._by_hand("10:25", Statement(delete, "DELETE", target=table))
            yield self._by_hand("11:00", self._distinct())

    def _distinct(self) -> Statement:
        """A table rewritten from itself: an edge from it to itself."""
        table = self._tables["sandbox.people.copy_of_customers"]
        columns = ", ".join(table.columns)
        name = table.sql_name
        return Statement(
            f"INSERT OVERWRITE TABLE {name}\nSELECT DISTINCT {columns}\nFROM {name}",
            "INSERT",
            {table: table.columns},
            table,
            tuple(Edge(table, c, c) for c in table.columns),
            lineage=True,
        )

    def _over_midnight(self) -> Planned:
        """Starts before midnight, ends after: the statement's day is not its lineage's day."""
        target = self._tables["finance.ledger.revenue_recognition"]
        statement = load(target, how="overwrite")
        template = Template(
            (statement,), self._finance, "dbt", self._jobs[2:3], typical_ms=20 * 60_000
        )
        return Planned(_second("23:55"), template)


def _second(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60


def _without_lineage(statement: Statement) -> Statement:
    return Statement(
        statement.text, statement.statement_type, statement.reads, statement.target, lineage=False
    )
