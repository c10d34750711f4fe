"""
ILP over HTTP (RFC 35): a plugin that sends Prepares as requests and takes them as a server.

RFC 35's asynchronous mode, in which a reply comes as a request of its own, is spoken by no deployed
peer and not here: C{mode} is where it would be chosen. Tokens and URLs stand in no error and no log
line; hosts do.
"""

# (Parts of twisted.internet have no annotations.)
# mypy: allow-untyped-calls

from __future__ import annotations

import time
from collections.abc import Callable

from OpenSSL.crypto import Error as PEMError
from twisted.internet.defer import CancelledError, Deferred, fail, gatherResults, succeed
from twisted.internet.interfaces import IListeningPort, IReactorTime, IStreamServerEndpoint
from twisted.internet.ssl import PrivateCertificate
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from txilpstream.errors import LocalError
from txilpstream.http.server import HTTPServer
from txilpstream.http.url import checkToken, makeEndpoint, readHTTPURL
from txilpstream.interfaces import IPlugin, IPluginFactory, NotSent
from txilpstream.plugins.base import PluginBase, tokenMatches
from txilpstream.plugins.http.client import HTTPSender
from txilpstream.plugins.http.server import PrepareServer
from txilpstream.plugins.registry import callWithParts, listeningEndpoint, readYesNo
from txilpstream.waiters import Waiters

__all__ = ["HTTPPlugin", "HTTPPluginFactory"]


@implementer(IPlugin)
class HTTPPlugin(PluginBase):
    """
    The way to one peer, which has a URL, or a token for this side's server, or both.

    @param url: where the peer takes Prepares; None if nothing is sent. What stands as a password
        in it is the token, if none is given.
    @param token: what the peer knows this side by; without one nothing is presented.
    @param endpoint: where to listen for the peer's Prepares; None if none come.
    @param incomingToken: what the peer is known by; whoever listens needs one.
    @param isInsecure: whether C{http:} may go further than this machine.
    @param window: requests that may be unanswered, at most 1,000, each on a connection of its own.
        The producer is paused when so many are, and resumed when fewer than half of it are.
    @param timeout: seconds that a packet waits for its answer: as long as packets live, and some
        more for the way.
    @param contextFactory: whom to trust; by default those that the platform trusts.
    @param clientCertificate: what to show the peer; not together with C{contextFactory}.
    @param mode: C{"sync"}: a reply comes in the response.
    @param wallClock: seconds since the epoch, for the C{Date} of responses.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        url: str | None,
        token: str = "",
        *,
        endpoint: IStreamServerEndpoint | None = None,
        incomingToken: str = "",
        isInsecure: bool = False,
        window: int = 100,
        timeout: float = 35.0,
        contextFactory: IPolicyForHTTPS | None = None,
        clientCertificate: PrivateCertificate | None = None,
        mode: str = "sync",
        wallClock: Callable[[], float] = time.time,
    ) -> None:
        """
        @raise LocalError: if something is not possible, alone or together with the rest.
        """
        super().__init__()
        if mode != "sync":
            raise LocalError(f"the mode {mode[:20]!r} is not known: there is 'sync' only")
        if url is None and endpoint is None:
            raise LocalError("a plugin needs a url to send to, an endpoint to listen at, or both")
        if endpoint is not None and not incomingToken:
            raise LocalError("whoever listens needs an incomingToken: anybody could send else")
        self._incomingToken = checkToken("incomingToken", incomingToken)
        self._sender: HTTPSender | None = None
        if url is not None:
            place = readHTTPURL(url, isInsecure)
            dial = makeEndpoint(reactor, place, contextFactory, clientCertificate)
            token = checkToken("token", token or place.password or "")
            self._sender = HTTPSender(
                reactor, place, token, dial, self, window=window, timeout=timeout
            )
        self._server: HTTPServer | None = None
        if endpoint is not None:
            self._server = PrepareServer(reactor, endpoint, self._admit, wallClock=wallClock)
        self._isConnected = False
        self._isEnding = False
        self._ended: Waiters[None] = Waiters()
        self._returning: Waiters[None] = Waiters()

    @property
    def port(self) -> IListeningPort | None:
        """Where it listens, while it does."""
        return None if self._server is None else self._server.port

    def _admit(self, token: str) -> PluginBase | None:
        return self if tokenMatches(self._incomingToken, token) else None

    def connect(self) -> Deferred[None]:
        """
        Begin to listen, and to take packets; no connection is made before the first packet.

        @return: fires when this listens, after it was disconnected if it is being so; fails if it
            cannot, or with C{CancelledError} if it is disconnected before.
        """
        if self._isConnected:
            return succeed(None)
        if self._isEnding:
            return self._returning.add().addCallback(lambda _: self.connect())
        if self._server is not None:
            return self._server.start().addCallback(self._begin)
        self._begin()
        return succeed(None)

    def _begin(self, _: None = None) -> None:
        self._isConnected = True
        if self._sender is not None:
            self._sender.start()

    def disconnect(self) -> Deferred[None]:
        """
        Listen no more, and close all connections.

        Packets that wait for an answer fail in a later turn of the reactor, those that no
        connection got with L{NotSent} and the others with L{ConnectionEnded
        <txilpstream.errors.ConnectionEnded>}. Requests of the peer's that are being answered have
        some seconds to end.
        """
        self._returning.fail(CancelledError())
        if self._isConnected:
            self._isConnected = False
            self._isEnding = True
            halves = [half for half in (self._sender, self._server) if half is not None]
            gatherResults([half.stop() for half in halves]).addCallback(self._cbEnded)
        elif self._server is not None and not self._isEnding:
            self._server.stop()
        return self._ended.add() if self._isEnding else succeed(None)

    def _cbEnded(self, results: list[None]) -> None:
        self._isEnding = False
        self._ended.fire(None)
        self._returning.fire(None)

    def isConnected(self) -> bool:
        """Whether packets can be sent or taken; a peer that cannot be reached changes nothing."""
        return self._isConnected

    def isFull(self) -> bool:
        """Whether as many packets are unanswered as may be."""
        return self._sender is not None and self._sender.isFull()

    def sendData(self, data: bytes) -> Deferred[bytes]:
        """
        Send a Prepare.

        The registered producer may be paused before this returns.

        @return: fires with the reply. It fails with L{NotSent} if no connection got the packet or
            the peer's HTTP layer refused it, and with L{ConnectionEnded
            <txilpstream.errors.ConnectionEnded>} if nobody knows.
        """
        if self._sender is None:
            return fail(NotSent("this plugin only listens: it has no url to send to"))
        return self._sender.send(data)


@implementer(IPluginFactory)
class HTTPPluginFactory:
    """
    Makes plugins from C{http:} and some of these parts::

        url= or the only part without a key: where to send; colons in it take a backslash each
        token=               what is presented there; or write https://:TOKEN@host/path
        listen=              a server endpoint's description, with a backslash at its colons too
        incomingToken=       what the peer presents; whoever listens needs it
        mode=sync            the only one
        insecure=no          or yes: http: may go further than this machine
        clientCertificate=   the path of a PEM file with a key and its certificate
        window=100           requests that may be unanswered
    """

    prefix = "http"

    def fromString(self, reactor: IReactorTime, *args: str, **kwargs: str) -> HTTPPlugin:
        """
        Make a plugin.

        @raise LocalError: if the parts are not those above, or a value is not possible.
        """
        return callWithParts(self._make, self.prefix, reactor, args, kwargs)

    def _make(
        self,
        reactor: IReactorTime,
        url: str | None = None,
        *,
        token: str = "",
        listen: str | None = None,
        incomingToken: str = "",
        mode: str = "sync",
        insecure: str = "no",
        clientCertificate: str | None = None,
        window: str = "100",
    ) -> HTTPPlugin:
        if not (window.isascii() and window.isdigit() and len(window) <= 9):
            raise LocalError(f"window is {window[:20]!r}: it must be a number")
        return HTTPPlugin(
            reactor,
            url,
            token,
            endpoint=None if listen is None else listeningEndpoint(reactor, listen),
            incomingToken=incomingToken,
            isInsecure=readYesNo("insecure", insecure),
            window=int(window),
            clientCertificate=None if clientCertificate is None else self._load(clientCertificate),
            mode=mode,
        )

    def _load(self, path: str) -> PrivateCertificate:
        try:
            with open(path, "rb") as file:
                certificate: PrivateCertificate = PrivateCertificate.loadPEM(file.read())
        except OSError as error:
            raise LocalError(
                f"the clientCertificate {path[:200]!r} cannot be read: {error.strerror}"
            ) from None
        except (PEMError, ValueError):
            raise LocalError(
                f"the clientCertificate {path[:200]!r} must be a PEM file with a private key and "
                "its certificate"
            ) from None
        return certificate
