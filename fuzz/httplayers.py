"""
The layers of HTTP: raw octets into the parser of requests and that of answers, each with what is
around it, made anew for each input.
"""

from __future__ import annotations

from typing import Any, Final

from fuzzing import require
from layers import ILP, NOW, Layer
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txilpstream.http.client import ANSWER_LIMIT, Exchange, HTTPClient
from txilpstream.plugins.http.server import PrepareServer
from txilpstream.test.support.httppeers import (
    Answerer,
    Endpoint,
    Transport,
    chunked,
    connect,
    makeRequest,
    makeResponse,
)
from txilpstream.test.support.smuggling import ANSWERS, REQUESTS

REQUEST: Final = makeRequest(ILP[0], token="token")


def serve(*parts: bytes) -> tuple[list[bytes], bytes]:
    """Say this to a server; gives what it was asked, and what it has answered."""
    clock = Clock()
    answerer = Answerer()
    server = PrepareServer(
        clock,
        Endpoint(),
        lambda token: answerer if token == "token" else None,
        wallClock=lambda: NOW,
    )
    server.start()
    connection = server.buildProtocol(None)
    transport = connect(clock, connection)
    for part in parts:
        connection.dataReceived(part)
    clock.advance(0.1)
    if server.connections:
        connection.connectionLost(Failure(ConnectionDone()))
    server.stop()
    clock.advance(0.1)
    require(not server.connections, "a connection is kept")
    require(not clock.getDelayedCalls(), "a timer is left")
    return answerer.asked, transport.value()


def checkServer(octets: bytes) -> None:
    """
    A client says anything: it is answered or not, nothing of it is asked twice, or otherwise if it
    comes in parts; and what follows what is no request is asked by nobody.
    """
    middle = len(octets) // 2
    asked, answers = serve(octets[:middle], octets[middle:])
    require(len(answers) < 20 * len(octets) + 2000, "it answers with much more")
    require(len(asked) <= octets.count(b"HTTP/1."), "it was asked more than it was sent")
    require(serve(octets)[0] == asked, "in parts it is asked something else")


class _Dialled:
    """Connects at once."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.made: list[Any] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect."""
        protocol = factory.buildProtocol(None)
        self.made.append(connect(self.clock, protocol))
        done: Deferred[Any] = Deferred()
        done.callback(protocol)
        return done


def ask(*parts: bytes) -> tuple[int, bytes, str]:
    """Ask twice, and be answered this by each connection; gives what came of the first."""
    clock = Clock()
    dialled = _Dialled(clock)
    endpoint: Any = dialled
    client = HTTPClient(clock, endpoint, isSecure=False)
    found: list[Exchange] = []
    for _ in range(2):
        client.begin(Exchange(REQUEST, found.append))
        transport: Transport = dialled.made[-1]
        for part in parts:
            if not transport.isEnding:
                transport.protocol.dataReceived(part)
        clock.advance(0)
        require(len(dialled.made) > 1 or found or not transport.isEnding, "nobody was told")
    client.sweep()
    client.stop()
    clock.advance(0.1)
    require(not client.connections, "a connection is kept")
    require(len(found) == 2, "an exchange ended never, or twice")
    require(not clock.getDelayedCalls(), "a timer is left")
    for exchange in found:
        require(len(exchange.body) <= ANSWER_LIMIT, "a body is too long")
        require(exchange.isComplete or exchange.problem, "nobody says what is wrong")
    first = found[0]
    return first.status, first.body, first.problem if not first.isComplete else ""


def checkClient(octets: bytes) -> None:
    """A server says anything: each request ends once, and the same if the answer comes in parts."""
    middle = len(octets) // 2
    inParts = ask(octets[:middle], octets[middle:])
    whole = ask(octets)
    require(inParts[0] == whole[0] or not inParts[0] or not whole[0], "it is another answer")


HTTP: Final = (
    Layer(
        "http",
        [
            REQUEST + makeRequest(ILP[1], token="token"),
            makeRequest(chunked(ILP[0]), "Transfer-Encoding: chunked", length=None, token="token"),
            makeRequest(token="wrong"),
            makeRequest(ILP[0], "Connection: Upgrade", "Upgrade: h2c", token="token"),
            *(octets + REQUEST for octets in REQUESTS),
        ],
        checkServer,
        (),
    ),
    Layer(
        "answers",
        [
            makeResponse(ILP[1]),
            makeResponse(b"hi", 502, "Connection: close"),
            makeResponse(b"hi", 200, "Keep-Alive: timeout=5, max=3"),
            b"HTTP/1.1 100 Continue\r\n\r\n" + makeResponse(ILP[1]),
            b"HTTP/1.0 200 OK\r\n\r\nhi",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(ILP[1]),
            *ANSWERS,
        ],
        checkClient,
        (),
    ),
)
"""The layers of HTTP."""
