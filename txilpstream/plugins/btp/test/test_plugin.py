"""Tests of C{txilpstream.plugins.btp.plugin}."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from txilpstream.errors import ConnectionEnded, LocalError
from txilpstream.interfaces import IPluginFactory
from txilpstream.plugins.btp.plugin import BTPPluginFactory


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
            (("ws://localhost",), {"insecure": "secret"}, "yes or no"),
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
