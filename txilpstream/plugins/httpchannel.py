"""
One connection of a listening HTTP server, and the requests on it.

This module knows how far a request has come and when it has to be refused; whose a token is and
what becomes of a Prepare, it asks its server. Of a body no more is held than the limit, and
nothing of one that is refused.
"""

# (twisted.web.http has few annotations.)
# mypy: allow-untyped-calls

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from twisted.internet.interfaces import ITCPTransport
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request

if TYPE_CHECKING:
    from txilpstream.plugins.http.server import HTTPServer, IAnswersPrepares

__all__ = ["CONTENT_TYPES", "PrepareChannel", "PrepareRequest"]

CONTENT_TYPES: Final = frozenset([b"application/octet-stream", b"application/ilp+octet-stream"])
"""What a request may say that its body is."""

ANSWER_TIME: Final = 60.0
"""Seconds that an answer may take: no hop holds a packet for more than half of that."""


class PrepareRequest(Request):
    """
    One request: judged when its headers are here, answered when its body is.

    The body of a request that is refused is read, so that the peer sees the answer, and dropped.

    @ivar isGone: whether the connection was lost.
    """

    channel: PrepareChannel
    isGone = False
    _isClosing = False
    _refusal = 0
    _answerer: IAnswersPrepares | None = None

    def gotLength(self, length: int | None) -> None:
        """All headers are here and nothing of the body is; its length may not be known."""
        server = self.channel.server
        self._body = bytearray()
        self._size = 0
        try:
            self._answerer = server.admit(self._token())
        except Exception as error:
            server.rareLog.warn("admitting a token raised {kind}", kind=type(error).__name__)
            self._refusal = 500
        else:
            if self._answerer is None:
                server.rareLog.warn("requests without a valid token")
                self._refusal = 401
            else:
                self.channel.isAuthenticated = True
        isTooLong = length is not None and length > server.bodyLimit
        # Who waits to be asked for his body gets the refusal and not the question.
        if isTooLong or (self._refusal and self.requestHeaders.hasHeader(b"expect")):
            self._close(413)

    def _token(self) -> str:
        """What the request says it may; an empty string if it says nothing that could be."""
        values = self.requestHeaders.getRawHeaders(b"authorization", [])
        if len(values) != 1:
            return ""
        scheme, _, token = values[0].partition(b" ")
        if scheme.lower() != b"bearer":
            return ""
        return token.strip().decode("utf-8", "replace")

    def handleContentChunk(self, data: bytes) -> None:
        """A part of the body is here."""
        self._size += len(data)
        if self._size > self.channel.server.bodyLimit:
            if not self._isClosing:
                self._close(413)
        elif not self._refusal:
            self._body += data

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """All of the request is here."""
        self.method, self.uri, self.path, self.clientproto = command, path, path, version
        if self._isClosing:
            return
        channel = self.channel
        channel.isAnswering = True
        channel.requestBegan = None
        if self._refusal or self._answerer is None:
            self.respond(self._refusal)
        elif command != b"POST":
            self.respond(405)
        elif not self._body or not self._isPacket():
            self.respond(400)
        else:
            channel.server.ask(self, self._answerer, bytes(self._body))

    def _isPacket(self) -> bool:
        """Whether the headers say that the body is an ILP packet."""
        value = self.requestHeaders.getRawHeaders(b"content-type", [b""])[0]
        return value.partition(b";")[0].strip().lower() in CONTENT_TYPES

    def respond(self, status: int, body: bytes = b"") -> None:
        """Answer; the connection takes its next request if both sides are for it."""
        channel = self.channel
        if channel.server.isStopping:
            channel.persistent = 0
        self.startedWriting = 1
        channel.write(channel.server.encodeResponse(status, body, not channel.persistent))
        self.finish()

    def _close(self, status: int) -> None:
        """Answer before the body is here, and read no more."""
        self._refusal = self._refusal or status
        self._isClosing = True
        self._body.clear()
        self.requestHeaders.removeHeader(b"expect")
        channel = self.channel
        channel.write(channel.server.encodeResponse(self._refusal, b"", True))
        channel.loseConnection()

    def connectionLost(self, reason: Failure) -> None:
        """The requester is gone, perhaps while its answer is pending."""
        self.isGone = True
        super().connectionLost(reason)


class PrepareChannel(HTTPChannel):
    """
    One connection and what it has cost so far.

    @ivar isAuthenticated: whether a request ever came with a valid token.
    @ivar isAnswering: whether a request is here in full and its answer is not.
    @ivar requestBegan: when the first octet came of a request that is not here in full, or None.
    @ivar lastActive: when something last came or was answered.
    """

    requestFactory = PrepareRequest
    isAuthenticated = False
    isAnswering = False
    requestBegan: float | None = None

    def __init__(self, server: HTTPServer) -> None:
        super().__init__()
        self.server = server
        self.lastActive = server.reactor.seconds()

    def connectionMade(self) -> None:
        """Count among the server's connections."""
        self.server.connections[self] = None
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """Take octets; no error in them, or about them, goes further than this."""
        if not self.isAnswering:
            self.lastActive = self.server.reactor.seconds()
            if self.requestBegan is None:
                self.requestBegan = self.lastActive
        try:
            super().dataReceived(data)
        except Exception as error:
            kind = type(error).__name__
            self.server.rareLog.warn("a request raised {kind}; its connection ends", kind=kind)
            self.abort()

    def requestDone(self, request: Request) -> None:
        """A request is answered; the next may be here already."""
        self.isAnswering = False
        self.lastActive = self.server.reactor.seconds()
        super().requestDone(request)

    def isOverdue(self, now: float) -> bool:
        """Whether its time is over: that of the answer, the request or the silence."""
        if self.isAnswering:
            return now - self.lastActive > ANSWER_TIME
        if self.requestBegan is not None and now - self.requestBegan > self.server.requestTime:
            return True
        return now - self.lastActive > self.server.idleTime

    def abort(self) -> None:
        """Lose the connection at once."""
        cast(ITCPTransport, self.transport).abortConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Count no more."""
        super().connectionLost(reason)
        self.server.forget(self)
