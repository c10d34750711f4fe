"""Tests of C{txilpstream.session.congestion.liquidity}: money in flight, and per second."""

from __future__ import annotations

from math import inf

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.session.congestion.liquidity import GAIN, LEAST_PARTS, Liquidity

ROUND = 0.1


class LiquidityTestCase(SynchronousTestCase):
    """A path with a round trip of a tenth of a second."""

    def setUp(self) -> None:
        self.now = 100.0
        self.liquidity = Liquidity()

    def refuse(self, amount: int, inFlight: int = 0, *, sentAt: float = 0.0) -> None:
        """Answer T04."""
        self.liquidity.refused(
            amount, inFlight=inFlight, sentAt=sentAt or self.now, now=self.now, roundTrip=ROUND
        )

    def take(self, amount: int, *, packetRate: float = 1000.0) -> None:
        """A packet comes through that left a moment ago."""
        self.liquidity.passed(
            amount, sentAt=self.now, now=self.now, roundTrip=ROUND, packetRate=packetRate
        )

    def window(self) -> float:
        """Source units."""
        level = self.liquidity.level
        assert level is not None
        return level.rate

    def most(self, limit: int, inFlight: int, *, smallest: int = 1) -> int:
        """What may leave at this moment."""
        return self.liquidity.most(limit, smallest, inFlight, self.now)


class UnlimitedTests(LiquidityTestCase):
    """No T04 yet."""

    def test_unlimited(self) -> None:
        self.liquidity.sent(10**9, 1000, self.now)
        self.take(10**9)
        self.assertEqual(self.most(1000, 10**12), 1000)
        self.assertEqual(self.liquidity.part(1000, 1), 1000)
        self.assertIs(self.liquidity.hasMoreThan(10**9), True)
        self.assertIsNone(self.liquidity.level)
        self.assertEqual(self.liquidity.readyAt(1000, 1, 10**12), -inf)


class WindowTests(LiquidityTestCase):
    """What T04 does, and what may leave then."""

    def test_first(self) -> None:
        """The window begins at half of what was under way."""
        self.refuse(1000, 7000)
        self.assertEqual(self.window(), 4000.0)
        self.assertIs(self.liquidity.hasMoreThan(3999), True)
        self.assertIs(self.liquidity.hasMoreThan(4000), False)

    def test_parts(self) -> None:
        """Equal parts, as many as the largest packet asks for, four at least."""
        self.refuse(1000, 15000)
        self.assertEqual(self.liquidity.part(10**9, 1), 8000 // LEAST_PARTS)
        self.assertEqual(self.liquidity.part(1100, 1), 1000)
        self.assertEqual(self.liquidity.part(10**9, 5000), 5000, "never less than is of use")
        self.assertEqual(self.liquidity.part(900, 5000), 900, "nor more than the path takes")

    def test_smallerParts(self) -> None:
        """More parts where packets are not too many then, for the path or altogether."""
        self.refuse(1000, 15000)
        for packetRate, parts in ((1000.0, 50), (250.0, 20), (10.0, LEAST_PARTS)):
            self.take(1000, packetRate=packetRate)
            self.assertEqual(self.liquidity.part(10**9, 1), 8000 // parts)

    def test_room(self) -> None:
        """What is free of a window leaves if it is at least half a part."""
        self.refuse(1000, 7000)
        self.assertEqual(self.most(1000, 0), 1000)
        self.assertEqual(self.most(1000, 3000), 1000)
        self.assertEqual(self.most(1000, 3400), 600)
        self.assertEqual(self.most(1000, 3600), 0)
        self.assertEqual(self.liquidity.readyAt(1000, 1, 3600), inf)
        self.assertEqual(self.most(1000, 3400, smallest=601), 0)

    def test_tokens(self) -> None:
        """Hardly more than one window leaves per round trip."""
        self.refuse(1000, 7000)
        self.liquidity.sent(1000, 1000, self.now)
        self.assertEqual(self.most(1000, 1000), 0)
        ready = self.liquidity.readyAt(1000, 1, 1000)
        self.assertAlmostEqual(ready, self.now + 1000 / (GAIN * 4000 / ROUND))
        self.now = ready
        self.assertEqual(self.most(1000, 1000), 1000)

    def test_cut(self) -> None:
        """After the first round a T04 takes little away."""
        self.refuse(1000, 7000)
        self.now += 2 * ROUND
        for _ in range(10):
            self.take(1000)
        before = self.window()
        self.now += ROUND
        self.refuse(1000)
        self.assertAlmostEqual(self.window(), 0.99 * before)
        self.assertGreater(before, 100.0)

    def test_grows(self) -> None:
        """A window that is used grows, slowly at first."""
        self.test_cut()
        for seconds in (1.0, 6.0):
            before, end = self.window(), self.now + seconds
            while self.now < end:
                self.now += ROUND / 10
                self.most(1000, 0)
                self.liquidity.sent(int(self.window() / 10), 1000, self.now)
                self.take(1000)
            grown = self.window() / before
            self.assertGreater(grown, 1.001)
        self.assertGreater(grown, 1.5)

    def test_nothingPasses(self) -> None:
        """A packet that never fits becomes smaller each round."""
        self.refuse(1000, 7000)
        sizes = []
        for _ in range(5):
            self.now += 2 * ROUND
            for _ in range(6):
                self.refuse(1000)
            sizes.append(self.window())
        self.assertEqual(sizes, sorted(sizes, reverse=True))
        self.assertLess(sizes[-1], 4000 / 20)
