"""Conformance: what a module of STREAM is asked to do with money, over a connection."""

from __future__ import annotations

from typing import Any

from txilpstream.amounts import Ratio
from txilpstream.crypto.keys import SessionKeys
from txilpstream.errors import ConnectionEnded, ErrorCode, PeerError
from txilpstream.interfaces import PaymentError
from txilpstream.payments.payment import pay
from txilpstream.payments.quote import quote
from txilpstream.test.conformance.base import Conform, TappedTestCase, openPacket
from txilpstream.test.support.connected import LEFT, HalfRecorder, Recorder
from txilpstream.testing import Latency, MaximumPacketAmount, Rate, RejectWith, Transit
from txilpstream.wire import frames
from txilpstream.wire.frames import StreamMaxMoney, StreamMoney
from txilpstream.wire.ildcp import AccountDetails
from txilpstream.wire.ilp import Fulfill, Reject
from txilpstream.wire.packet import encodePacket

EUR = AccountDetails("test.right", 6, "EUR")

NINE_TENTHS = Ratio(9, 10)


class PathTestCase(TappedTestCase):
    """A path with a hop that does what a test says."""

    def start(self, *hops: Any, **details: Any) -> None:
        """Join both ends by it, and listen."""
        self.hop = Conform()
        self.path = self.joinBy(Latency(0.01), *hops, self.hop, **details)
        self.listen(Recorder)


class PaymentTests(PathTestCase):
    """Amounts that leave and amounts that arrive."""

    def test_M01_quote(self) -> None:
        """A quote tells what arrives and what it costs; nothing moves."""
        self.start(Rate(Ratio(92, 100_000)), left=LEFT, right=EUR)
        credentials = self.server.generateCredentials()
        told = self.after(quote(self.left, credentials, sourceAmount=10**7), 3)
        self.assertIn(told.expectedDelivery, range(9190, 9201))
        self.assertEqual((told.sourceAmount, told.destinationAsset), (10**7, ("EUR", 6)))
        self.assertEqual((self.path.taken("left"), self.served.made), (0, []))

    def test_M02_minimumAndArrived(self) -> None:
        """A packet says the least that may arrive, and its answer what did."""
        self.start(Rate(NINE_TENTHS))
        near, far = self.opened()
        self.pay(near, 1000)
        [paid] = [each for each in self.sent(hasMoney=True) if isinstance(each.reply, Fulfill)]
        assert paid.answered is not None
        self.assertIn(paid.packet.prepareAmount, range(880, 901))
        self.assertEqual(paid.answered.prepareAmount, 900)
        self.assertEqual(near.transport.totalDelivered, paid.packet.prepareAmount)
        self.assertEqual((near.transport.totalDeliveredClaimed, far.amounts), (900, [900]))

    def test_M02_lessArrived(self) -> None:
        """A peer that takes a packet with less than the least breaks the protocol, and is told."""
        self.start()
        near, far = self.opened()
        self.pay(near, 1000)

        def lessened(packet: Transit) -> None:
            reply = packet.reply
            claimed = openPacket(self.keys, reply.data)
            if isinstance(reply, Fulfill) and claimed is not None and claimed.prepareAmount:
                octets = encodePacket(claimed.sequence, claimed.packetType, 5, claimed.frames)
                packet.reply = Fulfill(reply.fulfillment, self.keys.seal(octets, b"less" * 3))

        self.hop.back = lessened
        near.transport.sendMoney(1000).addErrback(lambda failure: None)
        self.run_(2)
        for protocol in (near, far):
            error = protocol.reasons[0].value
            assert isinstance(error, PeerError)
            self.assertEqual(error.code, ErrorCode.PROTOCOL_VIOLATION)
        self.assertEqual(near.transport.totalSent, 2000)

    def test_M03_rateAndSlippage(self) -> None:
        """The rate follows the path; what is lost beyond the slippage does not leave."""
        self.start()
        rate = [Ratio(1)]

        def there(packet: Transit) -> None:
            packet.prepare.amount = rate[0].floor(packet.prepare.amount)

        self.hop.there = there
        near, far = self.opened()
        self.pay(near, 10_000)
        rate[0] = Ratio(995, 1000)
        self.assertEqual(self.pay(near, 10_000).deliveredClaimed, 9950)
        low = self.connection.session.exchangeRate.low
        assert low is not None
        self.assertLess(low, Ratio(998, 1000))
        rate[0] = Ratio(98, 100)
        paying = near.transport.sendMoney(10_000)
        self.run_(60)
        error = self.failureResultOf(paying, PaymentError).value
        self.assertEqual(error.result.sent, 0)
        self.assertEqual(sum(far.amounts), 19_950)

    def replayed(self, isData: bool) -> tuple[Any, Any]:
        """A payment of 7 that is answered with the answer to one of 5000."""
        self.start()
        kept: list[Fulfill] = []

        def back(packet: Transit) -> None:
            reply = packet.reply
            if not packet.sourceAmount or not isinstance(reply, Fulfill):
                return
            if not kept:
                kept.append(reply)
            elif isData:
                packet.reply = Fulfill(reply.fulfillment, kept[0].data)
            else:
                packet.reply = kept[0]

        self.hop.back = back
        near, _ = self.opened()
        self.pay(near, 5000)
        paying = near.transport.sendMoney(100)
        self.run_(60)
        return near, paying

    def test_M04_preimage(self) -> None:
        """A Fulfill of another packet proves nothing: the money is in doubt, not sent."""
        near, paying = self.replayed(False)
        result = self.failureResultOf(paying, PaymentError).value.result
        self.assertEqual((result.sent, result.inDoubt), (0, 100))
        self.assertEqual(near.transport.totalSent, 5000)

    def test_M04_sequenceAndType(self) -> None:
        """The data of another answer is not believed: what counts is our own minimum."""
        near, paying = self.replayed(True)
        result = self.successResultOf(paying)
        self.assertEqual((result.sent, result.deliveredClaimed), (100, result.deliveredMinimum))
        self.assertLess(near.transport.totalDeliveredClaimed, 5101)

    def test_M05_maximumPacket(self) -> None:
        """The largest packet that the path takes is found, with or without a word of it."""
        for withAmounts in (True, False):
            self.start(MaximumPacketAmount(1234, withAmounts))
            near, _ = self.opened()
            self.assertTrue(self.pay(near, 50_000, 60).isComplete)
            replies = [(each.prepare.amount, each.reply) for each in self.sent(hasMoney=True)]
            through = [amount for amount, reply in replies if isinstance(reply, Fulfill)]
            codes = [reply.code for _, reply in replies if isinstance(reply, Reject)]
            self.assertIn(max(through), range(1000, 1235))
            if withAmounts:
                # The first word of it is enough.
                self.assertEqual(max(through), 1234)
                self.assertEqual(codes.count("F08"), 1)
            self.exchanges.clear()

    def test_M06_fullySent(self) -> None:
        """It is told when all of an amount has been sent, and not before."""
        self.start(MaximumPacketAmount(10))
        near, _ = self.opened()
        paying = near.transport.sendMoney(1000)
        while near.transport.totalSent < 1000:
            self.assertNoResult(paying)
            self.run_(0.005)
        self.run_(0.01)
        self.assertEqual(self.successResultOf(paying).sent, 1000)

    def test_M07_temporaryErrors(self) -> None:
        """Packets that are rejected for now are sent again, and all arrives."""
        for code in ("T00", "T01", "T02", "T03", "T04", "T05", "T99"):
            self.start(RejectWith(code, 0.3))
            near, far = self.opened()
            self.assertEqual(self.pay(near, 1000, 60).sent, 1000, code)
            near.transport.write(b"x" * 50_000)
            self.run_(60)
            self.assertEqual(len(far.data.lstrip(b"!")), 50_000, code)

    def test_M07_severalInARow(self) -> None:
        """So it is where nothing else comes for a while: no number of them is final."""
        for code in ("T00", "T01", "T02", "T03", "T04", "T05", "T99"):
            self.start()
            near, _ = self.opened()
            rejected: list[float] = []

            def there(packet: Transit, code: str = code, seen: list[float] = rejected) -> Any:
                seen.append(self.clock.seconds())
                return self.hop.reject(code) if seen[-1] < seen[0] + 10 else None

            self.hop.there = there
            self.assertEqual(self.pay(near, 100, 40).sent, 100, code)
            self.assertGreater(len(rejected), 3, code)

    def test_M31_shares(self) -> None:
        """Shares are amounts or parts of a whole: both are split to the unit."""
        self.start()
        self.opened()
        said = [StreamMoney(3, 30), StreamMoney(5, 50), StreamMoney(7, 20)]
        self.assertEqual(self.give(*said, amount=100).code, "")
        self.assertEqual(self.give(StreamMoney(3, 1), StreamMoney(5, 2), amount=100).code, "")
        self.run_()
        got = {p.transport.streamID: p.transport.totalReceived for p in self.served.made}
        self.assertEqual({each: got[each] for each in (3, 5, 7)}, {3: 63, 5: 116, 7: 20})
        self.assertEqual(sum(got.values()), 200)

    def test_M32_receiveMaxRepeated(self) -> None:
        """Who waits to send, or sends too much, is told the limit; then it goes on."""

        class Limited(Recorder):
            def connectionMade(self) -> None:
                self.transport.setReceiveMax(100)

        self.listen(Limited)
        near, far = self.opened()
        told = [frame for frame in self.answered(StreamMaxMoney) if frame.receiveMax == 100]
        self.assertNotEqual(told, [])
        paying = near.transport.sendMoney(250)
        self.run_(30)
        self.assertIn(far.transport.totalReceived, (100, 101))
        blocked = [each for each in self.sent() if self.blocks(each.packet)]
        self.assertGreater(len(blocked), 2)
        for exchange in blocked:
            assert exchange.answered is not None
            limits = [f for f in exchange.answered.frames if isinstance(f, StreamMaxMoney)]
            self.assertEqual([limit.receiveMax for limit in limits], [100])
        reply = self.give(StreamMoney(1, 1), amount=500)
        self.assertEqual(reply.code, "F99")
        self.assertEqual([frame.receiveMax for frame in reply.only(StreamMaxMoney)], [100])
        far.transport.setReceiveMax(300)
        self.assertEqual(self.after(paying, 20).sent, 250)

    @staticmethod
    def blocks(packet: Any) -> bool:
        """Whether a packet says that money waits."""
        return any(isinstance(frame, frames.StreamMoneyBlocked) for frame in packet.frames)

    def test_M33_manyInFlight(self) -> None:
        """Many packets are on their way at the same time, and the answers come as they come."""
        self.start(MaximumPacketAmount(10), Latency(0.2))
        near, _ = self.opened()
        paying = near.transport.sendMoney(5000)
        most = 0
        for _ in range(400):
            self.run_(0.05)
            most = max(most, self.connection.session.inFlight)
        self.assertGreater(most, 20)
        self.assertEqual(self.successResultOf(paying).sent, 5000)

    def test_M34_nothingNeedless(self) -> None:
        """A payment of one packet takes that, and one that closes."""
        self.start()
        credentials = self.server.generateCredentials()
        self.keys = SessionKeys(credentials.sharedSecret)
        self.after(pay(self.left, credentials, sourceAmount=100), 20)
        self.run_(200)
        self.assertEqual([each.prepare.amount for each in self.sent()], [100, 0])
        self.assertEqual(self.sent("right"), [])

    def test_M34_quiet(self) -> None:
        """One packet is one packet: on an open connection nothing leaves before or after it."""
        self.start()
        near, far = self.opened()
        for protocol in (near, far):
            protocol.transport.write(b"x")
            self.pay(protocol, 100, 5)
        self.exchanges.clear()
        self.pay(near, 100, 10)
        near.transport.write(b"x" * 20_000)
        self.run_(10)
        self.pay(far, 70, 10)
        far.transport.write(b"y" * 20_000)
        self.run_(10)
        left = [(each.side, each.prepare.amount) for each in self.exchanges]
        self.assertEqual(left, [("left", 100), ("left", 0), ("right", 70), ("right", 0)])
        self.assertEqual((near.happened, far.happened), (["made"], ["made"]))

    def test_M39_onlyZeroAmounts(self) -> None:
        """A side to which no money can come sends money, and bytes go both ways."""
        self.start(MaximumPacketAmount(0, direction="right"))
        near, far = self.opened(HalfRecorder)
        far.transport.write(b"x" * 60_000)
        self.assertEqual(self.pay(near, 500).sent, 500)
        self.run_(10)
        self.assertEqual((len(near.data), far.transport.totalReceived), (60_000, 500))
        back = far.transport.sendMoney(5)
        self.assertEqual(self.pay(near, 500).sent, 500)
        self.run_(100)
        self.assertEqual(self.failureResultOf(back, PaymentError).value.result.sent, 0)

    def test_M41_disconnecting(self) -> None:
        """A plugin that goes: what never left is not sent, what left is in doubt, all is told."""
        self.start()
        near, _ = self.opened()
        self.pay(near, 100)
        self.hop.back = lambda packet: 1.0
        paying = near.transport.sendMoney(100)
        self.run_(0.3)
        self.path.left.disconnect()
        self.run_(200)
        result = self.failureResultOf(paying, PaymentError).value.result
        self.assertEqual((result.sent, result.inDoubt), (0, 100))
        self.assertEqual(near.happened, ["made", "lost"])
        near.reasons[0].trap(ConnectionEnded)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_M41_accountCloses(self) -> None:
        """An account that is closed disconnects its plugin."""
        self.start()
        self.opened()
        self.after(self.connection.close(), 5)
        self.after(self.left.close(), 40)
        self.assertFalse(self.path.left.isConnected())
        self.assertTrue(self.path.right.isConnected())
