"""Money per second, and at once."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import U64_MAX
from txilpstream.session.liquidity import Liquidity


class RateTests(SynchronousTestCase):
    """T04 with other money in flight."""

    def setUp(self) -> None:
        self.liquidity = Liquidity()

    def refuse(self, amount: int, now: float, *, isAlone: bool = False) -> None:
        """Answer T04."""
        self.liquidity.refused(amount, isAlone=isAlone, smallest=1, now=now, roundTrip=0.1)

    def test_unlimited(self) -> None:
        self.liquidity.sent(U64_MAX, 5.0)
        self.liquidity.passed(U64_MAX, now=5.1, roundTrip=0.1)
        self.assertIs(self.liquidity.isAllowed(U64_MAX, 5.1), True)
        self.assertEqual((self.liquidity.readyAt(U64_MAX), self.liquidity.cap), (0.0, U64_MAX))

    def test_firstReject(self) -> None:
        """The rate begins at nine tenths of what came through since money first left."""
        for start in (0.0, 1000.0):
            liquidity = self.liquidity = Liquidity()
            for _ in range(10):
                liquidity.sent(1000, start)
                liquidity.passed(1000, now=start + 1.0, roundTrip=0.1)
            self.refuse(100, start + 1.0)
            self.assertEqual(liquidity.cap, U64_MAX)
            self.assertIs(liquidity.isAllowed(100, start + 1.0), True)
            liquidity.sent(100, start + 1.0)
            self.assertIs(liquidity.isAllowed(100, start + 1.0), False)
            self.assertAlmostEqual(liquidity.readyAt(100), start + 1.0 + 100 / 9000)
            self.assertIs(liquidity.isAllowed(100, liquidity.readyAt(100)), True)

    def test_rejectBeforeAnything(self) -> None:
        """Half a packet per round trip, when nothing is known."""
        self.refuse(100, 7.0)
        self.assertIs(self.liquidity.isAllowed(100, 7.0), True)
        self.liquidity.sent(100, 7.0)
        self.assertAlmostEqual(self.liquidity.readyAt(100), 7.2)

    def test_manyRejects(self) -> None:
        """The rule of rounds then finds what the path takes."""
        self.refuse(100, 7.0)
        self.liquidity.isAllowed(100, 7.0)
        self.liquidity.sent(100, 7.0)
        for _ in range(5):
            self.liquidity.passed(10, now=8.0, roundTrip=0.1)
        for _ in range(5):
            self.refuse(100, 8.0)
        self.liquidity.isAllowed(100, 8.0)
        self.liquidity.sent(100, 8.0)
        self.assertAlmostEqual(self.liquidity.readyAt(45), 8.0 + 100 / 45)


class CapTests(SynchronousTestCase):
    """T04 for a packet alone in flight."""

    def test_halves(self) -> None:
        liquidity = Liquidity()
        caps = []
        for amount in (1000, 500, 250, 125, 100):
            liquidity.refused(amount, isAlone=True, smallest=99, now=1.0, roundTrip=0.1)
            caps.append(liquidity.cap)
        self.assertEqual(caps, [500, 250, 125, 99, 99])

    def test_larger(self) -> None:
        """A packet larger than the cap does not raise it."""
        liquidity = Liquidity()
        for _ in range(2):
            liquidity.refused(1000, isAlone=True, smallest=1, now=1.0, roundTrip=0.1)
        self.assertEqual(liquidity.cap, 250)

    def test_grows(self) -> None:
        liquidity = Liquidity()
        liquidity.refused(1000, isAlone=True, smallest=1, now=1.0, roundTrip=0.1)
        liquidity.passed(500, now=1.0, roundTrip=0.1)
        self.assertEqual(liquidity.cap, 531)
        liquidity.refused(2, isAlone=True, smallest=1, now=1.0, roundTrip=0.1)
        liquidity.passed(1, now=1.0, roundTrip=0.1)
        self.assertEqual(liquidity.cap, 2, "by one at least")

    def test_forgotten(self) -> None:
        """A cap that no packet comes near is none."""
        liquidity = Liquidity()
        liquidity.refused(1000, isAlone=True, smallest=1, now=1.0, roundTrip=0.1)
        liquidity.passed(100, now=1.0, roundTrip=0.1)
        self.assertEqual(liquidity.cap, U64_MAX)
