"""
The four panels of a picture of a trace: packet amounts, packets in flight, rejects, delivery.

They are drawn into axes that are given, with matplotlib, which is imported only to draw. Each panel
says above itself what it shows, has its units at its axes and its legend to its right, where it
covers nothing; where there is nothing to draw, it says so.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from txilpstream.trace.page import roundTripText
from txilpstream.trace.series import (
    ABANDONED,
    FULFILLED,
    OPEN,
    REJECTED,
    Series,
    TraceData,
    countPerInterval,
    niceInterval,
    rejectName,
    thinPoints,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "byteScaleOf",
    "drawAmounts",
    "drawDelivery",
    "drawFlight",
    "drawRejects",
    "roundWords",
    "scaleOf",
    "stepsOf",
]

# The colours of Okabe and Ito, which people who see colours differently can tell apart.
_BLUE, _ORANGE, _GREEN, _VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
_PURPLE, _SKY, _YELLOW, _DARK, _GREY = "#CC79A7", "#56B4E9", "#F0E442", "#222222", "#767676"

_TICK_STEPS: Final = (1, 2, 5, 10)
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


_MARKS: Final = (
    (FULFILLED, "fulfilled", "o", _BLUE, 2.2),
    (REJECTED, "rejected", "x", _VERMILION, 5.0),
    (OPEN, "in flight at the end", "s", _GREY, 3.0),
    (ABANDONED, "no answer in time", "D", _DARK, 4.5),
)
"""
How packets are drawn: outcome, name, marker, colour, size in points. The smaller lie upon the
larger.
"""

_CODE_COLORS: Final = {"F08": _ORANGE, "T04": _SKY, "T05": _PURPLE, "T00": _GREEN, "F99": _YELLOW}
_OTHER_COLORS: Final = (_VERMILION, _BLUE, "#8C6D31", "#999999")

_MOST_KINDS: Final = 8
"""Rejects of so many kinds have a colour of their own."""

_VISIBLE: Final = 0.01
"""The part of the whole time that a wait must last to be seen."""

_MOST_WAITS: Final = 300

_LABEL_WIDTH: Final = 30
"""Characters of a line of a legend."""

_COLUMNS: Final = 240
_ROWS: Final = 60
"""How finely points are told apart: a mark is about as wide and as high as a cell."""

_BARS: Final = 80
"""Intervals at most in which rejects are counted."""


# --- Amounts -------------------------------------------------------------------------------


def drawAmounts(axes: Axes, data: TraceData) -> None:
    """Each packet by amount and outcome, and the largest amounts as lines."""
    _explain(
        axes,
        "Amount of each packet",
        "Each mark is one packet, at the time it was sent. The line is what the path is believed"
        " to take.",
    )
    if not len(data.sent):
        _sayNothing(axes, "no packet was sent")
        return
    placeOf = _setAmountScale(axes, data)
    handles: list[Any] = []
    points = list(zip(data.sent.times, data.sent.values, strict=True))
    for outcome, name, marker, color, size in _MARKS:
        found = [point for point, own in zip(points, data.outcomes, strict=True) if own == outcome]
        fill = "none" if outcome == ABANDONED else "full"
        handles += _drawPoints(
            axes,
            found,
            placeOf,
            name,
            marker=marker,
            color=color,
            ms=size,
            fillstyle=fill,
            zorder=2.9 - size / 10,
        )
    probes = [points[index] for index in data.probes]
    handles += _drawPoints(
        axes, probes, placeOf, "probe", marker="o", color=_PURPLE, ms=8, fillstyle="none"
    )
    handles += _drawLimits(axes, data)
    _addLegend(axes, handles)


def _drawLimits(axes: Axes, data: TraceData) -> list[Any]:
    handles: list[Any] = []
    for series, name, color, style in (
        (data.limit, "largest amount the path takes", _DARK, "-"),
        (data.cap, "largest amount the liquidity takes", _GREEN, "--"),
    ):
        if series.numbers:
            handles += axes.step(
                *stepsOf(series, data.end),
                where="post",
                label=name,
                color=color,
                ls=style,
                lw=1.3,
                zorder=3,
            )
    return handles


def _drawPoints(
    axes: Axes,
    points: list[tuple[float, float]],
    placeOf: Callable[[float, float], tuple[float, float]],
    name: str,
    **look: Any,
) -> list[Any]:
    if not points:
        return []
    label = f"{name} ({len(points):,})"
    thin = thinPoints(points, placeOf, _COLUMNS, _ROWS)
    return axes.plot(*zip(*thin, strict=True), ls="", label=label, **look)


def _setAmountScale(axes: Axes, data: TraceData) -> Callable[[float, float], tuple[float, float]]:
    """
    Choose a linear scale, or a logarithmic one if most amounts would lie on the ground.

    @return: where in the panel a point lies.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    shown = [*data.sent.values, *data.limit.numbers, *data.cap.numbers]
    positive = sorted(value for value in shown if value > 0) or [1.0]
    greatest, typical = positive[-1], positive[len(positive) // 2]
    seconds = data.end - data.start or 1.0
    if greatest <= 30 * typical:
        factor, word = scaleOf(greatest)
        axes.set_ylim(-0.04 * greatest, 1.12 * greatest)
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1, steps=_TICK_STEPS))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / factor:,.6g}"))
        axes.set_ylabel(f"packet amount\n({word}source units)")
        return lambda time, amount: ((time - data.start) / seconds, amount / greatest)
    least = 10.0 ** math.floor(math.log10(positive[0]))
    axes.set_yscale("symlog", linthresh=least)
    decades = math.log10(greatest / least)
    every = math.ceil((decades + 1) / 6)
    first = round(math.log10(least))
    ticks = [10.0**power for power in range(first, first + math.ceil(decades) + 1, every)]
    hasZero = min(data.sent.values) == 0
    axes.set_yticks([0.0, *ticks] if hasZero else ticks)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: roundWords(value)))
    axes.set_ylim(-0.3 * least if hasZero else least * 0.8, greatest * 2)
    axes.set_ylabel("packet amount\n(source units, logarithmic)")
    return lambda time, amount: (
        (time - data.start) / seconds,
        math.log10(max(amount, least / 10) / least * 10) / (decades + 1),
    )


# --- In flight -----------------------------------------------------------------------------


def drawFlight(axes: Axes, data: TraceData) -> None:
    """Packets in flight, and packets per second on a second axis."""
    _explain(
        axes,
        "Packets in flight, and how fast they follow each other",
        "In flight are packets without an answer yet. Round trip: "
        f"{roundTripText(data) or 'not known'}.",
    )
    if not len(data.inFlight) and not len(data.pacing):
        _sayNothing(axes, "no packet was sent")
        return
    from matplotlib.ticker import MaxNLocator

    handles: list[Any] = []
    _colorAxis(axes, "packets in flight", _BLUE)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1, steps=_TICK_STEPS))
    if len(data.inFlight):
        times, values = stepsOf(data.inFlight, data.end)
        handles += axes.step(
            times, values, where="post", label="packets in flight", color=_BLUE, lw=0.9
        )
        axes.set_ylim(0, 1.12 * max(*values, 1.0))
    handles += _drawPace(axes.twinx(), data)
    long = [wait for wait in data.waits if wait[1] - wait[0] >= _VISIBLE * (data.end - data.start)]
    for begin, end in long[:_MOST_WAITS]:
        span = axes.axvspan(begin, min(end, data.end), color="#E9E9E9", lw=0)
        if begin == long[0][0]:
            span.set_label("waiting on purpose")
            handles.append(span)
    _addLegend(axes, handles)


def _drawPace(axes: Axes, data: TraceData) -> list[Any]:
    """The packets per second that were allowed, and those that were sent."""
    from matplotlib.ticker import FuncFormatter

    interval = niceInterval(data.end - data.start, _BARS)
    starts, counts = countPerInterval(data, data.sent.times, interval)
    # The last interval is seldom a whole one.
    widths = [min(interval, max(data.end - start, interval / 2)) for start in starts]
    rates = [count / width for count, width in zip(counts, widths, strict=True)]
    handles: list[Any] = []
    hasRate = len(data.sent) > 0 and data.end > data.start
    if hasRate:
        handles += axes.step(
            [*starts, data.end],
            [*rates, rates[-1]],
            where="post",
            label=f"packets sent per second\n(mean over {interval:g} s)",
            color=_ORANGE,
            lw=1.1,
        )
    allowed = data.pacing.numbers
    most = max([*rates, 1.0]) if hasRate else 1.0
    if allowed:
        isCut = hasRate and max(allowed) > 3 * most
        most = 3 * most if isCut else max(most, *allowed)
        handles += axes.step(
            *stepsOf(data.pacing, data.end),
            where="post",
            label="pacing rate allowed"
            + (f"\n(up to {max(allowed):,.0f}, off the panel)" if isCut else ""),
            color=_VERMILION,
            lw=1.3,
            ls="--",
        )
    axes.set_ylim(0, 1.12 * most)
    axes.grid(False)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    _colorAxis(axes, "packets per second", _VERMILION)
    return handles


# --- Rejects -------------------------------------------------------------------------------


def drawRejects(axes: Axes, data: TraceData) -> None:
    """Bars of rejects by code, and of packets without answer."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    interval = niceInterval(data.end - data.start, _BARS)
    _explain(
        axes,
        "Rejects by code",
        "Packets that came back, by the reason given (RFC 27), and packets that nobody answered in"
        " time.",
    )
    kinds = _kindsOfRejects(data)
    if not kinds:
        _sayNothing(axes, "no packet was rejected, and none was without an answer")
        return
    handles: list[Any] = []
    starts, _ = countPerInterval(data, (), interval)
    below = [0] * len(starts)
    for label, times, color, hatch in kinds:
        _, counts = countPerInterval(data, times, interval)
        handles.append(
            axes.bar(
                starts,
                counts,
                interval * 0.9,
                below,
                align="edge",
                label=textwrap.fill(f"{label} ({len(times):,})", _LABEL_WIDTH),
                color=color,
                hatch=hatch,
                edgecolor="#444444" if hatch else color,
                lw=0,
            )
        )
        below = [low + count for low, count in zip(below, counts, strict=True)]
    axes.set_ylim(0, 1.12 * max(below))
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1, steps=_TICK_STEPS))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.set_ylabel(f"packets per {interval:g} s")
    _addLegend(axes, handles)


def _kindsOfRejects(data: TraceData) -> list[tuple[str, list[float], str, str]]:
    """Label, times, colour and hatch of each kind, the most frequent first."""
    found = sorted(data.rejects.items(), key=lambda item: (-len(item[1]), item[0]))
    others = iter(_OTHER_COLORS)
    kinds: list[tuple[str, list[float], str, str]] = []
    rest: list[float] = []
    for (code, isByPeer), times in found:
        color = _CODE_COLORS.get(code) or next(others, "")
        if color and len(kinds) < _MOST_KINDS:
            kinds.append((rejectName(code, isByPeer), times, color, "///" if isByPeer else ""))
        else:
            rest += times
    if rest:
        kinds.append(("other codes", rest, "#CCCCCC", ""))
    if data.doubted:
        kinds.append(("no answer in time", data.doubted, _DARK, ""))
    return kinds


# --- Delivery ------------------------------------------------------------------------------


def drawDelivery(axes: Axes, data: TraceData) -> None:
    """Money and bytes that arrived so far; what this end received, if it sent no money."""
    _explain(
        axes,
        "Delivered so far",
        "What the peer confirmed as arrived: money, and bytes of application data. Flat means"
        " stalled.",
    )
    money, label, unit = data.delivered, "money delivered", "destination units"
    if not len(money) and len(data.received):
        money, label, unit = data.received, "money received by this end", "units of this end"
    if not len(money) and not len(data.deliveredBytes):
        _sayNothing(axes, "neither money nor data was delivered")
        return
    handles: list[Any] = []
    if len(money):
        factor, word = scaleOf(money.values[-1])
        handles += _drawTotal(axes, money, data, (factor, 1.12), label=label, color=_GREEN, lw=1.8)
        _colorAxis(axes, f"money\n({word}{unit})", _GREEN)
    else:
        axes.set_yticks([])
        axes.set_ylabel("no money was delivered", color=_GREY)
    if len(data.deliveredBytes):
        factor, word = byteScaleOf(data.deliveredBytes.values[-1])
        other = axes.twinx()
        other.grid(False)
        handles += _drawTotal(
            other,
            data.deliveredBytes,
            data,
            (factor, 1.5),
            label="data delivered",
            color=_BLUE,
            ls=(0, (4, 2)),
            lw=1.8,
        )
        _colorAxis(other, f"data ({word})", _BLUE)
    _addLegend(axes, handles)


def _drawTotal(
    axes: Axes, series: Series, data: TraceData, scale: tuple[float, float], **look: Any
) -> list[Any]:
    """
    @param scale: by what values are divided, and how many times the greatest value fits: two lines
        that grow alike would hide each other.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    factor, room = scale
    times, values = stepsOf(series, data.end)
    axes.set_ylim(0, room * max(values[-1], 1.0) / factor)
    axes.yaxis.set_major_locator(
        MaxNLocator(6, integer=factor == 1, min_n_ticks=1, steps=_TICK_STEPS)
    )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    shown = [0.0, *(value / factor for value in values)]
    return axes.step([data.start, *times], shown, where="post", **look)


# --- What panels have in common ------------------------------------------------------------


def _explain(axes: Axes, name: str, sentence: str) -> None:
    """What a panel shows, above it."""
    axes.text(0, 1.155, name, transform=axes.transAxes, size=11, weight="bold", va="center")
    axes.text(0, 1.05, sentence, transform=axes.transAxes, size=8.8, color="#555555", va="center")


def _addLegend(axes: Axes, handles: Sequence[Any]) -> None:
    """What the signs mean, to the right of a panel and of its second axis."""
    if handles:
        axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.09, 1.04))


def _sayNothing(axes: Axes, text: str) -> None:
    """There is nothing to draw."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=_GREY)
    axes.set_yticks([])


def _colorAxis(axes: Axes, label: str, color: str) -> None:
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
