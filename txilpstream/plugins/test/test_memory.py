"""Tests of C{txilpstream.plugins.memory}: the plugin whose two ends are in one process."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from txilpstream.errors import ConnectionEnded, LocalError
from txilpstream.interfaces import IPlugin, IPluginFactory, NotSent
from txilpstream.plugins.memory import MemoryPlugin, MemoryPluginFactory, memoryPair
from txilpstream.plugins.test.test_base import Producer
from txilpstream.wire.ildcp import AccountDetails, decodeResponse, encodeRequest
from txilpstream.wire.ilp import Reject, decodeReply

ALICE = AccountDetails("test.alice", 6, "EUR")


class CountingClock(Clock):
    """
    A clock that counts.

    @ivar delayed: how many calls it was asked for.
    """

    delayed = 0

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> IDelayedCall:
        """Count a call."""
        self.delayed += 1
        return super().callLater(delay, callable, *args, **kw)


class MemoryTestCase(SynchronousTestCase):
    """Two ends that are connected; the right one answers with what it is asked, in capitals."""

    def setUp(self) -> None:
        self.clock = CountingClock()
        self.left, self.right = memoryPair(self.clock, left=ALICE)
        for end in (self.left, self.right):
            self.successResultOf(end.connect())
        self.asked: list[bytes] = []
        self.right.registerDataHandler(self.answer)

    def answer(self, data: bytes) -> bytes:
        """Answer a Prepare."""
        self.asked.append(data)
        return data.upper()

    def answerLater(self) -> list[Deferred[bytes]]:
        """Let the right end answer with Deferreds, which are appended to what is returned."""
        answers: list[Deferred[bytes]] = []

        def answer(data: bytes) -> Deferred[bytes]:
            answers.append(Deferred())
            return answers[-1]

        self.right.deregisterDataHandler()
        self.right.registerDataHandler(answer)
        return answers

    def ask(self, data: bytes = b"a") -> bytes:
        """Send from the left and give the reply of the next turn."""
        waiting = self.left.sendData(data)
        self.clock.advance(0)
        return self.successResultOf(waiting)

    def assertRejected(self, reply: bytes, code: str) -> None:
        """The reply is a Reject with this code."""
        decoded = decodeReply(reply)
        assert isinstance(decoded, Reject)
        self.assertEqual(decoded.code, code)

    def assertClean(self) -> None:
        """Nothing is left with the reactor."""
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SendingTests(MemoryTestCase):
    """The way of a packet."""

    def test_interface(self) -> None:
        verifyObject(IPlugin, self.left)

    def test_batch(self) -> None:
        """What is sent in one turn is delivered in the next, in its order, by one call."""
        waiting = [self.left.sendData(data) for data in (b"a", b"b", b"c")]
        self.assertEqual(self.asked, [])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0)
        self.assertEqual(self.asked, [b"a", b"b", b"c"])
        self.assertEqual([self.successResultOf(each) for each in waiting], [b"A", b"B", b"C"])
        self.assertClean()

    def test_bothWays(self) -> None:
        self.left.registerDataHandler(lambda data: data * 2)
        there, back = self.left.sendData(b"a"), self.right.sendData(b"b")
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(there), b"A")
        self.assertEqual(self.successResultOf(back), b"bb")

    def test_sentMeanwhile(self) -> None:
        """What a reply's callback sends goes in a turn of its own."""
        third = self.left.sendData(b"a").addCallback(self.left.sendData)
        second = self.left.sendData(b"b")
        self.clock.advance(0)
        self.assertEqual(self.asked, [b"a", b"b", b"A"])
        self.assertEqual(self.clock.delayed, 2)
        self.assertEqual(self.successResultOf(second), b"B")
        self.assertEqual(self.successResultOf(third), b"A")

    def test_later(self) -> None:
        answers = self.answerLater()
        waiting = self.left.sendData(b"a")
        self.clock.advance(0)
        self.assertNoResult(waiting)
        answers[0].callback(b"late")
        self.assertEqual(self.successResultOf(waiting), b"late")

    def test_noHandler(self) -> None:
        self.right.deregisterDataHandler()
        self.assertRejected(self.ask(), "T01")

    def test_peerNotConnected(self) -> None:
        self.right.disconnect()
        self.assertRejected(self.ask(), "T01")
        self.assertEqual(self.asked, [])

    def test_noPeer(self) -> None:
        alone = MemoryPlugin(self.clock)
        alone.connect()
        waiting = alone.sendData(b"a")
        self.clock.advance(0)
        self.assertRejected(self.successResultOf(waiting), "T01")
        done = alone.disconnect()
        self.clock.advance(0)
        self.successResultOf(done)

    def test_badLimit(self) -> None:
        self.assertRaises(LocalError, MemoryPlugin, self.clock, highWater=0)


class ConfigurationTests(MemoryTestCase):
    """IL-DCP."""

    def test_answered(self) -> None:
        self.assertEqual(decodeResponse(self.ask(encodeRequest(1.0))), ALICE)
        self.assertEqual(self.asked, [])

    def test_passedOn(self) -> None:
        """An end without details asks the other end, which may know."""
        self.left.registerDataHandler(lambda data: b"the parent's answer")
        waiting = self.right.sendData(encodeRequest(1.0))
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(waiting), b"the parent's answer")

    def test_badDetails(self) -> None:
        bad = AccountDetails("nowhere", 6, "EUR")
        self.assertRaises(LocalError, memoryPair, self.clock, right=bad)


class BackpressureTests(SynchronousTestCase):
    """The producer is paused above the limit and resumed below half of it."""

    def setUp(self) -> None:
        self.clock = Clock()
        first, second = MemoryPluginFactory(), MemoryPluginFactory()
        self.right = second.fromString(self.clock, "backpressure")
        self.left = first.fromString(self.clock, "backpressure")
        self.answers: list[Deferred[bytes]] = []
        self.right.registerDataHandler(self.answer)
        self.left.connect()
        self.right.connect()
        self.producer = Producer()

    def answer(self, data: bytes) -> Deferred[bytes]:
        """Answer later."""
        self.answers.append(Deferred())
        return self.answers[-1]

    def send(self, count: int) -> list[Deferred[bytes]]:
        """Send so many Prepares."""
        return [self.left.sendData(b"a") for _ in range(count)]

    def test_water(self) -> None:
        self.left.registerProducer(self.producer, True)
        self.send(1024)
        self.assertEqual(self.producer.calls, [])
        self.send(2)
        self.assertEqual(self.producer.calls, ["pause"])
        self.assertTrue(self.left.isFull())
        self.clock.advance(0)
        for answer in self.answers[:514]:
            answer.callback(b"b")
        self.assertEqual(self.producer.calls, ["pause"])
        self.answers[514].callback(b"b")
        self.assertEqual(self.producer.calls, ["pause", "resume"])

    def test_batch(self) -> None:
        """Prepares that are answered at once count no more after their batch."""
        self.right.deregisterDataHandler()
        self.right.registerDataHandler(lambda data: b"b")
        self.send(1025)
        self.left.registerProducer(self.producer, True)
        self.assertEqual(self.producer.calls, ["pause"])
        self.clock.advance(0)
        self.assertEqual(self.producer.calls, ["pause", "resume"])

    def test_cancelled(self) -> None:
        """Who gives up makes room, in a later turn."""
        self.left.registerProducer(self.producer, True)
        waiting = self.send(1025)
        self.clock.advance(0)
        for deferred in waiting[:600]:
            deferred.cancel()
            self.failureResultOf(deferred, CancelledError)
        self.assertEqual(self.producer.calls, ["pause"])
        self.clock.advance(0)
        self.assertEqual(self.producer.calls, ["pause", "resume"])

    def test_disconnected(self) -> None:
        self.left.registerProducer(self.producer, True)
        waiting = self.send(1025)
        self.left.disconnect()
        self.clock.advance(0)
        self.assertEqual(self.producer.calls, ["pause", "resume"])
        for deferred in waiting:
            self.failureResultOf(deferred, NotSent)


class FactoryTests(SynchronousTestCase):
    """Ends that meet by name."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.factory = MemoryPluginFactory()

    def make(self, *args: str, **kwargs: str) -> MemoryPlugin:
        """Make a connected plugin."""
        plugin = self.factory.fromString(self.clock, *args, **kwargs)
        plugin.connect()
        return plugin

    def answer(self, reply: bytes, data: bytes) -> bytes:
        """Answer always the same."""
        return reply

    def ask(self, plugin: MemoryPlugin, data: bytes) -> bytes:
        """Send and give the reply of the next turn."""
        waiting = plugin.sendData(data)
        self.clock.advance(0)
        return self.successResultOf(waiting)

    def test_interface(self) -> None:
        verifyObject(IPluginFactory, self.factory)
        verifyObject(IPlugin, self.make("interface"))

    def test_rendezvous(self) -> None:
        """The second joins the first, and the fourth the third; other names are elsewhere."""
        ends = [self.make("rendezvous") for _ in range(4)]
        other = self.make("other")
        for index, end in enumerate([*ends, other]):
            end.registerDataHandler(partial(self.answer, b"%d" % index))
        self.assertEqual([self.ask(end, b"a") for end in ends], [b"1", b"0", b"3", b"2"])
        reply = decodeReply(self.ask(other, b"a"))
        self.assertEqual(reply, Reject("T01", "example.memory.other.left", "Peer Unreachable"))

    def test_forgotten(self) -> None:
        """A first end that nobody holds any more has no second."""
        first = self.make("forgotten")
        del first
        gc.collect()
        second, third = self.make("forgotten"), self.make("forgotten")
        third.registerDataHandler(lambda data: b"third")
        self.assertEqual(self.ask(second, b"a"), b"third")

    def test_details(self) -> None:
        request = encodeRequest(1.0)
        left, right = self.make("d"), self.make("d")
        self.assertEqual(
            decodeResponse(self.ask(left, request)),
            AccountDetails("example.memory.d.left", 9, "USD"),
        )
        self.assertEqual(
            decodeResponse(self.ask(right, request)),
            AccountDetails("example.memory.d.right", 9, "USD"),
        )
        told = self.make("told", address="test.alice", assetCode="XRP", assetScale="6")
        self.assertEqual(
            decodeResponse(self.ask(told, request)), AccountDetails("test.alice", 6, "XRP")
        )

    def test_badParts(self) -> None:
        for args, kwargs, text in (
            ((), {}, "name"),
            (("a", "b"), {}, "positional"),
            (("a",), {"colour": "red"}, "colour"),
            (("a b",), {}, "example.memory.a b.left"),
            (("a",), {"address": "nowhere"}, "nowhere"),
            (("a",), {"assetScale": "nine"}, "nine"),
            (("a",), {"assetScale": "-1"}, "-1"),
            (("a",), {"assetScale": "256"}, "256"),
            (("a",), {"assetScale": "1000"}, "1000"),
        ):
            error = self.assertRaises(LocalError, self.make, *args, **kwargs)
            self.assertIn(text, str(error))

    def test_badPartsMakeNoEnd(self) -> None:
        """A name that failed has no first end."""
        self.assertRaises(LocalError, self.make, "failed", assetScale="256")
        left, right = self.make("failed"), self.make("failed")
        right.registerDataHandler(lambda data: b"right")
        self.assertEqual(self.ask(left, b"a"), b"right")


class EndingTests(MemoryTestCase):
    """Disconnecting, and giving up."""

    def test_notConnected(self) -> None:
        left, _ = memoryPair(self.clock)
        self.assertFalse(left.isConnected())
        self.failureResultOf(left.sendData(b"a"), NotSent)
        self.assertClean()

    def test_queued(self) -> None:
        """What still waits in the queue was certainly not sent."""
        waiting = self.left.sendData(b"a")
        done = self.left.disconnect()
        self.assertFalse(self.left.isConnected())
        self.assertNoResult(waiting)
        self.clock.advance(0)
        self.failureResultOf(waiting, NotSent)
        self.successResultOf(done)
        self.assertEqual(self.asked, [])
        self.assertClean()

    def test_delivered(self) -> None:
        """Of what was delivered nobody knows; an answer that comes after all is for nobody."""
        answers = self.answerLater()
        waiting = self.left.sendData(b"a")
        self.clock.advance(0)
        self.left.disconnect()
        self.clock.advance(0)
        self.failureResultOf(waiting, ConnectionEnded)
        answers[0].callback(b"too late")
        self.assertClean()

    def test_peerDisconnects(self) -> None:
        answers = self.answerLater()
        waiting = self.left.sendData(b"a")
        self.clock.advance(0)
        self.right.disconnect()
        self.clock.advance(0)
        self.assertIn("peer", str(self.failureResultOf(waiting, ConnectionEnded).value))
        self.assertTrue(self.left.isConnected())
        answers[0].callback(b"too late")

    def test_answeredWhileDisconnecting(self) -> None:
        answers = self.answerLater()
        waiting = self.left.sendData(b"a")
        self.clock.advance(0)
        self.left.disconnect()
        answers[0].callback(b"just in time")
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(waiting), b"just in time")

    def test_withinBatch(self) -> None:
        """
        A reply's callback disconnects: the other answers of the batch still come, and what was
        sent since does not leave.
        """
        later: list[Deferred[bytes]] = []

        def end(_: bytes) -> Deferred[None]:
            later.append(self.left.sendData(b"c"))
            return self.left.disconnect()

        first = self.left.sendData(b"a").addCallback(end)
        second = self.left.sendData(b"b")
        self.clock.advance(0)
        self.clock.advance(0)
        self.successResultOf(first)
        self.assertEqual(self.successResultOf(second), b"B")
        self.failureResultOf(later[0], NotSent)
        self.assertEqual(self.asked, [b"a", b"b"])

    def test_handlerEndsBatch(self) -> None:
        """The sender disconnects while a batch is delivered: the rest of it does not leave."""

        def answer(data: bytes) -> bytes:
            self.asked.append(data)
            self.left.disconnect()
            return b"A"

        self.right.deregisterDataHandler()
        self.right.registerDataHandler(answer)
        first, second = self.left.sendData(b"a"), self.left.sendData(b"b")
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(first), b"A")
        self.failureResultOf(second, NotSent)
        self.assertEqual(self.asked, [b"a"])

    def test_handlerDisconnects(self) -> None:
        """The sender disconnects while its Prepare is in the handler's hands."""
        answers: list[Deferred[bytes]] = [Deferred()]

        def answer(data: bytes) -> Deferred[bytes]:
            self.left.disconnect()
            return answers[0]

        self.right.deregisterDataHandler()
        self.right.registerDataHandler(answer)
        waiting = self.left.sendData(b"a")
        self.clock.advance(0)
        self.failureResultOf(waiting, ConnectionEnded)

    def test_again(self) -> None:
        self.left.disconnect()
        self.clock.advance(0)
        self.left.connect()
        self.assertEqual(self.ask(), b"A")

    def test_cancelQueued(self) -> None:
        """Cancelling gives up waiting and takes nothing back."""
        waiting = self.left.sendData(b"a")
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.clock.advance(0)
        self.assertEqual(self.asked, [b"a"])

    def test_cancelQueuedThenDisconnect(self) -> None:
        waiting = self.left.sendData(b"a")
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.successResultOf(self.advanced(self.left.disconnect()))

    def advanced(self, done: Deferred[None]) -> Deferred[None]:
        """Let a turn pass."""
        self.clock.advance(0)
        return done

    def test_cancelBeforeLaterAnswer(self) -> None:
        answers = self.answerLater()
        waiting = self.left.sendData(b"a")
        waiting.cancel()
        self.clock.advance(0)
        answers[0].callback(b"for nobody")
        self.failureResultOf(waiting, CancelledError)

    def test_cancelDelivered(self) -> None:
        answers = self.answerLater()
        waiting = self.left.sendData(b"a")
        self.clock.advance(0)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        answers[0].callback(b"for nobody")
        self.left.disconnect()
        self.clock.advance(0)

    def test_cancelDisconnect(self) -> None:
        done = self.left.disconnect()
        done.cancel()
        self.clock.advance(0)
        self.failureResultOf(done, CancelledError)
