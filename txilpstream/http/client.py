"""
Asking a web server that is not trusted with our memory.

It is Twisted's own web client with two differences: a connection brings a limited number of octets
in all, headers included, which that client itself takes without end; and it ends when the answer
does, whether or not the server is for it.
"""

# (twisted.web.client has few annotations.)
# mypy: allow-untyped-calls

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    ResponseDone,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IResponse
from zope.interface import implementer

__all__ = [
    "BodyLost",
    "BodyTooLong",
    "boundedAgent",
    "dropBody",
    "readBounded",
    "textsOf",
    "whyNot",
]


class BodyTooLong(Exception):
    """A body has more octets than were asked for."""


class BodyLost(Exception):
    """A connection was lost amid a body."""


class _Bounded(ProtocolWrapper):
    """A connection that is cut off rather than read beyond its limit, or waited for at its end."""

    def __init__(self, factory: Any, wrapped: Any, limit: int) -> None:
        super().__init__(factory, wrapped)
        self._left = limit

    def dataReceived(self, data: bytes) -> None:
        """Count, and pass on."""
        self._left -= len(data)
        if self._left < 0:
            self.loseConnection()
        else:
            super().dataReceived(data)

    def loseConnection(self) -> None:
        """Nothing is left to be said: and with TLS the peer could keep a mere farewell waiting."""
        self.disconnecting = 1
        transport: Any = self.transport
        transport.abortConnection()


class _BoundedFactory(WrappingFactory):
    noisy = False

    def __init__(self, factory: IProtocolFactory, limit: int) -> None:
        super().__init__(factory)
        self._limit = limit

    def buildProtocol(self, addr: IAddress | None) -> _Bounded:
        """Make one of the inner factory's."""
        return _Bounded(self, self.wrappedFactory.buildProtocol(addr), self._limit)


@implementer(IStreamClientEndpoint)
class _BoundedEndpoint:
    def __init__(self, endpoint: IStreamClientEndpoint, limit: int) -> None:
        self._endpoint = endpoint
        self._limit = limit

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Fires with a protocol of the factory's, whose octets are counted."""
        connected: Deferred[Any] = self._endpoint.connect(
            _BoundedFactory(protocolFactory, self._limit)
        )
        return connected.addCallback(lambda outer: outer.wrappedProtocol)


@implementer(IAgentEndpointFactory)
class _Endpoints:
    def __init__(self, reactor: Any, timeout: float, limit: int) -> None:
        self._reactor = reactor
        self._timeout = timeout
        self._limit = limit
        self._policy = BrowserLikePolicyForHTTPS()

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """What Twisted's own client would connect to, bounded."""
        host = uri.host.decode("ascii")
        endpoint: Any = HostnameEndpoint(self._reactor, host, uri.port, timeout=self._timeout)
        if uri.scheme == b"https":
            creator = self._policy.creatorForNetloc(uri.host, uri.port)
            endpoint = wrapClientTLS(creator, endpoint)
        return _BoundedEndpoint(endpoint, self._limit)


def boundedAgent(reactor: Any, *, timeout: float, limit: int) -> IAgent:
    """
    A web client that keeps no connection.

    @param timeout: seconds that connecting may take.
    @param limit: octets that a connection may bring, headers included.
    """
    pool = HTTPConnectionPool(reactor, persistent=False)
    agent: IAgent = Agent.usingEndpointFactory(reactor, _Endpoints(reactor, timeout, limit), pool)
    return agent


class _Body(Protocol):
    def __init__(self, maximumSize: int) -> None:
        self._maximumSize = maximumSize
        self._body = bytearray()
        self.whenRead: Deferred[bytes] = Deferred(lambda _: self._hangUp())

    def dataReceived(self, data: bytes) -> None:
        """Take octets, unless they are too many."""
        if self.whenRead.called:
            return
        if len(self._body) + len(data) > self._maximumSize:
            self.whenRead.errback(BodyTooLong())
            self._hangUp()
            return
        self._body += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is all there, or will never be."""
        if self.whenRead.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whenRead.callback(bytes(self._body))
        else:
            self.whenRead.errback(BodyLost())

    def _hangUp(self) -> None:
        transport: Any = self.transport
        transport.loseConnection()


class _Unwanted(Protocol):
    def connectionMade(self) -> None:
        """Want nothing."""
        transport: Any = self.transport
        transport.loseConnection()


def readBounded(response: IResponse, maximumSize: int) -> Deferred[bytes]:
    """
    Read a body; cancelling ends its connection.

    @return: fails with L{BodyTooLong} before more octets are held, or with L{BodyLost}.
    """
    body = _Body(maximumSize)
    response.deliverBody(body)
    return body.whenRead


def dropBody(response: IResponse) -> None:
    """Read nothing of a body, and end its connection."""
    response.deliverBody(_Unwanted())


def textsOf(headers: Headers, name: bytes) -> list[str]:
    """The values of a header, whatever octets they have; an empty list if there is none."""
    return [value.decode("latin-1") for value in headers.getRawHeaders(name, [])]


def whyNot(error: BaseException) -> str:
    """
    A network's error in words.

    What Twisted's web client raises may quote the server, so of that only the name is said.
    """
    reasons = getattr(error, "reasons", None)
    if isinstance(reasons, list) and reasons and isinstance(reasons[0], Failure):
        error = reasons[0].value or error
    name = type(error).__name__
    if type(error).__module__.startswith("twisted.web"):
        return name
    return f"{name}: {error}"[:200]
