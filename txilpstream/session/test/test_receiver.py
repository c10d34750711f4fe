"""Tests of C{txilpstream.session.receiver}."""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.crypto.keys import SessionKeys
from txilpstream.crypto.receipts import Receipt, verifyReceipt
from txilpstream.errors import ErrorCode, PeerError
from txilpstream.session import events
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.receiver import (
    OVER_LIMIT_TIMEOUT,
    Askable,
    Incoming,
    Refused,
    addLimits,
    addReceipts,
    isOldData,
    lateFrames,
    splitAmount,
    takesData,
)
from txilpstream.session.state import SessionState
from txilpstream.session.streams.buffers import MAX_SEGMENTS
from txilpstream.session.streams.flowcontrol import ByteBudget
from txilpstream.session.streams.streams import CLOSED, CLOSING, SessionStream
from txilpstream.test.support.handpeer import NOW, HandPeer, Reply
from txilpstream.test.support.strategies import forAll
from txilpstream.wire import frames
from txilpstream.wire.frames import StreamClose, StreamData, StreamMoney
from txilpstream.wire.ilp import Prepare, encodeReject
from txilpstream.wire.packet import (
    FULFILL,
    PREPARE,
    REJECT,
    StreamPacket,
    decodePacket,
    encodePacket,
)

MONEY = StreamMoney(1, 1)


class ReceiverCase(SynchronousTestCase):
    """A server, and a client by hand."""

    def setUp(self) -> None:
        self.peer = HandPeer()
        self.state = self.peer.state

    def assertClosed(self, reply: Reply, code: int) -> None:
        """The reply closes the connection, and so has the receiver."""
        self.assertEqual([f.errorCode for f in reply.frames], [code])  # type: ignore[union-attr]
        self.assertIs(type(reply.frames[0]), frames.ConnectionClose)
        self.assertTrue(self.state.isClosed)
        self.assertEqual(self.state.closeCode, code)

    def received(self, streamID: int = 1) -> int:
        """What a stream was credited."""
        return self.state.streams.get(streamID).moneyIn.totalReceived


class StrangerTests(ReceiverCase):
    """Octets that are not the peer's: the same answer to all, and nothing is changed."""

    def test_sameOctets(self) -> None:
        peer = self.peer
        good = encodePacket(1, PREPARE, 0, [])
        foreign = peer.prepare()
        foreign.data = SessionKeys(bytes(32)).seal(good, bytes(12))
        empty = peer.prepare()
        empty.data = b""
        prepares = [
            foreign,
            empty,
            peer.prepareOf(encodePacket(1, FULFILL, 0, [])),
            peer.prepareOf(encodePacket(1, REJECT, 0, []) + b"\1"),
            peer.prepareOf(b"\2" + good[1:]),
            peer.prepareOf(b"garbage"),
            peer.prepareOf(b"\1\x0e\1\0\1\5\1\0\0\1\1\1\1\1"),
            peer.prepareOf(b"\1\x0e\1\1\1\0\1\5"),
        ]
        expected = encodeReject("F06", "", "Unexpected Payment")
        for prepare in prepares:
            incoming = peer.receive(prepare)
            self.assertIsNone(incoming.packet)
            self.assertEqual(peer.receiver.judge(incoming, NOW), Refused([]))
            self.assertEqual(peer.receiver.answer(incoming, True, NOW), expected)
        self.assertEqual((peer.events(), self.state.heardAt, self.state.encrypted), ([], None, 0))

    def test_malformedFrames(self) -> None:
        """The peer's own packet with a broken frame closes the connection."""
        incoming = self.peer.receive(self.peer.prepareOf(b"\1\x0c\1\5\1\0\1\1\x11\1\1"))
        self.assertClosed(self.peer.answer(incoming), ErrorCode.FRAME_FORMAT_ERROR)
        self.assertTrue(self.state.owesClose)

    def test_lastPacket(self) -> None:
        """A key that has encrypted as much as it may encrypts no answer either."""
        incoming = self.peer.receive(self.peer.prepare(MONEY, amount=5), 100)
        self.state.encrypted = self.state.configuration.maximumPacketCount
        reply = self.peer.receiver.answer(incoming, True, NOW)
        self.assertEqual(reply, encodeReject("F06", "", "Unexpected Payment"))
        self.assertEqual(self.received(), 0)


class MoneyTests(ReceiverCase):
    """Money is credited with a fulfill, and only then."""

    def test_accepted(self) -> None:
        prepare = self.peer.prepare(MONEY, amount=60, minimum=60)
        incoming = self.peer.receive(prepare, 100)
        self.assertEqual(self.peer.receiver.judge(incoming, NOW), Askable(((1, 60),), b""))
        self.assertEqual(self.received(), 0)
        self.assertEqual(self.peer.events(), [events.PeerAnswered(), events.StreamOpened(1)])
        reply = self.peer.answer(incoming)
        self.assertEqual((reply.code, reply.packet.packetType), ("", FULFILL))
        self.assertEqual((reply.packet.sequence, reply.packet.prepareAmount), (1, 60))
        self.assertEqual(reply.frames[0], frames.StreamMaxMoney(1, 100, 60))
        self.assertEqual(self.peer.events(), [events.MoneyReceived(1, 60)])
        self.assertEqual((self.received(), self.state.heardAt), (60, NOW))
        self.assertEqual(self.state.encrypted, 1)

    def test_duplicate(self) -> None:
        """Every fulfilled Prepare credits: its path paid for each."""
        prepare = self.peer.prepare(MONEY, amount=40)
        for _ in range(2):
            self.assertEqual(self.peer.answer(self.peer.receive(prepare, 100)).code, "")
        self.assertEqual(self.received(), 80)

    def assertRefused(self, reply: Reply) -> None:
        self.assertEqual((reply.code, reply.packet.packetType), ("F99", REJECT))
        self.assertEqual(reply.frames[0], frames.StreamMaxMoney(1, 100, 0))
        self.assertEqual(self.received(), 0)
        self.assertFalse(self.state.isClosed)

    def test_refused(self) -> None:
        """The minimum, the limit, the application and the time refuse; all look the same."""
        self.assertRefused(self.peer.send(MONEY, amount=60, minimum=61, receiveMax=100))
        self.assertRefused(self.peer.send(MONEY, amount=102))
        prepare = self.peer.prepare(MONEY, amount=60)
        self.assertRefused(self.peer.answer(self.peer.receive(prepare), False))
        expired = self.peer.receive(prepare)
        self.assertEqual(self.peer.receiver.judge(expired, NOW), Askable(((1, 60),), b""))
        self.assertEqual(self.peer.receiver.judge(expired, NOW + 30), Refused([]))
        self.assertRefused(self.peer.answer(expired, now=NOW + 30))
        self.assertEqual(
            self.peer.answer(self.peer.receive(self.peer.prepare()), False).code, "F99"
        )
        self.assertEqual(self.peer.send(MONEY, amount=101).code, "")

    def test_probe(self) -> None:
        """Who cannot be fulfilled is told what arrived."""
        prepare = self.peer.prepare(MONEY, amount=60, condition=bytes(32))
        incoming = self.peer.receive(prepare, 100)
        self.assertEqual(self.peer.receiver.judge(incoming, NOW), Refused([]))
        reply = self.peer.answer(incoming)
        self.assertRefused(reply)
        self.assertEqual(reply.packet.prepareAmount, 60)

    def test_closedStream(self) -> None:
        """Late money is refused with a word, and the connection stays, however long it comes."""
        self.peer.send(MONEY, amount=1, receiveMax=100)
        self.state.streams.drop(self.state.streams.get(1))
        for now in (NOW, NOW + 9, NOW + 18):
            reply = self.peer.send(MONEY, amount=1, now=now)
            self.assertEqual(reply.code, "F99")
            self.assertEqual(
                reply.frames[0],
                frames.StreamClose(1, ErrorCode.STREAM_STATE_ERROR, "the stream is closed"),
            )
        self.assertFalse(self.state.isClosed)

    def test_overLimit(self) -> None:
        """Nothing but too much money for 10 s is a violation; something else in between is not."""
        step = OVER_LIMIT_TIMEOUT / 2
        self.peer.send(MONEY, receiveMax=100)
        for index in range(6):
            if index % 2:
                self.peer.send()
            self.assertEqual(self.peer.send(MONEY, amount=200, now=NOW + index * step).code, "F99")
        now = NOW + 100
        for index in range(3):
            self.peer.send(MONEY, amount=200, now=now + index * step)
        self.assertFalse(self.state.isClosed)
        reply = self.peer.send(MONEY, amount=200, now=now + 3 * step)
        self.assertEqual(reply.code, "F99")
        self.assertClosed(reply, ErrorCode.FLOW_CONTROL_ERROR)

    def test_receipts(self) -> None:
        """Each fulfill of money signs the total; a refusal does not."""
        self.peer = HandPeer(
            SessionConfiguration(isServer=True, receiptNonce=bytes(16), receiptSecret=bytes(32))
        )
        for total in (30, 60):
            reply = self.peer.send(MONEY, frames.StreamClose(1, 1), amount=30, receiveMax=100)
            [frame] = reply.only(frames.StreamReceipt)
            receipt = verifyReceipt(frame.receipt, bytes(32))  # type: ignore[union-attr]
            self.assertEqual(receipt and receipt.totalReceived, total)
            self.peer.state.streams.get(1).isEnded = False
            self.peer.state.streams.get(1).refusesMoney = False
        self.assertEqual(self.peer.send(MONEY, amount=90).only(frames.StreamReceipt), [])
        self.assertEqual(self.peer.send(MONEY).only(frames.StreamReceipt), [])


class DataTests(ReceiverCase):
    """Data is kept with a fulfill."""

    def test_accepted(self) -> None:
        """What is new is reported once it is contiguous; what waits is charged to the budget."""
        streams = self.state.streams
        self.assertEqual(self.peer.send(StreamData(1, 2, b"cd")).code, "")
        self.assertEqual(self.peer.events()[1:], [events.StreamOpened(1)])
        reply = self.peer.send(StreamData(1, 0, b"ab"))
        self.assertEqual(self.peer.events(), [events.DataArrived(1)])
        self.assertEqual(streams.get(1).data.take(9), b"abcd")
        self.assertEqual((streams.budget.used, streams.receiveWindow.received), (4, 4))
        self.assertEqual(reply.frames[1], frames.StreamMaxData(1, 1 << 20))

    def test_tooMuch(self) -> None:
        """Data over the limit of a stream closes, and is not taken."""
        reply = self.peer.send(StreamData(1, 1 << 20, b"x"))
        self.assertEqual(reply.code, "F99")
        self.assertClosed(reply, ErrorCode.FLOW_CONTROL_ERROR)

    def test_tooMuchInAll(self) -> None:
        """Data over the limit of the connection closes."""
        self.peer = HandPeer(SessionConfiguration(isServer=True, connectionWindow=100000))
        self.state = self.peer.state
        self.assertEqual(self.peer.send(StreamData(1, 99999, b"x")).code, "")
        reply = self.peer.send(StreamData(3, 0, b"x"))
        self.assertClosed(reply, ErrorCode.FLOW_CONTROL_ERROR)

    def test_budget(self) -> None:
        """A server that is full refuses, takes nothing, and stays."""
        self.peer = HandPeer(budget=10)
        reply = self.peer.send(MONEY, StreamData(1, 0, bytes(11)), amount=5, receiveMax=100)
        self.assertEqual((reply.code, self.peer.state.isClosed), ("F99", False))
        self.assertEqual(self.peer.state.streams.get(1).moneyIn.totalReceived, 0)

    def test_closedStream(self) -> None:
        """Late data of a stream that is closed or ended is fulfilled and not kept."""
        self.peer.send(StreamData(1, 0, b"ab"), StreamData(3, 0, b""))
        self.state.streams.drop(self.state.streams.get(1))
        self.state.streams.get(3).isEnded = True
        self.state.streams.get(3).refusesMoney = True
        self.peer.events()
        receiveWindow = self.state.streams.receiveWindow
        before = receiveWindow.limit
        reply = self.peer.send(StreamData(1, 0, b"ab"), StreamData(3, 0, b"ab"))
        self.assertEqual((reply.code, self.peer.events()), ("", []))
        self.assertEqual(self.state.streams.budget.used, 0)
        self.assertEqual(receiveWindow.limit - before, 4, "what nobody keeps is credit again")


class LongAnswerTests(ReceiverCase):
    """What a peer asks makes no answer that cannot be written, after its money was credited."""

    def test_addresses(self) -> None:
        """However often an address is told, the asset is said once."""
        configuration = SessionConfiguration(
            isServer=True, sourceAssetCode="X" * 100, sourceAssetScale=9
        )
        self.peer = HandPeer(configuration)
        address = frames.ConnectionNewAddress("")
        reply = self.peer.send(*[address] * 7000, MONEY, amount=100, receiveMax=1000)
        self.assertEqual(reply.code, "")
        self.assertEqual(len(reply.only(frames.ConnectionAssetDetails)), 1)
        self.assertEqual(self.peer.state.streams.get(1).moneyIn.totalReceived, 100)

    def test_lateMoney(self) -> None:
        """However often a closed stream is named, its close is said once."""
        self.peer.send(MONEY)
        self.state.streams.drop(self.state.streams.get(1))
        reply = self.peer.send(*[MONEY] * 5000, amount=100)
        self.assertEqual(reply.code, "F99")
        self.assertEqual(len(reply.only(frames.StreamClose)), 1)

    def test_manyStreams(self) -> None:
        """Of many streams the limits are said as far as there is room, and all are credited."""
        self.peer = HandPeer(SessionConfiguration(isServer=True, maximumStreamID=1 << 20))
        count = 3000
        money = [StreamMoney(2 * index + 1, 1) for index in range(count)]
        reply = self.peer.send(*money, amount=count * 5, receiveMax=1 << 40)
        self.assertEqual(reply.code, "")
        streams = self.peer.state.streams.open.values()
        self.assertEqual([stream.moneyIn.totalReceived for stream in streams], [5] * count)
        self.assertIn(len(reply.only(frames.StreamMaxMoney)), range(500, count))


class RestartTests(ReceiverCase):
    """What starts another connection under the secret of one that is over."""

    def restartsConnection(
        self, *said: frames.Frame, sequence: int = 1, amount: int = 0, kind: int = 12
    ) -> bool:
        """Whether such a packet does."""
        plain = encodePacket(sequence, kind, 0, said)
        prepare = self.peer.prepareOf(plain, amount)
        prepare.data = self.peer.keys.seal(plain, bytes(11) + b"n")
        return self.peer.receiver.restartsConnection(prepare)

    def test_restartsConnection(self) -> None:
        """A number that begins again with an address; money after the peer's own close."""
        address = frames.ConnectionNewAddress("test.client")
        self.assertTrue(self.restartsConnection(address))
        self.assertTrue(self.restartsConnection(address, sequence=16))
        self.assertFalse(self.restartsConnection(address, sequence=17))
        self.assertFalse(self.restartsConnection(address, kind=FULFILL))
        self.assertFalse(self.restartsConnection())
        self.peer.send(address)
        self.state.end(None)
        self.assertTrue(self.restartsConnection(MONEY, sequence=99, amount=5))
        self.assertFalse(self.restartsConnection(MONEY, sequence=99, amount=5, kind=FULFILL))

    def test_isNot(self) -> None:
        """Money after we closed, other octets, broken frames, and the first packet once more."""
        address = frames.ConnectionNewAddress("test.client")
        first = self.peer.prepare(address)
        self.peer.receive(first)
        self.assertFalse(self.peer.receiver.restartsConnection(first))
        self.state.isDraining = True
        self.state.end(None)
        self.assertFalse(self.restartsConnection(MONEY, sequence=99, amount=5))
        broken = self.peer.prepareOf(b"\1\x0c\1\5\1\0\1\1\x11\1\1")
        broken.data = self.peer.keys.seal(b"\1\x0c\1\5\1\0\1\1\x11\1\1", bytes(11) + b"x")
        self.assertFalse(self.peer.receiver.restartsConnection(broken))
        broken.data = b"junk" * 20
        self.assertFalse(self.peer.receiver.restartsConnection(broken))


class ControlFrameTests(ReceiverCase):
    """Frames that are neither, and the ends of things."""

    def test_violations(self) -> None:
        """A packet that breaks the protocol is refused and closes the connection."""
        for frame, code in (
            (StreamMoney(2, 1), ErrorCode.PROTOCOL_VIOLATION),
            (StreamData(0, 0, b""), ErrorCode.PROTOCOL_VIOLATION),
            (frames.StreamMaxMoney(21, 1, 1), ErrorCode.STREAM_ID_ERROR),
            (frames.StreamMaxData(23, 1), ErrorCode.STREAM_ID_ERROR),
            (frames.ConnectionNewAddress("t st"), ErrorCode.FRAME_FORMAT_ERROR),
        ):
            self.setUp()
            try:
                reply = self.peer.send(frame)
            except ValueError:
                self.fail(f"{frame} cannot be written")
            self.assertEqual(reply.code, "F99")
            self.assertClosed(reply, code)

    def test_assetConflict(self) -> None:
        self.assertEqual(self.peer.send(frames.ConnectionAssetDetails("EUR", 2)).code, "")
        reply = self.peer.send(frames.ConnectionAssetDetails("EUR", 3))
        self.assertClosed(reply, ErrorCode.PROTOCOL_VIOLATION)
        [event] = [e for e in self.peer.events() if isinstance(e, events.ConnectionClosed)]
        self.assertIsInstance(event.error, PeerError)

    def test_closeComesLast(self) -> None:
        """What is in the same packet as a close came before it, wherever the close stands."""
        reply = self.peer.send(
            frames.StreamClose(1, 1), MONEY, StreamData(1, 0, b"ab"), amount=5, receiveMax=100
        )
        self.assertEqual((reply.code, self.received()), ("", 5))
        self.assertTrue(self.state.streams.get(1).isEnded)
        reply = self.peer.send(StreamData(3, 0, b"ab"), frames.StreamClose(3, 1))
        self.assertEqual(reply.code, "")
        self.assertEqual(self.peer.events()[-2:], [events.DataArrived(3), events.StreamEnded(3)])

    def test_closed(self) -> None:
        """A closed connection fulfills what is nothing new, and always says that it is closed."""
        self.peer.send(StreamData(1, 0, b"ab"), receiveMax=100)
        self.assertClosed(self.peer.send(frames.ConnectionClose(1)), ErrorCode.NO_ERROR)
        self.peer.events()
        for sent, amount, code in (
            ((), 0, ""),
            ((StreamData(1, 0, b"ab"),), 0, ""),
            ((StreamData(1, 2, b"c"),), 0, "F99"),
            ((MONEY,), 5, "F99"),
            ((StreamMoney(2, 1),), 0, ""),
        ):
            reply = self.peer.send(*sent, amount=amount)
            self.assertEqual(reply.code, code)
            self.assertClosed(reply, ErrorCode.NO_ERROR)
        incoming = self.peer.receive(self.peer.prepare(MONEY, amount=5))
        self.assertEqual(self.peer.receiver.judge(incoming, NOW), Refused([]))
        self.assertEqual(self.peer.events(), [])

    def test_draining(self) -> None:
        """While the connection closes, a new stream is closed at once; nobody hears of it."""
        self.peer.send()
        self.peer.events()
        self.state.isLeaving = True
        reply = self.peer.send(MONEY, amount=5)
        self.assertEqual(reply.code, "F99")
        [first, *_] = reply.only(frames.StreamClose)
        self.assertEqual(first.errorCode, ErrorCode.STREAM_STATE_ERROR)  # type: ignore[union-attr]
        self.assertEqual(self.peer.events(), [])
        self.assertEqual(self.state.streams.open, {})

    def test_closedID(self) -> None:
        """A stream that is closed is not opened again."""
        self.peer.send(frames.StreamMaxMoney(1, 5, 0))
        self.state.streams.drop(self.state.streams.get(1))
        self.peer.events()
        self.assertEqual(self.peer.send(frames.StreamMaxMoney(1, 5, 0)).code, "")
        self.assertEqual((self.peer.events(), self.state.streams.open), ([], {}))


def incomingOf(*frames: StreamMoney | StreamData, amount: int = 0) -> Incoming:
    """A packet that arrived with these frames."""
    return Incoming(
        Prepare(amount, b"", b"", "", b""),
        None,
        [frame for frame in frames if isinstance(frame, StreamMoney)],
        [frame for frame in frames if isinstance(frame, StreamData)],
    )


class StateCase(SynchronousTestCase):
    """A server's state with streams 1, 3 and 5."""

    def setUp(self) -> None:
        configuration = SessionConfiguration(
            isServer=True, streamWindow=20000, connectionWindow=70000
        )
        self.state = SessionState(configuration, ByteBudget(60000))
        self.streams: dict[int, SessionStream] = {}
        for streamID in (5, 1, 3):
            stream = self.state.streams.accept(streamID)
            assert stream is not None
            stream.moneyIn.receiveMax = 100
            self.streams[streamID] = stream


class SplitAmountTests(StateCase):
    """Who gets how much."""

    def split(self, amount: int, *shares: tuple[int, int]) -> dict[int, int] | None:
        frames = [StreamMoney(*share) for share in shares]
        parts = splitAmount(self.state, incomingOf(*frames, amount=amount))
        return None if parts is None else {stream.streamID: part for stream, part in parts}

    def test_one(self) -> None:
        """A single stream gets all, up to 1 % of what remains above its limit."""
        self.assertEqual(self.split(101, (1, 1)), {1: 101})
        self.assertIsNone(self.split(102, (1, 1)))
        self.assertIsNone(self.split(5, (7, 1)))
        self.streams[1].isEnded = self.streams[1].refusesMoney = True
        self.assertIsNone(self.split(5, (1, 1)))

    def test_nobody(self) -> None:
        """Money that no frame gives to anyone is refused; no money needs nobody."""
        self.assertIsNone(self.split(5))
        self.assertIsNone(self.split(5, (1, 0)))
        self.assertIsNone(self.split(5, (1, 0), (3, 0)))
        self.assertEqual(self.split(0, (1, 0), (3, 0)), {})

    def test_remainder(self) -> None:
        """What rounding leaves goes to the lowest stream below its limit, named or not."""
        self.assertEqual(self.split(11, (5, 1), (3, 1)), {5: 5, 3: 5, 1: 1})
        self.assertEqual(self.split(11, (1, 2), (3, 2)), {1: 6, 3: 5})
        self.streams[1].isEnded = self.streams[1].refusesMoney = True
        self.assertEqual(self.split(11, (5, 1), (3, 1)), {5: 5, 3: 6})
        self.streams[3].moneyIn.receiveMax = 5
        self.assertEqual(self.split(11, (5, 1), (3, 1)), {5: 6, 3: 5})
        self.streams[5].moneyIn.receiveMax = 5
        self.assertIsNone(self.split(11, (5, 1), (3, 1)))

    def test_parts(self) -> None:
        """One part that is not taken refuses all; a part of nothing needs no stream."""
        self.assertEqual(self.split(10, (1, 1), (7, 0)), {1: 10})
        self.assertIsNone(self.split(10, (1, 1), (7, 1)))
        self.streams[3].moneyIn.receiveMax = 2
        self.assertIsNone(self.split(10, (1, 1), (3, 1)))
        self.streams[3].isEnded = self.streams[3].refusesMoney = True
        self.assertIsNone(self.split(10, (1, 1), (3, 1)))
        self.assertEqual(self.split(10, (1, 1), (1, 4)), {1: 10})

    @forAll(
        st.integers(0, 400),
        st.lists(st.tuples(st.sampled_from([1, 3, 5]), st.integers(0, 7)), min_size=1, max_size=5),
    )
    def test_allOrNothing(self, amount: int, shares: list[tuple[int, int]]) -> None:
        """The parts are the whole amount, and none exceeds its limit and the tolerance."""
        self.setUp()
        parts = self.split(amount, *shares)
        if parts is None:
            total = sum(share for _, share in shares)
            self.assertTrue(total == 0 or amount > 100)
        else:
            self.assertEqual(sum(parts.values()), amount)
            self.assertTrue(all(part <= 101 for part in parts.values()))


class TakesDataTests(StateCase):
    """Whether there is room for data."""

    def takes(self, *frames: StreamData) -> bool:
        return takesData(self.state, incomingOf(*frames))

    def assertExceeds(self, *frames: StreamData) -> None:
        error = self.assertRaises(PeerError, self.takes, *frames)
        self.assertEqual(error.code, ErrorCode.FLOW_CONTROL_ERROR)

    def test_stream(self) -> None:
        """A stream takes its window and not an octet more."""
        self.assertTrue(self.takes(StreamData(1, 19999, b"x")))
        self.assertExceeds(StreamData(1, 20000, b"x"))
        self.streams[1].isEnded = self.streams[1].refusesMoney = True
        self.assertTrue(self.takes(StreamData(1, 20000, b"x"), StreamData(9, 1 << 50, b"x")))

    def test_connection(self) -> None:
        """All streams together take the connection's window; what overlaps counts once."""
        self.state.streams.receiveWindow.received = 69990
        frames = [StreamData(1, 0, b"12345"), StreamData(1, 2, b"345"), StreamData(3, 0, b"12345")]
        self.assertTrue(self.takes(*frames))
        self.assertExceeds(*frames, StreamData(5, 0, b"1"))

    def test_untold(self) -> None:
        """However small the windows are, what a peer assumes at first is no violation."""
        configuration = SessionConfiguration(isServer=True, streamWindow=1, connectionWindow=1)
        self.state = SessionState(configuration, ByteBudget(1 << 20))
        self.state.streams.accept(1)
        self.assertTrue(self.takes(StreamData(1, 0, bytes(1 << 14))))
        self.assertExceeds(StreamData(1, 0, bytes((1 << 14) + 1)))
        self.state.streams.receiveWindow.received = 1 << 16
        self.assertExceeds(StreamData(1, 0, b"x"))

    def test_budget(self) -> None:
        """A budget that others have used up refuses, and it is nobody's fault."""
        self.state.streams.budget.used = 59990
        self.assertTrue(self.takes(StreamData(1, 0, bytes(10))))
        self.assertFalse(self.takes(StreamData(1, 0, bytes(5)), StreamData(3, 0, bytes(6))))

    def test_crowded(self) -> None:
        """With too many pieces before gaps, only what comes next is kept."""
        data = self.streams[1].data
        for index in range(MAX_SEGMENTS):
            data.receive(2 * index + 1, b"x")
        self.assertFalse(self.takes(StreamData(1, 10000, b"x")))
        self.assertTrue(self.takes(StreamData(1, 0, b"x")))


class LateTests(StateCase):
    """What comes for streams that are closed."""

    def test_isOldData(self) -> None:
        """Old is what was taken to the last octet, or was for a stream that is forgotten."""
        self.streams[1].data.receive(0, b"1234")
        old = StreamData(1, 2, b"34")
        self.assertTrue(isOldData(self.state, incomingOf()))
        self.assertTrue(isOldData(self.state, incomingOf(old)))
        self.assertFalse(isOldData(self.state, incomingOf(old, StreamData(1, 2, b"345"))))
        self.assertFalse(isOldData(self.state, incomingOf(StreamData(7, 0, b"1"))))
        self.state.streams.drop(self.streams[3])
        self.assertTrue(isOldData(self.state, incomingOf(StreamData(3, 0, b"1"))))

    def test_lateFrames(self) -> None:
        """Money for a closed stream, or for one that its sender has closed, gets a word."""
        self.streams[3].isEnded = self.streams[3].refusesMoney = True
        self.state.streams.drop(self.streams[5])
        incoming = incomingOf(*[StreamMoney(i, 1) for i in (1, 3, 5)], amount=9)
        frames = lateFrames(self.state, incoming)
        code = ErrorCode.STREAM_STATE_ERROR
        message = "the stream is closed"
        self.assertEqual(frames, [StreamClose(3, code, message), StreamClose(5, code, message)])


class AnswerFramesTests(SynchronousTestCase):
    """What an answer says."""

    def setUp(self) -> None:
        self.start(SessionConfiguration(isServer=True, streamWindow=100, connectionWindow=200))

    def start(self, configuration: SessionConfiguration) -> None:
        self.state = SessionState(configuration, ByteBudget(1000))
        self.stream = self.state.streams.accept(1) or SessionStream(1, 1)
        self.stream.moneyIn.receiveMax = 10

    def limits(self, *heard: frames.Frame) -> list[frames.Frame]:
        """What is said to a packet with these frames."""
        result: list[frames.Frame | bytes] = []
        addLimits(self.state, StreamPacket(1, PREPARE, 0, list(heard)), result)
        return decodePacket(encodePacket(1, FULFILL, 0, result)).frames

    def test_limits(self) -> None:
        """The limits of a stream are said once, however often a packet names it."""
        connection = frames.ConnectionMaxData(200)
        touched = [frames.StreamMaxMoney(1, 10, 0), frames.StreamMaxData(1, 100), connection]
        self.assertEqual(self.limits(), [connection])
        self.assertEqual(self.limits(frames.StreamReceipt(1, b"")), [connection])
        self.assertEqual(self.limits(frames.StreamMoney(3, 1)), [connection])
        data = frames.StreamData(1, 0, b"")
        self.assertEqual(self.limits(frames.StreamMoney(1, 1), data), touched)

    def test_streamIDs(self) -> None:
        """The limit on ids is said unless it is the one that every peer assumes."""
        self.state.streams.maxStreamID = 22
        self.assertEqual(self.limits()[1:], [frames.ConnectionMaxStreamID(22)])

    def test_noStreams(self) -> None:
        """A side that takes no streams says so."""
        self.state.streams.maxStreamID = 0
        self.assertIn(frames.ConnectionMaxStreamID(0), self.limits())

    def test_asset(self) -> None:
        """Who tells its address is told our asset, if there is one to tell."""
        address = frames.ConnectionNewAddress("test.peer")
        self.assertEqual(len(self.limits(address)), 1)
        self.start(SessionConfiguration(isServer=True, sourceAssetCode="EUR", sourceAssetScale=2))
        self.assertEqual(self.limits(address)[0], frames.ConnectionAssetDetails("EUR", 2))

    def test_closes(self) -> None:
        """Who cannot be reached is told in answers, again and again while there is a stream."""
        state, stream = self.state, self.stream
        self.limits(frames.StreamMoney(1, 1))
        stream.advance("close")
        state.settleStream(stream)
        self.assertEqual(stream.state, CLOSING)
        close = frames.StreamClose(1, ErrorCode.NO_ERROR)
        for _ in range(2):
            self.assertIn(close, self.limits())
            self.assertEqual(stream.state, CLOSED)
        stream.isEnded = True
        self.assertIn(close, self.limits(frames.StreamMaxData(1, 0)))
        self.assertFalse(state.streams.open)
        self.assertNotIn(close, self.limits(frames.StreamMaxData(1, 0)))

    def test_closesOfReachable(self) -> None:
        """Who can be reached is told by packets, which are acknowledged."""
        self.state.destination = "test.peer"
        self.state.abortStream(self.stream, None)
        self.state.controlFrames.add(0x10, 1)
        self.state.controlFrames.add(0x12, 1)
        self.assertEqual(len(self.limits(frames.StreamMoney(1, 1))), 3)
        self.state.destination = ""
        self.assertEqual(
            self.limits(),
            [
                frames.StreamClose(1, ErrorCode.NO_ERROR),
                frames.ConnectionMaxData(200),
                frames.ConnectionMaxStreamID(22),
            ],
        )

    def test_receipts(self) -> None:
        """Each stream that got money has a receipt, if its id fits into one."""
        secret = bytes(range(32))
        configuration = SessionConfiguration(
            isServer=True, receiptNonce=bytes(16), receiptSecret=secret
        )
        self.stream.moneyIn.credit(7)
        result: list[frames.Frame | bytes] = []
        addReceipts(configuration, [(self.stream, 7), (SessionStream(257, 1), 7)], result)
        [frame] = result
        assert isinstance(frame, frames.StreamReceipt)
        self.assertEqual(verifyReceipt(frame.receipt, secret), Receipt(bytes(16), 1, 7))
