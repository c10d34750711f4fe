"""Tests of C{txilpstream.session.congestion.pacing}: packets per second."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.session.congestion import pacing
from txilpstream.session.congestion.pacing import PACING_RULE, Pacing

ROUND = 0.05


class Path:
    """
    A path that is used as fast as pacing allows; packets are answered one round trip later.

    @ivar loss: the part of all packets that is answered T00.
    @ivar capacity: packets per second above which the rest is rejected, with T05 unless told.
    """

    def __init__(self, most: float = 2500.0, *, seed: int = 1) -> None:
        self.now = 1000.0
        self.random = Random(seed)
        self.pacing = Pacing(most)
        self.pacing.measured(ROUND)
        self.loss = 0.0
        self.capacity = 1e9
        self.isMarked = True
        self.burst = 10.0
        self.passed = self.rejected = 0
        self._bucket = self.burst
        self._filledAt = self.now
        self._waiting: list[tuple[float, bool, bool]] = []

    def run(self, seconds: float) -> float:
        """Send and answer for so long; gives the rate in the end."""
        end = self.now + seconds
        self.passed = self.rejected = 0
        while self.now < end:
            while self._waiting and self._waiting[0][0] + ROUND <= self.now:
                sentAt, isFull, isLost = self._waiting.pop(0)
                isLimited = isFull and self.isMarked
                isLost = isLost or (isFull and not self.isMarked)
                self.pacing.answered(
                    sentAt=sentAt, now=self.now, isLimited=isLimited, isLost=isLost
                )
                self.rejected += isLimited or isLost
                self.passed += not (isLimited or isLost)
            while self.pacing.isAllowed(self.now):
                self.pacing.sent(self.now)
                self._waiting.append((self.now, self._isFull(), self.random.random() < self.loss))
            moment = self.pacing.readyAt()
            self.now = min(moment, self._waiting[0][0] + ROUND) if self._waiting else moment
        return self.pacing.rate.rate

    def _isFull(self) -> bool:
        gained = self.capacity * (self.now - self._filledAt)
        self._bucket = min(self.burst, self._bucket + gained)
        self._filledAt = self.now
        if self._bucket < 1:
            return True
        self._bucket -= 1
        return False


class PacingTests(SynchronousTestCase):
    """What leaves, and what answers do."""

    def test_first(self) -> None:
        """A small payment leaves at once."""
        paced = Pacing(2500.0)
        leaving = 0
        while paced.isAllowed(0.0):
            paced.sent(0.0)
            leaving += 1
        self.assertEqual(leaving, pacing.INITIAL_BURST)
        self.assertAlmostEqual(paced.readyAt(), 1 / pacing.INITIAL_RATE)

    def test_uneven(self) -> None:
        """After the start packets leave unevenly, by chance that begins with the first moment."""
        moments: list[list[float]] = []
        for start in (5.0, 5.0, 6.0):
            paced = Pacing(2500.0)
            paced.rate.start(start)
            paced.rate.lower(100.0, start)
            now, spaces = start, []
            for _ in range(200):
                paced.sent(now)
                later = max(now, paced.readyAt())
                spaces.append(later - now)
                now = later
            spaces = spaces[20:]
            self.assertAlmostEqual(sum(spaces) / len(spaces), 0.01, 3)
            self.assertTrue(0.008 < min(spaces) < 0.0095 and 0.0105 < max(spaces) < 0.012)
            moments.append(spaces)
        self.assertEqual(moments[0], moments[1])
        self.assertNotEqual(moments[0], moments[2])

    def test_roundTrip(self) -> None:
        paced = Pacing(10.0)
        self.assertIsNone(paced.roundTrip)
        paced.measured(0.8)
        self.assertEqual(paced.roundTrip, 0.8)
        paced.measured(1.6)
        self.assertAlmostEqual(paced.roundTrip, 0.9)

    def test_beforeAnyRoundTrip(self) -> None:
        paced = Pacing(10.0)
        paced.rate.start(0.0)
        ended = [paced.answered(sentAt=1.0, now=1.0) for _ in range(10)]
        self.assertEqual(ended, [False] * 9 + [True])

    def test_limited(self) -> None:
        """T05 and T03 count at once, and no other code does."""
        for isLimited in (True, False):
            paced = Pacing(1000.0)
            paced.rate.start(0.0)
            paced.answered(sentAt=1.0, now=1.0, isLimited=isLimited, isLost=not isLimited)
            self.assertIs(paced.rate.rate < pacing.INITIAL_RATE, isLimited)

    def test_most(self) -> None:
        self.assertEqual(Path().run(5.0), 2500.0)

    def test_rule(self) -> None:
        """A cut is made up for in seconds, and no larger than a bucket of ten packets bears."""
        for rate in (50.0, 167.0, 1000.0):
            step, cut = PACING_RULE.step(rate), PACING_RULE.cut(rate)
            self.assertTrue(1.0 < cut / step < 4.0)
            self.assertLess(cut * cut / step / 2, 10.1)
        self.assertAlmostEqual(PACING_RULE.cut(10.0), 1.0)

    def test_bucket(self) -> None:
        """Nearly all of a bucket is used, and few packets are rejected."""
        for burst in (10.0, 500.0):
            path = Path()
            path.capacity, path.burst = 167.0, burst
            path.run(10.0)
            path.run(100.0)
            self.assertGreater(path.passed, 0.99 * 16700)
            self.assertLess(path.rejected, 0.008 * 16700)

    def test_narrower(self) -> None:
        """A path that becomes narrower, and wider again."""
        path = Path()
        for capacity in (400.0, 200.0, 400.0):
            path.capacity = capacity
            path.run(10.0)
            path.run(2.0)
            self.assertTrue(0.9 * capacity < path.passed / 2 < 1.1 * capacity)


class LossTests(SynchronousTestCase):
    """T00 and packets without an answer count as far as a lower rate helps."""

    def test_random(self) -> None:
        """A path that drops some at any rate is not congested."""
        for loss in (0.01, 0.05, 0.2):
            path = Path()
            path.loss = loss
            path.run(5.0)
            path.run(20.0)
            self.assertGreater(path.passed, 20 * 2500 * (1 - loss) * 0.95)

    def test_randomLater(self) -> None:
        """Nor is one that begins to, when it was found how wide it is."""
        path = Path()
        path.capacity = 400.0
        path.run(20.0)
        for loss in (0.2, 0.02):
            path.loss = loss
            path.run(10.0)
            path.run(60.0)
            self.assertGreater(path.passed, 60 * 400 * (1 - loss) * 0.8)

    def test_capacity(self) -> None:
        """A path that answers T00 above its capacity is."""
        for burst in (10.0, 1000.0):
            path = Path()
            path.capacity, path.isMarked, path.burst = 500.0, False, burst
            path.run(10.0)
            path.run(60.0)
            self.assertGreater(path.passed, 0.9 * 60 * 500)
            self.assertLess(path.rejected, 0.05 * (path.passed + path.rejected))

    def test_mostAreLost(self) -> None:
        """Losses of more than half count whatever helps."""
        path = Path()
        path.loss = 0.7
        self.assertLess(path.run(60.0), pacing.INITIAL_RATE)

    def test_outage(self) -> None:
        """A path that was down for a second is used in full again a second after it is back."""
        path = Path()
        path.run(5)
        path.loss = 1.0
        path.run(1)
        path.loss = 0.0
        self.assertLess(path.pacing.rate.rate, 200)
        path.run(1.5)
        self.assertGreater(path.pacing.rate.rate, 2000)

    def test_longOutage(self) -> None:
        """The longer it is down, the less is sent in vain."""
        path = Path()
        path.run(5)
        path.loss = 1.0
        path.run(60)
        self.assertLess(path.pacing.rate.rate, 5)
        path.loss = 0.0
        path.run(20)
        self.assertGreater(path.pacing.rate.rate, 2000)
