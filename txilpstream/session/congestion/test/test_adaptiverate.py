"""Tests of C{txilpstream.session.congestion.adaptiverate}: the rule that finds a level."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.session.congestion import adaptiverate
from txilpstream.session.congestion.adaptiverate import AdaptiveRate, Rule
from txilpstream.test.support.strategies import forAll

ROUND = 1.0

RULE = Rule(step=lambda rate: 5.0, cut=lambda rate: 10.0)


def made(rate: float = 100.0, most: float = 10000.0, tokens: float = 10.0) -> AdaptiveRate:
    """A level that bursts for a hundredth of a second."""
    return AdaptiveRate(rate, RULE, least=1.0, most=most, tokens=tokens, burst=0.01)


class RoundTestCase(SynchronousTestCase):
    """A rate of 100 with rounds of a second."""

    def setUp(self) -> None:
        self.now = 1000.0
        self.rate = made()
        self.rate.start(self.now)

    def answer(self, passed: int, rejects: int = 0, *, sentAt: float | None = None) -> list[bool]:
        """Answer rejects, then others, that left just now unless that is said."""
        return [
            self.rate.answered(
                1.0,
                isReject=i < rejects,
                sentAt=self.now if sentAt is None else sentAt,
                now=self.now,
                roundTrip=ROUND,
            )
            for i in range(rejects + passed)
        ]

    def runRound(self, passed: int = 10, *, used: float | None = None) -> float:
        """The rate after a round without rejects in which all that may leave left."""
        self.rate.use(self.rate.rate if used is None else used, self.now, 1.0)
        self.now += ROUND
        self.assertIn(True, self.answer(passed))
        return self.rate.rate

    def settle(self) -> None:
        """End the start, at a rate of 97."""
        self.answer(0, 1)
        self.now += ROUND
        self.answer(99, sentAt=self.now - 1.5 * ROUND)
        self.answer(1)
        self.assertAlmostEqual(self.rate.rate, 97.0)
        self.assertIs(self.rate.isStarting, False)


class StartTests(RoundTestCase):
    """Until the first reject, and what follows it."""

    def test_doubles(self) -> None:
        self.assertEqual([self.runRound(), self.runRound()], [200.0, 400.0])
        self.assertIs(self.rate.isStarting, True)

    def test_reject(self) -> None:
        """Half at once; then what came through of what had left before."""
        self.assertEqual(self.answer(0, 1), [True])
        self.assertEqual((self.rate.rate, self.rate.fellAt), (50.0, self.now))
        self.now += ROUND
        self.answer(40, 40, sentAt=self.now - 1.5 * ROUND)
        self.now += 0.5
        self.assertEqual(self.answer(1), [True])
        self.assertAlmostEqual(self.rate.rate, 0.97 * 41)
        self.assertIs(self.rate.isStarting, False)

    def test_neverMore(self) -> None:
        """What came through from a bucket that was full is not what the path takes."""
        self.answer(0, 1)
        self.now += ROUND
        self.answer(5000, sentAt=self.now - 1.5 * ROUND)
        self.answer(1)
        self.assertEqual(self.rate.rate, 100.0)

    def test_hopeless(self) -> None:
        """Where nothing comes through, three answers are enough, and the start begins anew."""
        self.answer(0, 1)
        self.now += ROUND
        self.assertEqual(self.answer(0, 3), [False, False, True])
        self.assertEqual((self.rate.rate, self.rate.isStarting), (25.0, True))
        self.assertEqual(self.runRound(), 50.0)


class RuleTests(RoundTestCase):
    """What a reject and a round do to the rate later."""

    def setUp(self) -> None:
        super().setUp()
        self.settle()

    def test_cut(self) -> None:
        """A reject cuts at once; others that left before that say nothing new."""
        sentAt = self.now
        self.now += 0.5
        self.assertEqual(self.answer(0, 1), [True])
        self.assertAlmostEqual(self.rate.rate, 87.0)
        self.now += 0.1
        self.answer(10, 10, sentAt=sentAt)
        self.assertAlmostEqual(self.rate.rate, 87.0)

    def test_few(self) -> None:
        """One reject in ten of what left after a cut changes nothing; the next one cuts."""
        self.answer(0, 1)
        self.now += ROUND
        self.answer(9, 1)
        self.now += ROUND
        self.answer(10)
        self.assertAlmostEqual(self.rate.rate, 87.0)
        self.answer(0, 1)
        self.assertAlmostEqual(self.rate.rate, 77.0)

    def test_many(self) -> None:
        """More than one in ten: what came through."""
        self.answer(0, 1)
        self.now += ROUND
        self.answer(5, 5)
        self.now += ROUND
        self.answer(40, 5)
        self.answer(1)
        self.assertLess(self.rate.rate, 45.0)
        self.assertIs(self.rate.isStarting, False)

    def test_step(self) -> None:
        """The rate rises by a step, and faster after a calm, but no more than twofold."""
        self.assertAlmostEqual(self.runRound(), 102.0)
        rates = [self.runRound() for _ in range(12)]
        self.assertAlmostEqual(rates[0], 107.0)
        self.assertGreater(rates[-1], 1000.0)
        self.assertTrue(all(after <= 2 * before for before, after in pairwise(rates)))

    def test_disturbed(self) -> None:
        """Without a calm the rate rises by steps only."""
        for _ in range(12):
            self.rate.disturb(self.now)
            before = self.rate.rate
            self.assertAlmostEqual(self.runRound(), before + 5.0)
        self.rate.disturb(0.0)
        self.assertAlmostEqual(self.runRound(), before + 10.0)

    def test_lower(self) -> None:
        """A caller has reasons of its own."""
        self.rate.lower(30.0, self.now)
        self.assertEqual((self.rate.rate, self.rate.fellAt), (30.0, self.now))
        self.rate.restore(1e9)
        self.assertEqual(self.rate.rate, 10000.0)

    def test_notUsed(self) -> None:
        """A round in which little was sent says nothing about more."""
        before = self.rate.rate
        self.assertEqual(self.runRound(used=0.79 * before), before)
        self.assertGreater(self.runRound(used=0.81 * before), before)

    def test_speed(self) -> None:
        """The level need not be units per second."""
        self.rate.speed = 10.0
        before = self.rate.rate
        self.assertEqual(self.runRound(used=before), before)
        self.assertGreater(self.runRound(used=10 * before), before)
        self.assertAlmostEqual(self.rate.available(self.now + 1.0, 1.0), self.rate.rate / 10)

    def test_bounds(self) -> None:
        for _ in range(30):
            self.now += 2 * ROUND
            self.answer(0, 1)
            self.now += 2 * ROUND
            self.answer(0, 10)
        self.assertEqual(self.rate.rate, 1.0)
        self.assertEqual(made(40.0, most=0.5).rate, 0.5)
        self.assertEqual(made(0.1).rate, 1.0)


class RoundTests(RoundTestCase):
    """When a round ends."""

    def ends(self, after: float, roundTrip: float) -> list[bool]:
        now = self.now + after
        return [
            self.rate.answered(1.0, isReject=False, sentAt=now, now=now, roundTrip=roundTrip)
            for _ in range(adaptiverate.MINIMUM_ANSWERS)
        ]

    def test_tenAnswers(self) -> None:
        self.assertEqual(self.ends(1.0, 1.0), [False] * 9 + [True])

    def test_roundTrip(self) -> None:
        self.assertEqual(self.ends(0.9, 1.0), [False] * 10)
        self.assertEqual(self.ends(1.0, 1.0)[0], True)

    def test_shortest(self) -> None:
        self.assertEqual(self.ends(0.004, 0.0), [False] * 10)
        self.assertEqual(self.ends(0.006, 0.0)[0], True)

    def test_neverAsked(self) -> None:
        self.rate = made()
        self.assertEqual(self.ends(9.0, 0.0), [False] * 10)

    def test_judged(self) -> None:
        """What left before the first fall is judged when what left after it comes back."""
        self.answer(0, 1)
        self.now += 2 * ROUND
        self.assertEqual(self.answer(20, sentAt=self.now - 3 * ROUND), [False] * 20)
        self.assertEqual(self.answer(1), [True])


class TokenTests(RoundTestCase):
    """What may leave at once."""

    def test_first(self) -> None:
        self.assertEqual(self.rate.available(self.now, 1.0), 10.0)
        self.rate.use(10.0, self.now, 1.0)
        self.assertEqual(self.rate.available(self.now, 1.0), 0.0)
        self.assertAlmostEqual(self.rate.available(self.now + 0.005, 1.0), 0.5)

    def test_burst(self) -> None:
        """Tokens gather for a hundredth of a second, or for one packet."""
        self.assertEqual(self.rate.available(self.now + 1.0, 1.0), 10.0)
        self.rate.use(10.0, self.now + 1.0, 1.0)
        self.assertEqual(self.rate.available(self.now + 9.0, 1.0), 1.0)
        self.rate.use(1.0, self.now + 9.0, 1.0)
        self.assertEqual(self.rate.available(self.now + 18.0, 70.0), 70.0)

    def test_timeStandsStill(self) -> None:
        self.rate.use(9.0, self.now, 1.0)
        self.assertEqual(self.rate.available(self.now - 5.0, 1.0), 1.0)

    def test_has(self) -> None:
        """Before anything left there is what there is at first; later it grows with time."""
        fresh = made()
        self.assertEqual(
            (fresh.has(10.0, self.now), fresh.has(10.5, self.now + 9.0)), (True, False)
        )
        self.rate.use(10.0, self.now, 1.0)
        self.assertFalse(self.rate.has(1.0, self.now + 0.009))
        self.assertFalse(self.rate.has(1.0, self.now - 5.0))
        self.assertTrue(self.rate.has(1.0, self.now + 0.011))

    def test_readyAt(self) -> None:
        self.assertEqual(self.rate.readyAt(10.0), self.now)
        self.rate.use(10.0, self.now, 1.0)
        self.assertAlmostEqual(self.rate.readyAt(1.0), self.now + 0.01)

    def test_readyAtBeforeAnything(self) -> None:
        self.assertEqual(made(2.0, tokens=0.0).readyAt(1.0), 0.5)

    @forAll(
        st.one_of(st.floats(0.0, 10.0), st.floats(1.7e9, 1.8e9)),
        st.floats(1.0, 2.0**64),
        st.one_of(st.just(1.0), st.floats(1.0, 2.0**64)),
        st.floats(0.0, 1.0),
        examples=300,
    )
    def test_readyWhenItSays(self, now: float, rate: float, unit: float, part: float) -> None:
        """Whoever waits until the moment told need not wait again, however floats are rounded."""
        adaptive = made(rate, most=2.0**64, tokens=unit)
        adaptive.use(unit * part, now, unit)
        moment = adaptive.readyAt(unit)
        self.assertGreaterEqual(adaptive.available(moment, unit), unit)
        self.assertTrue(adaptive.has(unit, moment))


class CountTests(RoundTestCase):
    """When time begins to count."""

    def test_once(self) -> None:
        """What counts already is not begun again: nothing that has gathered is lost."""
        self.rate.use(self.rate.available(self.now, 1.0), self.now, 1.0)
        self.now += ROUND
        gathered = self.rate.available(self.now, 1.0)
        self.assertGreater(gathered, 0)
        self.rate.start(self.now)
        self.assertEqual(self.rate.available(self.now, 1.0), gathered)


class IdleTests(RoundTestCase):
    """An old rate is worth half."""

    def test_halved(self) -> None:
        self.settle()
        self.rate.use(1.0, self.now, 1.0)
        self.rate.use(1.0, self.now + 20.0, 1.0)
        self.assertAlmostEqual(self.rate.rate, 48.5)
        self.rate.use(1.0, self.now + 30.0, 1.0)
        self.assertAlmostEqual(self.rate.rate, 48.5)

    def test_start(self) -> None:
        """The initial rate was not measured, so it does not become old."""
        self.rate.use(1.0, self.now + 20.0, 1.0)
        self.assertEqual(self.rate.rate, 100.0)

    def test_neverAsked(self) -> None:
        rate = made()
        rate.use(1.0, 50.0, 1.0)
        self.assertEqual(rate.rate, 100.0)
