"""
What this end says of itself: its limits, its asset and address, what blocks it, what it closed.

A frame is built with the values of the moment when it leaves. This module decides neither when
something is said nor how often; it knows the streams and the configuration.
"""

from __future__ import annotations

from txilpstream.errors import ErrorCode
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.stream import SessionStream
from txilpstream.session.streams.streams import Streams
from txilpstream.wire.frames import (
    ConnectionAssetDetails,
    ConnectionClose,
    ConnectionDataBlocked,
    ConnectionMaxData,
    ConnectionMaxStreamID,
    ConnectionNewAddress,
    ConnectionStreamIDBlocked,
    Frame,
    StreamClose,
    StreamData,
    StreamDataBlocked,
    StreamMaxData,
    StreamMaxMoney,
    StreamMoneyBlocked,
    encodeFrame,
)

__all__ = ["Announcer"]


class Announcer:
    """Builds control frames."""

    __slots__ = ("_configuration", "_encodedMaxStreamID", "_streams", "_toldMaxStreamID")

    def __init__(self, configuration: SessionConfiguration, streams: Streams) -> None:
        self._configuration = configuration
        self._streams = streams
        self._toldMaxStreamID = -1
        self._encodedMaxStreamID = b""

    def build(self, kind: int, streamID: int) -> Frame | None:
        """
        Make a control frame.

        @param kind: the type of the frame.
        @param streamID: 0 for a frame of the connection.
        @return: None if it is pointless now.
        """
        if streamID:
            stream = self._streams.open.get(streamID)
            return None if stream is None else self._buildForStream(kind, stream)
        streams = self._streams
        if kind == ConnectionNewAddress.type:
            return ConnectionNewAddress(self._configuration.sourceAddress)
        if kind == ConnectionClose.type:
            return ConnectionClose(ErrorCode.NO_ERROR)
        if kind == ConnectionAssetDetails.type:
            return self.asset()
        if kind == ConnectionMaxData.type:
            return ConnectionMaxData(streams.grant.tell())
        if kind == ConnectionMaxStreamID.type:
            return ConnectionMaxStreamID(streams.maxStreamID)
        if kind == ConnectionDataBlocked.type:
            unsent = sum(stream.queue.unsent for stream in streams.open.values())
            return ConnectionDataBlocked(streams.sendCredit.used + unsent)
        wanted = max((s.streamID for s in streams.open.values() if not s.hasOpened), default=0)
        return ConnectionStreamIDBlocked(wanted) if wanted > streams.peerMaxStreamID else None

    def _buildForStream(self, kind: int, stream: SessionStream) -> Frame | None:
        streamID, money = stream.streamID, stream.moneyOut
        if kind == StreamClose.type:
            return StreamClose(streamID, stream.closeCode, stream.closeMessage)
        if kind == StreamMaxMoney.type:
            return self.maxMoney(stream)
        if kind == StreamMaxData.type:
            return StreamMaxData(streamID, stream.grant.tell())
        if kind == StreamMoneyBlocked.type:
            return StreamMoneyBlocked(streamID, money.sendMax, money.sent)
        if kind == StreamDataBlocked.type:
            return StreamDataBlocked(streamID, stream.queue.offset + stream.queue.unsent)
        isKnown = stream.queue.offset or money.left
        if isKnown or stream.isAborted or streamID > self._streams.peerMaxStreamID:
            return None
        stream.hasOpened = True
        return StreamData(streamID, 0, b"")

    def asset(self) -> ConnectionAssetDetails | None:
        """What we say of our own asset, None if it is not known."""
        code, scale = self._configuration.sourceAssetCode, self._configuration.sourceAssetScale
        return None if code is None or scale is None else ConnectionAssetDetails(code, scale)

    def maxStreamID(self) -> bytes:
        """The largest stream id that we accept, as an encoded frame."""
        limit = self._streams.maxStreamID
        if limit != self._toldMaxStreamID:
            self._toldMaxStreamID = limit
            self._encodedMaxStreamID = encodeFrame(ConnectionMaxStreamID(limit))
        return self._encodedMaxStreamID

    def connectionMaxData(self) -> bytes:
        """What all streams take, as an encoded frame."""
        grant = self._streams.grant
        limit = grant.tell()
        if not grant.encoded:
            grant.encoded = encodeFrame(ConnectionMaxData(limit))
        return grant.encoded

    @staticmethod
    def maxData(stream: SessionStream) -> bytes:
        """What a stream takes, as an encoded frame."""
        grant = stream.grant
        limit = grant.tell()
        if not grant.encoded:
            grant.encoded = encodeFrame(StreamMaxData(stream.streamID, limit))
        return grant.encoded

    @staticmethod
    def maxMoney(stream: SessionStream) -> StreamMaxMoney:
        """What a stream takes and has got."""
        money = stream.moneyIn
        money.isTold = True
        return StreamMaxMoney(stream.streamID, money.receiveMax, money.totalReceived)
