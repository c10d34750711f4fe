"""Tests of C{txilpstream.plugins.http.server}: the listening side of ILP over HTTP."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from txilpstream.errors import LocalError
from txilpstream.plugins.http.server import PrepareServer
from txilpstream.test.support.httppeers import (
    FULFILL,
    PREPARE,
    TOKEN,
    WALL,
    Answerer,
    Endpoint,
    Events,
    Response,
    Transport,
    chunked,
    connect,
    makeRequest,
)
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.wire.ilp import Reject, decodeReply

GET = {"method": "GET", "body": b""}


class ServerTestCase(VirtualTestCase):
    """A server that listens, with room for three connections, and one account."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.endpoint = Endpoint()
        self.alice = Answerer()
        self.admitted: list[str] = []
        self.server = PrepareServer(
            self.clock,
            self.endpoint,
            lambda token: self.admit(token),  # noqa: PLW0108
            maximumConnections=3,
            share=3,
            bodyLimit=1000,
            wallClock=lambda: WALL,
        )
        self.events = Events()
        globalLogPublisher.addObserver(self.events)
        self.addCleanup(globalLogPublisher.removeObserver, self.events)
        self.successResultOf(self.server.start())

    def admit(self, token: str) -> Answerer | None:
        """Know one token."""
        self.admitted.append(token)
        return self.alice if token == TOKEN else None

    def open(self) -> Transport:
        """Connect."""
        return connect(self.clock, self.endpoint.factory.buildProtocol(None))

    def ask(self, *parts: bytes) -> Response:
        """Send a request on a connection of its own, and give the response."""
        transport = self.open()
        for part in parts:
            transport.protocol.dataReceived(part)
        response = Response(transport.take())
        self.assertEqual(response.rest, b"")
        self.wasClosed = transport.isEnding
        transport.end()
        self.clock.advance(0)
        return response

    def assertStatus(self, status: int, *parts: bytes, isClosed: bool = False) -> Response:
        """A request gets this status, and perhaps the end of its connection."""
        response = self.ask(*parts)
        self.assertEqual((response.status, self.wasClosed), (status, isClosed))
        if status != 200:
            self.assertEqual(response.body, b"")
        self.assertEqual(response.headers.get("connection"), "close" if isClosed else None)
        return response

    def assertRejected(self, response: Response, code: str) -> None:
        """A response is a Reject with this code."""
        self.assertEqual(response.status, 200)
        reply = decodeReply(response.body)
        assert isinstance(reply, Reject)
        self.assertEqual(reply.code, code)

    def answerLater(self) -> list[Deferred[bytes]]:
        """Let Prepares be answered by Deferreds, which are appended to what is returned."""
        answers: list[Deferred[bytes]] = []

        def answer(data: bytes) -> Deferred[bytes]:
            answers.append(Deferred())
            return answers[-1]

        self.alice.answer = answer
        return answers


class AnswerTests(ServerTestCase):
    """What a request is answered with."""

    def test_fulfilled(self) -> None:
        response = self.assertStatus(200, makeRequest())
        self.assertEqual(response.body, FULFILL)
        self.assertEqual(self.alice.asked, [PREPARE])
        self.assertEqual(
            response.headers,
            {
                "date": "Tue, 14 Nov 2023 22:13:20 GMT",
                "content-type": "application/octet-stream",
                "keep-alive": "timeout=58",
                "content-length": str(len(FULFILL)),
            },
        )

    def test_octetByOctet(self) -> None:
        request = makeRequest()
        parts = [request[i : i + 1] for i in range(len(request))]
        self.assertEqual(self.assertStatus(200, *parts).body, FULFILL)

    def test_contentTypes(self) -> None:
        for contentType, status in (
            ("application/ilp+octet-stream", 200),
            ("Application/Octet-Stream; charset=utf-8", 200),
            ("application/octet-stream;charset=x", 200),
            ("application/json", 400),
            ("application/octet-stream2", 400),
            ("", 400),
        ):
            self.assertStatus(status, makeRequest(contentType=contentType))
        self.assertEqual(len(self.alice.asked), 3)

    def test_methods(self) -> None:
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            response = self.assertStatus(405, makeRequest(method=method))
            self.assertEqual(response.headers["allow"], "POST")
        self.assertEqual(self.alice.asked, [])

    def test_empty(self) -> None:
        self.assertStatus(400, makeRequest(b""))
        self.assertStatus(400, makeRequest(b"", length=None))
        self.assertStatus(400, makeRequest(chunked(), "Transfer-Encoding: chunked", length=None))
        self.assertEqual(self.alice.asked, [])

    def test_chunked(self) -> None:
        body = chunked(PREPARE[:3], PREPARE[3:])
        self.assertStatus(200, makeRequest(body, "Transfer-Encoding: chunked", length=None))
        self.assertEqual(self.alice.asked, [PREPARE])

    def test_later(self) -> None:
        answers = self.answerLater()
        transport = self.open()
        transport.protocol.dataReceived(makeRequest())
        self.assertEqual(transport.take(), b"")
        answers[0].callback(FULFILL)
        self.assertEqual(Response(transport.take()).body, FULFILL)

    def test_keptAlive(self) -> None:
        transport = self.open()
        for _ in range(3):
            transport.protocol.dataReceived(makeRequest())
            self.assertEqual(Response(transport.take()).body, FULFILL)
        self.assertFalse(transport.isEnding)

    def test_closeWanted(self) -> None:
        self.assertStatus(200, makeRequest(PREPARE, "Connection: close"), isClosed=True)

    def test_oldVersion(self) -> None:
        request = makeRequest().replace(b"HTTP/1.1", b"HTTP/1.0")
        self.assertStatus(200, request, isClosed=True)

    def test_pipelined(self) -> None:
        """Requests on one connection are answered one after the other, however many come."""
        transport = self.open()
        transport.protocol.dataReceived(makeRequest() * 50)
        self.assertEqual(len(self.alice.asked), 50)
        self.assertEqual(transport.take().count(b"200 OK"), 50)
        answers = self.answerLater()
        transport.protocol.dataReceived(makeRequest())
        transport.protocol.dataReceived(makeRequest() + makeRequest()[:20])
        self.assertEqual(len(answers), 1)
        answers[0].callback(FULFILL)
        self.assertEqual(len(answers), 2)
        answers[1].callback(FULFILL)
        self.assertEqual(transport.take().count(b"200 OK"), 2)

    def test_goneBeforeTheAnswer(self) -> None:
        answers = self.answerLater()
        transport = self.open()
        transport.protocol.dataReceived(makeRequest())
        transport.end()
        self.clock.advance(0)
        answers[0].callback(FULFILL)
        self.assertEqual(transport.take(), b"")
        self.successResultOf(self.server.stop())

    def test_raises(self) -> None:
        """An account that raises or fails costs its packet, and one line."""
        self.alice.answer = lambda data: 1 // 0
        self.assertRejected(self.ask(makeRequest()), "T00")
        self.alice.answer = lambda data: fail(ZeroDivisionError("a secret"))
        self.assertRejected(self.ask(makeRequest()), "T00")
        self.alice.answer = lambda data: succeed(FULFILL)
        self.assertEqual(self.ask(makeRequest()).body, FULFILL)
        self.assertEqual(len(self.events), 1)
        self.assertNotIn("a secret", repr(self.events))

    def test_pending(self) -> None:
        """An account has a limit of requests that wait, also of requesters that have gone."""
        answers = self.answerLater()
        for _ in range(2000):
            transport = self.open()
            transport.protocol.dataReceived(makeRequest())
            transport.end()
            self.clock.advance(0)
        self.assertRejected(self.ask(makeRequest()), "T03")
        self.assertEqual(len(answers), 2000)
        answers[0].callback(FULFILL)
        transport = self.open()
        transport.protocol.dataReceived(makeRequest())
        self.assertEqual(len(answers), 2001)
        for answer in answers[1:]:
            answer.callback(FULFILL)
        self.assertEqual(Response(transport.take()).body, FULFILL)


class RefusalTests(ServerTestCase):
    """Who may not, or brings too much."""

    def test_wrongToken(self) -> None:
        """A wrong token and none get the same answer, to the octet."""
        wrong = [
            makeRequest(token="wrong"),
            makeRequest(token=None),
            makeRequest(token=""),
            makeRequest(PREPARE, f"Authorization: Bearer {TOKEN}"),
            makeRequest(PREPARE, f"Authorization: Basic {TOKEN}", token=None),
            makeRequest(PREPARE, "Authorization: Bearer \xff", token=None),
        ]
        answers = set()
        for request in wrong:
            transport = self.open()
            transport.protocol.dataReceived(request)
            answers.add(transport.take())
            self.assertFalse(transport.isEnding)
            transport.end()
            self.clock.advance(0)
        self.assertEqual(len(answers), 1)
        response = Response(answers.pop())
        self.assertEqual((response.status, response.body), (401, b""))
        self.assertEqual(response.headers["www-authenticate"], "Bearer")
        self.assertEqual(self.alice.asked, [])

    def test_scheme(self) -> None:
        """The scheme's letters are of any case."""
        request = makeRequest(PREPARE, f"Authorization: bearer  {TOKEN} ", token=None)
        self.assertStatus(200, request)

    def test_beforeTheBody(self) -> None:
        """The token is looked at when the headers are here."""
        transport = self.open()
        request = makeRequest(token="wrong")
        transport.protocol.dataReceived(request[: -len(PREPARE)])
        self.assertEqual(self.admitted, ["wrong"])
        self.assertEqual(transport.take(), b"")
        transport.protocol.dataReceived(PREPARE)
        self.assertEqual(Response(transport.take()).status, 401)

    def test_expectation(self) -> None:
        """Who asks before he sends hears no at once."""
        headers = makeRequest(PREPARE, "Expect: 100-continue")[: -len(PREPARE)]
        transport = self.open()
        transport.protocol.dataReceived(headers)
        self.assertEqual(transport.take(), b"HTTP/1.1 100 Continue\r\n\r\n")
        transport.protocol.dataReceived(PREPARE)
        self.assertEqual(Response(transport.take()).status, 200)
        headers = makeRequest(PREPARE, "Expect: 100-continue", token="wrong")[: -len(PREPARE)]
        self.assertStatus(401, headers, isClosed=True)

    def test_admitRaises(self) -> None:
        def admit(token: str) -> None:
            raise ZeroDivisionError("a secret")

        self.admit = admit  # type: ignore[method-assign]
        self.assertStatus(500, makeRequest())
        self.assertNotIn("a secret", repr(self.events))

    def test_announcedTooLong(self) -> None:
        """Nothing of the body is waited for; what comes of it is ignored."""
        headers = makeRequest(b"", "Expect: 100-continue", length=1001)
        self.assertStatus(413, headers, b"x" * 1001, isClosed=True)
        self.assertStatus(401, makeRequest(b"", token="wrong", length=1001), isClosed=True)
        self.assertStatus(200, makeRequest(b"x" * 1000))

    def test_chunksTooLong(self) -> None:
        for token, status in ((TOKEN, 413), ("wrong", 401)):
            headers = makeRequest(b"", "Transfer-Encoding: chunked", token=token, length=None)
            transport = self.open()
            transport.protocol.dataReceived(headers)
            transport.protocol.dataReceived(b"400\r\n" + b"x" * 1000)
            self.assertEqual(transport.take(), b"")
            transport.protocol.dataReceived(b"x" * 24 + b"\r\n")
            response = Response(transport.take())
            self.assertEqual((response.status, transport.isEnding), (status, True))
            transport.protocol.dataReceived(b"10000\r\n" + b"x" * 0x10000 + b"\r\n0\r\n\r\n")
            self.assertEqual(transport.take(), b"")
        self.assertEqual(self.alice.asked, [])

    def test_noise(self) -> None:
        """What is not HTTP ends its connection, and nothing is logged."""
        for noise in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
            b"\x00\xff\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        ):
            transport = self.open()
            transport.protocol.dataReceived(noise)
            self.assertTrue(transport.take().startswith(b"HTTP/1.1 400 "))
            self.assertTrue(transport.isEnding)
            self.clock.advance(0)
        self.assertEqual(self.events, [])

    def test_longLine(self) -> None:
        transport = self.open()
        transport.protocol.dataReceived(b"x" * 20000)
        self.assertTrue(transport.isEnding)

    def test_hugeLength(self) -> None:
        """A number that Python itself refuses to read."""
        request = makeRequest(b"", "Content-Length: " + "9" * 5000, length=None)
        for _ in range(10):
            transport = self.open()
            transport.protocol.dataReceived(request)
            self.assertEqual(Response(transport.take()).status, 400)
            self.assertTrue(transport.isEnding)
            self.clock.advance(0)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(len(self.events), 0)

    def test_logs(self) -> None:
        """Strangers fill no log, and tokens stand in none."""
        for _ in range(100):
            self.ask(makeRequest(token="wrong-token"))
        self.assertEqual(len(self.events), 1)
        self.assertNotIn("wrong-token", repr(self.events))
        for _ in range(100):
            self.ask(makeRequest())
        self.assertEqual(len(self.events), 1)


class PageTests(ServerTestCase):
    """No page in a browser sends packets."""

    def test_origin(self) -> None:
        """Whatever its origin is, and whether or not it has a token."""
        for headers in (("Origin: https://evil.example",), ("oRIGIN: null",)):
            for token in (TOKEN, None):
                self.assertStatus(403, makeRequest(PREPARE, *headers, token=token))
        self.assertEqual(self.admitted, [])
        self.assertEqual(self.alice.asked, [])
        self.assertEqual(len(self.events), 1)
        self.assertIn("Host", self.events[0]["log_format"])

    def test_rebound(self) -> None:
        """On this machine's own address, under a name that a page had lead there."""
        for host, status in (("evil.example", 403), ("localhost:1", 200), ("[::1]", 200)):
            connection = self.endpoint.factory.buildProtocol(None)
            transport = Transport(self.clock, connection)
            transport.hostAddr = IPv4Address("TCP", "127.0.0.1", 7771)
            connection.makeConnection(transport)
            request = makeRequest().replace(b"Host: test", f"Host: {host}".encode())
            transport.protocol.dataReceived(request)
            self.assertEqual(Response(transport.take()).status, status, host)
            transport.end()
            self.clock.advance(0)


class ConnectionTests(ServerTestCase):
    """How many connections there are, and how long."""

    def test_displaced(self) -> None:
        """The oldest goes first, of those that never had a valid token."""
        known = self.open()
        known.protocol.dataReceived(makeRequest())
        self.clock.advance(1)
        strangers = [self.open(), self.open()]
        strangers[0].protocol.dataReceived(b"POST")
        self.clock.advance(1)
        strangers[0].protocol.dataReceived(b" /")
        self.open()
        self.assertEqual([each.isAborted for each in strangers], [True, False])
        # Its end has not come yet, and the next newcomer displaces another.
        self.open()
        self.assertEqual([each.isAborted for each in (known, *strangers)], [False, True, True])
        self.clock.advance(0)
        self.assertEqual(len(self.server.connections), 3)

    def test_busy(self) -> None:
        """No connection goes while its request is being answered."""
        answers = self.answerLater()
        busy = [self.open() for _ in range(3)]
        for each in busy:
            each.protocol.dataReceived(makeRequest())
        self.assertIsNone(self.endpoint.factory.buildProtocol(None))
        answers[1].callback(FULFILL)
        self.open()
        self.assertEqual([each.isAborted for each in busy], [False, True, False])
        self.assertEqual(len(self.events), 2)

    def test_slowRequest(self) -> None:
        """A request has its time from its first octet on, however it trickles."""
        transport = self.open()
        self.clock.advance(30)
        for octet in makeRequest()[:15]:
            transport.protocol.dataReceived(bytes([octet]))
            self.clock.advance(1)
        self.assertFalse(transport.isAborted)
        transport.protocol.dataReceived(b"H")
        self.clock.advance(1)
        self.assertTrue(transport.isAborted)

    def test_slowSecondRequest(self) -> None:
        transport = self.open()
        transport.protocol.dataReceived(makeRequest() + b"POST / ")
        self.clock.advance(16)
        self.assertTrue(transport.isAborted)

    def test_idle(self) -> None:
        fresh, used = self.open(), self.open()
        self.clock.pump([1] * 10)
        used.protocol.dataReceived(makeRequest())
        self.clock.pump([1] * 50)
        self.assertFalse(fresh.isAborted)
        self.clock.pump([1])
        self.assertEqual((fresh.isAborted, used.isAborted), (True, False))
        self.clock.pump([1] * 10)
        self.assertTrue(used.isAborted)
        self.assertEqual(self.server.connections, {})

    def test_neverAnswered(self) -> None:
        """An answer may take long, but not for ever."""
        self.answerLater()
        transport = self.open()
        transport.protocol.dataReceived(makeRequest())
        self.clock.advance(40)
        transport.protocol.dataReceived(b"more")
        self.clock.advance(20)
        self.assertFalse(transport.isAborted)
        self.clock.advance(1)
        self.assertTrue(transport.isAborted)

    def test_oneTimer(self) -> None:
        for _ in range(3):
            self.open().protocol.dataReceived(makeRequest())
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)


class StopTests(ServerTestCase):
    """Its beginning and its end."""

    def test_idle(self) -> None:
        self.assertIs(self.server.port, self.endpoint.port)
        transport = self.open()
        stopped = self.server.stop()
        self.assertNoResult(stopped)
        self.assertIsNone(self.endpoint.factory.buildProtocol(None))
        self.assertTrue(transport.isEnding)
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertIsNone(self.server.port)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.successResultOf(self.server.stop())

    def test_answering(self) -> None:
        """What is being answered ends first, and its connection with it."""
        answers = self.answerLater()
        transport = self.open()
        transport.protocol.dataReceived(makeRequest())
        stopped = [self.server.stop(), self.server.stop()]
        self.clock.advance(4)
        self.assertFalse(transport.isEnding)
        answers[0].callback(FULFILL)
        response = Response(transport.take())
        self.assertEqual((response.body, response.headers["connection"]), (FULFILL, "close"))
        self.assertEqual(response.headers["content-type"], "application/octet-stream")
        self.clock.advance(0)
        for each in stopped:
            self.successResultOf(each)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_answeringForEver(self) -> None:
        self.answerLater()
        transport = self.open()
        transport.protocol.dataReceived(makeRequest())
        stopped = self.server.stop()
        self.clock.pump([1] * 5)
        self.assertTrue(transport.isAborted)
        self.clock.advance(0)
        self.successResultOf(stopped)

    def test_again(self) -> None:
        """Who starts what is being stopped waits for the end, unless it is stopped once more."""
        self.failureResultOf(self.server.start(), LocalError)
        ending: Deferred[None] = Deferred()
        self.endpoint.port.stopped = ending
        stopped = self.server.stop()
        first = self.server.start()
        self.failureResultOf(self.server.start(), LocalError)
        again = self.server.stop()
        self.failureResultOf(first, CancelledError)
        second = self.server.start()
        self.assertNoResult(second)
        ending.callback(None)
        for each in (stopped, again, second):
            self.successResultOf(each)
        self.assertStatus(200, makeRequest())

    def test_portFails(self) -> None:
        self.endpoint.port.stopped = fail(ZeroDivisionError())
        self.successResultOf(self.server.stop())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_cannotListen(self) -> None:
        self.successResultOf(self.server.stop())
        self.endpoint.error = ZeroDivisionError()
        self.failureResultOf(self.server.start(), ZeroDivisionError)
        self.successResultOf(self.server.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stoppedBeforeItListens(self) -> None:
        self.successResultOf(self.server.stop())
        self.endpoint.later = Deferred()
        listening = self.server.start()
        self.failureResultOf(self.server.start(), LocalError)
        self.successResultOf(self.server.stop())
        self.failureResultOf(listening, CancelledError)

    def test_badLimits(self) -> None:
        for limits in ({"maximumConnections": 0}, {"bodyLimit": 0}):
            self.assertRaises(
                LocalError, PrepareServer, self.clock, self.endpoint, self.admit, **limits
            )
