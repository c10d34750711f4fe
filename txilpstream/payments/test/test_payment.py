"""Tests of C{txilpstream.payments}: whole payments and quotes, their terms and their state."""

from __future__ import annotations

import gc
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from txilpstream.amounts import Ratio
from txilpstream.crypto.credentials import Credentials
from txilpstream.errors import ConnectionEnded, LocalError
from txilpstream.interfaces import (
    IPaymentPolicy,
    PaymentError,
    PaymentRequest,
    PaymentResult,
    Refusal,
)
from txilpstream.payments.payer import LAST_ANSWERS, Payer
from txilpstream.payments.payment import Payment, pay
from txilpstream.payments.quote import Quote, quote
from txilpstream.payments.state import PaymentState
from txilpstream.plugins.memory import memoryPair
from txilpstream.test.support.connected import LEFT, RIGHT, ConnectedTestCase, Recorder
from txilpstream.test.support.randompayments import InterruptedPayment, RandomPayment
from txilpstream.testing import (
    Gone,
    Hop,
    Latency,
    MaximumPacketAmount,
    Rate,
    RejectWith,
    SimulatedPath,
    Transit,
)
from txilpstream.wire.ildcp import AccountDetails
from txilpstream.wire.ilp import Reject

ROUND_TRIP = 0.05

EUR = AccountDetails("test.right", 6, "EUR")

OTHER = AccountDetails("test.right", 9, "EUR")


class PaymentTestCase(ConnectedTestCase):
    """A payer on the left of a path, a receiver on the right."""

    def start(self, *hops: Hop, right: AccountDetails = RIGHT, **options: Any) -> None:
        """Listen at the end of a path with these hops."""
        self.path = SimulatedPath(
            self.clock, [Latency(ROUND_TRIP / 2), *hops], left=LEFT, right=right
        )
        self.join(self.path.left, self.path.right)
        self.listen(Recorder, **options)
        self.credentials = self.server.generateCredentials()

    def timed(self, deferred: Deferred[Any], seconds: float = 100.0) -> tuple[Any, float]:
        """What came of it, and in how many round trips."""
        began = self.clock.seconds()
        out: list[Any] = []
        ended: list[float] = []
        deferred.addBoth(out.append)
        deferred.addBoth(lambda _: ended.append(self.clock.seconds()))
        self.run_(seconds)
        self.assertTrue(out, "it is not over")
        outcome = getattr(out[0], "value", out[0])
        return outcome, round((ended[0] - began) / ROUND_TRIP, 2)

    def received(self) -> int:
        """What the receiver got."""
        return sum(made.transport.totalReceived for made in self.served.made)

    def pay(self, **terms: Any) -> Deferred[PaymentResult]:
        """Pay with fresh credentials."""
        return pay(self.left, self.server.generateCredentials(), **terms)


class RoundTripTests(PaymentTestCase):
    """How long the smallest payments take."""

    def test_one(self) -> None:
        """One unit in the same asset: one round trip, one packet of money, and a close."""
        self.start()
        result, trips = self.timed(self.pay(sourceAmount=1))
        self.assertEqual((result.sent, result.deliveredClaimed, trips), (1, 1, 1.0))
        self.assertTrue(result.isComplete)
        self.assertEqual(self.path.counters("left").packets, 2)
        self.assertEqual(self.received(), 1)

    def test_rate(self) -> None:
        """A rate that is given, or follows from prices: one round trip."""
        self.start(Rate(Ratio(92, 100_000)), right=EUR)
        prices = {"USD": Ratio(92, 100), "EUR": Ratio(1)}
        for terms in ({"rate": Ratio(92, 100_000)}, {"prices": prices}):
            result, trips = self.timed(self.pay(sourceAmount=10**7, **terms))
            self.assertEqual((result.sent, result.deliveredClaimed), (10**7, 9200))
            self.assertEqual(trips, 1.0)
            result, trips = self.timed(self.pay(destinationAmount=9200, **terms))
            self.assertEqual((result.sent, result.deliveredClaimed), (10**7, 9200))
            self.assertEqual(trips, 1.0)

    def test_unknown(self) -> None:
        """A rate that must be measured: two."""
        self.start(Rate(Ratio(92, 100_000)), right=EUR)
        for amount in (10**7, 500_000, 50_000):
            result, trips = self.timed(self.pay(sourceAmount=amount))
            self.assertEqual((result.sent, trips), (amount, 2.0))
        anonymous = Credentials(self.credentials.destinationAddress, self.credentials.sharedSecret)
        self.start()
        fresh = self.server.generateCredentials()
        anonymous = Credentials(fresh.destinationAddress, fresh.sharedSecret)
        result, trips = self.timed(pay(self.left, anonymous, sourceAmount=1))
        self.assertEqual((result.sent, trips), (1, 2.0))

    def test_pricesOfUnknown(self) -> None:
        """Prices wait for the receiver to say what its asset is."""
        self.start(Rate(Ratio(92, 100_000)), right=EUR)
        fresh = self.server.generateCredentials()
        anonymous = Credentials(fresh.destinationAddress, fresh.sharedSecret)
        prices = {"USD": Ratio(92, 100), "EUR": Ratio(1)}
        paying = pay(self.left, anonymous, sourceAmount=10**7, prices=prices)
        result, trips = self.timed(paying)
        self.assertEqual((result.sent, result.deliveredClaimed), (10**7, 9200))
        self.assertLessEqual(trips, 4)
        paying = pay(
            self.left, anonymous, sourceAmount=10**7, prices=prices, save=lambda state: None
        )
        self.assertIsInstance(self.timed(paying)[0], LocalError)


class AmountTests(PaymentTestCase):
    """What is sent, and what is delivered."""

    def test_manyPackets(self) -> None:
        """A fixed delivery over many packets is reached to the unit."""
        self.start(MaximumPacketAmount(1000), Rate(Ratio(92, 100)), right=OTHER)
        result, _ = self.timed(self.pay(destinationAmount=100_000))
        self.assertTrue(result.isComplete)
        self.assertIn(result.deliveredClaimed, (100_000, 100_001))
        self.assertEqual(self.received(), result.deliveredClaimed)
        self.assertEqual(result.destinationAmount, 100_000)

    def test_maximum(self) -> None:
        """What would cost more than the maximum is partial, and says what it delivered."""
        self.start(MaximumPacketAmount(1000), Rate(Ratio(92, 100)), right=OTHER)
        error, _ = self.timed(self.pay(destinationAmount=100_000, maxSourceAmount=50_000))
        self.assertIsInstance(error, PaymentError)
        self.assertEqual((error.result.sent, error.result.deliveredClaimed), (50_000, 46_000))
        self.assertFalse(error.result.isComplete)

    def test_tooLittle(self) -> None:
        """What the rate cannot deliver fails before anything leaves, with the smallest amount."""
        self.start(Rate(Ratio(92, 100_000)), right=EUR)
        error, _ = self.timed(self.pay(sourceAmount=100))
        self.assertIsInstance(error, PaymentError)
        self.assertEqual(error.result.sent, 0)
        self.assertIn(error.smallestAmount, range(1087, 1110))
        self.assertIn(str(error.smallestAmount), str(error))

    def test_nothingArrives(self) -> None:
        """A path that delivers nothing gets nothing; a quote says so too."""
        self.start(MaximumPacketAmount(10), Rate(Ratio(1, 1000), inverse=Ratio(1)), right=EUR)
        for asked in (self.pay(sourceAmount=1000), self.quote(sourceAmount=1000)):
            error, _ = self.timed(asked)
            self.assertIsInstance(error, PaymentError)
            self.assertRegex(str(error), "nothing (arrives )?at all")

    def quote(self, **terms: Any) -> Deferred[Quote]:
        """Ask with fresh credentials."""
        return quote(self.left, self.server.generateCredentials(), **terms)

    def test_worseThanGiven(self) -> None:
        """A path that is worse than the given rate and its slippage gets nothing."""
        self.start(Rate(Ratio(9, 10)))
        error, _ = self.timed(self.pay(sourceAmount=1000, rate=Ratio(1)))
        self.assertIsInstance(error, PaymentError)
        self.assertEqual((error.result.sent, self.received()), (0, 0))
        result, _ = self.timed(self.pay(sourceAmount=1000, minimumRate=Ratio(9, 10)))
        self.assertEqual(result.deliveredMinimum, 900)
        result, _ = self.timed(self.pay(sourceAmount=1000, acceptAnyRate=True))
        self.assertEqual((result.deliveredMinimum, result.deliveredClaimed), (0, 900))
        result, _ = self.timed(self.pay(destinationAmount=900, acceptAnyRate=True))
        self.assertIn(result.deliveredClaimed, (900, 901))

    def test_quote(self) -> None:
        """A quote tells what it would cost; nothing moves."""
        self.start(Rate(Ratio(92, 100_000)), right=EUR)
        told, _ = self.timed(self.quote(sourceAmount=10**7))
        self.assertEqual((told.sourceAmount, told.destinationAsset), (10**7, ("EUR", 6)))
        self.assertIn(told.expectedDelivery, range(9190, 9201))
        self.assertEqual(told.destinationAmount, told.minimumRate.ceil(10**7))
        told, _ = self.timed(self.quote(destinationAmount=9200, rate=Ratio(92, 100_000)))
        self.assertEqual(told.minimumRate, Ratio(92, 100_000).less(Ratio(1, 100)))
        self.assertIn(told.expectedSource, range(10**7, 10**7 + 20_000))
        self.assertEqual(told.sourceAmount, told.minimumRate.inverse().ceil(9200))
        told, _ = self.timed(self.quote(destinationAmount=9200, acceptAnyRate=True))
        self.assertEqual(told.minimumRate, Ratio(0))
        self.assertEqual((self.received(), self.path.taken("left")), (0, 0))

    def test_noQuote(self) -> None:
        """A receiver that does not answer in time has no quote."""
        self.start(RejectWith("T00", 1.0))
        error, _ = self.timed(self.quote(sourceAmount=5, timeout=3))
        self.assertIsInstance(error, ConnectionEnded)


class OpenTests(PaymentTestCase):
    """Paying on a connection that is open, and with a plugin."""

    def test_connection(self) -> None:
        """The connection stays, and its floor is the payment's."""
        self.start()
        connection = self.after(self.client.connect(self.credentials))
        told, _ = self.timed(quote(connection, sourceAmount=1000), 5)
        self.assertEqual(told.expectedDelivery, 1000)
        for amount in (1000, 500):
            paying = pay(connection, sourceAmount=amount, deadlineSinceFulfill=5.0)
            self.assertTrue(self.timed(paying, 5)[0].isComplete)
        self.assertFalse(connection.session.isClosed)
        self.assertRaises(LocalError, pay, connection, self.credentials, sourceAmount=1)
        self.assertRaises(LocalError, pay, connection, sourceAmount=1, rate=Ratio(1))
        self.after(connection.close(), 5)
        self.assertRaises(LocalError, pay, connection, sourceAmount=1)
        self.assertRaises(LocalError, quote, connection, sourceAmount=1)

    def test_together(self) -> None:
        """A quote on a connection that pays; both come to their end."""
        self.start(MaximumPacketAmount(100))
        connection = self.after(self.client.connect(self.credentials, minimumRate=Ratio(1)))
        paying = pay(connection, sourceAmount=5000)
        asked = [quote(connection, sourceAmount=1000) for _ in range(2)]
        self.assertTrue(self.timed(paying, 5)[0].isComplete)
        for each in asked:
            self.assertEqual(self.successResultOf(each).expectedDelivery, 1000)

    def test_plugin(self) -> None:
        """A plugin is given back, and can be used again."""
        left, right = memoryPair(self.clock, left=LEFT, right=RIGHT)
        self.join(left, right)
        self.after(self.left.close())
        self.listen(Recorder)
        reactor: Any = self.clock
        for _ in range(2):
            credentials = self.server.generateCredentials()
            result, _ = self.timed(pay(left, credentials, sourceAmount=7, reactor=reactor), 5)
            self.assertEqual(result.sent, 7)
            told, _ = self.timed(quote(left, credentials, sourceAmount=7, reactor=reactor), 5)
            self.assertEqual(told.expectedDelivery, 7)

    def test_wrongTerms(self) -> None:
        """What does not go together is refused at the caller."""
        self.start()
        for terms in (
            {},
            {"sourceAmount": 1, "destinationAmount": 1},
            {"sourceAmount": 0},
            {"sourceAmount": 1.0},
            {"sourceAmount": True},
            {"sourceAmount": 5, "maxSourceAmount": 4},
            {"destinationAmount": -1},
            {"sourceAmount": 1, "rate": 1.0},
            {"sourceAmount": 1, "slippage": None},
            {"sourceAmount": 1, "slippage": Ratio(2)},
            {"sourceAmount": 1, "data": "text"},
            {"sourceAmount": 1, "data": bytes(20_000)},
            {"sourceAmount": 1, "rate": Ratio(1), "acceptAnyRate": True},
            {"sourceAmount": 1, "rate": Ratio(1), "prices": {}},
            {"sourceAmount": 1, "prices": {"USD": 1.0}},
            {"sourceAmount": 1, "prices": {"EUR": Ratio(1), "USD": Ratio(0)}},
            {"sourceAmount": 1, "deadlineSinceFulfill": 2},
        ):
            try:
                outcome, _ = self.timed(self.pay(**terms), 2)
            except LocalError:
                continue
            self.assertIsInstance(outcome, LocalError, str(terms))
        self.assertRaises(LocalError, pay, self.left, "credentials", sourceAmount=1)
        self.assertEqual(self.received(), 0)


class EndingTests(PaymentTestCase):
    """How payments end."""

    def stalled(self, **terms: Any) -> Deferred[PaymentResult]:
        """A payment of which the receiver takes a part."""

        class Limited(Recorder):
            def connectionMade(self) -> None:
                super().connectionMade()
                self.transport.setReceiveMax(1000)

        self.start(MaximumPacketAmount(100))
        self.served.make = Limited
        return self.pay(sourceAmount=5000, **terms)

    def test_deadline(self) -> None:
        """A receiver that takes no more ends the payment in time."""
        error, trips = self.timed(self.stalled())
        self.assertIsInstance(error, PaymentError)
        self.assertLessEqual(error.result.sent, 1010)
        self.assertGreaterEqual(error.result.sent, 1000)
        self.assertIn("45", str(error))
        self.assertLess(trips * ROUND_TRIP, 50)
        error, trips = self.timed(self.stalled(deadlineSinceFulfill=12))
        self.assertLess(trips * ROUND_TRIP, 16)

    def test_timeout(self) -> None:
        """A time limit ends it, whatever is on its way."""
        error, trips = self.timed(self.stalled(timeout=3))
        self.assertTrue(-0.001 < trips * ROUND_TRIP - 3.0 < ROUND_TRIP + 0.01, trips)
        self.assertIn("3 s", str(error))
        self.assertGreaterEqual(error.result.sent, 1000)

    def test_timeoutWaitsForAnswers(self) -> None:
        """What is on its way when the time is over is waited for a moment, and no longer."""
        self.start(MaximumPacketAmount(10))
        error, trips = self.timed(self.pay(sourceAmount=1_000_000, timeout=1))
        self.assertIsInstance(error, PaymentError)
        self.assertEqual((error.result.inDoubt, error.result.sent), (0, self.received()))
        self.assertLess(trips * ROUND_TRIP, 1.2)
        self.right.plugin.deregisterDataHandler()
        self.right.plugin.registerDataHandler(lambda data: Deferred())
        paying = self.pay(sourceAmount=100, minimumRate=Ratio(1), timeout=1)
        error, trips = self.timed(paying)
        self.assertEqual((error.result.inDoubt, error.result.sent), (100, 0))
        self.assertAlmostEqual(trips * ROUND_TRIP, 1 + LAST_ANSWERS, places=1)

    def test_cancel(self) -> None:
        """Cancelling ends it at once; nothing more leaves, and what is on its way is in doubt."""
        self.start(MaximumPacketAmount(100))
        paying = self.pay(sourceAmount=100_000)
        self.run_(0.3)
        paying.cancel()
        result = self.failureResultOf(paying, PaymentError).value.result
        self.assertGreater(result.inDoubt, 0)
        self.run_(60)
        taken = self.path.taken("left")
        self.assertLessEqual(result.sent, taken)
        self.assertLessEqual(taken, result.sent + result.inDoubt)
        self.assertEqual(self.received(), taken)

    def test_stop(self) -> None:
        """Stopping waits for what is on its way."""
        self.start(MaximumPacketAmount(100))
        payment = Payment(self.left, self.credentials, sourceAmount=100_000)
        paying = payment.start()
        self.run_(0.3)
        stopped = payment.stop()
        self.assertNoResult(stopped)
        self.assertFalse(payment.isOver)
        error, _ = self.timed(paying)
        self.successResultOf(stopped)
        self.assertEqual(payment.result, error.result)
        self.assertIn("stopped", str(error))
        self.assertEqual((error.result.inDoubt, error.result.sent), (0, self.received()))
        self.assertGreater(error.result.sent, 0)

    def test_lost(self) -> None:
        """Packets without an answer are in doubt, and never paid twice."""

        class Losing(Hop):
            count = 0

            def receiveReply(self, packet: Transit) -> Gone | None:
                self.count += bool(packet.sourceAmount)
                return Gone.LOST if packet.sourceAmount and self.count == 7 else None

        self.start(Losing(direction="left"), MaximumPacketAmount(100))
        error, _ = self.timed(self.pay(sourceAmount=5000))
        self.assertIsInstance(error, PaymentError)
        self.assertEqual((error.result.sent, error.result.inDoubt), (4900, 100))
        self.assertEqual(self.received(), 5000)
        self.start(Losing(direction="left"), MaximumPacketAmount(100))
        error, _ = self.timed(self.pay(destinationAmount=5000))
        self.assertEqual(error.result.inDoubt, 100)
        self.assertIn(error.result.deliveredClaimed, range(4890, 4901))
        self.assertEqual(self.received(), error.result.deliveredClaimed + 100)

    def test_unreachable(self) -> None:
        """A receiver that is not there: the error lists every reject."""
        self.start(RejectWith("F02", 1.0))
        error, _ = self.timed(self.pay(sourceAmount=5))
        self.assertIsInstance(error, PaymentError)
        self.assertEqual([reject.code for reject in error.result.rejects], ["F02"])
        self.assertEqual(error.result.sent, 0)

    def test_progress(self) -> None:
        """Progress is told as money settles; a callback that raises harms nothing."""
        self.start(MaximumPacketAmount(100))
        told: list[PaymentResult] = []
        result, _ = self.timed(self.pay(sourceAmount=2000, progress=told.append))
        self.assertEqual(told[-1].sent, 2000)
        sums = [each.sent for each in told]
        self.assertEqual(sums, sorted(sums))
        result, _ = self.timed(self.pay(sourceAmount=2000, progress=lambda _: 1 // 0))
        self.assertTrue(result.isComplete)
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))


@implementer(IPaymentPolicy)
class Doorkeeper:
    """Answers as it was told, and keeps what it was asked."""

    def __init__(self, *verdicts: Any) -> None:
        self.verdicts = list(verdicts)
        self.asked: list[PaymentRequest] = []

    def judgePayment(self, request: PaymentRequest) -> Any:
        """The next verdict; then yes."""
        self.asked.append(request)
        return self.verdicts.pop(0) if self.verdicts else True


class DataTests(PaymentTestCase):
    """Data beside the first money, and reasons of refusals."""

    def test_data(self) -> None:
        """It goes with the first money, and the receiver's policy sees it."""
        policy = Doorkeeper()
        self.start(MaximumPacketAmount(100), policy=policy)
        result, _ = self.timed(self.pay(sourceAmount=1000, data=b"invoice 7"))
        self.assertTrue(result.isComplete)
        self.assertEqual(self.served.made[0].data, b"invoice 7")
        self.assertEqual([request.data for request in policy.asked[:2]], [b"invoice 7", b""])

    def test_repeated(self) -> None:
        """It goes again while it is refused, and nothing else goes before it has arrived."""
        policy = Doorkeeper(False, Refusal("one moment", isFinal=False))
        self.start(MaximumPacketAmount(100), policy=policy)
        result, _ = self.timed(self.pay(sourceAmount=1000, data=b"invoice 7"))
        self.assertTrue(result.isComplete)
        self.assertEqual(self.served.made[0].data, b"invoice 7")
        self.assertEqual([request.data for request in policy.asked[:3]], [b"invoice 7"] * 3)

    def test_rejected(self) -> None:
        """A node that refuses the first packet does not lose the data."""
        self.start(MaximumPacketAmount(100))
        result, _ = self.timed(self.pay(sourceAmount=1000, data=b"x" * 10_000))
        self.assertTrue(result.isComplete)
        self.assertEqual(self.served.made[0].data, b"x" * 10_000)

    def test_refused(self) -> None:
        """A final refusal ends the payment, and its reason reaches the payer."""
        self.start(policy=Doorkeeper(Refusal("sold out \N{SNOWMAN}")))
        error, trips = self.timed(self.pay(sourceAmount=1000, data=b"invoice 7"))
        self.assertIsInstance(error, PaymentError)
        self.assertIn("sold out \N{SNOWMAN}", str(error))
        self.assertEqual((error.result.sent, self.received(), trips), (0, 0, 1.0))

    def test_refusedForLong(self) -> None:
        """A refusal that is not final is told when the payment gives up."""
        self.start(policy=Doorkeeper(*[Refusal("not yet", isFinal=False)] * 1000))
        error, _ = self.timed(self.pay(sourceAmount=1000))
        self.assertIn("not yet", str(error))
        self.assertEqual(error.result.sent, 0)

    def test_laterRefusal(self) -> None:
        """A refusal may come later."""
        later: Deferred[Any] = Deferred()
        self.start(policy=Doorkeeper(later))
        paying = self.pay(sourceAmount=1000)
        self.run_(1)
        later.callback(Refusal("I have thought about it"))
        error, _ = self.timed(paying)
        self.assertIn("I have thought about it", str(error))


class StateTests(PaymentTestCase):
    """Payments that others go on with."""

    def test_kept(self) -> None:
        """The state is written ahead of what leaves, and tells the end."""
        self.start(MaximumPacketAmount(100))
        saved: list[str] = []
        paying = self.pay(sourceAmount=5000, save=lambda state: saved.append(state.toJSON()))
        self.assertEqual(len(saved), 1)
        result, _ = self.timed(paying)
        self.assertTrue(result.isComplete)
        last = PaymentState.fromJSON(saved[-1])
        self.assertEqual((last.sent, last.reserved, last.inDoubt), (5000, 5000, 0))
        for text in saved:
            state = PaymentState.fromJSON(text)
            self.assertLessEqual(state.sent, state.reserved)
        again = self.pay(sourceAmount=5000, state=last)
        error, _ = self.timed(again)
        self.assertTrue(error.isComplete)

    def test_cancelledBySave(self) -> None:
        """Who cancels while its end is written down is told once, and it closes once."""
        self.start(MaximumPacketAmount(100))
        ended: list[Any] = []
        saves: list[PaymentState] = []

        def save(state: PaymentState) -> None:
            saves.append(state)
            if state.sent:
                paying.cancel()

        payment = Payment(self.left, self.credentials, sourceAmount=500, save=save)
        closes: list[object] = []
        close = payment._payer._close

        def counted() -> object:
            closes.append(None)
            return close()

        self.patch(payment._payer, "_close", counted)
        paying = payment.start()
        paying.addBoth(ended.append)
        self.run_(20)
        self.assertEqual((len(ended), len(closes)), (1, 1))

    def test_goesOn(self) -> None:
        """What was reserved and not settled is in doubt, the rest is paid."""
        self.start(MaximumPacketAmount(100))
        state = PaymentState(5000, None, 1000, 990, 1000, 1500, 1001, 3)
        error, _ = self.timed(pay(self.left, self.credentials, sourceAmount=5000, state=state))
        self.assertIsInstance(error, PaymentError)
        self.assertEqual((error.result.sent, error.result.inDoubt), (4500, 500))
        self.assertEqual(self.received(), 3500)

    def test_fixedDelivery(self) -> None:
        """Money in doubt counts as delivered at the best rate."""
        self.start(MaximumPacketAmount(100))
        state = PaymentState(9000, 5000, 1000, 990, 1000, 1500, 1001, 3, "1/1")
        terms: dict[str, Any] = {"destinationAmount": 5000, "maxSourceAmount": 9000}
        error, _ = self.timed(pay(self.left, self.credentials, state=state, **terms))
        self.assertEqual((error.result.deliveredClaimed, error.result.inDoubt), (4500, 500))
        blind = PaymentState(9000, 5000, 1000, 990, 1000, 1500, 1001, 3)
        self.assertEqual(blind.missing(None), 0)
        self.assertFalse(blind.canGoOn(None))

    def test_cannotSave(self) -> None:
        """A state that cannot be saved stops the payment."""
        self.start(MaximumPacketAmount(100))
        for save in (lambda _: 1 // 0, lambda _: fail(ZeroDivisionError("full"))):
            error, _ = self.timed(self.pay(sourceAmount=5000, save=save))
            self.assertIn("could not be saved", str(error))
            self.assertEqual(error.result.sent, 0)
            self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))
        self.assertEqual(self.received(), 0)

    def test_noState(self) -> None:
        """What is no state is refused."""
        good = PaymentState(5).toJSON()
        self.assertEqual(PaymentState.fromJSON(good), PaymentState(5))
        for text in ("", "[]", "{}", good.replace(": 5", ": -5"), good.replace(": 5", ": true")):
            self.assertRaises(LocalError, PaymentState.fromJSON, text)
        for wrong in ('"highestRate": 5', '"highestRate": "fast"'):
            text = good.replace('"highestRate": ""', wrong)
            self.assertRaises(LocalError, PaymentState.fromJSON, text)
        text = PaymentState(5, sent=4, reserved=4).toJSON().replace('"sent": 4', '"sent": 5')
        self.assertRaises(LocalError, PaymentState.fromJSON, text)


class HardTests(PaymentTestCase):
    """What was once wrong."""

    def test_nothingArrivedYet(self) -> None:
        """A delivery whose rate is not known yet is no reason to send all there is."""
        self.start(Rate(Ratio(1, 1000)), right=EUR)
        for terms in ({"acceptAnyRate": True}, {"minimumRate": Ratio(1, 2000)}):
            result, _ = self.timed(self.pay(destinationAmount=1, **terms))
            self.assertTrue(result.isComplete)
            self.assertLess(result.sent, 1100)
        result, _ = self.timed(self.pay(destinationAmount=1))
        self.assertLess(result.sent, 1100)
        self.assertRaises(LocalError, self.pay, destinationAmount=1, rate=Ratio(0))

    def test_stoppedBefore(self) -> None:
        """A payment that is stopped before it begins sends nothing; none begins twice."""
        self.start()
        payment = Payment(self.left, self.credentials, sourceAmount=1000)
        payment.stop()
        error, _ = self.timed(payment.start(), 5)
        self.assertIsInstance(error, PaymentError)
        self.assertEqual((error.result.sent, self.received()), (0, 0))
        self.assertRaises(LocalError, payment.start)

    def test_neverStarted(self) -> None:
        """A payment that is stopped and never started touches no plugin, and leaves no error."""
        left, _ = memoryPair(self.clock, left=LEFT, right=RIGHT)
        self.start()
        self.after(left.connect())
        left.registerDataHandler(lambda data: data)
        payment = Payment(left, self.credentials, sourceAmount=1000, reactor=self.clock)
        self.successResultOf(payment.stop())
        error, _ = self.timed(payment.start(), 5)
        self.assertIsInstance(error, PaymentError)
        Payment(left, self.credentials, sourceAmount=1, reactor=self.clock).stop()
        gc.collect()
        self.assertTrue(left.isConnected())
        self.assertRaises(LocalError, left.registerDataHandler, lambda data: data)

    def test_nothingLeftBehind(self) -> None:
        """A payment whose stream ends while money is on its way leaves no call in the reactor."""
        self.start(MaximumPacketAmount(10))
        payment = Payment(self.left, self.credentials, sourceAmount=100_000)
        out: list[Any] = []
        payment.start().addErrback(out.append)
        self.run_(0.5)
        self.served.made[0].transport.loseConnection()
        counts = []
        for _ in range(100):
            counts.append(sum(isinstance(call.func.__self__, Payer) for call in self.ownCalls()))
            if out:
                break
            self.run_(0.01)
        self.assertIsInstance(out[0].value, PaymentError)
        self.assertGreater(max(counts), 2)
        self.assertEqual(counts[-1], 0)
        self.assertEqual(out[0].value.result.sent, self.received())

    def ownCalls(self) -> list[Any]:
        """The calls to come that are methods of something."""
        calls: list[Any] = list(self.clock.getDelayedCalls())
        return [call for call in calls if hasattr(call.func, "__self__")]

    def test_otherTerms(self) -> None:
        """A saved state goes with its own terms only."""
        self.start()
        for state, terms in (
            (PaymentState(5000), {"sourceAmount": 100}),
            (PaymentState(5000, 3000), {"sourceAmount": 5000}),
            (PaymentState(5000, nextSequence=0), {"sourceAmount": 5000}),
            (PaymentState(5000, nextStreamID=2), {"sourceAmount": 5000}),
        ):
            self.assertRaises(LocalError, self.pay, state=state, **terms)
        self.assertRaises(LocalError, PaymentState.fromJSON, "[" * 100_000)
        self.assertRaises(LocalError, self.pay, sourceAmount=1, timeout=-1)

    def test_stateWithoutSave(self) -> None:
        """The state of a payment says all that another needs, kept or not."""
        self.start(MaximumPacketAmount(10))
        terms: dict[str, Any] = {"destinationAmount": 50_000, "maxSourceAmount": 60_000}
        payment = Payment(self.left, self.credentials, timeout=0.5, **terms)
        error, _ = self.timed(payment.start())
        state = PaymentState.fromJSON(payment.state.toJSON())
        self.assertEqual(state.deliveredClaimed, error.result.deliveredClaimed)
        self.assertGreater(state.nextSequence, 1)
        again = pay(self.left, self.credentials, state=state, **terms)
        outcome, _ = self.timed(again)
        result = getattr(outcome, "result", outcome)
        self.assertLessEqual(self.received(), 50_001)
        self.assertGreaterEqual(self.received(), 50_000 - 2 * result.inDoubt)

    def test_openingTakesTime(self) -> None:
        """The time limit and cancelling count from the start, whatever is waited for."""
        left, _ = memoryPair(self.clock, left=LEFT, right=RIGHT)
        self.start()
        never: Deferred[None] = Deferred()
        self.patch(left, "connect", lambda: never)
        reactor: Any = self.clock
        paying = pay(left, self.credentials, sourceAmount=1, timeout=3, reactor=reactor)
        error, trips = self.timed(paying)
        self.assertIsInstance(error, PaymentError)
        self.assertLess(trips * ROUND_TRIP, 6)
        paying = pay(left, self.credentials, sourceAmount=1, reactor=reactor)
        paying.cancel()
        self.failureResultOf(paying, PaymentError)

    def test_pluginFails(self) -> None:
        """A plugin that cannot be given back does not hide the result."""
        for disconnect in (lambda: fail(OSError("stuck")), Deferred):
            left, right = memoryPair(self.clock, left=LEFT, right=RIGHT)
            self.join(left, right)
            self.after(self.left.close())
            self.listen(Recorder)
            credentials = self.server.generateCredentials()
            self.patch(left, "disconnect", disconnect)
            reactor: Any = self.clock
            paying = pay(left, credentials, sourceAmount=7, reactor=reactor)
            self.assertEqual(self.timed(paying, 10)[0].sent, 7)
            self.flushLoggedErrors()

    def test_quoteGivesBack(self) -> None:
        """A quote that fails gives the plugin back."""
        left, right = memoryPair(self.clock, left=LEFT, right=RIGHT)
        self.join(left, right)
        self.after(self.left.close())
        self.listen(Recorder)
        credentials = self.server.generateCredentials()
        self.after(self.server.stopListening())
        reactor: Any = self.clock
        for _ in range(2):
            asked = quote(left, credentials, sourceAmount=7, reactor=reactor)
            self.assertIsInstance(self.timed(asked)[0], ConnectionEnded)

    def test_quoteThatTimesOut(self) -> None:
        """A quote that is given up holds no money back."""

        class Deaf(Hop):
            def receivePrepare(self, packet: Transit) -> Gone | None:
                return Gone.LOST if packet.sourceAmount > 10**6 else None

        self.start(Deaf())
        connection = self.after(self.client.connect(self.credentials, minimumRate=Ratio(1)))
        error, _ = self.timed(quote(connection, sourceAmount=10**9, timeout=3), 5)
        self.assertIsInstance(error, ConnectionEnded)
        result, _ = self.timed(pay(connection, sourceAmount=5), 5)
        self.assertEqual(result.sent, 5)

    def test_noSuchQuote(self) -> None:
        """What the rate cannot do is no quote, and no payment."""
        self.start(Rate(Ratio(1, 2)), right=OTHER)
        asked = quote(self.left, self.credentials, destinationAmount=1000, maxSourceAmount=1200)
        self.assertIn("more than 1200", str(self.timed(asked)[0]))
        asked = quote(
            self.left, self.server.generateCredentials(), sourceAmount=1000, rate=Ratio(1)
        )
        self.assertIsInstance(self.timed(asked)[0], PaymentError)
        error, trips = self.timed(self.pay(sourceAmount=1000, rate=Ratio(1)))
        self.assertIn("the least is 99/100", str(error))
        self.assertLess(trips * ROUND_TRIP, 2)

    def test_stopStops(self) -> None:
        """What comes back after a stop does not leave again."""

        class Rejecting(Hop):
            isOn = False
            count = 0

            def receivePrepare(self, packet: Transit) -> Reject | None:
                self.count += self.isOn and packet.sourceAmount > 0
                return self.reject("T00") if self.isOn and packet.sourceAmount else None

        hop = Rejecting(direction="left")
        self.start(MaximumPacketAmount(100), hop)
        payment = Payment(self.left, self.credentials, sourceAmount=100_000)
        paying = payment.start()
        self.run_(0.3)
        hop.isOn = True
        payment.stop()
        self.run_(0.1)
        before = hop.count
        error, _ = self.timed(paying, 10)
        self.assertEqual(hop.count, before)
        self.assertEqual((error.result.inDoubt, error.result.sent), (0, self.received()))

    def test_refusedHalfWay(self) -> None:
        """A final refusal: what is on its way is heard of before the end is told."""
        self.start(MaximumPacketAmount(100), policy=Doorkeeper(*[True] * 29, Refusal("enough")))
        error, _ = self.timed(self.pay(sourceAmount=100_000))
        self.assertIn("enough", str(error))
        self.assertEqual((error.result.sent, error.result.inDoubt), (self.received(), 0))

    def test_dataOfAFailure(self) -> None:
        """Data that has no money to go with does not hold an open connection up."""
        self.start(Rate(Ratio(1, 1000)), right=EUR)
        connection = self.after(self.client.connect(self.credentials))
        error, _ = self.timed(pay(connection, sourceAmount=1, data=b"invoice"), 10)
        self.assertIsInstance(error, PaymentError)
        self.run_(2)
        self.assertEqual(connection.streams, {})
        self.after(connection.close(), 5)

    def test_traceRaises(self) -> None:
        """Whoever is told of a trace and raises harms nothing."""

        def explode(name: str, particulars: object) -> None:
            raise ZeroDivisionError(name)

        self.start(MaximumPacketAmount(100))
        result, _ = self.timed(self.pay(sourceAmount=1000, options={"trace": explode}))
        self.assertEqual((result.sent, self.received()), (1000, 1000))


class OtherTests(PaymentTestCase):
    """What else there is."""

    def test_plainReceiver(self) -> None:
        """A receiver that knows no money takes none; the payment ends."""
        self.start()
        self.served.make = Protocol
        error, _ = self.timed(self.pay(sourceAmount=5))
        self.assertIsInstance(error, PaymentError)
        self.assertEqual(error.result.sent, 0)


class RandomTests(SynchronousTestCase):
    """Random payments on random paths hold to every guarantee."""

    def test_payments(self) -> None:
        """Fixed in what is sent, or in what is delivered."""
        complete = sum(RandomPayment(seed).check_().isComplete for seed in range(150))
        self.assertGreater(complete, 75)

    def test_interrupted(self) -> None:
        """Killed at a random packet, and resumed from what was saved."""
        complete = sum(InterruptedPayment(seed).check_().isComplete for seed in range(100))
        self.assertGreater(complete, 40)
