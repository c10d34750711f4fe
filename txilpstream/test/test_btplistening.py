"""The plugin that waits for its peer, and the factory that makes plugins of BTP from strings."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from txilpstream.errors import ConnectionEnded, LocalError
from txilpstream.interfaces import IPlugin, IPluginFactory, NotSent
from txilpstream.plugins.btp.client import BTPClientPlugin, BTPPluginFactory
from txilpstream.plugins.btplistening import BTPListeningPlugin
from txilpstream.test.sockets import Network


class ListeningTests(SynchronousTestCase):
    """One end listens, the other calls."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = Network(self.clock)
        self.plugin = BTPListeningPlugin(self.clock, self.network.server, "token")
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
        self.assertRaises(LocalError, BTPListeningPlugin, self.clock, self.network.server, "")

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

        plugin = BTPListeningPlugin(self.clock, Busy(), "token")  # type: ignore[arg-type]
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


class FactoryTests(TestCase):
    """Plugins from strings."""

    def setUp(self) -> None:
        self.factory = BTPPluginFactory()

    def make(self, *args: str, **kwargs: str) -> Any:
        """Make a plugin."""
        return self.factory.fromString(reactor, *args, **kwargs)

    def test_interface(self) -> None:
        verifyObject(IPluginFactory, self.factory)

    async def test_meet(self) -> None:
        """A listener and a client, over a real socket."""
        listener = self.make(listen="tcp:0:interface=127.0.0.1", token="t", timeout="60")
        waiting = listener.connect()
        port = listener.server.port.getHost().port
        client = self.make(f"btp+ws://:t@127.0.0.1:{port}", timeout="60")
        await client.connect()
        await waiting
        listener.registerDataHandler(bytes.upper)
        self.assertEqual(await client.sendData(b"a"), b"A")
        await client.disconnect()
        client = self.make(url=f"ws://127.0.0.1:{port}", account="alice", token="t")
        await client.connect()
        await client.disconnect()
        await listener.disconnect()

    async def test_name(self) -> None:
        """Without an endpoint of its own the plugin resolves the host and dials."""
        listener = self.make(listen="tcp:0:interface=127.0.0.1", token="t")
        waiting = listener.connect()
        port = listener.server.port.getHost().port
        client = self.make(f"btp+ws://:t@localhost:{port}")
        await client.connect()
        await waiting
        await client.disconnect()
        await listener.disconnect()
        secure = self.make(f"btp+wss://:t@localhost:{port}")
        await self.assertFailure(secure.connect(), ConnectionEnded)

    def test_insecure(self) -> None:
        self.assertRaises(LocalError, self.make, "ws://example.com")
        self.assertRaises(LocalError, self.make, "ws://example.com", insecure="no")
        self.make("ws://example.com", insecure="yes")

    def test_badParts(self) -> None:
        for args, kwargs, text in (
            ((), {}, "url"),
            (("http://secret",), {}, "btp+wss://"),
            (("ws://localhost", "b"), {}, "positional"),
            (("ws://localhost",), {"colour": "red"}, "colour"),
            (("ws://localhost",), {"insecure": "perhaps"}, "perhaps"),
            (("ws://localhost",), {"timeout": "0"}, "'0'"),
            (("ws://localhost",), {"timeout": "-1"}, "'-1'"),
            ((), {"listen": "tcp:0"}, "token"),
            ((), {"listen": "tcp:0", "token": ""}, "token"),
            ((), {"listen": "secret:1", "token": "t"}, "endpoint"),
            ((), {"listen": "tcp:secret", "token": "t"}, "endpoint"),
            ((), {"listen": "tcp", "token": "t"}, "endpoint"),
        ):
            error = self.assertRaises(LocalError, self.make, *args, **kwargs)
            self.assertIn(text, str(error))
            self.assertNotIn("secret", str(error))
