"""Tests of C{txilpstream.trace.panels}, by what a reader of the picture finds written in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.trace import panels
from txilpstream.trace.panels import (
    byteScaleOf,
    drawAmounts,
    drawDelivery,
    drawFlight,
    drawRejects,
    roundWords,
    scaleOf,
    stepsOf,
)
from txilpstream.trace.series import Series, TraceData
from txilpstream.trace.test.test_figure import NO_MATPLOTLIB, everything
from txilpstream.trace.test.test_series import gather, sent


class PanelTests(SynchronousTestCase):
    """Each panel."""

    skip = NO_MATPLOTLIB

    def draw(self, panel: Callable[[Any, TraceData], None], data: TraceData) -> Any:
        """The axes into which a panel was drawn."""
        from matplotlib.figure import Figure

        self.figure = Figure()
        axes: Any = self.figure.subplots()
        panel(axes, data)
        self.figure.canvas.draw()
        return axes

    def legend(self, axes: Any) -> list[str]:
        """The words of its legend."""
        legend = axes.get_legend()
        return [] if legend is None else [text.get_text() for text in legend.get_texts()]

    def ticks(self, axes: Any) -> list[str]:
        """What stands at its vertical axis."""
        return [text.get_text() for text in axes.get_yticklabels()]

    def labels(self) -> list[str]:
        """The names of both vertical axes."""
        return [axes.get_ylabel() for axes in self.figure.axes]

    def test_nothing(self) -> None:
        """Where there is nothing to draw it says so, and has a name and an explanation."""
        for panel, expected in (
            (drawAmounts, "no packet was sent"),
            (drawFlight, "no packet was sent"),
            (drawRejects, "no packet was rejected, and none was without an answer"),
            (drawDelivery, "neither money nor data was delivered"),
        ):
            axes = self.draw(panel, gather())
            self.assertEqual(len(axes.texts), 3)
            self.assertEqual(axes.texts[-1].get_text(), expected)
            self.assertEqual((self.legend(axes), self.ticks(axes)), ([], []))

    def test_amounts(self) -> None:
        """Outcomes with their numbers, probes, and both limits."""
        axes = self.draw(drawAmounts, everything())
        self.assertEqual(
            self.legend(axes),
            [
                "fulfilled (28)",
                "rejected (16)",
                "in flight at the end (2)",
                "no answer in time (14)",
                "probe (1)",
                "largest amount the path takes",
                "largest amount the liquidity takes",
            ],
        )
        self.assertEqual(self.labels(), ["packet amount\n(source units, logarithmic)"])
        ticks = self.ticks(axes)
        self.assertEqual((ticks[0], ticks[1]), ("0", "10 thousand"))
        low, high = axes.get_ylim()
        self.assertLess(low, 0)
        self.assertGreater(high, 5_000_000)

    def test_logarithmic(self) -> None:
        """Without packets of amount 0 the axis begins at the smallest; ticks do not crowd."""
        data = gather(*(sent(0.1 * n, n, amount) for n, amount in enumerate((3, 4, 5, 10**15))))
        axes = self.draw(drawAmounts, data)
        self.assertGreater(axes.get_ylim()[0], 0)
        self.assertLessEqual(len(self.ticks(axes)), 7)
        self.assertIn("1 billion", self.ticks(axes))

    def test_linear(self) -> None:
        """Amounts of one size have a linear axis in a unit that suits them."""
        for amount, unit in ((1, ""), (5_000_000_000, "billion "), (50_000, "thousand ")):
            axes = self.draw(drawAmounts, gather(sent(0.0, 1, amount), sent(1.0, 2, amount // 2)))
            self.assertEqual(self.labels(), [f"packet amount\n({unit}source units)"])
            for tick in self.ticks(axes):
                self.assertLess(len(tick), 5)

    def test_noAmounts(self) -> None:
        """Packets that carry data only lie on the ground."""
        axes = self.draw(drawAmounts, gather(sent(0.0, 1, 0), sent(1.0, 2, 0)))
        self.assertEqual(self.legend(axes), ["in flight at the end (2)"])
        self.assertIn("1", self.ticks(axes))

    def test_flight(self) -> None:
        """Both axes have a unit; the round trip is told, and so are waits."""
        axes = self.draw(drawFlight, everything())
        self.assertEqual(self.labels(), ["packets in flight", "packets per second"])
        self.assertEqual(
            self.legend(axes),
            [
                "packets in flight",
                "packets sent per second\n(mean over 0.05 s)",
                "pacing rate allowed",
                "waiting on purpose",
            ],
        )
        self.assertIn("Round trip: median 50 ms, from 50 ms to 50 ms.", axes.texts[1].get_text())

    def test_waits(self) -> None:
        """Many waits have one line in the legend, and short ones none."""
        waits = [(number, "slept", {"until": number + 0.5}) for number in range(10)]
        data = gather(sent(0.0, 1, inFlight=1), *waits, (5.0, "slept", {"until": 5.01}))
        axes = self.draw(drawFlight, data)
        self.assertEqual(self.legend(axes).count("waiting on purpose"), 1)

    def test_pacing(self) -> None:
        """A rate far above what is sent does not press everything else to the ground."""
        events = [sent(number / 10, number, inFlight=1) for number in range(50)]
        data = gather((0.0, "pacingChanged", {"rate": 1_000_000}), *events)
        axes = self.draw(drawFlight, data)
        self.assertIn("pacing rate allowed\n(up to 1,000,000, off the panel)", self.legend(axes))
        self.assertLess(self.figure.axes[1].get_ylim()[1], 100)

    def test_pacingOnly(self) -> None:
        """A rate without packets, and packets without a rate."""
        axes = self.draw(drawFlight, gather((0.0, "pacingChanged", {"rate": 50})))
        self.assertEqual(self.legend(axes), ["pacing rate allowed"])
        self.assertGreater(self.figure.axes[1].get_ylim()[1], 50)
        axes = self.draw(drawFlight, gather(sent(0.0, 1, inFlight=1)))
        self.assertEqual(self.legend(axes), ["packets in flight"])
        axes = self.draw(drawFlight, gather((0.0, "pacingChanged", {"rate": None})))
        self.assertEqual(self.legend(axes), [])

    def test_rejects(self) -> None:
        """Codes have names and numbers, those of the peer apart, and the unit is told."""
        axes = self.draw(drawRejects, everything())
        self.assertEqual(
            [text.replace("\n", " ") for text in self.legend(axes)],
            [
                "T04 Insufficient Liquidity (10)",
                "T04 Insufficient Liquidity, by the peer (5)",
                "F08 Amount Too Large (1)",
                "no answer in time (14)",
            ],
        )
        self.assertEqual(self.labels(), ["packets per 0.05 s"])
        heights = sum(bar.get_height() for bar in axes.patches)
        self.assertEqual(heights, 30)

    def test_manyCodes(self) -> None:
        """More kinds than there are colours stand together."""
        codes = ("F00", "F01", "F02", "F08", "T00", "T01", "T02", "T03", "T04", "T05", "T99")
        data = gather(*((0.1, "packetRejected", {"code": code}) for code in codes * 2))
        axes = self.draw(drawRejects, data)
        legend = self.legend(axes)
        self.assertEqual((len(legend), legend[-1]), (9, "other codes (6)"))
        colors = {bar.get_facecolor() for bar in axes.patches}
        self.assertEqual(len(colors), len(legend))

    def test_delivery(self) -> None:
        """Money and data each have an axis and a unit, and start at 0."""
        axes = self.draw(drawDelivery, everything())
        self.assertEqual(self.legend(axes), ["money delivered", "data delivered"])
        self.assertEqual(self.labels(), ["money\n(thousand destination units)", "data (KiB)"])
        for own in self.figure.axes:
            drawn: Any = own.lines[0].get_ydata()
            self.assertEqual(drawn[0], 0)

    def test_moneyOnly(self) -> None:
        """Without data there is no axis for it, and the other way round."""
        axes = self.draw(drawDelivery, gather((1.0, "packetFulfilled", {"delivered": 3})))
        self.assertEqual(self.legend(axes), ["money delivered"])
        self.assertEqual(self.labels(), ["money\n(destination units)"])
        axes = self.draw(drawDelivery, gather((1.0, "packetFulfilled", {"bytes": 30})))
        self.assertEqual(self.legend(axes), ["data delivered"])
        self.assertEqual(self.labels(), ["no money was delivered", "data (bytes)"])

    def test_received(self) -> None:
        """An end that sends no money shows what it received, in its own units."""
        received = (1.0, "moneyReceived", {"amount": 4_000_000})
        axes = self.draw(drawDelivery, gather(received, received))
        self.assertEqual(self.legend(axes), ["money received by this end"])
        self.assertEqual(self.labels(), ["money\n(million units of this end)"])


class UnitTests(SynchronousTestCase):
    """Units in which numbers are short."""

    def test_scale(self) -> None:
        """Words for large amounts; small ones are written as they are."""
        for amount, expected in (
            (0, (1, "")),
            (9_999, (1, "")),
            (10_000, (1e3, "thousand ")),
            (5e9, (1e9, "billion ")),
            (2**64, (1e18, "quintillion ")),
        ):
            self.assertEqual(scaleOf(amount), expected)

    def test_words(self) -> None:
        """Round numbers."""
        for value, expected in (
            (0.0, "0"),
            (1_000.0, "1,000"),
            (1e4, "10 thousand"),
            (1e7, "10 million"),
        ):
            self.assertEqual(roundWords(value), expected)

    def test_bytes(self) -> None:
        """Powers of 1024."""
        for count, unit in (
            (1023, "bytes"),
            (1024, "KiB"),
            (1 << 20, "MiB"),
            (1 << 30, "GiB"),
            (1 << 45, "TiB"),
        ):
            self.assertEqual(byteScaleOf(count)[1], unit)

    def test_steps(self) -> None:
        """The last value lasts until the end."""
        series = Series()
        series.add(1.0, 5.0)
        self.assertEqual(stepsOf(series, 9.0), ([1.0, 9.0], [5.0, 5.0]))

    def test_public(self) -> None:
        """All names are there."""
        for name in panels.__all__:
            self.assertTrue(hasattr(panels, name), name)
