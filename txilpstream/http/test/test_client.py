"""Tests of C{txilpstream.http.client}: what was written, what was kept, and what nobody knows."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

from hypothesis import strategies as st
from twisted.internet import reactor as installed
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, serverFromString
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from txilpstream.http.client import (
    ANSWER_LIMIT,
    HEAD_LIMIT,
    KEEP_TIME,
    Answer,
    AnswerTooLong,
    Exchange,
    FetchError,
    HTTPClient,
    fetch,
)
from txilpstream.http.url import URL, readHTTPURL
from txilpstream.test.support.certificates import makePEM, serverCertificate
from txilpstream.test.support.httppeers import Transport, chunked, connect, makeResponse
from txilpstream.test.support.smuggling import ANSWERS
from txilpstream.test.support.strategies import forAll

HOST = ip_address("127.0.0.1")
HEAD = b"HTTP/1.1 200 OK\r\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class ClientTestCase(SynchronousTestCase):
    """A client in virtual time, and servers by hand."""

    def setUp(self) -> None:
        """Ask nothing yet."""
        self.reactor: Any = MemoryReactorClock()
        self.reactor.advance(1000)
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", 80)
        self.client = HTTPClient(self.reactor, endpoint, isSecure=False)
        self.over: list[Exchange] = []
        self.dialled = 0

    def tearDown(self) -> None:
        """Whatever happened, nothing is left."""
        stopped = self.client.stop()
        self.reactor.advance(0)
        self.successResultOf(stopped)
        self.assertEqual(self.client.connections, {})

    def begin(self) -> Exchange:
        """Ask."""
        exchange = Exchange(REQUEST, self.over.append)
        self.client.begin(exchange)
        return exchange

    def accept(self) -> Transport:
        """Accept the next connection that is dialled."""
        factory = self.reactor.tcpClients[self.dialled][2]
        self.dialled += 1
        return connect(self.reactor, factory.buildProtocol(None))

    def ask(self, *answers: bytes) -> tuple[Exchange, Transport]:
        """Ask on a connection of its own, which says this."""
        exchange = self.begin()
        transport = self.accept()
        self.assertEqual(transport.take(), REQUEST)
        for answer in answers:
            transport.protocol.dataReceived(answer)
        return exchange, transport


class AnswerTests(ClientTestCase):
    """What comes back."""

    def test_complete(self) -> None:
        """An answer with a length, in chunks, after interim ones, and one without a body."""
        head = b"HTTP/1.1 200 OK\r\n"
        for octets, body in (
            (makeResponse(b"hi"), b"hi"),
            (head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"h", b"i") + b"\r\n", b"hi"),
            (b"HTTP/1.1 100 Continue\r\n\r\n" + makeResponse(b"hi"), b"hi"),
            (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3 + makeResponse(b"hi"), b"hi"),
            (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
            (makeResponse(b""), b""),
        ):
            exchange, transport = self.ask(octets)
            self.assertEqual(self.over.pop(), exchange)
            self.assertTrue(exchange.isComplete)
            transport.end()
            self.reactor.advance(0)
            self.assertEqual((exchange.body, exchange.problem), (body, ""))

    def test_headers(self) -> None:
        """Status and headers; trailers are none."""
        octets = b"HTTP/1.1 404 No\r\nX-Y: z\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: u\r\n\r\n"
        exchange, _ = self.ask(octets)
        self.assertEqual(exchange.status, 404)
        self.assertEqual(exchange.headers, [(b"x-y", b"z"), (b"transfer-encoding", b"chunked")])

    def test_untilTheEnd(self) -> None:
        """Without a length the answer ends with its connection."""
        exchange, transport = self.ask(b"HTTP/1.1 200 OK\r\n\r\nhi")
        self.assertFalse(exchange.isComplete)
        transport.end()
        self.reactor.advance(0)
        self.assertEqual((exchange.isComplete, exchange.body), (True, b"hi"))

    def test_cut(self) -> None:
        """One that does not come to its end is in doubt, and says what came of it."""
        for octets, status in (
            (b"", 0),
            (b"HTTP/1.1 50", 0),
            (b"HTTP/1.1 502 Bad\r\nContent-Length: 2\r\n\r\nh", 502),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", 200),
        ):
            exchange, transport = self.ask(octets)
            transport.end()
            self.reactor.advance(0)
            self.assertFalse(exchange.isComplete)
            self.assertTrue(exchange.isWritten)
            self.assertEqual(exchange.status, status)
            self.assertIn("answer", exchange.problem)

    def test_bad(self) -> None:
        """What is no answer, or too much of one."""
        for octets in (
            b"nonsense",
            *ANSWERS,
            b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
            makeResponse(b"x" * (ANSWER_LIMIT + 1)),
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (ANSWER_LIMIT + HEAD_LIMIT),
            b"HTTP/1.1 100 Continue\r\n\r\n" * (ANSWER_LIMIT + HEAD_LIMIT),
        ):
            exchange, transport = self.ask(octets)
            self.assertEqual(self.over.pop(), exchange, octets[:50])
            self.assertNotEqual(exchange.problem, "", octets[:50])
            self.assertTrue(transport.isAborted, octets[:50])

    @forAll(st.lists(st.binary(max_size=200), max_size=5), examples=200)
    def test_anything(self, parts: list[bytes]) -> None:
        """Any octets: no error goes further, and the exchange ends once."""
        self.over.clear()
        exchange, transport = self.ask(*parts)
        transport.end()
        self.reactor.advance(0)
        self.assertEqual(self.over, [exchange])


class KeptTests(ClientTestCase):
    """Connections that are used again."""

    def isKept(self, octets: bytes, seconds: float = 0) -> bool:
        """Whether a connection serves another request so long after this answer."""
        _, transport = self.ask(octets)
        self.reactor.advance(seconds)
        self.client.sweep()
        before = len(self.reactor.tcpClients)
        other = self.begin()
        isSame = len(self.reactor.tcpClients) == before
        if isSame:
            self.assertEqual(transport.take(), REQUEST)
            transport.protocol.dataReceived(makeResponse(b""))
            transport.end()
        else:
            self.accept().protocol.dataReceived(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.assertTrue(other.isComplete)
        self.reactor.advance(0)
        return isSame

    def test_announced(self) -> None:
        """For a second less than the server says, and few seconds where it says nothing."""
        self.assertTrue(self.isKept(makeResponse(b""), KEEP_TIME - 0.1))
        self.assertFalse(self.isKept(makeResponse(b""), KEEP_TIME + 0.1))
        node = makeResponse(b"", 200, "Connection: keep-alive", "Keep-Alive: timeout=5")
        self.assertTrue(self.isKept(node, 3.9))
        self.assertFalse(self.isKept(node, 4.1))
        long = makeResponse(b"", 200, "Keep-Alive: max=9, Timeout = 20")
        self.assertTrue(self.isKept(long, 18.9))
        self.assertFalse(self.isKept(long, 19.1))
        self.assertFalse(self.isKept(makeResponse(b"", 200, "Keep-Alive: timeout=1")))
        self.assertTrue(self.isKept(makeResponse(b"", 200, "Keep-Alive: timeout=600"), 598.9))
        self.assertFalse(self.isKept(makeResponse(b"", 200, "Keep-Alive: timeout=600"), 599.1))

    def test_nothingOfTheAnswerBefore(self) -> None:
        """What an answer was says nothing of the next request, of which nothing is known."""
        for before in (
            makeResponse(b"", 429),
            b"HTTP/1.1 204 No Content\r\n\r\n",
            makeResponse(b""),
        ):
            for isLost in (True, False):
                _, transport = self.ask(before)
                exchange = self.begin()
                self.assertEqual(transport.take(), REQUEST)
                if isLost:
                    transport.end()
                else:
                    self.client.abort(exchange, "late")
                self.reactor.advance(0)
                self.assertEqual((exchange.status, exchange.isComplete), (0, False))
                self.assertTrue(exchange.isWritten)
                self.assertNotEqual(exchange.problem, "")

    def test_interim(self) -> None:
        """An interim answer is none, whatever becomes of the connection then."""
        exchange, transport = self.ask(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        transport.end()
        self.reactor.advance(0)
        self.assertEqual((exchange.status, exchange.isComplete), (0, False))
        self.assertNotEqual(exchange.problem, "")

    def test_more(self) -> None:
        """A whole answer counts, whatever comes after it; its connection is not used again."""
        for rest in (b"x", b"HTTP/1.1 200", makeResponse(b"z"), b"\x00" * 100):
            exchange, transport = self.ask(makeResponse(b"y") + rest)
            self.assertEqual((exchange.isComplete, exchange.body), (True, b"y"), rest)
            self.assertEqual(exchange.problem, "")
            self.assertTrue(transport.isAborted)

    def test_never(self) -> None:
        """Not after an answer of HTTP/1.0, one that closes, or one with more than was asked for."""
        self.assertFalse(self.isKept(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"))
        old = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"
        self.assertFalse(self.isKept(old))
        self.assertFalse(self.isKept(makeResponse(b"", 200, "Connection: close")))
        self.assertFalse(self.isKept(makeResponse(b"") + makeResponse(b"")))
        self.assertFalse(self.isKept(makeResponse(b"") + b"x"))

    def test_newestFirst(self) -> None:
        """The one that was used last is used first."""
        exchanges = [self.begin() for _ in range(3)]
        transports = [self.accept() for _ in exchanges]
        for number in (2, 0, 1):
            transports[number].take()
            transports[number].protocol.dataReceived(makeResponse(b""))
        for number in (1, 0, 2):
            self.begin()
            self.assertEqual(transports[number].take(), REQUEST)

    def test_unasked(self) -> None:
        """Octets that nobody asked for end a connection."""
        _, transport = self.ask(makeResponse(b""))
        transport.protocol.dataReceived(b"x")
        self.assertTrue(transport.isAborted)
        self.begin()
        self.assertEqual(len(self.reactor.tcpClients), 2)

    def test_swept(self) -> None:
        """One that is kept for too long is closed."""
        _, transport = self.ask(makeResponse(b""))
        self.reactor.advance(KEEP_TIME - 1)
        self.client.sweep()
        self.assertFalse(transport.isAborted)
        self.reactor.advance(1)
        self.client.sweep()
        self.assertTrue(transport.isAborted)


class WaitingTests(ClientTestCase):
    """Requests that have no connection yet."""

    def test_freeOne(self) -> None:
        """One that comes free serves who waits longest; the dialled one is kept."""
        _, transport = self.ask()
        second = self.begin()
        transport.protocol.dataReceived(makeResponse(b"1"))
        self.assertEqual(transport.take(), REQUEST)
        other = self.accept()
        self.assertEqual(other.take(), b"")
        transport.protocol.dataReceived(makeResponse(b"2"))
        self.assertEqual(second.body, b"2")

    def test_refused(self) -> None:
        """Who can get no connection was not written."""
        exchange = self.begin()
        self.reactor.tcpClients[0][2].clientConnectionFailed(
            None, Failure(ConnectionRefusedError())
        )
        self.assertEqual(self.over, [exchange])
        self.assertFalse(exchange.isWritten)
        self.assertIn("ConnectionRefusedError", exchange.problem)

    def test_aborted(self) -> None:
        """Who gives up before a connection is there was not written; its dialling ends."""
        first, second = self.begin(), self.begin()
        self.client.abort(first, "late")
        self.assertEqual((first.isWritten, first.problem), (False, "late"))
        self.accept()
        self.client.abort(second, "late")
        self.assertTrue(second.isWritten)
        self.client.abort(second, "again")
        self.assertEqual(self.over, [first, second])

    def test_deadTransport(self) -> None:
        """A connection whose transport cannot be ended is over when it should be."""
        exchange, transport = self.ask()

        def fail() -> None:
            raise ZeroDivisionError

        transport.abortConnection = fail  # type: ignore[method-assign]
        self.client.abort(exchange, "enough")
        self.assertEqual(self.over, [exchange])
        self.assertEqual((exchange.isWritten, exchange.problem), (True, "enough"))
        self.assertEqual(self.client.connections, {})

    def test_stopped(self) -> None:
        """Whatever is under way ends."""
        asked, waiting = self.begin(), self.begin()
        transport = self.accept()
        stopped = self.client.stop()
        self.reactor.advance(0)
        self.successResultOf(stopped)
        self.assertTrue(transport.isAborted)
        self.assertEqual(self.over, [waiting, asked])
        self.assertEqual((asked.isWritten, waiting.isWritten), (True, False))


class Script(Protocol):
    """
    Says what it is told to as soon as somebody asks.

    @ivar factory: has the text, whether the connection ends with it, and what happened.
    """

    def dataReceived(self, data: bytes) -> None:
        """Say it."""
        factory: Any = self.factory
        transport: Any = self.transport
        transport.write(factory.text)
        if factory.isClosing:
            transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        """Write it down."""
        factory: Any = self.factory
        factory.whenLost.callback(None)


class FetchTests(TestCase):
    """Questions on connections of their own, over TCP."""

    def listen(self, text: bytes, isClosing: bool = False) -> URL:
        """A server that says so."""
        reactor: Any = installed
        factory: Any = Factory.forProtocol(Script)
        factory.noisy = False
        factory.text, factory.isClosing = text, isClosing
        self.whenLost: Deferred[None] = Deferred()
        factory.whenLost = self.whenLost
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return readHTTPURL(f"http://127.0.0.1:{port.getHost().port}/", False)

    async def ask(self, text: bytes, isClosing: bool = False, limit: int = 4) -> Answer:
        """Ask a server that says so."""
        return await fetch(installed, self.listen(text, isClosing), {"X": "y"}, limit=limit)

    async def refused(self, text: bytes, isClosing: bool = False, limit: int = 4) -> str:
        """Why there is no answer."""
        asked = Deferred.fromCoroutine(self.ask(text, isClosing, limit))
        error: Any = await self.assertFailure(asked, FetchError)
        await self.whenLost
        return str(error)

    async def test_body(self) -> None:
        """A body with its length, in chunks, and one that the end of the connection ends."""
        for text, isClosing in (
            (HEAD + b"Content-Length: 4\r\n\r\nbody", False),
            (HEAD + b"\r\nbody", True),
            (HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", False),
        ):
            answer = await self.ask(text, isClosing)
            self.assertEqual((answer.status, answer.body), (200, b"body"))
            await self.whenLost

    async def test_headers(self) -> None:
        """Headers are texts, whatever octets they have."""
        answer = await self.ask(HEAD + b"X-Y: a\r\nx-y: \xff\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(answer.texts("x-y"), ["a", "\xff"])
        self.assertEqual(answer.texts("z"), [])

    async def test_tooLong(self) -> None:
        """One octet more than the limit, announced or not, or headers without end."""
        for text in (
            HEAD + b"Content-Length: 400\r\n\r\n",
            HEAD + b"\r\nbody!",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nbody!\r\n0\r\n\r\n",
            HEAD + b"X: y\r\n" * 20000,
        ):
            asked = Deferred.fromCoroutine(self.ask(text, text.endswith(b"!")))
            await self.assertFailure(asked, AnswerTooLong)
            await self.whenLost

    async def test_cutOff(self) -> None:
        """An answer that ends before its length."""
        why = await self.refused(HEAD + b"Content-Length: 4\r\n\r\nbod", True)
        self.assertIn("did not come to its end", why)
        self.assertIn("lost before an answer", await self.refused(b"", True))

    async def test_secretive(self) -> None:
        """Nothing of what the server says stands in an error."""
        self.assertEqual(await self.refused(b"sesame sesame\r\n"), "the answer is not HTTP")

    async def test_cancelled(self) -> None:
        """To give up is to end the connection, in whatever state."""
        asked = fetch(installed, self.listen(HEAD + b"Content-Length: 4\r\n\r\nb"), {}, limit=4)
        installed.callLater(0.05, asked.cancel)
        await self.assertFailure(asked, CancelledError)
        asked = fetch(installed, self.listen(b""), {}, limit=4)
        asked.cancel()
        await self.assertFailure(asked, CancelledError)

    async def test_certificate(self) -> None:
        """Over https, a certificate that nobody vouches for is refused."""
        self.addCleanup(self.flushWarnings)  # Twisted itself uses what pyOpenSSL deprecates
        reactor: Any = installed
        factory: Any = Factory.forProtocol(Protocol)
        factory.noisy = False
        options = serverCertificate(makePEM()).options()
        port = reactor.listenSSL(0, factory, options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        url = readHTTPURL(f"https://127.0.0.1:{port.getHost().port}/", False)
        error: Any = await self.assertFailure(fetch(installed, url, {}, limit=4), FetchError)
        self.assertIn("certificate verify failed", str(error))

    async def test_noTLS(self) -> None:
        """A server that does not speak TLS is none over https."""
        url = self.listen(HEAD + b"\r\n")
        secure = readHTTPURL(f"https://127.0.0.1:{url.port}/", False)
        error: Any = await self.assertFailure(fetch(installed, secure, {}, limit=4), FetchError)
        self.assertIn("SSL", str(error))
        await self.whenLost


class Closing(Protocol):
    """A server that answers once, and closes a while later."""

    factory: Any
    transport: Any

    def connectionMade(self) -> None:
        """Be known."""
        self.factory.made.append(self)

    def dataReceived(self, data: bytes) -> None:
        """Answer."""
        self.factory.heard.append(data)
        if len(self.factory.heard) == 1:
            self.transport.write(makeResponse(b"hi"))


class SocketTests(TestCase):
    """What sockets tell."""

    def setUp(self) -> Any:
        """Listen."""
        return ensureDeferred(self.listen())

    async def listen(self) -> None:
        """Listen on a free port."""
        factory: Any = Factory.forProtocol(Closing)
        self.factory = factory
        factory.noisy = False
        factory.made, factory.heard = [], []
        port = await serverFromString(installed, "tcp:0:interface=127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        endpoint = TCP4ClientEndpoint(installed, "127.0.0.1", port.getHost().port)
        self.client = HTTPClient(installed, endpoint, isSecure=False)
        self.addCleanup(self.client.stop)

    def ask(self) -> Deferred[Exchange]:
        """Ask; fires when it is over."""
        done: Deferred[Exchange] = Deferred()
        self.client.begin(Exchange(REQUEST, done.callback))
        return done

    async def closeUnseen(self) -> Any:
        """Ask once, and have the server close the connection without our reactor's knowing."""
        self.assertEqual((await self.ask()).body, b"hi")
        (connection,) = self.client.connections
        transport: Any = connection.transport
        transport.stopReading()
        (there,) = self.factory.made
        there.transport.getHandle().shutdown(socket.SHUT_RDWR)
        return connection

    async def test_closedUnseen(self) -> None:
        """One that the server has closed is seen to be before it is used."""
        connection = await self.closeUnseen()
        self.assertTrue(connection.isClosed())
        connection.lastUsed -= 1
        done = self.ask()
        while len(self.factory.made) < 2:
            await self.turn()
        (connection,) = self.client.connections
        assert connection.exchange is not None
        self.client.abort(connection.exchange, "enough")
        exchange = await done
        self.assertEqual(len(self.factory.made), 2)
        self.assertTrue(exchange.isWritten)

    async def test_neverWritten(self) -> None:
        """What never left this process was not seen by anybody."""
        connection = await self.closeUnseen()
        exchange = Exchange(REQUEST, lambda _: None)
        # The system takes nothing, and the end of the connection is seen before it does.
        connection.transport.writeSomeData = lambda data: 0
        connection.serve(exchange)
        connection.transport.stopWriting()
        connection.transport.startReading()
        while self.client.connections:
            await self.turn()
        self.assertFalse(exchange.isWritten)
        self.assertIn("lost", exchange.problem)

    def turn(self) -> Deferred[None]:
        """Let the reactor do something."""
        turned: Deferred[None] = Deferred()
        installed.callLater(0.001, turned.callback, None)
        return turned
