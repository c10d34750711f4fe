"""
STREAM packets before encryption (RFC 29 section 5.2).

Octets after the frames are junk data and ignored: senders pad with them. A packet must stay within
what one ILP packet carries (L{fit}); what its frames mean is decided in C{session}.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from txilpstream.errors import DecodeError
from txilpstream.wire.frames import Frame, decodeFrames, encodeFrame
from txilpstream.wire.ilp import FULFILL, PREPARE, REJECT
from txilpstream.wire.oer import encodeVarUInt, readVarUInt

__all__ = [
    "FEW_FRAMES",
    "FULFILL",
    "MAX_ANSWER",
    "PREPARE",
    "REJECT",
    "VERSION",
    "StreamPacket",
    "decodeHeader",
    "decodePacket",
    "encodePacket",
    "fit",
]

VERSION: Final = 1
"""The only version of STREAM there is; it stands for AES-256-GCM too (RFC 29 section 5.1)."""


@dataclass(slots=True)
class StreamPacket:
    """
    What one end tells the other in the data of an ILP packet.

    @ivar sequence: the number of the Prepare; its reply bears the same.
    @ivar packetType: the ILP packet it travels in: 12, 13 or 14.
    @ivar prepareAmount: in a Prepare the least amount to be accepted, in a reply the amount that
        arrived; in the receiver's units.
    @ivar frames: in the order of the wire, those of unknown type left out.
    """

    sequence: int
    packetType: int
    prepareAmount: int
    frames: list[Frame] = field(default_factory=list)


def encodePacket(
    sequence: int,
    packetType: int,
    prepareAmount: int,
    frames: Sequence[Frame | bytes],
    padTo: int = 0,
) -> bytes:
    """
    Write a STREAM packet.

    @param frames: a frame that was encoded before, with C{encodeFrame}, may stand as its octets.
    @param padTo: append zero octets until it has so many (RFC 29 section 5.2, Junk Data).
    @raise OverflowError: if a number does not fit in its field.
    """
    octets = b"".join(
        [
            b"\x01%c" % packetType,
            encodeVarUInt(sequence),
            encodeVarUInt(prepareAmount),
            encodeVarUInt(len(frames)),
            *[frame if isinstance(frame, bytes) else encodeFrame(frame) for frame in frames],
        ]
    )
    return octets.ljust(padTo, b"\0") if padTo else octets


def _decodeStart(buf: bytes) -> tuple[StreamPacket, int]:
    end = len(buf)
    if end < 2:
        raise DecodeError(f"a STREAM packet of {end} octets is too short")
    if buf[0] != VERSION:
        raise DecodeError(f"version {buf[0]} of STREAM is not known, only {VERSION}")
    if not PREPARE <= buf[1] <= REJECT:
        raise DecodeError(f"{buf[1]} is not the type of an ILP packet")
    sequence, pos = readVarUInt(buf, 2, end)
    prepareAmount, pos = readVarUInt(buf, pos, end)
    return StreamPacket(sequence, buf[1], prepareAmount, []), pos


def decodeHeader(buf: bytes) -> StreamPacket:
    """
    Read a STREAM packet without its frames, such as one whose frames are not valid.

    @raise DecodeError: if the header itself is not valid.
    """
    return _decodeStart(buf)[0]


def decodePacket(buf: bytes) -> StreamPacket:
    """
    Read a STREAM packet.

    @raise DecodeError: if the octets are none, of another version, or a frame is not valid.
    """
    packet, pos = _decodeStart(buf)
    count, pos = readVarUInt(buf, pos, len(buf))
    packet.frames, _ = decodeFrames(buf, pos, count)
    return packet


FEW_FRAMES: Final = 24
"""So many frames fit into any answer: the longest, a close and its message, has 830 octets."""

MAX_ANSWER: Final = 31000
"""Octets of frames in an answer: a reply holds 32,767 octets of data, envelope and all."""


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
