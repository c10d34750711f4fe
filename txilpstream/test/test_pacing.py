"""Packets per second."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.session import pacing
from txilpstream.session.pacing import Pacing


class PacingTestCase(SynchronousTestCase):
    """A path that is used as fast as pacing allows."""

    def setUp(self) -> None:
        self.now = 1000.0
        self.random = Random(1)
        self.pacing = Pacing(2500.0)
        self.pacing.measured(0.05)

    def drive(self, seconds: float, *, loss: float = 0.0, capacity: float = 1e9) -> float:
        """
        Send and answer for so long.

        @param loss: the part of all packets that is answered T00.
        @param capacity: packets per second above which the rest is answered T00.
        @return: the rate in the end.
        """
        end, bucket, last = self.now + seconds, 10.0, self.now
        while self.now < end:
            while self.pacing.isAllowed(self.now):
                self.pacing.sent(self.now)
                bucket = min(10.0, bucket + capacity * (self.now - last))
                last = self.now
                isFull = bucket < 1
                bucket -= not isFull
                isLost = isFull or self.random.random() < loss
                self.pacing.answered(now=self.now, isLost=isLost)
            self.now = self.pacing.readyAt()
        return self.pacing.rate.rate


class PacingTests(PacingTestCase):
    """What leaves, and what answers do."""

    def test_first(self) -> None:
        """A small payment leaves at once."""
        leaving = 0
        while self.pacing.isAllowed(self.now):
            self.pacing.sent(self.now)
            leaving += 1
        self.assertEqual(leaving, pacing.INITIAL_BURST)
        self.assertAlmostEqual(self.pacing.readyAt(), self.now + 1 / pacing.INITIAL_RATE)

    def test_roundTrip(self) -> None:
        paced = Pacing(10.0)
        self.assertIsNone(paced.roundTrip)
        paced.measured(0.8)
        self.assertEqual(paced.roundTrip, 0.8)
        paced.measured(1.6)
        self.assertAlmostEqual(paced.roundTrip, 0.9)

    def test_beforeAnyRoundTrip(self) -> None:
        paced = Pacing(10.0)
        paced.isAllowed(0.0)
        ended = [paced.answered(now=1.0) for _ in range(10)]
        self.assertEqual(ended, [False] * 9 + [True])

    def test_limited(self) -> None:
        """T05 and T03 count at once."""
        self.pacing.isAllowed(self.now)
        for i in range(10):
            self.pacing.answered(now=self.now + 1.0, isLimited=i < 1)
        self.assertAlmostEqual(self.pacing.rate.rate, 0.95 * pacing.INITIAL_RATE)

    def test_limitedAfterALoss(self) -> None:
        self.pacing.isAllowed(self.now)
        for i in range(10):
            self.pacing.answered(now=self.now + 1.0, isLimited=i == 5, isLost=i == 0)
        self.assertAlmostEqual(self.pacing.rate.rate, 0.95 * pacing.INITIAL_RATE)

    def test_oneLoss(self) -> None:
        """One loss says nothing."""
        self.pacing.isAllowed(self.now)
        for i in range(10):
            self.pacing.answered(now=self.now + 1.0, isLost=i == 0)
        self.assertIs(self.pacing.rate.isStarting, True)

    def test_mostAreLost(self) -> None:
        """Losses of more than a quarter count without anything to compare them with."""
        self.drive(10.0, loss=0.6)
        self.assertIs(self.pacing.rate.isStarting, False)
        self.assertLess(self.pacing.rate.rate, pacing.INITIAL_RATE)

    def test_most(self) -> None:
        self.assertEqual(self.drive(5.0), 2500.0)


class LossTests(PacingTestCase):
    """T00 and packets without an answer count as far as a lower rate helps."""

    def test_random(self) -> None:
        """A path that drops one in twenty at any rate is not congested."""
        self.assertGreater(self.drive(20.0, loss=0.05), 2000.0)

    def test_capacity(self) -> None:
        """A path that answers T00 above its capacity is."""
        rate = self.drive(30.0, capacity=500.0)
        self.assertGreater(rate, 300.0)
        self.assertLess(rate, 700.0)
