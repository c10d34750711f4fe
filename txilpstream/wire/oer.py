"""
Octet encoding rules, as far as Interledger needs them (RFC 30).

Every reader is a plain function C{(buf, pos, end) -> (value, pos)} over bytes. Output is
canonical. Input is taken as widely deployed peers take it: leading zeros inside a VarUInt are
accepted, a length prefix that is longer than it need be is not.
"""

from __future__ import annotations

from typing import Final

from txilpstream.amounts import U64_MAX
from txilpstream.errors import DecodeError

__all__ = [
    "encodeLength",
    "encodeVarOctets",
    "encodeVarUInt",
    "readLength",
    "readUInt8",
    "readVarOctets",
    "readVarUInt",
    "readVarUIntClamped",
]

_MAX_LENGTH_OCTETS: Final = 4
"""A length prefix counts at most this many octets: 4 GiB is beyond any packet."""


def encodeLength(length: int) -> bytes:
    """Encode a length: one octet up to 127, else a count of octets and these."""
    if length < 128:
        return b"%c" % length
    size = (length.bit_length() + 7) // 8
    return b"%c%b" % (0x80 | size, length.to_bytes(size, "big"))


def encodeVarOctets(octets: bytes) -> bytes:
    """Prefix octets with their length."""
    length = len(octets)
    if length < 128:
        return b"%c%b" % (length, octets)
    return b"%b%b" % (encodeLength(length), octets)


_SMALL: Final = tuple(b"\x01%c" % value for value in range(256))


def encodeVarUInt(value: int) -> bytes:
    """
    Encode an unsigned integer in as few octets as it needs, prefixed with their count.

    @raise OverflowError: if it is negative or does not fit in 64 bits.
    """
    if 0 <= value < 256:
        return _SMALL[value]
    if value > U64_MAX:
        raise OverflowError(f"an integer of {value.bit_length()} bits does not fit in 64")
    size = (value.bit_length() + 7) // 8
    return b"%c%b" % (size, value.to_bytes(size, "big"))


def readUInt8(buf: bytes, pos: int, end: int) -> tuple[int, int]:
    """
    @raise DecodeError: if nothing is left.
    """
    if pos >= end:
        raise DecodeError(f"an octet is missing at {pos}")
    return buf[pos], pos + 1


def readLength(buf: bytes, pos: int, end: int) -> tuple[int, int]:
    """Read a length prefix and check that so many octets follow."""
    if pos >= end:
        raise DecodeError(f"a length is missing at {pos}")
    length = buf[pos]
    pos += 1
    if length >= 128:
        size = length & 0x7F
        if not 1 <= size <= _MAX_LENGTH_OCTETS or pos + size > end:
            raise DecodeError(f"a length of {size} octets at {pos} is not possible")
        length = int.from_bytes(buf[pos : pos + size], "big")
        if length < 128 or length >> (8 * (size - 1)) == 0:
            raise DecodeError(f"the length {length} at {pos} is written longer than it need be")
        pos += size
    if pos + length > end:
        raise DecodeError(f"{length} octets are announced at {pos}, {end - pos} are left")
    return length, pos


def readVarOctets(buf: bytes, pos: int, end: int) -> tuple[bytes, int]:
    """
    Read octets with a length prefix.

    @raise DecodeError: if the prefix is not canonical or fewer octets are left than it says.
    """
    if pos < end and (length := buf[pos]) < 128 and (stop := pos + 1 + length) <= end:
        return buf[pos + 1 : stop], stop
    length, pos = readLength(buf, pos, end)
    return buf[pos : pos + length], pos + length


def readVarUInt(buf: bytes, pos: int, end: int) -> tuple[int, int]:
    """
    Read an unsigned integer of at most eight octets, leading zeros allowed.

    @raise DecodeError: if it has no octets, more than eight, or fewer than announced.
    """
    if pos < end:
        length = buf[pos]
        start = pos + 1
        stop = start + length
        if stop <= end:
            if length == 1:
                return buf[start], stop
            if 1 < length <= 8:
                return int.from_bytes(buf[start:stop], "big"), stop
    length, pos = readLength(buf, pos, end)
    raise DecodeError(f"an integer of {length} octets at {pos}: from 1 to 8 are possible")


def readVarUIntClamped(buf: bytes, pos: int, end: int) -> tuple[int, int]:
    """
    Read an unsigned integer of any size and give 2**64 - 1 for all that is larger.

    Only two fields are read so (RFC 29 sections 5.3.9 and 5.3.10).

    @raise DecodeError: if it has no octets, or fewer than announced.
    """
    length, pos = readLength(buf, pos, end)
    if length == 0:
        raise DecodeError(f"an integer without octets at {pos}")
    return min(int.from_bytes(buf[pos : pos + length], "big"), U64_MAX), pos + length
