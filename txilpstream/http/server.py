"""
A bounded HTTP/1.1 server: what a connection may bring, and how long it may last.

A resource is a function of a request: it answers when the body is here, or says no when the head
is. It never sees a request that two readers could read differently (RFC 9112): llhttp is strict
about lengths, folding and line ends, and such a connection ends.

Memory is bounded before it is used: a head by its octets, a body by what was announced and by what
came, connections by their L{Listener <txilpstream.http.listener.Listener>}. What was rejected:
to read requests that come with one whose answer takes time. Who sends them may lose his connection
after that answer, as RFC 9112 section 9.3.2 allows.
"""

# (httptools has no annotations.)
# mypy: allow-untyped-calls

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final, NamedTuple, Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamServerEndpoint
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from txilpstream.amounts import checkAmount
from txilpstream.http.listener import Listener, comesFromPage, isOnLoopback, setNoDelay, writeNow

__all__ = ["HEAD_LIMIT", "HTTPServer", "Headers", "IResource", "Request", "Response"]

HEAD_LIMIT: Final = 16_384
"""Octets of a request's line and headers, and of its trailers."""

MOST_HEADERS: Final = 100
"""Headers of a request, and trailers: each costs more than its octets."""

STRANGER_TIME: Final = 60.0
"""Seconds that a connection lasts in all that belongs to nobody."""

ANSWER_TIME: Final = 60.0
"""Seconds that an answer may take: no hop holds a packet for more than half of that."""

KEEP_MARGIN: Final = 2
"""Seconds that a connection is kept for longer than it is said to be."""

_UPGRADING: Final = frozenset([b"connection", b"upgrade"])
"""Headers without which a request asks for no other protocol."""

_REASONS: Final = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}

Headers = Sequence[tuple[bytes, bytes]]


class Response(NamedTuple):
    """An answer; its C{Date}, C{Content-Length} and C{Connection} are the server's to say."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    isLast: bool = False
    """Whether the connection ends with it."""


class Request:
    """
    What is asked.

    @ivar method: such as C{b"POST"}.
    @ivar target: as it came: a path with its query.
    @ivar headers: names in lower case, with their values, in their order.
    @ivar body: empty until all of it is here.
    @ivar isLocal: whether it came in plain text to an address that only this machine has.
    @ivar owner: for the resource to set: whose connection this is; None for a stranger's.
    @ivar whenGone: for the resource to set: is called if nobody waits for the answer any more.
    """

    isKept = isLocal = False
    owner: Hashable | None = None
    whenGone: Callable[[], object] | None = None
    refusal: Response | None = None
    _fields: dict[bytes, bytes | None] | None = None

    def __init__(
        self, method: bytes, target: bytes, headers: Headers = (), body: bytes = b""
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body

    def values(self, name: bytes) -> list[bytes]:
        """All values of a header, by its name in lower case."""
        return [value for each, value in self.headers if each == name]

    @property
    def fields(self) -> Mapping[bytes, bytes | None]:
        """The headers by name; None for what is there more than once."""
        fields = self._fields
        if fields is None:
            fields = self._fields = dict(self.headers)
            if len(fields) < len(self.headers):
                fields.clear()
                for name, value in self.headers:
                    fields[name] = None if name in fields else value
        return fields

    def value(self, name: bytes) -> bytes | None:
        """The value of a header that is there once; None otherwise."""
        return self.fields.get(name)

    def isFromPage(self) -> bool:
        """Whether a browser may ask this on behalf of somebody's page."""
        return comesFromPage(self.fields, self.isLocal)


class IResource(Protocol):
    """
    What answers requests. Nothing in it knows a connection.

    It may have a method C{begin} too, which is called when the head is here: it sets the owner, and
    returns a L{Response} to say no, or None to have the body read.
    """

    def respond(self, request: Request, /) -> Response | Deferred[Response]:
        """All of it is here: answer."""


class _Unfit(Exception):
    """A request that is not to be read further; the status that says so."""


class _Connection(TwistedProtocol):
    """
    One connection and what it has cost so far.

    @ivar owner: whose it is; None while no request has shown it.
    @ivar answering: the request that is here in full and whose answer is not, or None.
    @ivar requestBegan: when the first octet came of a request that is not here in full, or None.
    @ivar lastActive: when something last came or was answered.
    @ivar isEnding: whether it was ended from this side.
    """

    transport: Any
    owner: Hashable | None = None
    answering: Request | None = None
    requestBegan: float | None = None
    isEnding = False
    isLocal = False
    _request: Request | None = None
    _isPaused = False
    _isFull = False
    _anew = b""
    _target = b""
    _size = _raw = 0

    def __init__(self, server: HTTPServer) -> None:
        self.server = server
        self._made = self.lastActive = server.reactor.seconds()
        self._parser: Any = HttpRequestParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._held = b""

    def connectionMade(self) -> None:
        """Count among the server's connections."""
        self.server.join(self)
        setNoDelay(self.transport)
        self.transport.registerProducer(self, True)
        self.isLocal = isOnLoopback(self.transport)

    @property
    def isBusy(self) -> bool:
        """Whether a request waits for its answer."""
        return self.answering is not None

    def dataReceived(self, data: bytes) -> None:
        """Take octets; no error in them, or about them, goes further than this."""
        if self.isEnding:
            return
        if self.answering is not None:
            # It is looked at when its turn comes; no more than this is read until then.
            self._held += data
            self._isPaused = True
            self.transport.pauseProducing()
            return
        self.lastActive = self.server.reactor.seconds()
        if self.requestBegan is None:
            self.requestBegan = self.lastActive
        if self._request is None:
            self._size += len(data)
        else:
            self._raw += len(data)
        try:
            self._parser.feed_data(data)
            if self._request is None and self._size > HEAD_LIMIT:
                raise _Unfit(431)
            # What chunks and trailers cost beside a body: even of one that is not complete.
            if self._request is not None and self._raw > 2 * self._size + HEAD_LIMIT:
                raise _Unfit(431)
        except HttpParserUpgrade as upgrade:
            # It is answered as if it had not asked for that, and nothing follows.
            if self._anew:
                octets, self._anew = self._anew + data[upgrade.args[0] :], b""
                self._parser = HttpRequestParser(self)
                self.dataReceived(octets)
        except (HttpParserError, _Unfit) as error:
            # What was raised from within the parser stands in the context of its error.
            cause = error if isinstance(error, _Unfit) else error.__context__
            if cause is None or isinstance(cause, _Unfit):
                self._refuse(cause.args[0] if cause else 400)
            else:
                kind = type(cause).__name__
                self.server.rareLog.warn("a request raised {kind}; its connection ends", kind=kind)
                self.abort()

    # --- What the parser finds -----------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins: one that does not wait for the answer before it is not heard."""
        self._target = b""
        self._headers = []
        self._parts = []
        if self.answering is not None:
            self.answering.isKept = False
        elif self.requestBegan is None:
            self.requestBegan = self.lastActive

    def on_url(self, part: bytes) -> None:
        """A part of the target."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer: those mean nothing here, and only count."""
        self._headers.append((name.lower(), value))
        if len(self._headers) > MOST_HEADERS:
            raise _Unfit(431)
        if self._request is not None:
            self._size += len(name) + len(value)
            if self._size > self.server.bodyLimit + HEAD_LIMIT:
                raise _Unfit(431)

    def on_headers_complete(self) -> None:
        """The head is here: whoever has no right to more learns it now."""
        if self.answering is not None or self.isEnding:
            return
        if self._size > HEAD_LIMIT:  # with what came after the head
            size = len(self._target) + sum(len(name) + len(value) for name, value in self._headers)
            if size > HEAD_LIMIT:
                raise _Unfit(431)
        request = Request(self._parser.get_method(), self._target, self._headers)
        self._headers = []  # for trailers
        request.isLocal = self.isLocal
        fields = request.fields
        given = fields.get(b"content-length") or b"0"
        if len(given) > 20:
            raise _Unfit(400)
        length = int(given)
        if (fields.get(b"transfer-encoding", b"chunked") or b"").lower() != b"chunked":
            raise _Unfit(501)  # RFC 9112 section 6.1
        version = self._parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise _Unfit(505)
        isAsking = b"expect" in fields and version == "1.1"
        if fields.get(b"host") is None and (b"host" in fields or version == "1.1"):
            raise _Unfit(400)  # RFC 9112 section 3.2
        hasBody = length or b"transfer-encoding" in fields
        if hasBody and self._parser.should_upgrade() and request.method != b"CONNECT":
            # The parser would read no body; we ignore that wish (RFC 9110 section 7.8).
            lines = [b"%b %b HTTP/%b" % (request.method, request.target, version.encode("ascii"))]
            lines += [b"%b: %b" % each for each in request.headers if each[0] not in _UPGRADING]
            self._anew = b"\r\n".join([*lines, b"", b""])
            return
        self._request = request
        self._size = self._raw = 0
        refusal = request.refusal = self.server.begin(self, request)
        # Who waits to be asked for his body gets the refusal and not the question.
        if length > self.server.bodyLimit or (isAsking and refusal is not None):
            self._end(refusal or Response(413))
        elif isAsking:
            writeNow(self.transport, b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        request = self._request
        if request is None or self.isEnding:
            return
        self._size += len(data)
        if self._size > self.server.bodyLimit:
            self._end(request.refusal or Response(413))
        elif request.refusal is None:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        """All of the request is here: have it answered."""
        if self._anew:
            return
        request, self._request = self._request, None
        self.requestBegan = None
        self._size = 0
        if request is None or self.isEnding:
            return
        parser, parts = self._parser, self._parts
        request.isKept = parser.should_keep_alive() and not parser.should_upgrade()
        request.body = parts[0] if len(parts) == 1 else b"".join(parts)
        self.answering = request
        response = request.refusal or self.server.respond(request)
        if isinstance(response, Deferred):
            failed = self.server.failed
            response.addErrback(lambda failure: failed(failure.type))
            response.addCallback(self._answer, request)
        else:
            self._answer(response, request)

    # --- Nobody reads the answers --------------------------------------------------------------

    def pauseProducing(self) -> None:
        """Read no more requests until answers are read."""
        self._isFull = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on, unless a request waits for its answer."""
        self._isFull = False
        if not self._isPaused:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The connection is lost: that is told otherwise."""

    # --- Answers, and the end ------------------------------------------------------------------

    def _answer(self, response: object, request: Request) -> None:
        """Answer; the connection takes its next request if both sides are for it."""
        if self.answering is not request:  # nobody is there any more
            return
        self.answering = None
        server = self.server
        if not isinstance(response, Response):
            response = server.failed(type(response))
        isLast = response.isLast or not request.isKept or server.isStopping
        writeNow(self.transport, server.encode(response, isLast, request.method == b"HEAD"))
        self.lastActive = server.reactor.seconds()
        if isLast:
            self.close()
        elif self._isPaused:
            self._isPaused = False
            held, self._held = self._held, b""
            if not self._isFull:
                self.transport.resumeProducing()
            self.dataReceived(held)

    def _refuse(self, status: int) -> None:
        """What came is no request, or too much of one."""
        if self.answering is not None:
            self.answering.isKept = False
        else:
            self._end(Response(status))

    def _end(self, response: Response) -> None:
        """Answer before all is here, and read no more."""
        if not self.isEnding:
            writeNow(self.transport, self.server.encode(response, True, False))
            self.close()

    def close(self) -> None:
        """End it when all is written; what comes now is not looked at."""
        self.isEnding = True
        self._parts, self._held = [], b""
        self.transport.unregisterProducer()  # TLS waits for it
        self.transport.loseConnection()

    def abort(self) -> None:
        """Lose the connection at once."""
        self.isEnding = True
        self.transport.abortConnection()

    def isOverdue(self, now: float) -> bool:
        """Whether its time is over: that of the answer, the request or the silence."""
        server = self.server
        if self.answering is not None:
            return now - self.lastActive > ANSWER_TIME
        if self.owner is None and now - self._made > STRANGER_TIME:
            return True
        if self.requestBegan is not None and now - self.requestBegan > server.requestTime:
            return True
        return now - self.lastActive > server.idleTime

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Count no more; nobody waits for an answer any longer."""
        self.isEnding = True
        request, self.answering = self.answering, None
        self._parser = None
        self.server.forget(self)
        if request is not None and request.whenGone is not None:
            request.whenGone()


class HTTPServer(Listener):
    """
    Listens for requests, and has a resource answer them.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        endpoint: IStreamServerEndpoint,
        resource: IResource,
        *,
        maximumConnections: int | None = None,
        share: int | None = None,
        requestTime: float = 15.0,
        idleTime: float = 60.0,
        bodyLimit: int = 40_000,
        wallClock: Callable[[], float] = time.time,
    ) -> None:
        """
        @param maximumConnections: see L{Listener}, as for C{share}.
        @param requestTime: seconds from the first octet of a request to its last.
        @param idleTime: seconds that a connection may be silent between requests.
        @param bodyLimit: octets of a request's body.
        @param wallClock: seconds since the epoch, for the C{Date} of responses.
        @raise LocalError: if a limit is not a number of its kind.
        """
        super().__init__(reactor, endpoint, maximumConnections, share)
        self.requestTime = requestTime
        self.idleTime = idleTime
        self.bodyLimit = checkAmount("bodyLimit", bodyLimit, minimum=1)
        self._begin: Any = getattr(resource, "begin", lambda request: None)
        self._respond = resource.respond
        # Who knows when a connection ends uses none that is about to.
        self._keepAlive = b"Keep-Alive: timeout=%d" % max(1, idleTime - KEEP_MARGIN)
        self._wallClock = wallClock
        self._heads: dict[Any, bytes] = {}

    def makeProtocol(self) -> _Connection:
        """Make what takes requests."""
        return _Connection(self)

    # --- What is answered ----------------------------------------------------------------------

    def begin(self, connection: _Connection, request: Request) -> Response | None:
        """Have a head judged."""
        try:
            refusal: Response | None = self._begin(request)
        except Exception as error:
            return self.failed(type(error))
        owner = request.owner
        if owner is not None and owner != connection.owner and not self.own(connection, owner):
            return refusal or Response(429, isLast=True)
        return refusal

    def respond(self, request: Request) -> Response | Deferred[Response]:
        """Have a request answered."""
        try:
            return self._respond(request)
        except Exception as error:
            return self.failed(type(error))

    def failed(self, kind: type | None) -> Response:
        """What is answered where the resource has failed."""
        name = getattr(kind, "__name__", "something")
        self.rareLog.warn("answering a request raised {kind}", kind=name)
        return Response(500)

    def encode(self, response: Response, isLast: bool, isHead: bool) -> bytes:
        """
        Write a response.

        @param isLast: whether the connection ends with it.
        @param isHead: whether it answers C{HEAD}, so that its body is left out.
        """
        status, body, headers, _ = response
        key = status, headers, isLast
        head = self._heads.get(key)
        if head is None:
            lines = [b"HTTP/1.1 %d %b" % (status, _REASONS.get(status, b"Status")), self._common]
            lines += [b"%b: %b" % header for header in headers]
            lines.append(b"Connection: close" if isLast else self._keepAlive)
            head = self._heads[key] = b"\r\n".join(lines)
        if status == 204:
            return head + b"\r\n\r\n"
        return b"%b\r\nContent-Length: %d\r\n\r\n%b" % (head, len(body), b"" if isHead else body)

    def looked(self) -> None:
        """Write what all responses of the next second have in common."""
        date = formatdate(self._wallClock(), usegmt=True).encode("ascii")
        self._common = b"Date: %b" % date
        self._heads.clear()
