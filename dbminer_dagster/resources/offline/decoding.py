"""From the bytes of one object to a row or an answer, whichever shape it has."""

from datetime import date, datetime
from typing import TypeVar

import msgspec
from msgspec.json import Decoder

UNDECODABLE = (msgspec.DecodeError, ValueError, RecursionError)

Row = TypeVar("Row")
Other = TypeVar("Other")


def decode_either(content: bytes, likely: Decoder[Row], other: Decoder[Other]) -> Row | Other:
    """Decodes one of two shapes; an error speaks of the likely one."""
    try:
        return likely.decode(content)
    except msgspec.ValidationError:
        try:
            return other.decode(content)
        except msgspec.ValidationError:
            pass
        raise


def check_time(time: datetime | None) -> None:
    """Refuses a time whose UTC day has no year of four digits."""
    if time is not None and not date.min.year < time.year < date.max.year:
        raise ValueError(f"year {time.year} is out of range")
