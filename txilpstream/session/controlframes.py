"""
Frames that are said again until they were heard.

A control frame is known by its type and its stream. It is built with the values of the moment when
it leaves, and it is done when a packet that carried its latest version was answered with authentic
data (RFC 29 section 3.6). Versions are counted over all frames and never used twice: an answer that
comes late does not count for what was said anew meanwhile. Frames in replies are never acknowledged
and are not versions: what they say of our limits is built here all the same, as current values.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from txilpstream.errors import ErrorCode
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.streams.streams import SessionStream, Streams
from txilpstream.wire.frames import (
    STREAM_FRAME_TYPES,
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

__all__ = ["MAX_CONTROLS", "ControlFrames"]

MAX_CONTROLS: Final = 20
"""Control frames in one packet."""

Key = tuple[int, int]


class ControlFrames:
    """
    The control frames of one end.

    Those that are repeated are added, taken into a packet, and heard or lost with it. What every
    answer says of our limits is kept as octets.

    @ivar pending: keys of frames that wait to leave.
    @ivar isCrowded: whether the last packet had no room for one that waited.
    """

    __slots__ = (
        "_configuration",
        "_count",
        "_encodedMaxStreamID",
        "_streams",
        "_toldMaxStreamID",
        "_versions",
        "isCrowded",
        "pending",
    )

    def __init__(self, configuration: SessionConfiguration, streams: Streams) -> None:
        self._configuration = configuration
        self._streams = streams
        self._toldMaxStreamID = -1
        self._encodedMaxStreamID = b""
        self._count = 0
        self._versions: dict[Key, int] = {}
        self.pending: dict[Key, None] = {}
        self.isCrowded = False

    def add(self, kind: int, streamID: int = 0) -> None:
        """A frame is to be said, or has changed."""
        key = (kind, streamID)
        self._count += 1
        self._versions[key] = self._count
        self.pending[key] = None

    def take(
        self, room: int, *, isAlone: bool = True
    ) -> tuple[list[Frame], tuple[tuple[Key, int], ...]]:
        """
        Build the frames that go into the next packet.

        @param room: octets that they may have.
        @param isAlone: whether nothing else is in the packet, which then takes one of any size.
        @return: the frames, and the keys with versions to be handed back.
        """
        frames: list[Frame] = []
        taken: list[tuple[Key, int]] = []
        self.isCrowded = False
        for key in list(islice(self.pending, MAX_CONTROLS)):
            frame = self.build(*key)
            if frame is not None:
                room -= len(encodeFrame(frame))
                if room < 0 and (frames or not isAlone):
                    self.isCrowded = True
                    break
                frames.append(frame)
                taken.append((key, self._versions[key]))
            else:
                self._versions.pop(key, None)
            del self.pending[key]
        return frames, tuple(taken)

    def heard(self, taken: tuple[tuple[Key, int], ...]) -> list[Key]:
        """
        A packet was answered with authentic data.

        @return: the keys whose latest version was heard.
        """
        done = []
        for key, version in taken:
            if self._versions.get(key) == version:
                del self._versions[key]
                self.pending.pop(key, None)
                done.append(key)
        return done

    def lost(self, taken: tuple[tuple[Key, int], ...]) -> None:
        """A packet was not heard, as far as is known: what is not done is said again."""
        for key, _ in taken:
            if key in self._versions:
                self.pending[key] = None

    def drop(self, streamID: int) -> None:
        """A stream is gone."""
        for kind in STREAM_FRAME_TYPES:
            key = (kind, streamID)
            if self._versions.pop(key, None) is not None:
                self.pending.pop(key, None)

    # --- What is said of ourselves -------------------------------------------------------------

    def asset(self) -> ConnectionAssetDetails | None:
        """What we say of our own asset, None if it is not known."""
        code, scale = self._configuration.sourceAssetCode, self._configuration.sourceAssetScale
        return None if code is None or scale is None else ConnectionAssetDetails(code, scale)

    def tellMaxStreamID(self) -> bytes:
        """The largest stream id that we accept, as an encoded frame."""
        limit = self._streams.maxStreamID
        if limit != self._toldMaxStreamID:
            self._toldMaxStreamID = limit
            self._encodedMaxStreamID = encodeFrame(ConnectionMaxStreamID(limit))
        return self._encodedMaxStreamID

    def tellConnectionMaxData(self) -> bytes:
        """What all streams take, as an encoded frame."""
        receiveWindow = self._streams.receiveWindow
        limit = receiveWindow.tell()
        if not receiveWindow.encoded:
            receiveWindow.encoded = encodeFrame(ConnectionMaxData(limit))
        return receiveWindow.encoded

    @staticmethod
    def tellMaxData(stream: SessionStream) -> bytes:
        """What a stream takes, as an encoded frame."""
        receiveWindow = stream.receiveWindow
        limit = receiveWindow.tell()
        if not receiveWindow.encoded:
            receiveWindow.encoded = encodeFrame(StreamMaxData(stream.streamID, limit))
        return receiveWindow.encoded

    @staticmethod
    def tellMaxMoney(stream: SessionStream) -> StreamMaxMoney:
        """What a stream takes and has got."""
        money = stream.moneyIn
        money.isTold = True
        return StreamMaxMoney(stream.streamID, money.receiveMax, money.totalReceived)

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
            return ConnectionMaxData(streams.receiveWindow.tell())
        if kind == ConnectionMaxStreamID.type:
            return ConnectionMaxStreamID(streams.maxStreamID)
        if kind == ConnectionDataBlocked.type:
            unsent = sum(stream.queue.unsent for stream in streams.open.values())
            return ConnectionDataBlocked(streams.sendWindow.used + unsent)
        wanted = max((s.streamID for s in streams.open.values() if not s.hasOpened), default=0)
        return ConnectionStreamIDBlocked(wanted) if wanted > streams.peerMaxStreamID else None

    def _buildForStream(self, kind: int, stream: SessionStream) -> Frame | None:
        streamID, money = stream.streamID, stream.moneyOut
        if kind == StreamClose.type:
            return StreamClose(streamID, stream.closeCode, stream.closeMessage)
        if kind == StreamMaxMoney.type:
            return self.tellMaxMoney(stream)
        if kind == StreamMaxData.type:
            return StreamMaxData(streamID, stream.receiveWindow.tell())
        if kind == StreamMoneyBlocked.type:
            return StreamMoneyBlocked(streamID, money.sendMax, money.sent)
        if kind == StreamDataBlocked.type:
            return StreamDataBlocked(streamID, stream.queue.offset + stream.queue.unsent)
        isKnown = stream.queue.offset or money.left
        if isKnown or stream.isAborted or streamID > self._streams.peerMaxStreamID:
            return None
        stream.hasOpened = True
        return StreamData(streamID, 0, b"")
