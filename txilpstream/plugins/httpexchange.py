"""
One packet's way over HTTP and back, and the connections that it takes.

This module knows when a packet was handed to a connection that was ready, which is the moment
from which nobody knows what became of it, and how much may come back. It lays C{twisted.web}'s
Agent upon connections that are ready only when their TLS handshake is over, so that one which
fails there has carried nothing. What an answer means for money is not decided here.
"""

# (Parts of twisted.web have no annotations.)
# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHandshakeListener,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import URI, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

__all__ = ["ANSWER_LIMIT", "ConnectionPool", "Exchange", "ReadyEndpoint"]

ANSWER_LIMIT: Final = 40_000
"""Octets of an answer's body: an ILP packet has some 34,000 at most."""

RESPONSE_LIMIT: Final = 100_000
"""Octets of a whole response, its headers and what chunks cost included."""

IDLE_TIME: Final = 25.0
"""Seconds that a connection is kept for its next request. Peers close theirs after 30 s or more,
and a packet that is written to one that is being closed is in doubt."""


@implementer(IBodyProducer)
class Exchange(Protocol):
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
        whenOver: Callable[[Exchange, Failure], None],
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

    def __init__(self, inner: IProtocol, pool: ConnectionPool, isSecure: bool) -> None:
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


class _LinkFactory(Factory):
    """Makes links around the protocols of Twisted's own pool."""

    noisy = False

    def __init__(self, inner: IProtocolFactory, pool: ConnectionPool, isSecure: bool) -> None:
        self._inner = inner
        self._pool = pool
        self._isSecure = isSecure

    def buildProtocol(self, addr: IAddress | None) -> _Link:
        """Make one."""
        inner = self._inner.buildProtocol(cast(IAddress, addr))
        return _Link(cast(IProtocol, inner), self._pool, self._isSecure)


@implementer(IStreamClientEndpoint, IAgentEndpointFactory)
class ReadyEndpoint:
    """Connects, and waits for the handshake if there is one; always to the same place."""

    def __init__(
        self, endpoint: IStreamClientEndpoint, pool: ConnectionPool, isSecure: bool
    ) -> None:
        """
        @param endpoint: with TLS about it already, if it is secure.
        """
        self._endpoint = endpoint
        self._pool = pool
        self._isSecure = isSecure

    def endpointForURI(self, uri: URI) -> ReadyEndpoint:
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


class ConnectionPool(HTTPConnectionPool):
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
