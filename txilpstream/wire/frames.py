"""
The fifteen frames of STREAM (RFC 29 section 5.3, and StreamReceipt of RFC 39).

Each frame is a plain record; C{decodeFrames} skips frames of unknown type and ignores octets that
follow the known fields of one. What a frame means is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from txilpstream.amounts import U64_MAX
from txilpstream.errors import DecodeError
from txilpstream.wire.oer import (
    encodeLength,
    encodeVarOctets,
    encodeVarUInt,
    readLength,
    readUInt8,
    readVarOctets,
    readVarUInt,
    readVarUIntClamped,
)

__all__ = [
    "FRAME_TYPES",
    "STREAM_FRAME_TYPES",
    "ConnectionAssetDetails",
    "ConnectionClose",
    "ConnectionDataBlocked",
    "ConnectionMaxData",
    "ConnectionMaxStreamID",
    "ConnectionNewAddress",
    "ConnectionStreamIDBlocked",
    "Frame",
    "StreamClose",
    "StreamData",
    "StreamDataBlocked",
    "StreamMaxData",
    "StreamMaxMoney",
    "StreamMoney",
    "StreamMoneyBlocked",
    "StreamReceipt",
    "decodeFrames",
    "encodeFrame",
]


@dataclass(slots=True)
class ConnectionClose:
    """The connection is over, for the reason that the code gives (RFC 29 section 5.3.1)."""

    type: ClassVar[int] = 0x01
    errorCode: int
    errorMessage: str = ""


@dataclass(slots=True)
class ConnectionNewAddress:
    """Where the sender of this frame can be reached; empty for nowhere (section 5.3.2)."""

    type: ClassVar[int] = 0x02
    sourceAddress: str


@dataclass(slots=True)
class ConnectionMaxData:
    """How many bytes, summed over all streams, the sender of this takes (section 5.3.3)."""

    type: ClassVar[int] = 0x03
    maxOffset: int


@dataclass(slots=True)
class ConnectionDataBlocked:
    """How many bytes, summed over all streams, its sender wants to send (section 5.3.4)."""

    type: ClassVar[int] = 0x04
    maxOffset: int


@dataclass(slots=True)
class ConnectionMaxStreamID:
    """The largest stream id that its sender accepts (section 5.3.5)."""

    type: ClassVar[int] = 0x05
    maxStreamID: int


@dataclass(slots=True)
class ConnectionStreamIDBlocked:
    """The stream id that its sender would open (section 5.3.6)."""

    type: ClassVar[int] = 0x06
    maxStreamID: int


@dataclass(slots=True)
class ConnectionAssetDetails:
    """The asset of the side that sends this (section 5.3.14)."""

    type: ClassVar[int] = 0x07
    sourceAssetCode: str
    sourceAssetScale: int


@dataclass(slots=True)
class StreamClose:
    """A stream is over, for the reason that the code gives (section 5.3.7)."""

    type: ClassVar[int] = 0x10
    streamID: int
    errorCode: int
    errorMessage: str = ""


@dataclass(slots=True)
class StreamMoney:
    """The part of the Prepare's amount that is meant for a stream (section 5.3.8)."""

    type: ClassVar[int] = 0x11
    streamID: int
    shares: int


@dataclass(slots=True)
class StreamMaxMoney:
    """What its sender takes on a stream in all, and has got, in its own units (section 5.3.9)."""

    type: ClassVar[int] = 0x12
    streamID: int
    receiveMax: int
    totalReceived: int


@dataclass(slots=True)
class StreamMoneyBlocked:
    """What its sender wants to send in all, and has sent, in its own units (section 5.3.10)."""

    type: ClassVar[int] = 0x13
    streamID: int
    sendMax: int
    totalSent: int


@dataclass(slots=True)
class StreamData:
    """Bytes of the application and their place in the stream (section 5.3.11)."""

    type: ClassVar[int] = 0x14
    streamID: int
    offset: int
    data: bytes


@dataclass(slots=True)
class StreamMaxData:
    """How many bytes its sender takes on a stream in all (section 5.3.12)."""

    type: ClassVar[int] = 0x15
    streamID: int
    maxOffset: int


@dataclass(slots=True)
class StreamDataBlocked:
    """How many bytes its sender wants to send on a stream in all (section 5.3.13)."""

    type: ClassVar[int] = 0x16
    streamID: int
    maxOffset: int


@dataclass(slots=True)
class StreamReceipt:
    """A signed total of what a stream has received (RFC 39)."""

    type: ClassVar[int] = 0x17
    streamID: int
    receipt: bytes


Frame = (
    ConnectionClose
    | ConnectionNewAddress
    | ConnectionMaxData
    | ConnectionDataBlocked
    | ConnectionMaxStreamID
    | ConnectionStreamIDBlocked
    | ConnectionAssetDetails
    | StreamClose
    | StreamMoney
    | StreamMaxMoney
    | StreamMoneyBlocked
    | StreamData
    | StreamMaxData
    | StreamDataBlocked
    | StreamReceipt
)
"""Any of the fifteen."""

FRAME_TYPES: Final[dict[int, type[Frame]]] = {
    frame.type: frame
    for frame in (
        ConnectionClose,
        ConnectionNewAddress,
        ConnectionMaxData,
        ConnectionDataBlocked,
        ConnectionMaxStreamID,
        ConnectionStreamIDBlocked,
        ConnectionAssetDetails,
        StreamClose,
        StreamMoney,
        StreamMaxMoney,
        StreamMoneyBlocked,
        StreamData,
        StreamMaxData,
        StreamDataBlocked,
        StreamReceipt,
    )
}
"""The frame classes by their number on the wire."""

STREAM_FRAME_TYPES: Final = frozenset(
    kind for kind, frame in FRAME_TYPES.items() if "streamID" in frame.__slots__
)
"""The numbers of those that belong to a stream."""


def _text(value: str) -> bytes:
    return encodeVarOctets(value.encode("utf-8", "replace"))


_ENCODERS: Final[dict[type, Callable[..., bytes]]] = {
    ConnectionClose: lambda f: b"%c%b" % (f.errorCode, _text(f.errorMessage)),
    ConnectionNewAddress: lambda f: encodeVarOctets(f.sourceAddress.encode("ascii")),
    ConnectionMaxData: lambda f: encodeVarUInt(f.maxOffset),
    ConnectionDataBlocked: lambda f: encodeVarUInt(f.maxOffset),
    ConnectionMaxStreamID: lambda f: encodeVarUInt(f.maxStreamID),
    ConnectionStreamIDBlocked: lambda f: encodeVarUInt(f.maxStreamID),
    ConnectionAssetDetails: lambda f: b"%b%c" % (_text(f.sourceAssetCode), f.sourceAssetScale),
    StreamClose: lambda f: (
        b"%b%c%b" % (encodeVarUInt(f.streamID), f.errorCode, _text(f.errorMessage))
    ),
    StreamMoney: lambda f: encodeVarUInt(f.streamID) + encodeVarUInt(f.shares),
    StreamMaxMoney: lambda f: (
        b"%b%b%b"
        % (encodeVarUInt(f.streamID), encodeVarUInt(f.receiveMax), encodeVarUInt(f.totalReceived))
    ),
    StreamMoneyBlocked: lambda f: (
        b"%b%b%b"
        % (encodeVarUInt(f.streamID), encodeVarUInt(f.sendMax), encodeVarUInt(f.totalSent))
    ),
    StreamData: lambda f: (
        b"%b%b%b%b"
        % (encodeVarUInt(f.streamID), encodeVarUInt(f.offset), encodeLength(len(f.data)), f.data)
    ),
    StreamMaxData: lambda f: encodeVarUInt(f.streamID) + encodeVarUInt(f.maxOffset),
    StreamDataBlocked: lambda f: encodeVarUInt(f.streamID) + encodeVarUInt(f.maxOffset),
    StreamReceipt: lambda f: encodeVarUInt(f.streamID) + encodeVarOctets(f.receipt),
}


def encodeFrame(frame: Frame) -> bytes:
    """
    Write a frame: its type, the length of its contents, its contents.

    @raise OverflowError: if a number is negative or does not fit in its field.
    """
    contents = _ENCODERS[type(frame)](frame)
    if len(contents) < 128:
        return b"%c%c%b" % (frame.type, len(contents), contents)
    return b"%c%b%b" % (frame.type, encodeLength(len(contents)), contents)


def _decodeClose(buf: bytes, pos: int, end: int) -> Frame:
    code, pos = readUInt8(buf, pos, end)
    message, _ = readVarOctets(buf, pos, end)
    return ConnectionClose(code, message.decode("utf-8", "replace"))


def _decodeNewAddress(buf: bytes, pos: int, end: int) -> Frame:
    octets, _ = readVarOctets(buf, pos, end)
    if not octets.isascii():
        raise DecodeError("an address has other than ASCII characters")
    return ConnectionNewAddress(octets.decode("ascii"))


def _decodeAssetDetails(buf: bytes, pos: int, end: int) -> Frame:
    code, pos = readVarOctets(buf, pos, end)
    scale, _ = readUInt8(buf, pos, end)
    return ConnectionAssetDetails(code.decode("utf-8", "replace"), scale)


def _decodeStreamClose(buf: bytes, pos: int, end: int) -> Frame:
    streamID, pos = readVarUInt(buf, pos, end)
    code, pos = readUInt8(buf, pos, end)
    message, _ = readVarOctets(buf, pos, end)
    return StreamClose(streamID, code, message.decode("utf-8", "replace"))


def _decodeMoney(buf: bytes, pos: int, end: int) -> Frame:
    streamID, pos = readVarUInt(buf, pos, end)
    shares, _ = readVarUInt(buf, pos, end)
    return StreamMoney(streamID, shares)


def _decodeMaxMoney(buf: bytes, pos: int, end: int) -> Frame:
    streamID, pos = readVarUInt(buf, pos, end)
    receiveMax, pos = readVarUIntClamped(buf, pos, end)
    totalReceived, _ = readVarUInt(buf, pos, end)
    return StreamMaxMoney(streamID, receiveMax, totalReceived)


def _decodeMoneyBlocked(buf: bytes, pos: int, end: int) -> Frame:
    streamID, pos = readVarUInt(buf, pos, end)
    sendMax, pos = readVarUIntClamped(buf, pos, end)
    totalSent, _ = readVarUInt(buf, pos, end)
    return StreamMoneyBlocked(streamID, sendMax, totalSent)


def _decodeData(buf: bytes, pos: int, end: int) -> Frame:
    streamID, pos = readVarUInt(buf, pos, end)
    offset, pos = readVarUInt(buf, pos, end)
    data, _ = readVarOctets(buf, pos, end)
    if offset + len(data) > U64_MAX:
        raise DecodeError(f"data at {offset} ends beyond 2**64")
    return StreamData(streamID, offset, data)


def _decodeMaxData(buf: bytes, pos: int, end: int) -> Frame:
    streamID, pos = readVarUInt(buf, pos, end)
    maxOffset, _ = readVarUInt(buf, pos, end)
    return StreamMaxData(streamID, maxOffset)


def _decodeDataBlocked(buf: bytes, pos: int, end: int) -> Frame:
    streamID, pos = readVarUInt(buf, pos, end)
    maxOffset, _ = readVarUInt(buf, pos, end)
    return StreamDataBlocked(streamID, maxOffset)


def _decodeReceipt(buf: bytes, pos: int, end: int) -> Frame:
    streamID, pos = readVarUInt(buf, pos, end)
    receipt, _ = readVarOctets(buf, pos, end)
    return StreamReceipt(streamID, receipt)


_DECODERS: Final[dict[int, Callable[[bytes, int, int], Frame]]] = {
    0x01: _decodeClose,
    0x02: _decodeNewAddress,
    0x03: lambda buf, pos, end: ConnectionMaxData(readVarUInt(buf, pos, end)[0]),
    0x04: lambda buf, pos, end: ConnectionDataBlocked(readVarUInt(buf, pos, end)[0]),
    0x05: lambda buf, pos, end: ConnectionMaxStreamID(readVarUInt(buf, pos, end)[0]),
    0x06: lambda buf, pos, end: ConnectionStreamIDBlocked(readVarUInt(buf, pos, end)[0]),
    0x07: _decodeAssetDetails,
    0x10: _decodeStreamClose,
    0x11: _decodeMoney,
    0x12: _decodeMaxMoney,
    0x13: _decodeMoneyBlocked,
    0x14: _decodeData,
    0x15: _decodeMaxData,
    0x16: _decodeDataBlocked,
    0x17: _decodeReceipt,
}


def decodeFrames(buf: bytes, pos: int, count: int) -> tuple[list[Frame], int]:
    """
    Read so many frames; those of unknown type are skipped (RFC 29 section 5.3).

    @return: the frames of known type in their order, and the position after the last.
    @raise DecodeError: if a frame is cut short or its contents are not valid.
    """
    frames = []
    end = len(buf)
    if count > (end - pos) // 2:
        raise DecodeError(f"{count} frames do not fit into {end - pos} octets")
    for _ in range(count):
        kind, pos = readUInt8(buf, pos, end)
        if pos < end and buf[pos] < 128:
            start = pos + 1
            pos = start + buf[pos]
            if pos > end:
                raise DecodeError(f"a frame of type 0x{kind:02x} is cut short")
        else:
            length, start = readLength(buf, pos, end)
            pos = start + length
        decoder = _DECODERS.get(kind)
        if decoder is not None:
            frames.append(decoder(buf, start, pos))
    return frames, pos
