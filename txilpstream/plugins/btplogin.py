"""
How a BTP client logs in (RFC 23): one Message that says who it is, and one answer.

This module knows what is sent and which answer is a yes; who wants to log in, and what to do if
that fails, it does not know.
"""

from __future__ import annotations

from collections.abc import Callable

from txilpstream.errors import DecodeError
from txilpstream.plugins.btp.websocket import POLICY_VIOLATION, WebSocket
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

__all__ = ["ClientLogin"]


class ClientLogin:
    """
    Who uses a client's socket until the peer has said yes or no.
    """

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
