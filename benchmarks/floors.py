"""
What no plugin can be cheaper than: the octets of a packet's request and answer, sent to and fro by
Twisted's TCP, with nothing that reads them or with C{httptools} alone.
"""

from __future__ import annotations

from typing import Any

from httptools import HttpRequestParser, HttpResponseParser
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

__all__ = ["FLOORS", "Answering", "exchange"]

FLOORS = ("tcp", "httptools")
"""Each floor, by what reads its octets."""

_PACKET, _REPLY = bytes(190), bytes(110)

REQUEST = (
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1:50000\r\nAuthorization: Bearer benchmark\r\n"
    b"Content-Type: application/octet-stream\r\nAccept: application/octet-stream\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_PACKET), _PACKET)
)
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: ilp\r\nDate: Mon, 30 Nov 2026 00:00:00 GMT\r\n"
    b"Content-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n%b"
    % (len(_REPLY), _REPLY)
)
"""As long as those of a packet of money."""


class _End(Protocol):
    """Knows when a message is here: by its parser, or by its length."""

    transport: Any

    def __init__(self, parser: Any, size: int) -> None:
        self._parser = parser and parser(self)
        self._size = self._left = size

    def connectionMade(self) -> None:
        """Have small writes sent at once."""
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        """Count, or read."""
        if self._parser is not None:
            self._parser.feed_data(data)
            return
        self._left -= len(data)
        if not self._left:
            self._left = self._size
            self.on_message_complete()

    def on_message_complete(self) -> None:
        """A message is here."""


class Answering(_End):
    """Answers each request."""

    def __init__(self, kind: str) -> None:
        super().__init__(HttpRequestParser if kind == "httptools" else None, len(REQUEST))

    def on_message_complete(self) -> None:
        """Answer."""
        self.transport.write(RESPONSE)


class _Asking(_End):
    """Asks again and again."""

    def __init__(self, kind: str, counter: _Counter) -> None:
        super().__init__(HttpResponseParser if kind == "httptools" else None, len(RESPONSE))
        self._counter = counter

    def on_message_complete(self) -> None:
        """Go on, or be done."""
        self._counter.answered(self)

    def ask(self) -> None:
        """Ask."""
        self.transport.write(REQUEST)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over."""
        self._counter.connections.discard(self)
        if not self._counter.connections:
            self._counter.closed.callback(None)


class _Counter:
    """How many answers are still to come."""

    def __init__(self) -> None:
        self.connections: set[_Asking] = set()
        self.toAsk = self.asked = 0
        self.done: Deferred[None] = Deferred()
        self.closed: Deferred[None] = Deferred()

    async def run(self, count: int) -> None:
        """Ask so often, on all connections at once."""
        self.toAsk = count - len(self.connections)
        self.asked = len(self.connections)
        self.done = Deferred()
        for connection in self.connections:
            connection.ask()
        await self.done

    def answered(self, connection: _Asking) -> None:
        """One is answered."""
        if self.toAsk:
            self.toAsk -= 1
            connection.ask()
        else:
            self.asked -= 1
            if not self.asked:
                self.done.callback(None)


async def exchange(reactor: Any, port: int, kind: str, inFlight: int) -> Any:
    """
    Connect so often.

    @return: what asks so often as it is told, and what closes all.
    """
    counter = _Counter()
    for _ in range(inFlight):
        factory: Any = Factory()
        factory.noisy = False
        factory.buildProtocol = lambda _: _Asking(kind, counter)
        connection = await TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(factory)
        counter.connections.add(connection)

    async def close() -> None:
        for connection in list(counter.connections):
            connection.transport.loseConnection()
        await counter.closed

    return counter.run, close
