"""Tests of C{txilpstream.session.session}: whole connections, both ends, in virtual time."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import U64_MAX, Ratio
from txilpstream.crypto.keys import conditionOf
from txilpstream.errors import ConnectionEnded, ErrorCode, LocalError, PeerError
from txilpstream.session import receiver
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.congestion.combined import JointControl
from txilpstream.session.events import (
    ConnectionClosed,
    MoneyFailed,
    MoneyReceived,
    ReserveNeeded,
    StreamClosed,
    StreamEnded,
)
from txilpstream.session.receiver import Askable, Incoming, Refused, splitAmount
from txilpstream.session.session import Session
from txilpstream.session.state import LONGEST_MESSAGE, SessionState
from txilpstream.session.streams.flowcontrol import ByteBudget
from txilpstream.test.support.sessions import (
    LOST,
    End,
    Pair,
    converting,
    limiting,
    rejecting,
    settled,
    stateOf,
)
from txilpstream.wire.frames import StreamData, StreamMoney
from txilpstream.wire.ilp import Fulfill, Prepare, Reject, decodeReply, encodeTimestamp
from txilpstream.wire.packet import PREPARE, decodePacket, encodePacket


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
            asked.append(session.judge(incoming, now=pair.now))
            return True

        pair.server.isAccepting = ask
        streamID = pair.pay(1000)
        self.assertIn(Askable(((streamID, 1000),), b""), asked)

    def test_notAsked(self) -> None:
        """What breaks the limits is not asked about: it ends the connection."""
        pair = Pair(None, {"connectionWindow": 10})
        asked = []
        session = pair.server.session

        def ask(incoming: Incoming) -> bool:
            asked.append(session.judge(incoming, now=pair.now))
            return True

        pair.server.isAccepting = ask
        streamID = pair.client.open()
        frame = StreamData(streamID, 1 << 20, b"far beyond")
        plain = encodePacket(1, PREPARE, 0, [frame])
        data = pair.keys.seal(plain, bytes(12))
        condition = conditionOf(pair.keys.fulfillment(data))
        expiresAt = encodeTimestamp(pair.now + 30)
        pair.deliver(pair.server, Prepare(0, expiresAt, condition, "test.server", data))
        self.assertEqual(asked, [Refused([])])
        self.assertTrue(session.isClosed)

    def test_splitOnce(self) -> None:
        """An amount is split once before the policy and once after; what is refused, once."""
        pair = Pair({"minimumRate": Ratio(1)})
        session = pair.server.session
        counts: list[int] = []

        def counting(state: SessionState, incoming: Incoming) -> Any:
            counts[-1] += 1
            return splitAmount(state, incoming)

        def ask(incoming: Incoming) -> bool:
            counts.append(0)
            session.judge(incoming, now=pair.now)
            counts.append(counts[-1])
            return True

        self.patch(receiver, "splitAmount", counting)
        for receiveMax, expected in ((1000, [1, 2]), (10, [1, 1])):
            pair.server.receiveMax = receiveMax
            counts.clear()
            incoming = self.moneyFor(pair, 100)
            pair.server.collect()
            session.answer(incoming, ask(incoming), now=pair.now)
            self.assertEqual(counts, expected)

    def moneyFor(self, pair: Pair, amount: int) -> Incoming:
        """The server gets money on a new stream of the client's."""
        streamID = pair.client.open()
        plain = encodePacket(streamID, PREPARE, 0, [StreamMoney(streamID, 1)])
        data = pair.keys.seal(plain, streamID.to_bytes(12, "big"))
        condition = conditionOf(pair.keys.fulfillment(data))
        expiresAt = encodeTimestamp(pair.now + 30)
        prepare = Prepare(amount, expiresAt, condition, "test.server", data)
        return pair.server.session.receivePrepare(prepare, now=pair.now)

    def test_movedMeanwhile(self) -> None:
        """What could be taken when the policy was asked may not be when it has answered."""
        pair = Pair()
        pair.server.receiveMax = 100
        session = pair.server.session
        late, over, good = (self.moneyFor(pair, 100) for _ in range(3))
        pair.server.collect()
        for incoming in (late, over, good):
            self.assertIsInstance(session.judge(incoming, now=pair.now), Askable)
        session.stream(3).moneyIn.credit(2)
        answers = [
            session.answer(late, True, now=pair.now + 30),
            session.answer(over, True, now=pair.now),
            session.answer(good, True, now=pair.now),
        ]
        kinds = [type(decodeReply(answer)) for answer in answers]
        self.assertEqual(kinds, [Reject, Reject, Fulfill])

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


class AskingTests(SynchronousTestCase):
    """A question changes nothing, and gives the same when it is asked again."""

    def setUp(self) -> None:
        self.made: list[JointControl] = []

    def makeControl(self, configuration: SessionConfiguration) -> JointControl:
        """The control that there is without it, and known here."""
        control = JointControl(
            configuration.maximumPacketAmount, configuration.maximumPacketsPerSecond
        )
        self.made.append(control)
        return control

    def pair(self, client: dict[str, Any] | None = None, **server: Any) -> Pair:
        settings = {"congestionControl": self.makeControl}
        return Pair(settings | (client or {}), settings | server)

    def everything(self, end: End, now: float) -> list[object]:
        """What a session and the controls answer."""
        session = end.session
        names = [name for name, kind in vars(Session).items() if isinstance(kind, property)]
        answers: list[object] = [getattr(session, name) for name in names]
        answers.append(session.nextTimeout())
        for _, stream in sorted(end.streams.items()):
            money = stream.moneyOut
            answers += [session.isFull(stream), money.unsent, money.peerRoom, money.probeable]
            answers += [stream.isDrained, stream.isOver]
        smallest = session.exchangeRate.smallest
        for control in self.made:
            answers += [control.isAllowed(now), control.readyAt(), control.larger(now)]
            answers += [control.packetRate, control.moneyRate, control.mostPerPacket(smallest)]
            for inFlight in (0, 10_000, 10**12):
                answers.append(control.mostNow(smallest, inFlight, now))
                answers.append(control.moneyReadyAt(smallest, inFlight))
        return answers

    def assertAsked(self, end: End, now: float) -> None:
        """Ask all there is to ask, at the moment and at later ones."""
        before = stateOf(end.session)
        first = self.everything(end, now)
        self.everything(end, now + 100.0)
        self.assertEqual(self.everything(end, now), first)
        self.assertEqual(stateOf(end.session), before)

    def play(self, pair: Pair) -> None:
        """Ask both ends at every fiftieth of a second, and twice whether there is a packet."""
        for _ in range(150):
            pair.run(0.02)
            for end, _ in pair.ends:
                self.assertAsked(end, pair.now)
                session, states = end.session, []
                for _ in range(2):
                    self.assertIsNone(session.nextPacket(now=pair.now))
                    states.append((session.nextTimeout(), stateOf(session)))
                self.assertEqual(*states)

    def test_limits(self) -> None:
        """While money waits for pacing, for liquidity, for a larger packet and for its rate."""
        flowing: list[float] = []

        def way(prepare: Prepare) -> bytes | None:
            flowing.append(pair.now)
            recent = [moment for moment in flowing if moment > pair.now - 0.1]
            if prepare.amount > 50_000:
                return limiting(50_000)(prepare)
            return rejecting("T04" if len(flowing) % 3 else "T05") if len(recent) > 9 else None

        pair = self.pair()
        pair.client.out = way
        streamID = pair.client.open()
        pair.client.session.sendMoney(streamID, 20_000_000)
        pair.client.session.sendData(streamID, bytes(100_000))
        self.play(pair)
        self.assertIsNotNone(self.made[0].moneyRate)
        self.assertGreater(settled(pair.client), 0)

    def test_blocked(self) -> None:
        """While money and data wait for the peer's limits, and both poll for them."""
        pair = self.pair({"minimumRate": Ratio(1)}, streamWindow=1000)
        pair.server.receiveMax, pair.server.isReading = 100, False
        streamID = pair.client.open()
        pair.client.session.sendMoney(streamID, 1000)
        pair.client.session.sendData(streamID, bytes(50_000))
        self.play(pair)
        self.assertEqual(settled(pair.client), 100)

    def test_lost(self) -> None:
        """While nobody answers, and what was said is to be said again."""
        pair = self.pair({"minimumRate": Ratio(1), "packetExpiry": 2, "deadlineSinceFulfill": 10})
        pair.client.out = lambda prepare: LOST
        streamID = pair.client.open()
        pair.client.session.sendMoney(streamID, 1000)
        pair.client.session.sendData(streamID, bytes(50_000))
        self.play(pair)
        self.assertEqual(settled(pair.client), 0)


class CommandTests(SynchronousTestCase):
    """Commands on streams."""

    def setUp(self) -> None:
        self.pair = Pair({"minimumRate": Ratio(1)})
        self.session = self.pair.client.session
        self.streamID = self.pair.client.open()

    def test_sendWithMoney(self) -> None:
        """Data goes with the first money of a new stream, if it fits into a packet."""
        session = self.session
        self.assertRaises(LocalError, session.sendWithMoney, self.streamID, bytes(1 << 15))
        session.sendWithMoney(self.streamID, b"what it is for")
        session.sendMoney(self.streamID, 5)
        self.pair.run(5)
        (paid,) = (prepare for prepare in self.pair.client.prepares if prepare.amount)
        plain = self.pair.keys.open(paid.data)
        assert plain is not None
        frames = decodePacket(plain).frames
        self.assertIn(StreamData(self.streamID, 0, b"what it is for"), frames)
        self.assertEqual(self.pair.server.data[self.streamID], b"what it is for")
        self.assertRaises(LocalError, session.sendWithMoney, self.streamID, b"more")
        self.assertRaises(LocalError, session.setDeliverMax, self.streamID, 0)

    def test_setReserve(self) -> None:
        """No more than what is reserved leaves; a stream that is over is no matter."""
        session = self.session
        session.setReserve(self.streamID, 3)
        session.sendMoney(self.streamID, 5)
        self.pair.run(5)
        self.assertEqual(settled(self.pair.client), 3)
        self.assertTrue(self.pair.client.seen(ReserveNeeded))
        session.setReserve(self.streamID, 5)
        self.pair.run(5)
        self.assertEqual(settled(self.pair.client), 5)
        session.setReserve(99, 5)
        session.stopMoney(99)
        session.reserveSequences(session.nextSequence)
        session.sendMoney(self.streamID, 1)
        self.pair.run(5)
        self.assertEqual(settled(self.pair.client), 5)
        self.assertRaises(LocalError, session.measureRate, 0)

    def test_ignoreStream(self) -> None:
        """Money for a stream that nobody listens to is refused; an unknown one is no matter."""
        self.pair.pay(5)
        server = self.pair.server.session
        server.ignoreStream(9)
        server.ignoreStream(3)
        self.session.sendMoney(3, 5)
        self.pair.run(5)
        self.assertEqual(self.pair.server.credited, 5)

    def test_ping(self) -> None:
        """A packet leaves though nothing is to be said; not to who cannot be reached."""
        self.pair.run(5)
        before = len(self.pair.client.prepares)
        self.session.ping()
        self.pair.run(5)
        self.assertEqual(len(self.pair.client.prepares), before + 1)
        pair = Pair({"sourceAddress": ""})
        pair.pay(5)
        pair.server.session.ping()
        pair.run(5)
        self.assertEqual(pair.server.prepares, [])

    def test_ids(self) -> None:
        """The client's streams bear odd numbers, the server's even ones (RFC 29 4.4.1)."""
        self.assertEqual((self.streamID, self.session.openStream()), (1, 3))
        self.assertEqual(self.pair.server.session.openStream(), 2)
        self.assertRaises(LocalError, self.session.stream, 5)

    def test_amounts(self) -> None:
        """What is no amount is refused at the caller, and nothing changes."""
        for bad in (-1, 1.5, U64_MAX + 1, True, "1"):
            wrong: Any = bad
            for command in (
                self.session.sendMoney,
                self.session.setSendMax,
                self.session.setReceiveMax,
                self.session.startStream,
                self.session.withdrawMoney,
            ):
                self.assertRaises(LocalError, command, self.streamID, wrong)
        self.assertRaises(LocalError, self.session.sendMoney, self.streamID, 0)
        self.session.sendMoney(self.streamID, U64_MAX)
        self.assertRaises(LocalError, self.session.sendMoney, self.streamID, 1)
        self.assertEqual(self.session.stream(self.streamID).moneyOut.sendMax, U64_MAX)

    def test_sendMax(self) -> None:
        """The total offered may fall to what has left, and no further."""
        self.session.setSendMax(self.streamID, 100)
        self.pair.run(1)
        self.assertEqual(settled(self.pair.client), 100)
        error = self.assertRaises(LocalError, self.session.setSendMax, self.streamID, 99)
        self.assertIn("99", str(error))
        self.assertIn("100", str(error))
        self.session.setSendMax(self.streamID, 250)
        self.pair.run(1)
        self.assertEqual(settled(self.pair.client), 250)

    def test_withdraw(self) -> None:
        """What has not left can be taken back."""
        self.session.sendMoney(self.streamID, 100)
        self.assertEqual(self.session.withdrawMoney(self.streamID, 30), 30)
        self.assertEqual(self.session.withdrawMoney(99, 30), 0)
        self.pair.run(1)
        self.assertEqual(settled(self.pair.client), 70)
        self.assertEqual(self.session.withdrawMoney(self.streamID, 30), 0)

    def test_withdrawWhileClosing(self) -> None:
        """A stream that waits for its money closes without it."""
        self.session.sendMoney(self.streamID, 100)
        self.session.close()
        self.session.withdrawMoney(self.streamID, 100)
        self.pair.run(1)
        self.assertEqual(self.pair.client.seen(ConnectionClosed), [ConnectionClosed(None)])

    def test_receiveMax(self) -> None:
        """A limit may fall until the peer was told, and then only rise."""
        self.session.setReceiveMax(self.streamID, 500)
        self.session.setReceiveMax(self.streamID, 100)
        self.pair.run(1)
        self.assertRaises(LocalError, self.session.setReceiveMax, self.streamID, 99)
        self.session.setReceiveMax(self.streamID, 200)
        self.pair.server.session.sendMoney(self.streamID, 300)
        self.pair.run(3)
        self.assertTrue(200 <= self.pair.client.credited <= 202)
        self.assertRaises(LocalError, self.session.setReceiveMax, 99, 1)

    def test_start(self) -> None:
        """Starting a stream sets its limit unless it was set already."""
        self.session.setReceiveMax(self.streamID, 5)
        self.session.startStream(self.streamID, 10)
        self.assertEqual(self.session.stream(self.streamID).moneyIn.receiveMax, 5)
        other = self.session.openStream()
        self.session.startStream(other, 10)
        self.session.startStream(99, 10)
        self.assertEqual(self.session.stream(other).moneyIn.receiveMax, 10)

    def test_moreStreamsThanThePeerTakes(self) -> None:
        """A stream above the peer's limit waits, its own limits too."""
        streamIDs = [self.pair.client.open(100) for _ in range(14)]
        self.session.sendData(streamIDs[-1], b"data")
        self.pair.run(2)
        self.assertEqual(self.pair.client.seen(ConnectionClosed), [])
        self.assertNotIn(streamIDs[-1], self.pair.server.streams)
        for end in (self.pair.client, self.pair.server):
            for streamID in [self.streamID, *streamIDs[:9]]:
                end.session.closeStream(streamID)
        self.pair.run(3)
        self.assertEqual(self.pair.server.data[streamIDs[-1]], b"data")

    def test_consume(self) -> None:
        """Bytes are taken in order, as many as are wanted; then the peer may send more."""
        server = self.pair.server
        server.isReading = False
        self.assertEqual(server.session.consumeData(self.streamID), b"")
        self.session.sendData(self.streamID, bytes(range(100)))
        self.pair.run(1)
        self.assertEqual(server.session.consumeData(self.streamID, 3), b"\x00\x01\x02")
        self.assertEqual(server.session.consumeData(self.streamID), bytes(range(3, 100)))
        self.assertEqual(server.session.consumeData(self.streamID), b"")

    def test_consumeMuch(self) -> None:
        """The peer is told when half of a window was consumed, if it can be."""
        for address in ("test.client", ""):
            pair = Pair({"sourceAddress": address}, {"streamWindow": 40_000})
            streamID = pair.client.open()
            data = pair.random.randbytes(200_000)
            pair.client.session.sendData(streamID, data)
            pair.client.session.closeStream(streamID)
            pair.run(40)
            self.assertEqual(pair.server.data[streamID], data)
            self.assertEqual(pair.server.seen(StreamEnded), [StreamEnded(streamID)])
            self.assertEqual(bool(pair.server.prepares), bool(address))

    def test_consumeLate(self) -> None:
        """Reading late lets the peer go on, and a stream that has ended is over when it is read."""
        pair = Pair(None, {"streamWindow": 40_000, "connectionWindow": 80_000})
        pair.server.isReading = False
        streamIDs = [pair.client.open() for _ in range(3)]
        for streamID in streamIDs:
            pair.client.session.sendData(streamID, bytes(100_000))
            pair.client.session.closeStream(streamID)
        for _ in range(20):
            pair.run(1)
            for streamID in streamIDs:
                pair.server.read(streamID)
        self.assertEqual([len(pair.server.data[each]) for each in streamIDs], [100_000] * 3)
        pair.run(1)
        other = pair.client.open()
        pair.client.session.sendData(other, b"last words")
        pair.client.session.closeStream(other)
        pair.run(1)
        pair.server.session.closeStream(other)
        pair.run(1)
        pair.server.read(other)
        pair.run(1)
        self.assertEqual(pair.server.data[other], b"last words")
        self.assertEqual(pair.server.seen(StreamClosed), [StreamClosed(other, None)])
        pair.client.session.close()
        self.assertRaises(LocalError, pair.client.session.openStream)

    def test_close(self) -> None:
        """A closed half takes nothing more; closing twice does no harm."""
        self.session.sendMoney(self.streamID, 10)
        self.session.closeStream(self.streamID)
        self.session.closeStream(self.streamID)
        self.session.closeStream(99)
        self.assertRaises(LocalError, self.session.sendMoney, self.streamID, 1)
        self.assertRaises(LocalError, self.session.setSendMax, self.streamID, 1)
        self.assertRaises(LocalError, self.session.sendData, self.streamID, b"x")
        self.pair.run(1)
        self.assertEqual(settled(self.pair.client), 10)
        self.pair.server.session.sendMoney(self.streamID, 3)
        self.session.setReceiveMax(self.streamID, 3)
        self.pair.run(1)
        self.assertEqual(self.pair.client.credited, 3)

    def test_abort(self) -> None:
        """An abort ends both halves; the peer is told why, in few words."""
        self.session.sendMoney(self.streamID, 10)
        self.pair.run(1)
        error = LocalError("no")
        code = ErrorCode.APPLICATION_ERROR
        self.session.sendMoney(self.streamID, 10)
        self.session.abortStream(self.streamID, error, code, "no" * 1000)
        self.session.abortStream(self.streamID, None, code)
        self.session.abortStream(99, None, code)
        self.pair.run(1)
        self.assertEqual(self.pair.client.seen(StreamClosed), [StreamClosed(1, error)])
        (closed,) = self.pair.server.seen(StreamClosed)
        assert isinstance(closed.error, PeerError)
        self.assertEqual(closed.error.code, code)
        self.assertEqual(len(closed.error.message), LONGEST_MESSAGE)
        self.assertEqual(settled(self.pair.client), 10)
