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

from twisted.internet.defer import Deferred, DeferredList, fail, maybeDeferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txilpstream.errors import ConnectionEnded, DecodeError, LocalError
from txilpstream.interfaces import IPlugin
from txilpstream.logs import RareLog
from txilpstream.plugins.base import tokenMatches
from txilpstream.plugins.btp.link import BTPLink, encodeRefusal
from txilpstream.plugins.btp.websocket import (
    GOING_AWAY,
    MAXIMUM_MESSAGE,
    POLICY_VIOLATION,
    ServerWebSocket,
    WebSocket,
)
from txilpstream.waiters import Timer, Waiters
from txilpstream.wire.btp import BTPMessage, BTPResponse, decode, encode, findEntry

__all__ = ["CONNECT_TIMEOUT", "BTPServer", "BTPServerPlugin"]

AUTHENTICATION_LIMIT: Final = 4096
"""Octets of a message before the login: accounts and tokens are short."""

AUTHENTICATION_TIME: Final = 10.0
"""Seconds from the connection to the end of the login."""

CONNECT_TIMEOUT: Final = 30.0
"""Seconds that C{connect} waits for the peer."""

MAXIMUM_CONNECTIONS: Final = 1000

_log = Logger()


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


class BTPServer(Factory):
    """
    Listens, and gives each peer that logs in to the plugin of its account.

    @ivar port: what listens, or None.
    """

    noisy = False

    def __init__(
        self,
        reactor: IReactorTime,
        endpoint: IStreamServerEndpoint,
        admit: Callable[[str, str], BTPServerPlugin | Deferred[BTPServerPlugin | None] | None],
        *,
        maximumConnections: int = MAXIMUM_CONNECTIONS,
        authenticationTime: float = AUTHENTICATION_TIME,
        maximumMessage: int = MAXIMUM_MESSAGE,
        wallClock: Callable[[], float] = time.time,
    ) -> None:
        """
        @param admit: called with account and token, it gives the plugin of the account, or None to
            refuse. It compares tokens in constant time, see L{tokenMatches
            <txilpstream.plugins.base.tokenMatches>}. An account that is
            not told is an empty string. A Deferred of its is cancelled if the peer is gone.
        @param maximumConnections: beyond them a newcomer takes the place of the oldest connection
            without a login; if all have logged in, it is refused.
        @param authenticationTime: seconds from the connection to the end of the login.
        @param maximumMessage: octets of a message that is taken after the login.
        @param wallClock: gives seconds since the epoch.
        """
        self.admit = admit
        self._wallClock = wallClock
        self._rareLog = RareLog(reactor, _log)
        self.port: IListeningPort | None = None
        self._reactor = reactor
        self._endpoint = endpoint
        self._maximumConnections = maximumConnections
        self._authenticationTime = authenticationTime
        self._maximumMessage = maximumMessage
        self._logins: dict[_Login, float] = {}
        self._sockets: set[WebSocket] = set()
        self._timer = Timer(reactor, self._sweep)
        self._isStopping = self._isAboutTo = False

    def start(self) -> Deferred[None]:
        """
        Begin to listen.

        @return: fires when it listens; fails if the endpoint cannot, or with L{LocalError} if it
            listens already, or is still about to.
        """
        if self.port is not None or self._isAboutTo:
            return fail(LocalError("this server listens already, or is about to: stop it first"))
        self._isStopping, self._isAboutTo = False, True
        listening: Deferred[IListeningPort] = maybeDeferred(self._endpoint.listen, self)
        return listening.addBoth(self._cbAnswered).addCallback(self._cbListening)

    def _cbAnswered(self, result: Any) -> Any:
        self._isAboutTo = False
        return result

    def _cbListening(self, port: IListeningPort) -> None:
        if self._isStopping:
            port.stopListening()
            raise ConnectionEnded("the server was stopped before it listened")
        self.port = port

    def stop(self) -> Deferred[None]:
        """
        Listen no more, and close all connections.

        @return: fires when they are gone, which takes some seconds if a peer does not close.
        """
        self._isStopping = True
        port, self.port = self.port, None
        sockets = list(self._sockets)
        waiting: list[Deferred[Any]] = [socket.whenLost() for socket in sockets]
        for socket in sockets:
            socket.close(GOING_AWAY)
        if port is not None:
            stopped: Any = port.stopListening()
            if isinstance(stopped, Deferred):
                waiting.append(stopped)
        return DeferredList(waiting, consumeErrors=True).addCallback(lambda _: None)

    def buildProtocol(self, addr: IAddress | None) -> ServerWebSocket | None:
        """Take a connection if there is room for it, or can be made."""
        if self._isStopping:
            return None
        if len(self._sockets) >= self._maximumConnections:
            oldest = next(iter(self._logins), None)
            if oldest is None:
                self._rareLog.warn("a connection was refused, for there are too many")
                return None
            self._rareLog.warn("a connection without a login was displaced")
            self._drop(oldest, "it was displaced before the login")
        login = _Login(self)
        socket = ServerWebSocket(
            self._reactor,
            login,
            maximumMessage=AUTHENTICATION_LIMIT,
            handshakeTime=self._authenticationTime,
        )
        login.socket = socket
        self._logins[login] = self._reactor.seconds() + self._authenticationTime
        self._sockets.add(socket)
        socket.whenLost().addCallback(self._cbLost, login)
        if not self._timer.isSet:
            self._timer.set(self._authenticationTime)
        return socket

    def _loggedIn(self, login: _Login) -> None:
        """A peer is let in."""
        self._logins.pop(login, None)
        login.socket.maximumMessage = self._maximumMessage

    def _cbLost(self, _: None, login: _Login) -> None:
        self._logins.pop(login, None)
        self._sockets.discard(login.socket)
        if not self._logins:
            self._timer.stop()

    def _drop(self, login: _Login, reason: str) -> None:
        del self._logins[login]
        login.socket.abort(reason)

    def _sweep(self) -> None:
        """Drop who has not logged in for too long."""
        now = self._reactor.seconds()
        for login, deadline in list(self._logins.items()):
            if deadline > now:
                self._timer.set(max(1.0, deadline - now))
                return
            self._rareLog.warn("a peer took too long to log in; it was dropped")
            self._drop(login, "the login took too long")


class _Login:
    """Who uses a server's socket until its peer is let in."""

    def __init__(self, server: BTPServer) -> None:
        self._server = server
        self._requestId: int | None = None
        self._deciding: Deferred[Any] | None = None
        self.socket: WebSocket

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
            server._rareLog.warn("a peer sent something else than a login; it was dropped")
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
            self._server._rareLog.warn(
                "a login was refused, for its check failed: {kind}", kind=kind
            )
        self._cbDecided(None)

    def _cbDecided(self, plugin: BTPServerPlugin | None) -> None:
        self._deciding = None
        socket, requestId = self.socket, self._requestId
        if not socket.isOpen or requestId is None:
            return
        if plugin is None or not plugin.isWelcoming:
            self._server._rareLog.warn("a login was refused")
            now = self._server._wallClock()
            socket.sendMessage(encodeRefusal(requestId, now, "authentication failed"))
            socket.close(POLICY_VIOLATION)
            return
        self._server._loggedIn(self)
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
