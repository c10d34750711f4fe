"""
How a stream gets its protocol, whichever side opened it.

A factory that raises or gives nothing costs its own stream and no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger

from txilpstream.transport.protocol import StreamAddress
from txilpstream.transport.stream import Stream

if TYPE_CHECKING:
    from txilpstream.transport.connection import StreamConnection

__all__ = ["acceptStream", "openStream"]

_log = Logger()


def openStream(connection: StreamConnection, factory: IProtocolFactory) -> Deferred[Any]:
    """
    Open a stream and connect a protocol to it.

    @return: as of C{StreamConnection.openStream}.
    @raise LocalError: if the connection is closed.
    """
    streamID = connection.session.openStream()
    stream = connection.streams[streamID] = Stream(connection, streamID)
    connection.wake()
    try:
        protocol = _build(connection, stream, factory)
    except Exception:
        stream.abortConnection()
        return fail()
    if protocol is None:
        stream.abortConnection()
        return fail(NoProtocol())
    _start(stream, protocol)
    return succeed(protocol)


def acceptStream(connection: StreamConnection, streamID: int) -> None:
    """Connect a protocol to a stream that the peer opened, or refuse it."""
    if connection.session.isClosed:
        return  # the packet that named the stream broke the protocol besides
    stream = connection.streams[streamID] = Stream(connection, streamID)
    protocol = None
    if connection.factory is not None:
        try:
            protocol = _build(connection, stream, connection.factory)
        except Exception:
            _log.failure("buildProtocol of a factory raised; its stream is refused")
    if protocol is None:
        stream.abortConnection()
    else:
        _start(stream, protocol)


def _build(connection: StreamConnection, stream: Stream, factory: IProtocolFactory) -> Any:
    session, tag = connection.session, connection.connectionTag
    return factory.buildProtocol(StreamAddress(session.peerAddress, stream.streamID, tag))


def _start(stream: Stream, protocol: Any) -> None:
    try:
        stream.start(protocol)
    except Exception:
        _log.failure("connectionMade of a protocol raised; its stream is closed")
        stream.abortConnection()
