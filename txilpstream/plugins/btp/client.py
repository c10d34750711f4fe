"""
BTP (RFC 23) as a client: it dials, logs in, and dials again when the connection is lost.

A token is sent to the peer, in the clear to this machine only unless that is wanted, and shown to
nobody else.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txilpstream.errors import ConnectionEnded, DecodeError
from txilpstream.http.url import makeEndpoint, readBTPURL
from txilpstream.interfaces import IPlugin
from txilpstream.plugins.btp.link import BTPConnection, BTPLink
from txilpstream.plugins.btp.websocket import (
    MAXIMUM_MESSAGE,
    POLICY_VIOLATION,
    ClientWebSocket,
    WebSocket,
)
from txilpstream.waiters import Waiters
from txilpstream.wire.btp import (
    TEXT,
    BTPError,
    BTPMessage,
    BTPPacket,
    BTPResponse,
    ProtocolData,
    decode,
    encode,
)

__all__ = ["CONNECT_TIMEOUT", "BTPClientPlugin", "ClientLogin"]

CONNECT_TIMEOUT: Final = 30.0
"""Seconds for dialling, handshakes and login together."""

SHORTEST_WAIT: Final = 0.1
"""Seconds before the first attempt to connect again; they double with each that fails."""

LONGEST_WAIT: Final = 30.0
"""Seconds between attempts at most; a connection that stood so long starts the doubling anew."""

_log = Logger()


@implementer(IPlugin)
class BTPClientPlugin(BTPLink):
    """
    A plugin whose peer is a BTP server.

    The first connection is the caller's to wait for and to try again. Once there was one, the
    plugin connects again by itself whenever it is lost, until C{disconnect}; meanwhile packets
    fail with L{NotSent <txilpstream.interfaces.NotSent>} and the producer is paused.
    """

    _dialling: Deferred[Any] | None = None
    _socket: WebSocket | None = None
    _call: IDelayedCall | None = None
    _isKept = False
    _isDisconnecting = False
    _isGivenUp = False
    _hasComplained = False
    _attempts = 0
    _connectedAt = 0.0
    _why = ""

    def __init__(
        self,
        reactor: Any,
        url: str,
        *,
        account: str = "",
        token: str | None = None,
        isInsecure: bool = False,
        endpoint: IStreamClientEndpoint | None = None,
        connectTimeout: float = CONNECT_TIMEOUT,
        randomBytes: Callable[[int], bytes] = os.urandom,
        wallClock: Callable[[], float] = time.time,
        maximumMessage: int = MAXIMUM_MESSAGE,
    ) -> None:
        """
        @param url: C{btp+wss://account:token@host:port/path}; also C{btp+ws}, C{wss}, C{ws}.
        @param account: the user name, if the URL has none.
        @param token: the password, if the URL has none; without one a random one is used, the
            same for as long as this plugin lives.
        @param isInsecure: whether C{ws} may leave this machine.
        @param endpoint: dialled instead of the URL's host and port.
        @param connectTimeout: seconds for dialling, handshakes and login together.
        @param maximumMessage: octets of a message that is taken from the peer.
        @raise LocalError: if the URL is none, or would send the token over a network in the clear.
        """
        super().__init__(reactor, randomBytes=randomBytes, wallClock=wallClock)
        self._url = readBTPURL(url, isInsecure)
        self._account = self._url.username or account
        given = token if self._url.password is None else self._url.password
        self._token = randomBytes(16).hex() if given is None else given
        self._endpoint = endpoint
        self._connectTimeout = connectTimeout
        self._maximumMessage = maximumMessage
        self._connected: Waiters[None] = Waiters()
        self._disconnected: Waiters[None] = Waiters()

    def connect(self) -> Deferred[None]:
        """
        Dial and log in, or wait for the attempt that is under way.

        @return: fires when packets can be sent; fails with L{ConnectionEnded} if dialling fails,
            the peer refuses, or all takes longer than the time for it. Cancelling it gives the
            attempt up if nobody else wants it.
        """
        if self._isDisconnecting:
            return fail(ConnectionEnded("the plugin is being disconnected: wait for that first"))
        if self.isConnected():
            return succeed(None)
        connected = self._connected.add().addErrback(self._ebConnected)
        if self._dialling is None and self._socket is None:
            self._dial()
        return connected

    def disconnect(self) -> Deferred[None]:
        """
        Give the connection up, or the attempt at one.

        @return: fires when the socket is closed, after the packets without an answer failed. The
            peer has a few seconds to close too; what it answers meanwhile counts still.
        """
        isIdle = self._dialling is None and self._socket is None and self._call is None
        if isIdle and not self._isDisconnecting:
            return succeed(None)
        disconnected = self._disconnected.add()
        if not self._isDisconnecting:
            self._isDisconnecting = True
            self._isKept = False
            self._stopTimer()
            self.detach()
            if self._socket is not None:
                self._socket.close()
            elif self._dialling is not None:
                self._dialling.cancel()
            else:
                self.reactor.callLater(0, self._ended)
        return disconnected

    def _loggedIn(self, socket: WebSocket) -> None:
        """The peer said yes, on this socket."""
        self._stopTimer()
        self._socket = socket
        if self._isKept:
            _log.info("connected to {host} again", host=self._url.host)
        self._isKept = True
        self._hasComplained = False
        self._connectedAt = self.reactor.seconds()
        self.attach(socket)
        self._connected.fire(None)

    def _attemptFailed(self, reason: str, isRefused: bool = False) -> None:
        """An attempt came to nothing."""
        self._stopTimer()
        self._socket = None
        reason, self._why = self._why or reason, ""
        if self._isDisconnecting:
            self.reactor.callLater(0, self._ended)
            return
        isGivenUp, self._isGivenUp = self._isGivenUp, False
        if isGivenUp and self._connected:
            self._dial()  # for who came after the others had gone
            return
        if self._isKept:
            if isRefused and not self._hasComplained:
                self._hasComplained = True
                _log.warn("{host} refuses the authentication now", host=self._url.host)
            self._dialLater()
        where = f"{self._url.host}:{self._url.port}"
        self._connected.fail(ConnectionEnded(f"no connection to {where}: {reason}"))

    def connectionLost(self, connection: BTPConnection, reason: str) -> None:
        """Connect again, unless it was meant to end."""
        super().connectionLost(connection, reason)
        self._socket = None
        if self._isDisconnecting:
            self.reactor.callLater(0, self._ended)
            return
        if self.reactor.seconds() - self._connectedAt >= LONGEST_WAIT:
            self._attempts = 0
        self.rareLog.warn("the connection to {host} was lost", host=self._url.host)
        self._dialLater()

    def _ended(self) -> None:
        """All is closed: say so to who waits for that, and to who waits for a connection."""
        self._attempts = 0
        self._isDisconnecting = False
        self._connected.fail(ConnectionEnded("the plugin was disconnected"))
        self._disconnected.fire(None)

    def _ebConnected(self, failure: Failure) -> Failure:
        """Give an attempt up that nobody waits for, unless the plugin connects by itself."""
        isDialling = self._dialling is not None or self._socket is not None
        isCancelled = failure.check(CancelledError) is not None  # type: ignore[no-untyped-call]
        if isCancelled and isDialling and not (self._connected or self._isKept):
            self._isGivenUp = True
            self._giveUp("the attempt was given up")
        return failure

    def _dialLater(self) -> None:
        """Wait, with a random part, so that a server's clients do not come back all at once."""
        longest = min(LONGEST_WAIT, SHORTEST_WAIT * 2 ** min(self._attempts, 10))
        share = int.from_bytes(self.randomBytes(2), "big") / 65536
        self._attempts += 1
        self._call = self.reactor.callLater(longest * (1 + share) / 2, self._dial)

    def _dial(self) -> None:
        self._stopTimer()
        self._call = self.reactor.callLater(
            self._connectTimeout, self._giveUp, f"it took longer than {self._connectTimeout:g} s"
        )
        self._dialling = maybeDeferred(self._dialEndpoint)
        self._dialling.addCallbacks(self._cbDialled, self._ebDialled)

    def _dialEndpoint(self) -> Deferred[Any]:
        if self._endpoint is None:
            self._endpoint = makeEndpoint(self.reactor, self._url, timeout=self._connectTimeout)
        dialling: Deferred[Any] = self._endpoint.connect(_Dialled(self._makeSocket))
        return dialling

    def _makeSocket(self) -> ClientWebSocket:
        return ClientWebSocket(
            self.reactor,
            self._makeLogin(),
            host=self._url.authority,
            path=self._url.path,
            maximumMessage=self._maximumMessage,
            handshakeTime=self._connectTimeout,
            randomBytes=self.randomBytes,
        )

    def _makeLogin(self) -> ClientLogin:
        requestId = int.from_bytes(self.randomBytes(4), "big")
        return ClientLogin(
            requestId, self._account, self._token, self._loggedIn, self._attemptFailed
        )

    def _cbDialled(self, socket: WebSocket) -> None:
        self._dialling = None
        self._socket = socket

    def _ebDialled(self, failure: Failure) -> None:
        self._dialling = None
        self._attemptFailed(str(failure.value) or "it could not be dialled")

    def _giveUp(self, reason: str) -> None:
        """End an attempt before it ends by itself."""
        self._stopTimer()
        self._why = reason
        if self._dialling is not None:
            self._dialling.cancel()
        elif self._socket is not None:
            self._socket.abort(reason)

    def _stopTimer(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None


class ClientLogin:
    """Who uses a client's socket until the peer has said yes or no."""

    def __init__(
        self,
        requestId: int,
        account: str,
        token: str,
        loggedIn: Callable[[WebSocket], None],
        failed: Callable[[str, bool], None],
    ) -> None:
        """
        @param requestId: 32 bits, random.
        @param loggedIn: is called with the socket if the peer said yes; it gives the socket another
            owner.
        @param failed: is called with the reason, which holds no token, and whether it is that the
            peer refused, when the socket is lost before.
        """
        entries = [
            ProtocolData("auth"),
            ProtocolData("auth_username", TEXT, account.encode("utf-8", "replace")),
            ProtocolData("auth_token", TEXT, token.encode("utf-8", "replace")),
        ]
        self._requestId = requestId
        self._message = encode(BTPMessage(requestId, entries))
        self._loggedIn = loggedIn
        self._failed = failed
        self._socket: WebSocket | None = None
        self._why = ""
        self._isRefused = False

    def socketOpened(self, socket: WebSocket) -> None:
        """Say who this is."""
        self._socket = socket
        socket.sendMessage(self._message)

    def messageReceived(self, data: bytes) -> None:
        """Take the answer; nothing else may come before it."""
        socket = self._socket
        if socket is None or not socket.isOpen:
            return
        packet: BTPPacket | None
        try:
            packet = decode(data)
        except DecodeError:
            packet = None
        if isinstance(packet, BTPResponse) and packet.requestId == self._requestId:
            self._loggedIn(socket)
            return
        if isinstance(packet, BTPError) and packet.requestId == self._requestId:
            self._isRefused = True
            refusal = f"{packet.code} {packet.name[:80]}"
            self._why = f"the peer refused the authentication: {refusal!r}"
        else:
            self._why = "the peer did not answer the authentication, but sent something else"
        socket.close(POLICY_VIOLATION)

    def socketFull(self) -> None:
        """Nobody sends yet."""

    def socketDrained(self) -> None:
        """Nobody sends yet."""

    def socketLost(self, reason: str) -> None:
        """The attempt failed."""
        self._failed(self._why or reason, self._isRefused)


class _Dialled(Factory):
    """Makes the one protocol of an attempt."""

    noisy = False

    def __init__(self, make: Callable[[], ClientWebSocket]) -> None:
        self._make = make

    def buildProtocol(self, addr: IAddress | None) -> ClientWebSocket:
        return self._make()
