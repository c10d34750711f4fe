"""Tests of C{txilpstream.testing.limits}: hops that say no."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from txilpstream.amounts import Ratio
from txilpstream.errors import LocalError
from txilpstream.test.support.paths import HopTestCase
from txilpstream.testing import (
    Expiry,
    Latency,
    LiquidityBucket,
    Loss,
    MaximumPacketAmount,
    MoneyInFlight,
    PacketRate,
    Rate,
)
from txilpstream.wire.ilp import AmountTooLarge, Reject, decodeAmountTooLarge


class AmountTests(HopTestCase):
    """The largest packet."""

    def test_withAmounts(self) -> None:
        self.connect(Rate(Ratio(2)), MaximumPacketAmount(100))
        self.assertEqual(self.codes(50, 51), ["", "F08"])
        reply = self.ask(60)
        assert isinstance(reply, Reject)
        self.assertEqual(decodeAmountTooLarge(reply.data), AmountTooLarge(120, 100))
        self.assertEqual(reply.triggeredBy, "test.path.hop1")

    def test_withoutAmounts(self) -> None:
        self.connect(MaximumPacketAmount(100, withAmounts=False))
        self.assertEqual(self.ask(101), Reject("F08", "test.path.hop0", "Amount Too Large"))

    def test_bad(self) -> None:
        self.assertRaises(LocalError, MaximumPacketAmount, -1)


class LiquidityTests(HopTestCase):
    """Money per time, and money in flight."""

    def test_bucket(self) -> None:
        self.connect(LiquidityBucket(100, 10))
        self.assertEqual(self.codes(60, 40, 1, 0), ["", "", "T04", ""])
        self.clock.advance(5)
        self.assertEqual(self.codes(51, 50, 1), ["T04", "", "T04"])
        self.clock.advance(1000)
        self.assertEqual(self.codes(101, 100), ["T04", ""])

    def test_bucketRefunds(self) -> None:
        """What is rejected further on goes back into the bucket, as far as it fits."""
        self.connect(LiquidityBucket(100, 1), Latency(10), MaximumPacketAmount(50))
        waiting = [self.send(100)]
        self.clock.advance(10)
        waiting.append(self.send(11))
        self.clock.advance(10)
        self.assertEqual([self.code(waiting[0]), self.code(waiting[1])], ["F08", "T04"])
        waiting = [self.send(amount) for amount in (60, 40, 1)]
        self.clock.advance(0)
        self.assertEqual([each.called for each in waiting], [False, False, True])

    def test_badBucket(self) -> None:
        self.assertRaises(LocalError, LiquidityBucket, 0, 1)
        self.assertRaises(LocalError, LiquidityBucket, 1, -1)

    def test_inFlight(self) -> None:
        """Free again with any reply."""
        self.connect(MoneyInFlight(100), Latency(1), MaximumPacketAmount(50))
        waiting = [self.send(amount) for amount in (60, 0, 40, 1)]
        self.clock.advance(0)
        self.assertEqual([each.called for each in waiting], [False, False, False, True])
        self.assertEqual(self.code(waiting[3]), "T04")
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual([self.code(each) for each in waiting[:3]], ["F08", "", ""])
        waiting = [self.send(amount) for amount in (100, 1)]
        self.clock.advance(0)
        self.assertEqual([each.called for each in waiting], [False, True])

    def test_inFlightExpires(self) -> None:
        """What vanished further on is free again once it has expired."""
        self.connect(MoneyInFlight(100), Loss(1, direction="left"))
        lost = self.send(60, seconds=5)
        self.send(40, seconds=50)
        self.clock.advance(4)
        self.assertEqual(self.codes(60), ["T04"])
        self.clock.advance(2)
        self.assertEqual(self.codes(61), ["T04"])
        waiting = self.send(60)
        self.clock.advance(0)
        self.assertNoResult(waiting)
        self.assertNoResult(lost)

    def test_inFlightLateReply(self) -> None:
        """A reply after the expiry releases nothing a second time."""
        self.connect(MoneyInFlight(100), Latency(5))
        late = self.send(100, seconds=6)
        self.clock.advance(5)
        self.clock.advance(2)
        held = self.send(100)
        self.clock.advance(3)
        self.assertEqual(self.code(late), "")
        self.assertEqual(self.codes(1), ["T04"])
        self.assertNoResult(held)

    def test_badLimit(self) -> None:
        self.assertRaises(LocalError, MoneyInFlight, -1)


class PacketRateTests(HopTestCase):
    """Packets per time."""

    def test_rate(self) -> None:
        self.connect(PacketRate(10, burst=2))
        self.assertEqual(self.codes(1, 2, 3), ["", "", "T05"])
        self.clock.advance(0.1)
        self.assertEqual(self.codes(1, 2), ["", "T05"])
        self.clock.advance(100)
        self.assertEqual(self.codes(1, 2, 3), ["", "", "T05"])

    def test_code(self) -> None:
        self.connect(PacketRate(1, code="T03"))
        self.assertEqual(self.codes(1, 2), ["", "T03"])

    def test_bad(self) -> None:
        self.assertRaises(LocalError, PacketRate, -1)
        self.assertRaises(LocalError, PacketRate, 1, 0.5)


class ExpiryTests(HopTestCase):
    """Too little time, and no answer in time."""

    def test_tooLittle(self) -> None:
        self.connect(Expiry(2))
        waiting = [self.send(seconds=seconds) for seconds in (1.9, 2)]
        self.clock.advance(0)
        self.assertEqual([self.code(each) for each in waiting], ["R02", ""])

    def test_expired(self) -> None:
        """Without a minimum, what has expired does not pass all the same."""
        self.connect(Expiry(0))
        self.clock.advance(10)
        waiting = [self.send(seconds=seconds) for seconds in (-5, 0)]
        self.clock.advance(0)
        self.assertEqual([self.code(each) for each in waiting], ["R02", "R02"])

    def test_noAnswer(self) -> None:
        """Each is rejected when it expires, in whatever order they came."""
        self.connect(Latency(0), Expiry(), Loss(1))
        waiting = [self.send(seconds=seconds) for seconds in (5, 3, 3, 10)]
        self.clock.advance(2.9)
        self.assertEqual([each.called for each in waiting], [False] * 4)
        self.clock.advance(0.1)
        self.assertEqual([each.called for each in waiting], [False, True, True, False])
        self.clock.advance(2)
        self.assertEqual([each.called for each in waiting], [True, True, True, False])
        self.clock.advance(5)
        self.assertEqual([self.code(each) for each in waiting], ["R00"] * 4)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        reply = self.replyTo(self.expire())
        self.assertEqual(reply, Reject("R00", "test.path.hop1", "Transfer Timed Out"))

    def expire(self) -> Deferred[bytes]:
        """Send a packet and let it expire."""
        waiting = self.send(seconds=5)
        self.clock.advance(5)
        return waiting

    def test_lateAnswer(self) -> None:
        """It is dropped, and its money not taken, though it was given."""
        path = self.connect(Expiry(), Latency(3))
        waiting = self.send(seconds=5)
        self.clock.advance(3)
        self.clock.advance(2)
        self.assertEqual(self.code(waiting), "R00")
        self.clock.advance(5)
        self.assertEqual(path.counters("left").rejects, {"R00": 1})
        self.assertEqual((path.taken("left"), path.given("right")), (0, 100))

    def test_answered(self) -> None:
        """Nothing happens at the expiry of what was answered; later ones are still watched."""
        self.connect(Expiry(), Latency(1), Loss(0, direction="left"))
        first = self.send(seconds=5)
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual(self.code(first), "")
        path = self.path
        path.right.deregisterDataHandler()
        path.right.registerDataHandler(lambda data: Deferred())
        second = self.send(seconds=5)
        self.clock.advance(3)
        self.assertNoResult(second)
        self.clock.advance(2)
        self.assertEqual(self.code(second), "R00")

    def test_wallClockStandsStill(self) -> None:
        """The wall clock rules, and is asked again when it lags behind the reactor."""
        self.connect(Expiry(), Loss(1))
        wall = [0.0]
        self.path.wallClock = lambda: wall[0]
        waiting = self.send(seconds=5)
        self.clock.advance(0)
        self.clock.advance(5)
        self.assertNoResult(waiting)
        wall[0] = 5.0
        self.clock.advance(5)
        self.assertEqual(self.code(waiting), "R00")

    def test_bad(self) -> None:
        self.assertRaises(LocalError, Expiry, -1)
