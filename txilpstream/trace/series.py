"""
What a picture of a trace shows: series of numbers and totals, gathered from the events.

Events and particulars that are not known here are passed over, and so are particulars that are not
what they should be: a trace may come from another release.
"""

from __future__ import annotations

import math
import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from txilpstream.trace.file import TraceEvent, TraceHeader, readHeader, readTrace
from txilpstream.wire.ilp import ERROR_NAMES

__all__ = [
    "ABANDONED",
    "FULFILLED",
    "OPEN",
    "REJECTED",
    "Series",
    "TraceData",
    "cleanText",
    "countPerInterval",
    "niceInterval",
    "readTraceData",
    "rejectName",
    "thinPoints",
]

OPEN: Final = 0
"""The packet was in flight when the trace ended."""

FULFILLED: Final = 1
REJECTED: Final = 2

ABANDONED: Final = 3
"""There was no answer in time, or one without meaning: its money is in doubt."""

_GREATEST: Final = 1e30
"""STREAM has no greater number: 64 bits end before 2e19."""

_LONGEST: Final = 1e12
"""Seconds: no trace lasts so long, and no clock is so wrong."""

_SHORTEST: Final = 1e-6
"""Seconds: what is less is no time at all."""

_LONGEST_TEXT: Final = 120
"""Characters of a text that stands in a picture."""


class Series:
    """
    Values over time.

    @ivar times: seconds since the first event.
    @ivar values: as many; NaN where there is none.
    """

    __slots__ = ("times", "values")

    def __init__(self) -> None:
        self.times = array("d")
        self.values = array("d")

    def __len__(self) -> int:
        return len(self.times)

    def add(self, time: float, value: float | None) -> None:
        """Add a value, or None for none."""
        self.times.append(time)
        self.values.append(math.nan if value is None else value)

    def grow(self, time: float, step: float) -> None:
        """Add a value that is the last one and C{step}; a series starts at 0."""
        self.add(time, (self.values[-1] if self.values else 0.0) + step)

    @property
    def numbers(self) -> list[float]:
        """The values where there are any."""
        return [value for value in self.values if not math.isnan(value)]

    def thinLine(self, columns: int) -> tuple[list[float], list[float]]:
        """
        Leave out what a line does not show at a width of so many columns.

        Of each column the first, least, greatest and last value stay, and one that is missing.
        """
        if len(self) <= 4 * columns:
            return list(self.times), list(self.values)
        least = min(self.times)
        width = (max(self.times) - least) / columns or 1.0
        kept: dict[int, dict[str, int]] = {}
        for index, (time, value) in enumerate(zip(self.times, self.values, strict=True)):
            column = kept.setdefault(int((time - least) / width), {"first": index})
            column["last"] = index
            if math.isnan(value):
                column["missing"] = index
            else:
                if value <= self.values[column.setdefault("least", index)]:
                    column["least"] = index
                if value > self.values[column.setdefault("greatest", index)]:
                    column["greatest"] = index
        indexes = sorted({index for column in kept.values() for index in column.values()})
        return [self.times[index] for index in indexes], [self.values[index] for index in indexes]


def thinPoints(
    points: Iterable[tuple[float, float]],
    placeOf: Callable[[float, float], tuple[float, float]],
    columns: int,
    rows: int,
) -> list[tuple[float, float]]:
    """
    Leave out points that would lie upon others.

    @param points: pairs; of those that come to the same column and row the first stays.
    @param placeOf: where a point comes to be in the picture, from 0 to 1 both ways.
    """
    kept: dict[tuple[int, int], tuple[float, float]] = {}
    for point in points:
        across, up = placeOf(*point)
        kept.setdefault((int(across * columns), int(up * rows)), point)
    return list(kept.values())


def cleanText(value: object) -> str:
    """A text that others may have written, short and fit for print."""
    text = str(value)
    short = text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 3] + "..."
    return "".join(char if char.isprintable() else "?" for char in short)


def rejectName(code: str, isByPeer: bool) -> str:
    """A reject code with its name in RFC 27, and who gave it if that was the peer."""
    name = ERROR_NAMES.get(code, "(not a code of RFC 27)")
    return f"{cleanText(code)[:10]} {name}" + (", by the peer" if isByPeer else "")


@dataclass(slots=True)
class TraceData:
    """
    All that there is to draw. Amounts are source units unless their name says otherwise.

    @ivar start: seconds since the first event of the earliest; less than 0 if a clock was set back.
    @ivar end: of the latest.
    @ivar counts: how many events there were of each name.
    @ivar sent: the amount of each packet.
    @ivar outcomes: of each packet, see L{FULFILLED} and its neighbours.
    @ivar probes: which packets were probes, by their place in C{sent}.
    @ivar limit: source units per packet that the path takes, as far as known.
    @ivar cap: source units per packet that the path's liquidity takes.
    @ivar inFlight: packets without an answer yet.
    @ivar pacing: packets per second that may be sent.
    @ivar roundTrips: seconds, of each fulfilled packet.
    @ivar rejects: the time of each reject, by code and by whether it is the peer's.
    @ivar doubted: the time at which each packet without an answer was given up.
    @ivar delivered: destination units so far, as the peer claims.
    @ivar deliveredBytes: application data delivered so far.
    @ivar received: units of this end that it received so far.
    @ivar sums: of C{sourceAmount} (fulfilled), C{delivered}, C{deliveredMinimum}, C{bytes},
        C{received}; whole and exact.
    @ivar waits: from when to when nothing was sent on purpose.
    @ivar rate: what was last learned of the exchange rate, for people.
    @ivar closedAt: when the connection was closed, if it was.
    @ivar error: with what error.
    """

    header: TraceHeader
    start: float = 0.0
    end: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    sent: Series = field(default_factory=Series)
    outcomes: bytearray = field(default_factory=bytearray)
    probes: list[int] = field(default_factory=list)
    limit: Series = field(default_factory=Series)
    cap: Series = field(default_factory=Series)
    inFlight: Series = field(default_factory=Series)
    pacing: Series = field(default_factory=Series)
    roundTrips: list[float] = field(default_factory=list)
    rejects: dict[tuple[str, bool], list[float]] = field(default_factory=dict)
    doubted: list[float] = field(default_factory=list)
    delivered: Series = field(default_factory=Series)
    deliveredBytes: Series = field(default_factory=Series)
    received: Series = field(default_factory=Series)
    sums: Counter[str] = field(default_factory=Counter)
    waits: list[tuple[float, float]] = field(default_factory=list)
    rate: str = ""
    closedAt: float | None = None
    error: str = ""
    _places: dict[int, int] = field(default_factory=dict)

    def add(self, event: TraceEvent) -> None:
        """Count one event."""
        if abs(event.time) > _LONGEST:
            return
        self.start = min(self.start, event.time)
        self.end = max(self.end, event.time)
        self.counts[event.name] += 1
        reader = _READERS.get(event.name)
        if reader is not None:
            reader(self, event.time, event.data)
        inFlight = _number(event.data, "inFlight")
        if inFlight is not None:
            self.inFlight.add(event.time, inFlight)

    def holdPacket(self, sequence: int, time: float, amount: float, *, isProbe: bool) -> None:
        """A packet was sent."""
        self._places[sequence] = len(self.sent)
        if isProbe:
            self.probes.append(len(self.sent))
        self.sent.add(time, amount)
        self.outcomes.append(OPEN)

    def settlePacket(self, sequence: int, outcome: int) -> None:
        """The outcome of a packet is known, if its sending is in the trace."""
        place = self._places.pop(sequence, None)
        if place is not None:
            self.outcomes[place] = outcome


def readTraceData(path: str | os.PathLike[str]) -> TraceData:
    """
    Read a trace.

    @raise LocalError: if it is none; says in which line.
    @raise OSError: if it cannot be read.
    """
    data = TraceData(readHeader(path))
    for event in readTrace(path):
        data.add(event)
    return data


def niceInterval(seconds: float, most: int) -> float:
    """The shortest of 1, 2 and 5 times a power of ten that divides into at most so many parts."""
    if seconds < _SHORTEST:
        return 1.0
    power = 10.0 ** math.floor(math.log10(seconds / most))
    return next(step * power for step in (1, 2, 5, 10) if step * power * most >= seconds)


def countPerInterval(
    data: TraceData, times: Iterable[float], interval: float
) -> tuple[list[float], list[int]]:
    """Where each interval begins, and how many times lie in it."""
    first = math.floor(data.start / interval)
    counts = [0] * (math.floor(data.end / interval) - first + 1)
    for time in times:
        counts[math.floor(time / interval) - first] += 1
    return [(first + index) * interval for index in range(len(counts))], counts


_Particulars = Mapping[str, Any]


def _number(particulars: _Particulars, name: str) -> float | None:
    value = particulars.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _GREATEST:
        return float(value)
    return None


def _whole(particulars: _Particulars, name: str) -> int:
    """A particular that is a whole number, else 0."""
    return int(_number(particulars, name) is not None and particulars[name])


def _sequence(particulars: _Particulars) -> int:
    value = particulars.get("sequence")
    return value if isinstance(value, int) else -1


def _packetSent(data: TraceData, time: float, particulars: _Particulars) -> None:
    amount = _number(particulars, "amount")
    isProbe = particulars.get("isProbe") is True
    data.holdPacket(_sequence(particulars), time, amount or 0.0, isProbe=isProbe)


def _packetFulfilled(data: TraceData, time: float, particulars: _Particulars) -> None:
    data.settlePacket(_sequence(particulars), FULFILLED)
    data.sums["sourceAmount"] += _whole(particulars, "amount")
    for name in ("delivered", "deliveredMinimum", "bytes"):
        data.sums[name] += _whole(particulars, name)
    for series, name in ((data.delivered, "delivered"), (data.deliveredBytes, "bytes")):
        step = _number(particulars, name)
        if step:
            series.grow(time, step)
    roundTrip = _number(particulars, "roundTrip")
    if roundTrip is not None:
        data.roundTrips.append(roundTrip)


def _packetRejected(data: TraceData, time: float, particulars: _Particulars) -> None:
    data.settlePacket(_sequence(particulars), REJECTED)
    kind = (str(particulars.get("code")), particulars.get("isByPeer") is True)
    data.rejects.setdefault(kind, []).append(time)


def _packetDoubted(data: TraceData, time: float, particulars: _Particulars) -> None:
    data.settlePacket(_sequence(particulars), ABANDONED)
    data.doubted.append(time)


def _packetAmountChanged(data: TraceData, time: float, particulars: _Particulars) -> None:
    data.limit.add(time, _number(particulars, "limit"))


def _liquidityChanged(data: TraceData, time: float, particulars: _Particulars) -> None:
    data.cap.add(time, _number(particulars, "cap"))


def _pacingChanged(data: TraceData, time: float, particulars: _Particulars) -> None:
    data.pacing.add(time, _number(particulars, "rate"))


def _rateLearned(data: TraceData, time: float, particulars: _Particulars) -> None:
    low, high = (_decimal(particulars.get(name)) for name in ("low", "high"))
    if low or high:
        data.rate = f"from {low or '?'} to {high or '?'} destination units per source unit"


def _decimal(text: object) -> str:
    """A fraction as people read it, or an empty string."""
    above, slash, below = str(text).partition("/")
    try:
        return f"{int(above) / int(below):.9g}" if slash else ""
    except (ValueError, ArithmeticError):
        return ""


def _slept(data: TraceData, time: float, particulars: _Particulars) -> None:
    until = _number(particulars, "until")
    if until is not None and until > time:
        data.waits.append((time, until))


def _moneyReceived(data: TraceData, time: float, particulars: _Particulars) -> None:
    data.sums["received"] += _whole(particulars, "amount")
    data.received.grow(time, _number(particulars, "amount") or 0.0)


def _connectionClosed(data: TraceData, time: float, particulars: _Particulars) -> None:
    data.closedAt = time
    error = particulars.get("error")
    data.error = "" if error is None else cleanText(error)


_READERS: Final[Mapping[str, Callable[[TraceData, float, _Particulars], None]]] = {
    "packetSent": _packetSent,
    "packetFulfilled": _packetFulfilled,
    "packetRejected": _packetRejected,
    "packetDoubted": _packetDoubted,
    "packetAmountChanged": _packetAmountChanged,
    "liquidityChanged": _liquidityChanged,
    "pacingChanged": _pacingChanged,
    "rateLearned": _rateLearned,
    "slept": _slept,
    "moneyReceived": _moneyReceived,
    "connectionClosed": _connectionClosed,
}
"""What each event means for the picture; the others only count."""
