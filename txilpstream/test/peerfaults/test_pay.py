"""Faults of @interledger/pay that are none of ours."""

from __future__ import annotations

from typing import Any

from txilpstream.amounts import Ratio
from txilpstream.errors import ErrorCode, PeerError
from txilpstream.interfaces import PaymentError
from txilpstream.payments.payment import pay
from txilpstream.payments.quote import quote
from txilpstream.payments.state import PaymentState
from txilpstream.payments.test.test_payment import EUR, OTHER, PaymentTestCase
from txilpstream.session.congestion.maxpacket import RAISE_INTERVAL
from txilpstream.session.events import ConnectionClosed, MoneySettled
from txilpstream.session.test.test_acknowledgements import Peerless
from txilpstream.test.conformance.base import give
from txilpstream.test.support.connected import Recorder
from txilpstream.test.support.sessions import Pair, limiting, settled
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.testing import (
    Expiry,
    Hop,
    Latency,
    LiquidityBucket,
    MaximumPacketAmount,
    MoneyInFlight,
    PacketRate,
    Rate,
    RejectWith,
    Transit,
)
from txilpstream.wire.frames import StreamMaxMoney, StreamMoney
from txilpstream.wire.ilp import Fulfill, Reject, encodeFulfill


class Watch(Hop):
    """
    Writes down which packets of the left side come by, and answers what it is told to.

    @ivar packets: moment and amount of each.
    @ivar answers: the codes for the first packets.
    """

    def __init__(self, *answers: str) -> None:
        super().__init__(direction="left")
        self.packets: list[tuple[float, int]] = []
        self.answers = list(answers)

    def receivePrepare(self, packet: Transit) -> Reject | None:
        """Write it down."""
        self.packets.append((self.path.now, packet.sourceAmount))
        return self.reject(self.answers.pop(0)) if self.answers else None

    @property
    def amounts(self) -> list[int]:
        """Of each packet."""
        return [amount for _, amount in self.packets]


class PathTests(PaymentTestCase):
    """What paths do that made payments fail."""

    def paid(self, *hops: Hop, seconds: float = 100.0, **terms: Any) -> Any:
        """What came of a payment over these hops."""
        self.start(*hops)
        return self.timed(self.pay(**terms), seconds)[0]

    def assertPaid(self, *hops: Hop, amount: int = 1000, seconds: float = 100.0) -> None:
        """All arrives."""
        result = self.paid(*hops, sourceAmount=amount, seconds=seconds)
        self.assertEqual((result.sent, result.inDoubt), (amount, 0))
        self.assertEqual(self.received(), amount)

    def test_liquidityErrorShrinksThePacket(self) -> None:
        """pay: T04 makes it slower and never smaller, so that it stalls and gives up after 10 s."""
        self.assertPaid(LiquidityBucket(100, 50))
        self.assertPaid(MoneyInFlight(70), amount=5000)

    def test_temporaryErrorDoesNotLookLikeTheEnd(self) -> None:
        """pay: it gives up 10 s after the last fulfill, whatever the path says of its trouble."""

        class Down(Hop):
            def receivePrepare(self, packet: Transit) -> Reject | None:
                isDown = 0.5 < self.path.now - self.path.startedAt < 25
                return self.reject("T00") if isDown and packet.side == "left" else None

        self.assertPaid(Down(), MaximumPacketAmount(100), PacketRate(50, 5), amount=20_000)

    def test_oneTimeoutDoesNotEndThePayment(self) -> None:
        """pay: a single R00 or R02 is the end."""
        for code in ("R00", "R01", "R02"):
            watch = Watch(code)
            self.assertPaid(watch, MaximumPacketAmount(100))
            self.assertEqual(watch.answers, [])

    def test_oneAnswerThatComesTooLateDoesNotEndThePayment(self) -> None:
        """pay: the same where a node of the path says R00 for an answer that did not come."""

        class Slow(Hop):
            count = 0

            def receivePrepare(self, packet: Transit) -> float | None:
                self.count += packet.sourceAmount > 0
                return 40.0 if self.count == 3 and packet.side == "left" else None

        self.assertPaid(Expiry(), Slow(), MaximumPacketAmount(100))

    def test_rateLimitIsLearned(self) -> None:
        """Rafiki answers T05 beyond 10,000 packets a minute; pay is not slower than that for it."""
        watch = Watch()
        limit = PacketRate(10_000 / 60, 50)
        self.assertPaid(watch, limit, MaximumPacketAmount(10), amount=30_000, seconds=300)
        self.assertLess(len(watch.packets), 3000 * 1.1)
        seconds = watch.packets[-1][0] - watch.packets[0][0]
        self.assertLess(seconds, 3000 / (10_000 / 60) * 1.3)

    def test_maximumIsProbedUpwardAgain(self) -> None:
        """pay: once a maximum is found, no larger packet is ever tried."""
        pair = Pair({"maximumPacketsPerSecond": 10})
        pair.client.out = limiting(100)
        streamID = pair.client.open()
        pair.client.session.sendMoney(streamID, 1_000_000)
        pair.run(10)
        self.assertEqual(pair.client.session.mostPerPacket, 100)
        pair.client.out = limiting(400)
        pair.run(4 * RAISE_INTERVAL)
        self.assertGreater(pair.client.session.mostPerPacket, 300)

    def test_rateHasNoHardCap(self) -> None:
        """pay: never more than 200 packets per second and 20 in flight, whatever the path takes."""
        self.start(Latency(0.1), MaximumPacketAmount(10))
        connection = self.after(self.client.connect(self.credentials, minimumRate=Ratio(1)))
        paying = pay(connection, sourceAmount=30_000)
        most = 0
        for _ in range(100):
            self.run_(0.1)
            most = max(most, connection.session.inFlight)
        self.assertTrue(self.successResultOf(paying).isComplete)
        self.assertGreater(most, 100)

    def test_roundingAllowanceIsUsedOnce(self) -> None:
        """
        pay: a unit may be lost to rounding once, but packets in flight together each get the
        allowance. None is given here: every packet meets the floor by itself.
        """

        class Minimums(Hop):
            delivered = taken = 0

            def receiveReply(self, packet: Transit) -> None:
                if isinstance(packet.reply, Fulfill) and packet.side == "left":
                    self.taken += packet.sourceAmount
                    self.delivered += packet.prepare.amount

        rate = Ratio(92, 1000)
        floor = rate.less(Ratio(1, 100))
        for most in (98, 109, 1000):
            watch = Minimums()
            self.start(MaximumPacketAmount(most), watch, Rate(rate), right=OTHER)
            result, _ = self.timed(self.pay(sourceAmount=20_000, rate=rate))
            result = getattr(result, "result", result)
            self.assertGreater(result.sent, 19_000, result)
            self.assertGreaterEqual(self.received(), floor.ceil(watch.taken))
            self.assertGreaterEqual(result.deliveredMinimum, floor.ceil(result.sent))

    def test_roundingDoesNotStallThePayment(self) -> None:
        """
        The allowance was there for a reason: the largest packet may lose too much to rounding, and
        one that is a unit smaller may not.
        """
        rate = Ratio(92, 1000)
        self.start(MaximumPacketAmount(99), Rate(rate), right=OTHER)
        result, _ = self.timed(self.pay(sourceAmount=20_000, rate=rate))
        self.assertGreater(getattr(result, "result", result).sent, 19_000)

    def test_probesForTheRateDoNotEndThePayment(self) -> None:
        """
        pay: it ends with an error where the receiver answers a probe with F05, or too little with
        F04, as stream-receiver does now.
        """

        class Newer(Hop):
            def receiveReply(self, packet: Transit) -> None:
                reply = packet.reply
                if isinstance(reply, Reject) and reply.code == "F99":
                    code = "F05" if packet.position < 9 else "F04"
                    packet.reply = Reject(code, reply.triggeredBy, "", reply.data)

        self.start(Newer(), Rate(Ratio(92, 100_000)), right=EUR)
        told, _ = self.timed(quote(self.left, self.credentials, sourceAmount=10**7))
        self.assertIn(told.expectedDelivery, range(9190, 9201))
        result, _ = self.timed(self.pay(sourceAmount=10**7))
        self.assertEqual(result.sent, 10**7)

    def test_memoryDoesNotGrowWithPackets(self) -> None:
        """pay: its scheduler keeps a task for every packet that ever was."""
        self.start(MaximumPacketAmount(10))
        paying = self.pay(sourceAmount=20_000)
        for _ in range(100):
            self.run_(0.1)
            self.assertLess(len(self.clock.getDelayedCalls()), 1000)
        self.assertTrue(self.timed(paying)[0].isComplete)
        self.run_(200)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class AccountTests(VirtualTestCase):
    """What a payment says of itself when the receiver does wrong."""

    def test_fulfillBelowTheMinimumIsAccounted(self) -> None:
        """pay: it fails with the money counted as if nothing was wrong, and says nothing of it."""
        test = Peerless()
        test.answer(999)
        event = MoneySettled(test.streamID, 1000, 1000, 999, False)
        self.assertEqual(test.end.seen(MoneySettled), [event])
        [closed] = test.end.seen(ConnectionClosed)
        assert isinstance(closed.error, PeerError)
        self.assertEqual(closed.error.code, ErrorCode.PROTOCOL_VIOLATION)
        self.assertIn("demands 1000 was fulfilled at 999", str(closed.error))

    def test_fulfillWithoutDataDoesNotEndThePayment(self) -> None:
        """pay: it ends with ReceiverProtocolViolation, though the fulfillment proves delivery."""
        pair = Pair({"minimumRate": Ratio(1), "maximumPacketAmount": 100})

        def back(answer: bytes) -> bytes | None:
            return encodeFulfill(answer[2:34], b"") if answer[0] == 13 else None

        pair.client.back = back
        pair.pay(1000, 20)
        self.assertEqual((settled(pair.client), pair.server.credited), (1000, 1000))
        self.assertEqual(pair.client.seen(ConnectionClosed), [])

    def test_streamMaxMoneyThrottles(self) -> None:
        """pay: it sends on at full speed to a receiver that has said that it takes no more."""
        pair = Pair({"minimumRate": Ratio(1), "maximumPacketAmount": 10})
        pair.server.receiveMax = 1000
        amounts: list[int] = []
        pair.client.out = lambda prepare: amounts.append(prepare.amount)
        streamID = pair.pay(100_000, 20)
        self.assertIn(pair.server.credited, (1000, 1010))
        self.assertLess(sum(amounts), 2500)
        told = give(pair, StreamMoney(streamID, 1), amount=50).only(StreamMaxMoney)
        self.assertEqual(told, [StreamMaxMoney(streamID, 1000, pair.server.credited)])
        pair.server.session.setReceiveMax(streamID, 5000)
        pair.run(20)
        self.assertIn(pair.server.credited, (5000, 5010))


class ResumeTests(PaymentTestCase):
    """Payments that are gone on with."""

    def test_interruptedPaymentCanBeResumed(self) -> None:
        """pay: what failed half way can only be begun anew."""
        self.start(MaximumPacketAmount(100))
        saved: list[str] = []
        first = self.pay(
            sourceAmount=200_000, timeout=0.4, save=lambda state: saved.append(state.toJSON())
        )
        error, _ = self.timed(first)
        self.assertIsInstance(error, PaymentError)
        self.assertIn(error.result.sent, range(1, 200_000))
        state = PaymentState.fromJSON(saved[-1])
        result, _ = self.timed(self.pay(sourceAmount=200_000, state=state))
        result = getattr(result, "result", result)
        self.assertEqual(result.sent + result.inDoubt, 200_000)
        self.assertIn(self.received(), range(result.sent, 200_001))
        self.assertGreater(result.sent, 100_000)

    def test_sequencesAreNotUsedTwice(self) -> None:
        """pay: the application has to carry its counter from one attempt to the next."""
        sequences: list[int] = []
        counts: list[int] = []
        self.start(MaximumPacketAmount(100))
        saved: list[str] = []
        for timeout in (0.4, 0.4, 100):
            state = PaymentState.fromJSON(saved[-1]) if saved else None
            paying = pay(
                self.left,
                self.credentials,
                sourceAmount=200_000,
                state=state,
                timeout=timeout,
                save=lambda state: saved.append(state.toJSON()),
                options={"trace": self.tracer(sequences)},
            )
            self.timed(paying)
            counts.append(len(sequences) - sum(counts))
        self.assertGreater(min(counts), 15)
        self.assertEqual(len(sequences), len(set(sequences)))

    @staticmethod
    def tracer(sequences: list[int]) -> Any:
        """What notes the numbers of packets that leave."""

        def trace(name: str, particulars: dict[str, Any]) -> None:
            if name == "packetSent":
                sequences.append(particulars["sequence"])

        return trace

    def test_receiverGoneDoesNotTakeMoneyAlong(self) -> None:
        """Rafiki: a payment that is complete or expired is answered F02, with money on its way."""
        self.start(MaximumPacketAmount(100))

        class Some(Recorder):
            def moneyReceived(self, amount: int) -> None:
                super().moneyReceived(amount)
                if self.transport.totalReceived >= 1000:
                    self.transport.connection.close()

        self.served.make = Some
        error, _ = self.timed(self.pay(sourceAmount=50_000))
        self.assertIsInstance(error, PaymentError)
        self.assertEqual((error.result.sent, error.result.inDoubt), (self.received(), 0))
        self.assertNotIn("F02", [reject.code for reject in error.result.rejects])

    def test_unreachableReceiverIsTold(self) -> None:
        """pay: an error is a single word. Here it lists every reject: code, node, amount."""
        self.start(RejectWith("F02", 1.0, "no route to there"))
        error, _ = self.timed(self.pay(sourceAmount=5))
        self.assertIsInstance(error, PaymentError)
        for words in ("F02", "test.path.hop1", "no route to there", "at amount"):
            self.assertIn(words, str(error))
