"""
What every answer to a Prepare says besides yes or no: limits, closes and receipts.

Frames in answers are never acknowledged, so each answer carries the current maxima of what its
packet touches (RFC 29 section 3.6). Frames are appended to the list that is given, those that
seldom change as the octets they were encoded to before.
"""

from __future__ import annotations

from typing import Final

from txilpstream.amounts import U64_MAX
from txilpstream.crypto.receipts import MAX_STREAM_ID, signReceipt
from txilpstream.errors import ErrorCode
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.state import SessionState
from txilpstream.session.stream import CLOSING, SessionStream
from txilpstream.session.streams.streams import PEER_MAX_STREAM_ID
from txilpstream.wire.frames import (
    ConnectionNewAddress,
    Frame,
    StreamClose,
    StreamData,
    StreamDataBlocked,
    StreamMaxData,
    StreamMoneyBlocked,
    StreamReceipt,
    encodeFrame,
)
from txilpstream.wire.packet import StreamPacket

__all__ = ["addLimits", "addReceipts", "fit"]

FEW_FRAMES: Final = 24
"""So many frames fit into any answer: the longest, a close and its message, has 830 octets."""

MAX_ANSWER: Final = 31000
"""Octets of frames in an answer: a reply holds 32,767 octets of data, envelope and all."""

_TOUCHING: Final = frozenset(range(0x10, 0x17))
"""Frames that name a stream; a receipt asks for no answer about it."""


def addLimits(state: SessionState, packet: StreamPacket, frames: list[Frame | bytes]) -> None:
    """Say the limits of the streams that the packet touches, and of the connection."""
    streams, announcer = state.streams, state.announcer
    touched: dict[int, None] = {}
    isAsked = False
    for frame in packet.frames:
        kind = frame.type
        if kind in _TOUCHING:
            touched[frame.streamID] = None  # type: ignore[union-attr]
            if kind == StreamMoneyBlocked.type:
                _addDeaf(state, frame.streamID, frames)  # type: ignore[union-attr]
        elif kind == ConnectionNewAddress.type:
            isAsked = True
    asset = announcer.asset() if isAsked else None
    if asset is not None:
        frames.append(asset)
    for streamID in touched:
        stream = streams.open.get(streamID)
        if stream is not None:
            frames.append(announcer.maxMoney(stream))
            frames.append(announcer.maxData(stream))
        elif streams.wasOpened(streamID):
            _addUnread(state.configuration.streamWindow, streamID, packet, frames)
    if not state.destination:
        _addCloses(state, touched, frames)
    frames.append(announcer.connectionMaxData())
    if streams.maxStreamID != PEER_MAX_STREAM_ID:
        frames.append(announcer.maxStreamID())


def _addUnread(
    window: int, streamID: int, packet: StreamPacket, frames: list[Frame | bytes]
) -> None:
    """
    What is sent on a stream that is over here is dropped, and its sender goes on to its end.

    @param window: bytes that it may send beyond what it has.
    """
    for frame in packet.frames:
        if isinstance(frame, StreamData) and frame.streamID == streamID:
            end = frame.offset + len(frame.data)
        elif isinstance(frame, StreamDataBlocked) and frame.streamID == streamID:
            end = frame.maxOffset
        else:
            continue
        frames.append(StreamMaxData(streamID, min(end + window, U64_MAX)))


def _addDeaf(state: SessionState, streamID: int, frames: list[Frame | bytes]) -> None:
    """A peer waits to send money on a stream that will never take it: end the wait."""
    stream = state.streams.open.get(streamID)
    if stream is None or stream.isDeaf:
        message = "the stream is closed"
        frames.append(StreamClose(streamID, ErrorCode.STREAM_STATE_ERROR, message))


def _addCloses(state: SessionState, touched: dict[int, None], frames: list[Frame | bytes]) -> None:
    """
    Tell a peer that no packet of ours reaches which streams are closed: in every answer while
    the stream is not over, since nobody acknowledges that.
    """
    for kind, streamID in state.controls.pending:
        if kind == StreamClose.type:
            touched[streamID] = None
    for streamID in touched:
        stream = state.streams.open.get(streamID)
        if stream is not None and stream.state >= CLOSING:
            frames.append(StreamClose(streamID, stream.closeCode, stream.closeMessage))
            state.acknowledgeClose(stream)


def fit(frames: list[Frame | bytes]) -> list[Frame | bytes]:
    """
    Leave out what an answer has no room for: how much is said depends on what was asked.

    An answer that could not be written would be no answer, after its money was credited.
    """
    if len(frames) <= FEW_FRAMES:
        return frames
    kept: list[Frame | bytes] = []
    room = MAX_ANSWER
    for frame in frames:
        octets = frame if isinstance(frame, bytes) else encodeFrame(frame)
        if len(octets) <= room:
            room -= len(octets)
            kept.append(octets)
    return kept


def addReceipts(
    configuration: SessionConfiguration,
    parts: list[tuple[SessionStream, int]],
    frames: list[Frame | bytes],
) -> None:
    """Sign what each stream that got money has received in all (RFC 39)."""
    for stream, _ in parts:
        streamID = stream.streamID
        if streamID <= MAX_STREAM_ID:
            receipt = signReceipt(
                configuration.receiptNonce,
                streamID,
                stream.moneyIn.totalReceived,
                configuration.receiptSecret,
            )
            frames.append(StreamReceipt(streamID, receipt))
