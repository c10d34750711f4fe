"""Tests of C{txilpstream.session.session}: whole connections, both ends, in virtual time."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import Ratio
from txilpstream.crypto.keys import conditionOf
from txilpstream.errors import ConnectionEnded, ErrorCode, LocalError, PeerError
from txilpstream.session.events import ConnectionClosed, MoneyFailed, MoneyReceived, StreamClosed
from txilpstream.session.incoming import Incoming
from txilpstream.session.streams.flowcontrol import ByteBudget
from txilpstream.test.sessions import LOST, Pair, converting, limiting, rejecting, settled
from txilpstream.wire.frames import StreamData
from txilpstream.wire.ilp import Prepare, encodeTimestamp
from txilpstream.wire.packet import PREPARE, encodePacket


class ConnectionTests(SynchronousTestCase):
    """Money and data go both ways, and the promises hold at every step."""

    def test_bothWays(self) -> None:
        """Money and data of both ends arrive, once and in order."""
        pair = Pair()
        client, server = pair.client, pair.server
        client.out = converting(Ratio(9, 10), limiting(100_000))
        server.out = converting(Ratio(11, 10), limiting(3_000))
        client.receiveMax = 1 << 60
        streamID = client.open(1 << 60)
        there, back = pair.random.randbytes(300_000), pair.random.randbytes(200_000)
        client.session.sendMoney(streamID, 10_000_000)
        client.session.sendData(streamID, there)
        pair.run(0.2)
        server.session.sendMoney(streamID, 50_000)
        server.session.sendData(streamID, back)
        pair.run(5)
        self.assertEqual(client.data[streamID], back)
        self.assertEqual(server.data[streamID], there)
        self.assertEqual((settled(client), settled(server)), (10_000_000, 50_000))
        self.assertEqual((client.took, server.took), (10_000_000, 50_000))
        for end in (client, server):
            got = sum(event.amount for event in end.seen(MoneyReceived))
            self.assertEqual(got, end.credited)
        self.assertEqual(client.session.peerAsset, ("EUR", 6))
        self.assertEqual(server.session.peerAsset, ("USD", 9))
        self.assertEqual(server.session.peerAddress, "test.client")
        self.assertTrue(client.session.isIdle)
        self.assertEqual(client.session.inFlight, 0)
        self.assertGreater(client.session.packetRate, 1)
        self.assertEqual(client.session.rejects, ())

    def test_oneUnit(self) -> None:
        """One unit at 1:1 arrives."""
        pair = Pair()
        pair.pay(1)
        self.assertEqual((settled(pair.client), pair.server.credited), (1, 1))

    def test_thousandStreams(self) -> None:
        """A thousand streams progress evenly: nobody waits for the others to be done."""
        pair = Pair({"minimumRate": Ratio(1)}, {"maximumStreamID": 4000})
        pair.client.out = limiting(10)
        streamIDs = [pair.client.open() for _ in range(1000)]
        for streamID in streamIDs:
            pair.client.session.sendMoney(streamID, 100)
            pair.client.session.sendData(streamID, b"x" * 100)
        isChecked = False
        for _ in range(400):
            pair.run(0.05)
            sent = [stream.moneyOut.left for stream in pair.client.streams.values()]
            if not isChecked and sum(sent) >= 50_000:
                isChecked = True
                self.assertLessEqual(max(sent) - min(sent), 30)
        self.assertTrue(isChecked)
        self.assertEqual(settled(pair.client), 100_000)
        self.assertTrue(all(pair.server.data[streamID] == b"x" * 100 for streamID in streamIDs))

    def test_hostilePath(self) -> None:
        """Whatever the path does, nothing hangs, and all that can arrive does."""
        for seed in range(30):
            pair = Pair()
            pair.random.seed(seed)

            def way(prepare: Prepare, pair: Pair = pair) -> bytes | None:
                chance = pair.random.random()
                if chance < 0.03:
                    return LOST
                if chance < 0.06:
                    return rejecting(pair.random.choice(["T00", "T04", "T05", "T01"]))
                if chance < 0.08:
                    pair.deliver(pair.server, prepare)  # a duplicate of what may follow
                if chance < 0.10:
                    prepare.amount //= 2
                if chance < 0.11:
                    prepare.data = prepare.data[:-1] + b"?"
                    return None
                return limiting(5000, withAmounts=chance < 0.5)(prepare)

            def back(answer: bytes, pair: Pair = pair) -> bytes | None:
                chance = pair.random.random()
                if chance < 0.03:
                    return LOST
                return answer[:-1] + b"?" if chance < 0.05 else None

            pair.client.out = way
            pair.client.back = back
            streamID = pair.client.open()
            written = pair.random.randbytes(100_000)
            pair.client.session.sendMoney(streamID, 1_000_000)
            pair.client.session.sendData(streamID, written)
            pair.run(300)
            if not pair.client.seen(ConnectionClosed):
                self.assertEqual(pair.server.data[streamID], written)
            self.assertTrue(written.startswith(bytes(pair.server.data.get(streamID, b""))))
            money = pair.client.streams[streamID].moneyOut
            self.assertEqual(money.held, 0)
            failed = sum(event.sourceAmount for event in pair.client.seen(MoneyFailed))
            if not pair.client.seen(ConnectionClosed):
                self.assertGreaterEqual(money.sent + money.unanswered + failed, 990_000)


class EndTests(SynchronousTestCase):
    """How a connection ends."""

    def test_close(self) -> None:
        """Closing waits until all is sent; then both ends know."""
        pair = Pair()
        streamID = pair.client.open()
        pair.client.session.sendMoney(streamID, 1000)
        pair.client.session.sendData(streamID, bytes(100_000))
        pair.client.session.close()
        self.assertFalse(pair.client.session.isClosed)
        self.assertRaises(LocalError, pair.client.session.openStream)
        pair.run(3)
        for end in (pair.client, pair.server):
            self.assertTrue(end.session.isClosed)
            self.assertEqual(end.seen(ConnectionClosed), [ConnectionClosed(None)])
            self.assertEqual(end.seen(StreamClosed), [StreamClosed(streamID, None)])
        self.assertEqual((settled(pair.client), len(pair.server.data[streamID])), (1000, 100_000))
        self.assertTrue(pair.server.session.peerClosed)
        self.assertFalse(pair.client.session.peerClosed)
        self.assertIs(pair.client.session.nextTimeout(), None)

    def test_closeIdle(self) -> None:
        """A connection on which nothing is under way ends at once."""
        pair = Pair()
        pair.pay(5)
        pair.client.session.close()
        self.assertTrue(pair.client.session.isClosed)
        pair.run(1)
        self.assertTrue(pair.server.session.isClosed)
        pair.client.session.close()
        pair.client.session.abort(None)
        self.assertIs(pair.client.session.nextPacket(now=pair.now), None)

    def test_closeWithUselessMoney(self) -> None:
        """Money that comes to nothing while the connection closes does not hold it open."""
        pair = Pair({"minimumRate": Ratio(1, 100)})
        pair.client.out = converting(Ratio(1, 100))
        pair.pay(1000)
        streamID = pair.client.open()
        pair.run(1)
        pair.client.session.sendMoney(streamID, 10)
        pair.client.session.close()
        pair.run(1)
        self.assertEqual([e.sourceAmount for e in pair.client.seen(MoneyFailed)], [10])
        self.assertTrue(pair.client.session.isClosed)
        self.assertTrue(pair.server.session.isClosed)

    def test_abort(self) -> None:
        """An abort ends all now; what is in flight is still settled."""
        pair = Pair()
        streamID = pair.client.open()
        pair.client.session.sendMoney(streamID, 1_000_000)
        pair.client.out = limiting(1000)
        pair.run(0.5)
        error = ConnectionEnded("enough")
        pair.client.session.abort(error, ErrorCode.APPLICATION_ERROR, "enough")
        pair.client.session.abort(None)
        money = pair.client.streams[streamID].moneyOut
        self.assertGreater(money.held, 0)
        pair.run(1)
        self.assertEqual((money.held, money.sent), (0, pair.client.took))
        self.assertEqual(pair.client.seen(ConnectionClosed), [ConnectionClosed(error)])
        closed = pair.server.seen(ConnectionClosed)[0].error
        assert isinstance(closed, PeerError)
        self.assertEqual((closed.code, closed.message), (ErrorCode.APPLICATION_ERROR, "enough"))
        self.assertRaises(LocalError, pair.client.session.openStream)
        self.assertRaises(LocalError, pair.client.session.sendMoney, streamID, 1)
        self.assertRaises(LocalError, pair.client.session.sendData, streamID, b"x")

    def test_idle(self) -> None:
        """Who has heard nothing for too long says that it is over: the peer may wait longer."""
        pair = Pair({"idleTimeout": 600})
        self.assertFalse(pair.client.session.hasPeer)
        pair.pay(5)
        self.assertTrue(pair.client.session.hasPeer)
        self.assertTrue(pair.server.session.isUsed)
        self.assertFalse(pair.client.session.isClosing)
        pair.run(70)
        self.assertTrue(pair.server.session.isClosed)
        self.assertTrue(pair.client.session.peerClosed)
        self.assertTrue(pair.client.session.isClosing)

    def test_driverKnows(self) -> None:
        """What the driver knows of a packet is taken from it."""
        pair = Pair({"minimumRate": Ratio(1)})
        session = pair.client.session
        streamID = session.openStream()
        for tell, expected in ((session.receiveNotSent, 100), (session.receiveNoReply, 0)):
            session.setSendMax(streamID, 100)
            packet = session.nextPacket(now=pair.now)
            assert packet is not None
            tell(packet.sequence, now=pair.now)
            self.assertEqual(session.stream(streamID).moneyOut.unsent, expected)
            pair.now += 1

    def test_packetCount(self) -> None:
        """A key encrypts no more packets than it may; the last one closes (RFC 29 5.1.3)."""
        pair = Pair({"maximumPacketCount": 10, "minimumRate": Ratio(1)})
        pair.client.out = limiting(1)
        pair.pay(100)
        self.assertEqual(len(pair.client.prepares), 9)  # and an answer
        self.assertTrue(pair.client.session.isClosed)
        self.assertTrue(pair.server.session.isClosed)

    def test_reconnect(self) -> None:
        """After a reconnect F02 says nothing for a while, and a larger packet is tried at once."""
        pair = Pair({"minimumRate": Ratio(1)})
        pair.client.out = limiting(1000)
        pair.pay(5000)
        pair.client.session.receiveReconnect(now=pair.now)
        pair.client.out = lambda prepare: rejecting("F02")
        streamID = pair.pay(5000, 5)
        self.assertFalse(pair.client.session.isClosed)
        pair.client.out = limiting(1250)
        pair.run(5)
        self.assertEqual(pair.client.streams[streamID].moneyOut.sent, 5000)
        self.assertIn(1250, [prepare.amount for prepare in pair.client.prepares])


class DriverTests(SynchronousTestCase):
    """What a driver may rely on."""

    def test_eventsOfPackets(self) -> None:
        """Making a packet may make events: then the time to collect them is now."""
        pair = Pair({"minimumRate": Ratio(1, 100)})
        pair.client.out = converting(Ratio(1, 100))
        pair.pay(1000)
        session = pair.client.session
        streamID = session.openStream()
        session.sendMoney(streamID, 10)
        while session.nextPacket(now=pair.now):
            pass
        self.assertEqual(session.nextTimeout(), 0.0)
        self.assertEqual([type(event) for event in session.nextEvents()], [MoneyFailed])
        self.assertEqual(session.nextEvents(), [])
        self.assertNotEqual(session.nextTimeout(), 0.0)

    def test_paused(self) -> None:
        """A driver that may not send is not called in circles."""
        pair = Pair()
        pair.client.session.sendMoney(pair.client.open(), 10_000_000)
        pair.client.out = limiting(100)
        pair.run(0.3)
        pair.client.isPaused = True
        pair.run(1, mostSteps=500)
        self.assertEqual(pair.client.session.inFlight, 0)
        self.assertFalse(pair.client.session.isIdle)
        pair.client.isPaused = False
        pair.run(0.3)
        self.assertGreater(len(pair.client.prepares), 20)

    def test_answers(self) -> None:
        """A driver is told how money would be split and whether it makes sense to ask."""
        pair = Pair()
        asked = []
        session = pair.server.session

        def ask(incoming: Incoming) -> bool:
            isSensible = session.wouldAccept(incoming, now=pair.now)
            asked.append((isSensible, session.streamAmounts(incoming)))
            return True

        pair.server.isAccepting = ask
        streamID = pair.pay(1000)
        self.assertIn((True, ((streamID, 1000),)), asked)

    def test_wouldNotAccept(self) -> None:
        """What breaks the limits is not asked about: it ends the connection."""
        pair = Pair(None, {"connectionWindow": 10})
        asked = []
        session = pair.server.session

        def ask(incoming: Incoming) -> bool:
            asked.append(session.wouldAccept(incoming, now=pair.now))
            return True

        pair.server.isAccepting = ask
        streamID = pair.client.open()
        frame = StreamData(streamID, 1 << 20, b"far beyond")
        plain = encodePacket(1, PREPARE, 0, [frame])
        data = pair.keys.seal(plain, bytes(12))
        condition = conditionOf(pair.keys.fulfillment(data))
        expiresAt = encodeTimestamp(pair.now + 30)
        pair.deliver(pair.server, Prepare(0, expiresAt, condition, "test.server", data))
        self.assertEqual(asked, [False])
        self.assertTrue(session.isClosed)

    def test_budget(self) -> None:
        """Sessions may share a budget of bytes."""
        budget = ByteBudget(10)
        pair = Pair(budget=budget)
        pair.server.isReading = False
        streamID = pair.client.open()
        pair.client.session.sendData(streamID, bytes(10))
        pair.run(1)
        self.assertEqual(budget.used, 10)
        self.assertFalse(pair.server.session.isIdle)
        pair.client.session.sendData(streamID, bytes(10))
        before = len(pair.client.prepares)
        pair.run(20)
        self.assertLess(len(pair.client.prepares) - before, 30)
        pair.server.read(streamID)
        pair.run(20)
        self.assertEqual(budget.used, 10)
