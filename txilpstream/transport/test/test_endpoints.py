"""Tests for C{txilpstream.transport.endpoints}: unmodified Twisted protocols over STREAM."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver
from zope.interface.verify import verifyObject

from txilpstream.errors import ConnectionEnded, LocalError
from txilpstream.test.support.connected import ConnectedTestCase
from txilpstream.transport.endpoints import StreamClientEndpoint, StreamServerEndpoint
from txilpstream.transport.server import StreamServer


class Upper(LineReceiver):
    """Answers each line in capitals, and closes after C{quit}."""

    def lineReceived(self, line: bytes) -> None:
        """Answer."""
        if line == b"quit":
            assert self.transport is not None
            self.transport.loseConnection()
        else:
            self.sendLine(line.upper())


class Asker(LineReceiver):
    """
    Writes down what it is answered.

    @ivar lines: what came.
    @ivar isLost: whether the end was told.
    """

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.isLost = False

    def lineReceived(self, line: bytes) -> None:
        """Write it down."""
        self.lines.append(line)

    def connectionLost(self, reason: Any = None) -> None:
        """Write it down."""
        self.isLost = True


class EndpointTests(ConnectedTestCase):
    """Both endpoints with protocols that know nothing of STREAM."""

    def setUp(self) -> None:
        """A server that answers in capitals."""
        super().setUp()
        self.server = StreamServer(self.right)
        self.serving = StreamServerEndpoint(self.server)
        self.port: Any = self.successResultOf(self.serving.listen(Factory.forProtocol(Upper)))

    def test_interfaces(self) -> None:
        """They are endpoints."""
        verifyObject(IStreamServerEndpoint, self.serving)
        credentials = self.server.generateCredentials()
        verifyObject(IStreamClientEndpoint, StreamClientEndpoint(self.client, credentials))

    def test_wrongTypes(self) -> None:
        """What is of the wrong type is named at the call."""
        credentials = self.server.generateCredentials()
        client: Any = self.left
        server: Any = self.right
        with self.assertRaisesRegex(LocalError, "server is of type Account: it takes a Stream"):
            StreamServerEndpoint(server)
        with self.assertRaisesRegex(LocalError, "client is of type Account: it takes a Stream"):
            StreamClientEndpoint(client, credentials)
        text: Any = "credentials"
        with self.assertRaisesRegex(LocalError, "credentials is a string"):
            StreamClientEndpoint(self.client, text)

    def test_lines(self) -> None:
        """Lines go both ways, and an end that one side makes is told to the other."""
        endpoint = StreamClientEndpoint(self.client, self.server.generateCredentials())
        asker = self.after(endpoint.connect(Factory.forProtocol(Asker)))
        asker.sendLine(b"hello")
        asker.sendLine(b"world")
        self.run_()
        self.assertEqual(asker.lines, [b"HELLO", b"WORLD"])
        connection = asker.transport.connection
        asker.sendLine(b"quit")
        self.run_()
        self.assertTrue(asker.isLost)
        self.assertEqual(connection.streams, {})
        self.after(self.port.stopListening())
        self.run_(60)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_again(self) -> None:
        """An endpoint connects again when its connection is over."""
        endpoint = StreamClientEndpoint(self.client, self.server.generateCredentials())
        for _ in range(2):
            asker = self.after(endpoint.connect(Factory.forProtocol(Asker)))
            asker.sendLine(b"x")
            self.run_()
            self.assertEqual(asker.lines, [b"X"])
            asker.transport.loseConnection()
            self.run_(61)

    def test_whileClosing(self) -> None:
        """An endpoint whose connection is being closed opens another one."""
        endpoint = StreamClientEndpoint(self.client, self.server.generateCredentials())
        asker = self.after(endpoint.connect(Factory.forProtocol(Asker)))
        asker.transport.write(b"x" * 100_000)
        asker.transport.connection.close()
        again = endpoint.connect(Factory.forProtocol(Asker))
        self.run_(5)
        self.assertFalse(self.successResultOf(again).isLost)

    def test_together(self) -> None:
        """Streams of one endpoint share a connection, those that are asked for at once too."""
        endpoint = StreamClientEndpoint(self.client, self.server.generateCredentials())
        opening = [endpoint.connect(Factory.forProtocol(Asker)) for _ in range(3)]
        self.run_()
        askers = [self.successResultOf(deferred) for deferred in opening]
        askers.append(self.successResultOf(endpoint.connect(Factory.forProtocol(Asker))))
        for asker in askers:
            asker.sendLine(b"x")
        self.run_()
        self.assertEqual([asker.lines for asker in askers], [[b"X"]] * 4)
        self.assertEqual(len({asker.transport.connection for asker in askers}), 1)
        self.assertEqual(len(self.server.connections), 1)

    def test_nobody(self) -> None:
        """A server that is gone fails the connect."""
        credentials = self.server.generateCredentials()
        self.after(self.port.stopListening())
        endpoint = StreamClientEndpoint(self.client, credentials)
        connecting = endpoint.connect(Factory.forProtocol(Asker))
        self.run_(60)
        self.failureResultOf(connecting, ConnectionEnded)
