"""
BTP 2.0 packets (RFC 23), between bytes and values.

A decoder gives a value or raises L{DecodeError}; what a packet means, and which request a response
belongs to, is not decided here. Input is taken as strictly as it is written: octets after a packet,
or after the known fields within it, are an error. Nearly every packet carries one ILP packet and
nothing else; those have functions of their own, which make no objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from txilpstream.amounts import U64_MAX
from txilpstream.errors import DecodeError, LocalError
from txilpstream.wire.ilp import encodeTimestamp
from txilpstream.wire.oer import (
    encodeVarOctets,
    encodeVarUInt,
    readUInt8,
    readVarOctets,
    readVarUInt,
)

__all__ = [
    "ERROR",
    "MAX_ENTRIES",
    "MESSAGE",
    "OCTET_STREAM",
    "RESPONSE",
    "TEXT",
    "TRANSFER",
    "BTPError",
    "BTPMessage",
    "BTPPacket",
    "BTPResponse",
    "BTPTransfer",
    "ProtocolData",
    "decode",
    "decodeILP",
    "encode",
    "encodeGeneralizedTime",
    "encodeILPMessage",
    "encodeILPResponse",
    "findEntry",
]

RESPONSE: Final = 1
ERROR: Final = 2
MESSAGE: Final = 6
TRANSFER: Final = 7

OCTET_STREAM: Final = 0
"""The content type of octets: ILP packets."""
TEXT: Final = 1
"""The content type of text in UTF-8: accounts and tokens."""

MAX_ENTRIES: Final = 32
"""Entries of protocol data that a packet may have; peers send three at most."""

U32_MAX: Final = 0xFFFFFFFF

_HEAD: Final = Struct(">BI")
_AMOUNT: Final = Struct(">Q")
_HEAD_SIZE: Final = _HEAD.size

_ILP_ENTRY: Final = b"\x01\x01\x03ilp\x00"
"""One entry, its name and its content type: what stands before the length of an ILP packet."""
_ILP_ENTRY_SIZE: Final = len(_ILP_ENTRY)


@dataclass(slots=True)
class ProtocolData:
    """
    One entry of what a packet carries for a sub-protocol.

    @ivar name: of the sub-protocol, ASCII, such as C{"ilp"}.
    @ivar contentType: 0 for octets, 1 for text in UTF-8, 2 for JSON.
    @ivar data: what the sub-protocol makes of it; not shown, for it may be a token.
    """

    name: str
    contentType: int = OCTET_STREAM
    data: bytes = field(default=b"", repr=False)


@dataclass(slots=True)
class BTPMessage:
    """
    A request.

    @ivar requestId: 32 bits, chosen by who asks.
    @ivar protocolData: the primary entry first.
    """

    requestId: int
    protocolData: list[ProtocolData]


@dataclass(slots=True)
class BTPResponse:
    """
    The answer to a Message or a Transfer.

    @ivar requestId: of the request.
    @ivar protocolData: the primary entry first; may be empty.
    """

    requestId: int
    protocolData: list[ProtocolData]


@dataclass(slots=True)
class BTPError:
    """
    The refusal of a Message or a Transfer.

    @ivar requestId: of the request.
    @ivar code: three ASCII characters, such as C{"F00"}.
    @ivar name: ASCII, such as C{"NotAcceptedError"}.
    @ivar triggeredAt: a time as L{encodeGeneralizedTime} writes it; any ASCII text is taken.
    @ivar data: for people or programs, as the peer likes.
    @ivar protocolData: most often empty.
    """

    requestId: int
    code: str
    name: str
    triggeredAt: str
    data: bytes = b""
    protocolData: list[ProtocolData] = field(default_factory=list)


@dataclass(slots=True)
class BTPTransfer:
    """
    A request that says that money moved beside Interledger.

    @ivar requestId: 32 bits, chosen by who asks.
    @ivar amount: 64 bits, in units that the two peers agreed upon.
    @ivar protocolData: the primary entry first.
    """

    requestId: int
    amount: int
    protocolData: list[ProtocolData]


BTPPacket = BTPMessage | BTPResponse | BTPError | BTPTransfer


def findEntry(protocolData: list[ProtocolData], name: str) -> bytes | None:
    """Return the data of the first entry with this name, or None if there is none."""
    for entry in protocolData:
        if entry.name == name:
            return entry.data
    return None


def encodeGeneralizedTime(moment: float) -> str:
    """
    Write a time as C{YYYYMMDDHHMMSS.mmmZ}.

    @param moment: seconds since the epoch.
    @raise LocalError: if it is before 1970 or after 9999.
    """
    text = encodeTimestamp(moment).decode("ascii")
    return f"{text[:14]}.{text[14:]}Z"


def _encodeASCII(what: str, text: str) -> bytes:
    if not text.isascii():
        raise LocalError(f"the {what} {text[:80]!r} must be of ASCII characters")
    return text.encode("ascii")


def _encodeProtocolData(entries: list[ProtocolData]) -> bytes:
    if len(entries) > MAX_ENTRIES:
        raise LocalError(
            f"{len(entries)} entries of protocol data are too many: use {MAX_ENTRIES} at most"
        )
    parts = [encodeVarUInt(len(entries))]
    for entry in entries:
        if not 0 <= entry.contentType <= 255:
            raise LocalError(f"the content type {entry.contentType} must be from 0 to 255")
        parts.append(encodeVarOctets(_encodeASCII("name", entry.name)))
        parts.append(b"%c" % entry.contentType)
        parts.append(encodeVarOctets(entry.data))
    return b"".join(parts)


def encode(packet: BTPPacket) -> bytes:
    """
    Write any packet.

    @raise LocalError: if a number does not fit, a text is not ASCII, the code of an Error has not
        three characters, or there are more than L{MAX_ENTRIES} entries.
    """
    if not 0 <= packet.requestId <= U32_MAX:
        raise LocalError(f"the request id {packet.requestId} must be from 0 to {U32_MAX}")
    content = _encodeProtocolData(packet.protocolData)
    if isinstance(packet, BTPMessage):
        kind = MESSAGE
    elif isinstance(packet, BTPResponse):
        kind = RESPONSE
    elif isinstance(packet, BTPTransfer):
        kind = TRANSFER
        if not 0 <= packet.amount <= U64_MAX:
            raise LocalError(f"the amount {packet.amount} must be from 0 to {U64_MAX}")
        content = _AMOUNT.pack(packet.amount) + content
    else:
        kind = ERROR
        code = _encodeASCII("code", packet.code)
        if len(code) != 3:
            raise LocalError(f"the code {packet.code[:20]!r} must have three characters")
        content = b"%b%b%b%b%b" % (
            code,
            encodeVarOctets(_encodeASCII("name", packet.name)),
            encodeVarOctets(_encodeASCII("time", packet.triggeredAt)),
            encodeVarOctets(packet.data),
            content,
        )
    return _HEAD.pack(kind, packet.requestId) + encodeVarOctets(content)


def encodeILPMessage(requestId: int, packet: bytes) -> bytes:
    """
    Write a Message that carries one ILP packet.

    @param requestId: 32 bits, which is not checked.
    """
    entry = _ILP_ENTRY + encodeVarOctets(packet)
    return _HEAD.pack(MESSAGE, requestId) + encodeVarOctets(entry)


def encodeILPResponse(requestId: int, packet: bytes) -> bytes:
    """
    Write a Response that carries one ILP packet.

    @param requestId: 32 bits, which is not checked.
    """
    entry = _ILP_ENTRY + encodeVarOctets(packet)
    return _HEAD.pack(RESPONSE, requestId) + encodeVarOctets(entry)


def _restAfterLength(data: bytes, pos: int, end: int) -> int:
    """Return where octets begin whose length, canonically written at pos, makes them the rest."""
    first = data[pos]
    if first < 128:
        return pos + 1 if first == end - pos - 1 else 0
    if first == 0x81:
        length = end - pos - 2
        return pos + 2 if length >= 128 and data[pos + 1] == length else 0
    length = end - pos - 3
    if first == 0x82 and length >= 256 and data[pos + 1] << 8 | data[pos + 2] == length:
        return pos + 3
    return 0


def decodeILP(data: bytes) -> tuple[int, int, bytes] | None:
    """
    Read a Message or a Response whose only entry is an ILP packet of less than 64 KiB.

    @return: L{MESSAGE} or L{RESPONSE}, the request id and the ILP packet; None if the octets are
        anything else, or nothing at all: ask L{decode}.
    """
    end = len(data)
    if end < _HEAD_SIZE + 2 + _ILP_ENTRY_SIZE:
        return None
    kind, requestId = _HEAD.unpack_from(data)
    if kind != MESSAGE and kind != RESPONSE:
        return None
    start = _restAfterLength(data, _HEAD_SIZE, end)
    if not start or not data.startswith(_ILP_ENTRY, start):
        return None
    start = _restAfterLength(data, start + _ILP_ENTRY_SIZE, end)
    return (kind, requestId, data[start:]) if start else None


def _readASCII(what: str, buf: bytes, pos: int, end: int) -> tuple[str, int]:
    octets, pos = readVarOctets(buf, pos, end)
    if not octets.isascii():
        raise DecodeError(f"a {what} has other than ASCII characters")
    return octets.decode("ascii"), pos


def _readProtocolData(buf: bytes, pos: int) -> list[ProtocolData]:
    """Read what is the rest of each packet."""
    end = len(buf)
    count, pos = readVarUInt(buf, pos, end)
    if count > MAX_ENTRIES:
        raise DecodeError(f"{count} entries of protocol data are more than {MAX_ENTRIES}")
    entries = []
    for _ in range(count):
        name, pos = _readASCII("name", buf, pos, end)
        contentType, pos = readUInt8(buf, pos, end)
        data, pos = readVarOctets(buf, pos, end)
        entries.append(ProtocolData(name, contentType, data))
    if pos != end:
        raise DecodeError(f"{end - pos} octets follow the protocol data")
    return entries


def decode(data: bytes) -> BTPPacket:
    """
    Read any packet.

    @raise DecodeError: if the octets are none.
    """
    end = len(data)
    if end < _HEAD_SIZE:
        raise DecodeError(f"a packet of {end} octets is too short")
    kind, requestId = _HEAD.unpack_from(data)
    content, pos = readVarOctets(data, _HEAD_SIZE, end)
    if pos != end:
        raise DecodeError(f"{end - pos} octets follow the packet")
    if kind == MESSAGE:
        return BTPMessage(requestId, _readProtocolData(content, 0))
    if kind == RESPONSE:
        return BTPResponse(requestId, _readProtocolData(content, 0))
    if kind == TRANSFER:
        if len(content) < _AMOUNT.size:
            raise DecodeError(f"a Transfer of {len(content)} octets is too short")
        (amount,) = _AMOUNT.unpack_from(content)
        return BTPTransfer(requestId, amount, _readProtocolData(content, _AMOUNT.size))
    if kind == ERROR:
        return _decodeError(requestId, content)
    raise DecodeError(f"the type {kind} is unknown")


def _decodeError(requestId: int, content: bytes) -> BTPError:
    end = len(content)
    code = content[:3]
    if len(code) < 3 or not code.isascii():
        raise DecodeError(f"{code!r} is not a code of an Error")
    name, pos = _readASCII("name", content, 3, end)
    triggeredAt, pos = _readASCII("time", content, pos, end)
    data, pos = readVarOctets(content, pos, end)
    entries = _readProtocolData(content, pos)
    return BTPError(requestId, code.decode("ascii"), name, triggeredAt, data, entries)
