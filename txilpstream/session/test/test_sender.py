"""Tests of C{txilpstream.session.sender}: turns, waiting and asking."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import Ratio
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.events import ConnectionClosed, DataDrained, MoneyFailed
from txilpstream.session.path import NEVER
from txilpstream.session.rateprobe import MOST_PROBES
from txilpstream.session.sender import FIRST_POLL, FRAME_OVERHEAD, LONGEST_POLL, LimitPoll
from txilpstream.test.support.sessions import LOST, Pair, converting, limiting, rejecting, settled
from txilpstream.wire.frames import StreamData
from txilpstream.wire.ilp import Prepare
from txilpstream.wire.packet import StreamPacket, decodePacket

HIGH_WATER = SessionConfiguration().streamHighWater


def packets(pair: Pair) -> list[StreamPacket]:
    """What the client has sent, opened."""
    opened = [pair.keys.open(prepare.data) for prepare in pair.client.prepares]
    return [decodePacket(plain) for plain in opened if plain is not None]


class LimitPollTests(SynchronousTestCase):
    """When a blocked sender asks for limits."""

    def test_doubles(self) -> None:
        """After a round trip, then twice as late each time, and never later than so."""
        poll = LimitPoll()
        delays = []
        for _ in range(8):
            poll.start(0.25, 100.0)
            delays.append(poll.dueAt - 100.0)
            poll.stop()
            self.assertEqual(poll.dueAt, NEVER)
        self.assertEqual(
            delays, [0.25, 0.5, 1.0, 2.0, 4.0, LONGEST_POLL, LONGEST_POLL, LONGEST_POLL]
        )

    def test_startedOnce(self) -> None:
        """Whoever goes on to wait does not begin to wait anew."""
        poll = LimitPoll()
        poll.start(0.25, 100.0)
        poll.start(0.25, 100.2)
        self.assertEqual(poll.dueAt, 100.25)

    def test_reset(self) -> None:
        """A limit that grew makes the next wait short, not the one that runs."""
        poll = LimitPoll()
        for _ in range(3):
            poll.stop()
            poll.start(0.0, 100.0)
        self.assertEqual(poll.dueAt, 100.0 + 4 * FIRST_POLL)
        poll.reset()
        self.assertEqual(poll.dueAt, 100.0 + 4 * FIRST_POLL)
        poll.stop()
        poll.start(0.0, 200.0)
        self.assertEqual(poll.dueAt, 200.0 + FIRST_POLL)


class TurnTests(SynchronousTestCase):
    """Whose turn it is."""

    def test_moneyAndData(self) -> None:
        """Money and data take turns, so neither waits for the other to be done."""
        pair = Pair({"minimumRate": Ratio(1)})
        pair.client.out = limiting(10)
        streamID = pair.client.open()
        pair.client.session.sendMoney(streamID, 10_000_000)
        pair.run(0.3)
        pair.client.prepares.clear()
        pair.client.session.sendData(streamID, bytes(100_000))
        pair.run(0.1)
        sent = [bool(prepare.amount) for prepare in pair.client.prepares[:6]]
        self.assertEqual(sent.count(True), 3)

    def test_manyFragments(self) -> None:
        """One packet carries fragments of many streams and stays small enough."""
        pair = Pair({"fragmentSize": 1000}, {"maximumStreamID": 1000})
        streamIDs = [pair.client.open() for _ in range(200)]
        for streamID in streamIDs:
            pair.client.session.sendData(streamID, b"0123456789")
        pair.run(10)
        self.assertTrue(all(pair.server.data[each] == b"0123456789" for each in streamIDs))
        most = max(
            sum(
                len(frame.data) + FRAME_OVERHEAD
                for frame in packet.frames
                if isinstance(frame, StreamData) and frame.data
            )
            for packet in packets(pair)
        )
        self.assertLessEqual(most, 1020)
        self.assertGreater(most, 900)

    def test_controlsAlone(self) -> None:
        """What there is to say goes alone if neither money nor data can leave."""
        pair = Pair()
        pair.client.open(100)
        pair.run(1)
        self.assertEqual({prepare.amount for prepare in pair.client.prepares}, {0})
        self.assertTrue(pair.client.session.isIdle)

    def test_controlsBesideBlockedMoney(self) -> None:
        """What there is to say does not wait for the answer to a probe."""
        pair = Pair()
        pair.client.out = lambda prepare: LOST
        streamID = pair.client.open()
        pair.client.session.sendMoney(streamID, 1000)
        pair.run(0.1)
        before = len(pair.client.prepares)
        pair.client.session.setReceiveMax(streamID, 5)
        pair.run(0.1)
        self.assertEqual(len(pair.client.prepares) - before, 1)

    def test_dataBesideWaitingMoney(self) -> None:
        """Data does not wait for money that must wait for its rate."""
        pair = Pair()
        streamID = pair.client.open()
        pair.client.session.sendMoney(streamID, 1000)
        pair.client.session.sendData(streamID, bytes(40_000))
        pair.client.out = lambda prepare: LOST if prepare.amount else None
        pair.run(1)
        self.assertEqual(len(pair.server.data[streamID]), 40_000)

    def test_drained(self) -> None:
        """The application is asked for more when little is left to be sent."""
        pair = Pair()
        streamID = pair.client.open()
        pair.client.session.sendData(streamID, bytes(3 * HIGH_WATER))
        pair.run(5)
        self.assertEqual(pair.client.seen(DataDrained), [DataDrained(streamID)])

    def test_lostFragment(self) -> None:
        """A fragment that was lost goes again as it was (RFC 29 section 5.3.11)."""
        pair = Pair()
        arrived = 0

        def way(prepare: object) -> bytes | None:
            nonlocal arrived
            arrived += 1
            return LOST if arrived == 2 else None

        pair.client.out = way
        streamID = pair.client.open()
        data = pair.random.randbytes(60_000)
        pair.client.session.sendData(streamID, data)
        pair.run(0.5)
        pair.run(5)
        self.assertEqual(pair.server.data[streamID], data)
        seen: dict[int, int] = {}
        for packet in packets(pair):
            for frame in packet.frames:
                if isinstance(frame, StreamData) and frame.data:
                    self.assertEqual(
                        seen.setdefault(frame.offset, len(frame.data)), len(frame.data)
                    )

    def test_largeLostFragment(self) -> None:
        """A large fragment that was lost waits for a packet of its own."""
        pair = Pair({"fragmentSize": 100})
        streamIDs = [pair.client.open() for _ in range(3)]
        pair.run(1)
        pair.client.out = lambda prepare: rejecting("T00")
        for streamID in streamIDs:
            pair.client.session.sendData(streamID, bytes(60))
            while pair.client.session.nextPacket(now=pair.now):
                pass
        for sequence in range(4, 10):
            pair.reply(pair.client, sequence, rejecting("T00"))
        pair.client.out = lambda prepare: None
        pair.client.prepares.clear()
        pair.run(2)
        self.assertEqual([len(pair.server.data[each]) for each in streamIDs], [60] * 3)
        sizes = [
            [len(frame.data) for frame in packet.frames if isinstance(frame, StreamData)]
            for packet in packets(pair)
        ]
        self.assertEqual([each for each in sizes if each], [[60]] * 3)

    def test_lostBehindBlocked(self) -> None:
        """What was lost goes again even if the connection takes no new byte."""
        pair = Pair(None, {"connectionWindow": 65536})
        pair.server.isReading = False
        first, other = pair.client.open(), pair.client.open()
        isLosing = True
        pair.run(1)
        pair.client.out = lambda prepare: rejecting("T00") if isLosing else None
        pair.client.session.sendData(other, bytes(8000))
        pair.run(0.03)
        pair.client.session.sendData(first, bytes(200_000))
        isLosing = False
        pair.client.out = lambda prepare: None
        pair.run(5)
        self.assertEqual(pair.server.streams[other].data.waiting, 8000)
        for _ in range(20):
            for streamID in (first, other):
                pair.server.read(streamID)
            pair.run(2)
        self.assertEqual(len(pair.server.data[first]), 200_000)


class WaitingTests(SynchronousTestCase):
    """When nothing may leave."""

    def test_noAddress(self) -> None:
        """A server that does not know where its client is sends nothing."""
        pair = Pair({"sourceAddress": ""})
        streamID = pair.pay(100)
        pair.server.session.sendMoney(streamID, 5)
        pair.run(1)
        self.assertEqual(pair.server.prepares, [])
        self.assertEqual(pair.server.session.peerAddress, "")

    def test_unvalidated(self) -> None:
        """To an address that has proved nothing few packets leave (RFC 29 section 4.3.2)."""
        pair = Pair()
        pair.server.out = lambda prepare: LOST
        streamID = pair.pay(100, 1)
        pair.server.session.sendData(streamID, bytes(1_000_000))
        pair.run(10)
        self.assertLessEqual(pair.server.session.inFlight, 4)

    def test_mostInFlight(self) -> None:
        """No more packets are in flight than the caller allows."""
        pair = Pair({"maximumInFlight": 3, "minimumRate": Ratio(1), "maximumPacketAmount": 10})
        pair.pay(1000, 0.02)
        self.assertEqual(pair.client.session.inFlight, 3)
        pair.run(30)
        self.assertEqual(settled(pair.client), 1000)

    def test_closeWaitsForFlight(self) -> None:
        """The last packet leaves when nothing is in flight any more, once."""
        pair = Pair({"minimumRate": Ratio(1)})
        pair.pay(1000, 0.01)
        pair.client.session.abort(None)
        self.assertIs(pair.client.session.nextPacket(now=pair.now), None)
        pair.run(1)
        before = len(pair.client.prepares)
        self.assertTrue(pair.server.session.isClosed)
        pair.run(100)
        self.assertEqual(len(pair.client.prepares), before)


class PollTests(SynchronousTestCase):
    """A sender that is blocked and cannot be reached asks."""

    def test_money(self) -> None:
        """Money waits for the peer to take more, and goes on soon after it does."""
        pair = Pair({"sourceAddress": "", "minimumRate": Ratio(1)})
        pair.server.receiveMax = 500
        streamID = pair.pay(2000, 2)
        self.assertEqual(settled(pair.client), 500)
        before = len(pair.client.prepares)
        pair.run(40)
        self.assertTrue(5 < len(pair.client.prepares) - before < 15)
        pair.server.session.setReceiveMax(streamID, 2000)
        pair.run(6)
        self.assertEqual(settled(pair.client), 2000)
        self.assertFalse(pair.client.session.isClosed)

    def test_moneyThatFitsNoPacket(self) -> None:
        """What the peer still takes may be too little for any packet: that is blocked too."""
        pair = Pair({"sourceAddress": "", "minimumRate": Ratio(188, 100)})
        pair.client.out = converting(Ratio(19, 10))
        pair.server.receiveMax = 192
        streamID = pair.pay(1000, 2)
        sent = settled(pair.client)
        self.assertTrue(90 < sent < 110, sent)
        before = len(pair.client.prepares)
        pair.run(20)
        self.assertTrue(2 < len(pair.client.prepares) - before < 30)
        pair.server.session.setReceiveMax(streamID, 10_000)
        pair.run(6)
        self.assertEqual(settled(pair.client), 1000)

    def test_data(self) -> None:
        """Data waits for the application there to read, on one stream or on all."""
        for settings in ({"streamWindow": 20_000}, {"connectionWindow": 70_000}):
            pair = Pair({"sourceAddress": ""}, settings)
            pair.server.isReading = False
            streamIDs = [pair.client.open() for _ in range(5)]
            for streamID in streamIDs:
                pair.client.session.sendData(streamID, bytes(40_000))
            pair.run(20)
            self.assertLessEqual(
                sum(stream.data.held for stream in pair.server.streams.values()), 100_000
            )
            self.assertLess(len(pair.client.prepares), 60)
            for _ in range(12):
                for streamID in streamIDs:
                    pair.server.read(streamID)
                pair.run(6)
            self.assertEqual([len(pair.server.data[each]) for each in streamIDs], [40_000] * 5)

    def test_streamIDs(self) -> None:
        """More streams than the peer takes are opened when it takes them."""
        pair = Pair({"sourceAddress": "", "minimumRate": Ratio(1)})
        streamIDs = [pair.client.open(100) for _ in range(15)]
        for streamID in streamIDs:
            pair.client.session.sendMoney(streamID, 10)
            pair.client.session.closeStream(streamID)
        pair.run(3)
        for _ in range(8):
            for streamID in streamIDs:
                if streamID in pair.server.streams:
                    pair.server.session.closeStream(streamID)
            pair.run(6)
        self.assertEqual(pair.client.seen(ConnectionClosed), [])
        self.assertEqual(settled(pair.client), 150)
        self.assertEqual(len(pair.server.streams), 15)

    def test_pollWaitsToo(self) -> None:
        """A poll does not leave while the peer is left alone after refusals."""
        pair = Pair({"sourceAddress": "", "minimumRate": Ratio(1)})
        pair.server.receiveMax = 500
        pair.pay(2000, 2)
        pair.server.receiveMax = 10_000
        pair.server.isAccepting = lambda incoming: incoming.prepare.amount == 0
        streamID = pair.client.open()
        pair.client.session.sendMoney(streamID, 100)
        pair.run(15)
        pair.client.session.withdrawMoney(streamID, 100)
        before = len(pair.client.prepares)
        pair.run(20)
        self.assertTrue(1 < len(pair.client.prepares) - before < 20)

    def test_pollMayWait(self) -> None:
        """A peer that has just refused money is left alone for a while, by a poll too."""
        pair = Pair({"sourceAddress": "", "minimumRate": Ratio(1)})
        pair.server.receiveMax = None
        streamID = pair.pay(2000, 2)
        self.assertEqual(settled(pair.client), 0)
        self.assertTrue(2 < len(pair.client.prepares) < 8)
        pair.server.session.setReceiveMax(streamID, 2000)
        pair.run(6)
        self.assertEqual(settled(pair.client), 2000)


class ProbeTests(SynchronousTestCase):
    """Money leaves when the rate is known."""

    def test_probe(self) -> None:
        """A packet that nobody can fulfill measures the rate; the floor is 1 % below."""
        pair = Pair()
        pair.client.out = converting(Ratio(1, 2))
        pair.pay(1_000_000)
        self.assertEqual(settled(pair.client), 1_000_000)
        self.assertEqual(pair.server.credited, 500_000)
        (acknowledgements,) = (e for e in pair.client.events if hasattr(e, "deliveredMinimum"))
        self.assertTrue(495_000 <= acknowledgements.deliveredMinimum < 500_000)

    def test_moreProbes(self) -> None:
        """A probe that delivers too little to be precise is followed by a larger one."""
        pair = Pair()
        pair.client.out = converting(Ratio(1, 8))
        pair.pay(104)
        amounts = [prepare.amount for prepare in pair.client.prepares if prepare.amount]
        self.assertEqual(amounts[-1], 104)
        self.assertGreater(max(amounts), 7999)
        self.assertEqual((settled(pair.client), pair.server.credited), (104, 13))

    def test_mostProbes(self) -> None:
        """If no probe can be precise, what is known has to do."""
        pair = Pair({"maximumPacketAmount": 10})
        pair.pay(40)
        self.assertEqual(settled(pair.client), 40)
        pair = Pair()
        refused = 0

        def way(prepare: Prepare) -> bytes | None:
            nonlocal refused
            refused += bool(prepare.amount)
            return rejecting("T00") if prepare.amount and refused < MOST_PROBES else None

        pair.client.out = way
        pair.pay(40, 30)
        self.assertEqual(settled(pair.client), 40)

    def test_nothingDelivered(self) -> None:
        """A path that delivers nothing gets nothing, and the money goes back."""
        pair = Pair({"maximumPacketAmount": 10})
        pair.client.out = converting(Ratio(0))
        streamID = pair.pay(1000)
        (failed,) = pair.client.seen(MoneyFailed)
        self.assertEqual((failed.streamID, failed.sourceAmount), (streamID, 1000))
        self.assertIn("delivers nothing", failed.reason)
        self.assertIs(failed.smallestAmount, None)
        pair.client.out = lambda prepare: None
        pair.client.session.sendMoney(streamID, 500)
        pair.run(5)
        self.assertEqual(settled(pair.client), 500)

    def test_lostProbe(self) -> None:
        """A probe that is lost holds nothing up for long."""
        pair = Pair()
        isLosing = True

        def way(prepare: Prepare) -> bytes | None:
            nonlocal isLosing
            wasLosing = isLosing and prepare.amount > 0
            isLosing = isLosing and not wasLosing
            return LOST if wasLosing else None

        pair.client.out = way
        pair.pay(1000, 2)
        self.assertEqual(settled(pair.client), 1000)
        pair.run(40)
        self.assertEqual(pair.client.seen(MoneyFailed), [])
        # Its answer comes after all, and changes nothing.
        for sequence in range(1, 4):
            pair.reply(pair.client, sequence, rejecting("F99"))
        streamID = pair.pay(1000, 2)
        self.assertEqual(pair.client.streams[streamID].moneyOut.sent, 1000)

    def test_lateProbe(self) -> None:
        """A probe that is answered late by the peer changes no floor that is fixed."""
        pair = Pair()
        kept: list[bytes] = []

        def back(answer: bytes) -> bytes | None:
            if len(kept) > 1:
                return None
            kept.append(answer)
            return LOST

        pair.client.back = back
        pair.pay(1000, 60)
        self.assertEqual(settled(pair.client), 1000)
        before = len(pair.client.events)
        for sequence, answer in enumerate(kept, 1):
            pair.reply(pair.client, sequence, answer)
        self.assertEqual(len(pair.client.seen(MoneyFailed)), 0)
        self.assertGreaterEqual(len(pair.client.events), before)

    def test_unsentProbe(self) -> None:
        """A probe that never left is made again."""
        pair = Pair()
        session = pair.client.session
        session.sendMoney(pair.client.open(), 1000)
        while packet := session.nextPacket(now=pair.now):
            session.receiveNotSent(packet.sequence, now=pair.now)
        pair.run(5)
        self.assertEqual(settled(pair.client), 1000)

    def test_illiquidProbe(self) -> None:
        """A probe may be too much for the path at the moment."""
        pair = Pair()
        pair.client.out = lambda prepare: rejecting("T04") if prepare.amount > 100 else None
        pair.pay(1000, 60)
        self.assertEqual(settled(pair.client), 1000)

    def test_probeWaits(self) -> None:
        """A probe waits for the path's liquidity like other money."""
        pair = Pair()
        count = 0

        def way(prepare: Prepare) -> bytes | None:
            nonlocal count
            count += prepare.amount > 0
            return rejecting("T04") if prepare.amount and count == 1 else None

        pair.client.out = way
        pair.pay(10, 20)
        self.assertEqual(settled(pair.client), 10)

    def test_limitedProbe(self) -> None:
        """A probe is no larger than the path's largest packet."""
        pair = Pair()
        pair.client.out = limiting(300)
        pair.pay(1000)
        self.assertEqual(settled(pair.client), 1000)


class FloorTests(SynchronousTestCase):
    """No money leaves below the floor."""

    def test_worse(self) -> None:
        """When the rate falls below the floor, money stays, and is given up after a while."""
        pair = Pair({"minimumRate": Ratio(1)})
        pair.client.out = converting(Ratio(98, 100))
        pair.client.open()
        streamID = pair.pay(1000, 20)
        pair.client.session.sendData(streamID, b"data")
        pair.run(24)
        self.assertEqual((settled(pair.client), pair.server.credited), (0, 0))
        self.assertEqual(pair.client.seen(MoneyFailed), [])
        pair.run(5)
        (failed,) = pair.client.seen(MoneyFailed)
        self.assertEqual((failed.streamID, failed.sourceAmount), (streamID, 1000))
        self.assertFalse(pair.client.session.isClosed)

    def test_better(self) -> None:
        """When it rises again, money leaves."""
        pair = Pair({"minimumRate": Ratio(1)})
        pair.client.out = converting(Ratio(98, 100))
        pair.pay(1000, 10)
        pair.client.out = converting(Ratio(102, 100))
        pair.run(15)
        self.assertEqual(pair.server.credited, 1020)

    def test_tooFew(self) -> None:
        """An amount that can deliver nothing at the floor goes back, with the smallest."""
        pair = Pair({"minimumRate": Ratio(1, 100)})
        pair.client.out = converting(Ratio(1, 100))
        pair.pay(1000)
        streamID = pair.pay(99)
        (failed,) = pair.client.seen(MoneyFailed)
        self.assertEqual((failed.streamID, failed.sourceAmount), (streamID, 99))
        self.assertEqual(failed.smallestAmount, 100)
        self.assertIn("99 of 99 units", failed.reason)

    def test_rest(self) -> None:
        """What is too little while the rest is under way is judged when that has arrived."""
        pair = Pair({"minimumRate": Ratio(1, 100)})
        pair.client.out = converting(Ratio(1, 100))
        pair.pay(1000)
        streamID = pair.client.open()
        pair.client.session.sendMoney(streamID, 300)
        pair.run(0.01)
        pair.client.session.sendMoney(streamID, 50)
        pair.run(0.01)
        self.assertEqual(pair.client.seen(MoneyFailed), [])
        pair.run(1)
        self.assertEqual([e.sourceAmount for e in pair.client.seen(MoneyFailed)], [50])
        self.assertEqual(settled(pair.client), 1300)

    def test_restInDoubt(self) -> None:
        """The same if what is under way is never answered."""
        pair = Pair({"minimumRate": Ratio(1, 100)})
        pair.client.out = converting(Ratio(1, 100))
        pair.pay(1000)
        pair.client.out = lambda prepare: LOST if prepare.amount else None
        streamID = pair.client.open()
        pair.client.session.sendMoney(streamID, 300)
        pair.run(0.01)
        pair.client.session.sendMoney(streamID, 50)
        pair.run(40)
        self.assertEqual([e.sourceAmount for e in pair.client.seen(MoneyFailed)], [50])
        self.assertEqual(pair.client.streams[streamID].moneyOut.unanswered, 300)

    def test_anyRate(self) -> None:
        """Whoever takes any rate sends at once, and at any."""
        pair = Pair({"acceptAnyRate": True})
        pair.client.out = converting(Ratio(1, 1000))
        pair.server.receiveMax = 50
        streamID = pair.client.open()
        pair.run(1)
        pair.client.session.sendData(streamID, b"x")
        pair.run(1)
        pair.client.session.sendMoney(streamID, 10_000)
        pair.run(1)
        self.assertEqual((settled(pair.client), pair.server.credited), (10_000, 10))


class SizeTests(SynchronousTestCase):
    """How much one packet carries."""

    def test_larger(self) -> None:
        """After a while a larger packet is tried, but never with the last money."""
        pair = Pair({"minimumRate": Ratio(1)})
        pair.client.out = limiting(1000)
        streamID = pair.pay(3000, 31)
        pair.client.out = lambda prepare: None
        pair.client.prepares.clear()
        pair.client.session.sendMoney(streamID, 10_000)
        pair.run(1)
        amounts = [prepare.amount for prepare in pair.client.prepares if prepare.amount]
        self.assertIn(1250, amounts)
        self.assertEqual(sum(amounts), 10_000)
        pair.run(31)
        pair.client.session.sendMoney(streamID, 900)
        pair.run(1)
        self.assertEqual(settled(pair.client), 13_900)

    def test_room(self) -> None:
        """No more leaves than the peer takes, in its units."""
        pair = Pair()
        pair.client.out = converting(Ratio(1, 3))
        pair.server.receiveMax = 100
        pair.pay(3000, 3)
        self.assertTrue(99 <= pair.server.credited <= 101)
        self.assertTrue(297 <= settled(pair.client) <= 303)

    def test_stalled(self) -> None:
        """Room for less than any packet delivers is no room: the money waits for more."""
        pair = Pair({"minimumRate": Ratio(188, 100)})
        pair.client.out = converting(Ratio(19, 10))
        pair.pay(100, 1)
        pair.server.receiveMax = 20
        streamID = pair.client.open()
        pair.run(1)
        pair.client.session.sendMoney(streamID, 1000)
        pair.run(20)
        money = pair.client.streams[streamID].moneyOut
        self.assertEqual((money.sent, money.peerRoom), (10, 1))
        self.assertEqual(pair.client.seen(MoneyFailed), [])
        pair.server.session.setReceiveMax(streamID, 10_000)
        pair.run(5)
        self.assertEqual(money.sent, 1000)

    def test_liquidity(self) -> None:
        """Money that the path does not take now waits for its time."""
        pair = Pair({"minimumRate": Ratio(1)})
        bucket = [5000.0, pair.now]

        def way(prepare: Prepare) -> bytes | None:
            bucket[0] = min(5000.0, bucket[0] + 2000 * (pair.now - bucket[1]))
            bucket[1] = pair.now
            if prepare.amount > bucket[0]:
                return rejecting("T04")
            bucket[0] -= prepare.amount
            return limiting(1000)(prepare)

        pair.client.out = way
        pair.pay(40_000, 60)
        self.assertEqual(settled(pair.client), 40_000)


class LiquidityTests(SynchronousTestCase):
    """Money waits for the path's liquidity."""

    def test_lostHoldNone(self) -> None:
        """Packets that nobody answers take no part of a window for long."""
        for options in ({"minimumRate": Ratio(1)}, {}):
            pair = Pair(options)
            count = 0

            def way(prepare: Prepare) -> bytes | None:
                nonlocal count
                count += bool(prepare.amount)
                if prepare.amount > 100 or count == 20:
                    return rejecting("T04")
                return LOST if prepare.amount and count % 4 == 0 else None

            pair.client.out = way
            streamID = pair.pay(5_000, 25)
            money = pair.client.streams[streamID].moneyOut
            self.assertEqual(money.unsent, 0)
            self.assertEqual(money.sent + money.held, 5_000)
            self.assertGreater(money.held, 0)
