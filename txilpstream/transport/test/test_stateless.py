"""Tests for C{txilpstream.transport.stateless}."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txilpstream.crypto.credentials import Credentials
from txilpstream.crypto.keys import SessionKeys, conditionOf
from txilpstream.crypto.receipts import Receipt, ReceiptVerifier, verifyReceipt
from txilpstream.crypto.tokens import TokenFormats
from txilpstream.errors import LocalError
from txilpstream.interfaces import ITotals, PaymentError, PaymentRequest, Refusal
from txilpstream.ledger.memory import MemoryTotals
from txilpstream.payments.payment import pay
from txilpstream.payments.quote import quote
from txilpstream.plugins.memory import memoryPair
from txilpstream.test.support.connected import ConnectedTestCase
from txilpstream.test.support.documents import MISSING, blocksOf, execute
from txilpstream.test.support.handpeer import Reply
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.transport.account import Account
from txilpstream.transport.stateless import (
    LONGEST_WAIT,
    StatelessReceiver,
    StatelessRequest,
    Undecided,
)
from txilpstream.wire.frames import (
    ConnectionAssetDetails,
    ConnectionClose,
    ConnectionNewAddress,
    Frame,
    StreamData,
    StreamMoney,
    StreamReceipt,
)
from txilpstream.wire.ilp import (
    Fulfill,
    decodePrepare,
    decodeReply,
    encodePrepare,
    encodeReject,
    encodeTimestamp,
)
from txilpstream.wire.packet import PREPARE, decodePacket, encodePacket

SECRET = bytes(range(32))
MONEY = StreamMoney(1, 1)
NONCE = b"n" * 16
RECEIPT_SECRET = b"r" * 32

BUSY = encodeReject("T03", "", "Connector Busy")
UNEXPECTED = encodeReject("F06", "", "Unexpected Payment")


@implementer(ITotals)
class Slow:
    """
    A store that takes its time: each credit waits until the test says so.

    @ivar totals: what counts in the end.
    @ivar credits: those that wait, with what does them.
    """

    def __init__(self) -> None:
        self.totals = MemoryTotals()
        self.credits: list[tuple[Deferred[int], Callable[[], int]]] = []
        self.revoked: list[int] = []

    def credit(
        self, connectionID: str, streamID: int, amount: int, packetID: bytes
    ) -> Deferred[int]:
        """Wait."""
        deferred: Deferred[int] = Deferred()
        self.credits.append(
            (deferred, lambda: self.totals.credit(connectionID, streamID, amount, packetID))
        )
        return deferred

    def revoke(self, connectionID: str, streamID: int, packetID: bytes) -> Deferred[None]:
        """Do it."""
        self.revoked.append(streamID)
        self.totals.revoke(connectionID, streamID, packetID)
        return succeed(None)

    def finish(self) -> None:
        """Do the oldest credit."""
        deferred, credit = self.credits.pop(0)
        deferred.callback(credit())


@implementer(ITotals)
class Odd:
    """A store that answers as it is told to."""

    def __init__(self, credit: Callable[[int], Any], revoke: Callable[[], Any]) -> None:
        self._credit = credit
        self._revoke = revoke
        self.revoked: list[int] = []

    def credit(self, connectionID: str, streamID: int, amount: int, packetID: bytes) -> Any:
        """What was told."""
        return self._credit(streamID)

    def revoke(self, connectionID: str, streamID: int, packetID: bytes) -> Any:
        """What was told."""
        self.revoked.append(streamID)
        return self._revoke()


class ReceiverCase(ConnectedTestCase):
    """A receiver on the right, and packets by hand or from a client on the left."""

    def setUp(self) -> None:
        super().setUp()
        self.totals = MemoryTotals()
        self.requests: list[StatelessRequest] = []

    def receive(self, verdict: Any = True, store: Any = None, **options: Any) -> StatelessReceiver:
        """A receiver that is started; the verdict is said to every packet."""

        def accept(request: StatelessRequest) -> Any:
            self.requests.append(request)
            return verdict() if callable(verdict) else verdict

        self.receiver = StatelessReceiver(
            self.right, SECRET, store or self.totals, accept=accept, **options
        )
        self.successResultOf(self.receiver.start())
        self.credentials = self.receiver.generateCredentials(connectionTag="tag")
        return self.receiver

    @property
    def connectionID(self) -> str:
        """The id of the credentials' connection."""
        return sha256(self.credentials.destinationAddress.encode("ascii")).hexdigest()

    def packet(
        self,
        *frames: Frame,
        amount: int = 0,
        minimum: int = 0,
        sequence: int = 1,
        seconds: float = 30.0,
        iv: bytes = bytes(12),
        credentials: Credentials | None = None,
    ) -> bytes:
        """The octets of a Prepare to the credentials."""
        credentials = credentials or self.credentials
        keys = SessionKeys(credentials.sharedSecret)
        data = keys.seal(encodePacket(sequence, PREPARE, minimum, frames), iv)
        return encodePrepare(
            amount,
            encodeTimestamp(self.clock.seconds() + seconds),
            conditionOf(keys.fulfillment(data)),
            credentials.destinationAddress,
            data,
        )

    def opened(self, octets: bytes, credentials: Credentials | None = None) -> Reply:
        """An answer, opened."""
        reply = decodeReply(octets)
        keys = SessionKeys((credentials or self.credentials).sharedSecret)
        plain = keys.open(reply.data)
        assert plain is not None, reply
        return Reply("" if isinstance(reply, Fulfill) else reply.code, decodePacket(plain))

    def ask(self, packet: bytes) -> Deferred[bytes]:
        """Hand a Prepare to the account."""
        reply = self.right.receivePrepare(packet)
        return succeed(reply) if isinstance(reply, bytes) else reply

    def send(self, *frames: Frame, **options: Any) -> Reply:
        """Hand a Prepare over and open its answer, which comes at once."""
        answer = self.successResultOf(self.ask(self.packet(*frames, **options)))
        return self.opened(answer, options.get("credentials"))

    def assertRefused(self, reply: Reply, *frames: Frame) -> None:
        """The packet was refused with these frames."""
        self.assertEqual((reply.code, reply.frames), ("F99", list(frames)))


class PaymentTests(ReceiverCase):
    """Clients of every kind are paid to."""

    def test_pay(self) -> None:
        """A whole payment, with its asset and receipts, and then a second one on the same key."""
        self.receive()
        self.credentials = self.receiver.generateCredentials(
            receiptNonce=NONCE, receiptSecret=RECEIPT_SECRET
        )
        for total in (1000, 2000):
            paid = pay(self.left, self.credentials, sourceAmount=1000)
            result = self.after(paid, 10)
            self.assertTrue(result.isComplete)
            self.assertEqual(self.totals.total(self.connectionID), total)
            receipt = verifyReceipt(result.receipt, RECEIPT_SECRET)
            self.assertEqual(receipt, Receipt(NONCE, 1, total))

    def test_quoteThenPay(self) -> None:
        """A quote closes its connection; the money that comes after it is taken."""
        self.receive()
        self.after(quote(self.left, self.credentials, sourceAmount=1000), 10)
        self.assertEqual(self.requests, [])
        result = self.after(pay(self.left, self.credentials, sourceAmount=1000), 10)
        self.assertTrue(result.isComplete)

    def test_refusedPayment(self) -> None:
        """The payer hears the reason."""
        self.receive(Refusal("sold out"))
        paid = pay(self.left, self.credentials, sourceAmount=1000)
        self.run_(10)
        error = self.failureResultOf(paid, PaymentError).value
        self.assertIn("sold out", str(error))
        self.assertEqual(self.totals.total(self.connectionID), 0)

    def test_noState(self) -> None:
        """Two processes share the secret and the store: each answers any packet."""
        self.receive()
        first = self.receiver
        self.successResultOf(first.stop())
        self.assertEqual(self.send_(first, 5), 5)
        second = StatelessReceiver(self.right, SECRET, self.totals)
        self.assertEqual(self.send_(second, 6), 11)
        self.assertEqual(self.send_(first, 7), 18)

    def send_(self, receiver: StatelessReceiver, amount: int) -> int:
        """Let one of several receivers answer; gives the total."""
        self.right._setServer(receiver._receivePrepare)
        self.assertEqual(self.send(MONEY, amount=amount, iv=bytes([amount]) * 12).code, "")
        self.right._setServer(None)
        return self.totals.total(self.connectionID)

    def test_restartedSequence(self) -> None:
        """A sequence that starts again, and money after a close."""
        self.receive()
        close = ConnectionClose(1)
        packets: list[tuple[list[Frame], int]] = [
            ([MONEY], 5),
            ([close], 0),
            ([MONEY], 6),
            ([MONEY, close], 7),
            ([MONEY], 8),
        ]
        for number, (frames, amount) in enumerate(packets):
            reply = self.send(*frames, amount=amount, sequence=1, iv=bytes([number]) * 12)
            self.assertEqual(reply.code, "")
            self.assertEqual(bool(reply.only(ConnectionClose)), close in frames)
        self.assertEqual(self.totals.total(self.connectionID), 26)

    def test_otherFormats(self) -> None:
        """Addresses that other implementations made under the secret are good, if wanted."""
        self.receive(tokenFormats=("stream-receiver", "interledger-rs"))
        token = (
            "jCNqPmFjFfa62X7G6jqXvKjmORcHX9Ay9wcmFkuy4b4ZI8ZGTCz8x0gZqiDp-87Jo7vnjedq9vTJ5rgEuR70"
            "Cqu1ZK_rxHisxkAgX6XCYsMSQIxv"
        )
        secret = "540595445120394b40fa20006922f702715a946d7e034acb4bef72a9bbf3e24f"
        theirs = Credentials(f"test.right.{token}", bytes.fromhex(secret))
        frames = MONEY, ConnectionNewAddress("")
        reply = self.send(*frames, amount=5, credentials=theirs)
        self.assertEqual(reply.frames[0], ConnectionAssetDetails("EUR", 2))
        (receipt,) = reply.only(StreamReceipt)
        assert isinstance(receipt, StreamReceipt)
        self.assertEqual(verifyReceipt(receipt.receipt, RECEIPT_SECRET), Receipt(NONCE, 1, 5))
        self.assertEqual(self.requests[0].connectionTag, "t")
        text = urlsafe_b64encode(bytes(18)).decode("ascii")
        random = Credentials(f"test.right.{text}", TokenFormats(SECRET).read(text)[1])
        reply = self.send(*frames, amount=5, credentials=random)
        self.assertEqual((reply.code, reply.frames[0]), ("", ConnectionAssetDetails("USD", 9)))

    def test_foreign(self) -> None:
        """What is not the peer's, of another format or expired: the same octets."""
        self.receive()
        now = int(self.clock.seconds())
        expired = self.receiver.generateCredentials(expiresAt=now)
        good = self.receiver.generateCredentials(expiresAt=now + 2)
        text = urlsafe_b64encode(bytes(18)).decode("ascii")
        random = Credentials(f"test.right.{text}", TokenFormats(SECRET).read(text)[1])
        wrong = Credentials(self.credentials.destinationAddress, bytes(32))
        other = Credentials("test.right.token", self.credentials.sharedSecret)
        unmade = Credentials("test.right.AAAA", TokenFormats(SECRET).read("AAAA")[1])
        for credentials in (expired, random, wrong, other, unmade):
            packet = self.packet(MONEY, amount=5, credentials=credentials)
            self.assertEqual(self.successResultOf(self.ask(packet)), UNEXPECTED)
        self.assertEqual(self.requests, [])
        self.assertEqual(self.send(MONEY, amount=5, credentials=good).code, "")
        self.clock.advance(2)
        packet = self.packet(MONEY, amount=5, credentials=good)
        self.assertEqual(self.successResultOf(self.ask(packet)), UNEXPECTED)

    def test_noAsset(self) -> None:
        """An account that does not know its asset tells none."""
        left, right = memoryPair(self.clock)
        self.successResultOf(left.connect())
        self.right = self.account(right, address="test.right")
        self.receive()
        self.assertEqual(self.send(ConnectionNewAddress("")).only(ConnectionAssetDetails), [])


class AcceptTests(ReceiverCase):
    """Who decides about money."""

    def test_request(self) -> None:
        """The application sees what a policy sees, and which connection it is."""
        self.receive(takesData=True)
        frames: list[Frame] = [StreamMoney(3, 2), StreamMoney(1, 1), StreamData(1, 0, b"for tea")]
        packet = self.packet(*frames, ConnectionNewAddress("test.left.x"), amount=10)
        reply = self.opened(self.successResultOf(self.ask(packet)))
        self.assertEqual(reply.code, "")
        (request,) = self.requests
        self.assertIsInstance(request, PaymentRequest)
        self.assertEqual(request.streamAmounts, ((1, 4), (3, 6)))
        self.assertEqual((request.amount, request.connectionTag), (10, "tag"))
        self.assertEqual((request.data, request.remoteAddress), (b"for tea", "test.left.x"))
        self.assertEqual(request.connectionID, self.connectionID)
        condition = decodePrepare(packet).executionCondition
        self.assertEqual(request.packetID, sha256(condition + (10).to_bytes(8, "big")).digest())
        self.assertAlmostEqual(request.expiresAt, self.clock.seconds() + 30, places=3)
        self.assertEqual(self.totals.total(self.connectionID, 3), 6)

    def test_segmentsAfter(self) -> None:
        """What a payer appends to its address makes no other connection of it."""
        self.receive()
        longer = Credentials(
            self.credentials.destinationAddress + ".more", self.credentials.sharedSecret
        )
        self.assertEqual(self.send(MONEY, amount=5, credentials=longer).code, "")
        self.assertEqual(self.totals.total(self.connectionID), 5)

    def test_notAsked(self) -> None:
        """It is not asked about what would be refused anyhow, nor about nothing."""
        self.receive()
        self.assertRefused(self.send(MONEY, amount=5, minimum=6))
        self.assertRefused(self.send(MONEY, amount=5, seconds=0))
        self.assertEqual(self.send(StreamData(1, 0, b"x")).code, "F99")
        self.assertEqual(self.send(MONEY).code, "")
        self.assertEqual(self.requests, [])

    def test_data(self) -> None:
        """Data without money is asked about where it is taken, and credits nothing."""
        self.receive(takesData=True)
        self.assertEqual(self.send(StreamData(1, 0, b"late"), seconds=-1).code, "")
        self.assertEqual(self.send(StreamData(1, 0, b"x")).code, "")
        self.assertEqual((self.requests[1].data, self.requests[1].amount), (b"x", 0))

    def test_no(self) -> None:
        """Anything but True is a refusal for now, at once or later."""
        for verdict in (False, None, 1, "yes", lambda: succeed("yes")):
            self.receive(verdict)
            self.assertRefused(self.send(MONEY, amount=5))
            self.successResultOf(self.receiver.stop())
        self.assertEqual(self.totals.total(self.connectionID), 0)

    def test_refusals(self) -> None:
        """For now, or for good, with the reason on stream 1."""
        self.receive(Refusal("later", isFinal=False))
        self.assertRefused(self.send(MONEY, amount=5), StreamData(1, 0, b"later"))
        self.successResultOf(self.receiver.stop())
        self.receive(lambda: succeed(Refusal("never")))
        reply = self.send(StreamMoney(3, 1), amount=5)
        self.assertRefused(reply, StreamData(1, 0, b"never"), ConnectionClose(9, "never"))

    def test_fails(self) -> None:
        """An application that raises or fails refuses for now."""

        def explode() -> bool:
            raise ZeroDivisionError("on purpose")

        for verdict in (explode, lambda: fail(ZeroDivisionError("on purpose"))):
            self.receive(verdict)
            self.assertRefused(self.send(MONEY, amount=5))
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.successResultOf(self.receiver.stop())

    def test_everybody(self) -> None:
        """Without an application's word all money is taken."""
        self.receiver = StatelessReceiver(self.right, SECRET, self.totals)
        self.successResultOf(self.receiver.start())
        self.credentials = self.receiver.generateCredentials()
        self.assertEqual(self.send(MONEY, amount=5).code, "")
        self.assertEqual(self.totals.total(self.connectionID), 5)


class WaitTests(ReceiverCase):
    """Answers that take their time."""

    def setUp(self) -> None:
        super().setUp()
        self.waiting: list[Deferred[Any]] = []
        self.cancelled = 0

    def wait(self) -> Deferred[Any]:
        """A verdict that is not there yet."""

        def cancel(_: Any) -> None:
            self.cancelled += 1

        self.waiting.append(Deferred(cancel))
        return self.waiting[-1]

    def test_later(self) -> None:
        """A yes that comes in time."""
        self.receive(self.wait)
        answer = self.ask(self.packet(MONEY, amount=5))
        self.run_(29)
        self.assertNoResult(answer)
        self.waiting[0].callback(True)
        self.assertEqual(self.opened(self.successResultOf(answer)).code, "")
        self.assertEqual(self.totals.total(self.connectionID), 5)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_tooLate(self) -> None:
        """When the packet expires it is refused, the application hears so, and nothing counts."""
        self.receive(self.wait)
        answer = self.ask(self.packet(MONEY, amount=5))
        self.run_(30)
        self.assertRefused(self.opened(self.successResultOf(answer)))
        self.assertEqual(self.cancelled, 1)
        self.assertEqual(self.totals.total(self.connectionID), 0)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_stubborn(self) -> None:
        """A yes that answers the cancelling counts nothing either, and the store is not asked."""
        store = Slow()
        verdicts: list[Deferred[Any]] = []

        def stubborn() -> Deferred[Any]:
            verdicts.append(Deferred(lambda deferred: deferred.callback(True)))
            return verdicts[-1]

        self.receive(stubborn, store=store)
        for seconds in (30, 9e9):
            answer = self.ask(self.packet(MONEY, amount=5, seconds=seconds))
            self.run_(LONGEST_WAIT + 1)
            self.assertRefused(self.opened(self.successResultOf(answer)))
        self.assertEqual((len(verdicts), store.credits), (2, []))

    def test_longestWait(self) -> None:
        """No packet waits for hours, whatever it says."""
        self.receive(self.wait)
        answer = self.ask(self.packet(MONEY, amount=5, seconds=9e9))
        self.run_(LONGEST_WAIT - 1)
        self.assertNoResult(answer)
        self.run_(1.1)
        self.assertRefused(self.opened(self.successResultOf(answer)))

    def test_copies(self) -> None:
        """A copy that comes meanwhile has the same answer, and is asked about and counted once."""
        self.receive(self.wait)
        packet = self.packet(MONEY, amount=5)
        answers = [self.ask(packet) for _ in range(3)]
        self.waiting[0].callback(True)
        replies = {self.successResultOf(answer) for answer in answers}
        self.assertEqual(len(replies), 1)
        self.assertEqual(self.opened(replies.pop()).code, "")
        self.assertEqual((len(self.requests), self.totals.total(self.connectionID)), (1, 5))

    def test_copyExpires(self) -> None:
        """A copy whose path gave it less time is refused then; the other one goes on."""
        self.receive(self.wait)
        answer = self.ask(self.packet(MONEY, amount=5, seconds=30))
        copy = self.ask(self.packet(MONEY, amount=5, seconds=10))
        self.run_(11)
        self.assertRefused(self.opened(self.successResultOf(copy)))
        self.assertNoResult(answer)
        self.waiting[0].callback(True)
        self.assertEqual(self.opened(self.successResultOf(answer)).code, "")
        self.assertEqual((self.cancelled, self.totals.total(self.connectionID)), (0, 5))

    def test_copyLater(self) -> None:
        """A copy of what was fulfilled is fulfilled again, with the same total."""
        self.receive()
        packet = self.packet(MONEY, amount=5)
        for _ in range(2):
            reply = self.opened(self.successResultOf(self.ask(packet)))
            self.assertEqual(reply.code, "")
        self.assertEqual((len(self.requests), self.totals.total(self.connectionID)), (2, 5))

    def test_copyWithin(self) -> None:
        """A copy that comes while the answer is being given has that answer."""
        self.receive(self.wait)
        packet = self.packet(MONEY, amount=5)
        again: list[bytes] = []
        answer = self.ask(packet)
        answer.addCallback(lambda reply: self.ask(packet).addCallback(again.append))
        self.waiting[0].callback(True)
        self.assertEqual(len(again), 1)
        self.assertEqual(self.opened(again[0]).code, "")
        self.assertEqual((len(self.requests), self.totals.total(self.connectionID)), (1, 5))

    def test_full(self) -> None:
        """So many wait and no more; there is room again when one is answered."""
        self.receive(self.wait, maximumWaiting=2)
        packets = [self.packet(MONEY, amount=5, iv=bytes([n]) * 12) for n in range(3)]
        answers = [self.ask(packet) for packet in packets]
        self.assertEqual(self.successResultOf(answers[2]), BUSY)
        self.waiting[0].callback(False)
        self.assertNoResult(self.ask(packets[2]))

    def test_stop(self) -> None:
        """A receiver that stops answers those that wait, and takes no new ones."""
        self.receive(self.wait)
        answer = self.ask(self.packet(MONEY, amount=5))
        stopped, again = self.receiver.stop(), self.receiver.stop()
        packet = self.packet(MONEY, amount=5, iv=b"i" * 12)
        self.assertEqual(self.successResultOf(self.ask(packet)), BUSY)
        self.assertNoResult(stopped)
        self.waiting[0].callback(True)
        self.assertEqual(self.opened(self.successResultOf(answer)).code, "")
        self.successResultOf(stopped)
        self.successResultOf(again)
        reject = decodeReply(self.successResultOf(self.ask(packet)))
        self.assertEqual(getattr(reject, "code", ""), "F02")


class StoreTests(ReceiverCase):
    """Totals that take their time, or cannot be had: none but what is fulfilled counts."""

    def test_interface(self) -> None:
        """The stores of these tests are stores."""
        verifyObject(ITotals, Slow())
        verifyObject(ITotals, Odd(lambda _: 0, lambda: None))

    def test_later(self) -> None:
        """One stream after the other, within the packet's expiry."""
        store = Slow()
        self.receive(store=store)
        answer = self.ask(self.packet(StreamMoney(1, 1), StreamMoney(3, 1), amount=10))
        store.finish()
        self.assertNoResult(answer)
        store.finish()
        self.assertEqual(self.opened(self.successResultOf(answer)).code, "")
        self.assertEqual(store.totals.total(self.connectionID, 3), 5)
        self.assertEqual(store.revoked, [])

    def test_tooLate(self) -> None:
        """What was counted too late is taken back."""
        store = Slow()
        self.receive(store=store)
        answer = self.ask(self.packet(MONEY, amount=10))
        self.run_(31)
        self.assertRefused(self.opened(self.successResultOf(answer)))
        store.finish()
        self.assertEqual(store.revoked, [1])
        self.assertEqual(store.totals.total(self.connectionID), 0)
        self.successResultOf(self.receiver.stop())

    def test_lateCopy(self) -> None:
        """A copy that is refused takes nothing from the one that was fulfilled."""
        store = Slow()
        self.receive(store=store)
        answer = self.ask(self.packet(MONEY, amount=10))
        store.finish()
        self.assertEqual(self.opened(self.successResultOf(answer)).code, "")
        copy = self.ask(self.packet(MONEY, amount=10))
        self.run_(31)
        self.assertRefused(self.opened(self.successResultOf(copy)))
        store.finish()
        self.assertEqual(store.revoked, [1])
        self.assertEqual(store.totals.total(self.connectionID), 10)

    def test_lateYes(self) -> None:
        """A yes that comes when time is over but nobody has noticed yet: nobody counts it."""
        store = Slow()
        waiting: Deferred[Any] = Deferred()
        self.receive(lambda: waiting, store=store)
        answer = self.ask(self.packet(MONEY, amount=5))
        self.clock.rightNow += 31
        waiting.callback(True)
        self.assertRefused(self.opened(self.successResultOf(answer)))
        self.assertEqual(store.credits, [])

    def test_fails(self) -> None:
        """A store that raises or fails refuses for now, and all streams with it."""

        def explode(streamID: int) -> int:
            if streamID == 3:
                raise ZeroDivisionError("on purpose")
            return 5

        def later(streamID: int) -> Deferred[int]:
            return succeed(5) if streamID == 1 else fail(ZeroDivisionError("on purpose"))

        for credit in (explode, later):
            store = Odd(credit, lambda: None)
            self.receive(store=store)
            reply = self.send(StreamMoney(1, 1), StreamMoney(3, 1), amount=10)
            self.assertRefused(reply)
            self.assertEqual(store.revoked, [1])
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.successResultOf(self.receiver.stop())

    def test_noTotal(self) -> None:
        """A total that is none is a failure too."""
        totals: list[Any] = [None, -1, 2**64, "5"]
        for total in totals:
            store = Odd(dict.fromkeys([1], total).__getitem__, lambda: None)
            self.receive(store=store)
            self.assertRefused(self.send(MONEY, amount=10))
            self.assertEqual(store.revoked, [1])
            self.assertEqual(len(self.flushLoggedErrors(LocalError)), 1)
            self.successResultOf(self.receiver.stop())

    def test_notRevoked(self) -> None:
        """When not even that works it is written down; the packet is refused all the same."""

        def explode() -> None:
            raise KeyError("on purpose")

        for revoke in (explode, lambda: fail(KeyError("on purpose"))):
            self.receive(store=Odd(lambda _: -1, revoke))
            self.assertRefused(self.send(MONEY, amount=10))
            self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
            self.flushLoggedErrors(LocalError)
            self.successResultOf(self.receiver.stop())


class LifeTests(ReceiverCase):
    """Starting and stopping."""

    def test_stoppedBeforeItStarts(self) -> None:
        """It may be given up while its account is opening: then it does not start."""
        plugin, _ = memoryPair(self.clock)
        connecting: Deferred[None] = Deferred()
        self.patch(plugin, "connect", lambda: connecting)
        account = Account(self.clock, plugin, address="test.slow", wallClock=self.clock.seconds)
        receiver = StatelessReceiver(account, bytes(32), MemoryTotals())
        started = receiver.start()
        self.successResultOf(receiver.stop())
        self.failureResultOf(started, CancelledError)
        connecting.callback(None)
        self.run_()
        # The account has no server now, and may have another.
        self.successResultOf(StatelessReceiver(account, bytes(32), MemoryTotals()).start())

    def test_options(self) -> None:
        """What is not valid is refused."""
        wrong: list[dict[str, Any]] = [
            {"tokenFormats": ["dassie"]},
            {"maximumStreamID": 0},
            {"maximumWaiting": 0},
            {"padTo": -1},
        ]
        for options in wrong:
            self.assertRaises(
                LocalError, StatelessReceiver, self.right, SECRET, self.totals, **options
            )
        self.assertRaises(LocalError, StatelessReceiver, self.right, b"short", self.totals)

    def test_wrongTypes(self) -> None:
        """What is of the wrong type is named at the call, and no secret is shown."""
        make: Any = StatelessReceiver
        for arguments, options, text in (
            (("btp+ws://alice:pass@h", SECRET, self.totals), {}, r"'btp\+ws:\.\.\.'.*pluginFrom"),
            ((self.right, SECRET.hex(), self.totals), {}, "secret must be bytes, not str"),
            ((self.right, None, self.totals), {}, "secret must be bytes, not NoneType"),
            ((self.right, SECRET, {}), {}, "store is of type dict: it takes an ITotals"),
            ((self.right, SECRET, self.totals), {"accept": True}, "accept is True: it takes a fun"),
        ):
            with self.assertRaisesRegex(LocalError, text) as raised:
                make(*arguments, **options)
            self.assertNotIn("alice", str(raised.exception))
            self.assertNotIn(SECRET.hex(), str(raised.exception))

    def test_oneServer(self) -> None:
        """An account has one server."""
        self.receive()
        self.assertRaises(LocalError, StatelessReceiver(self.right, SECRET, self.totals).start)

    def test_plugin(self) -> None:
        """Given a plugin, it makes an account, opens it, and closes it if it shall."""
        left, right = memoryPair(self.clock)
        self.successResultOf(left.connect())
        receiver = StatelessReceiver(
            right, SECRET, self.totals, reactor=self.clock, closesAccount=True
        )
        self.assertRaises(LocalError, receiver.generateCredentials)
        self.successResultOf(receiver.stop())
        receiver.account.address = "test.right"
        self.successResultOf(receiver.start())
        self.assertTrue(right.isConnected())
        stopped = receiver.stop()
        self.run_()
        self.successResultOf(stopped)
        self.assertFalse(right.isConnected())

    def test_cannotOpen(self) -> None:
        """A start that fails can be tried again."""
        self.patch(Account, "whenOpen", lambda self: fail(OSError("on purpose")))
        receiver = StatelessReceiver(self.right, SECRET, self.totals)
        self.failureResultOf(receiver.start(), OSError)
        self.failureResultOf(receiver.start(), OSError)
        self.successResultOf(receiver.stop())


class ManualTests(ReceiverCase):
    """What the manual defines does what it says."""

    skip = MISSING

    def test_shop(self) -> None:
        """An invoice is paid once; others are refused with the reason."""
        names = execute(blocksOf("docs/stateless.rst", "python"))
        shop = names["Shop"]({"7": 1000})
        self.successResultOf(Deferred.fromCoroutine(shop.open(self.right, SECRET)))
        self.receiver = shop.receiver
        now = self.clock.seconds()
        invoice = shop.invoice("7", now)
        self.assertTrue(self.after(pay(self.left, invoice, sourceAmount=1000), 10).isComplete)
        for credentials, reason in (
            (invoice, "it is paid"),
            (shop.invoice("8", now), "there is no such invoice"),
        ):
            paid = pay(self.left, credentials, sourceAmount=1)
            self.run_(10)
            self.assertIn(reason, str(self.failureResultOf(paid, PaymentError).value))
        self.run_(3600)
        packet = self.packet(MONEY, amount=1, credentials=invoice)
        self.assertEqual(self.successResultOf(self.ask(packet)), UNEXPECTED)

    def test_receipts(self) -> None:
        """A receipt from a payment is credited once, also to those that moved."""
        names = execute(blocksOf("docs/stateless.rst", "python"))
        self.receiver = names["moved"](self.right, SECRET, self.totals)
        self.successResultOf(self.receiver.start())
        verifier = ReceiptVerifier(SECRET)
        now = self.clock.seconds()
        credentials = names["sell"](self.receiver, verifier, now)
        result = self.after(pay(self.left, credentials, sourceAmount=100), 10)
        credited = [names["proved"](verifier, result.receipt, now) for _ in range(2)]
        self.assertEqual(credited, [100, 0])


HERE = ("c" * 64, 1)


class UndecidedTests(VirtualTestCase):
    """What a stream can be said to have received."""

    def setUp(self) -> None:
        """1000 units of which nobody knows yet, and 5 after them."""
        self.undecided = Undecided()
        self.late = self.undecided.begin(*HERE, 1000)
        self.other = self.undecided.begin(*HERE, 5)

    def test_alone(self) -> None:
        """Without others it is the store's total."""
        credit = self.undecided.begin("d" * 64, 1, 7)
        credit.counted(107)
        self.assertEqual(credit.proved(), 107)

    def test_othersDoNotCount(self) -> None:
        """What is undecided besides proves nothing, be it counted or not."""
        self.late.counted(1100)
        self.other.counted(1105)
        self.assertEqual((self.other.proved(), self.late.proved()), (105, 1100))

    def test_lastIsComplete(self) -> None:
        """Whichever is decided last says all, in whatever order the store answers."""
        self.other.counted(1105)
        self.assertEqual(self.other.proved(), 105)
        self.undecided.end(*HERE, self.other)
        self.late.counted(1100)
        self.assertEqual(self.late.proved(), 1105)

    def test_revoked(self) -> None:
        """What was taken back is not said later either."""
        self.other.counted(1105)
        self.late.counted(1100)
        self.late.revoked()
        self.undecided.end(*HERE, self.late)
        self.assertEqual(self.other.proved(), 105)

    def test_neverLessThanItself(self) -> None:
        """A packet that is fulfilled proves what it brought, however much is undecided besides."""
        self.other.counted(5)
        self.assertEqual(self.other.proved(), 5)

    def test_revokedMeanwhile(self) -> None:
        """A total that was counted before something was taken back, and told after, is less."""
        self.late.counted(1000)
        self.late.revoked()
        self.undecided.end(*HERE, self.late)
        self.other.counted(1005)
        self.assertEqual(self.other.proved(), 5)

    def test_nothingIsKept(self) -> None:
        """When all is decided, what was counted before is the store's alone to say."""
        self.late.counted(5000)
        for credit in (self.late, self.other):
            self.undecided.end(*HERE, credit)
        again = self.undecided.begin(*HERE, 1)
        again.counted(10)
        self.assertEqual(again.proved(), 10)
