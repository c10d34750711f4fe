"""Faults of Quilt and Dassie that are none of ours."""

from __future__ import annotations

from txilpstream.amounts import Ratio
from txilpstream.crypto.receipts import signReceipt
from txilpstream.interfaces import PaymentError
from txilpstream.payments.payment import pay
from txilpstream.payments.quote import quote
from txilpstream.payments.test.test_payment import EUR, ROUND_TRIP, PaymentTestCase
from txilpstream.session.congestion.pacing import Pacing
from txilpstream.session.events import ConnectionClosed, MoneySettled, PeerAnswered
from txilpstream.session.test.test_acknowledgements import Peerless
from txilpstream.test.conformance.base import framesOf
from txilpstream.test.support.sessions import Pair, limiting, rejecting, settled
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.testing import Latency, MaximumPacketAmount, Rate, RejectWith
from txilpstream.wire.frames import ConnectionClose, StreamReceipt
from txilpstream.wire.ilp import decodePrepare, encodeFulfill
from txilpstream.wire.packet import FULFILL, PREPARE, REJECT, encodePacket


class AnswerTests(VirtualTestCase):
    """Answers that are not what they seem, or are and do not seem so."""

    def assertClaimed(self, test: Peerless, claimed: int) -> None:
        """The money is sent, and this is what the peer is believed to have got."""
        event = MoneySettled(test.streamID, 1000, 1000, claimed, False)
        self.assertEqual(test.end.seen(MoneySettled), [event])
        self.assertFalse(test.session.isClosed)

    def test_unknownFrameDoesNotMakeAnAnswerForeign(self) -> None:
        """Quilt: a frame that it does not know makes a paid packet a breach of the protocol."""
        test = Peerless()
        prepare, keys = decodePrepare(test.packet.data), test.pair.keys
        frames = [b"\x77\x02ab", b"\xff\x00"]
        plain = encodePacket(test.packet.sequence, FULFILL, 1007, frames)
        reply = encodeFulfill(keys.fulfillment(prepare.data), keys.seal(plain, bytes(12)))
        test.end.took += 1000
        test.pair.reply(test.end, test.packet.sequence, reply)
        self.assertClaimed(test, 1007)

    def test_receiptDoesNotMakeAnAnswerForeign(self) -> None:
        """Quilt: the same with the frame of a receipt."""
        test = Peerless()
        receipt = signReceipt(bytes(16), test.streamID, 1007, bytes(32))
        test.answer(1007, frames=(StreamReceipt(test.streamID, receipt),))
        self.assertClaimed(test, 1007)
        self.assertEqual(test.end.streams[test.streamID].receipt, receipt)
        self.assertEqual(len(test.end.seen(PeerAnswered)), 1)

    def test_fulfillmentIsVerified(self) -> None:
        """Quilt, Dassie: whatever stands in a Fulfill, the packet counts as paid."""
        test = Peerless()
        test.answer(isRight=False)
        self.assertEqual(test.money, (0, 0, 0, 1000))
        [event] = test.end.seen(MoneySettled)
        self.assertTrue(event.isInDoubt)
        self.assertEqual(settled(test.end), 0)

    def test_sequenceOfTheAnswerIsVerified(self) -> None:
        """Quilt, Dassie: the answer to another packet is believed."""
        test = Peerless()
        test.answer(5000, sequence=2)
        self.assertClaimed(test, 1000)
        test = Peerless()
        test.answer(5000, kind=REJECT, sequence=2, frames=(ConnectionClose(1, "spoofed"),))
        self.assertFalse(test.session.isClosed)

    def test_typeOfTheAnswerIsVerified(self) -> None:
        """Quilt, Dassie: a Reject's packet in a Fulfill is believed, and the other way round."""
        for kind in (REJECT, PREPARE):
            test = Peerless()
            test.answer(5000, packetType=kind)
            self.assertClaimed(test, 1000)
        for kind in (FULFILL, PREPARE):
            test = Peerless()
            frames = (ConnectionClose(1, "spoofed"),)
            test.answer(5000, kind=REJECT, packetType=kind, frames=frames)
            self.assertFalse(test.session.isClosed)


class SpeedTests(VirtualTestCase):
    """How fast it goes."""

    def test_roundTripIsMeasured(self) -> None:
        """Quilt: a slip in the mean leaves the round trip at 200 ms, whatever is measured."""
        pacing = Pacing(1e6)
        for seconds in (1.0, 0.05, 0.4):
            for _ in range(60):
                pacing.measured(seconds)
            assert pacing.roundTrip is not None
            self.assertAlmostEqual(pacing.roundTrip, seconds, places=2)

    def test_rateHasNoHardCap(self) -> None:
        """Quilt: five in flight and fifty packets a second are the most that there is."""
        pair = Pair({"minimumRate": Ratio(1), "maximumPacketAmount": 1})
        pair.latency = 0.1
        pair.pay(1500, 8)
        self.assertEqual(settled(pair.client), 1500)

    def test_sequenceIsNotUsedUpByNothing(self) -> None:
        """Quilt: a number is used up each time it looks and has nothing to send."""
        pair = Pair({"maximumPacketAmount": 10})
        pair.pay(1000, 10)
        session = pair.client.session
        before = session.nextSequence
        for _ in range(100):
            self.assertIsNone(session.nextPacket(now=pair.now))
        self.assertEqual(session.nextSequence, before)
        self.assertEqual(before, len(pair.client.prepares) + 1)

    def test_laterMaximumIsHeard(self) -> None:
        """Quilt: once it knows a maximum, a smaller one stalls the payment."""
        pair = Pair({"maximumPacketsPerSecond": 50})
        streamID = pair.client.open()
        for most, withAmounts in ((100, True), (30, True), (7, False), (50, True), (3, True)):
            pair.client.out = limiting(most, withAmounts=withAmounts)
            before = settled(pair.client)
            pair.client.session.sendMoney(streamID, 500)
            pair.run(15)
            self.assertEqual(settled(pair.client) - before, 500, most)

    def test_largePacketsDoNotLowerTheRate(self) -> None:
        """Dassie: an F08 halves how many packets are in flight."""
        pair = Pair({"minimumRate": Ratio(1), "maximumPacketAmount": 100})
        pair.pay(1_000_000, 0.3)
        before = pair.client.session.packetRate
        pair.client.out = limiting(50)
        pair.run(0.2)
        codes = [reject.code for reject in pair.client.session.rejects]
        self.assertEqual(codes, ["F08"])
        self.assertGreaterEqual(pair.client.session.packetRate, before)

    def test_triesEnd(self) -> None:
        """Dassie: it tries for ever."""
        for code in ("T00", "T04", "T05", "R00", "F02", "F08", "F99"):
            pair = Pair()
            pair.client.out = lambda prepare, code=code: rejecting(code)  # type: ignore[misc]
            pair.pay(1000, 100)
            self.assertEqual(len(pair.client.seen(ConnectionClosed)), 1, code)
            self.assertLess(len(pair.client.prepares), 200, code)
            count = len(pair.client.prepares)
            pair.run(1000)
            self.assertEqual(len(pair.client.prepares), count, code)


class EndTests(VirtualTestCase):
    """How it ends."""

    def test_closeWaitsForPacketsInFlight(self) -> None:
        """Quilt: the close overtakes money that is on its way."""
        pair = Pair({"minimumRate": Ratio(1), "maximumPacketAmount": 10})
        pair.latency = 1.0
        streamID = pair.client.open()
        pair.client.session.sendMoney(streamID, 100)
        pair.run(0.5)
        pair.client.session.close()
        pair.run(0.6)
        self.assertEqual(framesOf(pair, pair.client.prepares, ConnectionClose), [])
        pair.run(20)
        self.assertEqual((settled(pair.client), pair.server.credited), (100, 100))
        self.assertEqual(framesOf(pair, pair.client.prepares[-1:], ConnectionClose)[0].errorCode, 1)
        self.assertEqual([e.error for e in pair.server.seen(ConnectionClosed)], [None])


class PaymentTests(PaymentTestCase):
    """Whole payments."""

    def test_payReturnsAtOnce(self) -> None:
        """Quilt: what promises to answer later holds its caller up until all is over."""
        self.start()
        paying = self.pay(sourceAmount=1000)
        self.assertNoResult(paying)
        self.assertEqual(self.received(), 0)
        self.assertTrue(self.timed(paying)[0].isComplete)

    def test_timeoutsHaveFractions(self) -> None:
        """Quilt: time limits are cut to whole seconds, and less than one is none."""
        for seconds in (0.7, 1.9):
            self.start(RejectWith("T00", 1.0))
            error, trips = self.timed(self.pay(sourceAmount=5, timeout=seconds))
            self.assertIsInstance(error, PaymentError)
            # The answer to what left last may come one round trip later.
            self.assertTrue(-0.001 < trips * ROUND_TRIP - seconds < ROUND_TRIP + 0.01, trips)

    def test_quoteHasItsScale(self) -> None:
        """Quilt: what a quote says is rounded to whole units of the asset."""
        self.start(Rate(Ratio(92, 100_000)), right=EUR)
        told, _ = self.timed(quote(self.left, self.credentials, sourceAmount=1_234_567))
        self.assertEqual(told.destinationAsset, ("EUR", 6))
        self.assertIn(told.expectedDelivery, range(1134, 1136))
        self.assertTrue(told.low <= Ratio(92, 100_000) <= told.high)

    def test_deliveryCanBeFixed(self) -> None:
        """Quilt: its payer can send a fixed amount, and cannot deliver one."""
        self.start(Rate(Ratio(92, 1000)), MaximumPacketAmount(500), right=EUR)
        result, _ = self.timed(self.pay(destinationAmount=777))
        self.assertTrue(result.isComplete)
        self.assertIn(result.deliveredClaimed, (777, 778))

    def test_deliveryInFlightCounts(self) -> None:
        """Quilt: what is on its way is added as nothing, so that a delivery is exceeded by far."""
        self.start(Latency(0.5), MaximumPacketAmount(10))
        result, _ = self.timed(self.pay(destinationAmount=5005))
        self.assertIn(result.deliveredClaimed, (5005, 5006))
        self.assertEqual(self.received(), result.deliveredClaimed)

    def test_paymentsTogetherDoNotDisturbEachOther(self) -> None:
        """Quilt: its sender must not be used for two payments at a time."""
        self.start(MaximumPacketAmount(100))
        amounts = [1000, 2000, 3000, 4000, 5000]
        paying = [self.pay(sourceAmount=amount) for amount in amounts]
        results = [self.timed(each)[0] for each in paying]
        self.assertEqual([result.sent for result in results], amounts)
        got = sorted(made.transport.totalReceived for made in self.served.made)
        self.assertEqual(got, amounts)

    def test_sendsTogetherDoNotDisturbEachOther(self) -> None:
        """The same on one connection, and on one stream."""
        self.start(MaximumPacketAmount(100))
        connection = self.after(self.client.connect(self.credentials, minimumRate=Ratio(1)))
        paying = [pay(connection, sourceAmount=amount) for amount in (1000, 2000)]
        self.connection = connection
        near = self.openStream()
        sending = [near.transport.sendMoney(amount) for amount in (300, 400, 500)]
        sent = [self.timed(each)[0].sent for each in (*paying, *sending)]
        self.assertEqual(sent, [1000, 2000, 300, 400, 500])
        self.assertEqual(self.received(), 4200)
