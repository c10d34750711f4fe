"""Tests of C{txilpstream.session.sender}: turns, waiting and asking."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import Ratio
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.events import ConnectionClosed, DataDrained
from txilpstream.session.sender import FRAME_OVERHEAD
from txilpstream.test.sessions import LOST, Pair, converting, limiting, rejecting, settled
from txilpstream.wire.frames import StreamData
from txilpstream.wire.packet import StreamPacket, decodePacket

HIGH_WATER = SessionConfiguration().streamHighWater


def packets(pair: Pair) -> list[StreamPacket]:
    """What the client has sent, opened."""
    opened = [pair.keys.open(prepare.data) for prepare in pair.client.prepares]
    return [decodePacket(plain) for plain in opened if plain is not None]


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
