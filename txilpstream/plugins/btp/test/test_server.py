"""Tests of C{txilpstream.plugins.btp.server}: who may log in, and how little others cost."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import TestCase
from wsproto.events import BytesMessage
from zope.interface.verify import verifyObject

from txilpstream.errors import ConnectionEnded, LocalError
from txilpstream.interfaces import IPlugin, NotSent
from txilpstream.plugins.base import tokenMatches
from txilpstream.plugins.btp.client import BTPClientPlugin
from txilpstream.plugins.btp.server import BTPServer, BTPServerPlugin
from txilpstream.plugins.test.test_base import Producer
from txilpstream.test.support.sockets import Network, RawPeer
from txilpstream.test.support.strategies import forAll
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.wire.btp import (
    BTPError,
    BTPMessage,
    BTPResponse,
    ProtocolData,
    decode,
    encode,
    encodeILPMessage,
)

Verdict = BTPServerPlugin | Deferred[BTPServerPlugin | None] | None


def login(token: str = "token", account: bytes | None = b"alice", requestId: int = 1) -> bytes:
    """The first message of a client."""
    entries = [ProtocolData("auth"), ProtocolData("auth_token", 1, token.encode())]
    if account is not None:
        entries.insert(1, ProtocolData("auth_username", 1, account))
    return encode(BTPMessage(requestId, entries))


class ServerTestCase(VirtualTestCase):
    """A server whose peers are the test."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = Network(self.clock)
        self.asked: list[tuple[str, str]] = []
        self.plugin = BTPServerPlugin(self.clock)
        self.verdict: Verdict = self.plugin
        self.server = BTPServer(
            self.clock, self.network.server, self.admit, maximumConnections=3, wallClock=lambda: 0
        )
        self.log: list[LogEvent] = []
        observer = cast(ILogObserver, self.log.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def admit(self, account: str, token: str) -> Verdict:
        """Decide as the test says."""
        self.asked.append((account, token))
        return self.verdict

    def call(self) -> RawPeer:
        """Make a connection that is not logged in."""
        socket: Any = self.server.buildProtocol(None)
        raw = RawPeer(socket, isClient=True)
        raw.request()
        raw.events.clear()
        return raw

    def heard(self, raw: RawPeer) -> list[Any]:
        """Take the packets that a peer got."""
        events = raw.hear()
        return [decode(bytes(each.data)) for each in events if isinstance(each, BytesMessage)]

    def logIn(self) -> RawPeer:
        """Make a connection that is logged in."""
        raw = self.call()
        raw.say(BytesMessage(login()))
        self.assertEqual(self.heard(raw), [BTPResponse(1, [])])
        raw.events.clear()
        return raw

    def assertRefused(self, raw: RawPeer) -> None:
        """The peer got an Error, and the connection is closed."""
        error = BTPError(
            1, "F00", "NotAcceptedError", "19700101000000.000Z", b"authentication failed"
        )
        self.assertEqual(self.heard(raw), [error])
        self.assertEqual(raw.closeCodes(), [1008])
        self.assertTrue(raw.transport.disconnecting)

    def lines(self) -> list[str]:
        """What was logged, in short."""
        return [str(each.get("log_format")) for each in self.log]


class LoginTests(ServerTestCase):
    """Who is let in."""

    def test_yes(self) -> None:
        raw = self.logIn()
        self.assertEqual(self.asked, [("alice", "token")])
        self.assertTrue(self.plugin.isConnected())
        waiting = self.plugin.sendData(b"a")
        self.assertEqual(len(self.heard(raw)), 1)
        self.assertNoResult(waiting)

    def test_anyOrder(self) -> None:
        entries = [ProtocolData("auth_token", 1, b"t"), ProtocolData("auth")]
        self.call().say(BytesMessage(encode(BTPMessage(1, entries))))
        self.assertEqual(self.asked, [("", "t")])

    def test_withoutToken(self) -> None:
        self.call().say(BytesMessage(encode(BTPMessage(1, [ProtocolData("auth")]))))
        self.assertEqual(self.asked, [("", "")])

    def test_no(self) -> None:
        self.verdict = None
        raw = self.call()
        raw.say(BytesMessage(login()))
        self.assertRefused(raw)
        self.assertFalse(self.plugin.isConnected())

    def test_later(self) -> None:
        """A decision may take a while."""
        for answer in (self.plugin, None):
            decision: Deferred[BTPServerPlugin | None] = Deferred()
            self.verdict = decision
            raw = self.call()
            raw.say(BytesMessage(login()))
            self.assertEqual(self.heard(raw), [])
            decision.callback(answer)
            if answer is None:
                self.assertRefused(raw)
            else:
                self.assertEqual(self.heard(raw), [BTPResponse(1, [])])

    def test_cannotDecide(self) -> None:
        """A check that fails refuses; only the kind of the failure is logged."""

        def admit(account: str, token: str) -> Verdict:
            raise ZeroDivisionError(token)

        raw = self.call()
        self.verdict = fail(ZeroDivisionError("the token"))
        raw.say(BytesMessage(login()))
        self.assertRefused(raw)
        self.clock.advance(10)
        self.server.admit = admit
        raw = self.call()
        raw.say(BytesMessage(login()))
        self.assertRefused(raw)
        lines = [each for each in self.log if "check failed" in str(each.get("log_format"))]
        self.assertEqual([each["kind"] for each in lines], ["ZeroDivisionError"] * 2)
        self.assertNotIn("token", str([sorted(map(str, each.values())) for each in lines]))

    def test_lostMeanwhile(self) -> None:
        """A decision that nobody needs any more is cancelled."""
        decision: Deferred[BTPServerPlugin | None] = Deferred()
        self.verdict = decision
        raw = self.call()
        raw.say(BytesMessage(login()))
        raw.socket.connectionLost()
        self.assertTrue(decision.called)
        self.assertFalse(self.plugin.isConnected())
        self.assertEqual([each for each in self.lines() if "failed" in each], [])

    def test_closedMeanwhile(self) -> None:
        decision: Deferred[BTPServerPlugin | None] = Deferred()
        self.verdict = decision
        raw = self.call()
        raw.say(BytesMessage(login()))
        raw.socket.close()
        decision.callback(self.plugin)
        self.assertFalse(self.plugin.isConnected())

    def test_somethingElse(self) -> None:
        """Anything but a login closes, and nobody is asked."""
        for data in (
            encodeILPMessage(1, b"prepare"),
            encode(BTPResponse(1, [])),
            encode(BTPMessage(1, [])),
            login(account=b"\xff"),
            b"garbage",
        ):
            raw = self.call()
            raw.say(BytesMessage(data))
            self.assertEqual(raw.closeCodes(), [1008])
            raw.socket.connectionLost()
        self.assertEqual(self.asked, [])
        self.assertEqual(len([each for each in self.lines() if "something else" in each]), 1)

    def test_secondMessage(self) -> None:
        """While the decision waits nothing may be sent, not even a login."""
        self.verdict = Deferred()
        raw = self.call()
        raw.say(BytesMessage(login()), BytesMessage(login()), BytesMessage(login()))
        self.assertEqual(raw.closeCodes(), [1008])
        self.assertEqual(len(self.asked), 1)

    def test_afterGoodbye(self) -> None:
        raw = self.call()
        raw.socket.close()
        data = login()
        raw.deliver(b"\x82%c\0\0\0\0%b" % (0x80 | len(data), data))
        self.assertEqual(self.asked, [])

    def test_longMessage(self) -> None:
        """Before the login messages are short; afterwards they are long."""
        raw = self.call()
        raw.say(BytesMessage(login("t" * 5000)))
        self.assertEqual(raw.closeCodes(), [1009])
        raw = self.logIn()
        raw.say(BytesMessage(encodeILPMessage(1, bytes(60000))))
        self.assertTrue(raw.socket.isOpen)

    def test_fullMeanwhile(self) -> None:
        raw = self.call()
        raw.socket.pauseProducing()
        raw.socket.resumeProducing()
        self.assertTrue(raw.socket.isOpen)

    @forAll(st.lists(st.binary(max_size=60), max_size=3))
    def test_anything(self, messages: list[bytes]) -> None:
        self.setUp()
        raw = self.call()
        raw.say(*[BytesMessage(message) for message in messages])
        self.assertEqual(self.asked, [])


class TableTests(ServerTestCase):
    """How many there may be, and how long they may take."""

    def test_displaced(self) -> None:
        """A newcomer takes the place of the oldest that has not logged in."""
        self.logIn()
        oldest, older = self.call(), self.call()
        newest = self.call()
        self.assertTrue(oldest.transport.isAborted)
        oldest.socket.connectionLost()
        self.assertTrue(older.socket.isOpen and newest.socket.isOpen)
        self.assertTrue(self.plugin.isConnected())

    def test_full(self) -> None:
        """Who has logged in is not displaced."""
        for _ in range(3):
            self.verdict = BTPServerPlugin(self.clock)
            last = self.logIn()
        self.assertIsNone(self.server.buildProtocol(None))
        last.socket.connectionLost()
        self.assertIsNotNone(self.server.buildProtocol(None))

    def test_tooSlow(self) -> None:
        """One timer drops who does not log in, each at its time."""
        first = self.call()
        self.clock.advance(5)
        second = self.call()
        self.clock.advance(5)
        self.assertTrue(first.transport.isAborted)
        self.assertFalse(second.transport.isAborted)
        first.socket.connectionLost()
        self.clock.advance(5)
        self.assertTrue(second.transport.isAborted)
        second.socket.connectionLost()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_undecided(self) -> None:
        """The decision has to be there in time too."""
        decision: Deferred[BTPServerPlugin | None] = Deferred()
        self.verdict = decision
        raw = self.call()
        raw.say(BytesMessage(login()))
        self.clock.advance(10)
        self.assertTrue(raw.transport.isAborted)
        raw.socket.connectionLost()
        self.assertTrue(decision.called)

    def test_inTime(self) -> None:
        raw = self.logIn()
        self.clock.advance(10)
        self.assertTrue(raw.socket.isOpen)

    def test_notOpened(self) -> None:
        """A connection without a handshake is dropped as well."""
        socket: Any = self.server.buildProtocol(None)
        raw = RawPeer(socket, isClient=True)
        self.clock.advance(10)
        self.assertTrue(raw.transport.isAborted)


class ListeningTests(ServerTestCase):
    """The server's own life."""

    def test_life(self) -> None:
        self.successResultOf(self.server.start())
        self.assertIsNotNone(self.server.port)
        self.failureResultOf(self.server.start(), LocalError)
        logged, waiting = self.logIn(), self.call()
        done = self.server.stop()
        self.assertIsNone(self.server.port)
        self.assertIsNone(self.network.factory)
        self.assertIsNone(self.server.buildProtocol(None))
        self.assertEqual(logged.closeCodes(), [1001])
        self.assertEqual(waiting.closeCodes(), [1001])
        logged.socket.connectionLost()
        self.assertNoResult(done)
        waiting.socket.connectionLost()
        self.successResultOf(done)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.successResultOf(self.server.stop())
        self.successResultOf(self.server.start())
        self.logIn()

    def test_cancelledStop(self) -> None:
        """Who waits no more for the end does not keep it from coming."""
        self.successResultOf(self.server.start())
        raw = self.logIn()
        done = self.server.stop()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(raw.closeCodes(), [1001])
        starting = self.server.start()
        self.assertNoResult(starting)
        raw.socket.connectionLost()
        self.successResultOf(starting)

    def test_stoppedBefore(self) -> None:
        """A server that is stopped while its endpoint begins to listen does not."""
        network = self.network
        beginning: Deferred[IListeningPort] = Deferred()

        class Slow:
            def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
                return network.server.listen(factory) if beginning.called else beginning

        server = BTPServer(self.clock, Slow(), self.admit)  # type: ignore[arg-type]
        listening = server.start()
        self.failureResultOf(server.start(), LocalError)
        self.successResultOf(server.stop())
        self.failureResultOf(listening, CancelledError)
        self.assertTrue(beginning.called)
        self.assertIsNone(network.factory)
        self.successResultOf(server.start())
        self.assertIsNotNone(network.factory)

    def test_synchronousStop(self) -> None:
        """A port may stop at once."""

        class Port:
            def stopListening(self) -> None:
                pass

        class Endpoint:
            def listen(self, factory: IProtocolFactory) -> Deferred[Any]:
                return succeed(Port())

        server = BTPServer(self.clock, Endpoint(), self.admit)  # type: ignore[arg-type]
        server.start()
        self.successResultOf(server.stop())


class PluginTests(ServerTestCase):
    """The server's end of an account."""

    def test_interface(self) -> None:
        verifyObject(IPlugin, self.plugin)

    def test_nobody(self) -> None:
        self.successResultOf(self.plugin.connect())
        self.assertFalse(self.plugin.isConnected())
        self.failureResultOf(self.plugin.sendData(b"a"), NotSent)
        self.successResultOf(self.plugin.disconnect())

    def test_secondLogin(self) -> None:
        """It displaces the first, whose packets are in doubt."""
        producer = Producer()
        first = self.logIn()
        self.plugin.registerProducer(producer, True)
        waiting = self.plugin.sendData(b"a")
        second = self.logIn()
        self.assertEqual(first.closeCodes(), [1008])
        self.assertEqual(producer.calls[-1], "resume")
        first.socket.connectionLost()
        self.failureResultOf(waiting, ConnectionEnded)
        self.assertTrue(self.plugin.isConnected())
        self.plugin.sendData(b"b")
        self.assertEqual(len(self.heard(second)), 1)

    def test_disconnect(self) -> None:
        """The peer may come again only after connect."""
        raw = self.logIn()
        waiting = self.plugin.sendData(b"a")
        first, second = self.plugin.disconnect(), self.plugin.disconnect()
        self.assertEqual(raw.closeCodes(), [1000])
        self.assertNoResult(first)
        self.assertNoResult(second)
        raw.socket.connectionLost()
        self.successResultOf(first)
        self.successResultOf(second)
        self.failureResultOf(waiting, ConnectionEnded)
        refused = self.call()
        refused.say(BytesMessage(login()))
        self.assertRefused(refused)
        self.successResultOf(self.plugin.connect())
        self.logIn()
        self.assertTrue(self.plugin.isConnected())

    def test_comesBack(self) -> None:
        producer = Producer()
        self.plugin.registerProducer(producer, True)
        raw = self.logIn()
        raw.socket.connectionLost()
        self.assertFalse(self.plugin.isConnected())
        self.assertEqual(producer.calls[-1], "pause")
        self.logIn()
        self.assertEqual(producer.calls[-1], "resume")


class SocketTests(TestCase):
    """Over real sockets."""

    async def test_bothWays(self) -> None:
        """Many packets, both ways, a cut, and a way back."""

        far = BTPServerPlugin(reactor)
        far.registerDataHandler(bytes.upper)
        server = BTPServer(
            reactor,
            TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"),
            lambda account, token: far if tokenMatches("tok:en", token) else None,
        )
        await server.start()
        url = f"btp+ws://alice:tok%3Aen@127.0.0.1:{cast(Any, server.port).getHost().port}/path"
        near = BTPClientPlugin(reactor, url)
        near.registerDataHandler(lambda data: data[::-1])
        await near.connect()
        large = bytes(range(97, 107)) * 3276
        waiting = [near.sendData(large) for _ in range(100)]
        back = [far.sendData(b"abc") for _ in range(100)]
        self.assertEqual({await each for each in waiting}, {large.upper()})
        self.assertEqual({await each for each in back}, {b"cba"})
        await near.disconnect()
        await near.connect()
        self.assertEqual(await near.sendData(b"again"), b"AGAIN")
        await server.stop()
        await near.disconnect()
        self.assertFalse(near.isConnected())

    async def test_refused(self) -> None:

        server = BTPServer(
            reactor,
            TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"),
            lambda account, token: None,
        )
        await server.start()
        near = BTPClientPlugin(
            reactor, f"ws://:x@127.0.0.1:{cast(Any, server.port).getHost().port}"
        )
        await self.assertFailure(near.connect(), ConnectionEnded)
        await server.stop()
        await self.assertFailure(near.connect(), ConnectionEnded)


class ListeningPluginTests(VirtualTestCase):
    """One end listens, the other calls."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = Network(self.clock)
        self.plugin = BTPServerPlugin(self.clock, self.network.server, "token")
        self.peer = self.call("token")

    def call(self, token: str) -> BTPClientPlugin:
        """Make a client."""
        return BTPClientPlugin(
            self.clock, f"ws://any:{token}@localhost", endpoint=self.network.client
        )

    def meet(self) -> None:
        """Let the client log in."""
        connected = self.peer.connect()
        self.network.flush()
        self.successResultOf(connected)

    def test_interface(self) -> None:
        verifyObject(IPlugin, self.plugin)
        self.assertRaises(LocalError, BTPServerPlugin, self.clock, self.network.server, "")

    def test_met(self) -> None:
        first, second = self.plugin.connect(), self.plugin.connect()
        self.assertNoResult(first)
        self.failureResultOf(self.plugin.sendData(b"a"), NotSent)
        self.meet()
        self.successResultOf(first)
        self.successResultOf(second)
        self.successResultOf(self.plugin.connect())
        self.peer.registerDataHandler(bytes.upper)
        waiting = self.plugin.sendData(b"a")
        self.network.flush()
        self.assertEqual(self.successResultOf(waiting), b"A")

    def test_wrongToken(self) -> None:
        waiting = self.plugin.connect()
        refused = self.call("other").connect()
        self.network.flush()
        self.failureResultOf(refused, ConnectionEnded)
        self.assertNoResult(waiting)

    def test_tooLate(self) -> None:
        """Who comes after the time is welcome, for it listens still."""
        waiting = self.plugin.connect()
        self.clock.advance(30)
        self.assertIn("30 s", str(self.failureResultOf(waiting, ConnectionEnded).value))
        self.meet()
        self.successResultOf(self.plugin.connect())

    def test_cancelled(self) -> None:
        first, second = self.plugin.connect(), self.plugin.connect()
        first.addCallback(lambda _: second.cancel())
        third = self.plugin.connect()
        third.cancel()
        self.failureResultOf(third, CancelledError)
        self.meet()
        self.failureResultOf(second, CancelledError)

    def test_cannotListen(self) -> None:
        class Busy:
            def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
                return fail(CannotListenError("127.0.0.1", 1, OSError("in use")))

        plugin = BTPServerPlugin(self.clock, Busy(), "token")  # type: ignore[arg-type]
        self.failureResultOf(plugin.connect(), CannotListenError)
        self.failureResultOf(plugin.connect(), CannotListenError)

    def test_disconnect(self) -> None:
        """Nobody can call any more, until connect."""
        for _ in range(2):
            waiting = self.plugin.connect()
            self.meet()
            self.successResultOf(waiting)
            done = self.plugin.disconnect()
            self.assertNoResult(done)
            self.network.flush()
            self.successResultOf(done)
            self.assertIsNone(self.network.factory)
            gone = self.peer.disconnect()
            self.clock.advance(0)
            self.successResultOf(gone)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_disconnectMeanwhile(self) -> None:
        waiting = self.plugin.connect()
        self.successResultOf(self.plugin.disconnect())
        self.failureResultOf(waiting, ConnectionEnded)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_connectMeanwhile(self) -> None:
        """Who connects while the last connection is closed waits for the next one."""
        self.plugin.connect()
        self.meet()
        done = self.plugin.disconnect()
        waiting = self.plugin.connect()
        self.network.flush()
        self.successResultOf(done)
        self.assertNoResult(waiting)
