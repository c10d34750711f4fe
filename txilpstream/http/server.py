"""
Connections of those who ask by HTTP, and how to lose those that only cost.

What a connection may bring and how long it may last is bounded before anything looks at it; what is
answered, the resource decides.
"""

# (twisted.web has few annotations.)
# mypy: allow-untyped-calls

from __future__ import annotations

from typing import Any, Final

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Request as SiteRequest
from twisted.web.server import Site

from txilpstream.logs import RareLog

__all__ = ["BODY_LIMIT", "CONNECTION_TIME", "SILENCE_TIME", "Connections"]

BODY_LIMIT: Final = 1024
"""Octets of a request's body, which means nothing."""

CONNECTION_TIME: Final = 60.0
"""Seconds that a connection may last in all: whoever asks has one question."""

SILENCE_TIME: Final = 15.0
"""Seconds without a sign of life after which a connection is lost."""

_log = Logger()


class _Request(SiteRequest):
    """A request whose body is refused before it fills memory or a disk."""

    _size = 0
    _isRefused = False

    def gotLength(self, length: int | None) -> None:
        """All headers are here."""
        isTooLong = length is not None and length > BODY_LIMIT
        super().gotLength(0)  # what is kept is short, whatever was announced
        if isTooLong:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        """A part of the body is here."""
        self._size += len(data)
        if self._isRefused:
            return
        if self._size > BODY_LIMIT:
            self._refuse()
        else:
            super().handleContentChunk(data)

    def _refuse(self) -> None:
        self._isRefused = True
        # Who waits to be asked for his body gets the refusal and not the question.
        self.requestHeaders.removeHeader(b"expect")
        self.channel.write(
            b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        self.channel.loseConnection()

    def write(self, data: bytes) -> None:
        """Whatever answers, it does not say which version of what it is."""
        self.responseHeaders.removeHeader(b"server")
        super().write(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """All of the request is here."""
        if not self._isRefused:
            super().requestReceived(command, path, version)


class _Site(Site):
    """A site that writes no log of who asked."""

    noisy = False
    displayTracebacks = False

    def log(self, request: Request) -> None:
        """Whom somebody wants to pay is nobody else's business."""


class _Connection(ProtocolWrapper):
    """One connection, which takes with it what is wrong with it."""

    opened = 0.0
    lastActive = 0.0

    def dataReceived(self, data: bytes) -> None:
        """No error in these octets, or about them, goes further than this."""
        self.lastActive = self.factory.now()
        try:
            super().dataReceived(data)
        except Exception as error:
            self.factory.complain(error)
            self.abort()

    def abort(self) -> None:
        """Lose the connection at once."""
        transport: Any = self.transport
        transport.abortConnection()


class Connections(WrappingFactory):
    """All connections, from the oldest to the newest in C{protocols}."""

    noisy = False
    protocol = _Connection

    def __init__(self, resource: Resource, reactor: IReactorTime, maximum: int) -> None:
        """
        @param maximum: how many connections there may be.
        """
        # The sweep is the only timer: none for each connection.
        site = _Site(resource, requestFactory=_Request, timeout=None, reactor=reactor)
        super().__init__(site)
        self._reactor = reactor
        self._maximum = maximum
        self._rareLog = RareLog(reactor, _log)

    def now(self) -> float:
        """The reactor's time."""
        return self._reactor.seconds()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """The oldest connection makes room for the newest: it had its time."""
        while len(self.protocols) >= self._maximum:
            self._rareLog.warn("connections lost for newer ones: there are too many")
            self._lose(next(iter(self.protocols)))
        protocol: Any = super().buildProtocol(addr)
        protocol.opened = protocol.lastActive = self.now()
        return protocol

    def _lose(self, connection: Any) -> None:
        # Its end may take a turn of the reactor: it counts no more from now on.
        self.protocols.pop(connection)
        connection.abort()

    def unregisterProtocol(self, p: Any) -> None:
        """A connection is gone, perhaps because it was lost here."""
        self.protocols.pop(p, None)

    def complain(self, error: Exception) -> None:
        """Take note of an error that a request caused."""
        kind = type(error).__name__
        self._rareLog.warn("a request raised {kind}; its connection ends", kind=kind)

    def sweep(self) -> None:
        """Lose the connections whose time is over."""
        oldest, silent = self.now() - CONNECTION_TIME, self.now() - SILENCE_TIME
        for connection in list(self.protocols):
            if connection.opened < oldest or connection.lastActive < silent:
                self._lose(connection)

    def abort(self) -> None:
        """Lose all."""
        for connection in list(self.protocols):
            self._lose(connection)
