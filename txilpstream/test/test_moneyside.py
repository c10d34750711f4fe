"""Tests for C{txilpstream.moneyside}: the money of a stream."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError

from txilpstream.amounts import U64_MAX, Ratio
from txilpstream.crypto.receipts import Receipt, verifyReceipt
from txilpstream.errors import LocalError, PaymentError
from txilpstream.session.events import MoneyFailed
from txilpstream.session.session import Session
from txilpstream.test.connected import HalfRecorder
from txilpstream.test.test_transport import Plain, StreamTestCase
from txilpstream.testing import Hop, Latency, MaximumPacketAmount, Rate, SimulatedPath, Transit
from txilpstream.wire.ilp import Reject


class Limited(HalfRecorder):
    """Takes 1000 units."""

    def connectionMade(self) -> None:
        """Say so."""
        super().connectionMade()
        self.transport.setReceiveMax(1000)


class MoneyTests(StreamTestCase):
    """Offers and what becomes of them."""

    def test_bothWays(self) -> None:
        """Money goes both ways; totals agree with what is told."""
        self.both()
        result = self.after(self.transport.sendMoney(1000))
        self.assertTrue(result.isComplete)
        self.assertEqual(result.deliveredClaimed, 1000)
        back = self.after(self.far.transport.sendMoney(7))
        self.assertTrue(back.isComplete)
        self.assertEqual(sum(self.far.amounts), 1000)
        self.assertEqual(sum(self.near.amounts), 7)
        transport = self.transport
        self.assertEqual(transport.totalSent, 1000)
        self.assertEqual(transport.totalDeliveredClaimed, 1000)
        self.assertGreaterEqual(transport.totalDelivered, 980)
        self.assertEqual(transport.totalReceived, 7)
        self.assertEqual(transport.totalInDoubt, 0)
        self.assertEqual(transport.unsentMoney, 0)

    def test_inOrder(self) -> None:
        """Each offer hears of its own money."""
        self.both()
        offers = [self.transport.sendMoney(amount) for amount in (1, 20, 300)]
        self.run_()
        results = [self.successResultOf(offer) for offer in offers]
        self.assertEqual([result.sent for result in results], [1, 20, 300])
        self.assertEqual(sum(result.deliveredClaimed for result in results), 321)

    def test_limit(self) -> None:
        """The receiver's limit holds back the rest; a raise lets it go."""
        self.both(far=Limited)
        paid = self.transport.sendMoney(5000)
        self.run_(5)
        self.assertNoResult(paid)
        self.assertLessEqual(sum(self.far.amounts), 1010)
        self.assertRaises(LocalError, self.far.transport.setReceiveMax, 10)
        self.far.transport.setReceiveMax(5000)
        self.assertTrue(self.after(paid, 10).isComplete)

    def test_cancel(self) -> None:
        """Cancelling takes back what has not left."""
        self.both(far=Limited)
        paid = self.transport.sendMoney(5000)
        self.run_(5)
        paid.cancel()
        self.failureResultOf(paid, CancelledError)
        self.run_()
        self.assertEqual(self.transport.unsentMoney, 0)
        self.assertEqual(self.transport.totalSent, sum(self.far.amounts))
        self.far.transport.setReceiveMax(6000)
        again = self.after(self.transport.sendMoney(10), 10)
        self.assertTrue(again.isComplete)

    def test_cancelWhole(self) -> None:
        """An offer of which nothing has left is gone, and the next one is not mistaken for it."""
        self.both()
        paid = self.transport.sendMoney(5)
        paid.cancel()
        self.failureResultOf(paid, CancelledError)
        self.assertEqual(self.after(self.transport.sendMoney(6)).sent, 6)
        self.assertEqual(self.far.amounts, [6])

    def test_cancelTooLate(self) -> None:
        """What is on its way is not taken back."""
        path = SimulatedPath(self.clock, [Latency(0.1)])
        self.join(path.left, path.right)
        self.both()
        self.after(self.transport.sendMoney(1))
        paid = self.transport.sendMoney(5)
        self.run_(0.05)
        paid.cancel()
        self.failureResultOf(paid, CancelledError)
        self.run_()
        self.assertEqual(self.transport.totalSent, 6)

    def test_partial(self) -> None:
        """Money that cannot be delivered fails with what was."""
        self.both(far=Limited)
        paid = self.transport.sendMoney(5000)
        self.run_(5)
        self.far.transport.abortConnection()
        self.run_()
        error = self.failureResultOf(paid, PaymentError).value
        self.assertEqual(error.result.sent, sum(self.far.amounts))
        self.assertEqual(error.result.sourceAmount, 5000)

    def test_aborted(self) -> None:
        """Money on its way when the stream is aborted is in doubt."""
        path = SimulatedPath(self.clock, [Latency(0.1)])
        self.join(path.left, path.right)
        self.both()
        self.after(self.transport.sendMoney(100))
        paid = self.transport.sendMoney(50)
        self.run_(0.05)
        self.transport.abortConnection()
        self.run_()
        result = self.failureResultOf(paid, PaymentError).value.result
        self.assertEqual(result.sent + result.inDoubt, 50)

    def test_refusedByPath(self) -> None:
        """A path that carries no money fails the offer; nothing is lost."""
        path = SimulatedPath(self.clock, [MaximumPacketAmount(0)])
        self.join(path.left, path.right)
        self.both()
        paid = self.transport.sendMoney(50)
        self.run_(120)
        error = self.failureResultOf(paid, PaymentError).value
        self.assertEqual(error.result.sent, 0)
        self.assertEqual(error.result.inDoubt, 0)

    def test_plainTakesNone(self) -> None:
        """A protocol that knows no money gets none, unless its owner sets a limit."""
        self.both(far=Plain)
        paid = self.transport.sendMoney(50)
        self.run_(5)
        self.assertNoResult(paid)
        self.far.transport.setReceiveMax(U64_MAX)
        self.assertTrue(self.after(paid, 10).isComplete)
        self.assertEqual(self.far.transport.totalReceived, 50)

    def test_notAnAmount(self) -> None:
        """Offers are whole numbers of at least 1."""
        self.both()
        for amount in (0, -1, 1.5, True, U64_MAX + 1):
            self.assertRaises(LocalError, self.transport.sendMoney, amount)

    def test_closed(self) -> None:
        """A stream that is over takes no offer, one that is closing neither."""
        self.both()
        self.transport.loseWriteConnection()
        self.assertRaises(LocalError, self.transport.sendMoney, 1)
        self.transport.abortConnection()
        self.run_()
        for call in (self.transport.sendMoney, self.transport.offerMoney):
            self.assertRaises(LocalError, call, 1)

    def test_everyCallAfterTheEnd(self) -> None:
        """A stream of a closed connection refuses money with LocalError; the rest does no harm."""
        self.both()
        transport = self.transport
        self.after(transport.sendMoney(5))
        self.after(self.connection.close(), 5)
        for call in (transport.setSendMax, transport.setReceiveMax, transport.sendMoney):
            self.assertRaises(LocalError, call, 10)
        self.assertRaises(LocalError, transport.setSendRate, 10)
        transport.write(b"late")
        transport.pauseProducing()
        transport.resumeProducing()
        transport.loseWriteConnection()
        transport.stopProducing()
        self.run_(100)
        self.assertEqual(transport.totalSent, 5)
        self.assertEqual(self.near.happened.count("lost"), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelFirstOfTwo(self) -> None:
        """Cancelling one offer leaves the other whole."""
        path = SimulatedPath(self.clock, [Latency(0.1)])
        self.join(path.left, path.right)
        self.both()
        self.after(self.transport.sendMoney(1))
        first, second = self.transport.sendMoney(100), self.transport.sendMoney(70)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(self.after(second, 3).sent, 70)
        self.assertEqual(sum(self.far.amounts), 71)


class EndingTests(StreamTestCase):
    """What is told of money that is on its way when a stream ends."""

    def test_answeredMeanwhile(self) -> None:
        """An answer between an abort and its turn is of money that may be gone."""
        path = SimulatedPath(self.clock, [Latency(0.05)])
        self.join(path.left, path.right)
        self.both()
        self.after(self.transport.sendMoney(1))
        paid = self.transport.sendMoney(100)
        self.run_(0.06)
        real = path.left.receiveReply

        def receiveReply(packet: Transit, data: bytes) -> None:
            self.transport.abortConnection()
            real(packet, data)

        self.patch(path.left, "receiveReply", receiveReply)
        self.run_(5)
        result = self.failureResultOf(paid, PaymentError).value.result
        self.assertEqual((result.sent, result.inDoubt), (0, 100))
        self.assertEqual(self.transport.totalSent, 101)

    def test_nobodyThere(self) -> None:
        """Money for a stream that its owner has left is refused, and the payer is told."""

        class Leaving(HalfRecorder):
            def connectionMade(self) -> None:
                super().connectionMade()
                self.transport.loseConnection()

        self.both(far=Leaving)
        self.run_(2)
        self.assertEqual(self.far.happened, ["made", "lost"])
        paid = self.transport.sendMoney(100)
        self.run_(5)
        self.assertEqual(self.failureResultOf(paid, PaymentError).value.result.sent, 0)
        self.assertEqual(self.far.amounts, [])
        self.assertEqual(self.far.transport.totalReceived, 0)

    def test_takenBackBefore(self) -> None:
        """Money that is taken back is that of the offers there were, not of one made since."""
        path = SimulatedPath(self.clock, [Latency(0.01), Rate(Ratio(1, 1000))])
        self.join(path.left, path.right)
        self.both()
        self.after(self.transport.sendMoney(1_000_000), 5)
        first = self.transport.sendMoney(5)
        later: list[Any] = []
        take = self.connection.session.nextEvents

        def nextEvents() -> list[Any]:
            happened = take()
            if any(isinstance(event, MoneyFailed) for event in happened) and not later:
                later.append(self.transport.sendMoney(2_000_000))
            return happened

        self.patch(Session, "nextEvents", lambda _: nextEvents())
        self.run_(5)
        error = self.failureResultOf(first, PaymentError).value
        self.assertEqual(error.result.sent, 0)
        self.assertEqual(self.successResultOf(later[0]).sent, 2_000_000)

    def test_receipt(self) -> None:
        """The receipt of the greatest total is kept."""
        self.listen()
        nonce, secret = bytes(16), bytes(range(32))
        credentials = self.server.generateCredentials(receiptNonce=nonce, receiptSecret=secret)
        self.connection = self.after(self.client.connect(credentials))
        near = self.openStream()
        self.assertEqual(near.transport.receipt, b"")
        at: list[bytes] = []
        for amount in (70, 30):
            paid = near.transport.sendMoney(amount)
            paid.addCallback(lambda _: at.append(near.transport.receipt))
            self.run_()
        receipt = at[1]
        self.assertEqual(verifyReceipt(receipt, secret), Receipt(nonce, 1, 100))


class Late(Hop):
    """
    Answers to the first packets of money come long after they expired.

    @ivar amounts: what these packets carry; others are answered at once.
    """

    def __init__(self, *amounts: int) -> None:
        super().__init__(direction="left")
        self.amounts = list(amounts)

    def receiveReply(self, packet: Transit) -> float | None:
        """Hold the answer of each, once."""
        if packet.sourceAmount in self.amounts:
            self.amounts.remove(packet.sourceAmount)
            return 38.0
        return None


class Refusing(Hop):
    """The first packet of an amount is rejected."""

    def __init__(self, amount: int) -> None:
        super().__init__(direction="left")
        self.amount = amount

    def receivePrepare(self, packet: Transit) -> Reject | None:
        """Reject it."""
        if packet.sourceAmount != self.amount:
            return None
        self.amount = -1
        return self.reject("R00")


class LateAnswerTests(StreamTestCase):
    """Money in doubt of which something is heard after all."""

    def start(self, *hops: Hop, far: Any = HalfRecorder) -> None:
        """Open a stream over a path with these hops, whose rate is known."""
        path = SimulatedPath(self.clock, [Latency(0.01), *hops])
        self.join(path.left, path.right)
        self.both(far=far)
        self.after(self.transport.sendMoney(1))

    def doubtful(self, *hops: Hop) -> None:
        """Offer 500 units that are in doubt then."""
        self.start(Late(500), *hops)
        paid = self.transport.sendMoney(500)
        self.run_(36)
        result = self.failureResultOf(paid, PaymentError).value.result
        self.assertEqual((result.sent, result.inDoubt), (0, 500))
        self.assertEqual(self.transport.totalInDoubt, 500)

    def test_sentAfterAll(self) -> None:
        """Who was told that it is in doubt finds it in the totals; the next offer is its own."""
        self.doubtful()
        following = self.transport.sendMoney(9)
        self.run_(5)
        self.assertEqual(self.successResultOf(following).sent, 9)
        self.assertEqual((self.transport.totalSent, self.transport.totalInDoubt), (510, 0))

    def test_cameBack(self) -> None:
        """What comes back is not offered again by itself once its owner was told."""
        self.doubtful(Refusing(500))
        following = self.transport.sendMoney(9)
        self.run_(5)
        self.assertEqual(self.successResultOf(following).sent, 9)
        self.assertEqual((self.transport.totalSent, self.transport.totalInDoubt), (10, 0))
        self.assertEqual(self.transport.unsentMoney, 0)

    def waiting(self, *hops: Hop) -> Any:
        """An offer of which a part is in doubt and a part waits for the peer's limit."""
        self.start(Late(999), *hops, far=Limited)
        paid = self.transport.sendMoney(1400)
        self.run_(36)
        self.assertNoResult(paid)
        self.assertEqual(self.transport.totalInDoubt, 999)
        return paid

    def test_backToAnOfferThatWaits(self) -> None:
        """What comes back to an offer that still waits is offered again, and all of it arrives."""
        paid = self.waiting(Refusing(999))
        self.run_(5)
        self.far.transport.setReceiveMax(5000)
        self.run_(10)
        result = self.successResultOf(paid)
        self.assertEqual((result.sent, result.inDoubt), (1400, 0))
        self.assertEqual(self.transport.totalSent, 1401)

    def test_sentToAnOfferThatWaits(self) -> None:
        """An offer that still waits is told that all was sent."""
        paid = self.waiting()
        self.run_(5)
        self.far.transport.setReceiveMax(5000)
        self.run_(10)
        self.assertEqual(self.successResultOf(paid).sent, 1400)
        self.assertEqual(self.transport.totalInDoubt, 0)

    def test_backToAClosedStream(self) -> None:
        """What comes back when the stream takes no more fails its offer, with what was sent."""
        paid = self.waiting(Refusing(999))
        self.transport.loseWriteConnection()
        self.run_(5)
        self.far.transport.setReceiveMax(5000)
        self.run_(10)
        result = self.failureResultOf(paid, PaymentError).value.result
        self.assertEqual((result.sent, result.inDoubt), (401, 0))


class SendMaxTests(StreamTestCase):
    """The total, and the rate."""

    def test_sendMax(self) -> None:
        """The total is sent; it falls no lower than what has left."""
        self.both()
        self.transport.setSendMax(0)
        self.transport.setSendMax(30)
        self.run_()
        self.assertEqual(self.transport.totalSent, 30)
        self.transport.setSendMax(40)
        self.transport.setSendMax(30)
        self.transport.setSendMax(30)
        self.run_()
        self.assertEqual(self.transport.totalSent, 30)
        self.assertRaises(LocalError, self.transport.setSendMax, 29)

    def test_takesBack(self) -> None:
        """Lowering the total takes from the youngest offers."""
        self.both()
        first, second = self.transport.sendMoney(30), self.transport.sendMoney(20)
        self.transport.setSendMax(30)
        error = self.failureResultOf(second, PaymentError).value
        self.assertIn("setSendMax", error.message)
        self.assertEqual(self.after(first).sent, 30)

    def test_rate(self) -> None:
        """A rate is exact over time."""
        self.both()
        self.transport.setSendRate(100)
        self.run_(10.1)
        self.assertEqual(self.transport.totalSent, 1000)
        self.transport.setSendRate(1, 4)
        self.run_(20.1)
        self.assertIn(self.transport.totalSent, (1014, 1015))
        self.transport.setSendRate(0)
        self.run_(10)
        self.assertEqual(self.transport.totalSent, 1015)
        for wrong in ((-1, 1), (1, 0), (1.5, 1)):
            self.assertRaises(LocalError, self.transport.setSendRate, *wrong)

    def test_slowRate(self) -> None:
        """A unit that takes longer than a connection may be idle is sent all the same."""
        self.both()
        self.transport.setSendRate(1, 150)
        self.run_(310)
        self.assertEqual(self.transport.totalSent, 2)
        self.assertFalse(self.connection.session.isClosed)

    def test_rateBeyondAllNumbers(self) -> None:
        """A least rate at which no packet could say its minimum fails the offer; nothing left."""
        self.listen()
        self.near = self.open(minimumRate=Ratio(10**18))
        paid = self.near.transport.sendMoney(1000)
        few = self.near.transport.sendMoney(1)
        self.run_(100)
        for offer in (paid, few):
            result = self.failureResultOf(offer, PaymentError).value.result
            self.assertEqual((result.sent, result.inDoubt), (0, 0))
        self.near = self.open(minimumRate=Ratio(10**30))
        paid = self.near.transport.sendMoney(1000)
        self.run_()
        error = self.failureResultOf(paid, PaymentError).value
        self.assertIn("64 bits", error.message)

    def test_rateEnds(self) -> None:
        """A rate ends with its stream and leaves nothing with the reactor."""
        self.both()
        self.transport.setSendRate(100)
        self.run_()
        self.transport.loseConnection()
        self.far.transport.loseConnection()
        self.run_()
        self.after(self.connection.close())
        self.run_(60)
        self.assertEqual(self.clock.getDelayedCalls(), [])
