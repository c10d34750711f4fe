"""Conformance: a receiver that keeps nothing of its connections (RFC 29 and RFC 39)."""

from __future__ import annotations

from base64 import b64decode

from twisted.internet.defer import Deferred
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txilpstream.crypto.keys import SessionKeys, conditionOf
from txilpstream.crypto.receipts import Receipt, verifyReceipt
from txilpstream.errors import ErrorCode
from txilpstream.interfaces import ITotals
from txilpstream.ledger.memory import MemoryTotals
from txilpstream.test.support.handpeer import Reply
from txilpstream.transport.stateless import StatelessReceiver
from txilpstream.transport.test.test_stateless import (
    MONEY,
    NONCE,
    RECEIPT_SECRET,
    SECRET,
    UNEXPECTED,
    ReceiverCase,
)
from txilpstream.wire.frames import (
    ConnectionClose,
    StreamClose,
    StreamData,
    StreamMoney,
    StreamReceipt,
)
from txilpstream.wire.ilp import decodeReply, encodePrepare, encodeTimestamp
from txilpstream.wire.packet import FULFILL, PREPARE, REJECT, decodePacket, encodePacket


class StatelessTestCase(ReceiverCase):
    """A receiver, and packets whose octets are written by hand."""

    def setUp(self) -> None:
        """It takes all money."""
        super().setUp()
        self.receive()

    @property
    def keys(self) -> SessionKeys:
        """Those of the credentials."""
        return SessionKeys(self.credentials.sharedSecret)

    def seal(self, plain: bytes, nonce: int = 0) -> bytes:
        """An envelope with these octets."""
        return self.keys.seal(plain, nonce.to_bytes(12, "big"))

    def giveData(self, data: bytes, amount: int = 5) -> bytes:
        """What is answered to a Prepare with this data."""
        packet = encodePrepare(
            amount,
            encodeTimestamp(self.clock.seconds() + 30),
            conditionOf(self.keys.fulfillment(data)),
            self.credentials.destinationAddress,
            data,
        )
        return self.successResultOf(self.ask(packet))

    def give(self, plain: bytes, amount: int = 5, nonce: int = 0) -> Reply:
        """The same for octets in an envelope, opened."""
        return self.opened(self.giveData(self.seal(plain, nonce), amount))

    def assertTaken(self, amount: int, streamID: int = 1) -> None:
        """So much was credited."""
        self.assertEqual(self.totals.total(self.connectionID, streamID), amount)

    def assertUnexpected(self, data: bytes) -> None:
        """This data gets F06 without a word, and nobody hears of it."""
        self.assertEqual(self.giveData(data), UNEXPECTED)
        self.assertEqual(self.requests, [])
        self.assertTaken(0)


class PacketTests(StatelessTestCase):
    """What comes, and what it is worth."""

    def test_S6_statelessMinimum(self) -> None:
        """Less than the sender demands is not fulfilled; as much is."""
        self.assertRefused(self.send(MONEY, amount=9, minimum=10))
        self.assertRefused(self.send(minimum=1))
        self.assertTaken(0)
        self.assertEqual(self.send(MONEY, amount=10, minimum=10).code, "")
        self.assertTaken(10)

    def test_S7_statelessAllOrNothing(self) -> None:
        """One frame that is not accepted has the packet rejected, with all that is beside it."""
        reply = self.send(MONEY, StreamData(3, 0, b"x"), amount=5)
        message = "no data is taken here"
        self.assertRefused(reply, StreamClose(3, ErrorCode.APPLICATION_ERROR, message))
        for streamID, code in ((2, ErrorCode.PROTOCOL_VIOLATION), (257, ErrorCode.STREAM_ID_ERROR)):
            for amount in (5, 0):
                reply = self.send(MONEY, StreamMoney(streamID, 1), amount=amount)
                [close] = reply.only(ConnectionClose)
                assert isinstance(close, ConnectionClose)
                self.assertEqual((reply.code, close.errorCode), ("F99", code))
        self.assertEqual(self.requests, [])
        self.assertTaken(0)

    def test_S13_statelessUndecryptable(self) -> None:
        """What does not decrypt gets F06: a wrong key, changed octets, too few, none."""
        plain = encodePacket(1, PREPARE, 0, [MONEY])
        good = self.seal(plain)
        foreign = SessionKeys(bytes(32)).seal(plain, bytes(12))
        changed = good[:-1] + bytes([good[-1] ^ 1])
        for data in (foreign, changed, good[:27], b"", bytes([good[0] ^ 1]) + good[1:]):
            self.assertUnexpected(data)
        self.assertNotEqual(self.giveData(good), UNEXPECTED)
        self.assertTaken(5)

    def test_S35_statelessUnknownCipher(self) -> None:
        """Another version stands for another cipher: F06."""
        good = encodePacket(1, PREPARE, 0, [MONEY])
        for version in (0, 2, 200):
            self.assertUnexpected(self.seal(bytes([version]) + good[1:]))

    def test_S36_statelessNonces(self) -> None:
        """No IV serves twice in answers, whatever they say."""
        self.successResultOf(self.receiver.stop())
        self.receive(lambda: len(self.requests) % 2 == 1)
        ivs = []
        for index in range(60):
            amount, frames = ((5, [MONEY]), (0, []), (5, []))[index % 3]
            plain = encodePacket(index, PREPARE, 0, frames)
            ivs.append(decodeReply(self.giveData(self.seal(plain, index), amount)).data[:12])
        self.assertEqual(len(self.requests), 20)
        self.assertTaken(50)
        self.assertEqual(len(set(ivs)), 60)

    def test_S41_statelessPacketType(self) -> None:
        """A Prepare whose envelope says Fulfill or Reject is discarded: F06."""
        for kind in (FULFILL, REJECT):
            self.assertUnexpected(self.seal(encodePacket(1, kind, 0, [MONEY])))

    def test_S42_statelessSequence(self) -> None:
        """An answer has the number of its Prepare, whatever comes of it and in whatever order."""
        for number in (1 << 40, 0, 5, 5, 3):
            for amount, frames, code in ((5, [MONEY], ""), (5, [], "F99"), (0, [], "")):
                plain = encodePacket(number, PREPARE, 0, frames)
                reply = self.give(plain, amount, number + len(frames))
                kind = REJECT if code else FULFILL
                self.assertEqual((reply.code, reply.packet.packetType), (code, kind))
                self.assertEqual(reply.packet.sequence, number)

    def test_S44_statelessJunk(self) -> None:
        """Octets after the frames are ignored, whatever they are."""
        plain = encodePacket(7, PREPARE, 3, [MONEY])
        for index, junk in enumerate((b"\0" * 500, b"\xff", b"\x11\x04\x01\x03\x01\x01")):
            self.assertEqual(self.give(plain + junk).code, "")
            self.assertTaken(5 * (index + 1))
        self.assertTaken(0, 3)

    def test_S45_S46_statelessPadding(self) -> None:
        """On request all answers have one size, and what fills them is zero."""
        self.successResultOf(self.receiver.stop())
        self.receive(padTo=900)
        for amount, frames in ((5, [MONEY]), (0, []), (5, [])):
            plain = encodePacket(7, PREPARE, 0, frames)
            reply = decodeReply(self.giveData(self.seal(plain), amount))
            answer = self.keys.open(reply.data)
            assert answer is not None
            found = decodePacket(answer)
            filled = encodePacket(7, found.packetType, found.prepareAmount, found.frames)
            self.assertEqual(answer, filled + bytes(900 - len(filled)))

    def test_S47_statelessUnknownFrames(self) -> None:
        """Frames of unknown type are passed over; those beside them count."""
        self.assertEqual(
            self.give(encodePacket(1, PREPARE, 0, [b"\x7f\x03abc", MONEY, b"\xfe\x00"])).code, ""
        )
        self.assertTaken(5)


class ReceiptTests(StatelessTestCase):
    """Receipts where nothing is kept but totals."""

    def setUp(self) -> None:
        """Credentials with receipts."""
        super().setUp()
        self.credentials = self.receiver.generateCredentials(
            receiptNonce=NONCE, receiptSecret=RECEIPT_SECRET
        )
        self.number = 0

    def receipts(self, *frames: StreamMoney, amount: int, minimum: int = 0) -> list[Receipt | None]:
        """What the receipts of an answer say."""
        self.number += 1
        iv = self.number.to_bytes(12, "big")
        reply = self.send(*frames, amount=amount, minimum=minimum, iv=iv)
        found = [f.receipt for f in reply.only(StreamReceipt) if isinstance(f, StreamReceipt)]
        self.assertEqual(bool(reply.code), minimum > amount)
        return [verifyReceipt(receipt, RECEIPT_SECRET) for receipt in found]

    def test_R9_statelessEveryFulfill(self) -> None:
        """Each fulfill of money has a receipt of each stream's total; a reject has none."""
        self.assertEqual(self.receipts(MONEY, amount=5), [Receipt(NONCE, 1, 5)])
        self.assertEqual(self.receipts(MONEY, amount=5, minimum=6), [])
        self.assertEqual(self.receipts(MONEY, amount=0), [])
        said = [StreamMoney(3, 1), StreamMoney(1, 3)]
        found = self.receipts(*said, amount=8)
        self.assertEqual(found, [Receipt(NONCE, 1, 11), Receipt(NONCE, 3, 2)])

    def test_R9_statelessLargeNumbers(self) -> None:
        """A stream whose id a receipt cannot hold gets its money, and no receipt."""
        self.successResultOf(self.receiver.stop())
        credentials = self.credentials
        self.receive(maximumStreamID=1000)
        self.credentials = credentials
        self.assertEqual(self.receipts(StreamMoney(255, 1), amount=5), [Receipt(NONCE, 255, 5)])
        self.assertEqual(self.receipts(StreamMoney(257, 1), amount=6), [])
        self.assertTaken(6, 257)

    def test_R13_R14_statelessInAddress(self) -> None:
        """Nonce and secret come in the address: another process signs with them, and counts on."""
        self.assertEqual(self.receipts(MONEY, amount=5), [Receipt(NONCE, 1, 5)])
        self.successResultOf(self.receiver.stop())
        other = StatelessReceiver(self.right, SECRET, self.totals)
        self.successResultOf(other.start())
        self.assertEqual(self.receipts(MONEY, amount=6), [Receipt(NONCE, 1, 11)])

    def test_R8_R15_statelessSecret(self) -> None:
        """The secret is encrypted in the address, and no answer has an octet of it."""
        text = self.credentials.destinationAddress.split(".")[-1]
        octets = b64decode(text + "=" * (-len(text) % 4), altchars=b"-_")
        for part in (RECEIPT_SECRET[:8], NONCE[:8]):
            self.assertNotIn(part, octets)
            self.assertNotIn(part, self.credentials.sharedSecret)
        for amount, minimum in ((5, 0), (5, 6), (0, 0)):
            plain = encodePacket(1, PREPARE, minimum, [MONEY])
            reply = decodeReply(self.giveData(self.seal(plain), amount))
            answer = self.keys.open(reply.data)
            assert answer is not None
            self.assertNotIn(RECEIPT_SECRET[:8], answer)


@implementer(ITotals)
class Far:
    """
    A store far away: what it is asked is done at once, and known when the test says so.

    @ivar totals: what counts.
    @ivar answers: those that wait, with what they will say.
    """

    def __init__(self) -> None:
        self.totals = MemoryTotals()
        self.answers: list[tuple[Deferred[int], int]] = []

    def credit(
        self, connectionID: str, streamID: int, amount: int, packetID: bytes
    ) -> Deferred[int]:
        """Count it."""
        total = self.totals.credit(connectionID, streamID, amount, packetID)
        self.answers.append((Deferred(), total))
        return self.answers[-1][0]

    def revoke(self, connectionID: str, streamID: int, packetID: bytes) -> None:
        """Take it back."""
        self.totals.revoke(connectionID, streamID, packetID)

    def tell(self, index: int) -> None:
        """Say what came of a credit."""
        deferred, total = self.answers[index]
        deferred.callback(total)


class FarStoreTests(ReceiverCase):
    """What is credited, but so slowly that its packet is refused, helps no other packet."""

    def paidBeside(self, amount: int, iv: bytes) -> tuple[Reply, int]:
        """
        Have 1000 units expire while they are credited, and another packet fulfilled meanwhile.

        @return: the answer to the other one, and the total in the end.
        """
        store = Far()
        verifyObject(ITotals, store)
        self.receive(store=store)
        self.credentials = self.receiver.generateCredentials(
            receiptNonce=NONCE, receiptSecret=RECEIPT_SECRET
        )
        late = self.ask(self.packet(MONEY, amount=1000, seconds=1))
        other = self.ask(self.packet(MONEY, amount=amount, iv=iv))
        if len(store.answers) > 1:
            store.tell(1)
        self.run_(2)
        self.assertRefused(self.opened(self.successResultOf(late)))
        store.tell(0)
        reply = self.opened(self.successResultOf(other))
        self.assertEqual(reply.code, "")
        return reply, store.totals.total(self.connectionID)

    def test_copyOfAnotherAmount(self) -> None:
        """A copy with another amount is worth what it brought, not what the other one said."""
        _, total = self.paidBeside(1, bytes(12))
        self.assertEqual(total, 1)

    def test_receiptOfRevoked(self) -> None:
        """No receipt proves money that is taken back."""
        reply, total = self.paidBeside(5, b"i" * 12)
        self.assertEqual(total, 5)
        [frame] = reply.only(StreamReceipt)
        assert isinstance(frame, StreamReceipt)
        self.assertEqual(verifyReceipt(frame.receipt, RECEIPT_SECRET), Receipt(NONCE, 1, 5))
