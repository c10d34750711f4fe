"""
WebSocket (RFC 6455) for BTP: both handshakes, and then binary messages and nothing else.

The frames are C{wsproto}'s, and what that leaves to its user is here. The size of a message is
checked chunk by chunk before it is joined, and a handshake before it is read. Text, a wrong frame,
or an end that stays silent closes. A peer that does not read costs no more than L{OVERHANG}.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet import protocol
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.python.failure import Failure
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.handshake import H11Handshake
from wsproto.utilities import RemoteProtocolError
from zope.interface import implementer

from txilpstream.http.listener import comesFromPage, isOnLoopback, setNoDelay
from txilpstream.waiters import Timer, Waiters

__all__ = [
    "CLOSE_TIME",
    "HANDSHAKE_LIMIT",
    "HANDSHAKE_TIME",
    "LARGE_READ",
    "MAXIMUM_MESSAGE",
    "OVERHANG",
    "PING_INTERVAL",
    "SMALL_READ",
    "ClientWebSocket",
    "JoinedMessage",
    "ServerWebSocket",
    "SocketOwner",
    "WebSocket",
    "encodeBinary",
]

MAXIMUM_MESSAGE: Final = 65536
"""Octets: twice what the largest ILP packet needs."""

HANDSHAKE_LIMIT: Final = 8192
"""Octets of a request or a response, as web servers have it."""

HANDSHAKE_TIME: Final = 10.0
"""Seconds until the handshake must be over."""

PING_INTERVAL: Final = 30.0
"""Seconds between two looks: without a sound since the last look, the peer is pinged."""

SILENT_LOOKS: Final = 3
"""Looks without a sound after which the peer is gone: 60 s after the first ping."""

CLOSE_TIME: Final = 5.0
"""Seconds that a peer has to close too, and the socket to be rid of what was written."""

OVERHANG: Final = 4 * 1024 * 1024
"""Octets that may be written while the socket is full; then the peer does not read at all."""

SMALL_READ: Final = 4096
"""Octets to be read at once where messages are small."""

LARGE_READ: Final = 65536
"""The same where the last one was larger than that."""

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED_DATA: Final = 1003
POLICY_VIOLATION: Final = 1008
MESSAGE_TOO_BIG: Final = 1009

_SHAKING, _OPEN, _CLOSING, _ENDED = range(4)

_SUBPROTOCOL: Final = "btp"
"""The one that is chosen if a client offers it; JavaScript's offers none."""

_REASONS: Final = {400: "Bad Request", 403: "Forbidden", 426: "Upgrade Required"}


class SocketOwner(Protocol):
    """Who uses a socket; it may be another one after a login."""

    def socketOpened(self, socket: WebSocket) -> None:
        """The handshake is over: messages can be sent."""

    def messageReceived(self, data: bytes) -> None:
        """A whole binary message came, also while this end waits for the peer to close too."""

    def socketFull(self) -> None:
        """Send less: the socket takes no more octets now."""

    def socketDrained(self) -> None:
        """The socket takes octets again."""

    def socketLost(self, reason: str) -> None:
        """The socket is closed for good, once, whether it was ever open or not."""


@implementer(IPushProducer)
class WebSocket(protocol.Protocol):
    """
    What both ends do alike once they are open.

    A subclass adds the handshake: it gets the head of what the peer says first in
    C{headReceived}, and calls C{opened}.

    @ivar owner: who hears of messages; it may be replaced at any time.
    @ivar maximumMessage: octets; a longer message closes with 1009. It may be changed.
    @ivar isOpen: whether messages can be sent.
    @ivar isClient: whether this end masks what it sends (RFC 6455 section 5.3).
    @ivar isFull: whether the socket has more to write than it should.
    """

    isClient = False
    _randomBytes: Callable[[int], bytes]  # clients have it
    # Any: what is registered with and asked of it is in no single interface of Twisted's
    transport: Any

    def __init__(
        self,
        reactor: IReactorTime,
        owner: SocketOwner,
        *,
        maximumMessage: int = MAXIMUM_MESSAGE,
        handshakeTime: float = HANDSHAKE_TIME,
        whenMade: Callable[[], object] = lambda: None,
    ) -> None:
        """
        @param maximumMessage: octets of a message that is taken.
        @param handshakeTime: seconds until the handshake must be over.
        @param whenMade: is called when there is a connection, before the handshake.
        """
        self.owner = owner
        self.maximumMessage = maximumMessage
        self.isOpen = False
        self.isFull = False
        self._handshakeTime = handshakeTime
        self._whenMade = whenMade
        self._state = _SHAKING
        self._head = bytearray()
        self._connection: Connection | None = None
        self._message = JoinedMessage()
        self._pong: bytes | None = None
        self._isHeard = False
        self._silentLooks = 0
        self._overhang = 0
        self._why = ""
        self._timer = Timer(reactor, self._look)
        self._isLost = False
        self._lost: Waiters[None] = Waiters()

    def connectionMade(self) -> None:
        """Begin: small packets leave at once, and the handshake has its time."""
        self._whenMade()
        setNoDelay(self.transport)
        self.transport.registerProducer(self, True)
        self._timer.set(self._handshakeTime)

    def dataReceived(self, data: bytes) -> None:
        """Take octets of the handshake, or of frames."""
        self._isHeard = True
        if self._state == _OPEN or self._state == _CLOSING:
            self.framesReceived(data)
            self.transport.bufferSize = self._message.readSize
        elif self._state == _SHAKING:
            stop = _addToHead(self._head, data)
            if stop > HANDSHAKE_LIMIT:
                self.abort(f"a handshake is longer than {HANDSHAKE_LIMIT} octets")
            elif stop:
                head, self._head = bytes(self._head), bytearray()
                self.headReceived(head[:stop], head[stop:])

    def headReceived(self, head: bytes, rest: bytes) -> None:
        """
        Take the whole head of the peer's request or response.

        @param rest: what came after it.
        """
        raise NotImplementedError

    def opened(self, connection: Connection) -> None:
        """Go on with frames."""
        self._connection = connection
        self._state = _OPEN
        self.isOpen = True
        self._timer.set(PING_INTERVAL)
        self.owner.socketOpened(self)

    def sendMessage(self, data: bytes) -> bool:
        """
        Send a binary message.

        @return: whether it was written; False if the socket is not open, or so full that the
            peer cannot be reading.
        """
        if not self.isOpen:
            return False
        if self.isFull:
            if self._overhang > OVERHANG:
                return False
            self._overhang += len(data)
        self.transport.write(encodeBinary(data, self._randomBytes(4) if self.isClient else b""))
        return True

    def close(self, code: int = NORMAL) -> None:
        """
        Say goodbye, and wait a little for the peer's; for any code but 1000 and 1001 do not wait.

        Messages that come meanwhile are received still. It may be called in any state.
        """
        if self._state == _SHAKING:
            self.abort("this end closed")
        elif self._state == _OPEN:
            self._state = _CLOSING
            self.isOpen = False
            self._why = self._why or f"this end closed with {code}"
            self._write(CloseConnection(code))
            self.transport.resumeProducing()
            if code not in {NORMAL, GOING_AWAY}:
                self.end()
            else:
                self._timer.set(CLOSE_TIME)

    def abort(self, reason: str) -> None:
        """
        Drop the connection at once, whatever was to be written.

        @param reason: for C{socketLost}.
        """
        self._why = self._why or reason
        self._state = _ENDED
        self.isOpen = False
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """Clean up and tell the owner."""
        self._timer.stop()
        self._state = _ENDED
        self.isOpen = False
        self._connection = None
        self._head.clear()
        self._message.take()
        self._isLost = True
        self.owner.socketLost(self._why or str(reason.value))
        self._lost.fire(None)

    def whenLost(self) -> Deferred[None]:
        """
        Wait for the end.

        @return: fires when the socket is closed and its owner knows.
        """
        return succeed(None) if self._isLost else self._lost.add()

    def pauseProducing(self) -> None:
        """The socket is full; a transport says so at each write while it is."""
        if not self.isFull:
            self.isFull = True
            self._overhang = 0
            self.owner.socketFull()

    def resumeProducing(self) -> None:
        """The socket is drained."""
        self.isFull = False
        self.owner.socketDrained()

    def stopProducing(self) -> None:
        """The transport is gone; C{connectionLost} says so too."""

    def _look(self) -> None:
        """The one timer is due: a time is over, or it is time to see whether the peer is there."""
        if self._state == _SHAKING:
            self.abort(f"the WebSocket handshake took longer than {self._handshakeTime:g} s")
        elif self._state != _OPEN:
            self.abort("the peer did not close")
        else:
            self._lookForSounds()

    def _lookForSounds(self) -> None:
        self._silentLooks = 0 if self._isHeard else self._silentLooks + 1
        self._isHeard = False
        if self._silentLooks >= SILENT_LOOKS:
            self.abort("the peer is silent")
            return
        if self._silentLooks and not self.isFull:
            self._write(Ping())
        self._timer.set(PING_INTERVAL)

    def _write(self, event: Event) -> None:
        assert self._connection is not None
        self.transport.write(self._connection.send(event))

    def end(self, reason: str = "") -> None:
        """Close the transport when all is written, or when that takes too long; for subclasses."""
        self._why = self._why or reason
        self._state = _ENDED
        self.isOpen = False
        self._timer.set(CLOSE_TIME)
        # A transport with a paused producer would not close when it is drained.
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _fail(self, code: int, reason: str) -> None:
        """The peer did what it must not."""
        self._why = reason
        if self._state == _OPEN:
            self.close(code)
        else:
            self.end()

    def framesReceived(self, data: bytes) -> None:
        """Take octets of frames, if the socket is not closed already; for subclasses."""
        connection = self._connection
        if connection is None or self._state == _ENDED:
            return
        connection.receive_data(data)
        for event in connection.events():
            if event.__class__ is not BytesMessage:
                self._eventReceived(connection, event)
            elif not self._message.add(event, self.maximumMessage):
                self._fail(MESSAGE_TOO_BIG, f"a message has over {self.maximumMessage} octets")
            elif event.message_finished:
                self.owner.messageReceived(self._message.take())
            if self._state == _ENDED:
                return
        if self._pong is not None:
            # One answer to all pings of a chunk, and none that would only fill a full socket.
            payload, self._pong = self._pong, None
            if self.isOpen and not self.isFull:
                self._write(Pong(payload))

    def _eventReceived(self, connection: Connection, event: Event) -> None:
        if isinstance(event, Ping):
            self._pong = bytes(event.payload)
        elif isinstance(event, TextMessage):
            self._fail(UNSUPPORTED_DATA, "the peer sent text")
        elif isinstance(event, CloseConnection):
            # For a frame that is wrong there is this event too, and the state stays.
            if connection.state is ConnectionState.REMOTE_CLOSING:
                self._why = f"the peer closed with {int(event.code)}"
                self._write(event.response())
                self.end()
            elif connection.state is ConnectionState.CLOSED:
                self.end()
            else:
                self._fail(int(event.code), "the peer sent a wrong frame")


class ServerWebSocket(WebSocket):
    """
    The end that was called.

    It answers any path. A web page has no business here, and is refused. A peer that does not read
    is not read from: its answers would pile up.
    """

    def headReceived(self, head: bytes, rest: bytes) -> None:
        """Accept a request, or refuse it; nothing may follow it before it is answered."""
        status, answer, connection = _judge(head, isOnLoopback(self.transport))
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
        randomBytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """
        @param host: for the C{Host} header, with the port where it is not the scheme's own.
        @param path: for the request, with the query; ASCII without spaces.
        @param maximumMessage: octets of a message that is taken.
        @param handshakeTime: seconds until the handshake must be over.
        @param randomBytes: gives so many unpredictable octets, to mask messages with.
        """
        super().__init__(reactor, owner, maximumMessage=maximumMessage, handshakeTime=handshakeTime)
        self._randomBytes = randomBytes
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


def _judge(head: bytes, isLocal: bool) -> tuple[int, bytes, Connection | None]:
    """Return the status of a refusal, or 0 with the answer that accepts and what follows it."""
    handshake = H11Handshake(ConnectionType.SERVER)
    try:
        handshake.receive_data(head)
        request = next(handshake.events())
        assert isinstance(request, Request)
        fields = {name.lower(): value for name, value in request.extra_headers}
        if comesFromPage(fields | {b"host": request.host.encode("latin-1")}, isLocal):
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


def _addToHead(head: bytearray, data: bytes) -> int:
    """Return where a head ends: 0 if that is still to come, more than the limit if it is long."""
    start = max(0, len(head) - 3)
    head += data
    end = head.find(b"\r\n\r\n", start)
    if end < 0:
        return 0 if len(head) <= HANDSHAKE_LIMIT else HANDSHAKE_LIMIT + 1
    return end + 4


class JoinedMessage:
    """
    A message that is not complete.

    @ivar readSize: octets to be read at once from now on.
    """

    __slots__ = ("_data", "readSize")

    def __init__(self) -> None:
        self._data: bytes | bytearray = b""
        self.readSize = SMALL_READ

    def add(self, event: BytesMessage, maximum: int) -> bool:
        """Add a chunk, unless the message would be longer than the maximum."""
        chunk = event.data
        if len(self._data) + len(chunk) > maximum:
            return False
        if not self._data:
            self._data = chunk
        elif isinstance(self._data, bytearray):
            self._data += chunk
        else:
            self._data = bytearray(self._data) + chunk
        return True

    def take(self) -> bytes:
        """Return what was joined, and begin the next."""
        data, self._data = self._data, b""
        self.readSize = LARGE_READ if len(data) > SMALL_READ else SMALL_READ
        return bytes(data)


_XOR: Final = [bytes(octet ^ key for octet in range(256)) for key in range(256)]
"""For each octet of a masking key, what becomes of every octet."""


def encodeBinary(data: bytes, maskingKey: bytes = b"") -> bytes:
    """
    Write a whole binary message as one frame.

    @param maskingKey: four octets, unpredictable and used once, from a client; from a server none.
    """
    length = len(data)
    bit = 128 if maskingKey else 0
    if length < 126:
        head = b"\x82%c" % (bit | length)
    elif length < 65536:
        head = b"\x82%c%c%c" % (bit | 126, length >> 8, length & 255)
    else:
        head = b"\x82%c%b" % (bit | 127, length.to_bytes(8, "big"))
    if not maskingKey:
        return head + data
    masked = bytearray(data)
    for offset, key in enumerate(maskingKey):
        masked[offset::4] = masked[offset::4].translate(_XOR[key])
    return head + maskingKey + masked
