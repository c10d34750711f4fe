"""Tests of C{txilpstream.http.web}: our resources in a C{Site} of somebody's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.web.resource import Resource as Folder
from twisted.web.server import Site

from txilpstream.http.server import Request, Response
from txilpstream.http.web import WebResource
from txilpstream.test.support.httppeers import Events
from txilpstream.test.support.httppeers import Response as Reply
from txilpstream.test.support.virtual import VirtualTestCase

GET = b"GET /a/b%2fc?d HTTP/1.1\r\nHost: a\r\nX-Y: z\r\n"


class Answering:
    """Answers as it is told; it has nothing but what a resource needs."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.answer: Callable[[Request], Any] = lambda request: Response(
            200, b"hi", ((b"X-Z", b"1"),)
        )

    def respond(self, request: Request) -> Any:
        """Answer."""
        self.asked.append(request)
        return self.answer(request)


class WebResourceTests(VirtualTestCase):
    """What a client of a site sees, and what the resource does."""

    def setUp(self) -> None:
        """Mount one below a folder."""
        self.resource: Any = Answering()
        self.events = Events()
        globalLogPublisher.addObserver(self.events)
        self.addCleanup(globalLogPublisher.removeObserver, self.events)

    def send(self, octets: bytes, host: str = "10.0.0.1") -> Any:
        """Say this; gives the transport."""
        root = Folder()
        root.putChild(b"a", WebResource(self.resource, bodyLimit=10))
        clock: Any = Clock()
        site: Any = Site(root, timeout=None, reactor=clock)
        site.logFile = None
        channel = site.buildProtocol(None)
        transport: Any = StringTransport(IPv4Address("TCP", host, 80))
        channel.makeConnection(transport)
        transport.channel = channel
        channel.dataReceived(octets)
        return transport

    def ask(self, octets: bytes) -> Reply:
        """Say this; gives the reply."""
        return Reply(self.send(octets).value())

    def test_answered(self) -> None:
        """The path begins where the resource stands, and says no more of a query than that."""
        reply = self.ask(GET + b"\r\n")
        self.assertEqual((reply.status, reply.body, reply.rest), (200, b"hi", b""))
        self.assertEqual(reply.headers["x-z"], "1")
        self.assertNotIn("server", reply.headers)
        (request,) = self.resource.asked
        self.assertEqual((request.method, request.target), (b"GET", b"/b%2Fc?"))
        self.assertEqual(request.value(b"x-y"), b"z")
        self.assertFalse(request.isLocal)
        self.send(GET + b"\r\n", "127.0.0.1")
        self.assertTrue(self.resource.asked[-1].isLocal)

    def test_bodies(self) -> None:
        """Bodies have their limit; HEAD has none in its answer; the last answer closes."""
        post = GET.replace(b"GET", b"POST")
        self.assertEqual(self.ask(post + b"Content-Length: 2\r\n\r\nyo").status, 200)
        self.assertEqual(self.resource.asked[-1].body, b"yo")
        self.assertEqual(self.ask(post + b"Content-Length: 11\r\n\r\n" + b"x" * 11).status, 413)
        self.assertEqual(len(self.resource.asked), 1)
        octets = self.send(GET.replace(b"GET", b"HEAD") + b"\r\n").value()
        self.assertIn(b"Content-Length: 2\r\n", octets.title())
        self.assertTrue(octets.endswith(b"\r\n\r\n"))
        self.resource.answer = lambda request: Response(204, isLast=True)
        reply = self.ask(GET + b"\r\n")
        self.assertEqual((reply.status, reply.headers["connection"]), (204, "close"))

    def test_begin(self) -> None:
        """One that judges heads may say no before it is asked."""
        self.resource.begin = lambda request: Response(403)
        self.assertEqual(self.ask(GET + b"\r\n").status, 403)
        self.assertEqual(self.resource.asked, [])
        self.resource.begin = lambda request: None
        self.assertEqual(self.ask(GET + b"\r\n").status, 200)

    def test_failed(self) -> None:
        """Whatever fails is answered with 500, and its text is said to nobody."""

        def fails(request: Request) -> Any:
            raise ValueError("sesame")

        answers: tuple[Callable[[Request], Any], ...] = (fails, lambda request: None)
        for answer in answers:
            self.resource.answer = answer
            self.assertEqual(self.ask(GET + b"\r\n").status, 500)
        self.assertNotIn("sesame", repr(self.events))

    def test_gone(self) -> None:
        """When the client has gone, the resource is told, and what comes of it is left."""
        for outcome in (Response(200), Failure(ValueError("sesame"))):
            waiting: Deferred[Response] = Deferred()
            gone: list[int] = []

            def later(
                request: Request, waiting: Any = waiting, gone: list[int] = gone
            ) -> Deferred[Response]:
                request.whenGone = lambda: gone.append(1)
                result: Deferred[Response] = waiting
                return result

            self.resource.answer = later
            transport = self.send(GET + b"\r\n")
            transport.channel.connectionLost(Failure(ConnectionDone()))
            self.assertEqual(gone, [1])
            waiting.callback(outcome) if isinstance(outcome, Response) else waiting.errback(outcome)
            self.assertEqual(transport.value(), b"")
        self.assertEqual(self.flushLoggedErrors(), [])
