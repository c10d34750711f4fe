"""Tests of C{txilpstream.session.evidence}: which control each answer of the path speaks to."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import Ratio
from txilpstream.errors import ConnectionEnded
from txilpstream.session.events import ConnectionClosed
from txilpstream.test.sessions import LOST, Pair, Way, limiting, rejecting, settled
from txilpstream.wire.ilp import Fulfill, Prepare, decodeReply, encodeFulfill


def paying(way: Way, sourceAmount: int = 10_000, seconds: float = 60) -> Pair:
    """Pay through a path."""
    pair = Pair({"minimumRate": Ratio(1)})
    pair.client.out = way
    pair.pay(sourceAmount, seconds)
    return pair


def sometimes(code: str, every: int, most: int = 1000) -> Way:
    """A path that rejects each so many packets, and takes no more than so much in one."""
    count = 0

    def way(prepare: Prepare) -> bytes | None:
        nonlocal count
        count += 1
        return rejecting(code) if count % every == 0 else limiting(most)(prepare)

    return way


class EvidenceTests(SynchronousTestCase):
    """Each code has its control."""

    def test_amountTooLarge(self) -> None:
        """F08 makes packets smaller, with amounts and without."""
        for withAmounts in (True, False):
            pair = paying(limiting(777, withAmounts=withAmounts))
            self.assertEqual(settled(pair.client), 10_000)
            sizes = [prepare.amount for prepare in pair.client.prepares if prepare.amount]
            self.assertLess(len(sizes), 60)

    def test_amountTooLargeAlways(self) -> None:
        """A path that takes not even one unit is not asked in circles."""
        pair = paying(lambda prepare: rejecting("F08") if prepare.amount else None, 1)
        self.assertEqual(settled(pair.client), 0)
        self.assertLess(len(pair.client.prepares), 25)

    def test_amountTooLargeWithoutAmount(self) -> None:
        """F08 for a packet that carries nothing is a final code like others."""
        pair = Pair({"minimumRate": Ratio(1)})
        pair.client.out = lambda prepare: rejecting("F08")
        pair.client.session.sendData(pair.client.open(), b"data")
        pair.run(5)
        self.assertTrue(pair.client.session.isClosed)

    def test_liquidity(self) -> None:
        """T04 makes money wait, and a packet that is alone smaller."""
        pair = paying(lambda prepare: rejecting("T04") if prepare.amount > 300 else None)
        self.assertEqual(settled(pair.client), 10_000)
        pair = Pair()
        count = 0

        def way(prepare: Prepare) -> bytes | None:
            nonlocal count
            count += 1
            return rejecting("T04") if count < 3 else None

        pair.client.out = way
        streamID = pair.client.open()
        pair.client.session.sendData(streamID, b"data")
        pair.run(5)
        self.assertEqual(pair.server.data[streamID], b"data")

    def test_rateLimited(self) -> None:
        """T05 lowers the packet rate."""
        before = paying(limiting(100), 100_000, 5).client.session.packetRate
        pair = paying(sometimes("T05", 3, 100), 10_000, 5)
        self.assertLess(pair.client.session.packetRate, before / 2)
        pair.run(300)
        self.assertEqual(settled(pair.client), 10_000)

    def test_temporary(self) -> None:
        """T00 now and then does not stop a payment; nor do losses of amount-free packets."""
        pair = paying(sometimes("T00", 10, 100), 100_000, 100)
        self.assertEqual(settled(pair.client), 100_000)

    def test_temporaryAlways(self) -> None:
        """A path that gives nothing but T00 is asked less and less often, and then given up."""
        pair = paying(lambda prepare: rejecting("T00"))
        self.assertLess(len(pair.client.prepares), 30)
        (closed,) = pair.client.seen(ConnectionClosed)
        assert isinstance(closed.error, ConnectionEnded)
        self.assertEqual({seen.code for seen in closed.error.rejects}, {"T00"})

    def test_silentPeer(self) -> None:
        """A fulfill without the peer's word says that the path took it, and nothing of the rate."""
        pair = Pair({"minimumRate": Ratio(1, 2)})

        def back(answer: bytes) -> bytes:
            reply = decodeReply(answer)
            return encodeFulfill(reply.fulfillment, b"") if isinstance(reply, Fulfill) else answer

        pair.client.back = back
        pair.client.out = limiting(100)
        streamID = pair.pay(1000)
        money = pair.client.streams[streamID].moneyOut
        self.assertEqual(
            (money.sent, money.deliveredMinimum, money.deliveredClaimed), (1000, 500, 500)
        )

    def test_final(self) -> None:
        """A final code ends the connection when it is met again a second later, not at once."""
        pair = Pair({"minimumRate": Ratio(1), "maximumPacketAmount": 10})
        pair.pay(10, 1)
        pair.client.out = lambda prepare: rejecting("F02")
        streamID = pair.client.open()
        pair.client.session.sendMoney(streamID, 1000)
        pair.run(0.9)
        self.assertFalse(pair.client.session.isClosed)
        pair.run(1)
        (closed,) = pair.client.seen(ConnectionClosed)
        assert isinstance(closed.error, ConnectionEnded)
        self.assertIn("F02", str(closed.error))
        self.assertIn("test.hop", str(closed.error))
        self.assertEqual(pair.client.streams[streamID].moneyOut.left, 0)

    def test_passing(self) -> None:
        """A final code that is met once ends nothing."""
        count = 0

        def way(prepare: Prepare) -> bytes | None:
            nonlocal count
            count += 1
            return rejecting("F02") if count == 1 else None

        pair = paying(way)
        self.assertEqual(settled(pair.client), 10_000)

    def test_relative(self) -> None:
        """R00 ends a payment only at its tenth episode."""
        pair = paying(lambda prepare: rejecting("R00"))
        self.assertTrue(9 <= len(pair.client.prepares) <= 12)
        self.assertTrue(pair.client.session.isClosed)

    def test_unanswered(self) -> None:
        """Lost packets leave their money in doubt; what remains is still sent."""
        count = 0

        def way(prepare: Prepare) -> bytes | None:
            nonlocal count
            count += 1
            return LOST if count % 10 == 5 else limiting(100)(prepare)

        pair = paying(way)
        money = pair.client.streams[1].moneyOut
        self.assertEqual(money.sent + money.unanswered, 10_000)
        self.assertGreater(money.unanswered, 0)
        self.assertEqual(money.sent, pair.client.took)

    def test_unreachableIsNoFlood(self) -> None:
        """While the peer cannot be reached, few packets ask whether it can be again."""
        pair = Pair({"maximumPacketAmount": 1000, "maximumPacketsPerSecond": 1000})
        pair.pay(10**12)
        before = len(pair.client.prepares)
        self.assertGreater(before, 1000)
        pair.client.out = lambda prepare: rejecting("T01")
        pair.run(10)
        self.assertLess(len(pair.client.prepares) - before, 1000)
