"""
How the two ends of a WebSocket shake hands (RFC 6455 section 4).

This module knows requests and their answers, as C{wsproto} reads and writes them, and nothing of
who may log in. No extension is offered or accepted, so that a message is never larger than what
was received for it.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime
from wsproto.connection import Connection, ConnectionType
from wsproto.events import AcceptConnection, RejectConnection, Request
from wsproto.handshake import H11Handshake
from wsproto.utilities import RemoteProtocolError

from txilpstream.plugins.btp.websocket import (
    HANDSHAKE_TIME,
    MAXIMUM_MESSAGE,
    SocketOwner,
    WebSocket,
)

__all__ = ["ClientWebSocket", "ServerWebSocket"]

_SUBPROTOCOL: Final = "btp"
"""The one that is chosen if a client offers it; JavaScript's offers none."""

_REASONS: Final = {400: "Bad Request", 403: "Forbidden", 426: "Upgrade Required"}


class ServerWebSocket(WebSocket):
    """
    The end that was called.

    It answers any path. A request with an C{Origin} header is a web page's, which has no business
    here, and is refused. A peer that does not read is not read from: its answers would pile up.
    """

    def headReceived(self, head: bytes, rest: bytes) -> None:
        """Accept a request, or refuse it; nothing may follow it before it is answered."""
        status, answer, connection = _judge(head)
        if connection is None or rest:
            self._refuse(status or 400)
        else:
            self.transport.write(answer)
            self.opened(connection)

    def pauseProducing(self) -> None:
        """Read no more until the peer has read."""
        super().pauseProducing()
        if self.isOpen:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read again."""
        self.transport.resumeProducing()
        super().resumeProducing()

    def _refuse(self, status: int) -> None:
        lines = [f"HTTP/1.1 {status} {_REASONS[status]}", "Connection: close", "Content-Length: 0"]
        if status == 426:
            lines.append("Sec-WebSocket-Version: 13")
        self.transport.write("\r\n".join([*lines, "", ""]).encode("ascii"))
        self.end(f"the WebSocket handshake was refused with {status}")


def _judge(head: bytes) -> tuple[int, bytes, Connection | None]:
    """Return the status of a refusal, or 0 with the answer that accepts and what follows it."""
    handshake = H11Handshake(ConnectionType.SERVER)
    try:
        handshake.receive_data(head)
        request = next(handshake.events())
        assert isinstance(request, Request)
        if any(name.lower() == b"origin" for name, _ in request.extra_headers):
            return 403, b"", None
        chosen = _SUBPROTOCOL if _SUBPROTOCOL in request.subprotocols else None
        answer = handshake.send(AcceptConnection(subprotocol=chosen))
        return 0, answer, handshake.connection
    except RemoteProtocolError as error:
        hint = error.event_hint
        wanted = hint.status_code if isinstance(hint, RejectConnection) else 400
        return wanted if wanted in _REASONS else 400, b"", None
    except Exception:  # such as a header whose characters wsproto cannot read
        return 400, b"", None


class ClientWebSocket(WebSocket):
    """
    The end that calls.

    It reads whatever is written: were both ends to stop reading, neither would go on. What it
    owes as answers is bounded all the same, see L{WebSocket.sendMessage
    <txilpstream.plugins.btp.websocket.WebSocket.sendMessage>}.
    """

    isClient = True

    def __init__(
        self,
        reactor: IReactorTime,
        owner: SocketOwner,
        *,
        host: str,
        path: str = "/",
        maximumMessage: int = MAXIMUM_MESSAGE,
        handshakeTime: float = HANDSHAKE_TIME,
    ) -> None:
        """
        @param host: for the C{Host} header, with the port where it is not the scheme's own.
        @param path: for the request, with the query; ASCII without spaces.
        @param maximumMessage: octets of a message that is taken.
        @param handshakeTime: seconds until the handshake must be over.
        """
        super().__init__(reactor, owner, maximumMessage=maximumMessage, handshakeTime=handshakeTime)
        self._request = Request(host=host, target=path)
        self._handshake = H11Handshake(ConnectionType.CLIENT)

    def connectionMade(self) -> None:
        """Ask for a WebSocket."""
        super().connectionMade()
        self.transport.write(self._handshake.send(self._request))

    def headReceived(self, head: bytes, rest: bytes) -> None:
        """Take 101 for yes, and anything else for no."""
        try:
            self._handshake.receive_data(head)
            event = next(self._handshake.events(), None)
        except Exception:  # wsproto's own for what is wrong, others for what it cannot read
            event = None
        connection = self._handshake.connection
        if isinstance(event, RejectConnection):
            status = event.status_code
            self.abort(f"the peer answered the WebSocket handshake with {status}, not with 101")
        elif connection is None:
            self.abort("the peer's answer to the WebSocket handshake is wrong")
        else:
            self.opened(connection)
            if rest:
                self.framesReceived(rest)
