"""Tests for C{txilpstream.transport.stream}: one stream as a transport of bytes and of money."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, ConnectionLost, NoProtocol
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol
from twisted.protocols.basic import FileSender
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txilpstream.amounts import U64_MAX, Ratio
from txilpstream.crypto.receipts import Receipt, verifyReceipt
from txilpstream.errors import ConnectionEnded, LocalError, PeerError, StreamError
from txilpstream.interfaces import IMoneyTransport, PaymentError
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.congestion.pacing import Pacing
from txilpstream.session.events import MoneyFailed
from txilpstream.session.session import Session
from txilpstream.test.support.connected import ConnectedTestCase, HalfRecorder, Recorder, Recorders
from txilpstream.testing import Hop, Latency, MaximumPacketAmount, Rate, SimulatedPath, Transit
from txilpstream.transport.connection import StreamConnection
from txilpstream.transport.stream import StreamAddress
from txilpstream.wire.ilp import Reject

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

    def test_publicNames(self) -> None:
        """Beyond the interface there is little, and nothing of what the connection tells."""
        self.both()
        names = {name for name in dir(self.transport) if not name.startswith("_")}
        self.assertEqual(
            names - set(IMoneyTransport.names(all=True)),
            {
                *("connection", "disconnecting", "moneyInFlight", "offerMoney", "ping"),
                *("protocol", "streamID", "unsentMoney"),
            },
        )

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
        turn, turns = StreamConnection._turn, []

        def counted(connection: StreamConnection) -> None:
            before = connection.packetsSent
            turn(connection)
            if connection is self.connection:
                turns.append(connection.packetsSent - before)

        self.patch(StreamConnection, "_turn", counted)
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
        turn, asked, most = StreamConnection._turn, 0, 0

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

        self.patch(StreamConnection, "_turn", counted)
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


class Limited(HalfRecorder):
    """Takes 1000 units."""

    def connectionMade(self) -> None:
        """Say so."""
        super().connectionMade()
        self.transport.setReceiveMax(1000)


class MoneyTests(StreamTestCase):
    """Offers and what becomes of them."""

    def test_bothWays(self) -> None:
        """Money goes both ways; totals agree with what is told."""
        self.both()
        result = self.after(self.transport.sendMoney(1000))
        self.assertTrue(result.isComplete)
        self.assertEqual(result.deliveredClaimed, 1000)
        back = self.after(self.far.transport.sendMoney(7))
        self.assertTrue(back.isComplete)
        self.assertEqual(sum(self.far.amounts), 1000)
        self.assertEqual(sum(self.near.amounts), 7)
        transport = self.transport
        self.assertEqual(transport.totalSent, 1000)
        self.assertEqual(transport.totalDeliveredClaimed, 1000)
        self.assertGreaterEqual(transport.totalDelivered, 980)
        self.assertEqual(transport.totalReceived, 7)
        self.assertEqual(transport.totalInDoubt, 0)
        self.assertEqual(transport.unsentMoney, 0)

    def test_inOrder(self) -> None:
        """Each offer hears of its own money."""
        self.both()
        offers = [self.transport.sendMoney(amount) for amount in (1, 20, 300)]
        self.run_()
        results = [self.successResultOf(offer) for offer in offers]
        self.assertEqual([result.sent for result in results], [1, 20, 300])
        self.assertEqual(sum(result.deliveredClaimed for result in results), 321)

    def test_limit(self) -> None:
        """The receiver's limit holds back the rest; a raise lets it go."""
        self.both(far=Limited)
        paid = self.transport.sendMoney(5000)
        self.run_(5)
        self.assertNoResult(paid)
        self.assertLessEqual(sum(self.far.amounts), 1010)
        self.assertRaises(LocalError, self.far.transport.setReceiveMax, 10)
        self.far.transport.setReceiveMax(5000)
        self.assertTrue(self.after(paid, 10).isComplete)

    def test_cancel(self) -> None:
        """Cancelling takes back what has not left."""
        self.both(far=Limited)
        paid = self.transport.sendMoney(5000)
        self.run_(5)
        paid.cancel()
        self.failureResultOf(paid, CancelledError)
        self.run_()
        self.assertEqual(self.transport.unsentMoney, 0)
        self.assertEqual(self.transport.totalSent, sum(self.far.amounts))
        self.far.transport.setReceiveMax(6000)
        again = self.after(self.transport.sendMoney(10), 10)
        self.assertTrue(again.isComplete)

    def test_cancelWhole(self) -> None:
        """An offer of which nothing has left is gone, and the next one is not mistaken for it."""
        self.both()
        paid = self.transport.sendMoney(5)
        paid.cancel()
        self.failureResultOf(paid, CancelledError)
        self.assertEqual(self.after(self.transport.sendMoney(6)).sent, 6)
        self.assertEqual(self.far.amounts, [6])

    def test_cancelUnderWay(self) -> None:
        """What is given up while it is under way does not leave again when it comes back."""

        class Once(Hop):
            rejected = 0

            def receivePrepare(self, packet: Transit) -> Reject | None:
                if packet.sourceAmount and packet.side == "left" and self.rejected < 2:
                    self.rejected += 1
                    return self.reject("T00")
                return None

        path = SimulatedPath(self.clock, [Latency(0.2), Once()])
        self.join(path.left, path.right)
        self.listen()
        near = self.open(minimumRate=Ratio(1)).transport
        given, kept = near.sendMoney(100), near.sendMoney(50)
        self.run_(0.1)
        self.assertEqual(near.moneyInFlight, 150)
        given.cancel()
        self.failureResultOf(given, CancelledError)
        self.run_(20)
        self.assertEqual(self.successResultOf(kept).sent, 50)
        self.assertEqual((near.totalSent, near.unsentMoney, near.moneyInFlight), (50, 0, 0))
        self.assertEqual(self.served.made[0].transport.totalReceived, 50)

    def test_cancelTooLate(self) -> None:
        """What is on its way is not taken back."""
        path = SimulatedPath(self.clock, [Latency(0.1)])
        self.join(path.left, path.right)
        self.both()
        self.after(self.transport.sendMoney(1))
        paid = self.transport.sendMoney(5)
        self.run_(0.05)
        paid.cancel()
        self.failureResultOf(paid, CancelledError)
        self.run_()
        self.assertEqual(self.transport.totalSent, 6)

    def test_partial(self) -> None:
        """Money that cannot be delivered fails with what was."""
        self.both(far=Limited)
        paid = self.transport.sendMoney(5000)
        self.run_(5)
        self.far.transport.abortConnection()
        self.run_()
        error = self.failureResultOf(paid, PaymentError).value
        self.assertEqual(error.result.sent, sum(self.far.amounts))
        self.assertEqual(error.result.sourceAmount, 5000)

    def test_aborted(self) -> None:
        """Money on its way when the stream is aborted is in doubt."""
        path = SimulatedPath(self.clock, [Latency(0.1)])
        self.join(path.left, path.right)
        self.both()
        self.after(self.transport.sendMoney(100))
        paid = self.transport.sendMoney(50)
        self.run_(0.05)
        self.transport.abortConnection()
        self.run_()
        result = self.failureResultOf(paid, PaymentError).value.result
        self.assertEqual(result.sent + result.inDoubt, 50)

    def test_refusedByPath(self) -> None:
        """A path that carries no money fails the offer; nothing is lost."""
        path = SimulatedPath(self.clock, [MaximumPacketAmount(0)])
        self.join(path.left, path.right)
        self.both()
        paid = self.transport.sendMoney(50)
        self.run_(120)
        error = self.failureResultOf(paid, PaymentError).value
        self.assertEqual(error.result.sent, 0)
        self.assertEqual(error.result.inDoubt, 0)

    def test_plainTakesNone(self) -> None:
        """A protocol that knows no money gets none, unless its owner sets a limit."""
        self.both(far=Plain)
        paid = self.transport.sendMoney(50)
        self.run_(5)
        self.assertNoResult(paid)
        self.far.transport.setReceiveMax(U64_MAX)
        self.assertTrue(self.after(paid, 10).isComplete)
        self.assertEqual(self.far.transport.totalReceived, 50)

    def test_notAnAmount(self) -> None:
        """Offers are whole numbers of at least 1."""
        self.both()
        for amount in (0, -1, 1.5, True, U64_MAX + 1):
            self.assertRaises(LocalError, self.transport.sendMoney, amount)

    def test_closed(self) -> None:
        """A stream that is over takes no offer, one that is closing neither."""
        self.both()
        self.transport.loseWriteConnection()
        self.assertRaises(LocalError, self.transport.sendMoney, 1)
        self.transport.abortConnection()
        self.run_()
        for call in (self.transport.sendMoney, self.transport.offerMoney):
            self.assertRaises(LocalError, call, 1)

    def test_everyCallAfterTheEnd(self) -> None:
        """A stream of a closed connection refuses money with LocalError; the rest does no harm."""
        self.both()
        transport = self.transport
        self.after(transport.sendMoney(5))
        self.after(self.connection.close(), 5)
        for call in (transport.setSendMax, transport.setReceiveMax, transport.sendMoney):
            self.assertRaises(LocalError, call, 10)
        self.assertRaises(LocalError, transport.setSendRate, 10)
        transport.write(b"late")
        transport.pauseProducing()
        transport.resumeProducing()
        transport.loseWriteConnection()
        transport.stopProducing()
        self.run_(100)
        self.assertEqual(transport.totalSent, 5)
        self.assertEqual(self.near.happened.count("lost"), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelFirstOfTwo(self) -> None:
        """Cancelling one offer leaves the other whole."""
        path = SimulatedPath(self.clock, [Latency(0.1)])
        self.join(path.left, path.right)
        self.both()
        self.after(self.transport.sendMoney(1))
        first, second = self.transport.sendMoney(100), self.transport.sendMoney(70)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(self.after(second, 3).sent, 70)
        self.assertEqual(sum(self.far.amounts), 71)


class EndingTests(StreamTestCase):
    """What is told of money that is on its way when a stream ends."""

    def test_answeredMeanwhile(self) -> None:
        """An answer between an abort and its turn is of money that may be gone."""
        path = SimulatedPath(self.clock, [Latency(0.05)])
        self.join(path.left, path.right)
        self.both()
        self.after(self.transport.sendMoney(1))
        paid = self.transport.sendMoney(100)
        self.run_(0.06)
        real = path.left.receiveReply

        def receiveReply(packet: Transit, data: bytes) -> None:
            self.transport.abortConnection()
            real(packet, data)

        self.patch(path.left, "receiveReply", receiveReply)
        self.run_(5)
        result = self.failureResultOf(paid, PaymentError).value.result
        self.assertEqual((result.sent, result.inDoubt), (0, 100))
        self.assertEqual(self.transport.totalSent, 101)

    def test_nobodyThere(self) -> None:
        """Money for a stream that its owner has left is refused, and the payer is told."""

        class Leaving(HalfRecorder):
            def connectionMade(self) -> None:
                super().connectionMade()
                self.transport.loseConnection()

        self.both(far=Leaving)
        self.run_(2)
        self.assertEqual(self.far.happened, ["made", "lost"])
        paid = self.transport.sendMoney(100)
        self.run_(5)
        self.assertEqual(self.failureResultOf(paid, PaymentError).value.result.sent, 0)
        self.assertEqual(self.far.amounts, [])
        self.assertEqual(self.far.transport.totalReceived, 0)

    def test_takenBackBefore(self) -> None:
        """Money that is taken back is that of the offers there were, not of one made since."""
        path = SimulatedPath(self.clock, [Latency(0.01), Rate(Ratio(1, 1000))])
        self.join(path.left, path.right)
        self.both()
        self.after(self.transport.sendMoney(1_000_000), 5)
        first = self.transport.sendMoney(5)
        later: list[Any] = []
        take = self.connection.session.nextEvents

        def nextEvents() -> list[Any]:
            happened = take()
            if any(isinstance(event, MoneyFailed) for event in happened) and not later:
                later.append(self.transport.sendMoney(2_000_000))
            return happened

        self.patch(Session, "nextEvents", lambda _: nextEvents())
        self.run_(5)
        error = self.failureResultOf(first, PaymentError).value
        self.assertEqual(error.result.sent, 0)
        self.assertEqual(self.successResultOf(later[0]).sent, 2_000_000)

    def test_receipt(self) -> None:
        """The receipt of the greatest total is kept."""
        self.listen()
        nonce, secret = bytes(16), bytes(range(32))
        credentials = self.server.generateCredentials(receiptNonce=nonce, receiptSecret=secret)
        self.connection = self.after(self.client.connect(credentials))
        near = self.openStream()
        self.assertEqual(near.transport.receipt, b"")
        at: list[bytes] = []
        for amount in (70, 30):
            paid = near.transport.sendMoney(amount)
            paid.addCallback(lambda _: at.append(near.transport.receipt))
            self.run_()
        receipt = at[1]
        self.assertEqual(verifyReceipt(receipt, secret), Receipt(nonce, 1, 100))


class Late(Hop):
    """
    Answers to the first packets of money come long after they expired.

    @ivar amounts: what these packets carry; others are answered at once.
    """

    def __init__(self, *amounts: int) -> None:
        super().__init__(direction="left")
        self.amounts = list(amounts)

    def receiveReply(self, packet: Transit) -> float | None:
        """Hold the answer of each, once."""
        if packet.sourceAmount in self.amounts:
            self.amounts.remove(packet.sourceAmount)
            return 38.0
        return None


class Refusing(Hop):
    """The first packet of an amount is rejected."""

    def __init__(self, amount: int) -> None:
        super().__init__(direction="left")
        self.amount = amount

    def receivePrepare(self, packet: Transit) -> Reject | None:
        """Reject it."""
        if packet.sourceAmount != self.amount:
            return None
        self.amount = -1
        return self.reject("R00")


class LateAnswerTests(StreamTestCase):
    """Money in doubt of which something is heard after all."""

    def start(self, *hops: Hop, far: Any = HalfRecorder) -> None:
        """Open a stream over a path with these hops, whose rate is known."""
        path = SimulatedPath(self.clock, [Latency(0.01), *hops])
        self.join(path.left, path.right)
        self.both(far=far)
        self.after(self.transport.sendMoney(1))

    def doubtful(self, *hops: Hop) -> None:
        """Offer 500 units that are in doubt then."""
        self.start(Late(500), *hops)
        paid = self.transport.sendMoney(500)
        self.run_(36)
        result = self.failureResultOf(paid, PaymentError).value.result
        self.assertEqual((result.sent, result.inDoubt), (0, 500))
        self.assertEqual(self.transport.totalInDoubt, 500)

    def test_sentAfterAll(self) -> None:
        """Who was told that it is in doubt finds it in the totals; the next offer is its own."""
        self.doubtful()
        following = self.transport.sendMoney(9)
        self.run_(5)
        self.assertEqual(self.successResultOf(following).sent, 9)
        self.assertEqual((self.transport.totalSent, self.transport.totalInDoubt), (510, 0))

    def test_cameBack(self) -> None:
        """What comes back is not offered again by itself once its owner was told."""
        self.doubtful(Refusing(500))
        following = self.transport.sendMoney(9)
        self.run_(5)
        self.assertEqual(self.successResultOf(following).sent, 9)
        self.assertEqual((self.transport.totalSent, self.transport.totalInDoubt), (10, 0))
        self.assertEqual(self.transport.unsentMoney, 0)

    def waiting(self, *hops: Hop) -> Any:
        """An offer of which a part is in doubt and a part waits for the peer's limit."""
        self.start(Late(999), *hops, far=Limited)
        paid = self.transport.sendMoney(1400)
        self.run_(36)
        self.assertNoResult(paid)
        self.assertEqual(self.transport.totalInDoubt, 999)
        return paid

    def test_backToAnOfferThatWaits(self) -> None:
        """What comes back to an offer that still waits is offered again, and all of it arrives."""
        paid = self.waiting(Refusing(999))
        self.run_(5)
        self.far.transport.setReceiveMax(5000)
        self.run_(10)
        result = self.successResultOf(paid)
        self.assertEqual((result.sent, result.inDoubt), (1400, 0))
        self.assertEqual(self.transport.totalSent, 1401)

    def test_sentToAnOfferThatWaits(self) -> None:
        """An offer that still waits is told that all was sent."""
        paid = self.waiting()
        self.run_(5)
        self.far.transport.setReceiveMax(5000)
        self.run_(10)
        self.assertEqual(self.successResultOf(paid).sent, 1400)
        self.assertEqual(self.transport.totalInDoubt, 0)

    def test_backToAClosedStream(self) -> None:
        """What comes back when the stream takes no more fails its offer, with what was sent."""
        paid = self.waiting(Refusing(999))
        self.transport.loseWriteConnection()
        self.run_(5)
        self.far.transport.setReceiveMax(5000)
        self.run_(10)
        result = self.failureResultOf(paid, PaymentError).value.result
        self.assertEqual((result.sent, result.inDoubt), (401, 0))


class SendMaxTests(StreamTestCase):
    """The total, and the rate."""

    def test_sendMax(self) -> None:
        """The total is sent; it falls no lower than what has left."""
        self.both()
        self.transport.setSendMax(0)
        self.transport.setSendMax(30)
        self.run_()
        self.assertEqual(self.transport.totalSent, 30)
        self.transport.setSendMax(40)
        self.transport.setSendMax(30)
        self.transport.setSendMax(30)
        self.run_()
        self.assertEqual(self.transport.totalSent, 30)
        self.assertRaises(LocalError, self.transport.setSendMax, 29)

    def test_takesBack(self) -> None:
        """Lowering the total takes from the youngest offers."""
        self.both()
        first, second = self.transport.sendMoney(30), self.transport.sendMoney(20)
        self.transport.setSendMax(30)
        error = self.failureResultOf(second, PaymentError).value
        self.assertIn("setSendMax", error.message)
        self.assertEqual(self.after(first).sent, 30)

    def test_rate(self) -> None:
        """A rate is exact over time."""
        self.both()
        self.transport.setSendRate(100)
        self.run_(10.1)
        self.assertEqual(self.transport.totalSent, 1000)
        self.transport.setSendRate(1, 4)
        self.run_(20.1)
        self.assertIn(self.transport.totalSent, (1014, 1015))
        self.transport.setSendRate(0)
        self.run_(10)
        self.assertEqual(self.transport.totalSent, 1015)
        for wrong in ((-1, 1), (1, 0), (1.5, 1)):
            self.assertRaises(LocalError, self.transport.setSendRate, *wrong)

    def test_slowRate(self) -> None:
        """A unit that takes longer than a connection may be idle is sent all the same."""
        self.both()
        self.transport.setSendRate(1, 150)
        self.run_(310)
        self.assertEqual(self.transport.totalSent, 2)
        self.assertFalse(self.connection.session.isClosed)

    def test_rateBeyondAllNumbers(self) -> None:
        """A least rate at which no packet could say its minimum fails the offer; nothing left."""
        self.listen()
        self.near = self.open(minimumRate=Ratio(10**18))
        paid = self.near.transport.sendMoney(1000)
        few = self.near.transport.sendMoney(1)
        self.run_(100)
        for offer in (paid, few):
            result = self.failureResultOf(offer, PaymentError).value.result
            self.assertEqual((result.sent, result.inDoubt), (0, 0))
        self.near = self.open(minimumRate=Ratio(10**30))
        paid = self.near.transport.sendMoney(1000)
        self.run_()
        error = self.failureResultOf(paid, PaymentError).value
        self.assertIn("64 bits", error.message)

    def test_rateEnds(self) -> None:
        """A rate ends with its stream and leaves nothing with the reactor."""
        self.both()
        self.transport.setSendRate(100)
        self.run_()
        self.transport.loseConnection()
        self.far.transport.loseConnection()
        self.run_()
        self.after(self.connection.close())
        self.run_(60)
        self.assertEqual(self.clock.getDelayedCalls(), [])
