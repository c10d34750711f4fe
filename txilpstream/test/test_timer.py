"""Tests for C{txilpstream.timer}."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.plugins.memory import memoryPair
from txilpstream.timer import SHORTEST_WAIT, Timer
from txilpstream.transport.account import Account


class TimerTests(SynchronousTestCase):
    """One timer that is moved only to earlier moments."""

    def setUp(self) -> None:
        """A timer that writes down when it fired."""
        self.clock = Clock()
        account = Account(self.clock, memoryPair(self.clock)[0], wallClock=self.clock.seconds)
        self.fired: list[float] = []
        self.timer = Timer(account, lambda: self.fired.append(self.clock.seconds()))

    def test_once(self) -> None:
        """It fires once at its moment."""
        self.timer.moveTo(2.0)
        self.clock.advance(1.9)
        self.assertEqual(self.fired, [])
        self.clock.pump([0.1, 5])
        self.assertEqual(self.fired, [2.0])

    def test_earlier(self) -> None:
        """An earlier moment counts, a later one does not."""
        self.timer.moveTo(2.0)
        self.timer.moveTo(1.0)
        self.timer.moveTo(3.0)
        self.clock.pump([1, 1, 1])
        self.assertEqual(self.fired, [1.0])

    def test_never(self) -> None:
        """It can be stopped, twice too."""
        self.timer.moveTo(2.0)
        self.timer.moveTo(None)
        self.timer.moveTo(None)
        self.timer.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_past(self) -> None:
        """A moment that is past is not quite at once: others get their turn."""
        self.clock.advance(5)
        self.timer.moveTo(1.0)
        self.clock.advance(0)
        self.assertEqual(self.fired, [])
        self.clock.advance(SHORTEST_WAIT)
        self.assertEqual(len(self.fired), 1)
