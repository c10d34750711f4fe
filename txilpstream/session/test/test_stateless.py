"""Tests of C{txilpstream.session.stateless}."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import U64_MAX
from txilpstream.crypto.keys import SessionKeys, conditionOf
from txilpstream.crypto.receipts import Receipt, verifyReceipt
from txilpstream.errors import ErrorCode, LocalError
from txilpstream.session.stateless import UNEXPECTED, StatelessPacket, StatelessTerms, recognise
from txilpstream.test.support.handpeer import NOW, SECRET, Reply
from txilpstream.test.support.strategies import forAll
from txilpstream.wire.frames import (
    ConnectionAssetDetails,
    ConnectionClose,
    ConnectionMaxStreamID,
    ConnectionNewAddress,
    Frame,
    StreamClose,
    StreamData,
    StreamMaxData,
    StreamMaxMoney,
    StreamMoney,
    StreamReceipt,
)
from txilpstream.wire.ilp import Fulfill, Prepare, decodeReply, encodeReject, encodeTimestamp
from txilpstream.wire.packet import FULFILL, PREPARE, REJECT, decodePacket, encodePacket

KEYS = SessionKeys(SECRET)
IV = bytes(12)
TERMS = StatelessTerms()


def sealed(
    plain: bytes, amount: int = 0, *, condition: bytes = b"", expiresIn: float = 30.0
) -> Prepare:
    """A Prepare with these octets inside, which can be fulfilled unless a condition is given."""
    data = KEYS.seal(plain, IV)
    return Prepare(
        amount,
        encodeTimestamp(NOW + expiresIn),
        condition or conditionOf(KEYS.fulfillment(data)),
        "test.server.token",
        data,
    )


def prepare(*frames: Frame, amount: int = 0, minimum: int = 0, **options: Any) -> Prepare:
    """A Prepare with these frames inside."""
    return sealed(encodePacket(7, PREPARE, minimum, frames), amount, **options)


def found(*frames: Frame, terms: StatelessTerms = TERMS, **options: Any) -> StatelessPacket:
    """A packet with these frames, recognised."""
    packet = recognise(prepare(*frames, **options), KEYS, terms)
    assert packet is not None
    return packet


def opened(octets: bytes) -> Reply:
    """An answer, opened."""
    reply = decodeReply(octets)
    plain = KEYS.open(reply.data)
    assert plain is not None, reply
    return Reply("" if isinstance(reply, Fulfill) else reply.code, decodePacket(plain))


class RecogniseTests(SynchronousTestCase):
    """What is the peer's."""

    def test_stranger(self) -> None:
        """All that is not the peer's gets the same octets."""
        good = encodePacket(1, PREPARE, 0, [])
        foreign = prepare()
        foreign.data = SessionKeys(bytes(32)).seal(good, IV)
        empty = prepare()
        empty.data = b""
        for strange in (
            foreign,
            empty,
            sealed(encodePacket(1, FULFILL, 0, [])),
            sealed(encodePacket(1, REJECT, 0, [])),
            sealed(b"\2" + good[1:]),
            sealed(b"garbage"),
            sealed(b"\1\x0e\1\1\1\0\1\5"),
        ):
            self.assertIsNone(recognise(strange, KEYS, TERMS))
        self.assertEqual(UNEXPECTED, encodeReject("F06", "", "Unexpected Payment"))

    def test_malformed(self) -> None:
        """The peer's own packet with a broken frame is refused with FrameFormatError."""
        packet = recognise(sealed(b"\1\x0c\1\5\1\0\1\1\x11\1\1"), KEYS, TERMS)
        assert packet is not None
        self.assertFalse(packet.mayBeTaken(NOW))
        reply = opened(packet.refuse(IV))
        self.assertEqual((reply.code, reply.packet.sequence), ("F99", 5))
        self.assertEqual(
            reply.frames, [ConnectionClose(ErrorCode.FRAME_FORMAT_ERROR, "a frame is not valid")]
        )

    @forAll(st.binary(max_size=80))
    def test_anyOctets(self, octets: bytes) -> None:
        """Any octets of the peer's are recognised or not; what is has both answers."""
        packet = recognise(sealed(b"\1\x0c\1\5\1\0" + octets, 10), KEYS, TERMS)
        assert packet is not None
        self.assertEqual(opened(packet.refuse(IV)).code, "F99")
        if packet.mayBeTaken(NOW):
            self.assertEqual(sum(part for _, part in packet.parts), 10)
            self.assertEqual(opened(packet.fulfill(IV)).code, "")


class TermsTests(SynchronousTestCase):
    """What an application may say."""

    def test_terms(self) -> None:
        """Those that are not valid are refused."""
        self.assertEqual(StatelessTerms(), StatelessTerms(255, False, 0))
        wrong: list[dict[str, Any]] = [
            {"maximumStreamID": 0},
            {"maximumStreamID": 2**64},
            {"padTo": -1},
            {"padTo": 31001},
        ]
        for options in wrong:
            self.assertRaises(LocalError, StatelessTerms, **options)


class TakenTests(SynchronousTestCase):
    """What may be fulfilled."""

    def test_money(self) -> None:
        """Money with a good condition, enough of it and in time."""
        packet = found(StreamMoney(1, 1), amount=60, minimum=60)
        self.assertTrue(packet.mayBeTaken(NOW))
        self.assertTrue(packet.mustAsk)
        self.assertEqual(packet.parts, ((1, 60),))
        reply = decodeReply(packet.fulfill(IV))
        assert isinstance(reply, Fulfill)
        self.assertEqual(conditionOf(reply.fulfillment), packet.prepare.executionCondition)
        stream = opened(packet.fulfill(IV)).packet
        self.assertEqual((stream.sequence, stream.packetType), (7, FULFILL))
        self.assertEqual((stream.prepareAmount, stream.frames), (60, []))

    def test_notTaken(self) -> None:
        """One of them is missing: refused with the amount that arrived, and nothing more."""
        money = StreamMoney(1, 1)
        for packet in (
            found(money, amount=60, minimum=61),
            found(money, amount=60, condition=bytes(32)),
            found(money, amount=60, expiresIn=0),
            found(amount=60),
            found(StreamMoney(1, 0), amount=60),
        ):
            self.assertFalse(packet.mayBeTaken(NOW))
            reply = opened(packet.refuse(IV))
            self.assertEqual((reply.code, reply.packet.packetType), ("F99", REJECT))
            self.assertEqual((reply.packet.sequence, reply.packet.prepareAmount), (7, 60))
            self.assertEqual(reply.frames, [])

    def test_nothing(self) -> None:
        """A packet without money is fulfilled, expired or not, and nobody is asked."""
        packet = found(StreamMoney(1, 1), expiresIn=-5)
        self.assertTrue(packet.mayBeTaken(NOW))
        self.assertFalse(packet.mustAsk)
        self.assertEqual(packet.parts, ())
        self.assertFalse(found(condition=bytes(32)).mayBeTaken(NOW))
        self.assertFalse(found(minimum=1).mayBeTaken(NOW))

    def test_S51_S52_shares(self) -> None:
        """S51, S52: parts are rounded down, and the remainder goes to the lowest stream."""
        for frames, amount, parts in (
            ([(5, 1), (3, 1), (9, 1)], 100, ((3, 34), (5, 33), (9, 33))),
            ([(1, 1), (3, 2)], 100, ((1, 34), (3, 66))),
            ([(3, 1), (3, 1), (5, 2)], 10, ((3, 5), (5, 5))),
            ([(3, 0), (5, 7)], 10, ((5, 10),)),
            ([(1, 1), (3, 1000)], 3, ((1, 1), (3, 2))),
            ([(255, U64_MAX), (1, U64_MAX)], U64_MAX, ((1, 2**63), (255, 2**63 - 1))),
        ):
            packet = found(*[StreamMoney(*each) for each in frames], amount=amount)
            self.assertEqual(packet.parts, parts)
            self.assertTrue(packet.mayBeTaken(NOW))

    @forAll(
        st.lists(
            st.tuples(st.integers(0, 9).map(lambda n: 2 * n + 1), st.integers(0, U64_MAX)),
            max_size=8,
        ),
        st.integers(1, U64_MAX),
    )
    def test_noUnitLost(self, frames: list[tuple[int, int]], amount: int) -> None:
        """All of the amount finds a stream, or nobody gets anything."""
        packet = found(*[StreamMoney(*each) for each in frames], amount=amount)
        credited = sum(part for _, part in packet.parts)
        self.assertEqual(credited, amount if any(share for _, share in frames) else 0)
        self.assertEqual(packet.mayBeTaken(NOW), credited == amount)

    def test_S25_parity(self) -> None:
        """S25: a stream that is not a client's to open closes with ProtocolViolation."""
        for frame in (
            StreamMoney(2, 1),
            StreamMoney(0, 1),
            StreamData(4, 0, b""),
            StreamMaxMoney(2, 1, 0),
            StreamMaxData(2, 1),
        ):
            packet = found(StreamMoney(1, 1), frame, amount=5)
            self.assertFalse(packet.mayBeTaken(NOW))
            (close,) = opened(packet.refuse(IV)).only(ConnectionClose)
            assert isinstance(close, ConnectionClose)
            self.assertEqual(close.errorCode, ErrorCode.PROTOCOL_VIOLATION)

    def test_streamLimit(self) -> None:
        """One above the limit closes with StreamIdError."""
        terms = StatelessTerms(maximumStreamID=9)
        self.assertTrue(found(StreamMoney(9, 1), amount=5, terms=terms).mayBeTaken(NOW))
        packet = found(StreamMoney(11, 1), amount=5, terms=terms)
        self.assertFalse(packet.mayBeTaken(NOW))
        self.assertEqual(
            opened(packet.refuse(IV)).frames,
            [ConnectionClose(ErrorCode.STREAM_ID_ERROR, "stream 11 is above 9")],
        )

    def test_data(self) -> None:
        """Data is not taken, and its streams are closed; unless it is wanted."""
        frames: list[Frame] = [StreamMoney(1, 1), StreamData(3, 0, b"ab"), StreamData(3, 2, b"c")]
        packet = found(*frames, amount=5)
        self.assertFalse(packet.mayBeTaken(NOW))
        closed = StreamClose(3, ErrorCode.APPLICATION_ERROR, "no data is taken here")
        self.assertEqual(opened(packet.refuse(IV)).frames, [closed])
        wanted = found(*frames[1:], terms=StatelessTerms(takesData=True))
        self.assertTrue(wanted.mayBeTaken(NOW))
        self.assertTrue(wanted.mustAsk)
        self.assertEqual(wanted.data, b"abc")
        self.assertEqual(opened(wanted.refuse(IV)).frames, [])
        self.assertTrue(found(StreamData(1, 0, b"")).mayBeTaken(NOW))

    def test_close(self) -> None:
        """A close is answered with one, and the money beside it was sent before it."""
        packet = found(StreamMoney(1, 1), ConnectionClose(ErrorCode.NO_ERROR), amount=5)
        self.assertTrue(packet.mayBeTaken(NOW))
        closed = [ConnectionClose(ErrorCode.NO_ERROR, "")]
        self.assertEqual(opened(packet.fulfill(IV)).frames, closed)
        self.assertEqual(opened(packet.refuse(IV)).frames, closed)

    def test_otherFrames(self) -> None:
        """Limits of the peer's, and frames about what is not kept here, change nothing."""
        packet = found(
            StreamMaxMoney(1, 5, 0),
            ConnectionMaxStreamID(4),
            StreamClose(1, 1),
            StreamMoney(1, 1),
            amount=5,
        )
        self.assertTrue(packet.mayBeTaken(NOW))
        self.assertEqual(opened(packet.fulfill(IV)).frames, [])


class AnswerTests(SynchronousTestCase):
    """What answers say."""

    def test_S20_asset(self) -> None:
        """S20: whoever tells its address is told the asset, and how many streams there may be."""
        for address in ("", "test.client"):
            packet = found(ConnectionNewAddress(address))
            self.assertEqual(packet.peerAddress, address)
            expected = [ConnectionAssetDetails("EUR", 2), ConnectionMaxStreamID(255)]
            self.assertEqual(opened(packet.fulfill(IV, asset=("EUR", 2))).frames, expected)
            self.assertEqual(opened(packet.refuse(IV, asset=("EUR", 2))).frames, expected)
            self.assertEqual(opened(packet.fulfill(IV)).frames, expected[1:])
        packet = found()
        self.assertIsNone(packet.peerAddress)
        self.assertEqual(opened(packet.fulfill(IV, asset=("EUR", 2))).frames, [])

    def test_refusal(self) -> None:
        """A reason stands on stream 1; a close with it is final."""
        packet = found(StreamMoney(3, 1), amount=5)
        self.assertEqual(
            opened(packet.refuse(IV, reason="later")).frames, [StreamData(1, 0, b"later")]
        )
        self.assertEqual(
            opened(packet.refuse(IV, reason="never", isFinal=True)).frames,
            [StreamData(1, 0, b"never"), ConnectionClose(ErrorCode.APPLICATION_ERROR, "never")],
        )
        self.assertEqual(
            opened(packet.refuse(IV, isFinal=True)).frames,
            [ConnectionClose(ErrorCode.APPLICATION_ERROR, "")],
        )

    def test_longReason(self) -> None:
        """A reason is cut, and one that UTF-8 cannot carry is no reason to fail."""
        packet = found(StreamMoney(1, 1), amount=5)
        data, close = opened(packet.refuse(IV, reason="\ud800" * 9000, isFinal=True)).frames
        assert isinstance(data, StreamData) and isinstance(close, ConnectionClose)
        self.assertEqual((data.data, close.errorMessage), (b"?" * 500, "?" * 200))

    def test_R9_receipts(self) -> None:
        """R9, R23: each stream that gets money has a receipt of its total, up to number 255."""
        terms = StatelessTerms(maximumStreamID=1000)
        money = [StreamMoney(number, 1) for number in (1, 255, 257)]
        packet = found(*money, amount=9, terms=terms)
        nonce = b"n" * 16
        receipts = packet.receipts({1: 103, 255: 3, 257: 3}, nonce, SECRET)
        reply = opened(packet.fulfill(IV, receipts=receipts))
        totals = {}
        for frame in reply.frames:
            assert isinstance(frame, StreamReceipt)
            totals[frame.streamID] = verifyReceipt(frame.receipt, SECRET)
        self.assertEqual(totals, {1: Receipt(nonce, 1, 103), 255: Receipt(nonce, 255, 3)})
        self.assertRaises(LocalError, packet.receipts, {1: -1, 255: 3, 257: 3}, nonce, SECRET)

    def test_S45_S46_padding(self) -> None:
        """S45, S46: answers are padded with zeros, so that their sizes tell nothing."""
        terms = StatelessTerms(padTo=400)
        packet = found(StreamMoney(1, 1), amount=5, terms=terms)
        for octets in (packet.fulfill(IV), packet.refuse(IV, reason="never", isFinal=True)):
            plain = KEYS.open(decodeReply(octets).data)
            assert plain is not None
            self.assertEqual(len(plain), 400)
            self.assertEqual(plain[-300:], bytes(300))

    def test_manyStreams(self) -> None:
        """An answer fits into a packet, however many streams are named."""
        terms = StatelessTerms(maximumStreamID=U64_MAX)
        frames = [StreamData(number, 0, b"x") for number in range(1, 4001, 2)]
        packet = found(*frames, terms=terms)
        self.assertEqual(opened(packet.refuse(IV)).code, "F99")
        self.assertLess(len(packet.refuse(IV)), 32767)

    def test_secrecy(self) -> None:
        """Keys are not shown."""
        self.assertNotIn("SessionKeys", repr(found()))
