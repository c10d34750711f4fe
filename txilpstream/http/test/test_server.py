"""Tests of C{txilpstream.http.server}: what a connection may bring, and how long it may last."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from txilpstream.http.server import BODY_LIMIT, CONNECTION_TIME, SILENCE_TIME, Connections

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"


class Transport(StringTransport):
    """Is lost at once when it is aborted."""

    protocol: Any = None

    def abortConnection(self) -> None:
        """Tell the protocol."""
        super().abortConnection()
        self.protocol.connectionLost(Failure(ConnectionDone()))


class Echo(Resource):
    """Answers with the length of what was asked, or not at all."""

    isLeaf = True

    def render(self, request: Any) -> Any:
        """Answer."""
        if request.path == b"/never":
            return NOT_DONE_YET
        if request.path == b"/raise":
            raise ValueError("sesame")
        return b"%d octets" % len(request.content.read())


class SiteTestCase(SynchronousTestCase):
    """A site in virtual time, without sockets."""

    def setUp(self) -> None:
        """Begin."""
        self.clock = Clock()
        self.clock.advance(1000)
        self.factory = Connections(Echo(), self.clock, 3)
        self.factory.doStart()
        self.addCleanup(self.factory.doStop)
        self.lines: list[str] = []
        observer: Any = self.observe
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def observe(self, event: Any) -> None:
        """Keep the formats of all that is logged."""
        self.lines.append(str(event.get("log_format")))

    def connect(self, data: bytes = b"") -> Transport:
        """One connection, on which this was said."""
        transport = Transport()
        transport.protocol = self.factory.buildProtocol(None)
        transport.protocol.makeConnection(transport)
        if data:
            transport.protocol.dataReceived(data)
        return transport

    def isGone(self, transport: Transport) -> bool:
        """Whether a connection was ended here."""
        return bool(transport.disconnecting)


class BodyTests(SiteTestCase):
    """A question has no body to speak of."""

    def test_short(self) -> None:
        """A short body is read, announced or in chunks."""
        transport = self.connect(GET + b"Content-Length: 4\r\n\r\nbody")
        self.assertIn(b"4 octets", transport.value())
        transport = self.connect(GET + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")
        self.assertIn(b"4 octets", transport.value())
        body = b"b" * BODY_LIMIT
        transport = self.connect(GET + b"Content-Length: %d\r\n\r\n%b" % (BODY_LIMIT, body))
        self.assertIn(b"%d octets" % BODY_LIMIT, transport.value())

    def test_announced(self) -> None:
        """A long one is refused before anything of it is here, and nobody is asked for it."""
        transport = self.connect(
            GET + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (BODY_LIMIT + 1)
        )
        self.assertTrue(transport.value().startswith(b"HTTP/1.1 413 "))
        self.assertNotIn(b"100 Continue", transport.value())
        self.assertTrue(self.isGone(transport))
        before = transport.value()
        transport.protocol.dataReceived(b"b" * (BODY_LIMIT + 1))
        self.assertEqual(transport.value(), before)

    def test_chunked(self) -> None:
        """One that does not say how long it is, is refused when it is too long."""
        transport = self.connect(GET + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            transport.protocol.dataReceived(b"200\r\n" + b"b" * 512 + b"\r\n")
        self.assertTrue(transport.value().startswith(b"HTTP/1.1 413 "))
        self.assertTrue(self.isGone(transport))
        transport.protocol.dataReceived(b"200\r\n" + b"b" * 512 + b"\r\n0\r\n\r\n")
        self.assertEqual(transport.value().count(b"HTTP/1.1"), 1)


class LifeTests(SiteTestCase):
    """Connections are few and short."""

    def test_room(self) -> None:
        """The newest takes the place of the oldest, and that is said rarely."""
        transports = [self.connect() for _ in range(8)]
        gone = [self.isGone(transport) for transport in transports]
        self.assertEqual(gone, [True] * 5 + [False] * 3)
        self.assertEqual(sum("newer ones" in line for line in self.lines), 1)
        self.assertIn(b"0 octets", self.connect(GET + b"\r\n").value())

    def test_over(self) -> None:
        """No connection outlives its time, whatever it does."""
        first = self.connect(GET)
        self.clock.advance(SILENCE_TIME - 1)
        second = self.connect(GET)
        for _ in range(int(CONNECTION_TIME - SILENCE_TIME) + 2):
            self.clock.advance(1)
            self.factory.sweep()
            for transport in (first, second):
                if not self.isGone(transport):
                    transport.protocol.dataReceived(b"X: y\r\n")
        self.assertEqual([self.isGone(first), self.isGone(second)], [True, False])

    def test_silence(self) -> None:
        """One that says nothing is lost sooner."""
        transport = self.connect(GET)
        self.clock.advance(SILENCE_TIME)
        self.factory.sweep()
        self.assertFalse(self.isGone(transport))
        self.clock.advance(1)
        self.factory.sweep()
        self.assertTrue(self.isGone(transport))

    def test_ended(self) -> None:
        """One that ends by itself counts no more."""
        transport = self.connect(GET)
        transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(len(self.factory.protocols), 0)

    def test_abort(self) -> None:
        """All can be lost at once."""
        transports = [self.connect(GET.replace(b"/ ", b"/never ") + b"\r\n") for _ in range(3)]
        self.factory.abort()
        self.assertTrue(all(self.isGone(transport) for transport in transports))
        self.assertEqual(len(self.factory.protocols), 0)


class SilenceTests(SiteTestCase):
    """What strangers are told, and the log."""

    def test_version(self) -> None:
        """No answer says what program it is from."""
        for line in (b"GET / HTTP/1.1", b"OPTIONS * HTTP/1.1", b"GET /raise HTTP/1.0"):
            answer = self.connect(line + b"\r\nHost: a\r\n\r\n").value()
            self.assertIn(b"HTTP/1.", answer)
            for word in (b"Twisted", b"sesame", b"Traceback"):
                self.assertNotIn(word, answer)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_log(self) -> None:
        """Requests are not logged."""
        before = len(self.lines)
        for _ in range(9):
            self.connect(GET + b"Connection: close\r\n\r\n")
        self.assertEqual([x for x in self.lines[before:] if "newer" not in x], [])

    def test_raising(self) -> None:
        """An error in what a peer sends ends its connection, and is said rarely."""

        class Broken:
            """A protocol with a mistake."""

            def dataReceived(self, data: bytes) -> None:
                """Make it."""
                raise ZeroDivisionError

            def connectionLost(self, reason: Any) -> None:
                """It ends."""

        for _ in range(3):
            transport = self.connect()
            transport.protocol.wrappedProtocol = Broken()
            transport.protocol.dataReceived(b"x")
            self.assertTrue(self.isGone(transport))
        self.assertEqual(sum("raised" in line for line in self.lines), 1)
