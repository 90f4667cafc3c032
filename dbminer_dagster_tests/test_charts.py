"""Charts are valid SVG, whatever they show."""

import base64
import re
from datetime import date
from xml.etree import ElementTree

import pytest

from dbminer_dagster.charts import (
    LABEL_CHARACTERS,
    as_markdown,
    bar_chart,
    line_chart,
    small_bars,
)

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = 'x"><script>alert(1)</script>&amp;`|\n<!--'
D1, D2, D3, D4, D6 = (date(2026, 1, day) for day in (1, 2, 3, 4, 6))


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - our own


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in parsed(svg).iter(f"{SVG}text")]


def widths(svg: str) -> list[float]:
    return [float(bar.attrib["width"]) for bar in parsed(svg).iter(f"{SVG}rect")]


def test_bars_are_as_long_as_their_values() -> None:
    """The longest bar belongs to the highest value, the others are in proportion."""
    svg = bar_chart([("a", 40.0), ("b", 10), ("c", 0.0)], "Scores")
    longest, quarter, none = widths(svg)

    assert longest > 200
    assert quarter == pytest.approx(longest / 4, abs=0.1)
    assert none == 0
    assert texts(svg) == ["Scores", "a", "40.0", "b", "10", "c", "0.0"]


@pytest.mark.parametrize("rows", [[], [("a", 0.0)], [("a", -3.0)], [("a", -3.0), ("b", 2.0)]])
def test_any_values_give_a_chart(rows: list[tuple[str, float]]) -> None:
    """No row, zero and negative values give a valid chart without a bar of negative length."""
    found = widths(bar_chart(rows, "Scores"))

    assert len(found) == len(rows)
    assert all(0 <= width <= 720 for width in found)


@pytest.mark.parametrize(
    "svg", [bar_chart([(HOSTILE, 1.0)], HOSTILE), line_chart([], HOSTILE)], ids=["bars", "line"]
)
def test_hostile_names_stay_text(svg: str) -> None:
    """Markup in a name or a title is shown as it is spelled, and is no element."""
    assert {element.tag for element in parsed(svg).iter()} <= {
        f"{SVG}{tag}" for tag in ("svg", "title", "text", "rect")
    }
    assert HOSTILE in texts(svg)


def test_a_long_name_keeps_its_end() -> None:
    """Names differ at their ends, so the start of a long one is left out."""
    name = "catalog." + "s" * 60 + ".orders"

    _, label, _ = texts(bar_chart([(name, 1.0)], "Scores"))

    assert len(label) == LABEL_CHARACTERS
    assert label.startswith("…")
    assert name.endswith(label[1:])


def path_of(svg: str) -> str:
    *_, line = parsed(svg).iter(f"{SVG}path")
    return line.attrib["d"]


def test_a_missing_day_breaks_the_line() -> None:
    """Days in a row are joined, and a gap starts a new piece."""
    svg = line_chart([(D1, 5), (D2, 7), (D4, 6), (D6, 6)], "Reads")

    assert re.sub(r"[\d. ]", "", path_of(svg)) == "MLMM"
    assert len(list(parsed(svg).iter(f"{SVG}circle"))) == 4


def test_a_line_keeps_its_proportions() -> None:
    """Zero lies on the axis, the highest value on top, and days are evenly apart."""
    svg = line_chart([(D1, 0), (D2, 5), (D3, 10)], "Reads")
    places = [tuple(map(float, place.split())) for place in re.split("[ML]", path_of(svg))[1:]]
    (x1, bottom), (x2, middle), (x3, top) = places

    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert bottom > middle > top
    assert middle == pytest.approx((bottom + top) / 2)
    assert ["Reads", "10", "0", str(D1), str(D3)] == texts(svg)


@pytest.mark.parametrize("points", [[], [(D1, 3)], [(D1, 0), (D2, 0)], [(D1, -2), (D2, -1)]])
def test_any_days_give_a_line_chart(points: list[tuple[date, float]]) -> None:
    """No day, one day, zeros and negative values give a valid chart inside its frame."""
    root = parsed(line_chart(points, "Reads"))
    heights = [float(circle.attrib["cy"]) for circle in root.iter(f"{SVG}circle")]

    assert len(heights) == len(points)
    assert all(0 <= y <= float(root.attrib["height"]) for y in heights)


def test_markdown_holds_the_whole_chart() -> None:
    """The image needs no server: its address is the chart itself."""
    svg = bar_chart([(HOSTILE, 1.0)], "Größe")

    found = re.fullmatch(
        r"!\[scores\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", as_markdown(svg, "scores")
    )

    assert found is not None
    assert base64.b64decode(found[1]).decode() == svg


def test_small_bars_are_as_high_as_their_values() -> None:
    """Each value has its place; zero is a thin line, and None leaves its place empty."""
    (path,) = parsed(small_bars([10, 5, 0, None, 10], height=40)).iter(f"{SVG}path")
    bars = re.findall(r"M(\d+) 40V(\d+)h7V40", path.attrib["d"])

    assert [(int(x), 40 - int(y)) for x, y in bars] == [(0, 40), (8, 20), (16, 1), (32, 40)]
    assert "".join(f"M{x} 40V{y}h7V40" for x, y in bars) == path.attrib["d"]


@pytest.mark.parametrize("values", [[], [None], [0, 0], [10**15] * 31])
def test_any_values_give_small_bars(values: list[float | None]) -> None:
    """A month of bars is so short that Dagster shows it in place, whatever the values."""
    svg = small_bars(values)

    assert parsed(svg).attrib["width"] == str(8 * len(values))
    assert len(as_markdown(svg, "rows per day, 2026-01-01 to 2026-01-31")) < 850
