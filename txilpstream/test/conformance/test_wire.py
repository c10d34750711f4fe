"""Conformance: versions, envelopes, numbers, frames and answers (RFC 29 sections 5.1, 5.2, 6)."""

from __future__ import annotations

import hmac
from dataclasses import replace
from hashlib import sha256

from txilpstream.amounts import U64_MAX, Ratio
from txilpstream.crypto.keys import ENVELOPE_OVERHEAD, SessionKeys, conditionOf
from txilpstream.errors import DecodeError
from txilpstream.session.events import ConnectionClosed, MoneySettled
from txilpstream.test.conformance.base import give, openPacket, sealed
from txilpstream.test.support.handpeer import NOW, SECRET, HandPeer
from txilpstream.test.support.sessions import Pair, limiting
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.wire import frames
from txilpstream.wire.frames import StreamData, StreamMoney, decodeFrames, encodeFrame
from txilpstream.wire.ilp import Fulfill, Prepare, Reject, decodeReply, encodeFulfill, encodeReject
from txilpstream.wire.packet import FULFILL, PREPARE, REJECT, decodePacket, encodePacket

MONEY = StreamMoney(1, 1)


def replyOf(peer: HandPeer, prepare: Prepare) -> Fulfill | Reject:
    """What the server of a peer by hand answers."""
    return decodeReply(peer.receiver.answer(peer.receive(prepare, 1000), True, NOW))


class PacketTests(VirtualTestCase):
    """Octets that come, and what they are worth."""

    def assertUnexpected(self, plain: bytes, amount: int = 5) -> None:
        """A Prepare with these octets gets F06 without a word, and changes nothing."""
        peer = HandPeer()
        reply = replyOf(peer, peer.prepareOf(plain, amount))
        assert isinstance(reply, Reject)
        self.assertEqual((reply.code, reply.data, reply.triggeredBy), ("F06", b"", ""))
        self.assertEqual((peer.state.streams.open, peer.events()), ({}, []))

    def test_S9_version(self) -> None:
        """Version 1 stands first in every packet and is the only one that is read."""
        packet = encodePacket(1, PREPARE, 0, [])
        self.assertEqual(packet[0], 1)
        for version in (0, 2, 255):
            self.assertRaises(DecodeError, decodePacket, bytes([version]) + packet[1:])

    def test_S13_undecryptable(self) -> None:
        """What does not decrypt gets F06: a wrong key, changed octets, too few, none."""
        peer = HandPeer()
        good = peer.prepare(MONEY, amount=5)
        foreign = SessionKeys(bytes(32)).seal(encodePacket(1, PREPARE, 0, [MONEY]), bytes(12))
        for data in (foreign, good.data[:-1] + b"?", good.data[:27], b"", b"?" + good.data[1:]):
            reply = replyOf(peer, replace(good, data=data))
            assert isinstance(reply, Reject)
            self.assertEqual((reply.code, reply.data), ("F06", b""))
        self.assertEqual(peer.events(), [])
        self.assertIsInstance(replyOf(peer, good), Fulfill)

    def test_S35_unknownCipher(self) -> None:
        """Another version stands for another cipher: F06."""
        good = encodePacket(1, PREPARE, 0, [MONEY])
        for version in (0, 2, 200):
            self.assertUnexpected(bytes([version]) + good[1:])

    def test_S36_nonces(self) -> None:
        """No IV serves twice, in the Prepares and replies of both ends together."""
        pair = Pair()
        pair.client.out = limiting(100)
        streamID = pair.pay(5000)
        pair.server.session.sendData(streamID, bytes(100_000))
        pair.run()
        ivs = [prepare.data[:12] for end in (pair.client, pair.server) for prepare in end.prepares]
        for end in (pair.client, pair.server):
            replies = [decodeReply(reply) for _, reply in end.replies]
            ivs += [reply.data[:12] for reply in replies if pair.keys.open(reply.data) is not None]
        self.assertGreater(len(ivs), 100)
        self.assertEqual(len(ivs), len(set(ivs)))

    def test_S38_largeNumbers(self) -> None:
        """Numbers of more than 64 bits are neither written nor read."""
        self.assertRaises(OverflowError, encodeFrame, frames.ConnectionMaxData(1 << 64))
        self.assertRaises(OverflowError, encodePacket, 1 << 64, PREPARE, 0, [])
        self.assertRaises(OverflowError, encodePacket, 1, PREPARE, 1 << 64, [])
        nine = b"\x09\x01" + bytes(8)
        for octets in (b"\x03\x0a" + nine, b"\x11\x0c\x01\x01" + nine):
            self.assertRaises(DecodeError, decodeFrames, octets, 0, 1)
        self.assertUnexpected(b"\x01\x0c" + nine + b"\x01\x00\x01\x00")

    def clamped(self, kind: int) -> frames.Frame:
        """A frame of this type whose second number has nine octets."""
        contents = b"\x01\x01\x09\x01" + bytes(8) + b"\x01\x07"
        [frame], _ = decodeFrames(bytes([kind, len(contents)]) + contents, 0, 1)
        return frame

    def test_S39_clampReceiveMax(self) -> None:
        """A receiveMax that is larger than 64 bits counts as the largest of 64 bits."""
        self.assertEqual(self.clamped(0x12), frames.StreamMaxMoney(1, U64_MAX, 7))

    def test_S40_clampSendMax(self) -> None:
        """So does a sendMax."""
        self.assertEqual(self.clamped(0x13), frames.StreamMoneyBlocked(1, U64_MAX, 7))

    def test_S41_packetTypeOfPrepare(self) -> None:
        """A Prepare whose envelope says Fulfill or Reject is discarded: F06, nothing is applied."""
        for kind in (FULFILL, REJECT):
            self.assertUnexpected(encodePacket(1, kind, 0, [MONEY, StreamData(1, 0, b"x")]))

    def test_S44_junk(self) -> None:
        """Octets after the frames are ignored, whatever they are."""
        packet = encodePacket(7, PREPARE, 3, [MONEY])
        for junk in (b"\0" * 500, b"\xff", b"\x11\x04\x01\x01\x01\x01"):
            self.assertEqual(decodePacket(packet + junk), decodePacket(packet))
            peer = HandPeer()
            reply = replyOf(peer, peer.prepareOf(packet + junk, 5))
            self.assertIsInstance(reply, Fulfill)
            self.assertEqual(peer.state.streams.get(1).moneyIn.totalReceived, 5)

    def test_S45_S46_muchToSay(self) -> None:
        """Sizes stay one where there are many streams, limits and a long address to be told."""
        for padTo, size, length in ((500, 500, 200), (1000, 4000, 400), (31000, 16000, 1000)):
            address = "test.".ljust(length, "x")
            pair = Pair({"padTo": padTo, "sourceAddress": address}, {"padTo": padTo})
            streamIDs = [pair.client.open(1 << 60) for _ in range(10)]
            for streamID in streamIDs:
                pair.client.session.sendData(streamID, b"\xff" * size)
            pair.run(20)
            self.assertEqual({len(data) for data in pair.server.data.values()}, {size})
            self.assertEqual(pair.server.session.peerAddress, address)
            sizes = {len(prepare.data) for prepare in pair.client.prepares}
            sizes |= {len(decodeReply(reply).data) for _, reply in pair.client.replies}
            self.assertEqual(sizes, {padTo + ENVELOPE_OVERHEAD})

    def test_S45_S46_padding(self) -> None:
        """On request all packets and replies have one size, and what fills them is zero."""
        pair = Pair({"padTo": 2000}, {"padTo": 2000})
        streamID = pair.pay(1000)
        pair.client.session.sendData(streamID, b"\xff" * 9000)
        pair.run(2)
        datas = [prepare.data for prepare in pair.client.prepares]
        datas += [decodeReply(reply).data for _, reply in pair.client.replies]
        self.assertGreater(len(datas), 8)
        for data in datas:
            plain = pair.keys.open(data)
            assert plain is not None
            self.assertEqual(len(plain), 2000)
            packet = decodePacket(plain)
            filled = encodePacket(
                packet.sequence, packet.packetType, packet.prepareAmount, packet.frames
            )
            self.assertEqual(plain, filled + bytes(2000 - len(filled)))

    def test_S47_unknownFrames(self) -> None:
        """Frames of unknown type are passed over; those beside them count."""
        peer = HandPeer()
        plain = encodePacket(1, PREPARE, 0, [b"\x7f\x03abc", MONEY, b"\xfe\x00"])
        self.assertIsInstance(replyOf(peer, peer.prepareOf(plain, 9)), Fulfill)
        self.assertEqual(peer.state.streams.get(1).moneyIn.totalReceived, 9)

    def test_S56_condition(self) -> None:
        """The condition is SHA-256 of an HMAC of the data under a key from the shared secret."""
        peer = HandPeer()
        prepare = peer.prepare(MONEY, amount=4)
        key = hmac.digest(SECRET, b"ilp_stream_fulfillment", "sha256")
        fulfillment = hmac.digest(key, prepare.data, "sha256")
        prepare.executionCondition = sha256(fulfillment).digest()
        reply = replyOf(peer, prepare)
        assert isinstance(reply, Fulfill)
        self.assertEqual(reply.fulfillment, fulfillment)
        prepare.executionCondition = bytes(32)
        self.assertNotIsInstance(replyOf(peer, prepare), Fulfill)
        pair = Pair()
        pair.pay(5)
        payments = [each for each in pair.client.prepares if each.amount]
        for each in payments:
            expected = conditionOf(SessionKeys(SECRET).fulfillment(each.data))
            self.assertEqual(each.executionCondition == expected, each is payments[-1])


class AnswerTests(VirtualTestCase):
    """Which answer belongs to which Prepare."""

    def test_S42_sameSequence(self) -> None:
        """A reply has the number of its Prepare, whatever comes of it."""
        pair = Pair()
        pair.pay(1000)
        for number in (0, 5, 77, 1 << 40):
            for amount in (0, 10):  # the second is refused: there is no stream for it
                prepare = sealed(
                    pair.keys,
                    encodePacket(number, PREPARE, 0, []),
                    now=pair.now,
                    amount=amount,
                    nonce=number + amount,
                )
                reply = decodeReply(pair.deliver(pair.server, prepare))
                packet = openPacket(pair.keys, reply.data)
                assert packet is not None
                self.assertEqual(packet.sequence, number)
                self.assertEqual(isinstance(reply, Reject), amount == 10)

    def answeredBy(self, kind: int, shift: int, code: str = "") -> Pair:
        """A payment whose answers hold packets of another type or number, and a close in them."""
        pair = Pair({"minimumRate": Ratio(1)})

        def back(answer: bytes) -> bytes | None:
            reply = decodeReply(answer)
            packet = openPacket(pair.keys, reply.data)
            if packet is None or not packet.prepareAmount:
                return None
            close = frames.ConnectionClose(8, "not meant for you")
            plain = encodePacket(packet.sequence + shift, kind, 999_999, [close])
            data = pair.keys.seal(plain, bytes(11) + b"n")
            if isinstance(reply, Fulfill):
                return encodeFulfill(reply.fulfillment, data)
            return encodeReject(reply.code, "", "", data)

        pair.client.back = back
        if code:
            pair.server.receiveMax = 0
        pair.pay(1000)
        return pair

    def assertDiscarded(self, pair: Pair, sent: int) -> None:
        """The close was not heard, and the amount not believed."""
        self.assertEqual(pair.client.seen(ConnectionClosed), [])
        settled = pair.client.seen(MoneySettled)
        self.assertEqual(sum(event.sourceAmount for event in settled), sent)
        self.assertTrue(all(event.deliveredClaimed < 999_999 for event in settled))

    def test_S41_packetTypeOfReply(self) -> None:
        """A reply that says it is another kind of packet is discarded; the money counts."""
        self.assertDiscarded(self.answeredBy(REJECT, 0), 1000)
        self.assertDiscarded(self.answeredBy(PREPARE, 0), 1000)
        self.assertDiscarded(self.answeredBy(FULFILL, 0, "F99"), 0)

    def test_S43_sequenceOfReply(self) -> None:
        """So is one that bears another number."""
        self.assertDiscarded(self.answeredBy(FULFILL, 1), 1000)
        self.assertDiscarded(self.answeredBy(REJECT, 1, "F99"), 0)

    def test_S7_refusedIsNotTaken(self) -> None:
        """A reject says that no frame of money or data was taken; a later packet brings them."""
        pair = Pair()
        pair.server.receiveMax = 100
        give(pair, frames.StreamMaxData(1, 1 << 14))
        said: list[frames.Frame] = [StreamMoney(1, 1), StreamData(1, 0, b"paid for")]
        self.assertEqual(give(pair, *said, amount=500).code, "F99")
        stream = pair.server.session.stream(1)
        self.assertEqual((stream.moneyIn.totalReceived, pair.server.data), (0, {}))
        self.assertEqual(give(pair, *said, amount=100).code, "")
        self.assertEqual((stream.moneyIn.totalReceived, pair.server.data[1]), (100, b"paid for"))

    def test_S7_refusedIsSentAgain(self) -> None:
        """What the peer refused is offered again: the money, and the same bytes."""
        pair = Pair()
        pair.server.isAccepting = lambda incoming: False
        streamID = pair.client.open()
        pair.client.session.sendMoney(streamID, 50)
        pair.client.session.sendData(streamID, b"bytes")
        pair.run(1)
        self.assertEqual((pair.server.credited, pair.server.data), (0, {}))
        pair.server.isAccepting = lambda incoming: True
        pair.run(30)
        self.assertEqual((pair.server.credited, pair.server.data[streamID]), (50, b"bytes"))
