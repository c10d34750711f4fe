"""Tests of C{txilpstream.session.congestion.combined}: who hears of what."""

from __future__ import annotations

from math import inf

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.session.congestion.combined import JointControl
from txilpstream.session.congestion.interface import ICongestionControl
from txilpstream.session.congestion.maxpacket import RAISE_INTERVAL
from txilpstream.session.congestion.pacing import INITIAL_RATE
from txilpstream.wire.ilp import encodeAmountTooLarge


class JointControlTests(SynchronousTestCase):
    """A control for packets of at most 1000 units."""

    def setUp(self) -> None:
        self.control = JointControl(1000, 2500.0)
        self.asked: ICongestionControl = self.control  # mypy checks the interface here
        self.control.pacing.rate.start(0.0)

    def reject(self, amount: int, code: str, data: bytes = b"", *, now: float = 1.0) -> bool:
        """A node rejects a packet that left a moment ago."""
        return self.asked.rejected(
            amount, code, data, smallest=1, inFlight=3000, sentAt=now, now=now
        )

    def test_unlimited(self) -> None:
        self.assertEqual(self.asked.mostPerPacket(1), 1000)
        self.assertEqual(self.asked.mostNow(1, 10**9, 0.0), 1000)
        self.assertEqual((self.asked.packetRate, self.asked.roundTrip), (INITIAL_RATE, None))
        self.assertEqual((self.asked.readyAt(), self.asked.moneyReadyAt(1, 0)), (0.0, -inf))
        self.assertIsNone(self.asked.larger(0.0))

    def test_sent(self) -> None:
        """Every packet counts, whatever it carries."""
        while self.asked.isAllowed(0.0):
            self.asked.sent(0, 0.0)
        self.assertGreater(self.asked.readyAt(), 0.0)

    def test_answered(self) -> None:
        self.asked.answered(0.5, 0.75)
        self.assertEqual(self.asked.roundTrip, 0.25)

    def test_amountTooLarge(self) -> None:
        """F08 lowers the packet amount alone."""
        self.assertIs(self.reject(1000, "F08", encodeAmountTooLarge(100, 50)), True)
        self.assertEqual(self.asked.mostNow(1, 10**9, 1.0), 500)
        self.assertIsNone(self.control.liquidity.level)
        self.assertIs(self.control.pacing.rate.isStarting, True)
        self.assertIs(self.reject(1, "F08", encodeAmountTooLarge(100, 50)), False)

    def test_search(self) -> None:
        """Packets that leave during a search carry different amounts; others give them back."""
        self.reject(1000, "F08")
        amounts = []
        for _ in range(3):
            amounts.append(self.asked.mostNow(1, 0, 1.0))
            self.asked.sent(amounts[-1], 1.0)
        self.assertEqual(amounts, [500, 250, 125])
        self.asked.lost(125, 1.0, 1.0)
        self.assertEqual(self.asked.mostPerPacket(1), 125)

    def test_liquidity(self) -> None:
        """T04 lowers liquidity alone."""
        self.assertIs(self.reject(1000, "T04"), True)
        self.assertEqual(self.asked.mostPerPacket(1), 500)
        self.assertEqual(self.asked.mostNow(1, 2000, 1.0), 0)
        self.assertEqual(self.control.maxPacket.limit, 1000)
        self.assertIs(self.control.pacing.rate.isStarting, True)
        self.asked.sent(500, 1.0)
        self.asked.took(500, 1.0, 1.1)

    def test_liquidityIsGone(self) -> None:
        """Where hardly anything is left to take away, trying again makes no sense."""
        hopeful = [self.reject(1, "T04", now=1.0 + i) for i in range(40)]
        self.assertEqual((hopeful[0], hopeful[-1]), (True, False))

    def test_unreachable(self) -> None:
        """T01 says nothing of how many packets the path takes."""
        for _ in range(300):
            self.assertIs(self.reject(10, "T01"), False)
        self.assertEqual(self.asked.packetRate, INITIAL_RATE)

    def test_packetRate(self) -> None:
        """T05 and T03 lower the packet rate alone; one other code does not."""
        for code in ("T00", "F02", "F08", "T05", "T03"):
            control = self.control = self.asked = JointControl(1000, 2500.0)
            control.pacing.rate.start(0.0)
            self.assertIs(self.reject(0, code), False)
            isLower = control.packetRate < INITIAL_RATE
            self.assertIs(isLower, code in ("T05", "T03"))
            self.assertIsNone(control.liquidity.level)
            self.assertEqual(control.maxPacket.limit, 1000)
        self.asked.lost(0, 1.0, 2.0)

    def test_larger(self) -> None:
        """A larger packet is tried after a while, once, if liquidity has so much in one part."""
        self.reject(1000, "F08", encodeAmountTooLarge(100, 50))
        later = 1.0 + RAISE_INTERVAL
        self.assertIsNone(self.asked.larger(later - 0.1))
        self.assertEqual(self.asked.larger(later), 625)
        self.asked.sent(625, later)
        self.assertIsNone(self.asked.larger(later))
        self.asked.pathChanged(later)
        self.assertEqual(self.asked.larger(later), 625)
        self.reject(500, "T04", now=later)
        self.assertIsNone(self.asked.larger(later))

    def test_widest(self) -> None:
        """Nothing beyond what the caller allows is tried."""
        self.reject(1000, "F08", encodeAmountTooLarge(100, 50))
        self.asked.took(1000, 1.0, 1.0)
        self.assertIsNone(self.asked.larger(1e6))
