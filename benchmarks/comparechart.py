"""
The picture of C{docs/comparison.rst}: a bar for each figure that has a goal or is a codec's.

Bars are on a scale of powers of ten, and their length is how many times better than the peer ours
is: the ratio of a rate, one over the ratio of a cost. It is SVG written by hand, like the other
pictures of the manual, so that nothing need be installed to draw it.
"""

from __future__ import annotations

from math import log10
from typing import Any
from xml.sax.saxutils import escape

Report = dict[str, Any]

WIDTH = 960
LEFT = 470
"""Where the bars' scale begins."""
RIGHT = 890
ROW = 19
GAP = 26
"""Between two groups, with the heading of the second in it."""
TOP = 112

LEAST, MOST = 0.2, 500.0
"""The ends of the scale; what is beyond is drawn to the end."""

TICKS = (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)

HEADINGS = {
    "a": "(a) Both ends in one process: money",
    "b": "(b) Receiving alone",
    "c": "(c) Both ends in one process: data",
    "d": "(d) Time to the first unit, 50 ms round trip",
    "e": "(e) A round trip of 50 ms",
    "f": "(f) Processes of their own, with connectors",
    "g": "(g) Memory",
    "h": "(h) Operations on packets, per second of CPU",
}

SHORT = {
    ", both ends in one process": "",
    ", ilp-connector over BTP between processes": ", over BTP",
    ", two ilp-connectors over HTTP between processes": ", over HTTP",
    "receiving alone: ": "",
    "first unit, 50 ms round trip, ": "",
    ", 50 ms round trip": ", 50 ms",
    "µs of CPU": "CPU",
    "ms of CPU": "CPU",
    "MiB at most": "at most",
    ", per second of CPU": "",
}
"""What is said shorter beside a bar than in the tables."""

COLOURS = {True: "#7a7", False: "#d77", None: "#99b"}
"""Goal met, goal missed, no goal."""


def drawChart(report: Report) -> str:
    """The picture as text."""
    figures = [
        each for each in report["figures"] if each["goal"] is not None or each["letter"] == "h"
    ]
    bars: list[str] = []
    y, letter = TOP, ""
    for each in figures:
        if each["letter"] != letter:
            y += GAP if letter else 0
            letter = each["letter"]
            bars.append(
                f'  <text x="{LEFT - 8}" y="{y - 4}" text-anchor="end" font-weight="bold">'
                f"{escape(HEADINGS[letter])}</text>"
            )
        bars += _bar(each, y)
        y += ROW
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 20}" '
        'font-family="sans-serif" font-size="11.5">',
        "  <title>Ours against theirs: how many times better</title>",
        f'  <rect width="{WIDTH}" height="{y + 20}" fill="#fff"/>',
        *_head(report),
        *_scale(y),
        *bars,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _place(value: float) -> float:
    """Where a value is on the scale."""
    value = min(max(value, LEAST), MOST)
    return LEFT + (RIGHT - LEFT) * log10(value / LEAST) / log10(MOST / LEAST)


def _head(report: Report) -> list[str]:
    text = f"txilpstream {report['txilpstream']} on Python {report['python']} against the peers"
    under = (
        f"on Node {report['node']}; medians of {report['runs']}, {report['date']}. "
        "Longer is better for us; at 1 both are the same."
    )
    lines = [
        f'  <text x="{WIDTH / 2}" y="26" text-anchor="middle" font-size="17">{escape(text)}</text>',
        f'  <text x="{WIDTH / 2}" y="46" text-anchor="middle">{escape(under)}</text>',
    ]
    x = LEFT
    for words, colour in (
        ("goal met", COLOURS[True]),
        ("goal missed", COLOURS[False]),
        ("no goal", COLOURS[None]),
    ):
        lines.append(f'  <rect x="{x}" y="57" width="12" height="12" fill="{colour}"/>')
        lines.append(f'  <text x="{x + 17}" y="67">{words}</text>')
        x += 100
    lines.append(f'  <path d="M{x} 56 V70" stroke="#000" stroke-width="2"/>')
    lines.append(f'  <text x="{x + 8}" y="67">the goal</text>')
    return lines


def _scale(bottom: int) -> list[str]:
    lines = []
    for tick in TICKS:
        x = _place(tick)
        colour = "#333" if tick == 1 else "#ddd"
        lines.append(f'  <path d="M{x:.1f} {TOP - 22} V{bottom}" stroke="{colour}"/>')
        lines.append(
            f'  <text x="{x:.1f}" y="{TOP - 26}" text-anchor="middle" fill="#555">{tick:g}</text>'
        )
    return lines


def _better(each: Report, ratio: float) -> float:
    """How many times better than the peer's a ratio says that ours is."""
    return ratio if each["isRate"] else 1 / ratio


def _name(each: Report) -> str:
    """What stands beside a bar."""
    name = f"{each['name']}, {each['peer']}: {each['unit']}"
    if each["letter"] == "h":
        name = str(each["unit"])
    for long, short in SHORT.items():
        name = name.replace(long, short)
    return name


def _bar(each: Report, y: int) -> list[str]:
    better = _better(each, each["ratio"])
    start, end = sorted((_place(1), _place(better)))
    lines = [
        f'  <text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(_name(each))}</text>',
        f'  <rect x="{start:.1f}" y="{y + 2}" width="{max(end - start, 1):.1f}" height="{ROW - 5}" '
        f'fill="{COLOURS[each["holds"]]}"/>',
    ]
    after = max(end, _place(1))
    if each["goal"] is not None:
        x = _place(_better(each, each["goal"]))
        lines.append(f'  <path d="M{x:.1f} {y} V{y + ROW - 1}" stroke="#000" stroke-width="2"/>')
        if after <= x < after + 36:  # the number would lie on the mark
            after = x
    lines.append(f'  <text x="{after + 6:.1f}" y="{y + 12}">{better:.3g}</text>')
    return lines
