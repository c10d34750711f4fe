"""Conformance: what applications may set, and what a connection does when its key is used up."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

from txilpstream.crypto.keys import SessionKeys
from txilpstream.errors import ConnectionEnded, ErrorCode, LocalError
from txilpstream.session.events import (
    ConnectionClosed,
    DataDrained,
    KeyExhausted,
    StreamClosed,
    StreamEnded,
)
from txilpstream.test.conformance.base import TappedTestCase, framesOf
from txilpstream.test.support.connected import Recorders
from txilpstream.test.support.sessions import Pair, limiting, nothing, rejecting
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.transport.endpoints import StreamClientEndpoint
from txilpstream.transport.stream import wake
from txilpstream.wire.frames import ConnectionClose, ConnectionDataBlocked, StreamClose

COUNT = 1000
"""Packets that a key may encrypt in these tests."""


@implementer(IPushProducer)
class Pushing:
    """
    Writes pieces until it is paused, and as many in all as it is told.

    @ivar order: its name is written into it each time that it may go on.
    """

    PIECE = bytes(1000)

    def __init__(self, transport: Any, name: str, order: list[str], pieces: int = 1200) -> None:
        self.transport = transport
        self.name = name
        self.order = order
        self.left = pieces
        self.isPaused = False
        transport.registerProducer(self, True)

    def resumeProducing(self) -> None:
        """Write."""
        self.order.append(self.name)
        self.isPaused = False
        while self.left and not self.isPaused:
            self.left -= 1
            self.transport.write(self.PIECE)

    def pauseProducing(self) -> None:
        """Stop writing."""
        self.isPaused = True

    def stopProducing(self) -> None:
        """It is over."""


@implementer(IPullProducer)
class Pulling:
    """Writes a piece each time that it is asked, and not more than a thousand."""

    def __init__(self, transport: Any, name: str, order: list[str]) -> None:
        self.transport = transport
        self.name = name
        self.order = order

    def resumeProducing(self) -> None:
        """Write."""
        self.order.append(self.name)
        self.transport.write(Pushing.PIECE)
        if self.order.count(self.name) >= 1000:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        """It is over."""


class KeyTests(VirtualTestCase):
    """A key that has encrypted almost all that it may."""

    def setUp(self) -> None:
        """The server's path takes many packets for little money."""
        self.pair = Pair({"maximumPacketCount": COUNT}, {"acceptAnyRate": True})
        self.pair.client.out = limiting(10)

    def send(self, packets: int) -> int:
        """Let the client send about so many packets of money on a new stream."""
        return self.pair.pay(10 * packets, 10)

    def test_C4_warned(self) -> None:
        """At nine tenths the application is told; no stream is opened by either end."""
        client, server = self.pair.client, self.pair.server
        streamID = self.send(850)
        self.assertEqual(client.seen(KeyExhausted), [])
        client.session.sendMoney(streamID, 600)
        self.pair.run(10)
        self.assertEqual(client.seen(KeyExhausted), [KeyExhausted(COUNT // 10)])
        self.assertTrue(client.session.isKeyExhausted)
        self.assertGreater(client.session.packetsLeft, 10)
        error = self.assertRaises(LocalError, client.session.openStream)
        self.assertIn("of the 1000 packets", str(error))
        self.assertIn("new credentials", str(error))
        server.open(1 << 40)
        self.pair.run(5)
        refused = framesOf(self.pair, client.prepares, StreamClose)
        self.assertEqual([(f.streamID, f.errorCode) for f in refused], [(2, 6)])
        self.assertEqual(server.credited, 9100)

    def test_C4_emptyIsClosed(self) -> None:
        """A connection without open streams is closed at nine tenths, in good order."""
        client, server = self.pair.client, self.pair.server
        streamID = self.send(870)
        client.session.sendMoney(streamID, 400)
        client.session.closeStream(streamID)
        server.session.closeStream(streamID)
        self.pair.run(10)
        self.assertEqual(len(client.seen(KeyExhausted)), 1)
        for end in (client, server):
            self.assertEqual(end.seen(ConnectionClosed), [ConnectionClosed(None)])
        self.assertEqual(server.credited, 9100)

    def test_C4_drained(self) -> None:
        """With a hundredth left, streams are closed when what was given to them has arrived."""
        client, server = self.pair.client, self.pair.server
        client.open()
        streamID = self.send(980)
        self.assertFalse(client.session.isClosed)
        client.session.sendData(streamID, b"the last")
        client.session.sendMoney(streamID, 50)
        self.pair.run(10)
        client.session.sendData(streamID, b" words")
        client.session.sendMoney(streamID, 30)
        self.pair.run(10)
        self.assertEqual(client.seen(ConnectionClosed), [ConnectionClosed(None)])
        self.assertEqual(bytes(server.data[streamID]), b"the last words")
        self.assertEqual(server.credited, 9880)
        self.assertLessEqual(len(client.prepares), COUNT)
        closes = framesOf(self.pair, client.prepares, ConnectionClose)
        self.assertEqual(closes, [ConnectionClose(ErrorCode.NO_ERROR, "")])

    def test_C4_notAfterTheEnd(self) -> None:
        """Of a connection that is over nothing is told any more."""
        session = Pair({"maximumPacketCount": 3}).client.session
        session.openStream()
        self.assertIsNotNone(session.nextPacket(now=0.0))
        session.ping()
        self.assertIsNotNone(session.nextPacket(now=0.0))
        session.abort(None)
        session.nextEvents()
        session.nextPacket(now=0.0)
        self.assertTrue(session.isKeyExhausted)
        self.assertEqual(session.nextEvents(), [])


class ExhaustedKeyTests(TappedTestCase):
    """The same, over connections."""

    def test_C4_whenKeyExhausted(self) -> None:
        """It fires with what is left, at once if it is so; an endpoint opens no more."""
        said: list[str] = []

        @implementer(ILogObserver)
        def keep(event: LogEvent) -> None:
            said.append(formatEvent(event))

        globalLogPublisher.addObserver(keep)
        self.addCleanup(globalLogPublisher.removeObserver, keep)
        self.listen()
        credentials = self.server.generateCredentials()
        endpoint = StreamClientEndpoint(self.client, credentials, maximumPacketCount=20)
        near = self.after(endpoint.connect(Recorders()))
        connection = near.transport.connection
        worn = connection.whenKeyExhausted()
        while connection.session.packetsLeft > 2:
            self.assertNoResult(worn)
            near.transport.write(b"x")
            self.run_(0.05)
        self.assertEqual(self.successResultOf(worn), 2)
        self.assertEqual(self.successResultOf(connection.whenKeyExhausted()), 2)
        [warned] = [text for text in said if "2 more packets" in text]
        self.assertIn("opens no more streams", warned)
        for _ in range(2):
            error = self.failureResultOf(endpoint.connect(Recorders()), LocalError).value
            self.assertIn("new credentials", str(error))
            connection.abort()
            self.run_()
        self.assertTrue(connection.session.isClosed)


class SameKeyTests(TappedTestCase):
    """Connections that follow each other under one key."""

    def test_S37_C4_sameKey(self) -> None:
        """A server counts what it encrypts under a key, whoever comes back with it."""
        for wait in (1, 60):  # while the one before still answers, and after
            self.listen(maximumPacketCount=30)
            credentials = self.server.generateCredentials()
            self.keys = SessionKeys(credentials.sharedSecret)
            del self.exchanges[:]
            for _ in range(12):
                connection = self.client.openConnection(credentials)
                for _ in range(5):
                    connection.session.ping()
                    wake(connection)
                    self.run_(0.2)
                connection.abort()
                self.run_(wait)
            sealed = [each.answered for each in self.sent("left") if each.answered]
            self.assertLessEqual(len(sealed) + len(self.sent("right")), 30)
            self.assertGreater(len(sealed), 20)
            self.port.stopListening()
            self.run_()


class HalfOpenTests(VirtualTestCase):
    """Connections of which one end is closed and the other is not."""

    def close(self, client: bool, server: bool) -> Pair:
        """The client closes while the server still has much to say and to pay."""
        pair = Pair({"halfOpen": client}, {"halfOpen": server, "acceptAnyRate": True})
        streamID = pair.client.open(1 << 40)
        pair.client.session.sendData(streamID, b"question")
        pair.run(1)
        pair.server.session.sendData(streamID, b"an")
        pair.client.session.close()
        pair.run(1)
        return pair

    def test_S34_bothClose(self) -> None:
        """The other end goes on sending, and the connection ends when it has closed too."""
        pair = self.close(True, True)
        client, server = pair.client, pair.server
        closes = framesOf(pair, client.prepares, ConnectionClose)
        self.assertEqual(closes, [ConnectionClose(ErrorCode.NO_ERROR, "")])
        self.assertEqual(server.seen(StreamEnded), [StreamEnded(1)])
        for end in (client, server):
            self.assertFalse(end.session.isClosed)
            self.assertTrue(end.session.isClosing)
            self.assertRaises(LocalError, end.session.openStream)
        pair.run(50)  # longer than anything is waited for that is under way
        server.session.sendData(1, b"swer" * 30_000)
        server.session.sendMoney(1, 70)
        pair.run(5)
        self.assertEqual(client.credited, 70)
        self.assertEqual(len(client.data[1]), 120_002)
        server.session.closeStream(1)
        pair.run(5)
        for end in (client, server):
            self.assertEqual(end.seen(StreamClosed), [StreamClosed(1, None)])
            self.assertEqual(end.seen(ConnectionClosed), [ConnectionClosed(None)])

    def test_S34_repeated(self) -> None:
        """The close is said again if the packet with it is lost; nothing is sent in vain after."""
        pair = Pair({"halfOpen": True}, {"halfOpen": True})
        streamID = pair.client.open(1 << 40)
        pair.run(1)
        pair.client.session.closeStream(streamID)
        pair.run(1)
        pair.client.out = lambda prepare: rejecting("T00")
        pair.client.session.close()
        pair.run(1)
        self.assertFalse(pair.server.session.isClosing)
        pair.client.out = nothing
        pair.run(20)
        self.assertTrue(pair.server.session.isClosing)
        count = len(pair.client.prepares)
        pair.run(20)
        self.assertEqual(len(pair.client.prepares), count)

    def test_S34_silence(self) -> None:
        """If the end that did not close says nothing any more, the idle timeout ends it."""
        pair = self.close(True, True)
        pair.run(70)
        for end in (pair.client, pair.server):
            self.assertEqual(len(end.seen(ConnectionClosed)), 1)
        self.assertIsInstance(pair.client.seen(ConnectionClosed)[0].error, ConnectionEnded)

    def test_S34_nothingButPings(self) -> None:
        """A peer that says that it is there, and sends nothing, holds nobody up."""
        pair = self.close(True, True)
        for _ in range(8):
            pair.server.session.ping()
            pair.run(10)
        self.assertIn("nor sent anything", str(pair.client.seen(ConnectionClosed)[0].error))
        self.assertTrue(pair.server.session.isClosed)

    def test_S34_otherMind(self) -> None:
        """Where only one end is of this mind, the connection ends with the first close."""
        for client, server in ((True, False), (False, True), (False, False)):
            pair = self.close(client, server)
            if server and not pair.server.session.isClosed:  # it learns that nobody is there
                pair.server.session.sendData(1, b"swer")
                pair.run(5)
            for end in (pair.client, pair.server):
                self.assertTrue(end.session.isClosed, (client, server))

    def test_S34_unreachable(self) -> None:
        """A server that cannot say that it has closed its half ends the connection as a whole."""
        pair = Pair({"halfOpen": True, "sourceAddress": ""}, {"halfOpen": True})
        pair.pay(10)
        pair.server.session.close()
        pair.run(1)
        self.assertEqual(pair.server.seen(ConnectionClosed), [ConnectionClosed(None)])

    def test_S34_nothingOpen(self) -> None:
        """A close that finds no stream open is answered with a close."""
        pair = Pair({"halfOpen": True}, {"halfOpen": True})
        pair.pay(10)
        for end in (pair.client, pair.server):
            end.session.closeStream(1)
        pair.run(2)
        pair.client.session.close()
        pair.run(2)
        for end in (pair.client, pair.server):
            self.assertEqual(end.seen(ConnectionClosed), [ConnectionClosed(None)])


class HalfOpenEndpointTests(TappedTestCase):
    """An endpoint whose connection is closed at the other end only."""

    def test_S34_endpointWaits(self) -> None:
        """It waits for the end of that one, but not for ever."""
        self.listen(halfOpen=True)
        credentials = self.server.generateCredentials()
        endpoint = StreamClientEndpoint(self.client, credentials, timeout=5, halfOpen=True)
        near = self.after(endpoint.connect(Recorders()))
        self.run_()
        self.back.close()
        self.run_(2)
        waiting, gone = endpoint.connect(Recorders()), endpoint.connect(Recorders())
        gone.cancel()
        self.failureResultOf(gone)
        self.run_(4)
        self.assertNoResult(waiting)
        self.run_(2)
        error = self.failureResultOf(waiting, ConnectionEnded).value
        self.assertIn("within 5 s", str(error))
        near.transport.loseConnection()
        self.after(endpoint.connect(Recorders()), 3)


class BlockedTests(VirtualTestCase):
    """What holds a sender up."""

    def test_S30_fromTheStart(self) -> None:
        """Bytes of all streams are blocked when the peer's first word is less than was sent."""
        pair = Pair({}, {"connectionWindow": 30_000})
        pair.server.isReading = False
        for _ in range(4):
            pair.client.session.sendData(pair.client.open(), bytes(60_000))
        pair.run(10)
        used = sum(stream.sendWindow.used for stream in pair.client.streams.values())
        self.assertGreater(used, 30_000)
        said = framesOf(pair, pair.client.prepares, ConnectionDataBlocked)
        self.assertEqual({frame.maxOffset for frame in said}, {240_000})


class MarkTests(TappedTestCase):
    """Marks from which on producers are paused."""

    def produce(self, count: int, **options: int) -> list[Pushing]:
        """Producers on streams of one connection whose peer reads nothing yet."""
        self.listen()
        self.connection = self.connect(**options)
        self.order: list[str] = []
        nears = [self.openStream() for _ in range(count)]
        self.run_()
        for near in nears:
            near.transport.write(b"!")
        self.run_()
        self.fars = self.served.made
        for far in self.fars:
            far.transport.pauseProducing()
        return [Pushing(near.transport, str(i), self.order) for i, near in enumerate(nears)]

    def waiting(self) -> int:
        """Bytes that wait to leave on all streams of the client."""
        session = self.connection.session
        return sum(session.stream(each).queue.unsent for each in self.connection.streams)

    def test_M26_producersOfOne(self) -> None:
        """A producer is paused at its stream's mark, and goes on below it."""
        [pushing] = self.produce(1, streamHighWater=10_000)
        pushing.resumeProducing()
        self.assertTrue(pushing.isPaused)
        self.assertEqual(self.waiting(), 10_000)
        self.run_(5)
        self.assertGreater(len(self.order), 10)
        self.assertTrue(9_000 < self.waiting() < 11_000, self.waiting())

    def test_M26_producersOfAll(self) -> None:
        """All are paused at the mark of the connection, and take turns when it is passed."""
        pushing = self.produce(3, connectionHighWater=25_000, streamHighWater=20_000)
        for each in pushing:
            each.resumeProducing()
        self.assertEqual([each.isPaused for each in pushing], [True] * 3)
        self.assertEqual(self.waiting(), 26_000)
        del self.order[:]
        for far in self.fars:
            far.transport.resumeProducing()
        self.run_(5)
        counts = [self.order.count(str(number)) for number in range(3)]
        self.assertGreater(min(counts), max(counts) // 4, counts)
        self.assertGreater(min(len(far.data) for far in self.fars), 100_000)
        self.assertLessEqual(self.waiting(), 30_000)

    def test_M26_pullProducers(self) -> None:
        """Pull producers are asked in turns, and not while the connection's mark is reached."""
        self.produce(3, connectionHighWater=5_000)
        for number, stream in self.connection.streams.items():
            stream.unregisterProducer()
            stream.registerProducer(Pulling(stream, str(number), self.order), False)
        self.run_(5)
        self.assertLess(self.waiting(), 6_000)
        began = len(self.order)
        for far in self.fars:
            far.transport.resumeProducing()
        self.run_(5)
        later = self.order[began : began + 300]
        counts = [later.count(str(number)) for number in self.connection.streams]
        self.assertGreater(min(counts), max(counts) // 4, counts)
        self.assertEqual(len(self.order), 3000)

    def test_M26_dataBesideMoney(self) -> None:
        """Bytes that leave beside money make room for producers of other streams too."""
        pair = Pair({"streamHighWater": 50, "connectionHighWater": 100, "acceptAnyRate": True})
        session = pair.client.session
        first, second = pair.client.open(), pair.client.open()
        session.sendWithMoney(first, bytes(100))
        self.assertTrue(session.isFull(session.stream(second)))
        session.sendMoney(first, 5)
        pair.run(5)
        self.assertFalse(session.isFull(session.stream(second)))
        drained = [event.streamID for event in pair.client.seen(DataDrained)]
        self.assertEqual(drained, [first, 0])

    def test_M26_abort(self) -> None:
        """A stream that is aborted with all that waits lets the others go on."""
        self.listen(streamWindow=2_000)
        self.connection = self.connect(connectionHighWater=25_000)
        full, other = self.openStream(), self.openStream()
        self.run_()
        for far in self.served.made:
            far.transport.pauseProducing()
        full.transport.write(bytes(30_000))
        order: list[str] = []
        pushing = Pushing(other.transport, "other", order)
        pushing.resumeProducing()
        self.run_()
        self.assertTrue(pushing.isPaused)
        self.assertEqual(order, ["other"])
        full.transport.abortConnection()
        self.run_(0.01)
        self.assertEqual(order[:2], ["other", "other"])
        self.assertGreater(self.waiting(), 22_000)


class ExpiryTests(TappedTestCase):
    """When packets expire."""

    def expiries(self, **options: Any) -> list[float]:
        """Seconds that each of many packets has when it leaves."""
        self.listen()
        near = self.open(**options)
        self.run_()
        found = []
        for _ in range(100):
            del self.exchanges[:]
            near.transport.write(b"x")
            self.clock.advance(0)
            found += [each.prepare.expiresAt - self.clock.seconds() for each in self.sent()]
            self.run_(0.5)
        return found

    def test_M38_expiry(self) -> None:
        """The time that packets state is shortened at random; all of the spread is used."""
        found = self.expiries(expirySpread=10.0)
        self.assertGreater(len(found), 90)
        # Times in a Prepare are whole milliseconds, rounded down.
        self.assertTrue(19.999 <= min(found) < 24, min(found))
        self.assertTrue(26 < max(found) <= 30.001, max(found))
        self.assertGreater(len(set(found)), len(found) // 2)

    def test_M38_notAsked(self) -> None:
        """Without the option all have the same time."""
        self.assertLess(max(found := self.expiries()) - min(found), 0.01)

    def test_M38_waitsLongest(self) -> None:
        """Money is not in doubt before the longest time has passed, and a margin."""
        self.listen()
        near = self.open(expirySpread=29.0, acceptAnyRate=True)
        self.right.plugin.deregisterDataHandler()
        self.right.plugin.registerDataHandler(lambda data: Deferred())
        near.transport.sendMoney(5).addErrback(lambda _: None)
        self.run_(34.9)
        self.assertEqual(near.transport.moneyInFlight, 5)
        self.run_(0.2)
        self.assertEqual(near.transport.moneyInFlight, 0)
        self.assertEqual(near.transport.totalInDoubt, 5)
