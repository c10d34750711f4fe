"""
ILP over HTTP, the listening side (RFC 35, with the answer in the response).

Whose a token is, and what becomes of a Prepare, is decided by whoever the server was given; no
packet is read here. A stranger learns nothing but "no": a wrong token and a missing one get the
same answer.

Memory is bounded before it is used: connections by their number, headers by Twisted's own limits,
a body by the octets that were announced and by those that came, and work by the requests that one
account may have pending.
"""

# (twisted.web.http has few annotations.)
# mypy: allow-untyped-calls

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IReactorTime,
    IStreamServerEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES, HTTPChannel, Request, datetimeToString

from txilpstream.amounts import checkAmount
from txilpstream.errors import LocalError
from txilpstream.logs import RareLog
from txilpstream.waiters import Waiters
from txilpstream.wire.ilp import rejectWith

__all__ = [
    "BODY_LIMIT",
    "CONTENT_TYPES",
    "HTTPServer",
    "IAnswersPrepares",
    "PrepareChannel",
    "PrepareRequest",
]

CONTENT_TYPES: Final = frozenset([b"application/octet-stream", b"application/ilp+octet-stream"])
"""What a request may say that its body is."""

ANSWER_TIME: Final = 60.0
"""Seconds that an answer may take: no hop holds a packet for more than half of that."""


BODY_LIMIT: Final = 40_000
"""Octets of a body: an ILP packet has some 34,000 at most, and deployed peers take this many."""

PENDING_LIMIT: Final = 2000
"""Requests of one account that may wait for their answers; more are rejected with T03."""

SWEEP_INTERVAL: Final = 1.0
"""Seconds between two looks at all connections: limits of time are kept to so much."""

STOP_TIME: Final = 5.0
"""Seconds that requests may take to be answered after L{HTTPServer.stop}."""

_log = Logger()


class IAnswersPrepares(Protocol):
    """What a token stands for; each L{PluginBase <txilpstream.plugins.base.PluginBase>} is one."""

    def answerPrepare(self, data: bytes, /) -> bytes | Deferred[bytes]:
        """Give the reply to a Prepare."""


class HTTPServer:
    """
    Answers Prepares that come by C{POST}, on every path.

    A request without a valid token is answered with 401, one that is not C{POST} with 405, one
    whose content is no ILP packet by its type, or empty, with 400, and one whose body is too long
    with 413 and the end of its connection. All else gets 200 with a Fulfill or a Reject.

    When the table of connections is full, a new one displaces the one that was longest without a
    sign of life, of those that have no answer pending: first of those that never had a valid token.

    @ivar port: where it listens, or None.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        endpoint: IStreamServerEndpoint,
        admit: Callable[[str], IAnswersPrepares | None],
        *,
        maximumConnections: int = 500,
        requestTime: float = 15.0,
        idleTime: float = 60.0,
        bodyLimit: int = BODY_LIMIT,
        wallClock: Callable[[], float] = time.time,
    ) -> None:
        """
        @param admit: takes a token, or an empty string, and returns who answers its Prepares; None
            if nobody has it. It must compare tokens in constant time.
        @param requestTime: seconds from the first octet of a request to its last.
        @param idleTime: seconds that a connection may be silent between requests.
        @param bodyLimit: octets of a request's body.
        @param wallClock: seconds since the epoch, for the C{Date} of responses.
        @raise LocalError: if a limit is not a number of its kind.
        """
        self.reactor = reactor
        self.admit = admit
        self.requestTime = requestTime
        self.idleTime = idleTime
        self.bodyLimit = checkAmount("bodyLimit", bodyLimit, minimum=1)
        self.rareLog = RareLog(reactor, _log)
        self.connections: dict[PrepareChannel, None] = {}
        self._leaving: set[PrepareChannel] = set()
        self.port: IListeningPort | None = None
        self.isStopping = False
        self._endpoint = endpoint
        self._maximum = checkAmount("maximumConnections", maximumConnections, minimum=1)
        self._wallClock = wallClock
        self._pending: dict[IAnswersPrepares, int] = {}
        self._busy = rejectWith("T03")
        self._internalError = rejectWith("T00")
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = reactor
        self._listening: Deferred[IListeningPort] | None = None
        self._stopDeadline = 0.0
        self._stopped: Waiters[None] = Waiters()
        self._head = b""

    def start(self) -> Deferred[None]:
        """
        Begin to listen.

        @return: fires when this listens; fails as the endpoint does, or with L{LocalError} if it
            listens already or is being stopped.
        """
        if self._listening is not None or self.port is not None or self.isStopping:
            return fail(LocalError("this server listens, or is being stopped: wait for stop()"))
        self._date()
        listening = self._listening = self._endpoint.listen(_Factory(self))
        return listening.addCallbacks(self._cbListening, self._ebListening)

    def _cbListening(self, port: IListeningPort) -> None:
        self._listening = None
        self.port = port
        self._sweeping.start(SWEEP_INTERVAL, now=False)

    def _ebListening(self, failure: Failure) -> Failure:
        self._listening = None
        return failure

    def stop(self) -> Deferred[None]:
        """
        Listen no more, and close all connections.

        Requests that are being answered are given L{STOP_TIME} to end.

        @return: fires when the port and all connections are gone.
        """
        if self._listening is not None:
            self._listening.cancel()
        if self.port is None and not self.isStopping:
            return succeed(None)
        stopped = self._stopped.add()
        if self.port is None or self.isStopping:
            return stopped
        self.isStopping = True
        self._stopDeadline = self.reactor.seconds() + STOP_TIME
        closed: object = self.port.stopListening()
        for channel in list(self.connections):
            if not channel.isAnswering:
                channel.loseConnection()
        if isinstance(closed, Deferred):
            closed.addBoth(self._cbPortClosed)
        else:
            self._cbPortClosed(None)
        return stopped

    def _cbPortClosed(self, result: object) -> None:
        if isinstance(result, Failure):
            _log.failure("the port did not close as it should", result)
        self.port = None
        self._checkStopped()

    def forget(self, channel: PrepareChannel) -> None:
        """Take note that a connection is gone."""
        self.connections.pop(channel, None)
        self._leaving.discard(channel)
        self._checkStopped()

    def _checkStopped(self) -> None:
        if self.isStopping and self.port is None and not self.connections:
            self.isStopping = False
            self._sweeping.stop()
            self._stopped.fire(None)

    def makeRoom(self) -> bool:
        """Whether one more connection can be; another may be lost for it."""
        if self.isStopping:
            return False
        if len(self.connections) - len(self._leaving) < self._maximum:
            return True
        idle = [
            channel
            for channel in self.connections
            if not channel.isAnswering and channel not in self._leaving
        ]
        if not idle:
            self.rareLog.warn("connections refused: all others have a request being answered")
            return False
        victim = min(idle, key=lambda channel: (channel.isAuthenticated, channel.lastActive))
        self.rareLog.warn("connections lost for newer ones: there are too many")
        # It counts no more from now on: its end may take a turn of the reactor.
        self._leaving.add(victim)
        victim.abort()
        return True

    def ask(self, request: PrepareRequest, answerer: IAnswersPrepares, data: bytes) -> None:
        """Have a Prepare answered, unless too many of the same account's wait already."""
        pending = self._pending.get(answerer, 0)
        if pending >= PENDING_LIMIT:
            request.respond(200, self._busy)
            return
        try:
            reply = answerer.answerPrepare(data)
        except Exception as error:
            self._complain(type(error))
            reply = self._internalError
        if isinstance(reply, bytes):
            request.respond(200, reply)
            return
        self._pending[answerer] = pending + 1
        reply.addErrback(self._ebReply).addCallback(self._cbReply, request, answerer)

    def _complain(self, kind: type[BaseException] | None) -> None:
        name = getattr(kind, "__name__", "something")
        self.rareLog.warn("answering a Prepare raised {kind}: T00", kind=name)

    def _ebReply(self, failure: Failure) -> bytes:
        self._complain(failure.type)
        return self._internalError

    def _cbReply(self, reply: bytes, request: PrepareRequest, answerer: IAnswersPrepares) -> None:
        """The work is done, whether or not somebody still wants to hear of it."""
        pending = self._pending.pop(answerer) - 1
        if pending:
            self._pending[answerer] = pending
        if not request.isGone:
            request.respond(200, reply)

    def encodeResponse(self, status: int, body: bytes, isLast: bool) -> bytes:
        """
        Write a response.

        @param isLast: whether the connection ends with it.
        """
        if status == 200 and not isLast:
            return b"%b%d\r\n\r\n%b" % (self._head, len(body), body)
        extra = {401: b"WWW-Authenticate: Bearer\r\n", 405: b"Allow: POST\r\n"}.get(status, b"")
        if status == 200:
            extra = b"Content-Type: application/octet-stream\r\n"
        if isLast:
            extra += b"Connection: close\r\n"
        return b"HTTP/1.1 %d %b\r\n%b%bContent-Length: %d\r\n\r\n%b" % (
            status,
            RESPONSES[status],
            self._common,
            extra,
            len(body),
            body,
        )

    def _date(self) -> None:
        """Write what all responses of the next second have in common."""
        self._common = b"Server: ilp\r\nDate: %b\r\n" % datetimeToString(self._wallClock())
        self._head = (
            b"HTTP/1.1 200 OK\r\n%bContent-Type: application/octet-stream\r\nContent-Length: "
            % self._common
        )

    def _sweep(self) -> None:
        """Lose the connections whose time is over: the only timer there is."""
        now = self.reactor.seconds()
        self._date()
        isOver = self.isStopping and now >= self._stopDeadline
        for channel in list(self.connections):
            if isOver or channel.isOverdue(now):
                channel.abort()


class _Factory(ServerFactory):
    """Makes a connection, if there is room or some can be made."""

    noisy = False

    def __init__(self, server: HTTPServer) -> None:
        self._server = server

    def buildProtocol(self, addr: IAddress | None) -> PrepareChannel | None:
        """Make one; None if every connection is busier."""
        return PrepareChannel(self._server) if self._server.makeRoom() else None


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
