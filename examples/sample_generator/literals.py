"""Fills the `<<slots>>` of statement texts with literals that change from run to run."""

import re
from datetime import date, timedelta
from random import Random

from sample_generator.model import Statement

SLOT = re.compile(r"<<(\w+)>>")
CHOICES = {
    "region": ("North", "South", "East", "West", "Alps", "Coast"),
    "channel": ("web", "store", "app", "marketplace"),
    "currency": ("EUR", "CHF", "USD", "GBP"),
    "category": ("tents", "packs", "boots", "jackets", "climbing", "cooking"),
    "country": ("AT", "CH", "DE", "FR", "IT", "NO", "SE"),
    "limit": ("10", "50", "100", "500", "1000"),
}
RECENT_DAYS = 30


class Literals:
    """Draws literals.

    Args:
        rng: The one source of chance.
        unique: Whether `<<u>>` becomes a suffix that no other statement has.
    """

    def __init__(self, rng: Random, *, unique: bool) -> None:
        self._rng = rng
        self._unique = unique
        self._number = 0
        self._pieces: dict[Statement, list[str]] = {}
        self._days: tuple[str, ...] = ()

    def open_day(self, day: date) -> None:
        """Let dates be recent as seen from the day."""
        self._days = tuple(str(day - timedelta(days=n)) for n in range(RECENT_DAYS))

    def fill(self, statement: Statement) -> str:
        """The text of one run."""
        pieces = self._pieces.get(statement)
        if pieces is None:
            pieces = self._pieces[statement] = SLOT.split(statement.text)
        if len(pieces) == 1:
            return pieces[0]
        filled = pieces.copy()
        self._number += 1
        suffix = f"_{self._number:x}" if self._unique else ""
        for place in range(1, len(filled), 2):
            slot = filled[place]
            filled[place] = suffix if slot == "u" else self._literal(slot)
        return "".join(filled)

    def _literal(self, slot: str) -> str:
        chance = self._rng.random()
        match slot:
            case "day":
                return self._days[int(RECENT_DAYS * chance)]
            case "number":
                return str(int(5_000 * chance))
            case "id":
                return str(100_000 + int(900_000 * chance))
            case "version":
                return str(1 + int(90 * chance))
            case _:
                choices = CHOICES[slot]
                return choices[int(len(choices) * chance)]
