"""The comparison with other tools as a picture: bars on a logarithmic scale."""

from collections.abc import Sequence
from html import escape
from math import log10

from peer_report import Comparison

from dbminer_dagster.charts import BAR, INK

WIDTH, LABEL_WIDTH, ROW_HEIGHT, HEAD_HEIGHT = 760, 260, 24, 34
TITLE = "Statements per second of processor time (logarithmic scale)"


def chart(comparisons: Sequence[Comparison]) -> str:
    """An SVG document with a group of bars for each workload; each grid line is ten times more."""
    rates = [rate.per_cpu_second for comparison in comparisons for rate in comparison.rates]
    lowest, highest = int(log10(min(rates))), int(log10(max(rates))) + 1
    scale = (WIDTH - LABEL_WIDTH - 70) / (highest - lowest)

    def place(rate: float) -> float:
        return LABEL_WIDTH + (log10(rate) - lowest) * scale

    parts, top = [], HEAD_HEIGHT
    for comparison in comparisons:
        parts.append(_text(0, top + 16, f"Workload {comparison.name}", weight=600))
        top += ROW_HEIGHT
        for rate in comparison.rates:
            end = place(rate.per_cpu_second)
            title = rate.title.replace("*", "").replace("`", "")
            parts += [
                _text(LABEL_WIDTH - 8, top + 15, title, anchor="end"),
                f'<rect x="{LABEL_WIDTH}" y="{top + 3}" width="{end - LABEL_WIDTH:.1f}" '
                f'height="16" rx="2" fill="{BAR}"/>',
                _text(end + 6, top + 15, f"{rate.per_cpu_second:,.0f}"),
            ]
            top += ROW_HEIGHT
        top += ROW_HEIGHT // 2
    grid = [_line(place(10**power), top) for power in range(lowest, highest + 1)]
    marks = [
        _text(place(10**power), top + 16, f"{10**power:,}", anchor="middle")
        for power in range(lowest, highest + 1)
    ]
    head = _text(0, 16, TITLE, weight=600)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top + 24}" '
        f'viewBox="0 0 {WIDTH} {top + 24}" font-family="system-ui,sans-serif" font-size="12">'
        f"<title>{escape(TITLE)}</title>{head}{''.join([*grid, *parts, *marks])}</svg>"
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: int = 400) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" fill="{INK}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )


def _line(x: float, bottom: float) -> str:
    return f'<path d="M{x:.1f} {HEAD_HEIGHT}V{bottom}" stroke="{INK}" stroke-width="0.3"/>'
