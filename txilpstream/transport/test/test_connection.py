"""Tests for C{txilpstream.transport.connection}."""

from __future__ import annotations

from typing import Any, get_args

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txilpstream.amounts import Ratio
from txilpstream.errors import ConnectionEnded, LocalError, PeerError
from txilpstream.interfaces import IPaymentPolicy, NotSent, PaymentError, PaymentRequest
from txilpstream.session import events
from txilpstream.session.session import Session
from txilpstream.test.conformance.base import TappedTestCase
from txilpstream.test.support.connected import ConnectedTestCase, HalfRecorder, Recorders
from txilpstream.testing import Hop, Latency, MaximumPacketAmount, Rate, SimulatedPath, Transit
from txilpstream.transport import connection as connectionModule
from txilpstream.transport.connection import EVENT_HANDLERS
from txilpstream.wire.frames import StreamData
from txilpstream.wire.ilp import Reject


class ClosingTests(ConnectedTestCase):
    """Connections and their ends."""

    def setUp(self) -> None:
        """A stream between two recorders."""
        super().setUp()
        self.listen()
        self.near = self.open()
        self.near.transport.write(b"!")
        self.run_()
        self.far = self.served.made[0]
        self.back = next(iter(self.server.connections.values()))

    def test_close(self) -> None:
        """What was written and offered is delivered first; then all is over on both sides."""
        self.near.transport.write(b"x" * 200_000)
        paid = self.near.transport.sendMoney(1000)
        closed = self.connection.whenClosed()
        self.after(self.connection.close(), 10)
        self.successResultOf(closed)
        self.assertTrue(self.successResultOf(paid).isComplete)
        self.assertEqual(len(self.far.data), 200_001)
        self.assertEqual(self.far.happened[-1], "lost")
        self.assertEqual(self.near.happened[-1], "lost")
        self.assertTrue(self.back.session.isClosed)

    def test_publicNames(self) -> None:
        """What only this package calls is not seen in completion."""
        names = {name for name in dir(self.connection) if not name.startswith("_")}
        self.assertEqual(
            names,
            {
                *("abort", "account", "close", "connectionTag", "measureRate", "openStream"),
                *("packetsSent", "session", "sourceAddress", "streams"),
                *("whenClosed", "whenKeyExhausted", "whenOpen"),
            },
        )

    def test_closed(self) -> None:
        """A connection that is over opens no stream, and is closed again at once."""
        self.after(self.connection.close(), 5)
        self.successResultOf(self.connection.close())
        self.successResultOf(self.connection.whenClosed())
        self.assertRaises(LocalError, self.connection.openStream, Recorders())
        self.connection.abort()
        self.run_()
        late = self.connection.whenClosed()
        self.successResultOf(late)

    def test_abort(self) -> None:
        """An abort ends all streams now, on both sides."""
        self.near.transport.write(b"x" * 200_000)
        self.connection.abort()
        self.run_()
        self.near.reasons[0].trap(ConnectionEnded)
        self.assertIn("this side", self.near.reasons[0].getErrorMessage())
        self.far.reasons[0].trap(PeerError, ConnectionEnded)
        self.assertEqual(self.connection.streams, {})

    def test_peerAborts(self) -> None:
        """The peer's reason arrives."""
        self.back.abort("shop is closed")
        self.run_()
        self.assertIn("shop is closed", self.near.reasons[0].getErrorMessage())

    def test_idle(self) -> None:
        """Nothing is left with the reactor when a connection is over."""
        self.after(self.connection.close(), 5)
        self.run_(100)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_pluginPauses(self) -> None:
        """While the plugin is full nothing leaves; then all does."""
        self.left.pauseProducing()
        before = self.connection.packetsSent
        self.near.transport.write(b"x" * 100_000)
        self.run_()
        self.assertEqual(self.connection.packetsSent, before)
        self.left.resumeProducing()
        self.run_()
        self.assertEqual(len(self.far.data), 100_001)

    def test_notSent(self) -> None:
        """What certainly never left is sent again; money too."""
        plugin = self.left.plugin
        real = plugin.sendData
        refused: list[bytes] = []

        def sendData(data: bytes) -> Deferred[bytes]:
            if len(refused) < 3:
                refused.append(data)
                return fail(NotSent("not now"))
            reply: Deferred[bytes] = real(data)
            return reply

        self.patch(plugin, "sendData", sendData)
        self.assertTrue(self.after(self.near.transport.sendMoney(100), 20).isComplete)
        self.assertEqual(len(refused), 3)

    def test_noReply(self) -> None:
        """Money that left without an answer is in doubt, and never sent twice."""
        self.after(self.near.transport.sendMoney(10), 5)
        plugin = self.left.plugin
        self.patch(plugin, "sendData", lambda data: fail(ConnectionEnded("lost")))
        paid = self.near.transport.sendMoney(100)
        self.run_(100)
        result = self.failureResultOf(paid, PaymentError).value.result
        self.assertGreater(result.inDoubt, 0)
        self.assertEqual(result.sent, 0)

    def test_sendDataRaises(self) -> None:
        """A plugin that raises is one of which nobody knows what it did; the rest goes on."""
        plugin = self.left.plugin
        real = plugin.sendData
        left = [3]

        def sendData(data: bytes) -> Deferred[bytes]:
            if left[0]:
                left[0] -= 1
                raise ZeroDivisionError("on purpose")
            reply: Deferred[bytes] = real(data)
            return reply

        self.patch(plugin, "sendData", sendData)
        other = self.client.openConnection(self.server.generateCredentials())
        near = self.successResultOf(other.openStream(Recorders()))
        paid = near.transport.sendMoney(100)
        self.run_(60)
        result = self.successResultOf(paid)
        self.assertEqual((result.sent, result.inDoubt), (100, 0))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)

    def test_abortChecks(self) -> None:
        """What cannot be told to the peer is refused at the caller."""
        for arguments in (("", 300), ("", -1), ("", "x"), (b"x", 1), (5, 1)):
            self.assertRaises(LocalError, self.connection.abort, *arguments)
        self.assertFalse(self.connection.session.isClosed)

    def test_closeWhileBlocked(self) -> None:
        """A peer that takes nothing more does not keep a connection from closing."""
        self.served.make = Protocol
        plain = self.openStream()
        paid = plain.transport.sendMoney(100)
        closed = self.connection.close()
        self.run_(40)
        self.assertNoResult(closed)
        self.run_(10)
        self.successResultOf(closed)
        self.assertEqual(self.failureResultOf(paid, PaymentError).value.result.sent, 0)
        self.run_(40)
        self.assertTrue(self.back.session.isClosed)

    def test_closeTimeout(self) -> None:
        """Whoever will not wait so long says so."""
        self.far.transport.pauseProducing()
        self.near.transport.write(b"x" * 4_000_000)
        closed = self.connection.close(timeout=3)
        self.run_(2.9)
        self.assertNoResult(closed)
        self.run_()
        self.successResultOf(closed)
        self.assertIn("3 s", self.near.reasons[0].getErrorMessage())

    def test_closeWithoutAddress(self) -> None:
        """A server closes towards a client that it cannot reach, however busy that one is."""
        self.left.address = ""
        near = self.open()
        near.transport.setSendRate(10)
        self.run_()
        back = list(self.server.connections.values())[-1]
        self.served.made[-1].transport.write(b"never arrives")
        closed = back.close()
        self.run_(60)
        self.successResultOf(closed)
        self.run_(5)
        self.assertEqual(near.happened[-1], "lost")

    def test_pausedFromTheStart(self) -> None:
        """A connection on a plugin that takes nothing ends in time."""
        self.left.pauseProducing()
        other = self.client.openConnection(self.server.generateCredentials())
        near = self.successResultOf(other.openStream(Recorders()))
        paid, closed = near.transport.sendMoney(10), other.close()
        self.run_(60)
        self.failureResultOf(paid, PaymentError)
        self.successResultOf(closed)

    def test_linkIsLost(self) -> None:
        """Packets that were under way when the link was lost say nothing of the path's width."""
        path = SimulatedPath(self.clock, [Latency(0.05), MaximumPacketAmount(10)])
        self.join(path.left, path.right)
        self.listen()
        near = self.open(acceptAnyRate=True)
        session = self.connection.session
        near.transport.sendMoney(1_000_000).addErrback(lambda _: None)
        self.run_(2)
        rate = session.packetRate
        self.assertGreater(rate, 500)
        path.left.disconnect()
        self.run_(0.01)
        self.assertGreater(near.transport.totalInDoubt, 300)
        path.left.connect()
        self.run_(1)
        self.assertGreaterEqual(session.packetRate, rate / 2)

    def test_reconnected(self) -> None:
        """A plugin that was lost and is found again: rejects of new routes are no reason to end."""
        self.patch(self.left.plugin, "isConnected", lambda: False)
        self.left.pauseProducing()
        self.left.resumeProducing()
        self.run_()
        self.assertEqual(self.after(self.near.transport.sendMoney(5), 5).sent, 5)


class CreditTests(ConnectedTestCase):
    """Bytes of streams that are over take nothing from those that follow."""

    def test_refusedStreams(self) -> None:
        """However many streams with data are refused, the next one has its credit."""
        count = [0]

        class Refusing(HalfRecorder):
            def connectionMade(self) -> None:
                super().connectionMade()
                count[0] += 1
                if count[0] <= 70:
                    self.transport.abortConnection()

        self.listen(Refusing)
        self.connection = self.connect()
        for _ in range(70):
            self.openStream().transport.write(b"z" * 20_000)
            self.run_()
        self.openStream().transport.write(b"hello")
        self.run_(10)
        self.assertEqual(self.served.made[-1].data, b"hello")
        self.after(self.connection.close(), 5)

    def test_rejectedByThePath(self) -> None:
        """Bytes that the path rejected and that nobody wants any more are credit again."""

        class Closing(Hop):
            isClosed = False

            def receivePrepare(self, packet: Transit) -> Reject | None:
                isData = packet.side == "left" and len(packet.data) > 5000
                return self.reject("T00") if isData and self.isClosed else None

        hop = Closing()
        path = SimulatedPath(self.clock, [Latency(0.01), hop])
        self.join(path.left, path.right)
        self.listen()
        self.connection = self.connect()
        for _ in range(70):
            near = self.openStream()
            hop.isClosed = True
            near.transport.write(b"z" * 30_000)
            self.run_(0.1)
            near.transport.abortConnection()
            self.run_(5)
            hop.isClosed = False
        self.openStream().transport.write(b"y" * 100_000)
        self.run_(60)
        self.assertEqual(len(self.served.made[-1].data), 100_000)


class FactoryTests(ConnectedTestCase):
    """Streams that the peer opens."""

    def test_many(self) -> None:
        """Each stream has a protocol of its own."""
        self.listen()
        protocols = [self.open()]
        protocols += [self.openStream() for _ in range(30)]
        for index, protocol in enumerate(protocols):
            protocol.transport.write(b"%d" % index)
            protocol.transport.loseConnection()
        for _ in range(4):
            self.run_(5)
            for made in self.served.made:
                made.transport.loseConnection()
        self.assertEqual(
            sorted(made.data for made in self.served.made),
            sorted(b"%d" % index for index in range(31)),
        )

    def test_closedBeforeItOpened(self) -> None:
        """A stream that waits for its turn and is closed leaves no trace."""
        self.listen()
        self.connection = self.connect()
        nears = [self.openStream() for _ in range(11)]
        self.run_(2)
        nears[10].transport.loseConnection()
        before = self.connection.packetsSent
        self.run_(50)
        self.assertLess(self.connection.packetsSent - before, 3)
        self.assertEqual(nears[10].happened, ["made", "lost"])
        for near in nears[:5]:
            near.transport.abortConnection()
        self.run_(5)
        self.assertEqual(len(self.served.made), 10)
        self.assertEqual(sorted(self.connection.streams), [11, 13, 15, 17, 19])

    def test_factoryRaises(self) -> None:
        """A factory that raises costs the stream, and the peer is told."""

        def explode() -> Any:
            raise ZeroDivisionError("on purpose")

        self.listen(explode)
        near = self.open()
        paid = near.transport.sendMoney(10)
        self.run_(5)
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))
        self.assertEqual(self.failureResultOf(paid, PaymentError).value.result.sent, 0)
        self.assertEqual(near.happened, ["made", "lost"])
        opening = self.connection.openStream(Recorders(explode))
        self.failureResultOf(opening, ZeroDivisionError)
        self.run_()
        self.assertEqual(self.connection.streams, {})
        self.after(self.connection.close(), 5)

    def test_connectionMadeSends(self) -> None:
        """A protocol may write and pay in connectionMade."""

        class Eager(HalfRecorder):
            def connectionMade(self) -> None:
                super().connectionMade()
                self.transport.write(b"welcome")
                self.transport.sendMoney(3)

        self.listen(Eager)
        near = self.open(Eager)
        self.run_()
        self.assertEqual(near.data, b"welcome")
        self.assertEqual(near.amounts, [3])
        self.assertEqual(sum(self.served.made[0].amounts), 3)


class RateTests(ConnectedTestCase):
    """Paying as time passes over a path that takes no crumbs."""

    def test_crumbs(self) -> None:
        """What is too little to be sent is offered again when enough is due."""
        path = SimulatedPath(
            self.clock, [Latency(0.01), MaximumPacketAmount(10_000), Rate(Ratio(1, 100))]
        )
        self.join(path.left, path.right)
        self.listen()
        near = self.open()
        near.transport.setSendRate(200)
        self.run_(60)
        self.assertIn(near.transport.totalSent, range(8_000, 12_001))
        self.assertGreater(sum(self.served.made[0].amounts), 70)


class BurstTests(ConnectedTestCase):
    """Much at once."""

    def test_turns(self) -> None:
        """More packets than leave in one turn leave in several."""
        self.listen()
        near = self.open(fragmentSize=50)
        near.transport.write(b"x" * 50_000)
        self.run_(30)
        self.assertEqual(len(self.served.made[0].data), 50_000)

    def test_turnsGoOn(self) -> None:
        """A turn that sent all that it may is followed by another, whatever is answered."""
        self.patch(connectionModule, "PACKETS_PER_TURN", 1)
        path = SimulatedPath(self.clock, [Latency(0.2)])
        self.join(path.left, path.right)
        self.listen()
        near = self.open(fragmentSize=50)
        near.transport.write(b"!")
        self.run_(3)
        before = self.connection.packetsSent
        near.transport.write(b"x" * 5_000)
        self.run_(0.19)
        self.assertGreater(self.connection.packetsSent, before + 10)


class BrokenTests(TappedTestCase):
    """A packet that opens a stream and breaks the protocol besides."""

    def test_noProtocol(self) -> None:
        """The connection is over, and nobody is given the stream."""
        self.listen()
        self.opened()
        made = len(self.served.made)
        reply = self.give(StreamData(3, 0, b"x"), StreamData(4, 0, b"x"))
        self.assertEqual(reply.code, "F99")
        self.run_()
        self.assertEqual(len(self.served.made), made)
        self.assertTrue(self.connection.session.isClosed)


@implementer(IPaymentPolicy)
class Policy:
    """
    Says what it was told to say.

    @ivar requests: what it was asked.
    """

    def __init__(self, verdict: Any) -> None:
        self._verdict = verdict
        self.requests: list[PaymentRequest] = []

    def judgePayment(self, request: PaymentRequest) -> Any:
        """Write it down and say it."""
        self.requests.append(request)
        if callable(self._verdict):
            return self._verdict()
        return self._verdict


class PolicyTests(ConnectedTestCase):
    """Who decides about money."""

    def pay(self, verdict: Any, seconds: float = 5.0) -> tuple[Policy, Deferred[Any]]:
        """Offer 100 units to a server with such a policy."""
        policy = Policy(verdict)
        self.listen(policy=policy)
        near = self.open()
        paid = near.transport.sendMoney(100)
        self.run_(seconds)
        return policy, paid

    def test_interface(self) -> None:
        """The policy of these tests is one."""
        verifyObject(IPaymentPolicy, Policy(True))

    def test_yes(self) -> None:
        """A yes lets money in; the policy has seen what it needs."""
        policy, paid = self.pay(True)
        self.assertTrue(self.successResultOf(paid).isComplete)
        request = policy.requests[-1]
        self.assertEqual(request.connectionTag, "tag")
        self.assertEqual(sum(part for _, part in request.streamAmounts), request.amount)
        self.assertEqual(sum(self.served.made[0].amounts), 100)

    def test_later(self) -> None:
        """So does a yes that comes later."""
        waiting: list[Deferred[bool]] = []

        def wait() -> Deferred[bool]:
            waiting.append(Deferred())
            return waiting[-1]

        _, paid = self.pay(wait)
        self.assertNoResult(paid)
        self.assertEqual(self.served.made[0].amounts, [])
        for _ in range(50):
            for deferred in waiting:
                if not deferred.called:
                    deferred.callback(True)
            self.run_(0.2)
        self.assertTrue(self.successResultOf(paid).isComplete)

    def test_asItEnds(self) -> None:
        """Money that is taken as the stream ends is told to its protocol, and before the end."""
        waiting: list[Deferred[bool]] = []

        def wait() -> Deferred[bool]:
            waiting.append(Deferred())
            return waiting[-1]

        self.pay(wait)
        far = self.served.made[0]
        session = far.transport.connection.session
        hear = Session.receiveReply

        def hearAndSayYes(self: Session, *arguments: Any, **keywords: Any) -> None:
            hear(self, *arguments, **keywords)
            while self is session and waiting:  # the peer knows now that the stream is closed
                waiting.pop().callback(True)

        self.patch(Session, "receiveReply", hearAndSayYes)
        far.transport.loseConnection()
        self.run_(5)
        self.assertEqual(waiting, [])
        self.assertGreater(sum(far.amounts), 0)
        self.assertEqual(sum(far.amounts), far.transport.totalReceived)
        self.assertEqual(far.happened[-1], "lost")

    def refused(self, verdict: Any) -> None:
        """Nothing is credited."""
        _, paid = self.pay(verdict, 120)
        self.failureResultOf(paid, PaymentError)
        self.assertEqual(self.served.made[0].amounts, [])

    def test_no(self) -> None:
        """A no refuses."""
        self.refused(False)

    def test_noAnswer(self) -> None:
        """Anything but True is a no, at once or later."""
        self.refused(lambda: succeed("yes"))

    def test_raises(self) -> None:
        """A policy that raises refuses."""

        def explode() -> bool:
            raise ZeroDivisionError("on purpose")

        self.refused(explode)
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))

    def test_fails(self) -> None:
        """A policy that fails refuses."""
        self.refused(lambda: fail(ZeroDivisionError("on purpose")))
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))

    def test_notAsked(self) -> None:
        """It is not asked about what would be refused anyhow."""
        policy = Policy(True)

        class Miser(HalfRecorder):
            def connectionMade(self) -> None:
                self.transport.setReceiveMax(0)

        self.listen(Miser, policy=policy)
        near = self.open()
        near.transport.sendMoney(100).addErrback(lambda failure: failure.trap(PaymentError))
        self.run_(5)
        self.assertEqual(policy.requests, [])


class WaitingTests(ConnectedTestCase):
    """Who waits for a connection to open, to end, or for its rate."""

    def test_eachHasItsOwn(self) -> None:
        """Whoever waits is told, and one who does not wait any more keeps nobody else from it."""
        self.listen()
        connection = self.client.openConnection(self.server.generateCredentials())
        first, gone, second = (connection.whenOpen() for _ in range(3))
        gone.cancel()
        self.failureResultOf(gone)
        self.run_()
        for opened in (first, second):
            self.assertIs(self.successResultOf(opened), connection)
        ends, exhausted = [connection.whenClosed() for _ in range(2)], connection.whenKeyExhausted()
        connection.abort()
        self.run_()
        for closed in (*ends, connection.whenClosed()):
            self.assertIsNone(self.successResultOf(closed))
        self.assertNoResult(exhausted)

    def test_late(self) -> None:
        """Whoever asks when it is open, or over, need not wait."""
        self.listen()
        connection = self.connect()
        self.assertIs(self.successResultOf(connection.whenOpen()), connection)
        connection.abort()
        self.failureResultOf(connection.whenOpen(), ConnectionEnded)
        self.run_()
        self.failureResultOf(connection.whenOpen(), ConnectionEnded)

    def test_doneInTime(self) -> None:
        """A stream that is done is not lost though its connection ends before it is told so."""
        self.listen()
        near = self.open()
        near.transport.write(b"all")
        self.run_()
        session = self.connection.session
        hear = Session.receiveReply

        def hearAndAbort(this: Session, *arguments: Any, **keywords: Any) -> None:
            hear(this, *arguments, **keywords)
            if this is session and any(type(e) is events.SendingEnded for e in this._state.events):
                self.connection.abort("later")

        self.patch(Session, "receiveReply", hearAndAbort)
        near.transport.loseConnection()
        self.run_(5)
        self.assertTrue(session.isClosed)
        self.assertIsNotNone(near.reasons[0].check(ConnectionDone))

    def test_measureLate(self) -> None:
        """On a connection that is over there is no rate to be measured any more."""
        self.listen()
        connection = self.connect()
        connection.abort()
        self.run_()
        self.failureResultOf(connection.measureRate(5), ConnectionEnded)

    def test_measureRate(self) -> None:
        """Each who asks for the rate is told; the last who gives up ends the asking."""
        self.listen()
        connection = self.connect()
        first, second = connection.measureRate(1000), connection.measureRate(1000)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(self.after(second).low, Ratio(1))
        third = connection.measureRate(10**6)
        connection.abort("never mind")
        self.run_()
        self.failureResultOf(third, ConnectionEnded)

    def test_lateOpening(self) -> None:
        """Whoever waits for an open connection that is aborted hears why; who gave up does not."""
        self.listen()
        connection = self.client.openConnection(self.server.generateCredentials())
        first, second = connection.whenOpen(), connection.whenOpen()
        first.cancel()
        closed = connection.whenClosed()
        closed.cancel()
        connection.abort("changed my mind")
        self.run_()
        for deferred in (first, closed):
            self.failureResultOf(deferred, CancelledError)
        error = self.failureResultOf(second, ConnectionEnded).value
        self.assertIn("changed my mind", str(error))

    def test_cancelledOpening(self) -> None:
        """Giving up waiting does not give up the connection."""
        self.listen()
        connection = self.client.openConnection(self.server.generateCredentials())
        first, second = connection.whenOpen(), connection.whenOpen()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertIs(self.after(second), connection)

    def test_emptyConnectionEnds(self) -> None:
        """A close without any stream tells whoever waits."""
        self.listen()
        connection = self.connect()
        connection.close().addErrback(lambda failure: failure.trap(CancelledError)).cancel()
        self.after(connection.whenClosed(), 5)

    def test_endsBefore(self) -> None:
        """A connection that ends before it is open fails."""
        connection = self.client.openConnection(self.listen().generateCredentials())
        opened = connection.whenOpen()
        connection.abort("never mind")
        self.run_()
        self.failureResultOf(opened, ConnectionEnded, PeerError)


GONE = (
    events.DataArrived(99),
    events.DataDrained(99),
    events.MoneyReceived(99, 5),
    events.MoneySettled(99, 5, 5, 5, False),
    events.MoneyFailed(99, 5, "on purpose", 6),
    events.StreamEnded(99),
    events.StreamClosed(99, None),
)


class EventTests(ConnectedTestCase):
    """Each event reaches whom it concerns."""

    def test_every(self) -> None:
        """No event is without somebody to hear of it."""
        self.assertEqual(set(EVENT_HANDLERS), set(get_args(events.Event)))

    def test_gone(self) -> None:
        """What concerns a stream that is gone concerns nobody."""
        self.listen()
        near = self.open()
        for event in GONE:
            EVENT_HANDLERS[type(event)](self.connection, event)
        for event in GONE[3:5]:
            event.streamID = near.transport.streamID
            EVENT_HANDLERS[type(event)](self.connection, event)
        self.run_()
        self.assertEqual(near.happened, ["made"])

    def test_closedTwice(self) -> None:
        """A stream that is over is not told so again."""
        self.listen()
        near = self.open()
        stream = near.transport
        stream._closed(None)
        stream._closed(None)
        stream._ended()
        self.assertEqual(near.happened, ["made", "lost"])
