"""
BTP (RFC 23) as a server: it listens, lets peers log in, and gives each account a plugin.

This module knows connections until they are logged in, and how many there may be; who may log in
is decided by a function that it is given. Before the login a peer costs a socket, a few hundred
octets and one decoded packet. A peer learns of a refusal nothing but that it is one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList, fail, maybeDeferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
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
from txilpstream.wire.btp import BTPMessage, BTPResponse, decode, encode, findEntry

__all__ = ["CONNECT_TIMEOUT", "BTPListeningPlugin", "BTPServer", "BTPServerPlugin", "tokenMatches"]

AUTHENTICATION_LIMIT: Final = 4096
"""Octets of a message before the login: accounts and tokens are short."""

AUTHENTICATION_TIME: Final = 10.0
"""Seconds from the connection to the end of the login."""

MAXIMUM_CONNECTIONS: Final = 1000

_log = Logger()


@implementer(IPlugin)
class BTPServerPlugin(BTPLink):
    """
    The server's end of one account, which its peer comes to and goes from.

    A second login displaces the first, whose packets without an answer are in doubt.

    @ivar isWelcoming: whether the peer may log in; not so after C{disconnect}, until C{connect}.
    """

    isWelcoming = True
    _closing: WebSocket | None = None

    def connect(self) -> Deferred[None]:
        """Let the peer log in; this waits for nobody."""
        self.isWelcoming = True
        return succeed(None)

    def disconnect(self) -> Deferred[None]:
        """
        Let the peer go and come no more.

        @return: fires when its socket is closed, after the packets without an answer failed.
        """
        self.isWelcoming = False
        self._closing = self.detach() or self._closing
        if self._closing is None:
            return succeed(None)
        self._closing.close()
        return self._closing.whenLost()

    def attach(self, socket: WebSocket) -> None:
        """Take the peer's new connection, and close the one before."""
        before = self.detach()
        super().attach(socket)
        if before is not None:
            before.close(POLICY_VIOLATION)


class _ServerLogin:
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
        self._server.loggedIn(self)
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
        self.wallClock = wallClock
        self.rareLog = RareLog(reactor, _log)
        self.port: IListeningPort | None = None
        self._reactor = reactor
        self._endpoint = endpoint
        self._maximumConnections = maximumConnections
        self._authenticationTime = authenticationTime
        self._maximumMessage = maximumMessage
        self._logins: dict[_ServerLogin, float] = {}
        self._sockets: set[WebSocket] = set()
        self._call: IDelayedCall | None = None
        self._isStopping = False

    def listen(self) -> Deferred[IListeningPort]:
        """
        Begin to listen.

        @return: fires with what listens; fails if the endpoint cannot.
        @raise LocalError: if it listens already.
        """
        if self.port is not None:
            raise LocalError("this server listens already")
        self._isStopping = False
        listening: Deferred[IListeningPort] = self._endpoint.listen(self)
        return listening.addCallback(self._cbListening)

    def _cbListening(self, port: IListeningPort) -> IListeningPort:
        if self._isStopping:
            port.stopListening()
            raise ConnectionEnded("the server was stopped before it listened")
        self.port = port
        return port

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
                self.rareLog.warn("a connection was refused, for there are too many")
                return None
            self.rareLog.warn("a connection without a login was displaced")
            self._drop(oldest, "it was displaced before the login")
        login = _ServerLogin(self)
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
        if self._call is None:
            self._call = self._reactor.callLater(self._authenticationTime, self._sweep)
        return socket

    def loggedIn(self, login: _ServerLogin) -> None:
        """A peer is let in."""
        self._logins.pop(login, None)
        login.socket.maximumMessage = self._maximumMessage

    def _cbLost(self, _: None, login: _ServerLogin) -> None:
        self._logins.pop(login, None)
        self._sockets.discard(login.socket)
        if not self._logins and self._call is not None:
            self._call.cancel()
            self._call = None

    def _drop(self, login: _ServerLogin, reason: str) -> None:
        del self._logins[login]
        login.socket.abort(reason)

    def _sweep(self) -> None:
        """Drop who has not logged in for too long."""
        self._call = None
        now = self._reactor.seconds()
        for login, deadline in list(self._logins.items()):
            if deadline > now:
                self._call = self._reactor.callLater(max(1.0, deadline - now), self._sweep)
                return
            self.rareLog.warn("a peer took too long to log in; it was dropped")
            self._drop(login, "the login took too long")


CONNECT_TIMEOUT: Final = 30.0
"""Seconds that C{connect} waits for the peer."""


@implementer(IPlugin)
class BTPListeningPlugin(BTPServerPlugin):
    """
    A plugin that listens for its one peer, as JavaScript's BTP plugin does with a listener.

    It listens from C{connect} to C{disconnect}, whether or not the peer came in time, and lets
    it come again when it was lost.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        endpoint: IStreamServerEndpoint,
        token: str,
        *,
        connectTimeout: float = CONNECT_TIMEOUT,
    ) -> None:
        """
        @param token: what the peer must present; its account is not looked at.
        @param connectTimeout: seconds that C{connect} waits for the peer.
        @raise LocalError: if the token is empty.
        """
        super().__init__(reactor)
        if not token:
            raise LocalError("a BTP plugin that listens needs a token, which its peer presents")
        self._token = token
        self._connectTimeout = connectTimeout
        self._waiting: list[Deferred[None]] = []
        self._isListening = False
        self.server = BTPServer(reactor, endpoint, self._admit)

    def connect(self) -> Deferred[None]:
        """
        Listen, and wait for the peer.

        @return: fires when the peer has logged in; fails if the endpoint cannot listen, or with
            L{ConnectionEnded} if nobody came in time: wait again, or disconnect.
        """
        self.isWelcoming = True
        if self.isConnected():
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._forget)
        self._waiting.append(waiting)
        if not self._isListening:
            self._isListening = True
            maybeDeferred(self.server.listen).addErrback(self._ebListening)
        return waiting.addTimeout(self._connectTimeout, self.reactor, self._tooLate)

    def disconnect(self) -> Deferred[None]:
        """
        Listen no more and close the connection.

        @return: fires when the sockets are closed, after the packets without an answer failed.
        """
        self._isListening = False
        gone = DeferredList([super().disconnect(), self.server.stop()], consumeErrors=True)
        return gone.addCallback(self._cbGone)

    def attach(self, socket: WebSocket) -> None:
        """Take the peer's connection, and tell who waits for it."""
        super().attach(socket)
        self._endWaiting(None)

    def _admit(self, account: str, token: str) -> BTPServerPlugin | None:
        return self if tokenMatches(self._token, token) else None

    def _ebListening(self, failure: Failure) -> None:
        self._isListening = False
        self._endWaiting(failure)

    def _cbGone(self, _: object) -> None:
        if not self._isListening:
            self._endWaiting(ConnectionEnded("the plugin was disconnected"))

    def _endWaiting(self, error: Failure | Exception | None) -> None:
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            if deferred.called:
                continue
            if error is None:
                deferred.callback(None)
            else:
                deferred.errback(error)

    def _forget(self, waiting: Deferred[None]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def _tooLate(self, outcome: object, timeout: float) -> None:
        raise ConnectionEnded(f"no peer logged in within {timeout:g} s")
