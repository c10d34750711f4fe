"""Faults of ilp-protocol-stream with streams that end: what it sends, counts and never says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from txilpstream.errors import ErrorCode, LocalError
from txilpstream.session.events import ConnectionClosed, StreamClosed, StreamEnded
from txilpstream.session.state import EARLY_CLOSE_TIMEOUT
from txilpstream.test.conformance.base import openPacket
from txilpstream.test.support.handpeer import HandPeer
from txilpstream.test.support.sessions import Pair, nothing
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.wire.frames import (
    ConnectionMaxData,
    Frame,
    StreamClose,
    StreamData,
    StreamDataBlocked,
    StreamMaxData,
    StreamMoney,
)
from txilpstream.wire.ilp import (
    MAX_DATA_LENGTH,
    Fulfill,
    decodePrepare,
    decodeReply,
    encodeFulfill,
    encodePrepare,
    encodeTimestamp,
)
from txilpstream.wire.packet import encodePacket

CLOSE = StreamClose(1, ErrorCode.NO_ERROR)


def rewriting(
    pair: Pair, change: Callable[[list[Frame]], list[Frame]]
) -> Callable[[bytes], bytes | None]:
    """A way back on which the frames of the peer's answers are others."""

    def way(answer: bytes) -> bytes | None:
        reply = decodeReply(answer)
        packet = openPacket(pair.keys, reply.data)
        if packet is None or not isinstance(reply, Fulfill):
            return None
        plain = encodePacket(
            packet.sequence, packet.packetType, packet.prepareAmount, change(packet.frames)
        )
        data = pair.keys.seal(plain, pair.random.randbytes(12))
        return encodeFulfill(reply.fulfillment, data)

    return way


class SizeTests(VirtualTestCase):
    """Packets that are a little too large."""

    def test_packetOfOneOctetTooMuchIsForwarded(self) -> None:
        """It fills a packet to 32,767 octets before it adds what encryption takes."""
        packet = encodePrepare(0, encodeTimestamp(1e9), bytes(32), "test.b", bytes(32768))
        self.assertEqual(len(decodePrepare(packet).data), 32768)
        self.assertLess(32768, MAX_DATA_LENGTH)


class EarlyCloseTests(VirtualTestCase):
    """It says in an answer that it closes a stream while the last bytes are on their way."""

    def setUp(self) -> None:
        """The server's bytes are slow; its next answer overtakes them."""
        self.pair = Pair()
        self.pair.client.open()
        self.pair.run(1)
        self.pair.client.back = rewriting(self.pair, lambda frames: [*frames, CLOSE])

    def poke(self) -> None:
        """Have an answer come."""
        self.pair.client.session.ping()
        self.pair.run(0.2)

    def test_dataAfterCloseIsTaken(self) -> None:
        """What was sent before the close arrives, and then the stream ends."""
        pair = self.pair
        self.poke()
        self.assertEqual(pair.client.seen(StreamEnded), [])
        pair.server.session.sendData(1, b"the last words")
        pair.run(0.5)
        self.assertEqual(bytes(pair.client.data[1]), b"the last words")
        self.assertEqual(pair.client.seen(StreamEnded), [StreamEnded(1)])

    def test_closeAloneIsHeardSoon(self) -> None:
        """If nothing comes, it ends a moment later, once."""
        self.poke()
        self.poke()
        self.pair.run(EARLY_CLOSE_TIMEOUT)
        self.assertEqual(self.pair.client.seen(StreamEnded), [StreamEnded(1)])
        self.poke()
        self.pair.run(2 * EARLY_CLOSE_TIMEOUT)
        self.assertEqual(len(self.pair.client.seen(StreamEnded)), 1)

    def test_closeBeforeTheStreamIsOpen(self) -> None:
        """The close may overtake all that is said on the stream, what opens it too."""
        pair = self.pair
        wrong = [StreamClose(streamID, ErrorCode.NO_ERROR) for streamID in (0, 3, 22, 2)]
        pair.client.back = rewriting(pair, lambda frames: [*frames, *wrong])
        self.poke()
        pair.client.back = nothing
        streamID = pair.server.open()
        self.assertEqual(streamID, 2)
        pair.server.session.sendData(streamID, b"all of it")
        pair.run(0.5)
        self.assertEqual(bytes(pair.client.data[2]), b"all of it")
        self.assertEqual(pair.client.seen(StreamEnded), [StreamEnded(2)])
        self.poke()
        self.assertEqual(pair.client.seen(ConnectionClosed), [])

    def test_errorsAreHeardAtOnce(self) -> None:
        """A close with an error waits for nothing."""
        error = StreamClose(1, ErrorCode.APPLICATION_ERROR)
        self.pair.client.back = rewriting(self.pair, lambda frames: [*frames, error])
        self.poke()
        self.assertEqual(len(self.pair.client.seen(StreamClosed)), 1)

    def test_endedMeanwhile(self) -> None:
        """A stream that is over by then is not ended again."""
        self.poke()
        self.pair.client.session.abortStream(1, None, ErrorCode.APPLICATION_ERROR)
        self.pair.run(2 * EARLY_CLOSE_TIMEOUT)
        self.assertEqual(self.pair.client.seen(StreamEnded), [])

    def test_nothingCanCome(self) -> None:
        """Where no packet of the peer's reaches us, nothing is on its way."""
        self.pair = Pair({"sourceAddress": ""})
        self.pair.client.open()
        self.pair.run(1)
        self.pair.client.back = rewriting(self.pair, lambda frames: [*frames, CLOSE])
        self.pair.client.session.sendData(1, b"?")
        self.pair.run(0.2)
        self.assertEqual(self.pair.client.seen(StreamEnded), [StreamEnded(1)])


class CountTests(VirtualTestCase):
    """It counts the bytes of the streams that are open, and forgets those of others."""

    BUFFER = 65_534

    def setUp(self) -> None:
        """
        The limit of the connection is what its buffer takes beyond what open streams got; it says
        that in answers only.
        """
        self.pair = Pair({"sourceAddress": ""})
        self.limits: list[int] = []

        def change(frames: list[Frame]) -> list[Frame]:
            got = sum(
                stream.data.highest
                for stream in self.pair.server.streams.values()
                if not stream.isOver
            )
            self.limits.append(got + self.BUFFER)
            return [
                replace(frame, maxOffset=self.limits[-1])
                if isinstance(frame, ConnectionMaxData)
                else frame
                for frame in frames
            ]

        self.pair.client.back = rewriting(self.pair, change)

    def test_dataDoesNotStopOverManyStreams(self) -> None:
        """However many streams with data are over, the next one's arrives."""
        pair = self.pair
        for _ in range(30):
            streamID = pair.client.open()
            pair.client.session.sendData(streamID, bytes(8_000))
            pair.client.session.closeStream(streamID)
            pair.run(1)
            pair.server.session.closeStream(streamID)
            pair.client.session.ignoreStream(streamID)
            pair.run(3)
        self.assertEqual([len(data) for data in pair.server.data.values()], [8_000] * 30)
        self.assertLess(max(self.limits), 30 * 8_000)

    def test_correctLimitsAreKept(self) -> None:
        """A limit below what was sent, as long as that is open, gives no room."""
        pair = Pair({}, {"connectionWindow": 30_000})
        pair.server.isReading = False
        streamID = pair.client.open()
        pair.client.session.sendData(streamID, bytes(16_000))
        other = pair.client.open()
        pair.client.session.sendData(other, bytes(60_000))
        pair.run(20)
        used = sum(stream.sendWindow.used for stream in pair.client.streams.values())
        self.assertLessEqual(used, 1 << 16)


class SmallLimitTests(VirtualTestCase):
    """A peer whose first limit is below what was sent before it was heard is not such a one."""

    def test_correctLimitIsKeptOverStreams(self) -> None:
        """Its limit holds also when the streams that were sent on are over."""
        pair = Pair({}, {"connectionWindow": 60_000})
        pair.server.isReading = False
        streamIDs = [pair.client.open() for _ in range(4)]
        for streamID in streamIDs:
            pair.client.session.sendData(streamID, bytes(16_384))
            pair.client.session.closeStream(streamID)
        pair.run(5)
        for streamID in streamIDs:
            pair.server.session.closeStream(streamID)
        pair.run(5)
        pair.client.session.sendData(pair.client.open(), bytes(16_000))
        pair.run(30)
        self.assertEqual(pair.client.seen(ConnectionClosed), [])
        self.assertEqual(pair.server.seen(ConnectionClosed), [])


class UnsaidTests(VirtualTestCase):
    """It does not say that it closes a stream after we have."""

    def setUp(self) -> None:
        """A stream on which something was sent, and which we close."""
        self.peer = HandPeer()
        self.peer.send(StreamData(1, 0, b"question"))
        stream = self.peer.state.streams.open[1]
        stream.advance("close")
        self.peer.state.settleStream(stream)
        self.peer.state.acknowledgeClose(stream)
        stream.refusesMoney = stream.isEnded = True
        self.peer.state.streams.forgetData(stream)
        self.peer.state.finishStream(stream)

    def test_itsPlaceIsFree(self) -> None:
        """The stream is over, and the peer may open another one."""
        self.assertEqual(list(self.peer.state.streams.open), [])
        self.assertEqual(self.peer.state.streams.maxStreamID, 22)

    def test_itsSenderGoesOn(self) -> None:
        """Whoever still writes on it is given room to come to its end; money is refused."""
        window = self.peer.state.configuration.streamWindow
        reply = self.peer.send(StreamData(1, 8, b"and more"), StreamMoney(3, 1))
        self.assertEqual(reply.code, "")
        self.assertEqual(reply.only(StreamMaxData)[0], StreamMaxData(1, 16 + window))
        reply = self.peer.send(StreamDataBlocked(1, 5000))
        self.assertEqual(reply.only(StreamMaxData), [StreamMaxData(1, 5000 + window)])
        reply = self.peer.send(StreamMoney(1, 1), amount=5)
        self.assertEqual(reply.code, "F99")
        self.assertEqual(len(reply.only(StreamClose)), 1)
        self.assertEqual(reply.only(StreamMaxData), [])

    def test_streamsThatWeCloseFirst(self) -> None:
        """As many as one likes follow each other, though the peer closes none."""
        pair = Pair()
        for _ in range(30):
            streamID = pair.client.open()
            pair.client.session.sendData(streamID, b"question")
            pair.run(1)
            self.assertEqual(bytes(pair.server.data[streamID]), b"question")
            pair.server.session.sendData(streamID, b"answer")
            pair.server.session.closeStream(streamID)
            pair.run(1)
            pair.server.session.ignoreStream(streamID)
            pair.run(1)
            self.assertRaises(LocalError, pair.server.session.stream, streamID)
