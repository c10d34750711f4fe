"""
Faults of ilp-protocol-stream that are none of ours: its data, its tries and its bookkeeping.

A fault that was seen in a peer has a test in this folder that is named after it, and asserts that
this package does well where the peer did not.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from txilpstream.amounts import Ratio
from txilpstream.errors import ConnectionEnded, LocalError
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.congestion.maxpacket import MaxPacket
from txilpstream.session.events import (
    AssetDetailsLearned,
    ConnectionClosed,
    MoneySettled,
    StreamClosed,
)
from txilpstream.session.test.test_acknowledgements import Peerless
from txilpstream.test.conformance.base import framesOf, give
from txilpstream.test.support.connected import ConnectedTestCase, Recorder
from txilpstream.test.support.sessions import LOST, Pair, limiting, rejecting, settled
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.wire.frames import ConnectionAssetDetails, StreamData, StreamMoney
from txilpstream.wire.ilp import Fulfill, Prepare, decodeReply, encodeAmountTooLarge, encodeFulfill

NOT_OURS: Final = (
    ("Quilt's unbounded static thread pool", "no threads are started here"),
    ("Quilt's second, deprecated sender", "there is one sender for all payments"),
)
"""Faults that have no test, and why they cannot be ours."""


class WedgeTests(VirtualTestCase):
    """A stream whose bytes come twice goes on."""

    def test_duplicateDataDoesNotWedgeTheStream(self) -> None:
        """
        ilp-protocol-stream: bytes that were read before stay at the head of the line for good, and
        nothing behind them is ever read.
        """
        pair = Pair()
        for offset, data in (
            (0, b"ab"),
            (0, b"ab"),
            (0, b"abc"),
            (1, b"bcde"),
            (3, b"d"),
            (5, b"f"),
        ):
            self.assertEqual(give(pair, StreamData(1, offset, data)).code, "")
        self.assertEqual(pair.server.data, {1: b"abcdef"})

    def test_dataBesideRefusedMoneyDoesNotWedgeTheStream(self) -> None:
        """ilp-protocol-stream: it keeps the data of a packet that it refuses, and gets it again."""
        pair = Pair()
        pair.server.receiveMax = 7
        for minimum, amount in ((0, 50), (6, 5)):
            frames = StreamMoney(1, 1), StreamData(1, 0, b"ab")
            self.assertEqual(give(pair, *frames, amount=amount, minimum=minimum).code, "F99")
            self.assertEqual(pair.server.data, {})
        self.assertEqual(give(pair, StreamData(1, 0, b"a")).code, "")
        self.assertEqual(give(pair, StreamData(1, 0, b"abcd")).code, "")
        self.assertEqual(pair.server.data, {1: b"abcd"})

    def test_refusedDataIsSentAgainAsItWas(self) -> None:
        """
        ilp-protocol-stream: what was refused is cut anew, so that pieces overlap. Ours are repeated
        as they were, and arrive whole.
        """
        pair = Pair()
        pair.server.isAccepting = lambda incoming: len(pair.client.prepares) > 12
        streamID = pair.client.open()
        data = pair.random.randbytes(100_000)
        pair.client.session.sendData(streamID, data)
        pair.run(30)
        self.assertEqual(pair.server.data, {streamID: data})
        said = framesOf(pair, pair.client.prepares, StreamData)
        pieces = {(frame.offset, frame.data) for frame in said if frame.data}
        self.assertGreater(len(said), len(pieces))
        self.assertEqual(sum(len(piece) for _, piece in pieces), len(data))

    def test_lostAnswerDoesNotWedgeTheStream(self) -> None:
        """ilp-protocol-stream: an answer is lost, the data comes again, and the stream hangs."""
        pair = Pair()
        pair.client.back = lambda answer: LOST if len(pair.client.prepares) < 8 else None
        streamID = pair.client.open()
        pair.client.session.sendData(streamID, b"one ")
        pair.run(20)
        pair.client.session.sendData(streamID, b"two")
        pair.run(20)
        self.assertEqual(pair.server.data, {streamID: b"one two"})
        said = framesOf(pair, pair.client.prepares, StreamData)
        self.assertGreater([frame.offset for frame in said].count(0), 1)
        self.assertEqual(pair.client.seen(ConnectionClosed), [])


class TryingTests(VirtualTestCase):
    """How often something is tried, and how fast."""

    def test_manyPacketsAreInFlight(self) -> None:
        """ilp-protocol-stream: one packet at a time, so that a long way makes everything slow."""
        pair = Pair({"maximumPacketAmount": 10, "minimumRate": Ratio(1)})
        pair.latency = 1.0
        pair.pay(1000, 10)
        self.assertEqual(settled(pair.client), 1000)

    def test_oneTimeoutDoesNotEndTheConnection(self) -> None:
        """ilp-protocol-stream: a single R00 or R02 destroys the connection."""
        for code in ("R00", "R01", "R02", "R99"):
            self.assertSurvives(code, 1)
        self.assertSurvives("R00", 4)

    def test_oneFinalRejectDoesNotEndTheConnection(self) -> None:
        """ilp-protocol-stream: a single F code does, though routes may just have changed."""
        for code in ("F00", "F01", "F02", "F03", "F04", "F05", "F06", "F07", "F42"):
            self.assertSurvives(code, 1)

    def assertSurvives(self, code: str, count: int) -> None:
        """All is sent and nothing is closed though the first packets are answered so."""
        pair = Pair()
        pair.client.out = lambda prepare: (
            rejecting(code) if len(pair.client.replies) < count else None
        )
        pair.pay(100, 30)
        self.assertEqual((settled(pair.client), pair.server.credited), (100, 100), code)
        self.assertEqual(pair.client.seen(ConnectionClosed), [], code)

    def refusals(self, seconds: float) -> tuple[Pair, list[float]]:
        """A pair whose server refuses everything, and when packets came to it."""
        pair = Pair()
        moments: list[float] = []
        pair.client.out = lambda prepare: moments.append(pair.now)
        pair.server.isAccepting = lambda incoming: False
        pair.pay(100, seconds)
        return pair, moments

    def test_refusalsAreRetriedMoreAndMoreSlowly(self) -> None:
        """ilp-protocol-stream: what is refused with F99 is sent again at once, without end."""
        _, moments = self.refusals(40)
        self.assertIn(len(moments), range(4, 25))
        gaps = [after - before for before, after in pairwise(moments)]
        self.assertGreater(gaps[-1], 10 * min(gaps))

    def test_refusalsDoNotGoOnForEver(self) -> None:
        """ilp-protocol-stream: there is no limit to the tries, and no deadline for a payment."""
        pair, moments = self.refusals(60)
        self.assertLess(moments[-1], 1000 + 46)
        [closed] = pair.client.seen(ConnectionClosed)
        assert isinstance(closed.error, ConnectionEnded)
        self.assertEqual([reject.code for reject in closed.error.rejects], ["F99"])

    def test_temporaryErrorsDoNotSleepForHours(self) -> None:
        """ilp-protocol-stream: its pauses double up to twelve hours."""
        pair = Pair({"deadlineSinceFulfill": 100_000.0, "idleTimeout": 1e6}, {"idleTimeout": 1e6})
        pair.client.out = lambda prepare: rejecting("T00") if pair.now < 5000 else None
        pair.pay(100, 3999)
        self.assertEqual(settled(pair.client), 0)
        self.assertIn(len(pair.client.prepares), range(200, 450))
        pair.run(20)
        self.assertEqual(settled(pair.client), 100)

    def test_liquidityIsSharedOut(self) -> None:
        """ilp-protocol-stream: its answer to T04 is a stand-in, as its comments say."""
        pair = Pair()
        pair.client.out = lambda prepare: rejecting("T04") if prepare.amount > 70 else None
        pair.pay(5000, 120)
        self.assertEqual(settled(pair.client), 5000)

    def test_maximumIsNeverRaisedByAReject(self) -> None:
        """ilp-protocol-stream: an F08 that claims a larger maximum is believed."""
        limit = MaxPacket(1000)
        limit.refused(1000, encodeAmountTooLarge(10, 3), now=0.0)
        self.assertEqual(limit.limit, 300)
        for received, maximum in ((10, 30), (10, 10), (1, 1 << 63)):
            limit.refused(300, encodeAmountTooLarge(received, maximum), now=0.0)
            self.assertLessEqual(limit.limit, 300)
        limit = MaxPacket(1000)
        for maximum in (3, 4):
            limit.refused(1000, encodeAmountTooLarge(10, maximum), now=0.0)
            self.assertEqual(limit.limit, 300)

    def test_maximumOfNothingReceivedIsNoMaximum(self) -> None:
        """ilp-protocol-stream: an F08 that has received 0 makes it try one unit less each time."""
        pair = Pair()

        def out(prepare: Prepare) -> bytes | None:
            isTooLarge = prepare.amount > 300
            return rejecting("F08", encodeAmountTooLarge(0, 5)) if isTooLarge else None

        pair.client.out = out
        pair.pay(100_000, 30)
        self.assertEqual(settled(pair.client), 100_000)
        refused = [prepare for prepare in pair.client.prepares if prepare.amount > 300]
        self.assertLess(len(refused), 30)

    def test_maximumOfThePathIsFound(self) -> None:
        """ilp-protocol-stream: its own maximum of a packet is ignored where the rate is given."""
        pair = Pair({"minimumRate": Ratio(1), "maximumPacketAmount": 40})
        pair.client.out = limiting(50)
        pair.pay(1000, 30)
        self.assertEqual(settled(pair.client), 1000)
        self.assertEqual(max(prepare.amount for prepare in pair.client.prepares), 40)


class AnswerTests(VirtualTestCase):
    """What an answer is worth."""

    def settledWith(self, data: bytes) -> None:
        """A packet that is fulfilled with this data has sent its money, and the next goes too."""
        pair = Pair()

        def back(answer: bytes) -> bytes | None:
            reply = decodeReply(answer)
            if not isinstance(reply, Fulfill) or pair.client.took != 100 or settled(pair.client):
                return None
            return encodeFulfill(reply.fulfillment, data)

        pair.client.back = back
        streamID = pair.pay(100, 10)
        self.assertEqual((settled(pair.client), pair.server.credited), (100, 100))
        pair.client.session.sendMoney(streamID, 50)
        pair.run(10)
        self.assertEqual((settled(pair.client), pair.server.credited), (150, 150))
        self.assertEqual(pair.client.seen(ConnectionClosed), [])

    def test_emptyFulfillCounts(self) -> None:
        """ilp-protocol-stream: a Fulfill without data is taken for a reject: paid, and unknown."""
        self.settledWith(b"")

    def test_undecryptableFulfillCounts(self) -> None:
        """ilp-protocol-stream: one that does not decrypt ends all, and its money is not counted."""
        self.settledWith(b"\x17" * 90)

    def test_mismatchedSequenceIsDiscarded(self) -> None:
        """ilp-protocol-stream: an answer with another number in it destroys the connection."""
        test = Peerless()
        test.answer(5000, sequence=99)
        event = MoneySettled(test.streamID, 1000, 1000, 1000, False)
        self.assertEqual(test.end.seen(MoneySettled), [event])
        self.assertFalse(test.session.isClosed)
        self.assertEqual(test.end.seen(StreamClosed), [])

    def test_controlFramesAreSentAgainAfterAReject(self) -> None:
        """ilp-protocol-stream: what a rejected packet said besides money is never said again."""
        pair = Pair()
        pair.client.out = lambda prepare: rejecting("T00") if len(pair.client.replies) < 3 else None
        pair.client.session.sendData(pair.client.open(), b"x")
        pair.run(10)
        self.assertEqual(pair.server.seen(AssetDetailsLearned), [AssetDetailsLearned("USD", 9)])
        self.assertEqual(pair.server.session.peerAddress, "test.client")
        said = framesOf(pair, pair.client.prepares, ConnectionAssetDetails)
        self.assertGreater(len(said), 2)

    def test_packetsNeverOutgrowTheirSize(self) -> None:
        """ilp-protocol-stream: queued frames make packets larger than a packet may be."""
        pair = Pair({"fragmentSize": 31000}, {"maximumStreamID": 10_000, "padTo": 31000})
        pair.run(1)
        give(pair)
        for _ in range(600):
            pair.client.session.sendData(pair.client.open(1 << 40), b"x" * 500)
        pair.run(60)
        self.assertEqual(len(pair.server.data), 600)
        sizes = [len(prepare.data) for prepare in pair.client.prepares]
        sizes += [len(decodeReply(answer).data) for _, answer in pair.client.replies]
        self.assertLessEqual(max(sizes), 32767)

    def test_laterStreamsDoNotStarve(self) -> None:
        """ilp-protocol-stream: the first streams are served first, whatever the others have."""
        pair = Pair({"maximumPacketAmount": 100, "maximumPacketsPerSecond": 100})
        for _ in range(10):
            streamID = pair.client.open()
            pair.client.session.sendMoney(streamID, 1_000_000)
            pair.client.session.sendData(streamID, bytes(5_000_000))
        pair.run(5)
        sent = [stream.moneyOut.sent for stream in pair.client.streams.values()]
        self.assertGreater(min(sent), 0)
        self.assertLessEqual(max(sent), 2 * min(sent))
        sizes = [len(data) for data in pair.server.data.values()]
        self.assertEqual(len(sizes), 10)
        self.assertLessEqual(max(sizes) - min(sizes), 3 * (1 << 14))


class ApplicationTests(ConnectedTestCase):
    """What an application meets."""

    def test_exceptionsOfTheApplicationAreNotSwallowed(self) -> None:
        """ilp-protocol-stream: what a listener raises is caught, and nobody ever reads of it."""

        class Broken(Recorder):
            def dataReceived(self, data: bytes) -> None:
                raise ZeroDivisionError("of the application")

        self.listen(Broken)
        near = self.open()
        near.transport.write(b"x")
        self.run_()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertFalse(self.connection.session.isClosed)

    def test_streamsOfTheFirstPacketAreNotLost(self) -> None:
        """ilp-protocol-stream: who does not listen within the same turn loses the stream."""
        self.listen()
        connection = self.client.openConnection(self.server.generateCredentials())
        self.connection = connection
        near = self.openStream()
        near.transport.write(b"hello")
        near.transport.sendMoney(5)
        self.run_()
        [far] = self.served.made
        self.assertEqual((far.happened, far.data, far.amounts), (["made"], b"hello", [5]))

    def test_idleTimeoutOfZeroIsNotIgnored(self) -> None:
        """ilp-protocol-stream: 0 is silently taken for the usual minute."""
        error = self.assertRaises(LocalError, SessionConfiguration, idleTimeout=0)
        self.assertIn("from 1 to 1e9 s", str(error))
        self.listen(idleTimeout=1e9)
        near = self.open(idleTimeout=1e9)
        near.transport.write(b"x")
        self.run_(86_400)
        near.transport.write(b"y")
        self.run_()
        self.assertEqual(self.served.made[0].data, b"xy")
