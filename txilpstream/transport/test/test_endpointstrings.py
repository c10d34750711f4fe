"""Tests of the endpoint strings."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.interfaces import (
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpointStringParser,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from txilpstream.crypto.credentials import readSecret
from txilpstream.errors import LocalError
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.transport.endpointstrings import ClientParser, ServerParser
from txilpstream.transport.server import StreamServer

SECRET = bytes(range(32))


class Echo(Protocol):
    """Sends back what comes."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class Caller(Protocol):
    """Says hello and keeps the answer."""

    def __init__(self) -> None:
        self.got = b""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"hello")

    def dataReceived(self, data: bytes) -> None:
        self.got += data


class SecretTests(VirtualTestCase):
    """L{readSecret}."""

    def test_hexAndBase64(self) -> None:
        """Both are read, with padding and without."""
        text = urlsafe_b64encode(SECRET).decode()
        for written in (SECRET.hex(), text, text.rstrip("=")):
            self.assertEqual(readSecret(written), SECRET)

    def test_neither(self) -> None:
        """Anything else is refused and never shown."""
        for written in ("", "abc", "z" * 64, "x" * 45):
            error = self.assertRaises(LocalError, readSecret, written)
            if written:
                self.assertNotIn(written, str(error))


class StringTests(VirtualTestCase):
    """Twisted's own functions find the parsers."""

    def test_interfaces(self) -> None:
        """Both parsers are what they say."""
        verifyObject(IStreamServerEndpointStringParser, ServerParser())
        verifyObject(IStreamClientEndpointStringParserWithReactor, ClientParser())

    def test_wholeWay(self) -> None:
        """A server and a client that are both made from strings talk, twice."""
        clock: Any = Clock()
        path = Path(self.mktemp())
        path.write_text(SECRET.hex() + "\n", encoding="ascii")
        server = serverFromString(clock, rf"ilpstream:memory\:strings:secretFile={path}")
        listening = server.listen(Factory.forProtocol(Echo))
        clock.pump([0.001] * 10)
        port: Any = self.successResultOf(listening)
        self.assertIsInstance(port.server, StreamServer)
        given = port.server.generateCredentials()
        client = clientFromString(
            clock,
            rf"ilpstream:memory\:strings:address={given.destinationAddress}"
            f":secret={given.sharedSecret.hex()}",
        )
        for _ in range(2):
            connecting = client.connect(Factory.forProtocol(Caller))
            clock.pump([0.01] * 100)
            caller = self.successResultOf(connecting)
            self.assertEqual(caller.got, b"hello")

    def test_environment(self) -> None:
        """Without a description the plugin is that of the environment."""
        self.patch(__import__("os"), "environ", {"ILP_PLUGIN": "memory:environment"})
        ServerParser().parseStreamServer(Clock())
        self.assertRaises(LocalError, ClientParser().parseStreamClient, Clock())

    def test_badSecret(self) -> None:
        """A server's secret is checked at once."""
        parse = ServerParser().parseStreamServer
        self.assertRaises(LocalError, parse, Clock(), "memory:bad", secret="short")
