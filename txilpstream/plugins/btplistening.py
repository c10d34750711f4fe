"""
BTP (RFC 23) for a single peer that calls: the listening counterpart of the client plugin.

This module knows one token and how long to wait; the listening itself is C{btpserver}'s.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime, IStreamServerEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from txilpstream.errors import ConnectionEnded, LocalError
from txilpstream.interfaces import IPlugin
from txilpstream.plugins.btp.server import BTPServer, BTPServerPlugin, tokenMatches
from txilpstream.plugins.btp.websocket import WebSocket

__all__ = ["CONNECT_TIMEOUT", "BTPListeningPlugin"]

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
