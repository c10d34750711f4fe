"""Tests for C{txilpstream.transport.sendrate}."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.errors import LocalError
from txilpstream.test.support.connected import run
from txilpstream.transport.sendrate import CATCH_UP, SendRate


class Purse:
    """
    Stands for a stream.

    @ivar offered: every amount that was offered.
    @ivar unsentMoney: what it says has not left.
    """

    def __init__(self, unsentMoney: int = 0) -> None:
        self.offered: list[int] = []
        self.unsentMoney = unsentMoney
        self.isClosed = False
        self.pings = 0

    def ping(self) -> None:
        """Count it."""
        self.pings += 1

    def offerMoney(self, sourceAmount: int) -> None:
        """Write it down."""
        if self.isClosed:
            raise LocalError("closed")
        self.offered.append(sourceAmount)


class AnyBelow:
    """All numbers from 0 to a limit."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __contains__(self, number: object) -> bool:
        return isinstance(number, float) and 0 <= number <= self.limit

    def __iter__(self) -> Any:
        return iter((0.0, self.limit))


class SendRateTests(SynchronousTestCase):
    """Money that is offered as time passes."""

    def setUp(self) -> None:
        """A clock and a stream."""
        self.clock = Clock()
        self.purse: Any = Purse()

    def rate(self, sourceAmount: int, perSeconds: int = 1) -> SendRate:
        """A rate that has begun."""
        purse = self.purse
        rate = SendRate(self.clock, purse.offerMoney, lambda: purse.unsentMoney, purse.ping)
        rate.change(sourceAmount, perSeconds)
        return rate

    def test_exact(self) -> None:
        """An hour at an odd rate comes to what it should."""
        self.rate(1000, 7)
        run(self.clock, 3600)
        self.assertIn(3600 * 1000 // 7 - sum(self.purse.offered), range(0, 31))

    def test_belowOne(self) -> None:
        """Less than a unit per second is exact too."""
        self.rate(1, 10)
        run(self.clock, 9.9)
        self.assertEqual(self.purse.offered, [])
        run(self.clock, 100.4)
        self.assertEqual(self.purse.offered, [1] * 11)

    def test_changed(self) -> None:
        """However often it is changed, no fraction of a unit is lost."""
        rate = self.rate(1, 3)
        for number in range(1000):
            run(self.clock, 0.7)
            rate.change(1, 2 + number % 3)
        seconds = 0.7 * (1 / 3 + sum(1 / (2 + number % 3) for number in range(999)))
        self.assertIn(seconds - sum(self.purse.offered) + 0.01, AnyBelow(1.02))
        rate.change(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        offered = sum(self.purse.offered)
        run(self.clock, 1000)
        rate.change(1)
        run(self.clock, 10.1)
        self.assertIn(sum(self.purse.offered) - offered, (10, 11))

    def test_stalled(self) -> None:
        """Not more than ten seconds' worth waits."""
        self.purse.unsentMoney = 1000 * CATCH_UP
        self.rate(1000)
        run(self.clock, 60)
        self.assertEqual(self.purse.offered, [])
        self.purse.unsentMoney = 0
        run(self.clock, 1.01)
        self.assertIn(sum(self.purse.offered), range(800, 1201))

    def test_slept(self) -> None:
        """A clock that jumps makes good for ten seconds."""
        self.rate(1000)
        self.clock.advance(3600)
        self.assertLessEqual(self.purse.offered[0], 1000 * CATCH_UP)

    def test_giveBack(self) -> None:
        """What was too little comes again when enough is due."""
        rate = self.rate(10)
        run(self.clock, 0.21)
        self.assertEqual(self.purse.offered, [2])
        rate.giveBack(2, 10)
        run(self.clock, 0.61)
        self.assertEqual(self.purse.offered, [2])
        run(self.clock, 0.3)
        self.assertEqual(self.purse.offered, [2, 10])

    def test_leastBeyondCatchUp(self) -> None:
        """A path whose least amount is more than ten seconds' worth is paid all the same."""
        rate = self.rate(1)
        run(self.clock, 1.21)
        rate.giveBack(1, 30)
        run(self.clock, 60)
        self.assertGreaterEqual(sum(self.purse.offered), 31)

    def test_stop(self) -> None:
        """A stopped rate leaves nothing with the reactor."""
        rate = self.rate(10)
        rate.stop()
        rate.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closed(self) -> None:
        """A stream that takes no more ends the rate."""
        self.rate(10)
        self.purse.isClosed = True
        run(self.clock, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
