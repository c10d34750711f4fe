"""
What the panels of a picture of a trace have in common: colours, words, units, legends.

This module knows axes and numbers, and nothing of what a panel shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from txilpstream.trace.series import Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "BLUE",
    "DARK",
    "GREEN",
    "GREY",
    "ORANGE",
    "PURPLE",
    "SKY",
    "TICK_STEPS",
    "VERMILION",
    "YELLOW",
    "addLegend",
    "byteScaleOf",
    "colorAxis",
    "explain",
    "roundWords",
    "sayNothing",
    "scaleOf",
    "stepsOf",
]

# The colours of Okabe and Ito, which people who see colours differently can tell apart.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, DARK, GREY = "#CC79A7", "#56B4E9", "#F0E442", "#222222", "#767676"

TICK_STEPS: Final = (1, 2, 5, 10)
"""Ticks are so far apart, times a power of ten."""

_WORDS: Final = (
    (1e18, 1e18, "quintillion "),
    (1e15, 1e15, "quadrillion "),
    (1e12, 1e12, "trillion "),
    (1e9, 1e9, "billion "),
    (1e6, 1e6, "million "),
    (1e4, 1e3, "thousand "),
)
"""From which amount on, what it is divided by, and the word for it."""

_LINE_COLUMNS: Final = 900


def explain(axes: Axes, name: str, sentence: str) -> None:
    """What a panel shows, above it."""
    axes.text(0, 1.155, name, transform=axes.transAxes, size=11, weight="bold", va="center")
    axes.text(0, 1.05, sentence, transform=axes.transAxes, size=8.8, color="#555555", va="center")


def addLegend(axes: Axes, handles: Sequence[Any]) -> None:
    """What the signs mean, to the right of a panel and of its second axis."""
    if handles:
        axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.09, 1.04))


def sayNothing(axes: Axes, text: str) -> None:
    """There is nothing to draw."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)
    axes.set_yticks([])


def colorAxis(axes: Axes, label: str, color: str) -> None:
    """An axis has the colour of its line."""
    axes.set_ylabel(label, color=color)
    axes.tick_params(axis="y", labelcolor=color)


def scaleOf(greatest: float) -> tuple[float, str]:
    """By what large amounts are divided to be readable, with a word for it."""
    for least, factor, word in _WORDS:
        if greatest >= least:
            return factor, word
    return 1.0, ""


def stepsOf(series: Series, end: float) -> tuple[list[float], list[float]]:
    """A series that keeps each value until the next, and the last one until the end."""
    times, values = series.thinLine(_LINE_COLUMNS)
    return [*times, end], [*values, values[-1]]


def roundWords(value: float) -> str:
    """A round number, short."""
    factor, word = scaleOf(value)
    return f"{value / factor:,.6g} {word}".rstrip()


def byteScaleOf(greatest: float) -> tuple[float, str]:
    """By what a number of bytes is divided, and the unit that this makes."""
    for factor, unit in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if greatest >= factor:
            return factor, unit
    return 1, "bytes"
