"""Small SVG charts that Dagster shows in place, in its light and its dark theme.

The colours are middle tones that stand out from white and from black; text takes the colour of
mid grey for the same reason, since an image cannot know the theme around it.
"""

import base64
from collections.abc import Iterable, Sequence
from datetime import date
from html import escape

BAR = "#4c8dd6"
INK = "#8a8f98"
WIDTH = 720
ROW_HEIGHT = 22
LABEL_WIDTH = 330
LABEL_CHARACTERS = 46
SMALL_STEP = 8


def bar_chart(rows: Sequence[tuple[str, float]], title: str) -> str:
    """Horizontal bars with their labels and values, as an SVG document."""
    longest = _scale(value for _, value in rows)
    room = WIDTH - LABEL_WIDTH - 80
    bars = []
    for index, (label, value) in enumerate(rows):
        top = 30 + index * ROW_HEIGHT
        length = max(0.0, value) / longest * room
        bars.append(
            _text(LABEL_WIDTH - 8, top + 12, shortened(label, LABEL_CHARACTERS), anchor="end")
            + f'<rect x="{LABEL_WIDTH}" y="{top}" width="{length:.1f}" height="15" rx="2" '
            f'fill="{BAR}"/>' + _text(LABEL_WIDTH + length + 6, top + 12, _figure(value))
        )
    return _document(title, 40 + len(rows) * ROW_HEIGHT, "".join(bars))


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def line_chart(points: Sequence[tuple[date, float]], title: str) -> str:
    """A line over days, as an SVG document; a day without a point breaks the line."""
    if not points:
        return _document(title, 60, _text(10, 45, "no days"))
    first, highest = points[0][0], _scale(value for _, value in points)
    span = max((points[-1][0] - first).days, 1)
    height, left, right = 200, 60, WIDTH - 20
    places = [
        (
            day,
            left + (day - first).days / span * (right - left),
            160 - max(0.0, value) / highest * 120,
        )
        for day, value in points
    ]
    path, previous = "", None
    for day, x, y in places:
        follows = previous is not None and (day - previous).days == 1
        path += f"{'L' if follows else 'M'}{x:.1f} {y:.1f}"
        previous = day
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{BAR}"/>' for _, x, y in places
    )
    axis = (
        f'<path d="M{left} 160H{right}" stroke="{INK}" stroke-width="0.5"/>'
        + _text(left - 6, 44, f"{highest:,.0f}", anchor="end")
        + _text(left - 6, 164, "0", anchor="end")
        + _text(left, 182, str(points[0][0]))
        + _text(right, 182, str(points[-1][0]), anchor="end")
    )
    line = f'<path d="{path}" fill="none" stroke="{BAR}" stroke-width="2"/>'
    return _document(title, height, axis + line + dots)


def small_bars(values: Sequence[float | None], height: int = 36) -> str:
    """Bars without any word, as an SVG document so short that Dagster shows it in place.

    Args:
        values: One for each bar, from left to right; None leaves its place empty.
        height: In pixels.
    """
    highest = _scale(value for value in values if value is not None)
    path = "".join(
        f"M{place * SMALL_STEP} {height}V{height - _size(value / highest * height)}"
        f"h{SMALL_STEP - 1}V{height}"
        for place, value in enumerate(values)
        if value is not None
    )
    width = len(values) * SMALL_STEP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f'<path d="{path}" fill="{BAR}"/></svg>'
    )


def _size(pixels: float) -> int:
    """Nothing is a thin line, so that it differs from no bar."""
    return max(1, round(pixels))


def _scale(values: Iterable[float]) -> float:
    """The value that fills the chart; counts and scores begin at 0."""
    highest = max(values, default=0)
    return highest if highest > 0 else 1


def as_markdown(svg: str, alternative: str) -> str:
    """The chart as a Markdown image that needs no server.

    Dagster shows Markdown of less than 1,000 characters in place, and longer one on a click.
    """
    data = base64.b64encode(svg.encode()).decode()
    return f"![{alternative}](data:image/svg+xml;base64,{data})"


def _document(title: str, height: int, body: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="system-ui,sans-serif" font-size="12">'
        f"<title>{escape(title)}</title>"
        f'<text x="0" y="16" fill="{INK}" font-weight="600">{escape(title)}</text>{body}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y}" fill="{INK}" text-anchor="{anchor}">{escape(text)}</text>'


def shortened(label: str, characters: int) -> str:
    """The end of a name tells it apart, so the start goes."""
    return label if len(label) <= characters else "…" + label[1 - characters :]
