"""Conformance: streams, their limits, their bytes and their ends (RFC 29 sections 4.4 and 4.5)."""

from __future__ import annotations

from txilpstream.errors import ErrorCode, LocalError, PeerError
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.events import ConnectionClosed, SendingEnded, StreamClosed, StreamEnded
from txilpstream.session.receiver import OVER_LIMIT_TIMEOUT
from txilpstream.test.conformance.base import framesOf, give
from txilpstream.test.support.handpeer import NOW, HandPeer, Reply
from txilpstream.test.support.sessions import LOST, Pair, rejecting
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.wire import frames
from txilpstream.wire.frames import ConnectionClose, StreamClose, StreamData, StreamMoney
from txilpstream.wire.ilp import Prepare


class ByHandTestCase(VirtualTestCase):
    """A server, and a client by hand."""

    def setUp(self) -> None:
        """Nothing was sent yet."""
        self.peer = HandPeer()

    def assertCloses(self, reply: Reply, code: int) -> None:
        """The reply refuses and closes with this code, and the application is told it."""
        self.assertEqual(reply.code, "F99")
        [close] = reply.only(ConnectionClose)
        assert isinstance(close, ConnectionClose)
        self.assertEqual(close.errorCode, code)
        [closed] = [e for e in self.peer.events() if isinstance(e, ConnectionClosed)]
        assert isinstance(closed.error, PeerError)
        self.assertEqual(closed.error.code, code)
        self.assertTrue(self.peer.state.isClosed)


class NumberTests(ByHandTestCase):
    """Which streams may be opened."""

    def test_S1_twentyStreams(self) -> None:
        """The largest id that is taken unasked is 20; who goes beyond breaks the protocol."""
        self.assertEqual(SessionConfiguration().maximumStreamID, 20)
        self.assertEqual(self.peer.send(StreamData(19, 0, b"x")).code, "")
        self.assertCloses(self.peer.send(StreamData(21, 0, b"x")), ErrorCode.STREAM_ID_ERROR)
        pair = Pair({}, {"maximumStreamID": 1000})
        for _ in range(11):
            pair.client.session.sendData(pair.client.open(), b"x")
        pair.run(0.04)
        self.assertEqual(max(pair.server.streams), 19)

    def test_S24_parity(self) -> None:
        """A client opens odd ids and a server even ones, and each takes the other's."""
        pair = Pair()
        self.assertEqual([pair.client.open() for _ in range(3)], [1, 3, 5])
        self.assertEqual([pair.server.open() for _ in range(3)], [2, 4, 6])
        for end in (pair.client, pair.server):
            for streamID in list(end.streams):
                end.session.sendData(streamID, b"%d" % streamID)
        pair.run()
        self.assertEqual(pair.server.data, {1: b"1", 3: b"3", 5: b"5"})
        self.assertEqual(pair.client.data, {2: b"2", 4: b"4", 6: b"6"})

    def test_S25_wrongParity(self) -> None:
        """An id of ours, or 0, that the peer opens closes the connection: ProtocolViolation."""
        for streamID in (2, 0, 100):
            for frame in (
                StreamMoney(streamID, 1),
                StreamData(streamID, 0, b"x"),
                frames.StreamMaxMoney(streamID, 1, 0),
                frames.StreamMaxData(streamID, 1),
            ):
                self.peer = HandPeer()
                self.assertCloses(self.peer.send(frame), ErrorCode.PROTOCOL_VIOLATION)

    def test_S25_wrongParityAtClient(self) -> None:
        """So it is at the client, whose peer opens even ids from 2 on."""
        for streamID in (1, 0, 99):
            self.peer = HandPeer(SessionConfiguration())
            self.assertCloses(
                self.peer.send(StreamMoney(streamID, 1)), ErrorCode.PROTOCOL_VIOLATION
            )
        self.peer = HandPeer(SessionConfiguration())
        self.assertEqual(self.peer.send(StreamMoney(2, 1)).only(ConnectionClose), [])


class LimitTests(ByHandTestCase):
    """Limits that are told, kept, raised and never lowered."""

    def test_S26_raised(self) -> None:
        """Money, bytes and ids: limits rise as they are used up, and the sender goes on."""
        pair = Pair({}, {"streamWindow": 20_000})
        pair.server.receiveMax = 100
        streamID = pair.client.open()
        pair.client.session.sendMoney(streamID, 300)
        pair.client.session.sendData(streamID, bytes(100_000))
        pair.run()
        self.assertEqual(len(pair.server.data[streamID]), 100_000)
        self.assertLessEqual(pair.server.credited, 101)
        pair.server.session.setReceiveMax(streamID, 300)
        pair.run(20)
        self.assertEqual(pair.server.credited, 300)

    def test_S27_neverLowered(self) -> None:
        """What was advertised once is never advertised less, however much waits unread."""
        pair = Pair({}, {"streamWindow": 30_000, "connectionWindow": 40_000})
        pair.server.isReading = False
        streamID = pair.client.open()
        told: dict[tuple[type, int], int] = {}

        def note(kind: type, streamID: int, limit: int) -> None:
            self.assertGreaterEqual(limit, told.get((kind, streamID), 0))
            told[kind, streamID] = limit

        for index in range(40):
            if index == 1:
                pair.client.session.sendData(streamID, bytes(100_000))
            pair.run(1)
            reply = give(pair, StreamMoney(streamID, 1))
            for frame in reply.frames:
                if isinstance(frame, frames.StreamMaxData):
                    note(type(frame), frame.streamID, frame.maxOffset)
                elif isinstance(frame, frames.ConnectionMaxData):
                    note(type(frame), 0, frame.maxOffset)
                elif isinstance(frame, frames.StreamMaxMoney):
                    note(type(frame), frame.streamID, frame.receiveMax)
            if index % 3 == 2:
                pair.server.session.consumeData(streamID, 9000)
        self.assertEqual(len(told), 3)
        self.assertGreater(told[frames.StreamMaxData, streamID], 30_000)
        self.assertRaises(LocalError, pair.server.session.setReceiveMax, streamID, 5)

    def test_S28_smallerIsIgnored(self) -> None:
        """A limit of the peer's that does not grow changes nothing."""
        pair = Pair()
        pair.run(1)
        streamID = pair.server.open()
        stream = pair.server.session.stream(streamID)
        for size in (50_000, 100, 0, 49_999):
            give(
                pair,
                frames.ConnectionMaxData(size),
                frames.StreamMaxData(streamID, size),
                frames.StreamMaxMoney(streamID, size, 0),
            )
        give(pair, frames.ConnectionMaxStreamID(4))
        self.assertEqual((stream.sendWindow.limit, stream.moneyOut.peerMax), (50_000, 50_000))
        self.assertEqual(stream.moneyOut.peerRoom, 50_000)
        pair.server.session.sendData(streamID, bytes(40_000))
        for _ in range(9):
            pair.server.session.sendData(pair.server.open(), b"x")
        give(pair, frames.ConnectionNewAddress("test.client"))
        pair.run()
        self.assertEqual(len(pair.client.data[streamID]), 40_000)
        self.assertEqual(sorted(pair.client.data), list(range(2, 21, 2)))
        blocked = framesOf(pair, pair.server.prepares, frames.ConnectionStreamIDBlocked)
        self.assertEqual(blocked, [])

    def test_S28_smallerOfAll(self) -> None:
        """So it is with the bytes of all streams together."""
        for size in (50_000, 100, 0, 49_999):
            self.peer.send(frames.ConnectionMaxData(size))
            self.assertEqual(self.peer.state.streams.sendWindow.limit, 50_000)
        self.peer.send(frames.ConnectionMaxData(50_001))
        self.assertEqual(self.peer.state.streams.sendWindow.limit, 50_001)

    def test_S29_dataOverLimit(self) -> None:
        """Bytes beyond the limit of a stream close the connection: FlowControlError."""
        self.peer = HandPeer(SessionConfiguration(isServer=True, streamWindow=50_000))
        self.assertEqual(self.peer.send(StreamData(1, 49_999, b"x")).code, "")
        reply = self.peer.send(StreamData(3, 49_999, b"xy"))
        self.assertCloses(reply, ErrorCode.FLOW_CONTROL_ERROR)
        self.assertEqual(self.peer.state.closeMessage, "stream 3 was sent 50001 bytes of 50000")

    def test_S29_moneyOverLimit(self) -> None:
        """Money beyond the limit is refused with the limit; 10 s of nothing else closes."""
        for seconds in (0, OVER_LIMIT_TIMEOUT):
            reply = self.peer.send(StreamMoney(1, 1), amount=200, receiveMax=100, now=NOW + seconds)
            self.assertEqual(reply.only(frames.StreamMaxMoney), [frames.StreamMaxMoney(1, 100, 0)])
            self.assertFalse(self.peer.state.isClosed)
        reply = self.peer.send(StreamMoney(1, 1), amount=200, now=NOW + OVER_LIMIT_TIMEOUT + 1)
        self.assertCloses(reply, ErrorCode.FLOW_CONTROL_ERROR)

    def test_S29_C3_partOverLimit(self) -> None:
        """A part of a packet beyond its stream's limit has the whole refused, with both limits."""
        said = [StreamMoney(1, 1), StreamMoney(3, 1)]
        self.peer.send(*said, receiveMax=1000)
        streams = self.peer.state.streams.open
        streams[1].moneyIn.receiveMax = 20
        reply = self.peer.send(*said, amount=100)
        self.assertEqual(reply.code, "F99")
        told = [(1, 20, 0), (3, 1000, 0)]
        self.assertEqual(
            reply.only(frames.StreamMaxMoney), [frames.StreamMaxMoney(*each) for each in told]
        )
        self.assertEqual([stream.moneyIn.totalReceived for stream in streams.values()], [0, 0])
        self.assertEqual(self.peer.send(*said, amount=40).code, "")
        self.assertEqual([stream.moneyIn.totalReceived for stream in streams.values()], [20, 20])

    def test_S30_blocked(self) -> None:
        """A sender that is held up says by what: bytes, all bytes, money, ids."""
        pair = Pair({}, {"streamWindow": 20_000, "connectionWindow": 30_000})
        pair.server.isReading = False
        pair.server.receiveMax = None
        streamIDs = [pair.client.open() for _ in range(11)]
        pair.run(1)
        for streamID in streamIDs[:2]:
            pair.client.session.sendData(streamID, bytes(50_000))
        pair.client.session.sendMoney(streamIDs[2], 50)
        pair.run(20)
        for kind in (
            frames.StreamDataBlocked,
            frames.ConnectionDataBlocked,
            frames.StreamMoneyBlocked,
            frames.ConnectionStreamIDBlocked,
        ):
            self.assertNotEqual(framesOf(pair, pair.client.prepares, kind), [], kind)
        blocked = framesOf(pair, pair.client.prepares, frames.StreamMoneyBlocked)
        self.assertEqual(blocked[0], frames.StreamMoneyBlocked(streamIDs[2], 50, 0))

    def test_S32_connectionLimitRaised(self) -> None:
        """The limit of the connection rises as the application reads, on whatever stream."""
        pair = Pair({}, {"connectionWindow": 70_000})
        streamIDs = [pair.client.open() for _ in range(5)]
        for streamID in streamIDs:
            pair.client.session.sendData(streamID, bytes(60_000))
        pair.run()
        self.assertEqual([len(data) for data in pair.server.data.values()], [60_000] * 5)
        told = give(pair).only(frames.ConnectionMaxData)[0].maxOffset
        self.assertEqual(told, 370_000)

    def test_S33_connectionOverLimit(self) -> None:
        """Bytes beyond the limit of the connection close it: FlowControlError."""
        self.peer = HandPeer(SessionConfiguration(isServer=True, connectionWindow=100_000))
        self.assertEqual(self.peer.send(StreamData(1, 60_000, b"x")).code, "")
        reply = self.peer.send(StreamData(3, 39_999, b"x"))
        self.assertCloses(reply, ErrorCode.FLOW_CONTROL_ERROR)

    def test_S33_together(self) -> None:
        """So do those of several streams in one packet."""
        self.peer = HandPeer(SessionConfiguration(isServer=True, connectionWindow=100_000))
        said = [StreamData(streamID, 59_999, b"x") for streamID in (1, 3)]
        self.assertCloses(self.peer.send(*said), ErrorCode.FLOW_CONTROL_ERROR)

    def test_S49_keepsToConnectionMaxData(self) -> None:
        """A sender never exceeds the limit that it was told, even one below its assumption."""
        for window in (5_000, 100_000):
            pair = Pair({}, {"connectionWindow": window})
            pair.server.isReading = False
            pair.client.open()
            pair.run(1)
            for _ in range(4):
                pair.client.session.sendData(pair.client.open(), bytes(60_000))
            pair.run(30)
            used = sum(stream.sendWindow.used for stream in pair.client.streams.values())
            self.assertEqual(used, window)
            self.assertEqual(pair.client.seen(ConnectionClosed), [])


class EndTests(ByHandTestCase):
    """Halves and wholes that close."""

    def test_S31_halfOpenStream(self) -> None:
        """An end that has closed its half of a stream still receives on it."""
        pair = Pair()
        streamID = pair.client.open(1 << 40)
        pair.client.session.sendData(streamID, b"question")
        pair.client.session.closeStream(streamID)
        pair.run(1)
        self.assertEqual(pair.server.seen(StreamEnded), [StreamEnded(streamID)])
        self.assertEqual(pair.client.seen(SendingEnded), [SendingEnded(streamID)])
        self.assertEqual(pair.client.seen(StreamClosed), [])
        self.assertRaises(LocalError, pair.client.session.sendData, streamID, b"x")
        pair.server.session.sendData(streamID, bytes(50_000))
        pair.server.session.sendMoney(streamID, 70)
        pair.server.session.closeStream(streamID)
        pair.run()
        self.assertEqual(len(pair.client.data[streamID]), 50_000)
        self.assertEqual(pair.client.credited, 70)
        for end in (pair.client, pair.server):
            self.assertEqual(end.seen(StreamClosed), [StreamClosed(streamID, None)])

    def test_S34_halfOpenConnection(self) -> None:
        """An end that closes the connection receives on open streams until it has sent all."""
        pair = Pair({}, {"connectionWindow": 70_000})
        pair.server.isReading = False
        streamID = pair.client.open(1 << 40)
        pair.client.session.sendData(streamID, bytes(200_000))
        pair.run(1)
        pair.client.session.close()
        self.assertTrue(pair.client.session.isClosing)
        pair.server.session.sendData(streamID, bytes(50_000))
        pair.server.session.sendMoney(streamID, 70)
        pair.run(2)
        self.assertFalse(pair.client.session.isClosed)
        self.assertEqual((len(pair.client.data[streamID]), pair.client.credited), (50_000, 70))
        pair.server.isReading = True
        pair.server.read(streamID)
        pair.run(20)
        self.assertEqual(len(pair.server.data[streamID]), 200_000)
        self.assertTrue(pair.client.session.isClosed and pair.server.session.isClosed)

    def test_S48_connectionClose(self) -> None:
        """A ConnectionClose ends everything at once; nothing more is sent or opened."""
        pair = Pair()
        streamID = pair.pay(10)
        pair.server.session.sendData(streamID, bytes(100_000))
        reply = give(pair, ConnectionClose(1, ""))
        self.assertEqual(reply.code, "")
        self.assertTrue(pair.server.session.isClosed)
        self.assertIsNone(pair.server.session.nextPacket(now=pair.now))
        self.assertRaises(LocalError, pair.server.session.openStream)
        self.assertEqual(give(pair, StreamMoney(streamID, 1), amount=5).code, "F99")

    def test_S50_streamClose(self) -> None:
        """A StreamClose ends the peer's half; with an error both, at once; others go on."""
        self.peer.send(StreamData(1, 0, b"a"), StreamData(3, 0, b"b"))
        self.peer.send(StreamClose(1, ErrorCode.NO_ERROR, ""))
        self.peer.send(StreamClose(3, ErrorCode.APPLICATION_ERROR, "why"))
        happened = self.peer.events()
        self.assertIn(StreamEnded(1), happened)
        [closed] = [event for event in happened if isinstance(event, StreamClosed)]
        assert isinstance(closed.error, PeerError)
        self.assertEqual((closed.streamID, closed.error.message), (3, "why"))
        self.assertTrue(self.peer.state.streams.get(1).isEnded)
        self.assertNotIn(3, self.peer.state.streams.open)
        self.assertEqual(self.peer.send(StreamData(5, 0, b"c")).code, "")


class SplitTests(ByHandTestCase):
    """How an amount is split among streams."""

    def totals(self) -> dict[int, int]:
        """What each stream has got."""
        streams = self.peer.state.streams.open
        return {streamID: stream.moneyIn.totalReceived for streamID, stream in streams.items()}

    def test_S51_floor(self) -> None:
        """Each stream gets its share, rounded down, and the rest goes to one."""
        said = [StreamMoney(5, 1), StreamMoney(3, 1), StreamMoney(7, 4)]
        self.assertEqual(self.peer.send(*said, amount=100, receiveMax=1000).code, "")
        self.assertEqual(self.totals(), {5: 16, 3: 16 + 2, 7: 66})

    def test_S52_remainder(self) -> None:
        """The rest goes to the lowest stream that is open and below its limit."""
        self.peer.send(*[StreamMoney(streamID, 0) for streamID in (1, 3, 5, 7)], receiveMax=1000)
        streams = self.peer.state.streams
        streams.get(1).moneyIn.receiveMax = 0
        said = [StreamMoney(5, 1), StreamMoney(7, 2)]
        self.assertEqual(self.peer.send(*said, amount=100).code, "")
        self.assertEqual(self.totals(), {1: 0, 3: 1, 5: 33, 7: 66})
        for streamID in (3, 5, 7):
            money = streams.get(streamID).moneyIn
            money.receiveMax = money.totalReceived
        streams.get(5).moneyIn.receiveMax += 33
        streams.get(7).moneyIn.receiveMax += 66
        self.assertEqual(self.peer.send(*said, amount=100).code, "F99")
        self.assertEqual(self.totals(), {1: 0, 3: 1, 5: 33, 7: 66})


class FragmentTests(VirtualTestCase):
    """Bytes on a path that loses and rejects."""

    def setUp(self) -> None:
        """A hundred thousand bytes arrive over a bad path."""
        self.pair = pair = Pair({"fragmentSize": 700})
        chance = pair.random.random

        def way(prepare: Prepare) -> bytes | None:
            drawn = chance()
            return rejecting("T00") if drawn < 0.1 else LOST if drawn < 0.15 else None

        pair.client.out = way
        self.streamID = pair.client.open()
        self.written = pair.random.randbytes(60_000)
        for start in range(0, 60_000, 999):
            pair.client.session.sendData(self.streamID, self.written[start : start + 999])
            pair.run(0.05)
        pair.run(200)
        self.sent = framesOf(pair, pair.client.prepares, StreamData)

    def test_S53_firstOffset(self) -> None:
        """The first bytes of a stream have the offset 0."""
        first = next(frame for frame in self.sent if frame.data)
        self.assertEqual((first.offset, first.streamID), (0, self.streamID))

    def test_S54_overlapsAreTaken(self) -> None:
        """A peer whose fragments overlap is understood: each byte counts once."""
        pair = Pair()
        pair.run(1)
        for offset, data in ((0, b"abc"), (5, b"fgh"), (1, b"bcdef"), (0, b"abcdefghij")):
            self.assertEqual(give(pair, StreamData(1, offset, data)).code, "")
        self.assertEqual(pair.server.data[1], b"abcdefghij")

    def test_S54_S55_sameFragments(self) -> None:
        """Fragments never overlap, and go again with the same offset and bytes."""
        self.assertEqual(self.pair.server.data[self.streamID], self.written)
        filled = [frame for frame in self.sent if frame.data]
        fragments = {frame.offset: frame.data for frame in filled}
        self.assertGreater(len(filled), len(fragments))
        for frame in filled:
            self.assertEqual(frame.data, fragments[frame.offset])
        self.assertEqual(b"".join(fragments[offset] for offset in sorted(fragments)), self.written)
