"""
A bounded HTTP/1.1 client: requests to one place, on connections that are kept for the next.

Who asks wants to know of each request whether the other side may have seen it: it has not if no
connection ever got it, or if a connection was lost before the first octet left this process. After
that nobody knows, so nothing is repeated and no redirect is followed here.

A kept connection may be closed by the other side at any moment, and a request that is written just
then is in doubt. So one is used for a second less than the other side says that it keeps it, for
few seconds if it says nothing, the one that was used last before the others, and never without a
look at whether it is closed already.
"""

# (httptools has no annotations, Failure has few.)
# mypy: allow-untyped-calls

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from socket import MSG_PEEK
from typing import Any, Final, NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txilpstream.http.listener import setNoDelay, socketOf, unsent, writeNow
from txilpstream.http.server import Headers
from txilpstream.http.url import URL, isInside, makeEndpoint
from txilpstream.waiters import Waiters

__all__ = [
    "ANSWER_LIMIT",
    "Answer",
    "AnswerTooLong",
    "Exchange",
    "FetchError",
    "HTTPClient",
    "fetch",
]

ANSWER_LIMIT: Final = 40_000
"""Octets of an answer's body: an ILP packet has some 34,000 at most."""

HEAD_LIMIT: Final = 60_000
"""Octets that an answer may have beside its body: headers, interim answers and what chunks cost."""

KEEP_TIME: Final = 4.0
"""Seconds that a connection is kept where the other side does not say how long it does; many
servers close after five."""

FRESH_TIME: Final = 0.05
"""Seconds after an answer in which it is used again without a look: nobody has closed it yet."""

_TIMEOUT: Final = re.compile(rb"timeout\s*=\s*\"?(\d{1,9})", re.IGNORECASE)


class Exchange:
    """
    A request and what has come of it.

    @ivar isWritten: whether the other side may have seen a part of it.
    @ivar status: of the answer, or 0.
    @ivar headers: of the answer, names in lower case.
    @ivar body: of the answer.
    @ivar isComplete: whether all of the answer has come.
    @ivar problem: what went wrong, or an empty string.
    @ivar deadline: for whoever began it: when its time is over.
    @ivar waiting: for whoever began it: who waits for what becomes of it.
    """

    isWritten = isComplete = False
    status = 0
    headers: Headers = ()
    body = b""
    problem = ""
    deadline: float
    waiting: Deferred[bytes]
    _connection: _Connection | None = None

    def __init__(self, octets: bytes, done: Callable[[Exchange], None]) -> None:
        """
        @param octets: the request, head and body.
        @param done: takes this, once, when no more will come.
        """
        self.octets = octets
        self._done: Callable[[Exchange], None] | None = done

    def end(self, problem: str = "") -> None:
        """Say that no more will come."""
        done, self._done = self._done, None
        self._connection = None
        self.problem = self.problem or problem
        if done is not None:
            done(self)


class _TooLong(Exception):
    """A body is above its limit."""


@implementer(IHandshakeListener)
class _Connection(Protocol):
    """
    A connection, which serves one exchange after another.

    @ivar exchange: the one that it serves now, or None.
    @ivar isReady: whether it could serve one.
    @ivar isLost: whether it was ended, here or there.
    @ivar keptUntil: when it is not to be used any more, in the reactor's seconds.
    @ivar lastUsed: when its last answer came.
    """

    transport: Any
    exchange: Exchange | None = None
    isReady = False
    keptUntil = lastUsed = 0.0
    isLost = _isKept = _hasLength = _hasHead = False
    _problem = ""
    _received = _answered = 0
    _keepTime = KEEP_TIME

    def __init__(self, client: HTTPClient) -> None:
        self._client = client
        self._limit = client.answerLimit
        self._parts: list[bytes] = []
        self._headers: list[tuple[bytes, bytes]] = []
        self._parser: Any = HttpResponseParser(self)

    def connectionMade(self) -> None:
        """Without TLS this is all there is to wait for."""
        client = self._client
        client.connections[self] = None
        setNoDelay(self.transport)
        client.isInside = isInside(getattr(self.transport.getPeer(), "host", ""))
        if client.isInside and not client.mayBeInside:
            self.fail("it leads to an address that only this network knows")
        elif not client.isSecure:
            self.handshakeCompleted()

    def handshakeCompleted(self) -> None:
        """Let requests come, unless whoever is there is not who should be."""
        if not self.transport.disconnecting:
            self.isReady = True
            self._client.opened(self)

    def serve(self, exchange: Exchange) -> None:
        """Write a request: it is in doubt from here on."""
        self.exchange = exchange
        exchange._connection = self
        exchange.isWritten = True
        self._received = 0
        self._hasHead = False
        writeNow(self.transport, exchange.octets)

    def dataReceived(self, data: bytes) -> None:
        """Take octets, unless nobody asked for them or they are too many."""
        exchange = self.exchange
        if exchange is None or self.isLost:
            self.abort()
            return
        self._received += len(data)
        problem = ""
        try:
            if self._received > self._limit + HEAD_LIMIT:
                raise _TooLong
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            problem = "it answered with another protocol"
        except (HttpParserError, _TooLong) as error:
            # What was raised from within the parser stands in the context of its error.
            isTooLong = isinstance(error, _TooLong) or isinstance(error.__context__, _TooLong)
            problem = self._client.tooLong if isTooLong else "the answer is not HTTP"
        if exchange.isComplete:
            self._isKept = self._isKept and not problem
            self._served(exchange)
        elif problem:
            self.fail(problem)

    # --- What the parser finds -----------------------------------------------------------------

    def on_message_begin(self) -> None:
        """An answer begins; a second one is what nobody asked for."""
        if self.exchange is None or self.exchange.isComplete:
            self._isKept = False
        self._headers = []
        self._parts = []
        self._hasLength = self._hasHead = False
        self._answered = 0
        self._keepTime = KEEP_TIME

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which means nothing here."""
        if self._hasHead:
            return
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is here: what announces too much is not waited for."""
        self._hasHead = True
        fields = dict(self._headers)
        length = fields.get(b"content-length")
        self._hasLength = length is not None or b"transfer-encoding" in fields
        found = _TIMEOUT.search(fields.get(b"keep-alive", b""))
        if found is not None:
            self._keepTime = int(found[1]) - 1.0
        if length is not None and int(length) > self._limit:
            raise _TooLong

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        self._answered += len(data)
        if self._answered > self._limit:
            raise _TooLong
        self._parts.append(data)

    def on_message_complete(self) -> None:
        """All of the answer is here, unless it was an interim one."""
        parser, exchange = self._parser, self.exchange
        if exchange is not None and not exchange.isComplete and parser.get_status_code() >= 200:
            self._isKept = parser.should_keep_alive() and parser.get_http_version() == "1.1"
            self._take(exchange)
        else:
            self._hasHead = False

    def _take(self, exchange: Exchange) -> None:
        exchange.status = self._parser.get_status_code()
        exchange.headers = self._headers
        exchange.body = b"".join(self._parts)
        exchange.isComplete = True

    # --- The end -------------------------------------------------------------------------------

    def _served(self, exchange: Exchange) -> None:
        """An answer is here: the connection may serve the next."""
        self.exchange = None
        if self._isKept and self._keepTime > 0:
            self.lastUsed = self._client.reactor.seconds()
            self.keptUntil = self.lastUsed + self._keepTime
            self._client.useOrKeep(self)
        else:
            self.abort()
        exchange.end()

    def fail(self, problem: str) -> None:
        """End the connection, and the exchange if there is one."""
        self._problem = problem
        exchange, self.exchange = self.exchange, None
        self.abort()
        if exchange is not None:
            self._noteStatus(exchange)
            exchange.end(problem)

    def _noteStatus(self, exchange: Exchange) -> None:
        if self._hasHead and self._parser is not None:
            exchange.status = self._parser.get_status_code()

    def isClosed(self) -> bool:
        """Whether the other side has closed it, or has said what nobody asked for."""
        sock = socketOf(self.transport)
        if sock is None:
            return False
        try:
            # (With TLS, what waits to be read may be its farewell.)
            sock.recv(1, MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def abort(self) -> None:
        """End the connection at once."""
        self.isLost = True
        self.keptUntil = 0.0
        try:
            self.transport.abortConnection()
        except Exception:
            # TLS of Twisted 25.5 fails at some ends without a word, and at all that follows.
            if self in self._client.connections:
                self.connectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone, or never came to be one."""
        exchange, self.exchange = self.exchange, None
        self.isLost = True
        if exchange is not None:
            self._noteStatus(exchange)
            if self._hasHead and not self._hasLength and reason.check(ConnectionDone):
                self._take(exchange)  # without a length, an answer ends with its connection
            elif self._received:
                exchange.problem = "the answer did not come to its end"
            else:
                exchange.isWritten = not self._hasWrittenNothing(len(exchange.octets))
                exchange.problem = "the connection was lost before an answer came"
        self._parser = None
        self._client.forget(self, "" if self.isReady else self._problem or _inWords(reason))
        if exchange is not None:
            exchange.end()

    def _hasWrittenNothing(self, size: int) -> bool:
        """Whether all of the last request is still in this process."""
        # With TLS the octets below count: they are more than the request, so that while so many are
        # left no whole record of it has left.
        left = unsent(self.transport)
        if left is None:
            left = unsent(getattr(self.transport, "transport", None))
        return left is not None and left >= size


class HTTPClient:
    """
    Connections to one place, the one that was used last first.

    As many are open as exchanges are under way. Nothing here tells the time: whoever owns it ends
    what takes too long, and calls L{sweep} from time to time.

    @ivar connections: all that are open or get ready.
    @ivar isInside: whether the last one that was made leads to an address of this network's own.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        endpoint: IStreamClientEndpoint,
        *,
        isSecure: bool,
        answerLimit: int = ANSWER_LIMIT,
        mayBeInside: bool = True,
    ) -> None:
        """
        @param endpoint: with TLS about it already, if it is secure.
        @param answerLimit: octets of an answer's body.
        @param mayBeInside: whether to ask at addresses that only this network knows.
        """
        self.reactor = reactor
        self.answerLimit = answerLimit
        self.tooLong = f"the answer has more than {answerLimit} octets"
        self.connections: dict[_Connection, None] = {}
        self.isInside = False
        self.mayBeInside = mayBeInside
        self.isSecure = isSecure
        self._endpoint = endpoint
        self._factory: Any = Factory.forProtocol(partial(_Connection, self))
        self._factory.noisy = False
        self._idle: list[_Connection] = []
        self._waiting: deque[Exchange] = deque()
        self._dialling: dict[Deferred[Any], None] = {}
        self._opening = 0
        self._isStopping = False
        self._stopped: Waiters[None] = Waiters()

    def begin(self, exchange: Exchange) -> None:
        """Have a request written: now if a connection is idle, else when one is there."""
        idle, now = self._idle, self.reactor.seconds()
        while idle:
            connection = idle.pop()
            isFresh = now - connection.lastUsed < FRESH_TIME
            if connection.keptUntil > now and (isFresh or not connection.isClosed()):
                connection.serve(exchange)
                return
            connection.abort()
        self._waiting.append(exchange)
        self._opening += 1
        dialling: Deferred[Any] = self._endpoint.connect(self._factory)
        self._dialling[dialling] = None
        dialling.addBoth(self._dialled, dialling)

    def _dialled(self, result: object, dialling: Deferred[Any]) -> None:
        self._dialling.pop(dialling, None)
        if isinstance(result, Failure):
            self._couldNotOpen(_inWords(result))

    def _couldNotOpen(self, problem: str) -> None:
        """One exchange fewer can be served, unless as many connections come free."""
        self._opening -= 1
        if len(self._waiting) > self._opening:
            self._waiting.popleft().end(problem)

    def opened(self, connection: _Connection) -> None:
        """A connection is ready for its first request."""
        self._opening -= 1
        connection.keptUntil = self.reactor.seconds() + KEEP_TIME
        self.useOrKeep(connection)

    def useOrKeep(self, connection: _Connection) -> None:
        """A connection is free: it serves who waits longest, or is kept."""
        if self._isStopping:
            connection.abort()
        elif self._waiting:
            connection.serve(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def abort(self, exchange: Exchange, problem: str) -> None:
        """End an exchange before its time."""
        exchange.problem = exchange.problem or problem
        if exchange._connection is not None:
            exchange._connection.fail(problem)
            return
        if exchange in self._waiting:
            self._waiting.remove(exchange)
            # Nobody may need the connection any more that is being opened for it.
            if self._opening > len(self._waiting):
                if self._dialling:
                    next(reversed(self._dialling)).cancel()
                else:
                    opening = [x for x in self.connections if not (x.isReady or x.isLost)]
                    for connection in opening[-1:]:
                        connection.abort()
        exchange.end()

    def sweep(self) -> None:
        """Close what has been idle for too long."""
        now = self.reactor.seconds()
        for connection in [each for each in self._idle if each.keptUntil <= now]:
            self._idle.remove(connection)
            connection.abort()

    def forget(self, connection: _Connection, problem: str) -> None:
        """
        Take note that a connection is gone.

        @param problem: why it never was ready; empty if it was.
        """
        self.connections.pop(connection, None)
        if connection in self._idle:
            self._idle.remove(connection)
        if problem:
            self._couldNotOpen(problem)
        if self._isStopping and not self.connections:
            self._stopped.fire(None)

    def stop(self) -> Deferred[None]:
        """
        Close all connections at once; exchanges that are under way end.

        @return: fires when they are gone.
        """
        self._isStopping = True
        stopped = self._stopped.add()
        for dialling in list(self._dialling):
            dialling.cancel()
        for connection in list(self.connections):
            connection.fail("the connection was closed here")
        if not self.connections:
            self._stopped.fire(None)
        return stopped


def _inWords(reason: Failure) -> str:
    return f"{getattr(reason.type, '__name__', '')}: {reason.getErrorMessage()[:200]}"


class FetchError(Exception):
    """There is no answer, or none that may be read; what the other side has said is not shown."""


class AnswerTooLong(FetchError):
    """It has more octets than were asked for."""


class Answer(NamedTuple):
    """What was answered to a question; names of headers are in lower case."""

    status: int
    headers: Headers
    body: bytes
    isInside: bool = False
    """Whether it comes from an address that only this network knows."""

    def texts(self, name: str) -> list[str]:
        """The values of a header by its name in lower case, whatever octets they have."""
        wanted = name.encode("ascii")
        return [value.decode("latin-1") for each, value in self.headers if each == wanted]


def fetch(
    reactor: Any, url: URL, headers: Mapping[str, str], *, limit: int, mayBeInside: bool = True
) -> Deferred[Answer]:
    """
    Ask once, with C{GET}, on a connection of its own.

    @param limit: octets of the answer's body.
    @param mayBeInside: whether the URL may lead to an address that only this network knows.
    @return: fails with L{FetchError}, which may be L{AnswerTooLong}. Cancelling it ends the
        connection.
    """
    endpoint = makeEndpoint(reactor, url)
    client = HTTPClient(
        reactor, endpoint, isSecure=url.isSecure, answerLimit=limit, mayBeInside=mayBeInside
    )
    lines = [f"GET {url.path} HTTP/1.1", f"Host: {url.authority}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]

    def over(exchange: Exchange) -> None:
        client.stop()
        if exchange.isComplete and not exchange.problem:
            found = exchange.status, exchange.headers, exchange.body, client.isInside
            answered.callback(Answer(*found))
        else:
            isTooLong = exchange.problem == client.tooLong
            answered.errback((AnswerTooLong if isTooLong else FetchError)(exchange.problem))

    def giveUp(_: Deferred[Answer]) -> None:
        exchange._done = None
        client.stop()

    exchange = Exchange(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"), over)
    answered: Deferred[Answer] = Deferred(giveUp)
    client.begin(exchange)
    return answered
