"""Tests of C{txilpstream.waiters}."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.waiters import SHORTEST_WAIT, Timer, Waiters, atMost


class WaitersTests(SynchronousTestCase):
    """Deferreds that are fired together."""

    def setUp(self) -> None:
        """Nobody waits."""
        self.waiters: Waiters[int] = Waiters()

    def test_fire(self) -> None:
        """All who wait get the value, in their order, and nobody waits any more."""
        order: list[str] = []

        def heard(value: int, name: str) -> None:
            order.append(f"{name}{value}")

        self.assertFalse(self.waiters)
        for name in "abc":
            self.waiters.add().addCallback(heard, name)
        self.assertEqual(len(self.waiters), 3)
        self.waiters.fire(7)
        self.assertEqual(order, ["a7", "b7", "c7"])
        self.assertFalse(self.waiters)
        self.waiters.fire(8)
        self.assertEqual(len(order), 3)

    def test_fail(self) -> None:
        """All who wait get the failure; an exception will do."""
        first, second = self.waiters.add(), self.waiters.add()
        self.waiters.fail(ValueError("no"))
        self.assertEqual(str(self.failureResultOf(first, ValueError).value), "no")
        self.failureResultOf(second, ValueError)
        third = self.waiters.add()
        self.waiters.fail(Failure(KeyError("k")))
        self.failureResultOf(third, KeyError)

    def test_cancelled(self) -> None:
        """Who cancels waits no more; the others do not notice."""
        first, second = self.waiters.add(), self.waiters.add()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(len(self.waiters), 1)
        self.waiters.fire(1)
        self.assertEqual(self.successResultOf(second), 1)

    def test_cancelledByAnother(self) -> None:
        """One who is told may cancel one who is not yet."""
        first = self.waiters.add()
        second = self.waiters.add()
        third = self.waiters.add()
        first.addCallback(lambda _: second.cancel())
        self.waiters.fire(1)
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.successResultOf(third), 1)
        first, second = self.waiters.add(), self.waiters.add()
        first.addErrback(lambda _: second.cancel())
        self.waiters.fail(ValueError())
        self.failureResultOf(second, CancelledError)

    def test_again(self) -> None:
        """One who is told may wait again, for the next time."""
        again: list[Deferred[int]] = []
        self.waiters.add().addCallback(lambda _: again.append(self.waiters.add()))
        self.waiters.fire(1)
        self.assertNoResult(again[0])
        self.waiters.fire(2)
        self.assertEqual(self.successResultOf(again[0]), 2)

    def test_cancelledLate(self) -> None:
        """What has fired is not cancelled, and does not disturb."""
        first = self.waiters.add()
        self.waiters.fire(1)
        first.cancel()
        self.assertEqual(self.successResultOf(first), 1)


class AtMostTests(SynchronousTestCase):
    """Waiting that ends."""

    def test_inTime(self) -> None:
        """Whatever comes of it, the wait is over and fails nobody."""
        for outcome in (3, ValueError()):
            clock, wait = Clock(), Deferred[int]()
            over = atMost(5, wait, clock)
            if isinstance(outcome, int):
                wait.callback(outcome)
            else:
                wait.errback(outcome)
            self.successResultOf(over)
            self.assertEqual(clock.getDelayedCalls(), [])

    def test_tooLate(self) -> None:
        """What takes longer is cancelled."""
        clock = Clock()
        cancelled: list[Deferred[None]] = []
        over = atMost(5, Deferred(cancelled.append), clock)
        clock.advance(4.9)
        self.assertNoResult(over)
        clock.advance(0.2)
        self.successResultOf(over)
        self.assertEqual(len(cancelled), 1)


class TimerTests(SynchronousTestCase):
    """One call, at the moment that was said last."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.called: list[float] = []
        self.timer = Timer(self.clock, lambda: self.called.append(self.clock.seconds()))

    def test_moved(self) -> None:
        """Earlier or later, only the last moment holds."""
        for delay in (5, 9, 2):
            self.timer.set(delay)
            self.assertTrue(self.timer.isSet)
        self.clock.advance(2)
        self.assertFalse(self.timer.isSet)
        self.clock.advance(20)
        self.assertEqual(self.called, [2])

    def test_stopped(self) -> None:
        self.timer.stop()
        self.timer.set(1)
        self.timer.stop()
        self.assertFalse(self.timer.isSet)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.timer.set(1)
        self.clock.advance(1)
        self.assertEqual(self.called, [1])

    def test_again(self) -> None:
        """What is called may set it anew."""

        def again() -> None:
            self.called.append(self.clock.seconds())
            timer.set(1)

        timer = Timer(self.clock, again)
        timer.set(1)
        self.clock.pump([1, 1])
        self.assertEqual(self.called, [1, 2])
        timer.stop()

    def moveTo(self, moment: float | None) -> None:
        """Say a moment, of a clock that is an hour ahead."""
        ahead = None if moment is None else moment + 3600
        self.timer.moveTo(ahead, lambda: self.clock.seconds() + 3600)

    def test_earliest(self) -> None:
        """Of moments the earliest holds, once."""
        for moment in (2.0, 1.0, 3.0):
            self.moveTo(moment)
        self.clock.pump([0.9, 0.1, 1, 1])
        self.assertEqual(self.called, [1])
        self.moveTo(5)
        self.clock.pump([1, 1])
        self.assertEqual(self.called, [1, 5])

    def test_never(self) -> None:
        """None is no moment, and may be said twice."""
        for moment in (2.0, None, None):
            self.moveTo(moment)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_past(self) -> None:
        """A moment that is past is not quite at once: others get their turn."""
        self.clock.advance(5)
        self.moveTo(1)
        self.clock.advance(0)
        self.assertEqual(self.called, [])
        self.clock.advance(SHORTEST_WAIT)
        self.assertEqual(len(self.called), 1)
