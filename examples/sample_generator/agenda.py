"""Who asks what: the routine loads of a day, and the templates that fill the rest of it."""

from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate
from random import Random

from sample_generator.company import Company
from sample_generator.model import STEADY, Entity, Principal, Table, Template, Trend
from sample_generator.specials import EDITOR, NOTEBOOK, Specials
from sample_generator.sql import joinable, select
from sample_generator.stories import RENAMED_ON, Planned, Stories
from sample_generator.writes import load

ZIPF = 1.1
# Share of the day's free statements: ordinary templates, deliberate ones, probes of the services
SHARES = (0.83, 0.12, 0.05)
STYLE_WEIGHTS = {"dashboard": 38, "person": 26, "notebook": 16, "service": 12, "dbt": 8}
DASHBOARDS = ("Databricks SQL Dashboard", "Tableau", "Power BI")
TRENDS = {
    "analytics.marketing.campaign_attribution": Trend(start=0.2, end=2.6),
    "analytics.marketing.audience_overlap": Trend(last=25, start=2.0, end=0.1),
    "analytics.marts.store_traffic_daily": Trend(last=RENAMED_ON),
    "analytics.marts.store_footfall_daily": Trend(first=RENAMED_ON),
}


class Agenda:
    """What runs when.

    Args:
        rng: The one source of chance.
        company: The company.
        templates: Number of ordinary templates.
        days: Length of the sample, for trends.
        text_length: Characters that dashboards and notebooks add to their texts.
    """

    def __init__(
        self, rng: Random, company: Company, *, templates: int, days: int, text_length: int
    ) -> None:
        self._rng = rng
        self._company = company
        self._days = days
        self._text_length = text_length
        self._stories = Stories(company)
        specials = Specials(company)
        self._specials = specials.templates()
        self._miner = specials.miner()
        self._routine = {t: self._load_template(t) for t in _loaded(company)}
        classes = (self._ordinary(templates), self._specials, specials.monitor())
        self._templates = [template for group in classes for template in group]
        self._weights = [
            share * weight
            for share, group in zip(SHARES, classes, strict=True)
            for weight in _zipf(len(group), ZIPF if group is classes[0] else 0.3)
        ]
        self._sums: list[float] = []

    def planned(self, index: int, day_of_month: int, room: int) -> list[Planned]:
        """Loads, stories and the miner's own statement, by time.

        Args:
            index: Days since the first day; a Monday when it divides by seven.
            day_of_month: For the loads of month ends.
            room: At most so many of the regional loads.
        """
        due = [*self._due(index, day_of_month)]
        regional = [t for t in self._routine if t.load == "regional"][index % 7 :: 7][:room]
        planned = [
            Planned(_load_second(table, number), self._routine[table])
            for number, table in enumerate([*due, *regional])
        ]
        planned += self._stories.of_day(index)
        planned.append(Planned(4 * 3600, self._miner))
        if index % 2 == 0 and index // 2 < len(self._specials):
            planned.append(Planned(13 * 3600, self._specials[index // 2]))
        if index % 2 == 1:
            position = -1 - index // 2 % len(self._specials)
            planned.append(Planned(14 * 3600, self._specials[position]))
        return sorted(planned, key=lambda p: p.second)

    def cluster_loads(self) -> list[Table]:
        """Tables that jobs on clusters load every day: lineage tells of them, no statement."""
        return [t for t in self._company.tables.values() if t.load in ("path", "cluster")]

    def open_day(self, index: int) -> None:
        """Set the odds of all templates for one day."""
        factors = (t.trend.factor(index, self._days) for t in self._templates)
        weights = (w * f for w, f in zip(self._weights, factors, strict=True))
        self._sums = list(accumulate(weights))

    def draw(self) -> Template:
        """A template by the odds of the day."""
        position = bisect(self._sums, self._rng.random() * self._sums[-1])
        return self._templates[min(position, len(self._templates) - 1)]

    def _due(self, index: int, day_of_month: int) -> Iterator[Table]:
        monday, weekend = index % 7 == 0, index % 7 >= 5  # noqa: PLR2004 - Saturday is 5
        for table in self._routine:
            match table.load:
                case "copy" | "merge" | "insert":
                    yield table
                case "overwrite" | "replace" if not weekend:
                    yield table
                case "view" | "weekly" if monday:
                    yield table
                case "monthly" if day_of_month == 1:
                    yield table
                case _:
                    pass

    def _load_template(self, table: Table) -> Template:
        """A routine load under the service principal and the job that own the catalog."""
        services, jobs = self._company.services, self._company.entities["JOB"]
        owner = {"prod": 0, "analytics": 1, "finance": 2}.get(table.catalog, 3)
        application = "dbt" if owner in (1, 2) else NOTEBOOK
        return Template(
            (load(table),),
            (services[owner],),
            application,
            (jobs[owner],),
            tags=(("team", f"{table.catalog}-platform"),),
            typical_ms=45_000,
        )

    def _ordinary(self, count: int) -> list[Template]:
        """Templates of everyday reads; the hottest tables come first, then chance decides."""
        readable = [self._company.tables[name] for name in TRENDS] + self._company.readable
        hot = self._company.readable
        sums = list(accumulate(_zipf(len(readable), 0.9)))
        made = []
        for number in range(count):
            if number < len(hot) // 2:
                table = hot[number]
            else:
                place = bisect(sums, self._rng.random() * sums[-1])
                table = readable[min(place, len(readable) - 1)]
            made.append(self._ordinary_template(table))
        for name in TRENDS:
            made[10:10] = [self._ordinary_template(self._company.tables[name])]
        return made[:count] if count > len(TRENDS) else made

    def _ordinary_template(self, table: Table) -> Template:
        rng = self._rng
        style = rng.choices(list(STYLE_WEIGHTS), list(STYLE_WEIGHTS.values()))[0]
        tables = self._with_joins(table)
        statement = select(rng, style, tables, length=self._text_length)
        trend = TRENDS.get(table.full_name, STEADY)
        application, users, entities = self._place(style)
        return Template(
            (statement,),
            users,
            application,
            entities,
            trend,
            cacheable=style in ("dashboard", "service"),
            typical_ms=int(400 * 1.6 ** rng.randint(0, 9)),
        )

    def _with_joins(self, table: Table) -> list[Table]:
        """The table, often with one or two others that share a key."""
        tables = [table]
        wanted = self._rng.choices((0, 1, 2), (55, 32, 13))[0]
        partners = joinable(table, self._company.readable[:60])
        self._rng.shuffle(partners)
        return tables + partners[:wanted]

    def _place(self, style: str) -> tuple[str, tuple[Principal, ...], tuple[Entity, ...]]:
        """Application, users and entities of a template, by its style."""
        rng, entities = self._rng, self._company.entities
        match style:
            case "dashboard":
                application = rng.choices(DASHBOARDS, (60, 25, 15))[0]
                kind = rng.choices(("DASHBOARD_V3", "DBSQL_DASHBOARD"), (85, 15))[0]
                own = application == DASHBOARDS[0]
                shown = (rng.choice(entities[kind]),) if own else (Entity(),)
                return application, self._people(14), shown
            case "notebook":
                return NOTEBOOK, self._people(3), (rng.choice(entities["NOTEBOOK"]),)
            case "person":
                return EDITOR, self._people(4), (rng.choice(entities["DBSQL_QUERY"]), Entity())
            case "dbt":
                return "dbt", (self._company.services[1],), (entities["JOB"][1],)
            case _:
                service = rng.choice(self._company.services[3:-1])
                return "Databricks SQL Connector for Python", (service,), (Entity(),)

    def _people(self, most: int) -> tuple[Principal, ...]:
        """A team: few people appear in very many teams."""
        people, rng = self._company.people, self._rng
        picks = [int(len(people) * rng.random() ** 2) for _ in range(rng.randint(1, most))]
        return tuple(people[p] for p in dict.fromkeys(picks))


def _loaded(company: Company) -> list[Table]:
    """Tables that a routine statement loads."""
    by_hand = ("none", "story", "path", "cluster")
    return [t for t in company.tables.values() if t.load not in by_hand]


def _load_second(table: Table, number: int) -> int:
    """Raw tables at one, then layer by layer until six."""
    hour = {"bronze": 1, "silver": 2, "gold": 3, "marts": 4}.get(table.schema, 5)
    return hour * 3600 + number * 37 % 3000


def _zipf(count: int, exponent: float) -> list[float]:
    """Weights that fall with the rank; they sum to one."""
    weights = [rank**-exponent for rank in range(1, count + 1)]
    total = sum(weights)
    return [weight / total for weight in weights]
