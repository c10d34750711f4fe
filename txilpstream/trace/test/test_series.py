"""Tests of C{txilpstream.trace.series}."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.errors import LocalError
from txilpstream.trace import series
from txilpstream.trace.file import TraceEvent, TraceHeader, TraceWriter
from txilpstream.trace.series import (
    ABANDONED,
    FULFILLED,
    OPEN,
    REJECTED,
    Series,
    TraceData,
    cleanText,
    countPerInterval,
    niceInterval,
    readTraceData,
    rejectName,
    thinPoints,
)


def gather(*events: tuple[float, str, dict[str, Any]]) -> TraceData:
    """What these events make."""
    data = TraceData(TraceHeader("client", "", 0.0))
    for time, name, particulars in events:
        data.add(TraceEvent(time, name, particulars))
    return data


def sent(time: float, sequence: int, amount: int = 10, **more: Any) -> Any:
    """A packet that was sent."""
    return time, "packetSent", {"sequence": sequence, "amount": amount, **more}


class GatherTests(SynchronousTestCase):
    """L{TraceData}."""

    def test_outcomes(self) -> None:
        """Each packet has the outcome that was told of its sequence."""
        data = gather(
            sent(0.0, 1, isProbe=False),
            sent(1.0, 2, isProbe=True),
            sent(2.0, 3),
            sent(3.0, 4),
            (4.0, "packetFulfilled", {"sequence": 1}),
            (4.0, "packetRejected", {"sequence": 2, "code": "T04"}),
            (5.0, "packetDoubted", {"sequence": 3}),
            (6.0, "packetFulfilled", {"sequence": 99}),
        )
        self.assertEqual(list(data.outcomes), [FULFILLED, REJECTED, ABANDONED, OPEN])
        self.assertEqual(data.probes, [1])
        self.assertEqual((data.start, data.end), (0.0, 6.0))
        self.assertEqual(data.doubted, [5.0])
        self.assertEqual(data.rejects, {("T04", False): [4.0]})
        self.assertEqual(data.counts["packetFulfilled"], 2)

    def test_sums(self) -> None:
        """Sums are exact, series say how they grew."""
        most = 2**64 - 1
        answer = {"amount": 5, "delivered": most, "deliveredMinimum": 3, "bytes": 7}
        data = gather(
            (1.0, "packetFulfilled", answer),
            (2.0, "packetFulfilled", {**answer, "roundTrip": 0.05}),
            (3.0, "packetFulfilled", {"amount": 1, "delivered": 0, "bytes": 0}),
            (4.0, "moneyReceived", {"streamID": 1, "amount": 9}),
        )
        self.assertEqual(
            data.sums,
            {
                "sourceAmount": 11,
                "delivered": 2 * most,
                "deliveredMinimum": 6,
                "bytes": 14,
                "received": 9,
            },
        )
        self.assertEqual(list(data.deliveredBytes.values), [7, 14])
        self.assertEqual(list(data.delivered.times), [1, 2])
        self.assertEqual(list(data.received.values), [9])
        self.assertEqual(data.roundTrips, [0.05])

    def test_controls(self) -> None:
        """What the controls said; None is no limit."""
        data = gather(
            (0.0, "packetAmountChanged", {"limit": None}),
            (1.0, "packetAmountChanged", {"limit": 1000}),
            (2.0, "liquidityChanged", {"rate": 5.0, "cap": 700}),
            (3.0, "pacingChanged", {"rate": 12.5, "roundTrip": None}),
            (4.0, "packetNotSent", {"sequence": 1, "amount": 1, "inFlight": 3}),
        )
        self.assertTrue(math.isnan(data.limit.values[0]))
        self.assertEqual((data.limit.numbers, data.cap.numbers), ([1000], [700]))
        self.assertEqual((data.pacing.numbers, data.inFlight.numbers), ([12.5], [3]))

    def test_rate(self) -> None:
        """An exchange rate is shown as decimals."""
        for low, high, expected in (
            ("1/3", "2/3", "from 0.333333333 to 0.666666667 destination units per source unit"),
            ("1/2", None, "from 0.5 to ? destination units per source unit"),
            ("x/y", "1/0", ""),
            ("1" + "0" * 400 + "/1", 5, ""),
            (None, None, ""),
        ):
            self.assertEqual(
                gather((0.0, "rateLearned", {"low": low, "high": high})).rate, expected
            )

    def test_waits(self) -> None:
        """A wait is from when to when."""
        data = gather(
            (1.0, "slept", {"until": 2.0}), (3.0, "slept", {"until": 3.0}), (4.0, "slept", {})
        )
        self.assertEqual(data.waits, [(1.0, 2.0)])

    def test_closed(self) -> None:
        """How it ended; whatever the error says, it is one line and short."""
        self.assertIsNone(gather().closedAt)
        data = gather((2.0, "connectionClosed", {"error": None}))
        self.assertEqual((data.closedAt, data.error), (2.0, ""))
        data = gather((2.0, "connectionClosed", {"error": "a\nb" + "c" * 500}))
        self.assertEqual((data.error[:4], len(data.error)), ("a?bc", 120))

    def test_tolerant(self) -> None:
        """Unknown events, unknown particulars and wrong ones make no difference."""
        data = gather((1.0, "new", {"inFlight": "many"}), (1e300, "packetSent", {}))
        self.assertEqual((data.end, data.counts), (1.0, {"new": 1}))
        wrong: tuple[Any, ...] = (None, "x", True, -1, 10**200, [1], {})
        for name in (
            *("packetSent", "packetFulfilled", "packetRejected", "packetDoubted", "packetNotSent"),
            *("lateAnswer", "packetAmountChanged", "liquidityChanged", "pacingChanged"),
            *("rateLearned", "slept", "moneyFailed", "moneyReceived", "connectionClosed"),
        ):
            fields = "sequence amount delivered bytes roundTrip inFlight limit cap rate low until"
            for value in wrong:
                data = gather((1.0, name, dict.fromkeys(fields.split(), value)))
                self.assertEqual(sum(data.sums.values()), 0)
            self.assertEqual(gather((1.0, name, {})).counts[name], 1)

    def test_read(self) -> None:
        """From a file."""
        path = Path(self.mktemp())
        with TraceWriter(path, title="a try") as writer:
            writer("packetSent", {"time": 5.0, "sequence": 1, "amount": 3})
        data = readTraceData(path)
        self.assertEqual((data.header.title, list(data.sent.values)), ("a try", [3]))
        path.write_text("nonsense")
        self.assertRaises(LocalError, readTraceData, path)
        self.assertRaises(OSError, readTraceData, "no such file")


class SeriesTests(SynchronousTestCase):
    """L{Series} and what is left out of a picture."""

    def test_short(self) -> None:
        """What is short stays as it is."""
        series = Series()
        series.grow(0.0, 2.0)
        series.grow(1.0, 3.0)
        series.add(2.0, None)
        times, values = series.thinLine(10)
        self.assertEqual((times, values[:2], len(values)), ([0, 1, 2], [2, 5], 3))

    @given(st.integers(1, 30), st.integers(0, 3))
    def test_thinLine(self, columns: int, seed: int) -> None:
        """A long line keeps its ends, its extremes and its gaps."""
        series = Series()
        for index in range(1000):
            value = (index * 7919 + seed) % 1009
            series.add(index / 10, None if index == 500 else value)
        times, values = series.thinLine(columns)
        self.assertLessEqual(len(times), 5 * (columns + 1))
        self.assertEqual(times, sorted(times))
        self.assertEqual((times[0], times[-1]), (0.0, 99.9))
        kept = [value for value in values if not math.isnan(value)]
        self.assertEqual((min(kept), max(kept)), (min(series.numbers), max(series.numbers)))
        self.assertEqual(len(values) - len(kept), 1)

    def test_atOnce(self) -> None:
        """Values that came all at the same time."""
        series = Series()
        for value in range(100):
            series.add(3.0, value)
        self.assertEqual(series.thinLine(2), ([3.0] * 2, [0.0, 99.0]))

    def test_thinPoints(self) -> None:
        """Of points at one place the first stays."""
        points = [(x / 1000, y / 10) for x in range(1000) for y in range(2)]
        thin = thinPoints(points, lambda x, y: (x, y), 50, 10)
        self.assertEqual(len(thin), 100)
        self.assertEqual(thin[:3], [(0.0, 0.0), (0.0, 0.1), (0.02, 0.0)])

    def test_intervals(self) -> None:
        """Intervals are round numbers, and not too many."""
        for seconds, expected in ((0.0, 1.0), (80, 1.0), (81, 2.0), (20, 0.5), (0.3, 0.005)):
            self.assertAlmostEqual(niceInterval(seconds, 80), expected)

    @given(st.floats(1e-6, 1e12), st.floats(-100, 0))
    def test_counted(self, end: float, start: float) -> None:
        """Every time is counted once."""
        data = gather((start, "x", {}), (end, "x", {}))
        interval = niceInterval(end - start, 80)
        starts, counts = countPerInterval(data, [data.start, 0.0, data.end], interval)
        self.assertEqual((sum(counts), len(starts)), (3, len(counts)))
        self.assertLessEqual(len(counts), 83)


class TextTests(SynchronousTestCase):
    """Words that others may have written."""

    def test_rejectName(self) -> None:
        """Codes have the names of RFC 27."""
        self.assertEqual(rejectName("F08", False), "F08 Amount Too Large")
        self.assertEqual(rejectName("F99", True), "F99 Application Error, by the peer")
        self.assertEqual(rejectName("\x1b" * 20, False), "?" * 10 + " (not a code of RFC 27)")

    def test_cleanText(self) -> None:
        """Nothing that a terminal, an XML parser or an encoding would stumble over."""
        self.assertEqual(cleanText("a\x00b\ud800c\u200b$"), "a?b?c?$")

    def test_public(self) -> None:
        """All names are there."""
        for name in series.__all__:
            self.assertTrue(hasattr(series, name), name)
