"""Faults of ilp-protocol-stream that are none of ours: its limits, its money and its rates."""

from __future__ import annotations

import gc
import tracemalloc

from txilpstream.amounts import U64_MAX, Ratio, splitShares
from txilpstream.errors import ErrorCode, PeerError
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.events import ConnectionClosed, StreamClosed
from txilpstream.session.exchangerate import ExchangeRate
from txilpstream.test.conformance.base import framesOf, give
from txilpstream.test.support.handpeer import HandPeer, Reply
from txilpstream.test.support.sessions import Pair, converting, nothing, rejecting, settled
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.wire.frames import (
    ConnectionAssetDetails,
    ConnectionClose,
    ConnectionDataBlocked,
    ConnectionMaxData,
    ConnectionMaxStreamID,
    ConnectionNewAddress,
    StreamClose,
    StreamData,
    StreamMaxMoney,
    StreamMoney,
    StreamReceipt,
)


class WindowTests(VirtualTestCase):
    """Limits of bytes and of streams."""

    def test_smallConnectionMaxDataIsObeyed(self) -> None:
        """ilp-protocol-stream: a first limit below its own buffer, such as 0, is not heard."""
        pair = Pair()
        give(pair, ConnectionNewAddress("test.client"), ConnectionMaxData(0))
        pair.client.isPaused = True
        pair.server.out = lambda prepare: rejecting("T00")
        pair.server.session.sendData(pair.server.open(), b"x")
        pair.run(20)
        data = framesOf(pair, pair.server.prepares, StreamData)
        self.assertEqual([frame for frame in data if frame.data], [])
        self.assertGreater(len(pair.server.prepares), 3)
        pair.server.out, pair.client.isPaused = nothing, False
        pair.run(20)
        self.assertEqual(list(pair.client.data.values()), [b"x"])

    def test_connectionThatIsFullIsSaidToBlock(self) -> None:
        """
        The same: whoever keeps to the limit of a connection says that it is held up by that, also
        where the limit was used up to the last byte before there was more to be sent.
        """
        pair = Pair({}, {"connectionWindow": 5})
        pair.server.isReading = False
        pair.client.session.sendData(pair.client.open(), b"01")
        pair.run(1)
        pair.client.session.sendData(pair.client.open(), b"234")
        pair.run(1)
        pair.client.session.sendData(pair.client.open(), b"more")
        pair.run(10)
        sizes = [stream.data.held for stream in pair.server.streams.values()]
        self.assertEqual(sum(sizes), 5)
        blocked = framesOf(pair, pair.client.prepares, ConnectionDataBlocked)
        self.assertEqual(blocked[:1], [ConnectionDataBlocked(9)])

    def test_streamIDLimitIsNeverLowered(self) -> None:
        """ilp-protocol-stream: a smaller ConnectionMaxStreamId takes streams away again."""
        pair = Pair({"maximumStreamID": 40})
        pair.run(1)
        give(pair, ConnectionMaxStreamID(40))
        give(pair, ConnectionMaxStreamID(4))
        for _ in range(20):
            pair.server.session.sendData(pair.server.open(), b"x")
        pair.run(0.04)
        self.assertEqual(sorted(pair.client.data), list(range(2, 41, 2)))

    def test_totalsOfClosedStreamsCount(self) -> None:
        """
        ilp-protocol-stream: the bytes of a connection are summed over open streams only, so the two
        ends disagree as soon as one is closed.
        """
        pair = Pair({"connectionWindow": 70_000}, {"connectionWindow": 70_000})
        for number in range(1, 11):
            streamID = pair.client.open()
            pair.client.session.sendData(streamID, bytes(30_000))
            pair.client.session.closeStream(streamID)
            pair.run(1)
            pair.server.session.sendData(streamID, bytes(30_000))
            pair.server.session.closeStream(streamID)
            pair.run(1)
            self.assertEqual(len(pair.client.seen(StreamClosed)), number)
            told = give(pair).only(ConnectionMaxData)
            self.assertEqual(told, [ConnectionMaxData(number * 30_000 + 70_000)])
        for end in (pair.client, pair.server):
            self.assertEqual([len(data) for data in end.data.values()], [30_000] * 10)
            self.assertEqual(end.seen(ConnectionClosed), [])

    def test_closedStreamsDoNotGrowForEver(self) -> None:
        """ilp-protocol-stream: the numbers of closed streams are kept as long as the connection."""
        peer = HandPeer(SessionConfiguration(isServer=True))
        streamID = 1

        def use(count: int) -> None:
            nonlocal streamID
            for _ in range(count):
                reply = peer.send(
                    StreamData(streamID, 0, b"x"),
                    StreamClose(streamID, ErrorCode.APPLICATION_ERROR, ""),
                )
                self.assertEqual(reply.code, "")
                peer.events()
                streamID += 2

        use(300)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        use(100)
        gc.collect()  # what other tests left behind is not to be counted
        before, _ = tracemalloc.get_traced_memory()
        use(800)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        self.assertLess(after - before, 10_000)
        self.assertEqual(peer.state.streams.open, {})

    def test_serverConnectionWithoutAddressGoesIdle(self) -> None:
        """ilp-protocol-stream: no timer runs for a client that never tells its address."""
        pair = Pair({}, {"idleTimeout": 60.0})
        server = pair.server.session
        self.assertEqual(give(pair, StreamMoney(1, 1), amount=5).code, "")
        moment = server.nextTimeout()
        assert moment is not None
        self.assertAlmostEqual(moment, pair.now + 60)
        server.receiveTimeout(now=moment)
        self.assertTrue(server.isClosed)


class ViolationTests(VirtualTestCase):
    """What a peer must not do ends the connection."""

    def setUp(self) -> None:
        """Nothing was sent yet."""
        self.peer = HandPeer()

    def assertCloses(self, reply: Reply, code: int) -> None:
        """It is closed with this code, at once and for good, and the application hears why."""
        self.assertEqual(reply.code, "F99")
        [close] = reply.only(ConnectionClose)
        assert isinstance(close, ConnectionClose)
        self.assertEqual(close.errorCode, code)
        [closed] = [e for e in self.peer.events() if isinstance(e, ConnectionClosed)]
        assert isinstance(closed.error, PeerError)
        self.assertEqual(closed.error.code, code)
        again = self.peer.send(StreamMoney(1, 1), amount=5)
        self.assertEqual((again.code, len(again.only(ConnectionClose))), ("F99", 1))

    def test_wrongParityCloses(self) -> None:
        """ilp-protocol-stream: it says that it closes, and goes on."""
        self.assertCloses(self.peer.send(StreamMoney(2, 1)), ErrorCode.PROTOCOL_VIOLATION)

    def test_tooManyStreamsClose(self) -> None:
        """ilp-protocol-stream: the same for a stream above the limit."""
        self.assertCloses(self.peer.send(StreamMoney(21, 1)), ErrorCode.STREAM_ID_ERROR)

    def test_assetDetailsAreNotOverwritten(self) -> None:
        """ilp-protocol-stream: a second asset takes the place of the first without a word."""
        self.assertEqual(self.peer.send(ConnectionAssetDetails("USD", 9)).code, "")
        self.assertEqual(self.peer.send(ConnectionAssetDetails("USD", 9)).code, "")
        for other in (ConnectionAssetDetails("EUR", 9), ConnectionAssetDetails("USD", 2)):
            self.setUp()
            self.peer.send(ConnectionAssetDetails("USD", 9))
            self.assertCloses(self.peer.send(other), ErrorCode.PROTOCOL_VIOLATION)
            self.assertEqual(self.peer.state.assetDetails, ("USD", 9))


class MoneyTests(VirtualTestCase):
    """To the last unit."""

    def totals(self, peer: HandPeer) -> dict[int, int]:
        """What each stream has got."""
        streams = peer.state.streams.open
        return {streamID: stream.moneyIn.totalReceived for streamID, stream in streams.items()}

    def test_remainderOfSharesIsNotLost(self) -> None:
        """ilp-protocol-stream: of 100 at shares 1 and 2 it credits 33 and 66."""
        peer = HandPeer()
        frames = StreamMoney(1, 1), StreamMoney(3, 2)
        self.assertEqual(peer.send(*frames, amount=100, receiveMax=1000).code, "")
        self.assertEqual(self.totals(peer), {1: 34, 3: 66})

    def test_partOverALimitIsNotLost(self) -> None:
        """
        ilp-protocol-stream: what one stream of several cannot take is gone, and nobody is told.
        Here the packet is refused as a whole, with the limits.
        """
        peer = HandPeer()
        frames = StreamMoney(1, 1), StreamMoney(3, 2)
        peer.send(*frames, receiveMax=1000)
        peer.state.streams.open[1].moneyIn.receiveMax = 20
        reply = peer.send(*frames, amount=100)
        self.assertEqual(reply.code, "F99")
        told = [StreamMaxMoney(1, 20, 0), StreamMaxMoney(3, 1000, 0)]
        self.assertEqual(reply.only(StreamMaxMoney), told)
        self.assertEqual(self.totals(peer), {1: 0, 3: 0})

    def test_receiptOfALargeStreamIDDoesNotRaise(self) -> None:
        """ilp-protocol-stream: it credits the money, then fails to write 256 into an octet."""
        peer = HandPeer(
            SessionConfiguration(
                isServer=True, maximumStreamID=1000, receiptNonce=bytes(16), receiptSecret=bytes(32)
            )
        )
        for streamID, hasReceipt in ((255, True), (257, False), (999, False)):
            reply = peer.send(StreamMoney(streamID, 1), amount=5, receiveMax=100)
            self.assertEqual((reply.code, bool(reply.only(StreamReceipt))), ("", hasReceipt))
        self.assertEqual(self.totals(peer), {255: 5, 257: 5, 999: 5})

    def test_productsDoNotOverflow(self) -> None:
        """ilp-protocol-stream: an amount times a rate may exceed what its integers hold."""
        peer = HandPeer()
        shares = [U64_MAX, U64_MAX, U64_MAX]
        parts, rest = splitShares(U64_MAX, shares)
        self.assertEqual(sum(parts) + rest, U64_MAX)
        frames = [StreamMoney(1 + 2 * index, each) for index, each in enumerate(shares)]
        self.assertEqual(peer.send(*frames, amount=U64_MAX, receiveMax=U64_MAX).code, "")
        self.assertEqual(sum(self.totals(peer).values()), U64_MAX)
        rate = ExchangeRate(Ratio(U64_MAX, 3), Ratio(0), False)
        self.assertLessEqual(rate.minimumDelivery(rate.mostPerPacket), U64_MAX)
        self.assertGreater(rate.minimumDelivery(rate.mostPerPacket + 1), U64_MAX)


class RateTests(VirtualTestCase):
    """What a path makes of an amount."""

    def test_rateIsMeasuredAllTheTime(self) -> None:
        """ilp-protocol-stream: the rate of the first second is that of the connection for good."""
        pair = Pair({"minimumRate": Ratio(1, 10)}, {"idleTimeout": 1000.0})
        streamID = pair.client.open()
        for rate in (Ratio(1), Ratio(2), Ratio(1, 3), Ratio(1, 2)):
            pair.client.out = converting(rate)
            pair.client.session.sendMoney(streamID, 600_000)
            pair.run(20)
            measured = pair.client.session.exchangeRate
            assert measured.low is not None and measured.high is not None
            self.assertTrue(measured.low <= rate <= measured.high, rate)
            self.assertEqual(measured.floor, Ratio(1, 10))
        self.assertEqual(settled(pair.client), 4 * 600_000)

    def test_roomIsReckonedAtTheRateOfToday(self) -> None:
        """
        ilp-protocol-stream: with the rate of the beginning it sends more than the peer takes, or
        stops short of it.
        """
        pair = Pair({"minimumRate": Ratio(1, 10), "maximumPacketAmount": 1000})
        pair.server.receiveMax = 100_000
        streamID = pair.client.open()
        pair.client.out = converting(Ratio(1))
        pair.client.session.sendMoney(streamID, 20_000)
        pair.run(10)
        self.assertEqual(pair.server.credited, 20_000)
        pair.client.out = converting(Ratio(1, 4))
        pair.client.session.sendMoney(streamID, 1_000_000)
        pair.run(30)
        self.assertIn(pair.server.credited, range(99_750, 100_260))
        self.assertIn(settled(pair.client), range(339_000, 341_100))

    def test_decimalsAreExact(self) -> None:
        """ilp-protocol-stream: rates are made of floating-point numbers."""
        for text, amount, expected in (
            ("0.1", 30, 3),
            ("0.3", 10, 3),
            ("1.000000000000000001", 10**18, 10**18 + 1),
            ("0.07", 100, 7),
            ("123456789.123456789", 10**9, 123456789123456789),
        ):
            ratio = Ratio.fromString(text)
            self.assertEqual((ratio.floor(amount), ratio.ceil(amount)), (expected, expected))
