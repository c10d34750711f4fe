"""Tests of C{txilpstream.plugins.btp.client}: the BTP client: it dials, logs in, and comes back."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from wsproto.events import AcceptConnection, BytesMessage
from zope.interface.verify import verifyObject

from txilpstream.errors import ConnectionEnded, LocalError
from txilpstream.interfaces import IPlugin, NotSent
from txilpstream.plugins.btp.client import LONGEST_WAIT, BTPClientPlugin, ClientLogin
from txilpstream.plugins.btp.server import BTPServer, BTPServerPlugin
from txilpstream.plugins.btp.websocket import ClientWebSocket
from txilpstream.plugins.test.test_base import Producer
from txilpstream.test.support.sockets import Network, RawPeer
from txilpstream.test.support.virtual import VirtualTestCase, counting
from txilpstream.wire.btp import (
    BTPError,
    BTPMessage,
    BTPPacket,
    BTPResponse,
    ProtocolData,
    decode,
    encode,
)


class ClientTestCase(VirtualTestCase):
    """A client, and a server that admits whoever says C{token}."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = Network(self.clock)
        self.far = BTPServerPlugin(self.clock)
        self.logins: list[tuple[str, str]] = []
        self.isAdmitting = True
        self.server = BTPServer(self.clock, self.network.server, self.admit)
        self.successResultOf(self.server.start())
        self.plugin = self.make()
        self.log: list[LogEvent] = []
        observer = cast(ILogObserver, self.log.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def make(self, url: str = "btp+ws://alice:token@127.0.0.1:7768/", **options: Any) -> Any:
        """Make a client."""
        options.setdefault("randomBytes", counting(b"\0" * 16))
        return BTPClientPlugin(self.clock, url, endpoint=self.network.client, **options)

    def admit(self, account: str, token: str) -> BTPServerPlugin | None:
        """Admit or not."""
        self.logins.append((account, token))
        return self.far if self.isAdmitting else None

    def connect(self) -> None:
        """Connect, with success."""
        waiting = self.plugin.connect()
        self.network.flush()
        self.successResultOf(waiting)

    def failConnect(self) -> str:
        """Connect, without success, and give the reason."""
        waiting = self.plugin.connect()
        self.network.flush()
        return str(self.failureResultOf(waiting, ConnectionEnded).value)

    def pass_(self, seconds: float) -> None:
        """Let time pass and octets move."""
        self.clock.advance(seconds)
        self.network.flush()

    def assertClean(self) -> None:
        """Nothing is left with the reactor, once the server is gone too."""
        done = self.server.stop()
        self.network.flush()
        self.successResultOf(done)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ConnectingTests(ClientTestCase):
    """The first connection."""

    def test_interface(self) -> None:
        verifyObject(IPlugin, self.plugin)

    def test_connected(self) -> None:
        waiting = self.plugin.connect()
        self.assertFalse(self.plugin.isConnected())
        self.failureResultOf(self.plugin.sendData(b"a"), NotSent)
        self.network.flush()
        self.successResultOf(waiting)
        self.assertTrue(self.plugin.isConnected())
        self.assertTrue(self.far.isConnected())
        self.assertEqual(self.logins, [("alice", "token")])
        self.successResultOf(self.plugin.connect())

    def test_bothWays(self) -> None:
        self.connect()
        self.plugin.registerDataHandler(lambda data: data * 2)
        self.far.registerDataHandler(lambda data: data.upper())
        there, back = self.plugin.sendData(b"a"), self.far.sendData(b"b")
        self.network.flush()
        self.assertEqual(self.successResultOf(there), b"A")
        self.assertEqual(self.successResultOf(back), b"bb")

    def test_sharedAttempt(self) -> None:
        """Who connects meanwhile waits for the same."""
        first, second = self.plugin.connect(), self.plugin.connect()
        first.addCallback(lambda _: second.cancel())
        self.network.flush()
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.network.calls, 1)

    def test_credentials(self) -> None:
        """The URL goes before the options, and without a token there is a random one."""
        for url, options, expected in (
            ("ws://localhost", {}, ("", "00" * 16)),
            ("ws://localhost", {"account": "bob", "token": "t"}, ("bob", "t")),
            ("ws://localhost", {"token": ""}, ("", "")),
            ("ws://a:b@localhost", {"account": "bob", "token": "t"}, ("a", "b")),
        ):
            self.plugin = self.make(url, **options)
            self.connect()
            self.assertEqual(self.logins[-1], expected)

    def test_plainToOthers(self) -> None:
        """A token is not shown to a network unless that is wanted."""
        error = self.assertRaises(LocalError, self.make, "ws://:secret@example.com")
        self.assertIn("wss://", str(error))
        self.assertNotIn("secret", str(error))
        self.plugin = self.make("ws://example.com", isInsecure=True)
        self.connect()
        self.make("wss://example.com")

    def test_refused(self) -> None:
        """A refusal is final, does not show the token, and the caller may try again."""
        self.isAdmitting = False
        reason = self.failConnect()
        self.assertIn("refused the authentication: 'F00 NotAcceptedError'", reason)
        self.assertNotIn("token", reason)
        self.assertEqual(self.network.calls, 1)
        self.assertFalse(self.plugin.isConnected())
        self.isAdmitting = True
        self.connect()

    def test_notReached(self) -> None:
        self.network.factory = None
        self.assertIn("127.0.0.1:7768: Connection was refused", self.failConnect())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelledByAnother(self) -> None:
        """One who waits may give up while the attempt fails for all."""
        self.network.isHanging = True
        first, second = self.plugin.connect(), self.plugin.connect()
        first.addErrback(lambda _: second.cancel())
        self.pass_(30)
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)

    def test_endpointRaises(self) -> None:
        class Broken:
            def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
                raise ZeroDivisionError

        plugin = BTPClientPlugin(self.clock, "ws://localhost", endpoint=Broken())  # type: ignore[arg-type]
        self.failureResultOf(plugin.connect(), ConnectionEnded)

    def test_timeOut(self) -> None:
        """Dialling, the handshake and the login have one time together."""
        self.network.isHanging = True
        waiting = self.plugin.connect()
        self.pass_(30)
        self.assertIn("30 s", str(self.failureResultOf(waiting, ConnectionEnded).value))
        self.network.isHanging = False
        self.isAdmitting = False
        self.plugin = self.make(connectTimeout=5.0)
        waiting = self.plugin.connect()
        self.pass_(5)
        self.assertIn("5 s", str(self.failureResultOf(waiting, ConnectionEnded).value))

    def test_cancelled(self) -> None:
        """Who gives up ends the attempt, unless another waits for it."""
        self.network.isHanging = True
        first, second = self.plugin.connect(), self.plugin.connect()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertNoResult(second)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.network.isHanging = False
        self.connect()

    def test_cancelledAndAgain(self) -> None:
        """Who connects while an attempt is being given up gets one of his own."""
        first = self.plugin.connect()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        second = self.plugin.connect()
        self.network.flush()
        self.successResultOf(second)
        self.assertEqual(self.network.calls, 2)

    def test_otherAnswer(self) -> None:
        """Whoever answers with anything but 101 fails at once."""

        class Web:
            def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
                socket: Any = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
                raw = RawPeer(socket, isClient=False)
                raw.deliver(b"HTTP/1.1 404 Not Found\r\n\r\n")
                socket.connectionLost()
                return fail(ZeroDivisionError())

        plugin = BTPClientPlugin(self.clock, "ws://localhost", endpoint=Web())  # type: ignore[arg-type]
        error = self.failureResultOf(plugin.connect(), ConnectionEnded).value
        self.assertIn("404", str(error))


class LoginTests(VirtualTestCase):
    """What a client sends, and which answer is a yes."""

    def setUp(self) -> None:
        self.yes: list[object] = []
        self.no: list[tuple[str, bool]] = []
        login = ClientLogin(
            7, "älice", "tok\ud800", self.yes.append, lambda *reason: self.no.append(reason)
        )
        self.clock = Clock()
        self.socket = ClientWebSocket(self.clock, login, host="localhost")
        self.raw = RawPeer(self.socket, isClient=False)
        self.raw.hear()
        self.raw.deliver(self.raw.peer.send(AcceptConnection()))

    def say(self, packet: BTPPacket) -> None:
        """Answer."""
        self.raw.say(BytesMessage(encode(packet)))

    def test_message(self) -> None:
        message = self.raw.hear()[-1]
        assert isinstance(message, BytesMessage)
        self.assertEqual(
            decode(bytes(message.data)),
            BTPMessage(
                7,
                [
                    ProtocolData("auth"),
                    ProtocolData("auth_username", 1, "älice".encode()),
                    ProtocolData("auth_token", 1, b"tok?"),
                ],
            ),
        )

    def test_yes(self) -> None:
        self.say(BTPResponse(7, []))
        self.assertEqual(self.yes, [self.socket])

    def test_no(self) -> None:
        self.say(BTPError(7, "F00", "No", ""))
        self.socket.pauseProducing()
        self.socket.resumeProducing()
        self.socket.connectionLost()
        self.assertEqual(self.yes, [])
        self.assertEqual(self.no, [("the peer refused the authentication: 'F00 No'", True)])

    def test_tooLate(self) -> None:
        """Once this end said goodbye, a yes is none."""
        self.socket.close()
        self.raw.deliver(b"\x82\x08" + encode(BTPResponse(7, [])))
        self.assertEqual(self.yes, [])

    def test_something(self) -> None:
        """Nothing but the answer may come first."""
        for data in (
            encode(BTPResponse(8, [])),
            encode(BTPError(8, "F00", "", "")),
            encode(BTPMessage(7, [ProtocolData("ilp", 0, b"a")])),
            b"garbage",
        ):
            self.setUp()
            self.raw.say(BytesMessage(data))
            self.assertEqual(self.raw.closeCodes(), [1008])
            self.socket.connectionLost()
            self.assertEqual(self.yes, [])
            self.assertIn("something else", self.no[0][0])
            self.assertFalse(self.no[0][1])

    def test_lost(self) -> None:
        self.socket.abort("cut")
        self.socket.connectionLost()
        self.assertEqual(self.no, [("cut", False)])


class ReconnectingTests(ClientTestCase):
    """A connection that once worked."""

    def setUp(self) -> None:
        super().setUp()
        self.connect()

    def waits(self, count: int) -> list[float]:
        """So many seconds pass between attempts that fail."""
        found = []
        for _ in range(count):
            (call,) = self.clock.getDelayedCalls()
            found.append(call.getTime() - self.clock.seconds())
            self.pass_(found[-1])
        return found

    def test_lost(self) -> None:
        """Meanwhile nothing leaves; afterwards the producer goes on."""
        producer = Producer()
        self.plugin.registerProducer(producer, True)
        waiting = self.plugin.sendData(b"a")
        self.network.cut()
        self.failureResultOf(waiting, ConnectionEnded)
        self.failureResultOf(self.plugin.sendData(b"b"), NotSent)
        self.assertFalse(self.plugin.isConnected())
        self.assertEqual(producer.calls, ["pause"])
        self.pass_(0.1)
        self.assertTrue(self.plugin.isConnected())
        self.assertEqual(producer.calls[-1], "resume")
        self.assertEqual(self.logins, [("alice", "token")] * 2)

    def test_backOff(self) -> None:
        """Waits double to 30 s; the least random part is half of each."""
        self.network.factory = None
        self.network.cut()
        self.pass_(10)
        waits = self.waits(12)
        self.assertEqual(max(waits), LONGEST_WAIT / 2)
        first = self.plugin
        self.plugin = self.make(randomBytes=counting(b"\xff" * 16))
        first.disconnect()
        self.pass_(0)
        self.network.factory = self.server
        self.connect()
        self.network.factory = None
        self.network.cut()
        waits = self.waits(4)
        for wait, expected in zip(waits, (0.1, 0.2, 0.4, 0.8), strict=True):
            self.assertAlmostEqual(wait, expected, 4)

    def test_standsAndFalls(self) -> None:
        """A connection that is lost soon goes on doubling, one that stood starts anew."""
        for _ in range(3):
            self.network.cut()
            (call,) = [each for each in self.clock.getDelayedCalls() if each.getTime()]
            self.pass_(call.getTime() - self.clock.seconds())
        self.network.cut()
        wait = min(each.getTime() for each in self.clock.getDelayedCalls()) - self.clock.seconds()
        self.assertAlmostEqual(wait, 0.4)
        self.pass_(wait)
        for _ in range(2):
            self.pass_(LONGEST_WAIT / 2)
        self.network.cut()
        wait = min(each.getTime() for each in self.clock.getDelayedCalls()) - self.clock.seconds()
        self.assertAlmostEqual(wait, 0.05)

    def test_refusedMeanwhile(self) -> None:
        """The peer may be starting again: it is tried on, and the log has one line."""
        self.isAdmitting = False
        self.network.cut()
        for _ in range(10):
            self.pass_(5)
        self.assertGreater(self.network.calls, 4)
        lines = [each for each in self.log if "refuses" in str(each.get("log_format"))]
        self.assertEqual(len(lines), 1)
        self.isAdmitting = True
        self.pass_(30)
        self.assertTrue(self.plugin.isConnected())
        self.assertNotIn("token", str([each.get("log_format") for each in self.log]))

    def test_connectMeanwhile(self) -> None:
        """Who connects now does not wait for the next attempt; if it fails, others follow."""
        self.network.factory = None
        self.network.cut()
        self.assertIn("refused", self.failConnect())
        self.network.factory = self.server
        self.connect()
        self.network.factory = None
        self.network.cut()
        self.plugin.connect().addErrback(lambda _: None)
        self.network.factory = self.server
        self.pass_(1)
        self.assertTrue(self.plugin.isConnected())

    def test_cancelledMeanwhile(self) -> None:
        """Who gives up does not end what the plugin does by itself."""
        self.network.isHanging = True
        self.network.cut()
        waiting = self.plugin.connect()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.network.isHanging = False
        for _ in range(3):
            self.pass_(30)
        self.assertTrue(self.plugin.isConnected())


class DisconnectingTests(ClientTestCase):
    """The end, at any moment."""

    def disconnect(self) -> None:
        """Disconnect, and again meanwhile."""
        first, second = self.plugin.disconnect(), self.plugin.disconnect()
        self.assertNoResult(first)
        refused = self.plugin.connect()
        self.failureResultOf(refused, ConnectionEnded)
        self.pass_(0)
        self.pass_(0)
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertFalse(self.plugin.isConnected())

    def test_never(self) -> None:
        self.successResultOf(self.plugin.disconnect())

    def test_connected(self) -> None:
        """Nobody dials again, and connect works again."""
        for _ in range(2):
            self.connect()
            waiting = self.plugin.sendData(b"a")
            self.far.registerDataHandler(lambda data: Deferred())
            self.network.flush()
            self.disconnect()
            self.failureResultOf(waiting, ConnectionEnded)
            self.failureResultOf(self.plugin.sendData(b"a"), NotSent)
            self.far.deregisterDataHandler()
            self.successResultOf(self.plugin.disconnect())
        self.assertEqual(self.network.calls, 2)
        self.assertClean()

    def test_answerOnTheWay(self) -> None:
        """An answer that comes before the peer's goodbye counts."""
        self.connect()
        waiting = self.plugin.sendData(b"a")
        done = self.plugin.disconnect()
        self.network.flush()
        self.pass_(0)
        self.assertTrue(self.successResultOf(waiting))
        self.successResultOf(done)

    def test_dialling(self) -> None:
        self.network.isHanging = True
        waiting = self.plugin.connect()
        self.disconnect()
        self.failureResultOf(waiting, ConnectionEnded)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_shakingHands(self) -> None:
        waiting = self.plugin.connect()
        self.disconnect()
        self.failureResultOf(waiting, ConnectionEnded)
        self.assertClean()

    def test_loggingIn(self) -> None:
        waiting = self.plugin.connect()
        self.network.pumps[0].pump()
        self.network.pumps[0].pump()
        self.disconnect()
        self.failureResultOf(waiting, ConnectionEnded)

    def test_waiting(self) -> None:
        """Between two attempts."""
        self.connect()
        self.network.cut()
        self.disconnect()
        self.pass_(100)
        self.assertEqual(self.network.calls, 1)
        self.assertClean()

    def test_cancelled(self) -> None:
        """Who waits no more for the end has not stopped it."""
        self.connect()
        done = self.plugin.disconnect()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.pass_(0)
        self.pass_(0)
        self.assertClean()

    def test_cancelledWaiter(self) -> None:
        """One who waited for a connection may give up while it ends."""
        self.network.isHanging = True
        first, second = self.plugin.connect(), self.plugin.connect()
        first.addErrback(lambda _: second.cancel())
        self.plugin.disconnect()
        self.pass_(0)
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
