"""
Peers of ILP over HTTP: transports in memory, and requests and responses that are written by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent
from twisted.python.failure import Failure
from zope.interface import implementer

from txilpstream.wire.ilp import encodeFulfill, encodePrepare, encodeTimestamp

TOKEN: Final = "correct-horse"
PREPARE: Final = encodePrepare(5, encodeTimestamp(1.7e9), bytes(32), "test.bob", b"hello")
FULFILL: Final = encodeFulfill(bytes(32), b"thanks")

WALL: Final = 1_700_000_000.0


class Transport(StringTransport):
    """
    One whose end comes in the next turn of the reactor, as a socket's does.

    @ivar isAborted: whether it was ended without regard to what was written.
    """

    isAborted = False
    isEnding = False

    def __init__(self, clock: Clock, protocol: Any) -> None:
        super().__init__()
        self.clock = clock
        self.protocol = protocol

    def loseConnection(self) -> None:
        """End, later."""
        super().loseConnection()
        self.end()

    def abortConnection(self) -> None:
        """End, later, but surely."""
        self.isAborted = True
        self.disconnecting = True
        self.end()

    def end(self) -> None:
        """The connection is lost in the next turn."""
        if not self.isEnding:
            self.isEnding = True
            reason = Failure(ConnectionDone())
            self.clock.callLater(0, lambda: self.protocol.connectionLost(reason))

    def take(self) -> bytes:
        """What was written since the last call."""
        value: bytes = self.value()
        self.clear()
        return value


def connect(clock: Clock, protocol: Any) -> Transport:
    """Give a protocol a transport."""
    transport = Transport(clock, protocol)
    protocol.makeConnection(transport)
    return transport


@implementer(IListeningPort)
class Port:
    """
    Stands for a port.

    @ivar stopped: what C{stopListening} returns.
    """

    def __init__(self) -> None:
        self.stopped: Deferred[None] | None = None

    def startListening(self) -> None:
        """Do nothing."""

    def stopListening(self) -> Deferred[None] | None:
        """Say that it has stopped, or will have."""
        return self.stopped

    def getHost(self) -> IPv4Address:
        """Say where."""
        return IPv4Address("TCP", "127.0.0.1", 3002)


@implementer(IStreamServerEndpoint)
class Endpoint:
    """
    Listens nowhere.

    @ivar factory: of those who listen here.
    @ivar error: with which listening fails, or None.
    @ivar later: fires with the port, if it is not None.
    """

    factory: Any = None
    error: Exception | None = None
    later: Deferred[IListeningPort] | None = None

    def __init__(self) -> None:
        self.port = Port()

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen."""
        self.factory = protocolFactory
        if self.error is not None:
            return fail(self.error)
        return self.later or succeed(self.port)


class Answerer:
    """
    Answers Prepares with a Fulfill, or as it is told.

    @ivar asked: what came.
    """

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.answer: Callable[[bytes], Any] = lambda data: FULFILL

    def answerPrepare(self, data: bytes) -> Any:
        """Answer one."""
        self.asked.append(data)
        return self.answer(data)


def makeRequest(
    body: bytes = PREPARE,
    *headers: str,
    method: str = "POST",
    token: str | None = TOKEN,
    contentType: str = "application/octet-stream",
    length: int | None = -1,
) -> bytes:
    """Write a request; a length of None leaves the header out."""
    lines = [f"{method} /any/path HTTP/1.1", "Host: test"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if contentType:
        lines.append(f"Content-Type: {contentType}")
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length < 0 else length}")
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def makeResponse(body: bytes = FULFILL, status: int = 200, *headers: str) -> bytes:
    """Write a response."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(*chunks: bytes) -> bytes:
    """Write a body in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


class Response:
    """One response as it came over the wire."""

    def __init__(self, octets: bytes) -> None:
        head, _, rest = octets.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {
            name.lower(): value for name, _, value in (each.partition(": ") for each in lines)
        }
        length = int(self.headers.get("content-length", 0))
        self.body = rest[:length]
        self.rest = rest[length:]


@implementer(ILogObserver)
class Events(list[LogEvent]):
    """What was logged."""

    def __call__(self, event: LogEvent) -> None:
        """Keep an event."""
        self.append(event)


class Ignorant(Protocol):
    """Accepts a connection and says nothing."""
