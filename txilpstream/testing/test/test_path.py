"""Tests of C{txilpstream.testing.path}: the simulated path: its ends and its time."""

from __future__ import annotations

import time
from hashlib import sha256

from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from txilpstream.amounts import Ratio
from txilpstream.errors import ConnectionEnded
from txilpstream.interfaces import IPlugin, NotSent
from txilpstream.plugins.test.test_base import Producer
from txilpstream.test.support.paths import CONDITION, PREIMAGE, PathTestCase
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.testing import (
    Duplicate,
    Expiry,
    Latency,
    LiquidityBucket,
    Loss,
    MaximumPacketAmount,
    MoneyInFlight,
    PacketRate,
    PathCounters,
    PathEnd,
    Rate,
    RejectWith,
    Reorder,
    SimulatedPath,
    SwapReplies,
    TamperAmount,
    TamperData,
    linearDrift,
)
from txilpstream.wire.ildcp import AccountDetails, decodeResponse, encodeRequest
from txilpstream.wire.ilp import (
    Fulfill,
    Prepare,
    Reject,
    decodeReply,
    encodeFulfill,
    encodeReject,
    encodeTimestamp,
)


class EndTests(PathTestCase):
    """The ends are plugins."""

    def test_interface(self) -> None:
        path = self.connect()
        verifyObject(IPlugin, path.left)
        verifyObject(IPlugin, path.right)
        self.assertTrue(path.left.isConnected())

    def test_there(self) -> None:
        """What is sent arrives in a later turn, whole, and so does the reply."""
        self.connect()
        waiting = self.send(7, data=b"x" * 1000)
        self.assertEqual(self.got["right"], [])
        self.assertNoResult(waiting)
        self.clock.advance(0)
        (prepare,) = self.got["right"]
        self.assertEqual(
            prepare, Prepare(7, encodeTimestamp(30.0), CONDITION, "test.path.right.x", b"x" * 1000)
        )
        self.assertEqual(self.replyTo(waiting), Fulfill(PREIMAGE, b"reply"))

    def test_back(self) -> None:
        path = self.connect(Latency(1, direction="left"))
        self.assertEqual(self.ask(8, end=path.right), Fulfill(PREIMAGE, b"reply"))
        self.assertEqual(self.amounts("left"), [8])

    def test_configuration(self) -> None:
        """IL-DCP is answered by the path, and is in no book."""
        bob = AccountDetails("test.bob", 2, "EUR")
        path = SimulatedPath(self.clock, right=bob)
        path.left.connect()
        path.right.connect()
        left, right = path.left.sendData(encodeRequest(1)), path.right.sendData(encodeRequest(1))
        self.clock.advance(0)
        self.assertEqual(
            decodeResponse(self.successResultOf(left)), AccountDetails("test.path.left", 9, "USD")
        )
        self.assertEqual(decodeResponse(self.successResultOf(right)), bob)
        self.assertEqual(path.right.details, bob)
        self.assertEqual(path.counters("left"), PathCounters())

    def test_malformed(self) -> None:
        path = self.connect(Latency(0))
        waiting = path.left.sendData(b"\x0c\x00")
        self.clock.advance(0)
        reply = self.replyTo(waiting)
        assert isinstance(reply, Reject)
        self.assertEqual((reply.code, reply.triggeredBy), ("F01", "test.path"))
        self.assertEqual(path.counters("left").rejects, {"F01": 1})

    def test_noHandler(self) -> None:
        path = self.connect()
        path.right.deregisterDataHandler()
        self.assertEqual(self.ask(), Reject("T01", "test.path.right", "Peer Unreachable"))

    def test_farEndNotConnected(self) -> None:
        path = self.connect()
        path.right.disconnect()
        self.assertEqual(self.ask(), Reject("T01", "test.path.right", "Peer Unreachable"))
        self.assertEqual(self.got["right"], [])

    def test_handlerRaises(self) -> None:
        path = self.connect()
        self.answerWith(path.right, lambda prepare: bytes(1 // 0))
        self.assertEqual(self.ask(), Reject("T00", "test.path.right", "Internal Error"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_noReply(self) -> None:
        """A handler's bytes that are no reply are its error, which is logged."""
        path = self.connect()
        self.answerWith(path.right, lambda prepare: b"no reply")
        self.assertEqual(self.ask(), Reject("T00", "test.path", "Internal Error"))
        self.connect(Latency(0), Latency(0))
        self.answerWith(self.path.right, lambda prepare: b"no reply")
        self.assertEqual(self.ask(), Reject("T00", "test.path.hop1", "Internal Error"))
        self.assertEqual(len(self.flushLoggedErrors()), 2)

    def test_later(self) -> None:
        path = self.connect()
        answer: Deferred[bytes] = Deferred()
        self.answerWith(path.right, lambda prepare: answer)
        waiting = self.send()
        self.clock.advance(5)
        self.assertNoResult(waiting)
        answer.callback(encodeReject("F99"))
        self.assertNoResult(waiting)
        self.clock.advance(0)
        self.assertEqual(self.replyTo(waiting), Reject("F99"))

    def test_producer(self) -> None:
        """The path takes whatever it is given."""
        path = self.connect()
        producer = Producer()
        path.left.registerProducer(producer, True)
        for _ in range(2000):
            self.send()
        self.clock.advance(0)
        self.assertEqual(producer.calls, [])

    def test_wallClock(self) -> None:
        """By default that of the machine, or the reactor's if it is a Clock."""
        self.clock.advance(5)
        self.assertEqual(SimulatedPath(self.clock).wallClock(), 5)
        self.assertEqual(SimulatedPath(self.clock, wallClock=lambda: 7.0).wallClock(), 7)

        class OtherReactor:
            def seconds(self) -> float:
                return 0.0

        self.patch(time, "time", lambda: 9.0)
        path = SimulatedPath(OtherReactor())  # type: ignore[arg-type]
        self.assertEqual(path.wallClock(), 9)


class EndingTests(PathTestCase):
    """Disconnecting, and giving up."""

    def test_notConnected(self) -> None:
        self.connect().left.disconnect()
        self.failureResultOf(self.send(), NotSent)

    def test_queued(self) -> None:
        """What has not entered the path was certainly not sent."""
        path = self.connect()
        waiting = self.send()
        done = path.left.disconnect()
        self.assertFalse(path.left.isConnected())
        self.assertNoResult(waiting)
        self.clock.advance(0)
        self.failureResultOf(waiting, NotSent)
        self.successResultOf(done)
        self.assertEqual(path.counters("left"), PathCounters())

    def test_underway(self) -> None:
        """What is underway may still be taken; the reply is for nobody."""
        path = self.connect(Latency(1))
        waiting = self.send()
        self.clock.advance(0.5)
        path.left.disconnect()
        self.clock.advance(0)
        self.failureResultOf(waiting, ConnectionEnded)
        self.assertEqual(path.taken("left"), 0)
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual((path.taken("left"), path.given("right")), (100, 100))

    def test_answeredWhileDisconnecting(self) -> None:
        path = self.connect(Latency(1))
        waiting = self.send()
        self.clock.advance(1)
        self.clock.advance(0.5)
        waiting.addCallback(lambda reply: reply)
        self.clock.callLater(0.5, path.left.disconnect)
        self.clock.advance(0.5)
        self.assertEqual(self.replyTo(waiting), Fulfill(PREIMAGE, b"reply"))

    def test_replyDuringDisconnect(self) -> None:
        """A reply that comes in the turn of the disconnect is taken."""
        path = self.connect()
        ending: list[Deferred[None]] = []
        first = self.send().addCallback(lambda _: ending.append(path.left.disconnect()))
        second = self.send()
        self.clock.advance(0)
        self.successResultOf(first)
        self.successResultOf(ending[0])
        self.failureResultOf(second, NotSent)

    def test_both(self) -> None:
        """When nobody is there any more, nothing is left with the reactor."""
        path = self.connect(Latency(1), MoneyInFlight(100), Expiry(), SwapReplies(1.0, 5))
        waiting = self.send()
        self.clock.advance(1.5)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        path.left.disconnect()
        path.right.disconnect()
        self.clock.advance(0)
        self.failureResultOf(waiting, ConnectionEnded)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        path.left.connect()
        path.right.connect()
        waiting = self.send()
        self.clock.advance(1)
        self.clock.advance(5)
        self.clock.advance(1)
        self.assertEqual(self.replyTo(waiting), Fulfill(PREIMAGE, b"reply"))

    def test_farEndDisconnects(self) -> None:
        """Its late answer counts as given, for it has been made, and gets no further."""
        path = self.connect()
        answer: Deferred[bytes] = Deferred()
        self.answerWith(path.right, lambda prepare: answer)
        waiting = self.send()
        self.clock.advance(0)
        path.right.disconnect()
        self.clock.advance(0)
        answer.callback(encodeFulfill(PREIMAGE))
        self.clock.advance(0)
        self.assertNoResult(waiting)
        self.assertEqual((path.taken("left"), path.given("right")), (0, 100))

    def test_cancel(self) -> None:
        """Cancelling gives up waiting and takes nothing back."""
        path = self.connect(Latency(1))
        waiting = self.send()
        self.clock.advance(0.5)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual(path.taken("left"), 100)

    def test_cancelDuringDisconnect(self) -> None:
        path = self.connect(Latency(1))
        waiting = self.send()
        self.clock.advance(0.5)
        done = path.left.disconnect()
        waiting.cancel()
        self.clock.advance(0)
        self.failureResultOf(waiting, CancelledError)
        self.successResultOf(done)


class TimeTests(PathTestCase):
    """When things happen, and on how many delayed calls."""

    def test_oneCall(self) -> None:
        """However many packets are underway, the reactor holds one delayed call."""
        self.connect(Latency(0.5, jitter=0.5), Latency(0.2))
        for _ in range(50):
            self.send()
            self.clock.advance(0.01)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_steps(self) -> None:
        """A time that is a sum of many small ones does not stand still by a rounding."""
        self.connect(Latency(0.1), Latency(0.2), Latency(0.3))
        waiting = [self.send() for _ in range(3)]
        for _ in range(1300):
            self.clock.advance(0.001)
        self.assertEqual(
            [self.replyTo(each) for each in waiting], [Fulfill(PREIMAGE, b"reply")] * 3
        )

    def test_sooner(self) -> None:
        """What is due sooner than all else comes first."""
        path = self.connect(Latency(1, direction="left"))
        slow = self.send()
        self.clock.advance(0.5)
        quick = self.send(end=path.right)
        self.clock.advance(0)
        self.successResultOf(quick)
        self.assertNoResult(slow)

    def test_sameSeed(self) -> None:
        """The same packets at the same times meet the same fate."""

        def run(seed: int) -> list[object]:
            path = self.connect(Latency(0.1, 0.1), Loss(0.2), RejectWith("T00", 0.3), seed=seed)
            waiting = [self.send(amount) for amount in range(100)]
            for _ in range(10):
                self.clock.advance(0.1)
            return [path.counters("left"), [each.called for each in waiting]]

        self.assertEqual(run(1), run(1))
        self.assertNotEqual(run(1), run(2))


class PublicTests(VirtualTestCase):
    """What applications import."""

    def test_names(self) -> None:
        import txilpstream.testing

        for name in txilpstream.testing.__all__:
            self.assertTrue(hasattr(txilpstream.testing, name), name)


CONDITIONS = {amount: sha256(sha256(b"%d" % amount).digest()).digest() for amount in range(1, 1000)}
PREIMAGES = {condition: sha256(b"%d" % amount).digest() for amount, condition in CONDITIONS.items()}


class CountersTests(PathTestCase):
    """What the path took and gave."""

    def test_fulfilled(self) -> None:
        """Taken just before the sender hears of it, given when the receiver says so."""
        path = self.connect(Latency(1), Rate(Ratio(1, 2)))
        seen: list[int] = []
        self.send(101).addCallback(lambda reply: seen.append(path.taken("left")))
        self.clock.advance(0)
        self.assertEqual(path.given("right"), 0)
        self.clock.advance(1)
        self.assertEqual((path.taken("left"), path.given("right")), (0, 50))
        self.clock.advance(1)
        self.assertEqual(seen, [101])
        counters = path.counters("left")
        self.assertEqual(
            counters, PathCounters(packets=1, delivered=1, fulfilled=1, taken=101, given=50)
        )
        self.assertEqual(counters.unanswered, 0)
        self.assertEqual((path.taken("right"), path.given("left")), (0, 0))

    def test_fromTheRight(self) -> None:
        path = self.connect(Rate(Ratio(1, 2)))
        self.ask(50, end=path.right)
        self.assertEqual((path.taken("right"), path.given("left")), (50, 100))

    def test_rejected(self) -> None:
        path = self.connect()
        self.answerWith(path.right, lambda prepare: encodeReject("F99"))
        self.ask()
        self.assertEqual(path.counters("left").rejects, {"F99": 1})
        self.assertEqual((path.taken("left"), path.given("right")), (0, 0))

    def test_wrongPreimage(self) -> None:
        path = self.connect()
        self.answerWith(path.right, lambda prepare: encodeFulfill(bytes(32)))
        self.ask()
        self.assertEqual(path.counters("left").wrong, 1)
        self.assertEqual((path.taken("left"), path.given("right")), (0, 0))

    def test_lostNextToSender(self) -> None:
        """The nearest hop paid, and the sender never hears of it."""
        path = self.connect(Loss(0, replies=1), Latency(0))
        waiting = self.send()
        self.clock.advance(0)
        self.assertNoResult(waiting)
        self.assertEqual((path.taken("left"), path.given("right")), (100, 100))
        self.assertEqual(path.counters("left").unanswered, 1)

    def test_lostElsewhere(self) -> None:
        path = self.connect(Latency(0), Loss(0, replies=1))
        self.send()
        self.clock.advance(0)
        self.assertEqual((path.taken("left"), path.given("right")), (0, 100))

    def test_lostReject(self) -> None:
        path = self.connect(Loss(0, replies=1), RejectWith("T00", 1))
        self.send()
        self.clock.advance(0)
        self.assertEqual(path.taken("left"), 0)

    def test_bad(self) -> None:
        """Whatever happens, what the senders know is within what the path took."""
        for seed in range(30):
            self.setUp()
            path = self.connect(
                Loss(0.05),
                Duplicate(0.1),
                Latency(0.05, 0.02),
                Expiry(),
                SwapReplies(0.1),
                Rate(Ratio(3, 7), drift=linearDrift(Ratio(1, 10))),
                TamperAmount(0.1, Ratio(1, 3).floor),
                MaximumPacketAmount(400),
                LiquidityBucket(20000, 5000),
                MoneyInFlight(4000),
                PacketRate(500, 20),
                RejectWith("T00", 0.05),
                Loss(0.05),
                TamperData(0.1),
                Reorder(0.1, 0.03),
                Duplicate(0.1),
                seed=seed,
            )
            self.check(path, 300)

    def check(self, path: SimulatedPath, count: int) -> None:
        """Send both ways and hold the books against what the ends see."""
        offered, sent, heard = ({"left": 0, "right": 0} for _ in range(3))

        def settle(raw: bytes, end: PathEnd, amount: int) -> None:
            reply = decodeReply(raw)
            if isinstance(reply, Reject):
                heard[end.side] += amount
            elif sha256(reply.fulfillment).digest() == CONDITIONS[amount]:
                heard[end.side] += amount
                sent[end.side] += amount
            self.assertLessEqual(sent[end.side], path.taken(end.side))

        for end in (path.left, path.right):
            self.answerWith(end, lambda p: encodeFulfill(PREIMAGES[p.executionCondition], b"ok"))
        for index in range(count):
            end = path.left if index % 2 else path.right
            amount = 1 + index * 2
            offered[end.side] += amount
            waiting = self.send(amount, end=end, seconds=5, condition=CONDITIONS[amount])
            waiting.addCallback(settle, end, amount)
            self.clock.advance(0.005)
        for _ in range(400):
            self.clock.advance(0.05)
        for side in ("left", "right"):
            inDoubt = offered[side] - heard[side]
            self.assertGreater(sent[side], 0)
            self.assertLessEqual(path.taken(side), sent[side] + inDoubt)
            self.assertEqual(path.given(side), sum(self.amounts(side)))
            counters = path.counters(side)
            self.assertEqual(counters.packets, count // 2)
            self.assertGreaterEqual(counters.unanswered, 0)
