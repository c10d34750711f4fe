"""
Prepares to an HTTP peer, and what is known of them when it ends.

A packet was not sent if no connection ever got it, or if the peer's HTTP layer refused it with a
status that it gives before anything is done; after all else nobody knows, and it is in doubt. An
answer that is an ILP reply counts, whatever its status. Nothing is repeated and no redirect is
followed.
"""

# (Parts of twisted.web have no annotations.)
# mypy: allow-untyped-calls

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IDelayedCall,
    IHandshakeListener,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from txilpstream.amounts import checkAmount
from txilpstream.errors import ConnectionEnded, DecodeError, LocalError
from txilpstream.http.url import URL
from txilpstream.interfaces import NotSent
from txilpstream.logs import RareLog
from txilpstream.plugins.base import PluginBase
from txilpstream.wire.ilp import FULFILL, REJECT
from txilpstream.wire.oer import readVarOctets

__all__ = ["ANSWER_LIMIT", "MAXIMUM_WINDOW", "QUEUE_LIMIT", "HTTPSender"]

ANSWER_LIMIT: Final = 40_000
"""Octets of an answer's body: an ILP packet has some 34,000 at most."""

RESPONSE_LIMIT: Final = 100_000
"""Octets of a whole response, its headers and what chunks cost included."""

IDLE_TIME: Final = 25.0
"""Seconds that a connection is kept for its next request. Peers close theirs after 30 s or more,
and a packet that is written to one that is being closed is in doubt."""


MAXIMUM_WINDOW: Final = 1000
"""Requests at once: each takes a connection, and a process has some thousand of them to spare."""

QUEUE_LIMIT: Final = 1024
"""Packets that may wait while the window is full; more are not sent. A producer that pauses when
it is told to has few there, if any."""

SWEEP_INTERVAL: Final = 1.0
"""Seconds between two looks for requests whose time is over: they end up to so much late."""

REFUSALS: Final[Mapping[int, str]] = {
    400: "it takes the request for malformed: is the URL that of an ILP endpoint?",
    401: "the token is missing or wrong: give the one that the peer expects",
    403: "the peer forbids it: ask whether the token is still good",
    404: "nothing is there: check the path of the URL",
    405: "it takes no POST: check the path of the URL",
    413: "the packet is too large for it: send less data in one packet",
    414: "the URL is too long for it",
    415: "it takes no application/octet-stream: is the URL that of an ILP endpoint?",
    429: "there are too many requests: send fewer packets per second",
    431: "the headers are too large for it: is the token the right one?",
}
"""What an HTTP layer says before anything was done with a request, and what helps."""

_log = Logger()


class HTTPSender:
    """
    Sends Prepares to one peer, each as a request on a connection of its own.

    As many connections are open as packets are unanswered. Packets beyond the window wait, and
    those that wait for all of their time were not sent.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        url: URL,
        token: str,
        endpoint: IStreamClientEndpoint,
        plugin: PluginBase,
        *,
        window: int,
        timeout: float,
    ) -> None:
        """
        @param token: what the peer knows this side by, or empty.
        @param endpoint: connects to where the URL leads.
        @param plugin: whose producer is paused and resumed.
        @param window: requests that may be unanswered.
        @param timeout: seconds that a packet has from its sending to the end of its answer.
        @raise LocalError: if a limit is not possible.
        """
        if not timeout > 0:
            raise LocalError(f"the timeout is {timeout}: it must be above 0 seconds")
        self._window = checkAmount("window", window, minimum=1, maximum=MAXIMUM_WINDOW)
        self._timeout = timeout
        self._reactor = reactor
        self._uri = url.uri.encode("ascii")
        self._isSecure = url.isSecure
        self._peer = url.authority
        self._endpoint = endpoint
        self._plugin = plugin
        self._rareLog = RareLog(reactor, _log)
        self._headers = Headers(
            {
                b"Host": [url.authority.encode("ascii")],
                b"Content-Type": [b"application/octet-stream"],
                b"Accept": [b"application/octet-stream"],
            }
        )
        if token:
            self._headers.setRawHeaders(b"Authorization", [b"Bearer " + token.encode("ascii")])
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = reactor
        self._agent: Agent | None = None
        self._unanswered: dict[_Exchange, None] = {}
        self._queue: deque[_Exchange] = deque()
        self._isStarting = False
        self._wasFull = False
        self._resuming: IDelayedCall | None = None

    def start(self) -> Deferred[None]:
        """
        Take packets from now on.

        @return: fires at once: a connection is made when there is a packet for it.
        """
        self._pool = _ConnectionPool(self._reactor, self._window)
        endpoint = _ReadyEndpoint(self._endpoint, self._pool, self._isSecure)
        self._agent = Agent.usingEndpointFactory(self._reactor, endpoint, self._pool)
        self._sweeping.start(SWEEP_INTERVAL, now=False)
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """
        Take no more packets; those that wait for an answer fail in a later turn of the reactor.

        @return: fires when all connections are gone.
        """
        self._agent = None
        self._sweeping.stop()
        exchanges = [*self._unanswered, *self._queue]
        self._unanswered.clear()
        self._queue.clear()
        if self._resuming is not None:
            self._resuming.cancel()
            self._resuming = None
        done: Deferred[None] = Deferred()
        self._reactor.callLater(0, self._finish, exchanges, self._pool, done)
        return done

    def _finish(
        self, exchanges: list[_Exchange], pool: _ConnectionPool, done: Deferred[None]
    ) -> None:
        for exchange in exchanges:
            exchange.abort("the plugin was disconnected")
            # One that waited in the queue, or is written, hears nothing of that, or not yet.
            self._settle(exchange)
        pool.close().chainDeferred(done)
        self._resumeIfLow()

    def isFull(self) -> bool:
        """Whether the window is full."""
        return len(self._unanswered) + len(self._queue) >= self._window

    def send(self, data: bytes) -> Deferred[bytes]:
        """
        Send a Prepare, at once if the window allows.

        @return: as C{IPlugin.sendData} says.
        """
        if self._agent is None:
            return fail(NotSent("the plugin is not connected: call connect() first"))
        if len(self._queue) >= QUEUE_LIMIT:
            return fail(NotSent(f"{QUEUE_LIMIT} packets wait already for {self._peer} to answer"))
        waiting: Deferred[bytes] = Deferred()
        deadline = self._reactor.seconds() + self._timeout
        self._queue.append(_Exchange(data, deadline, waiting, self._over))
        self._startQueued()
        if self.isFull():
            self._wasFull = True
            self._plugin.pauseProducer()
        return waiting

    def _startQueued(self) -> None:
        """Begin the requests of what waits, oldest first, as far as the window allows."""
        if self._isStarting:
            return
        self._isStarting = True
        while self._queue and len(self._unanswered) < self._window:
            exchange = self._queue.popleft()
            if self._agent is not None and not exchange.waiting.called:
                self._unanswered[exchange] = None
                requested = self._agent.request(
                    b"POST", self._uri, self._headers, exchange
                ).addCallbacks(exchange.receiveResponse, exchange.end)
                exchange.requested = requested
        self._isStarting = False

    def _over(self, exchange: _Exchange, reason: Failure) -> None:
        """Nothing more will come of a request."""
        isOurs = exchange in self._unanswered
        if isOurs:
            del self._unanswered[exchange]
        self._settle(exchange, reason)
        if isOurs:
            self._startQueued()
            if self._wasFull and self._resuming is None and self._isLow():
                # Later: it may be the producer's own call that ends a request.
                self._resuming = self._reactor.callLater(0, self._resume)

    def _isLow(self) -> bool:
        return (len(self._unanswered) + len(self._queue)) * 2 < self._window

    def _resume(self) -> None:
        self._resuming = None
        self._resumeIfLow()

    def _resumeIfLow(self) -> None:
        if self._isLow():
            self._wasFull = False
            self._plugin.resumeProducer()

    def _settle(self, exchange: _Exchange, reason: Failure | None = None) -> None:
        """Say what became of a packet, if somebody still wants to know."""
        waiting = exchange.waiting
        if waiting.called:
            return
        body = bytes(exchange.body)
        if exchange.isWritten and not exchange.problem and _isReply(body):
            waiting.callback(body)
            return
        if exchange.status in REFUSALS:
            remedy = f"status {exchange.status}, {REFUSALS[exchange.status]}"
            self._rareLog.warn("{peer} refuses packets: {remedy}", peer=self._peer, remedy=remedy)
            waiting.errback(NotSent(f"{self._peer} refused the packet: {remedy}"))
            return
        problem = exchange.problem
        if not problem and exchange.status:
            problem = f"it answered with status {exchange.status} and no ILP reply"
        elif not problem and reason is not None:
            kind = getattr(reason.type, "__name__", "")
            problem = f"{kind}: {reason.getErrorMessage()[:200]}"
        if exchange.isWritten:
            self._rareLog.warn("packets to {peer} in doubt: {why}", peer=self._peer, why=problem)
            waiting.errback(ConnectionEnded(f"a packet to {self._peer} is in doubt: {problem}"))
        else:
            self._rareLog.warn("packets to {peer} not sent: {why}", peer=self._peer, why=problem)
            waiting.errback(NotSent(f"a packet to {self._peer} was not sent: {problem}"))

    def _sweep(self) -> None:
        """End what has had its time: the only timer for requests that there is."""
        now = self._reactor.seconds()
        problem = f"its {self._timeout:g} s were over"
        late: list[_Exchange] = []
        for exchange in [*self._unanswered, *self._queue]:
            if exchange.deadline > now:
                break
            late.append(exchange)
        while self._queue and self._queue[0].deadline <= now:
            self._queue.popleft()
        for exchange in late:
            exchange.abort(problem)
            self._settle(exchange)


@implementer(IBodyProducer)
class _Exchange(Protocol):
    """
    A request and its response: the body of the one, and what reads the body of the other.

    @ivar length: of the request's body, in octets.
    @ivar deadline: when it is over, in the reactor's seconds.
    @ivar waiting: what the sender of the packet waits for.
    @ivar requested: what ends the request when it is cancelled, before it is written.
    @ivar isWritten: whether a connection got the packet, or might have.
    @ivar status: of the response, or 0.
    @ivar body: of the response, as far as it has come.
    @ivar problem: what was wrong with the response, or an empty string.
    """

    requested: Deferred[None] | None = None
    isWritten = False
    status = 0
    problem = ""
    _link: _Link | None = None

    def __init__(
        self,
        data: bytes,
        deadline: float,
        waiting: Deferred[bytes],
        whenOver: Callable[[_Exchange, Failure], None],
    ) -> None:
        """
        @param whenOver: takes this and why it is over, once, when nothing more will come.
        """
        self.length = len(data)
        self.deadline = deadline
        self.waiting = waiting
        self.body = bytearray()
        self._data = data
        self._whenOver = whenOver

    def useLink(self, link: _Link) -> None:
        """Know what the request will be written to."""
        self._link = link
        link.isBusy = True

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write the packet: it is in doubt from here on."""
        self.isWritten = True
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It is too late: all was written at once."""

    def resumeProducing(self) -> None:
        """There is nothing left to write."""

    def stopProducing(self) -> None:
        """There is nothing left to write."""

    def receiveResponse(self, response: IResponse) -> None:
        """The headers are here: read the body."""
        self.status = response.code
        response.deliverBody(self)

    def dataReceived(self, data: bytes) -> None:
        """Keep a part of the body, or give it all up if it is too much."""
        if len(self.body) + len(data) > ANSWER_LIMIT:
            self.abort(f"the answer has more than {ANSWER_LIMIT} octets")
        elif not self.problem:
            self.body += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """All of the body is here, or no more of it will be."""
        # Without a length, a response ends with its connection; an ILP packet has its own.
        if reason.type not in (ResponseDone, PotentialDataLoss) and not self.problem:
            self.problem = "the answer did not come to its end"
        self.end(reason)

    def end(self, reason: Failure) -> None:
        """There is no response, or all of it is here; its connection may serve another."""
        link = self._link
        if link is not None:
            self._link = None
            link.release()
        self._whenOver(self, reason)

    def abort(self, problem: str) -> None:
        """End it before its time; L{end} follows, in this turn of the reactor or a later one."""
        self.problem = self.problem or problem
        if self._link is not None:
            self._link.abort()
        elif self.requested is not None:
            self.requested.cancel()


class _ConnectionPool(HTTPConnectionPool):
    """
    Connections to one peer, which are kept for their next requests and never repeat one.

    @ivar links: what watches over each open connection, by its protocol.
    """

    def __init__(self, reactor: IReactorTime, window: int) -> None:
        """
        @param window: how many are kept while nothing is sent on them.
        """
        super().__init__(reactor, persistent=True)
        self.maxPersistentPerHost = window
        self.retryAutomatically = False
        self.cachedConnectionTimeout = cast(int, IDLE_TIME)
        self.links: dict[object, _Link] = {}
        self._closing: Deferred[None] | None = None

    def getConnection(self, key: Hashable, endpoint: IStreamClientEndpoint) -> Deferred[Any]:
        """Supply a connection for one request."""
        connected: Deferred[Any] = super().getConnection(key, endpoint)
        return connected.addCallback(self._cbSupply, key, endpoint)

    def _cbSupply(
        self, protocol: object, key: Hashable, endpoint: IStreamClientEndpoint
    ) -> _Turn | Deferred[Any]:
        link = self.links[protocol]
        # One that is being ended may be among those kept until the reactor's next turn.
        return self.getConnection(key, endpoint) if link.isEnding else _Turn(protocol, link)

    def close(self) -> Deferred[None]:
        """
        Close all connections at once, to be done once.

        @return: fires when they are gone.
        """
        self.closeCachedConnections()
        closing = self._closing = Deferred()
        for link in list(self.links.values()):
            link.abort()
        self._checkClosed()
        return closing

    def forget(self, protocol: object) -> None:
        """Take note that a connection is gone."""
        self.links.pop(protocol, None)
        self._checkClosed()

    def _checkClosed(self) -> None:
        closing = self._closing
        if closing is not None and not self.links and not closing.called:
            closing.callback(None)


class _Turn:
    """A connection for one request, which learns by it what it is written to."""

    def __init__(self, protocol: Any, link: _Link) -> None:
        self._protocol = protocol
        self._link = link

    def request(self, request: Any) -> Deferred[IResponse]:
        """Send the request."""
        request.bodyProducer.useLink(self._link)
        requested: Deferred[IResponse] = self._protocol.request(request)
        return requested


@implementer(IStreamClientEndpoint, IAgentEndpointFactory)
class _ReadyEndpoint:
    """Connects, and waits for the handshake if there is one; always to the same place."""

    def __init__(
        self, endpoint: IStreamClientEndpoint, pool: _ConnectionPool, isSecure: bool
    ) -> None:
        """
        @param endpoint: with TLS about it already, if it is secure.
        """
        self._endpoint = endpoint
        self._pool = pool
        self._isSecure = isSecure

    def endpointForURI(self, uri: URI) -> _ReadyEndpoint:
        """Give back this one: there is one peer."""
        return self

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect.

        @return: fires with the factory's protocol when nothing stands in the way of a request.
        """
        factory = _LinkFactory(protocolFactory, self._pool, self._isSecure)
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        return connecting.addCallback(self._cbConnected)

    def _cbConnected(self, link: _Link) -> Deferred[IProtocol]:
        return link.ready


class _LinkFactory(Factory):
    """Makes links around the protocols of Twisted's own pool."""

    noisy = False

    def __init__(self, inner: IProtocolFactory, pool: _ConnectionPool, isSecure: bool) -> None:
        self._inner = inner
        self._pool = pool
        self._isSecure = isSecure

    def buildProtocol(self, addr: IAddress | None) -> _Link:
        """Make one."""
        inner = self._inner.buildProtocol(cast(IAddress, addr))
        return _Link(cast(IProtocol, inner), self._pool, self._isSecure)


@implementer(IHandshakeListener)
class _Link(Protocol):
    """
    What a connection speaks until it is ready, and what watches over it then.

    @ivar ready: fires with the protocol of the requests when it may be used. Cancelling it ends
        the connection.
    @ivar isBusy: whether a request is on it: octets without one end it.
    @ivar isEnding: whether it was ended from this side.
    @ivar received: octets of the response, so far.
    """

    isBusy = False
    isEnding = False
    received = 0

    def __init__(self, inner: IProtocol, pool: _ConnectionPool, isSecure: bool) -> None:
        self.inner = inner
        self.ready: Deferred[IProtocol] = Deferred(lambda _: self.abort())
        self._pool = pool
        self._isSecure = isSecure
        self._isReady = False

    def connectionMade(self) -> None:
        """Without TLS this is all there is to wait for."""
        self._pool.links[self.inner] = self
        if not self._isSecure:
            self.handshakeCompleted()

    def handshakeCompleted(self) -> None:
        """Let requests come."""
        self._isReady = True
        self.inner.makeConnection(cast(Any, self.transport))
        self.ready.callback(self.inner)

    def dataReceived(self, data: bytes) -> None:
        """Pass on what comes, unless nobody asked for it or it is too much."""
        self.received += len(data)
        if self.isBusy and self.received <= RESPONSE_LIMIT:
            self.inner.dataReceived(data)
        else:
            self.abort()

    def release(self) -> None:
        """A request is over; a connection that is not kept ends now, whatever the peer does."""
        self.isBusy = False
        self.received = 0
        if getattr(self.transport, "disconnecting", False):
            self.abort()

    def abort(self) -> None:
        """End the connection at once."""
        self.isEnding = True
        cast(ITCPTransport, self.transport).abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone, or never came to be one."""
        self._pool.forget(self.inner)
        if self._isReady:
            self.inner.connectionLost(reason)
        elif not self.ready.called:
            self.ready.errback(reason)


def _isReply(body: bytes) -> bool:
    """Whether this is a Fulfill or a Reject by its type and its length."""
    if not body or (body[0] != FULFILL and body[0] != REJECT):
        return False
    try:
        readVarOctets(body, 1, len(body))
    except DecodeError:
        return False
    return True
