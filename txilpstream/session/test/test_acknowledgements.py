"""Tests of C{txilpstream.session.acknowledgements}: what each answer changes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import U64_MAX, Ratio
from txilpstream.errors import ConnectionEnded, ErrorCode, LocalError, PeerError
from txilpstream.session.events import (
    ConnectionClosed,
    DoubtResolved,
    MoneySettled,
    PeerAnswered,
    StreamClosed,
)
from txilpstream.session.packetbuilder import Outgoing
from txilpstream.test.support.sessions import LOST, Pair, Way, limiting, rejecting, settled
from txilpstream.wire.frames import (
    ConnectionClose,
    ConnectionNewAddress,
    Frame,
    StreamClose,
    StreamData,
    StreamMaxMoney,
    StreamMoney,
)
from txilpstream.wire.ilp import (
    Fulfill,
    Prepare,
    decodePrepare,
    decodeReply,
    encodeFulfill,
    encodeReject,
)
from txilpstream.wire.packet import FULFILL, PREPARE, REJECT, encodePacket


class Peerless:
    """A client whose packets the test answers itself."""

    def __init__(self, sourceAmount: int = 1000, data: bytes = b"") -> None:
        self.pair = Pair({"minimumRate": Ratio(1)})
        self.end = self.pair.client
        self.end.isPaused = True
        self.session = self.end.session
        self.streamID = self.end.open()
        if sourceAmount:
            self.session.sendMoney(self.streamID, sourceAmount)
        if data:
            self.session.sendData(self.streamID, data)
        self.packet = self.next()

    def next(self) -> Outgoing:
        """The next packet, which must come."""
        packet = self.session.nextPacket(now=self.pair.now)
        assert packet is not None
        return packet

    @property
    def money(self) -> tuple[int, int, int, int]:
        """What of the money is unsent, held, sent and unanswered."""
        money = self.end.streams[self.streamID].moneyOut
        return money.unsent, money.held, money.sent, money.unanswered

    def answer(
        self,
        delivered: int = 1000,
        *,
        kind: int = FULFILL,
        sequence: int | None = None,
        packetType: int | None = None,
        frames: tuple[Frame, ...] = (),
        isAuthentic: bool = True,
        isRight: bool = True,
    ) -> None:
        """Answer the packet, as the peer would or not quite."""
        prepare = decodePrepare(self.packet.data)
        keys = self.pair.keys
        plain = encodePacket(
            self.packet.sequence if sequence is None else sequence,
            packetType or kind,
            delivered,
            list(frames),
        )
        data = keys.seal(plain, bytes(12)) if isAuthentic else b"no packet"
        fulfillment = keys.fulfillment(prepare.data) if isRight else bytes(32)
        if kind == FULFILL:
            reply = encodeFulfill(fulfillment, data)
            if isRight:
                self.end.took += prepare.amount
        else:
            reply = encodeReject("F99", "test.server", "", data)
        self.pair.reply(self.end, self.packet.sequence, reply)


class FulfilledTests(SynchronousTestCase):
    """The money has arrived."""

    def test_fulfilled(self) -> None:
        """The money is sent, and what arrived is known from both sides."""
        test = Peerless()
        self.assertEqual(test.money, (0, 1000, 0, 0))
        test.answer(1005)
        self.assertEqual(test.money, (0, 0, 1000, 0))
        settled_ = test.end.seen(MoneySettled)
        self.assertEqual(settled_, [MoneySettled(test.streamID, 1000, 1000, 1005, False)])
        self.assertEqual(len(test.end.seen(PeerAnswered)), 1)

    def test_more(self) -> None:
        """What is still to be sent goes on."""
        pair = Pair({"minimumRate": Ratio(1), "maximumPacketAmount": 10})
        pair.pay(1000, 20)
        self.assertEqual((settled(pair.client), pair.server.credited), (1000, 1000))

    def test_twice(self) -> None:
        """A second answer changes nothing."""
        test = Peerless()
        test.answer()
        test.pair.reply(test.end, test.packet.sequence, rejecting("T00"))
        test.pair.reply(test.end, 77, rejecting("T00"))
        self.assertEqual(test.money, (0, 0, 1000, 0))
        self.assertEqual(test.session.rejects, ())

    def test_notAuthentic(self) -> None:
        """A fulfillment counts without the peer's word, and then only our minimum is known."""
        for settings in (
            {"isAuthentic": False},
            {"sequence": 99},
            {"packetType": REJECT},
            {"packetType": PREPARE},
        ):
            test = Peerless()
            test.answer(2000, **settings)
            settled_ = test.end.seen(MoneySettled)
            self.assertEqual(settled_, [MoneySettled(test.streamID, 1000, 1000, 1000, False)])
            self.assertEqual(test.end.seen(PeerAnswered), [])
            # Nobody has heard the control frames: they are said again.
            self.assertIsNot(test.session.nextPacket(now=test.pair.now), None)

    def test_notAPacket(self) -> None:
        """What decrypts and is no packet says nothing."""
        test = Peerless()
        prepare = decodePrepare(test.packet.data)
        keys = test.pair.keys
        reply = encodeFulfill(keys.fulfillment(prepare.data), keys.seal(b"\x01", bytes(12)))
        test.end.took += 1000
        test.pair.reply(test.end, test.packet.sequence, reply)
        self.assertEqual(test.money, (0, 0, 1000, 0))
        self.assertEqual(test.end.seen(PeerAnswered), [])

    def test_belowMinimum(self) -> None:
        """A peer that fulfills for less than was demanded breaks the protocol."""
        test = Peerless()
        test.answer(999)
        self.assertEqual(test.money, (0, 0, 1000, 0))
        (closed,) = test.end.seen(ConnectionClosed)
        assert isinstance(closed.error, PeerError)
        self.assertEqual(closed.error.code, ErrorCode.PROTOCOL_VIOLATION)
        self.assertTrue(test.session.isClosed)

    def test_belowMinimumAndClosed(self) -> None:
        """If the connection is over already, its reason stays."""
        test = Peerless()
        test.answer(999, frames=(ConnectionClose(ErrorCode.NO_ERROR, ""),))
        self.assertEqual(test.end.seen(ConnectionClosed), [ConnectionClosed(None)])

    def test_frames(self) -> None:
        """Frames of an answer are heard; money and data have no place in it."""
        test = Peerless()
        frames = (
            StreamMoney(test.streamID, 1),
            StreamData(test.streamID, 0, b"x"),
            StreamMaxMoney(test.streamID, 5000, 1000),
        )
        test.answer(frames=frames)
        stream = test.end.streams[test.streamID]
        self.assertEqual((stream.moneyOut.peerMax, stream.data.held), (5000, 0))

    def test_brokenFrame(self) -> None:
        """A frame against the protocol ends the connection; what follows it is not heard."""
        test = Peerless()
        bad = ConnectionNewAddress("not an address")
        test.answer(frames=(bad, StreamMaxMoney(test.streamID, 5000, 1000)))
        (closed,) = test.end.seen(ConnectionClosed)
        assert isinstance(closed.error, PeerError)
        self.assertEqual(closed.error.code, ErrorCode.FRAME_FORMAT_ERROR)

    def test_framesAfterClose(self) -> None:
        """Nothing is heard after the peer has closed."""
        test = Peerless()
        close = ConnectionClose(ErrorCode.NO_ERROR, "")
        test.answer(frames=(close, StreamMaxMoney(test.streamID, 5000, 1000)))
        stream = test.end.streams[test.streamID]
        self.assertEqual(stream.moneyOut.peerMax, U64_MAX)

    def test_dataOfGoneStream(self) -> None:
        """An answer may come when the stream of its data is gone."""
        for kind in (FULFILL, REJECT):
            test = Peerless(0, b"data")
            test.session.abortStream(test.streamID, None, ErrorCode.APPLICATION_ERROR)
            other, test.packet = test.packet, test.next()
            test.answer(frames=(StreamClose(test.streamID, ErrorCode.NO_ERROR, ""),))
            self.assertRaises(LocalError, test.session.stream, test.streamID)
            test.packet = other
            test.answer(kind=kind)
            self.assertEqual(test.session.inFlight, 0)

    def test_closeIsHeard(self) -> None:
        """A stream is over when both ends have closed it and heard so."""
        pair = Pair()
        streamID = pair.client.open()
        pair.client.session.sendMoney(streamID, 100)
        pair.client.session.sendData(streamID, b"data")
        pair.client.session.closeStream(streamID)
        pair.run(1)
        self.assertEqual(pair.client.seen(StreamClosed), [])
        pair.server.session.closeStream(streamID)
        pair.run(1)
        for end in (pair.client, pair.server):
            self.assertEqual(end.seen(StreamClosed), [StreamClosed(streamID, None)])


class RejectedTests(SynchronousTestCase):
    """The money comes back."""

    def test_refused(self) -> None:
        """Money that the peer refuses is offered again, after a while."""
        test = Peerless()
        test.answer(1000, kind=REJECT)
        self.assertEqual(test.money, (1000, 0, 0, 0))
        self.assertEqual([seen.code for seen in test.session.rejects], ["F99"])
        self.assertIs(test.session.nextPacket(now=test.pair.now), None)
        test.pair.run(0.5)
        test.packet = test.next()
        self.assertEqual(decodePrepare(test.packet.data).amount, 1000)

    def test_rejectedOnThePath(self) -> None:
        """Money that a node rejects is offered again, and frames are said again."""
        test = Peerless()
        first = decodePrepare(test.packet.data)
        test.pair.reply(test.end, test.packet.sequence, rejecting("T00"))
        self.assertEqual(test.money, (1000, 0, 0, 0))
        test.pair.run(1)
        again = decodePrepare(test.next().data)
        self.assertEqual((again.amount, len(again.data)), (1000, len(first.data)))

    def test_dataRefused(self) -> None:
        """Data that the peer does not take now is not sent in circles."""
        pair = Pair()
        isOpen = False
        pair.server.isAccepting = lambda incoming: isOpen
        streamID = pair.client.open()
        pair.client.session.sendData(streamID, bytes(50_000))
        pair.run(5)
        self.assertLess(len(pair.client.prepares), 60)
        isOpen = True
        pair.run(20)
        self.assertEqual(len(pair.server.data[streamID]), 50_000)

    def test_nothingRefused(self) -> None:
        """A peer that refuses a packet with nothing in it has heard its frames all the same."""
        pair = Pair()
        pair.server.isAccepting = lambda incoming: False
        pair.client.open(100)
        pair.run(2)
        self.assertEqual(len(pair.client.prepares), 1)
        self.assertEqual(len(pair.client.seen(PeerAnswered)), 1)

    def test_aborted(self) -> None:
        """Money that comes back to a stream that is over is not offered again."""
        test = Peerless(data=b"data")
        test.session.abortStream(test.streamID, None, ErrorCode.APPLICATION_ERROR)
        test.pair.reply(test.end, test.packet.sequence, rejecting("T00"))
        self.assertEqual(test.money, (0, 0, 0, 0))

    def test_closing(self) -> None:
        """Money that comes back to a stream that closes is still sent."""
        test = Peerless()
        test.session.closeStream(test.streamID)
        test.pair.reply(test.end, test.packet.sequence, rejecting("T00"))
        self.assertEqual(test.money, (1000, 0, 0, 0))

    def test_closed(self) -> None:
        """After the end nothing is offered again."""
        test = Peerless()
        test.session.abort(None)
        test.answer(1000, kind=REJECT)
        self.assertEqual(test.money, (0, 0, 0, 0))

    def test_probesToo(self) -> None:
        """What a node says to packets that ask for the rate is kept, unless it was expected."""
        pair = Pair()
        pair.client.out = lambda prepare: rejecting("F06") if prepare.amount else None
        pair.pay(50)
        [seen] = pair.client.session.rejects
        self.assertEqual((seen.code, seen.triggeredBy), ("F06", "test.hop"))
        self.assertGreater(seen.sourceAmount, 0)
        pair = Pair()
        pair.client.out = limiting(20)
        pair.pay(50)
        self.assertEqual(settled(pair.client), 50)
        self.assertEqual(pair.client.session.rejects, ())


class DoubtTests(SynchronousTestCase):
    """Nobody knows what became of the money."""

    def expired(self) -> Peerless:
        """A packet whose time is over."""
        test = Peerless()
        test.pair.run(34)
        self.assertEqual(test.money, (0, 1000, 0, 0))
        test.pair.run(2)
        self.assertEqual(test.money, (0, 0, 0, 1000))
        self.assertEqual(
            test.end.seen(MoneySettled), [MoneySettled(test.streamID, 1000, 0, 0, True)]
        )
        return test

    def test_expired(self) -> None:
        """Money without an answer is never offered again."""
        test = self.expired()
        packet = test.next()
        self.assertEqual(decodePrepare(packet.data).amount, 0)
        self.assertEqual(test.end.streams[test.streamID].moneyOut.sendMax, 1000)

    def test_lateFulfill(self) -> None:
        """A late fulfill settles it."""
        test = self.expired()
        test.answer(1002)
        self.assertEqual(test.money, (0, 0, 1000, 0))
        self.assertEqual(
            test.end.seen(DoubtResolved), [DoubtResolved(test.streamID, 1000, 1000, 1002, True)]
        )
        self.assertEqual(len(test.end.seen(MoneySettled)), 1)

    def test_lateReject(self) -> None:
        """A late reject gives it back to the application; other money is not touched."""
        for isPeer in (True, False):
            test = self.expired()
            test.session.sendMoney(test.streamID, 7)
            if isPeer:
                test.answer(1000, kind=REJECT)
            else:
                test.pair.reply(test.end, test.packet.sequence, rejecting("F02"))
            self.assertEqual(test.money, (7, 0, 0, 0))
            self.assertFalse(test.session.isClosed)
            told = test.end.seen(DoubtResolved)
            self.assertEqual(told, [DoubtResolved(test.streamID, 1000, 0, 0, False)])

    def test_lateRubbish(self) -> None:
        """What is no answer changes nothing, and the true one may still come."""
        test = self.expired()
        test.pair.reply(test.end, test.packet.sequence, b"rubbish")
        test.answer(isRight=False)
        self.assertEqual(test.money, (0, 0, 0, 1000))
        self.assertEqual(len(test.end.seen(MoneySettled)), 1)
        test.answer()
        self.assertEqual(test.money, (0, 0, 1000, 0))

    def test_wrongFulfillment(self) -> None:
        """A fulfill that proves nothing is in doubt (nothing was paid for it that we know)."""
        test = Peerless()
        test.answer(isRight=False)
        self.assertEqual(test.money, (0, 0, 0, 1000))

    def test_rubbish(self) -> None:
        """Bytes that are no ILP packet are no answer."""
        test = Peerless()
        test.pair.reply(test.end, test.packet.sequence, b"rubbish")
        self.assertEqual(test.money, (0, 0, 0, 1000))

    def test_noReply(self) -> None:
        """A driver that knows that no answer will come says so once."""
        test = Peerless()
        test.session.receiveNoReply(test.packet.sequence, now=test.pair.now)
        test.session.receiveNoReply(test.packet.sequence, now=test.pair.now)
        self.assertEqual(test.money, (0, 0, 0, 1000))

    def test_notSent(self) -> None:
        """What certainly never left is offered again."""
        test = Peerless()
        test.session.receiveNotSent(test.packet.sequence, now=test.pair.now)
        test.session.receiveNotSent(test.packet.sequence, now=test.pair.now)
        self.assertEqual(test.money, (1000, 0, 0, 0))
        test.pair.run(1)
        self.assertEqual(decodePrepare(test.next().data).amount, 1000)

    def test_probe(self) -> None:
        """A probe is never in doubt: nobody can take its money."""
        pair = Pair()
        pair.client.isPaused = True
        session = pair.client.session
        session.sendMoney(pair.client.open(), 1000)
        packet = session.nextPacket(now=pair.now)
        assert packet is not None
        session.receiveNotSent(packet.sequence, now=pair.now)
        pair.run(1)
        self.assertIsNot(session.nextPacket(now=pair.now), None)
        pair.run(36)
        self.assertEqual((session.inFlight, pair.client.total("unsent")), (0, 1000))
        self.assertEqual(pair.client.seen(MoneySettled), [])

    def test_streamIsGone(self) -> None:
        """Answers to money in doubt may come when its stream is gone."""
        for code in ("", "T00"):
            pair = Pair({"minimumRate": Ratio(1)})
            kept: list[bytes] = []

            def way(
                prepare: Prepare,
                pair: Pair = pair,
                kept: list[bytes] = kept,
                isTaken: bool = not code,
            ) -> bytes | None:
                if not prepare.amount or kept:
                    return None
                kept.append(pair.deliver(pair.server, prepare))
                pair.client.took += prepare.amount * isTaken
                return LOST

            pair.client.out = way
            streamID = pair.pay(1000, 1)
            sequence = len(pair.client.prepares)
            for end in (pair.client, pair.server):
                end.session.closeStream(streamID)
            pair.run(1)
            pair.client.session.sendData(pair.client.open(), b"keep")
            pair.run(40)
            self.assertEqual(len(pair.client.seen(StreamClosed)), 1)
            self.assertEqual([e.isInDoubt for e in pair.client.seen(MoneySettled)], [True])
            for number in range(1, sequence + 1):
                reply = rejecting(code) if code else kept[0]
                pair.reply(pair.client, number, reply)
            (told,) = pair.client.seen(DoubtResolved)
            self.assertEqual((told.sourceAmount, told.isSent), (1000, not code))
            money = pair.client.streams[streamID].moneyOut
            self.assertEqual((money.sent, money.unanswered), (0 if code else 1000, 0))

    def test_lostOfAborted(self) -> None:
        """Data of an aborted stream that nobody answered may have been counted by the peer."""
        pair = Pair()
        lost: list[bytes] = []

        def way(prepare: Prepare) -> bytes | None:
            if len(prepare.data) < 10_000 or lost:
                return None
            lost.append(pair.deliver(pair.server, prepare))
            return LOST

        pair.client.out = way
        streamID = pair.client.open()
        pair.run(1)
        pair.client.session.sendData(streamID, b"x" * 16_000)
        pair.run(0.1)
        pair.client.session.abortStream(streamID, None, ErrorCode.APPLICATION_ERROR)
        pair.run(40)
        self.assertEqual(len(lost), 1)
        other = pair.client.open()
        pair.client.session.sendData(other, b"y" * 1_500_000)
        pair.run(20)
        self.assertFalse(pair.server.session.isClosed)
        self.assertEqual(len(pair.server.data[other]), 1_500_000)

    def test_abortedInFlight(self) -> None:
        """A stream that was aborted and forgotten by then is no obstacle to doubt."""
        test = Peerless()
        test.session.abortStream(test.streamID, None, ErrorCode.APPLICATION_ERROR)
        test.pair.run(36)
        self.assertEqual([e.isInDoubt for e in test.end.seen(MoneySettled)], [True])


class ResendTests(SynchronousTestCase):
    """Data and control frames do not wait for the expiry."""

    def test_lostData(self) -> None:
        """Data without an answer goes again after a second, once for each packet."""
        pair = Pair()
        pair.client.out = lambda prepare: LOST
        streamID = pair.client.open()
        pair.client.session.sendData(streamID, b"data")
        pair.run(0.9)
        self.assertEqual(len(pair.client.prepares), 1)
        pair.run(0.2)
        self.assertEqual(len(pair.client.prepares), 2)
        pair.run(36)
        self.assertEqual(pair.client.seen(MoneySettled), [])
        pair.client.out = lambda prepare: None
        pair.run(3)
        self.assertEqual(pair.server.data[streamID], b"data")
        self.assertTrue(pair.client.session.stream(streamID).queue.isEmpty)

    def test_lostAnswers(self) -> None:
        """Whose answers are lost sends all again, and the peer takes it once."""
        pair = Pair()
        pair.client.back = lambda answer: LOST
        streamID = pair.client.open()
        pair.client.session.sendData(streamID, b"data" * 1000)
        pair.run(10)
        pair.client.back = lambda answer: None
        pair.run(10)
        self.assertEqual(pair.server.data[streamID], b"data" * 1000)
        self.assertTrue(pair.client.session.stream(streamID).queue.isEmpty)


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


class PathControlTests(SynchronousTestCase):
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
