"""The rule that finds a rate, round by round."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.session import rounds
from txilpstream.session.rounds import AdaptiveRate
from txilpstream.test.support import forAll

ROUND = 1.0


class RoundTestCase(SynchronousTestCase):
    """A rate of 100 with rounds of a second."""

    def setUp(self) -> None:
        self.now = 1000.0
        self.rate = AdaptiveRate(100.0, least=1.0, most=10000.0, tokens=10.0)
        self.rate.available(self.now, 1.0)

    def runRound(self, passed: int, rejects: int = 0, *, used: float | None = None) -> float:
        """The rate after a round with so many answers; C{used} is all that passed if not given."""
        self.rate.use(self.rate.rate if used is None else used, self.now)
        self.now += ROUND
        ended = [
            self.rate.answered(1.0, isReject=i < rejects, now=self.now, roundTrip=ROUND)
            for i in range(rejects + passed)
        ]
        self.assertIn(True, ended)
        return self.rate.rate


class RuleTests(RoundTestCase):
    """What a round does to the rate."""

    def test_start(self) -> None:
        self.assertEqual([self.runRound(10), self.runRound(10)], [200.0, 400.0])
        self.assertIs(self.rate.isStarting, True)

    def test_fewRejects(self) -> None:
        self.assertEqual(self.runRound(9, 1), 95.0)
        self.assertIs(self.rate.isStarting, False)

    def test_manyRejects(self) -> None:
        """Nine tenths of what came through."""
        self.assertAlmostEqual(self.runRound(8, 2), 7.2)

    def test_manyRejectsNeverRaise(self) -> None:
        self.rate.answered(1e6, isReject=False, now=self.now, roundTrip=ROUND)
        self.assertEqual(self.runRound(5, 4), 100.0)

    def test_step(self) -> None:
        """After the first reject the rate rises by a step, which doubles when all is calm."""
        self.runRound(9, 1)
        rates = [95.0] + [self.runRound(10) for _ in range(6)]
        steps = [after - before for before, after in pairwise(rates)]
        self.assertEqual(steps, [5.0, 5.0, 10.0, 20.0, 40.0, 80.0])
        self.runRound(9, 1)
        before = self.rate.rate
        self.assertAlmostEqual(self.runRound(10) - before, 5.0)

    def test_mostDoublings(self) -> None:
        rate = self.rate = AdaptiveRate(100.0, least=1.0, most=1e9, tokens=0.0)
        rate.available(self.now, 1.0)
        self.runRound(9, 1)
        self.now += 1000.0
        before = rate.rate
        rate.use(1e9, self.now)
        for _ in range(10):
            rate.answered(1.0, isReject=False, now=self.now, roundTrip=ROUND)
        step = rounds.STEP_PER_SECOND * 2**rounds.MOST_DOUBLINGS
        self.assertAlmostEqual(rate.rate - before / 2, step * 1000.0)

    def test_notUsed(self) -> None:
        """A round in which little was sent says nothing about more."""
        self.assertEqual(self.runRound(10, used=79.0), 100.0)
        self.assertEqual(self.runRound(10, used=80.0), 200.0)

    def test_neverLeft(self) -> None:
        self.rate.use(50.0, self.now)
        self.rate.giveBack(50.0)
        self.assertEqual(self.runRound(10, used=40.0), 100.0)

    def test_bounds(self) -> None:
        self.assertEqual(self.runRound(0, 10), 1.0)
        rate = AdaptiveRate(40.0, least=1.0, most=0.5, tokens=1.0)
        self.assertEqual(rate.rate, 0.5)
        rate = AdaptiveRate(0.1, least=1.0, most=10.0, tokens=1.0)
        self.assertEqual(rate.rate, 1.0)


class RoundTests(RoundTestCase):
    """When a round ends."""

    def answer(self, after: float, roundTrip: float) -> list[bool]:
        return [
            self.rate.answered(1.0, isReject=False, now=self.now + after, roundTrip=roundTrip)
            for _ in range(rounds.MINIMUM_ANSWERS)
        ]

    def test_tenAnswers(self) -> None:
        self.assertEqual(self.answer(1.0, 1.0), [False] * 9 + [True])

    def test_roundTrip(self) -> None:
        self.assertEqual(self.answer(0.9, 1.0), [False] * 10)
        self.assertEqual(self.answer(1.0, 1.0)[0], True)

    def test_shortest(self) -> None:
        self.assertEqual(self.answer(0.004, 0.0), [False] * 10)
        self.assertEqual(self.answer(0.006, 0.0)[0], True)

    def test_neverAsked(self) -> None:
        self.rate = AdaptiveRate(100.0, least=1.0, most=1e9, tokens=1.0)
        self.assertEqual(self.answer(9.0, 0.0), [False] * 10)


class TokenTests(RoundTestCase):
    """What may leave at once."""

    def test_first(self) -> None:
        self.assertEqual(self.rate.available(self.now, 1.0), 10.0)
        self.rate.use(10.0, self.now)
        self.assertEqual(self.rate.available(self.now, 1.0), 0.0)
        self.assertAlmostEqual(self.rate.available(self.now + 0.005, 1.0), 0.5)

    def test_burst(self) -> None:
        """Tokens gather for a hundredth of a second, or for one packet."""
        self.assertEqual(self.rate.available(self.now + 1.0, 1.0), 10.0)
        self.rate.use(10.0, self.now + 1.0)
        self.assertEqual(self.rate.available(self.now + 9.0, 1.0), 1.0)
        self.rate.use(1.0, self.now + 9.0)
        self.assertEqual(self.rate.available(self.now + 18.0, 70.0), 70.0)

    def test_timeStandsStill(self) -> None:
        self.rate.use(9.0, self.now)
        self.assertEqual(self.rate.available(self.now - 5.0, 1.0), 1.0)

    def test_readyAt(self) -> None:
        self.assertEqual(self.rate.readyAt(10.0), self.now)
        self.rate.use(10.0, self.now)
        self.assertAlmostEqual(self.rate.readyAt(1.0), self.now + 0.01)
        self.rate.giveBack(1.0)
        self.assertEqual(self.rate.readyAt(1.0), self.now)

    def test_readyAtBeforeAnything(self) -> None:
        rate = AdaptiveRate(2.0, least=1.0, most=9.0, tokens=0.0)
        self.assertEqual(rate.readyAt(1.0), 0.5)

    @forAll(
        st.one_of(st.floats(0.0, 10.0), st.floats(1.7e9, 1.8e9)),
        st.floats(1.0, 2.0**64),
        st.one_of(st.just(1.0), st.floats(1.0, 2.0**64)),
        st.floats(0.0, 1.0),
        examples=300,
    )
    def test_readyWhenItSays(self, now: float, rate: float, unit: float, part: float) -> None:
        """Whoever waits until the moment told need not wait again, however floats are rounded."""
        adaptive = AdaptiveRate(rate, least=1.0, most=2.0**64, tokens=unit)
        adaptive.available(now, unit)
        adaptive.use(unit * part, now)
        moment = adaptive.readyAt(unit)
        self.assertGreaterEqual(adaptive.available(moment, unit), unit)


class IdleTests(RoundTestCase):
    """An old rate is worth half."""

    def test_halved(self) -> None:
        self.runRound(9, 1)
        self.rate.use(1.0, self.now + 20.0)
        self.assertEqual(self.rate.rate, 47.5)
        self.rate.use(1.0, self.now + 30.0)
        self.assertEqual(self.rate.rate, 47.5)

    def test_least(self) -> None:
        self.runRound(0, 10)
        self.rate.use(1.0, self.now + 20.0)
        self.assertEqual(self.rate.rate, 1.0)

    def test_most(self) -> None:
        """The caller's limit holds even below the least rate."""
        self.rate = AdaptiveRate(40.0, least=1.0, most=0.5, tokens=1.0)
        self.rate.available(self.now, 1.0)
        self.runRound(9, 1)
        self.rate.use(1.0, self.now + 20.0)
        self.assertEqual(self.rate.rate, 0.5)

    def test_start(self) -> None:
        """The initial rate was not measured, so it does not become old."""
        self.rate.use(1.0, self.now + 20.0)
        self.assertEqual(self.rate.rate, 100.0)

    def test_neverAsked(self) -> None:
        rate = AdaptiveRate(100.0, least=1.0, most=1e9, tokens=1.0)
        rate.use(1.0, 50.0)
        self.assertEqual(rate.rate, 100.0)
