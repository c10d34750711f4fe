"""
BTP (RFC 23) as a server: it listens, lets peers log in, and gives each account a plugin.

Who may log in is decided by a function that the server is given. Before the login a peer costs a
socket, a few hundred octets and one decoded packet, and it learns of a refusal nothing but that it
is one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList, fail, succeed
from twisted.internet.interfaces import IReactorTime, IStreamServerEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from txilpstream.errors import ConnectionEnded, DecodeError, LocalError
from txilpstream.http.listener import Listener
from txilpstream.interfaces import IPlugin
from txilpstream.plugins.base import tokenMatches
from txilpstream.plugins.btp.link import BTPLink, encodeRefusal
from txilpstream.plugins.btp.websocket import (
    GOING_AWAY,
    MAXIMUM_MESSAGE,
    POLICY_VIOLATION,
    ServerWebSocket,
    WebSocket,
)
from txilpstream.waiters import Waiters
from txilpstream.wire.btp import BTPMessage, BTPResponse, decode, encode, findEntry

__all__ = ["CONNECT_TIMEOUT", "BTPServer", "BTPServerPlugin"]

AUTHENTICATION_LIMIT: Final = 4096
"""Octets of a message before the login: accounts and tokens are short."""

AUTHENTICATION_TIME: Final = 10.0
"""Seconds from the connection to the end of the login."""

CONNECT_TIMEOUT: Final = 30.0
"""Seconds that C{connect} waits for the peer."""


@implementer(IPlugin)
class BTPServerPlugin(BTPLink):
    """
    The server's end of one account, which its peer comes to and goes from.

    A L{BTPServer} of many accounts gives it its peer's connections. With an endpoint it listens
    for its one peer itself, as JavaScript's BTP plugin does with a listener: from C{connect} to
    C{disconnect}, whether or not the peer came in time, and it lets it come again when it was lost.
    A second login displaces the first, whose packets without an answer are in doubt.

    @ivar isWelcoming: whether the peer may log in; not so after C{disconnect}, until C{connect}.
    @ivar server: what listens for its peer alone; None without an endpoint.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        endpoint: IStreamServerEndpoint | None = None,
        token: str = "",
        *,
        connectTimeout: float = CONNECT_TIMEOUT,
        randomBytes: Callable[[int], bytes] = os.urandom,
        wallClock: Callable[[], float] = time.time,
    ) -> None:
        """
        @param endpoint: where to listen for the peer; None if a server does.
        @param token: what the peer must present at the endpoint; its account is not looked at.
        @param connectTimeout: seconds that C{connect} waits for the peer at the endpoint.
        @param randomBytes: gives so many unpredictable octets.
        @param wallClock: gives seconds since the epoch.
        @raise LocalError: if there is an endpoint and no token.
        """
        super().__init__(reactor, randomBytes=randomBytes, wallClock=wallClock)
        if endpoint is not None and not token:
            raise LocalError("a BTP plugin that listens needs a token, which its peer presents")
        self.isWelcoming = True
        self.server = None if endpoint is None else BTPServer(reactor, endpoint, self._admit)
        self._token = token
        self._connectTimeout = connectTimeout
        self._isListening = False
        self._arrival: Waiters[None] = Waiters()
        self._closing: WebSocket | None = None

    def connect(self) -> Deferred[None]:
        """
        Let the peer log in; with an endpoint, listen and wait for it.

        @return: fires when the peer may come, or with an endpoint when it has logged in; fails if
            the endpoint cannot listen, or with L{ConnectionEnded} if nobody came in time: wait
            again, or disconnect.
        """
        self.isWelcoming = True
        if self.server is None or self.isConnected():
            return succeed(None)
        arrival = self._arrival.add()
        if not self._isListening:
            self._isListening = True
            self.server.start().addErrback(self._ebListening)
        return arrival.addTimeout(self._connectTimeout, self.reactor, self._tooLate)

    def disconnect(self) -> Deferred[None]:
        """
        Let the peer go and come no more; listen no more.

        @return: fires when the sockets are closed, after the packets without an answer failed.
        """
        self.isWelcoming = self._isListening = False
        self._closing = self.detach() or self._closing
        gone: Deferred[None] = succeed(None)
        if self._closing is not None:
            self._closing.close()
            gone = self._closing.whenLost()
        if self.server is None:
            return gone
        gone = DeferredList([gone, self.server.stop()], consumeErrors=True).addCallback(
            self._cbGone
        )
        return gone

    def attach(self, socket: WebSocket) -> None:
        """Take the peer's new connection, close the one before, and tell who waits for it."""
        before = self.detach()
        super().attach(socket)
        if before is not None:
            before.close(POLICY_VIOLATION)
        self._arrival.fire(None)

    def _admit(self, account: str, token: str) -> BTPServerPlugin | None:
        return self if tokenMatches(self._token, token) else None

    def _ebListening(self, failure: Failure) -> None:
        self._isListening = False
        self._arrival.fail(failure)

    def _cbGone(self, _: object) -> None:
        if not self._isListening:
            self._arrival.fail(ConnectionEnded("the plugin was disconnected"))

    def _tooLate(self, outcome: object, timeout: float) -> None:
        raise ConnectionEnded(f"no peer logged in within {timeout:g} s")


class BTPServer(Listener):
    """
    Listens, and gives each peer that logs in to the plugin of its account.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        endpoint: IStreamServerEndpoint,
        admit: Callable[[str, str], BTPServerPlugin | Deferred[BTPServerPlugin | None] | None],
        *,
        maximumConnections: int | None = None,
        authenticationTime: float = AUTHENTICATION_TIME,
        maximumMessage: int = MAXIMUM_MESSAGE,
        wallClock: Callable[[], float] = time.time,
    ) -> None:
        """
        @param admit: called with account and token, it gives the plugin of the account, or None to
            refuse. It compares tokens in constant time, see L{tokenMatches
            <txilpstream.plugins.base.tokenMatches>}. An account that is
            not told is an empty string. A Deferred of its is cancelled if the peer is gone.
        @param maximumConnections: see L{Listener}.
        @param authenticationTime: seconds from the connection to the end of the login.
        @param maximumMessage: octets of a message that is taken after the login.
        @param wallClock: gives seconds since the epoch.
        """
        # The connection that an account has, and the one that takes its place.
        super().__init__(reactor, endpoint, maximumConnections, share=2)
        self.admit = admit
        self.authenticationTime = authenticationTime
        self.maximumMessage = maximumMessage
        self.wallClock = wallClock

    def makeProtocol(self) -> ServerWebSocket:
        """Make what shakes hands, for a peer that has to log in."""
        return _Login(self).socket


class _Login:
    """
    Who uses a server's socket until its peer is let in, and ends it for the server.

    @ivar owner: the plugin that the peer was given to, or None.
    """

    owner: Any = None
    isBusy = False

    def __init__(self, server: BTPServer) -> None:
        self._server = server
        self._requestId: int | None = None
        self._deciding: Deferred[Any] | None = None
        self.lastActive = server.reactor.seconds()
        self.socket = ServerWebSocket(
            server.reactor,
            self,
            maximumMessage=AUTHENTICATION_LIMIT,
            handshakeTime=server.authenticationTime,
            whenMade=lambda: server.join(self),
        )
        self.socket.whenLost().addCallback(lambda _: server.forget(self))

    def isOverdue(self, now: float) -> bool:
        """Whether the login takes too long."""
        isLate = now - self.lastActive >= self._server.authenticationTime and self.owner is None
        if isLate:
            self._server.rareLog.warn("a peer took too long to log in; it was dropped")
        return isLate

    def close(self) -> None:
        """Say goodbye."""
        self.socket.close(GOING_AWAY)

    def abort(self) -> None:
        """Lose it for newer ones, or because it takes too long."""
        self.socket.abort("it took too long, or the place of others")

    def socketOpened(self, socket: WebSocket) -> None:
        """The peer has to speak first."""

    def messageReceived(self, data: bytes) -> None:
        """Take the one message that may come before the login is over."""
        server = self._server
        if not self.socket.isOpen:
            return
        account = token = None
        if self._requestId is None:
            try:
                packet = decode(data)
                if isinstance(packet, BTPMessage):
                    self._requestId = packet.requestId
                    account, token = _readCredentials(packet)
            except (DecodeError, UnicodeDecodeError):
                pass
        if account is None or token is None:
            server.rareLog.warn("a peer sent something else than a login; it was dropped")
            self.socket.close(POLICY_VIOLATION)
            return
        try:
            verdict = server.admit(account, token)
        except Exception as error:
            verdict = fail(error)
        if isinstance(verdict, Deferred):
            self._deciding = verdict
            verdict.addCallbacks(self._cbDecided, self._ebDecided)
        else:
            self._cbDecided(verdict)

    def socketFull(self) -> None:
        """Nobody sends yet."""

    def socketDrained(self) -> None:
        """Nobody sends yet."""

    def socketLost(self, reason: str) -> None:
        """Nobody needs a decision any more."""
        deciding, self._deciding = self._deciding, None
        if deciding is not None:
            deciding.cancel()

    def _ebDecided(self, failure: Failure) -> None:
        kind = failure.type.__name__ if failure.type is not None else ""
        if self.socket.isOpen:
            self._server.rareLog.warn(
                "a login was refused, for its check failed: {kind}", kind=kind
            )
        self._cbDecided(None)

    def _cbDecided(self, plugin: BTPServerPlugin | None) -> None:
        self._deciding = None
        socket, requestId = self.socket, self._requestId
        if not socket.isOpen or requestId is None:
            return
        if plugin is None or not plugin.isWelcoming:
            self._server.rareLog.warn("a login was refused")
            now = self._server.wallClock()
            socket.sendMessage(encodeRefusal(requestId, now, "authentication failed"))
            socket.close(POLICY_VIOLATION)
            return
        self._server.own(self, plugin)
        socket.maximumMessage = self._server.maximumMessage
        socket.sendMessage(encode(BTPResponse(requestId, [])))
        plugin.attach(socket)


def _readCredentials(packet: BTPMessage) -> tuple[str | None, str | None]:
    """Return account and token of a login, None if it is none; without a token it is empty."""
    entries = packet.protocolData
    if findEntry(entries, "auth") is None:
        return None, None
    account = findEntry(entries, "auth_username") or b""
    token = findEntry(entries, "auth_token") or b""
    return account.decode("utf-8"), token.decode("utf-8")
