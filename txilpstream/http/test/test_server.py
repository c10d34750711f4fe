"""
Tests of C{txilpstream.http.server}: what a connection may bring, how long it may last, and who
gives way.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import Clock, deferLater
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase

from txilpstream.errors import LocalError
from txilpstream.http.listener import unsent
from txilpstream.http.server import HEAD_LIMIT, HTTPServer, Request, Response
from txilpstream.test.support.httppeers import WALL, Endpoint, Events, Transport, chunked, connect
from txilpstream.test.support.httppeers import Response as Reply
from txilpstream.test.support.smuggling import REQUESTS
from txilpstream.test.support.strategies import forAll
from txilpstream.test.support.virtual import VirtualTestCase

GET = b"GET /a?b HTTP/1.1\r\nHost: a\r\n"


class Resource:
    """
    Answers with what was asked, or as it is told.

    @ivar begun: requests whose heads were here.
    @ivar asked: requests that were here in full.
    """

    def __init__(self) -> None:
        self.begun: list[Request] = []
        self.asked: list[Request] = []
        self.refuse: Callable[[Request], Response | None] = lambda request: None
        self.answer: Callable[[Request], Any] = lambda request: Response(200, request.body)

    def begin(self, request: Request) -> Response | None:
        """Own a connection by a header."""
        self.begun.append(request)
        request.owner = request.value(b"owner")
        return self.refuse(request)

    def respond(self, request: Request) -> Any:
        """Answer."""
        self.asked.append(request)
        return self.answer(request)


class ServerTestCase(VirtualTestCase):
    """A server in virtual time, without sockets."""

    limits: dict[str, Any] = {"maximumConnections": 4, "bodyLimit": 100}

    def setUp(self) -> None:
        """Listen."""
        self.clock = Clock()
        self.clock.advance(1000)
        self.resource = Resource()
        self.endpoint = Endpoint()
        self.server = HTTPServer(
            self.clock, self.endpoint, self.resource, wallClock=lambda: WALL, **self.limits
        )
        self.events = Events()
        globalLogPublisher.addObserver(self.events)
        self.addCleanup(globalLogPublisher.removeObserver, self.events)
        self.successResultOf(self.server.start())

    def open(self, *parts: bytes) -> Transport:
        """A connection, on which this is said."""
        transport = connect(self.clock, self.endpoint.factory.buildProtocol(None))
        for part in parts:
            transport.protocol.dataReceived(part)
        return transport

    def replies(self, transport: Transport) -> list[Reply]:
        """What was answered since the last call."""
        found, octets = [], transport.take()
        while octets:
            found.append(Reply(octets))
            octets = found[-1].rest
        return found

    def later(self) -> list[Deferred[Response]]:
        """Have requests answered by Deferreds, which are appended to what is returned."""
        answers: list[Deferred[Response]] = []

        def answer(request: Request) -> Deferred[Response]:
            answers.append(Deferred())
            return answers[-1]

        self.resource.answer = answer
        return answers


class RequestTests(ServerTestCase):
    """What a resource sees."""

    def test_head(self) -> None:
        """Method, target and headers, whose names are in lower case."""
        self.open(GET + b"X-One: 1\r\nx-two: a\r\nX-TWO: b\r\n\r\n")
        (request,) = self.resource.asked
        self.assertIs(request, self.resource.begun[0])
        self.assertEqual((request.method, request.target), (b"GET", b"/a?b"))
        self.assertEqual(request.values(b"x-two"), [b"a", b"b"])
        self.assertEqual(request.value(b"x-one"), b"1")
        self.assertIsNone(request.value(b"x-two"))
        self.assertIsNone(request.value(b"x-three"))

    def test_octetByOctet(self) -> None:
        """However it comes."""
        octets = GET + b"Content-Length: 5\r\n\r\nhello"
        transport = self.open(*(bytes([octet]) for octet in octets))
        (reply,) = self.replies(transport)
        self.assertEqual((reply.status, reply.body), (200, b"hello"))
        self.assertEqual(len(self.resource.begun), 1)

    def test_trailers(self) -> None:
        """What comes after a body in chunks is no header, and has its limit."""
        head = GET + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"
        transport = self.open(head + b"Owner: mallory\r\n\r\n" + GET + b"\r\n")
        self.assertEqual([reply.body for reply in self.replies(transport)], [b"hi", b""])
        self.assertEqual([request.owner for request in self.resource.asked], [None, None])
        transport = self.open(head, *([b"X: " + b"y" * 1000 + b"\r\n"] * 20))
        self.assertEqual(self.replies(transport)[-1].status, 431)
        self.assertTrue(transport.isEnding)

    def test_oneAfterTheOther(self) -> None:
        """Requests are answered in their order, those that come early when their turn comes."""
        transport = self.open((GET + b"Content-Length: 1\r\n\r\n1") * 3)
        self.assertEqual([reply.body for reply in self.replies(transport)], [b"1"] * 3)
        answers = self.later()
        transport.protocol.dataReceived(GET + b"\r\n")
        transport.protocol.dataReceived(GET + b"Content-Length: 2\r\n\r\n2")
        transport.protocol.dataReceived(b"3")
        self.assertEqual(transport.producerState, "paused")
        self.assertEqual(len(self.resource.begun), 4)
        answers[0].callback(Response(200, b"first"))
        self.assertEqual(transport.producerState, "producing")
        self.assertEqual(self.resource.asked[-1].body, b"23")
        answers[1].callback(Response(200, b"second"))
        self.assertEqual([each.body for each in self.replies(transport)], [b"first", b"second"])

    def test_impatient(self) -> None:
        """What is sent with a request whose answer takes time is not heard, and never half."""
        for following in (GET + b"\r\n", GET, b"G", b"nonsense\r\n\r\n", b"\x00" * 99):
            answers = self.later()
            transport = self.open(GET + b"Content-Length: 1\r\n\r\n1" + following)
            self.assertEqual((transport.take(), len(answers)), (b"", 1))
            transport.protocol.dataReceived(b"\r\n" + GET + b"\r\n")
            answers[0].callback(Response(200))
            (reply,) = self.replies(transport)
            self.assertEqual((reply.status, reply.headers["connection"]), (200, "close"))
            self.assertTrue(transport.isEnding)
            self.assertEqual(len(answers), 1)
            self.clock.advance(0)

    def test_expected(self) -> None:
        """Who waits to be asked for his body is asked, or refused, or told that it is too long."""
        head = GET + b"Expect: 100-continue\r\nContent-Length: "
        transport = self.open(head + b"2\r\n\r\n")
        self.assertEqual(transport.take(), b"HTTP/1.1 100 Continue\r\n\r\n")
        transport.protocol.dataReceived(b"ok")
        self.assertEqual(self.replies(transport)[0].body, b"ok")
        transport = self.open(head + b"101\r\n\r\n")
        self.assertEqual(self.replies(transport)[0].status, 413)
        self.resource.refuse = lambda request: Response(401)
        transport = self.open(head + b"2\r\n\r\n")
        self.assertEqual(self.replies(transport)[0].status, 401)
        self.assertTrue(transport.isEnding)
        self.assertEqual(len(self.resource.asked), 1)

    def test_refused(self) -> None:
        """The body of a request that is refused is read and dropped; the connection goes on."""
        self.resource.refuse = lambda request: Response(401)
        transport = self.open(GET + b"Content-Length: 2\r\n\r\n")
        self.assertEqual(transport.take(), b"")
        transport.protocol.dataReceived(b"ok")
        self.assertEqual(self.replies(transport)[0].status, 401)
        self.assertFalse(transport.isEnding)
        self.assertEqual(self.resource.asked, [])

    def test_closed(self) -> None:
        """The connection ends with an answer if either side says so."""
        for head, headers in ((b"GET / HTTP/1.0\r\n", ()), (GET + b"Connection: close\r\n", ())):
            transport = self.open(head + b"\r\n")
            self.assertEqual(self.replies(transport)[0].headers["connection"], "close", headers)
            self.assertTrue(transport.isEnding)
        self.resource.answer = lambda request: Response(200, isLast=True)
        self.assertTrue(self.open(GET + b"\r\n").isEnding)

    def test_gone(self) -> None:
        """A resource may want to know that nobody waits any more; its answer goes nowhere."""
        gone: list[int] = []
        answers: list[Deferred[Response]] = []

        def answer(request: Request) -> Deferred[Response]:
            request.whenGone = lambda: gone.append(1)
            answers.append(Deferred())
            return answers[-1]

        self.resource.answer = answer
        transport = self.open(GET + b"\r\n")
        transport.end()
        self.clock.advance(0)
        self.assertEqual(gone, [1])
        answers[0].callback(Response(200))
        self.assertEqual(transport.take(), b"")
        self.assertEqual(self.server.connections, {})


class StrictTests(ServerTestCase):
    """What two readers could read differently is read by none."""

    def test_refused(self) -> None:
        """Each ends its connection, and no resource sees it."""
        for octets in REQUESTS:
            transport = self.open(octets + GET + b"\r\n")
            self.assertTrue(transport.isEnding, octets)
            answered = [reply.status for reply in self.replies(transport)]
            self.assertIn(answered, ([400], [405], [501], [505]), octets)
            self.clock.advance(0)
            seen = [request.target for request in self.resource.asked]
            self.assertEqual(seen, [], octets)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_upgrade(self) -> None:
        """Who would rather speak something else is answered in HTTP, and heard no further."""
        for head in (
            GET + b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
            b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n",
        ):
            transport = self.open(head + b"\r\n" + GET + b"\r\n")
            (reply,) = self.replies(transport)
            self.assertEqual((reply.status, reply.headers["connection"]), (200, "close"))
            self.assertTrue(transport.isEnding)

    def test_upgradeWithBody(self) -> None:
        """The body of one that would rather speak something else is read, however it comes."""
        wish = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
        for octets in (
            GET + wish + b"Content-Length: 2\r\n\r\nhi",
            GET + wish + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        ):
            for cut in (0, 20, len(octets) - 1):
                transport = self.open(octets[:cut], octets[cut:], GET + b"\r\n")
                replies = self.replies(transport)
                self.assertEqual([reply.body for reply in replies], [b"hi", b""], (octets, cut))
                self.assertEqual(self.resource.asked[-2].target, b"/a?b")
        connect = b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
        self.assertTrue(self.open(connect).isEnding)

    def test_longHead(self) -> None:
        """A head has its limit, whether it comes at once or without end."""
        long = b"X: " + b"y" * HEAD_LIMIT + b"\r\n"
        many = b"".join(b"X%d: y\r\n" % number for number in range(3000))
        for head in (long, many):
            transport = self.open(GET + head + b"\r\n")
            self.assertEqual(self.replies(transport)[-1].status, 431)
        for endless in (b"y", b"X: " + b"y" * 50 + b"\r\n"):
            transport = self.open(GET)
            for _ in range(HEAD_LIMIT):
                if not transport.isEnding:
                    transport.protocol.dataReceived(endless)
            self.assertEqual(self.replies(transport)[-1].status, 431)
            self.assertTrue(transport.isEnding)
        transport = self.open(*([b"\r\n" * 1000] * 10))
        self.assertTrue(transport.isEnding)
        self.assertEqual(self.resource.begun, [])

    def test_manyHeaders(self) -> None:
        """A header costs more than its octets: their number has a limit, in trailers too."""
        lines = b"".join(b"X%d: y\r\n" % number for number in range(101))
        self.assertEqual(self.replies(self.open(GET + lines + b"\r\n"))[0].status, 431)
        self.assertEqual(self.resource.begun, [])
        head = GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
        self.assertEqual(self.replies(self.open(head + lines + b"\r\n"))[0].status, 431)
        self.assertEqual(self.resource.asked, [])
        few = b"".join(b"X%d: y\r\n" % number for number in range(98))
        self.assertEqual(self.replies(self.open(GET + few + b"\r\n"))[0].status, 200)

    def test_endlessTrailer(self) -> None:
        """What comes beside a body is bounded: of a trailer, or a chunk's line, without end."""
        for begin in (b"0\r\nX: ", b"1;", b"0\r\n"):
            transport = self.open(GET + b"Transfer-Encoding: chunked\r\n\r\n" + begin)
            count = 0
            while not transport.isEnding and count < 100:
                count += 1
                transport.protocol.dataReceived(b"a" * 1000)
            self.assertTrue(transport.isEnding, begin)
            self.assertLess(count, 20)
            self.assertEqual(self.replies(transport)[0].status // 100, 4)
        self.assertEqual(self.resource.asked, [])

    def test_smallChunks(self) -> None:
        """A body may come in small chunks."""
        body = chunked(*[b"xx"] * 50)
        transport = self.open(GET + b"Transfer-Encoding: Chunked\r\n\r\n", body)
        self.assertEqual(self.replies(transport)[0].body, b"xx" * 50)

    def test_numbers(self) -> None:
        """A length of many digits, or a coding that is not read here."""
        transport = self.open(GET + b"Content-Length: " + b"0" * 5000 + b"1\r\n\r\nx")
        self.assertEqual(self.replies(transport)[0].status, 400)
        transport = self.open(GET + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
        self.assertEqual(self.replies(transport)[0].status, 501)
        self.assertEqual(self.resource.asked, [])

    def test_body(self) -> None:
        """A body has its limit, announced or not; what comes after it is ignored."""
        transport = self.open(GET + b"Content-Length: 101\r\n\r\n", b"x" * 101 + GET + b"\r\n")
        self.assertEqual([reply.status for reply in self.replies(transport)], [413])
        head = GET + b"Transfer-Encoding: chunked\r\n\r\n"
        transport = self.open(head, chunked(b"x" * 60)[:-5], chunked(b"x" * 60))
        self.assertEqual([reply.status for reply in self.replies(transport)], [413])
        self.assertEqual(self.resource.asked, [])
        transport = self.open(GET + b"Content-Length: 100\r\n\r\n" + b"x" * 100)
        self.assertEqual(self.replies(transport)[0].body, b"x" * 100)

    @forAll(st.lists(st.binary(max_size=200), max_size=6), examples=200)
    def test_anything(self, parts: list[bytes]) -> None:
        """Any octets: no error goes further, and what was answered is HTTP."""
        transport = self.open(*parts)
        for reply in self.replies(transport):
            self.assertIn(reply.status, (200, 400, 413, 431))
        transport.end()
        self.clock.advance(0)
        self.assertEqual(self.server.connections, {})

    @forAll(st.data(), examples=200)
    def test_cut(self, data: st.DataObject) -> None:
        """Requests are the same however they are cut into reads."""
        octets = (
            GET + b"Content-Length: 3\r\n\r\nabc" + GET + b"Transfer-Encoding: chunked\r\n\r\n"
            b"2\r\nhi\r\n0\r\nT: x\r\n\r\n" + GET + b"\r\n"
        )
        cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=6)))
        parts = [octets[a:b] for a, b in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
        transport = self.open(*parts)
        self.assertEqual([each.body for each in self.replies(transport)], [b"abc", b"hi", b""])
        transport.end()
        self.clock.advance(0)


class UnreadTests(TestCase):
    """Whoever asks and does not read."""

    async def test_unread(self) -> None:
        """His answers are kept for him, and he is not heard until he has read them."""
        reactor: Any = installed
        endpoint: Any = serverFromString(reactor, "tcp:0:interface=127.0.0.1")
        server = HTTPServer(reactor, endpoint, Resource())
        await server.start()
        self.addCleanup(server.stop)
        port: Any = server.port
        client = socket.create_connection(("127.0.0.1", port.getHost().port))
        self.addCleanup(client.close)
        client.setblocking(False)
        request, sent, idle = GET + b"\r\n", 0, 0
        octets = request * 1_000_000
        while idle < 20:
            await deferLater(reactor, 0.01)
            idle += 1
            with contextlib.suppress(BlockingIOError):
                while sent < len(octets):
                    sent += client.send(octets[sent : sent + 65_536])
                    idle = 0
        self.assertLess(sent, len(octets))
        (connection,) = server.connections
        held: Any = connection
        self.assertLess(unsent(held.transport) or 0, 2_000_000)
        answered, idle = 0, 0
        while idle < 20:
            await deferLater(reactor, 0.01)
            idle += 1
            with contextlib.suppress(BlockingIOError):
                while found := client.recv(65_536):
                    answered += found.count(b"\n\r\n")
                    idle = 0
        # (Some ends of heads are cut by what is read at once.)
        self.assertGreater(answered, sent // len(request) * 0.95)
        self.assertLessEqual(answered, sent // len(request))


class ResponseTests(ServerTestCase):
    """What is written."""

    def test_one(self) -> None:
        """One write, with a date and a length and what the resource adds."""
        self.resource.answer = lambda request: Response(200, b"hi", ((b"X-Y", b"z"),))
        transport = self.open(GET + b"\r\n")
        self.assertEqual(
            transport.take(),
            b"HTTP/1.1 200 OK\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\nX-Y: z\r\n"
            b"Keep-Alive: timeout=58\r\nContent-Length: 2\r\n\r\nhi",
        )

    def test_date(self) -> None:
        """It is that of the second."""
        self.server._wallClock = lambda: WALL + 3600
        self.clock.advance(1)
        self.assertIn(b"23:13:20", self.open(GET + b"\r\n").take())

    def test_withoutBody(self) -> None:
        """C{HEAD} gets the length and no body; 204 has neither."""
        transport = self.open(GET.replace(b"GET", b"HEAD") + b"\r\n")
        self.resource.answer = lambda request: Response(200, b"hi")
        transport.protocol.dataReceived(GET.replace(b"GET", b"HEAD") + b"\r\n")
        octets = transport.take()
        self.assertTrue(octets.endswith(b"Content-Length: 2\r\n\r\n"), octets)
        self.resource.answer = lambda request: Response(204)
        transport.protocol.dataReceived(GET + b"\r\n")
        self.assertNotIn(b"Content-Length", transport.take())

    def test_unknownStatus(self) -> None:
        """A status without a name has a reason all the same."""
        self.resource.answer = lambda request: Response(299)
        self.assertTrue(self.open(GET + b"\r\n").take().startswith(b"HTTP/1.1 299 Status\r\n"))

    def test_nothing(self) -> None:
        """What is no response is answered with 500, at once or later."""
        nothing: Deferred[Any] = Deferred()
        nothing.callback(None)
        for answer in (lambda request: None, lambda request: nothing):
            self.resource.answer = answer
            self.assertEqual(self.replies(self.open(GET + b"\r\n"))[0].status, 500)

    def test_failed(self) -> None:
        """What fails in a resource is answered with 500, and said rarely, without its words."""

        def fails(request: Request) -> Any:
            raise ZeroDivisionError("sesame")

        failing: Deferred[Response] = Deferred()
        for answer in (fails, lambda request: failing):
            self.resource.answer = answer
            transport = self.open(GET + b"\r\n")
            if answer is not fails:
                failing.errback(ValueError("sesame"))
            self.assertEqual(self.replies(transport)[0].status, 500)
        self.resource.refuse = fails
        self.assertEqual(self.replies(self.open(GET + b"\r\n"))[0].status, 500)
        self.assertNotIn("sesame", repr(self.events))
        self.assertEqual(len(self.events), 1)


class ShareTests(ServerTestCase):
    """Who gives way when the table is full."""

    limits = {"maximumConnections": 6}

    def own(self, owner: str, count: int = 1) -> list[Transport]:
        """Connections of an owner's."""
        head = GET + f"Owner: {owner}\r\n\r\n".encode()
        return [self.open(head) for _ in range(count)]

    def test_closing(self) -> None:
        """One that is being closed, and is not gone since its peer does not read, gives way too."""
        for _ in range(20):
            transport = self.open()
            transport.isEnding = True  # its end never comes
            transport.protocol.dataReceived(b"nonsense\r\n\r\n")
        self.assertTrue(transport.disconnecting)

    def test_strangersFirst(self) -> None:
        """A stranger gives way before an owner, the oldest before others, whatever it says."""
        (alice,) = self.own("alice")
        strangers = []
        for _ in range(5):
            self.clock.advance(1)
            strangers.append(self.open(GET + b"\r\n"))
        strangers[0].protocol.dataReceived(GET + b"\r\n")
        self.own("bob")
        self.assertEqual([each.isAborted for each in strangers], [True, *[False] * 4])
        self.assertFalse(alice.isAborted)

    def test_answeringStrangers(self) -> None:
        """Strangers hold no money: those whose answers are pending give way too."""
        self.later()
        strangers = [self.open(GET + b"\r\n") for _ in range(6)]
        self.open()
        self.assertEqual(sum(each.isAborted for each in strangers), 1)

    def test_share(self) -> None:
        """An owner has as many as leave others a place; beyond that it displaces itself."""
        alice = self.own("alice", 3)
        self.own("bob")
        # Three owners' places for two: two each.
        alice += self.own("alice")
        self.assertEqual([each.isAborted for each in alice], [True, False, False, False])
        alice += self.own("alice")
        self.assertEqual(sum(each.isAborted for each in alice), 2)

    def test_refusedBeyond(self) -> None:
        """One whose connections all wait for answers gets no more: it is told, and lost nothing."""
        self.later()
        mallory = self.own("mallory", 5)
        self.assertEqual([len(self.replies(each)) for each in mallory], [0, 0, 0, 1, 1])
        self.assertEqual([each.isEnding for each in mallory], [False] * 3 + [True] * 2)
        self.assertEqual(len(self.resource.asked), 3)
        self.clock.advance(0)
        (alice,) = self.own("alice")
        self.assertFalse(alice.isEnding)

    def test_many(self) -> None:
        """However many one owner and strangers open, another keeps its place."""
        answers = self.later()
        (alice,) = self.own("alice")
        for number in range(600):
            self.own("mallory")
            self.open()
            if number % 7 == 0:
                answers[0].callback(Response(200))
                self.assertEqual(self.replies(alice)[0].status, 200)
                answers.clear()
                alice.protocol.dataReceived(GET + b"Owner: alice\r\n\r\n")
                answers[:] = [answers[-1]]
            self.clock.advance(0)
        self.assertFalse(alice.isEnding)
        self.assertLessEqual(len(self.server.connections), 6)

    def test_oneOwner(self) -> None:
        """Where there is one owner only, a share of all can be given."""
        self.server._share = 6
        self.later()
        self.assertEqual([each.isEnding for each in self.own("alice", 6)], [False] * 6)
        self.assertIsNone(self.endpoint.factory.buildProtocol(None))

    def test_changed(self) -> None:
        """A connection may come to be another's: it counts for that one then."""
        transport = self.open(GET + b"Owner: alice\r\n\r\n" + GET + b"Owner: bob\r\n\r\n")
        self.assertEqual([each.owner for each in self.server.connections], [b"bob"])
        transport.end()
        self.clock.advance(0)
        self.assertEqual(self.server.connections, {})


class TimeTests(ServerTestCase):
    """How long a connection may last."""

    limits = {"idleTime": 20.0, "requestTime": 5.0}

    def test_secondRequest(self) -> None:
        """The time of a request begins with it, whatever it came with."""
        transport = self.open(GET + b"\r\n" + GET)
        self.clock.pump([1] * 5)
        self.assertFalse(transport.isAborted)
        self.clock.advance(1)
        self.assertTrue(transport.isAborted)

    def test_emptyLines(self) -> None:
        """Empty lines before a request are octets of it."""
        transport = self.open()
        for _ in range(6):
            transport.protocol.dataReceived(b"\r\n")
            self.clock.advance(1)
        self.assertTrue(transport.isAborted)

    def test_strangers(self) -> None:
        """A connection that belongs to nobody has a minute in all, whatever is asked on it."""
        owned, stranger = self.open(GET + b"Owner: alice\r\n\r\n"), self.open()
        for _ in range(7):
            for transport in (owned, stranger):
                transport.protocol.dataReceived(GET + b"\r\n")
            self.clock.pump([1.0] * 9)
        self.assertEqual((owned.isAborted, stranger.isAborted), (False, True))

    def test_badLimits(self) -> None:
        """Numbers that are none."""
        bad: tuple[dict[str, Any], ...] = (
            {"bodyLimit": 0},
            {"maximumConnections": 0},
            {"share": 0},
        )
        for limits in bad:
            with self.assertRaises(LocalError):
                HTTPServer(self.clock, self.endpoint, self.resource, **limits)
