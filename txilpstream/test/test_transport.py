"""Tests for C{txilpstream.transport.stream}: one stream as a transport of bytes and of money."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost, NoProtocol
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol
from twisted.protocols.basic import FileSender
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txilpstream.errors import ConnectionEnded, PaymentError, PeerError, StreamError
from txilpstream.interfaces import IMoneyTransport
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.congestion.pacing import Pacing
from txilpstream.test.connected import ConnectedTestCase, HalfRecorder, Recorder, Recorders
from txilpstream.transport.connection import StreamConnection
from txilpstream.transport.protocol import StreamAddress

MIB = 1 << 20

HIGH_WATER = SessionConfiguration().streamHighWater


class Plain(Protocol):
    """Knows nothing of money and does nothing."""


@implementer(IPushProducer)
class Producer:
    """
    Writes as much as it is let.

    @ivar written: bytes so far.
    """

    CHUNK = b"x" * (1 << 14)

    def __init__(self, consumer: Any, total: int) -> None:
        self._consumer = consumer
        self._total = total
        self._mayWrite = True
        self.written = 0
        self.isStopped = False

    def resumeProducing(self) -> None:
        """Write until told to pause, or all is written."""
        self._mayWrite = True
        while self._mayWrite and self.written < self._total:
            self.written += len(self.CHUNK)
            self._consumer.write(self.CHUNK)
        if self.written >= self._total:
            self._consumer.unregisterProducer()

    def pauseProducing(self) -> None:
        """Write no more for now."""
        self._mayWrite = False

    def stopProducing(self) -> None:
        """Write no more at all."""
        self._mayWrite = False
        self.isStopped = True


class StreamTestCase(ConnectedTestCase):
    """A stream between two recorders: C{self.near} of the client, C{self.far} of the server."""

    def both(self, near: Any = HalfRecorder, far: Any = HalfRecorder, **options: Any) -> None:
        """Open a stream and tell the server of it."""
        self.listen(far, **options)
        self.near = self.open(near)
        self.transport = self.near.transport
        self.transport.write(b"!")
        self.run_()
        self.far = self.served.made[0]


class DataTests(StreamTestCase):
    """Bytes, both ways."""

    def test_interface(self) -> None:
        """A stream is what the interface says."""
        self.both()
        verifyObject(IMoneyTransport, self.transport)
        peer = StreamAddress(self.connection.session.peerAddress, 1)
        self.assertEqual(self.transport.getPeer(), peer)
        self.assertEqual(self.transport.getHost().address, self.served.peers[0].address)
        self.assertEqual(self.far.transport.getHost().connectionTag, "tag")

    def test_bothWays(self) -> None:
        """What is written arrives, in order."""
        self.both()
        self.transport.writeSequence([b"a" * 100_000, b"b", b""])
        self.far.transport.write(b"c" * 100_000)
        self.run_(5)
        self.assertEqual(self.far.data, b"!" + b"a" * 100_000 + b"b")
        self.assertEqual(self.near.data, b"c" * 100_000)

    def test_lostAsTwistedSays(self) -> None:
        """An end before its time is Twisted's ConnectionLost too, at both sides."""
        self.both()
        self.transport.abortConnection()
        self.run_()
        for protocol, kind in ((self.near, ConnectionEnded), (self.far, PeerError)):
            self.assertTrue(protocol.reasons[0].check(ConnectionLost))
            self.assertTrue(protocol.reasons[0].check(kind))

    def test_notBytes(self) -> None:
        """Text is no data."""
        self.both()
        self.assertRaises(TypeError, self.transport.write, "text")

    def test_notWithinTheCall(self) -> None:
        """Nothing is told from within a call."""
        self.both()
        self.transport.abortConnection()
        self.assertEqual(self.near.happened, ["made"])
        self.run_()
        self.assertEqual(self.near.happened, ["made", "lost"])

    def test_halfClose(self) -> None:
        """One half closes; the other goes on."""
        self.both()
        self.transport.write(b"last")
        self.transport.loseWriteConnection()
        self.transport.write(b"too late")
        self.run_()
        self.assertEqual(self.far.data, b"!last")
        self.assertEqual(self.far.happened, ["made", "end"])
        self.far.transport.write(b"answer")
        self.run_()
        self.assertEqual(self.near.data, b"answer")
        self.far.transport.loseConnection()
        self.run_()
        self.assertEqual(self.near.happened, ["made", "end", "lost"])
        self.near.reasons[0].trap(ConnectionDone)
        self.far.reasons[0].trap(ConnectionDone)

    def test_fullClose(self) -> None:
        """A protocol that cannot be half closed closes when its peer does."""
        self.both(Recorder, Recorder)
        self.transport.write(b"last")
        self.transport.loseConnection()
        self.run_()
        self.assertEqual(self.far.data, b"!last")
        self.assertEqual(self.near.happened, ["made", "lost"])
        self.assertEqual(self.far.happened, ["made", "lost"])
        self.transport.loseConnection()
        self.transport.abortConnection()
        self.transport.write(b"dropped")
        self.run_()

    def test_closedReadsNoMore(self) -> None:
        """After loseConnection what comes is dropped, and the peer can go on to its end."""
        self.both()
        self.transport.loseConnection()
        self.far.transport.write(b"z" * (2 * MIB))
        self.far.transport.loseConnection()
        self.run_(20)
        self.assertEqual(self.near.data, b"")
        self.assertEqual(self.far.happened[-1], "lost")

    def test_halfClosedIsTold(self) -> None:
        """After loseWriteConnection the protocol hears when the peer has everything."""
        told: list[str] = []
        self.both()
        self.near.writeConnectionLost = lambda: told.append("told")
        self.transport.write(b"all")
        self.transport.loseWriteConnection()
        self.assertEqual(told, [])
        self.run_()
        self.assertEqual((told, self.far.data), (["told"], b"!all"))
        self.assertNotIn("lost", self.near.happened)

    def test_peerAborts(self) -> None:
        """An abort of the peer's is told with its reason."""
        self.both()
        self.far.transport.abortConnection()
        self.run_()
        self.near.reasons[0].trap(StreamError)
        self.far.reasons[0].trap(ConnectionEnded)
        self.assertNotIn(1, self.connection.streams)

    def test_paused(self) -> None:
        """A paused protocol gets nothing, then everything, and the end last."""
        self.both()
        self.far.transport.pauseProducing()
        self.transport.write(b"data" * 50_000)
        self.transport.loseWriteConnection()
        self.run_()
        self.assertEqual(self.far.data, b"!")
        self.assertEqual(self.far.happened, ["made"])
        self.far.transport.resumeProducing()
        self.far.transport.resumeProducing()
        self.run_()
        self.assertEqual(self.far.data, b"!" + b"data" * 50_000)
        self.assertEqual(self.far.happened, ["made", "end"])

    def test_pausedWithin(self) -> None:
        """A protocol that pauses in dataReceived gets one piece at a time."""
        pieces: list[bytes] = []

        class OneByOne(Recorder):
            def dataReceived(self, data: bytes) -> None:
                pieces.append(data)
                self.transport.pauseProducing()

        self.both(far=OneByOne)
        self.transport.write(b"y" * 200_000)
        self.run_()
        self.assertEqual(len(pieces), 1)
        self.far.transport.resumeProducing()
        self.run_()
        self.assertEqual(len(pieces), 2)
        self.far.transport.stopProducing()
        self.run_()
        self.assertEqual(self.far.happened, ["made", "lost"])

    def test_aliensAreRefused(self) -> None:
        """A factory that gives no protocol refuses the stream."""
        self.listen(lambda: None)
        near = self.open()
        near.transport.write(b"!")
        self.run_()
        self.assertEqual(near.happened, ["made", "lost"])
        self.failureResultOf(self.connection.openStream(Recorders(lambda: None)), NoProtocol)
        self.run_()
        self.assertEqual(self.connection.streams, {})


class ProducerTests(StreamTestCase):
    """Producers, and what a slow reader does to them."""

    def test_backpressure(self) -> None:
        """A paused consumer holds the window, and the producer little more."""
        self.both()
        self.far.transport.pauseProducing()
        producer = Producer(self.transport, 16 * MIB)
        self.transport.registerProducer(producer, True)
        producer.resumeProducing()
        self.run_(5)
        self.assertLessEqual(producer.written, MIB + HIGH_WATER + 4 * len(Producer.CHUNK))
        self.assertGreater(producer.written, MIB - 2 * HIGH_WATER)
        self.far.transport.resumeProducing()
        self.run_(60)
        self.assertEqual(producer.written, 16 * MIB)
        self.assertEqual(len(self.far.data), 16 * MIB + 1)

    def test_manyInOneTurn(self) -> None:
        """
        A producer goes on within a turn, so that packets are full; a turn has an end all the same.
        """
        self.both()
        turn, turns = StreamConnection.turn, []

        def counted(connection: StreamConnection) -> None:
            before = connection.packetsSent
            turn(connection)
            if connection is self.connection:
                turns.append(connection.packetsSent - before)

        self.patch(StreamConnection, "turn", counted)
        before = self.connection.packetsSent
        producer = Producer(self.transport, 8 * MIB)
        self.transport.registerProducer(producer, True)
        producer.resumeProducing()
        self.run_(60)
        self.assertEqual(len(self.far.data), 8 * MIB + 1)
        self.assertIn(max(turns), range(12, 18))
        full = 8 * MIB // SessionConfiguration().fragmentSize
        self.assertLess(self.connection.packetsSent - before, full * 1.1)

    def test_slowReaders(self) -> None:
        """
        Producers of 1 GiB each way into slow readers: neither side ever holds more than the
        window and a few packets.
        """

        class Slow(HalfRecorder):
            clock = self.clock
            count = 0

            def dataReceived(self, data: bytes) -> None:
                self.count += len(data)
                transport = self.transport
                transport.pauseProducing()
                self.clock.callLater(0.02, transport.resumeProducing)

        self.both(Slow, Slow)
        ends = [self.near, self.far]
        producers = [Producer(end.transport, 1024 * MIB) for end in ends]
        for end, producer in zip(ends, producers, strict=True):
            end.transport.registerProducer(producer, True)
            producer.resumeProducing()
        few = HIGH_WATER + 4 * len(Producer.CHUNK)
        for _ in range(400):
            self.run_(0.01)
            for end, producer in zip(ends, producers, strict=True):
                stream = end.transport.connection.session.stream(1)
                self.assertLessEqual(stream.data.held, MIB + few)
                self.assertLessEqual(stream.queue.unsent + stream.queue.outstanding, MIB + few)
                self.assertLess(producer.written, 1024 * MIB)
        for end, producer in zip(ends, reversed(producers), strict=True):
            self.assertGreater(end.count, 8 * MIB)
            self.assertLessEqual(producer.written - end.count, 2 * (MIB + few))
        self.connection.abort()
        self.run_()

    def test_closeWaitsForProducer(self) -> None:
        """The stream closes when the producer is done."""
        self.both()
        producer = Producer(self.transport, MIB)
        self.transport.registerProducer(producer, True)
        self.transport.loseConnection()
        producer.resumeProducing()
        self.run_(5)
        self.assertEqual(len(self.far.data), MIB + 1)
        self.assertIn("end", self.far.happened)

    def test_onlyOne(self) -> None:
        """A second producer is refused."""
        self.both()
        self.transport.registerProducer(Producer(self.transport, 1), True)
        with self.assertRaisesRegex(RuntimeError, "unregister"):
            self.transport.registerProducer(Producer(self.transport, 1), True)

    def test_stopped(self) -> None:
        """A producer is stopped with its stream, and at once if the stream is over."""
        self.both()
        for _ in range(2):
            producer = Producer(self.transport, 1)
            self.transport.registerProducer(producer, True)
            self.transport.abortConnection()
            self.run_()
            self.assertTrue(producer.isStopped)

    def test_pull(self) -> None:
        """FileSender sends a file."""
        self.both()
        content = bytes(range(256)) * 8192
        sent = FileSender().beginFileTransfer(BytesIO(content), self.transport)
        before = self.connection.packetsSent
        self.after(sent, 10)
        self.run_()
        self.assertEqual(self.far.data, b"!" + content)
        full = len(content) // SessionConfiguration().fragmentSize
        self.assertLess(self.connection.packetsSent - before, full * 1.2)

    def test_pullMany(self) -> None:
        """However many producers are asked, and however little they give, a turn has an end."""
        self.patch(Pacing, "isAllowed", lambda control, now: True)
        self.listen(maximumStreamID=200)
        turn, asked, most = StreamConnection.turn, 0, 0

        def counted(connection: StreamConnection) -> None:
            nonlocal asked, most
            asked = 0
            turn(connection)
            most = max(most, asked)

        class Drops:
            def __init__(self, transport: Any) -> None:
                self.transport = transport
                self.left = 1000

            def resumeProducing(self) -> None:
                nonlocal asked
                asked += 1
                self.left -= 1
                self.transport.write(b".")
                if not self.left:
                    self.transport.unregisterProducer()

            def stopProducing(self) -> None:
                """It has nothing to stop."""

        self.patch(StreamConnection, "turn", counted)
        self.open()
        for _ in range(80):
            near = self.openStream()
            near.transport.registerProducer(Drops(near.transport), False)
        self.run_(20)
        self.assertEqual(sum(len(each.data) for each in self.served.made), 80_000)
        self.assertIn(most, range(80 * 8, 80 * 8 * 12))

    def test_pullNoMore(self) -> None:
        """One that gives way to a push producer while it is asked is not asked for that one."""
        self.both()
        transport = self.transport
        resumed = []

        class Push:
            def resumeProducing(self) -> None:
                resumed.append(1)

            def stopProducing(self) -> None:
                """It has nothing to stop."""

        class GivesWay(Push):
            def resumeProducing(self) -> None:
                transport.unregisterProducer()
                transport.registerProducer(Push(), True)

        transport.registerProducer(GivesWay(), False)
        self.run_()
        self.assertEqual(resumed, [])

    def test_pullLittle(self) -> None:
        """A pull producer with little to give at a time is asked again and again."""
        self.both()
        asked = []

        class Drops:
            def resumeProducing(self) -> None:
                asked.append(1)
                transport.write(b".")
                if len(asked) == 100:
                    transport.unregisterProducer()

            def stopProducing(self) -> None:
                """It has nothing to stop."""

        transport = self.transport
        transport.registerProducer(Drops(), False)
        self.run_(60)
        self.assertEqual(self.far.data, b"!" + b"." * 100)

    def test_pullIsBounded(self) -> None:
        """A pull producer is not asked while the peer takes nothing."""
        self.both()
        self.far.transport.pauseProducing()
        file = BytesIO(bytes(4 * MIB))
        sent = FileSender().beginFileTransfer(file, self.transport)
        self.run_(10)
        self.assertLess(file.tell(), 2 * MIB)
        self.transport.abortConnection()
        self.run_()
        self.failureResultOf(sent)


class RaisingProducerTests(StreamTestCase):
    """Producers that raise cost their own stream; everybody else hears what happened."""

    def check(self, method: str, streaming: bool = True) -> None:
        """A producer raises in this method."""

        def explode(*args: object) -> None:
            raise ZeroDivisionError("on purpose")

        names = ("resumeProducing", "pauseProducing", "stopProducing")
        methods: dict[str, Any] = dict.fromkeys(names, lambda *args: None)
        kind = type("Raising", (), {**methods, method: explode})
        self.both()
        other = self.openStream()
        other.transport.write(b"!")
        offers = [each.transport.sendMoney(100) for each in (self.near, other)]
        offers[0].addErrback(lambda failure: failure.trap(PaymentError))
        self.transport.registerProducer(kind, streaming)
        self.transport.write(b"x" * HIGH_WATER * 2 if method == "resumeProducing" else b"")
        self.run_(2)
        self.connection.abort("enough")
        closed = self.connection.whenClosed()
        self.run_(2)
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))
        self.successResultOf(closed)
        self.assertEqual(self.successResultOf(offers[1]).sent, 100)
        self.assertEqual([each.happened[-1] for each in (self.near, other)], ["lost", "lost"])

    def test_stopProducing(self) -> None:
        """stopProducing raises."""
        self.check("stopProducing")

    def test_resumeProducing(self) -> None:
        """resumeProducing raises, of a push producer."""
        self.check("resumeProducing")

    def test_pull(self) -> None:
        """resumeProducing raises, of a pull producer."""
        self.check("resumeProducing", streaming=False)


class RaisingTests(StreamTestCase):
    """Protocols that raise lose their own stream, and no other."""

    def check(self, *methods: str) -> None:
        """The server's protocol raises in these methods."""

        def explode(*args: object) -> None:
            raise ZeroDivisionError("on purpose")

        kind = type("Raising", (HalfRecorder,), dict.fromkeys(methods, explode))
        kinds = iter((kind, HalfRecorder))
        self.both(far=lambda: next(kinds)())  # noqa: PLW0108
        if self.connection.streams:
            self.transport.sendMoney(5).addErrback(lambda failure: failure.trap(PaymentError))
            self.transport.loseWriteConnection()
        self.run_()
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))
        self.far.reasons[0].trap(ConnectionEnded)
        other = self.openStream()
        other.transport.write(b"still there")
        self.run_()
        self.assertEqual(len(self.connection.streams), 1)

    def test_connectionMade(self) -> None:
        """connectionMade raises."""
        self.check("connectionMade")

    def test_dataReceived(self) -> None:
        """dataReceived raises."""
        self.check("dataReceived")

    def test_moneyReceived(self) -> None:
        """moneyReceived raises."""
        self.check("moneyReceived")

    def test_readConnectionLost(self) -> None:
        """readConnectionLost raises."""
        self.check("readConnectionLost")

    def test_connectionLost(self) -> None:
        """connectionLost raises: there is nothing left to close."""

        class Raising(Recorder):
            def connectionLost(self, reason: Any = None) -> None:
                raise ZeroDivisionError("on purpose")

        self.both(far=Raising)
        self.transport.loseConnection()
        self.run_()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.near.happened[-1], "lost")
