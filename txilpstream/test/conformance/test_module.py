"""Conformance: what a module of STREAM is asked to do with frames, bytes and limits."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from txilpstream.errors import ErrorCode, PeerError
from txilpstream.test.conformance.base import Conform, TappedTestCase
from txilpstream.testing import Latency, Transit
from txilpstream.wire import frames
from txilpstream.wire.frames import (
    ConnectionClose,
    ConnectionMaxData,
    ConnectionMaxStreamID,
    StreamClose,
    StreamData,
    StreamDataBlocked,
    StreamMaxData,
    StreamMoney,
)
from txilpstream.wire.ilp import Reject


@implementer(IPushProducer)
class Pushing:
    """Writes down what it is asked to do."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def pauseProducing(self) -> None:
        """Write it down."""
        self.asked.append("pause")

    def resumeProducing(self) -> None:
        """Write it down."""
        self.asked.append("resume")

    def stopProducing(self) -> None:
        """Write it down."""
        self.asked.append("stop")


class FrameTests(TappedTestCase):
    """Which frames go where."""

    def test_M08_together(self) -> None:
        """What must be said at the beginning is in the first packet, with the first bytes."""
        self.listen()
        credentials = self.server.generateCredentials()
        connection = self.client.openConnection(credentials)
        self.keys = type(self.keys)(credentials.sharedSecret)
        self.connection = connection
        self.openStream().transport.write(b"hello")
        self.run_(0.01)
        kinds = {type(frame) for frame in self.sent()[0].packet.frames}
        for kind in (
            frames.ConnectionNewAddress,
            frames.ConnectionAssetDetails,
            ConnectionMaxData,
            StreamMaxData,
            frames.StreamMaxMoney,
            StreamData,
        ):
            self.assertIn(kind, kinds)

    def test_M09_unknownFrames(self) -> None:
        """Each frame has its length; one of an unknown type is passed over, the next counts."""
        self.listen()
        _, far = self.opened()
        reply = self.give(b"\x77\x02ab", StreamMoney(1, 1), b"\xf0\x00", amount=5)
        self.run_()
        self.assertEqual((reply.code, far.amounts), ("", [5]))

    def test_M13_errorsAsFrames(self) -> None:
        """A violation ends in a frame with its code; both applications hear why, and no others."""
        self.listen()
        other, paid = self.opened()
        for code, said in (
            (ErrorCode.FLOW_CONTROL_ERROR, [StreamData(1, 1 << 21, b"x")]),
            (ErrorCode.FLOW_CONTROL_ERROR, [StreamData(each, 600_000, b"x") for each in (1, 3)]),
            (ErrorCode.PROTOCOL_VIOLATION, [StreamMoney(2, 1)]),
            (ErrorCode.PROTOCOL_VIOLATION, [StreamData(0, 0, b"")]),
            (ErrorCode.PROTOCOL_VIOLATION, [frames.ConnectionAssetDetails("XYZ", 2)]),
            (ErrorCode.STREAM_ID_ERROR, [StreamData(99, 0, b"x")]),
            (ErrorCode.FRAME_FORMAT_ERROR, [b"\x14\x05\x01"]),
        ):
            near, far = self.opened()
            [close] = self.give(*said).only(ConnectionClose)
            self.assertEqual(close.errorCode, code, said)
            self.run_()
            for protocol in (near, far):
                error = protocol.reasons[0].value
                assert isinstance(error, PeerError)
                self.assertEqual(error.code, code, said)
        self.assertEqual(self.after(other.transport.sendMoney(5), 2).sent, 5)
        self.assertEqual((other.happened, paid.happened), (["made"], ["made"]))

    def test_M13_lateMoney(self) -> None:
        """Money for a stream that is over ends in a frame for that stream alone."""
        self.listen()
        near, _ = self.opened()
        near.transport.abortConnection()
        self.run_()
        reply = self.give(StreamMoney(1, 1), amount=5)
        [close] = reply.only(StreamClose)
        self.assertEqual((reply.code, close.errorCode), ("F99", ErrorCode.STREAM_STATE_ERROR))
        other = self.openStream()
        self.assertEqual(self.after(other.transport.sendMoney(5), 2).sent, 5)

    def test_S36_accountNonces(self) -> None:
        """No IV serves twice where an account makes the random octets."""
        self.listen()
        near, far = self.opened()
        near.transport.write(b"x" * 500_000)
        far.transport.write(b"y" * 500_000)
        self.pay(near, 50)
        ivs = [each.prepare.data[:12] for each in self.exchanges]
        ivs += [each.reply.data[:12] for each in self.exchanges]
        self.assertGreater(len(ivs), 60)
        self.assertEqual(len(set(ivs)), len(ivs))

    def test_M14_padding(self) -> None:
        """On request every packet and answer has one size, both ways."""
        self.listen(padTo=4000)
        near, far = self.opened(padTo=4000)
        near.transport.write(b"\xff" * 20_000)
        far.transport.write(b"\xff" * 200)
        self.pay(near, 50)
        self.assertEqual(len(near.data), 200)
        sizes = {len(exchange.prepare.data) for exchange in self.exchanges}
        sizes |= {len(exchange.reply.data) for exchange in self.exchanges}
        self.assertEqual(sizes, {4028})

    def test_M28_dataInPrepares(self) -> None:
        """Bytes of the application are in Prepares of either side, and in no answer."""
        self.listen()
        near, far = self.opened()
        near.transport.write(b"x" * 50_000)
        far.transport.write(b"y" * 50_000)
        self.pay(near, 50)
        for side in ("left", "right"):
            self.assertGreater(sum(len(f.data) for f in self.said(StreamData, side)), 49_999)
            self.assertEqual(self.answered(StreamData, side), [])

    def test_M29_sentAgain(self) -> None:
        """What a rejected packet said is said again, bytes and closes; money as it then is."""
        hop = Conform()
        self.joinBy(Latency(0.01), hop)
        self.listen()
        near, far = self.opened()
        rejected: list[Transit] = []

        def there(packet: Transit) -> Reject | None:
            closes = self.said(StreamClose)
            if len(rejected) >= 3 and len(closes) != 1:
                return None
            rejected.append(packet)
            return hop.reject("T00")

        hop.there = there
        near.transport.write(b"last words")
        near.transport.loseConnection()
        self.run_(20)
        self.assertEqual((len(rejected), far.data), (4, b"last words"))
        self.assertEqual(far.happened, ["made", "end"])
        said = [frame for frame in self.said(StreamData) if frame.data == b"last words"]
        self.assertEqual({frame.offset for frame in said}, {1})
        self.assertGreater(len(said), 1)
        self.assertEqual(len(self.said(StreamClose)), 2)


class FlowTests(TappedTestCase):
    """Nobody gets more than he takes."""

    def blockedBy(self, **options: Any) -> tuple[Any, Any]:
        """Two streams with 100,000 bytes each, to a side that does not read."""
        self.listen(**options)
        near, far = self.opened()
        far.transport.pauseProducing()
        near.transport.write(b"x" * 100_000)
        return near, far

    def most(self, streamID: int = 1) -> int:
        """How far the bytes of a stream have come."""
        said = [frame for frame in self.said(StreamData) if frame.streamID == streamID]
        return max(frame.offset + len(frame.data) for frame in said)

    def test_M10_backpressure(self) -> None:
        """A producer pauses when the peer does not read, and goes on when it does."""
        self.listen()
        near, far = self.opened()
        far.transport.pauseProducing()
        producer = Pushing()
        near.transport.registerProducer(producer, True)
        near.transport.write(b"x" * 3_000_000)
        self.run_(20)
        self.assertEqual((producer.asked, far.data), (["pause"], b""))
        self.assertEqual(self.most(), 1 + (1 << 20))
        far.transport.resumeProducing()
        self.run_(20)
        self.assertEqual((producer.asked, len(far.data)), (["pause", "resume"], 3_000_000))

    def test_M23_streamLimit(self) -> None:
        """The limit of a stream holds that stream up, and no other."""
        _, far = self.blockedBy(streamWindow=40_000)
        other = self.openStream()
        other.transport.write(b"y" * 30_000)
        self.run_(10)
        self.assertEqual(self.most(), 40_001)
        self.assertEqual(len(self.served.made[1].data), 30_000)
        far.transport.resumeProducing()
        self.run_(10)
        self.assertEqual(len(far.data), 100_000)

    def test_M24_blockedFrames(self) -> None:
        """Who is held up says so, and how much there is to send."""
        self.blockedBy(streamWindow=40_000)
        self.run_(10)
        blocked = self.said(StreamDataBlocked)
        self.assertEqual({(f.streamID, f.maxOffset) for f in blocked}, {(1, 100_001)})

    def test_M25_connectionLimit(self) -> None:
        """The limit of the connection holds all streams up together."""
        _, far = self.blockedBy(connectionWindow=70_000)
        self.openStream().transport.write(b"y" * 30_000)
        self.run_(10)
        read = len(self.served.made[1].data)
        self.assertLess(read, 30_000)
        self.assertEqual(self.most() + self.most(3), 70_001 + read)
        self.assertNotEqual(self.said(frames.ConnectionDataBlocked), [])
        far.transport.resumeProducing()
        self.run_(10)
        self.assertEqual(len(far.data) + len(self.served.made[1].data), 130_000)

    def test_M26_highWater(self) -> None:
        """How much is held for an application can be set, for a stream and for all."""
        self.listen(streamWindow=50_000, connectionWindow=90_000)
        self.opened()
        self.assertEqual({f.maxOffset for f in self.answered(StreamMaxData)}, {50_000})
        self.assertEqual({f.maxOffset for f in self.answered(ConnectionMaxData)}, {90_000})

    def assertMostStreams(self, most: int) -> None:
        """Of many streams so many are opened, half of their ids being the other end's."""
        self.listen(maximumStreamID=most)
        self.connection = self.connect()
        nears = [self.openStream() for _ in range(16)]
        for near in nears:
            near.transport.write(b"x")
        self.run_()
        self.assertEqual(max(frame.streamID for frame in self.said(StreamData)), most - 1)
        self.assertEqual([far.data for far in self.served.made], [b"x"] * (most // 2))

    def test_M18_mostStreams(self) -> None:
        """No more streams are opened than the peer takes; the next waits for one to end."""
        self.assertMostStreams(20)

    def test_M18_more(self) -> None:
        """A peer that takes more says so, and more are opened."""
        self.assertMostStreams(28)

    def test_M18_nextWaits(self) -> None:
        """A stream beyond the limit waits; it is opened when another one is over."""
        self.listen()
        self.connection = self.connect()
        nears = [self.openStream() for _ in range(11)]
        nears[10].transport.write(b"late")
        self.run_(5)
        self.assertNotEqual(self.said(frames.ConnectionStreamIDBlocked), [])
        self.assertEqual(len(self.served.made), 10)
        nears[0].transport.loseConnection()
        self.served.made[0].transport.loseConnection()
        self.run_(10)
        self.assertEqual(self.served.made[10].data, b"late")
        limits = self.answered(ConnectionMaxStreamID) + self.said(ConnectionMaxStreamID, "right")
        self.assertEqual({frame.maxStreamID for frame in limits}, {20, 22})
