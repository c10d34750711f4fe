"""
ILPv4 packets (RFC 27): Prepare, Fulfill and Reject, between bytes and values.

A decoder gives a value or raises L{DecodeError}; what a packet means is not decided here. Octets
that follow a packet, or the known fields within it, are ignored. Times are seconds since the
epoch, UTC, to the millisecond.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from struct import Struct
from typing import Final

from txilpstream.amounts import U64_MAX
from txilpstream.errors import DecodeError, LocalError
from txilpstream.wire.address import MAX_ADDRESS_LENGTH
from txilpstream.wire.oer import encodeLength, encodeVarOctets, readLength, readVarOctets

__all__ = [
    "ERROR_NAMES",
    "MAX_DATA_LENGTH",
    "AmountTooLarge",
    "Fulfill",
    "Prepare",
    "Reject",
    "decode",
    "decodeAmountTooLarge",
    "decodePrepare",
    "decodeReply",
    "encodeAmountTooLarge",
    "encodeFulfill",
    "encodePrepare",
    "encodeReject",
    "encodeTimestamp",
    "isExpired",
    "isTemporary",
    "rejectWith",
]

PREPARE: Final = 12
FULFILL: Final = 13
REJECT: Final = 14

MAX_DATA_LENGTH: Final = 32767 + 64
"""The most octets of data that a packet may carry: 32,767 (RFC 27), and some more, since
ilp-protocol-stream fills packets beyond that, and other nodes let them pass. A session's own
packets stay within 32,767."""

ERROR_NAMES: Final[Mapping[str, str]] = {
    "F00": "Bad Request",
    "F01": "Invalid Packet",
    "F02": "Unreachable",
    "F03": "Invalid Amount",
    "F04": "Insufficient Destination Amount",
    "F05": "Wrong Condition",
    "F06": "Unexpected Payment",
    "F07": "Cannot Receive",
    "F08": "Amount Too Large",
    "F99": "Application Error",
    "T00": "Internal Error",
    "T01": "Peer Unreachable",
    "T02": "Peer Busy",
    "T03": "Connector Busy",
    "T04": "Insufficient Liquidity",
    "T05": "Rate Limited",
    "T99": "Application Error",
    "R00": "Transfer Timed Out",
    "R01": "Insufficient Source Amount",
    "R02": "Insufficient Timeout",
    "R99": "Application Error",
}
"""Every code of RFC 27 with its name."""


def isTemporary(code: str) -> bool:
    """Whether a packet that was rejected so may well pass later, as it is (RFC 27 section 3.3)."""
    return code[0] == "T"


@dataclass(slots=True)
class Prepare:
    """
    A conditional promise of money (RFC 27).

    @ivar amount: in the units of the two parties that exchange the packet, 64 bits.
    @ivar timestamp: when it expires, as the 17 digits C{YYYYMMDDHHMMSSmmm} of the wire.
    @ivar executionCondition: 32 octets, the SHA-256 hash of the fulfillment.
    @ivar destination: an ILP address.
    @ivar data: at most L{MAX_DATA_LENGTH} octets.
    """

    amount: int
    timestamp: bytes
    executionCondition: bytes
    destination: str
    data: bytes

    @property
    def expiresAt(self) -> float:
        """When it expires, in seconds since the epoch."""
        return _decodeTimestamp(self.timestamp)


@dataclass(slots=True)
class Fulfill:
    """
    Proof that the money arrived.

    @ivar fulfillment: 32 octets whose SHA-256 hash is the Prepare's condition.
    @ivar data: at most L{MAX_DATA_LENGTH} octets.
    """

    fulfillment: bytes
    data: bytes = b""


@dataclass(slots=True)
class Reject:
    """
    The promise is off.

    @ivar code: three characters, see L{ERROR_NAMES}.
    @ivar triggeredBy: the address of the node that made it, or an empty string.
    @ivar message: for people; octets that are not UTF-8 were replaced.
    @ivar data: at most L{MAX_DATA_LENGTH} octets.
    """

    code: str
    triggeredBy: str = ""
    message: str = ""
    data: bytes = b""


@dataclass(slots=True)
class AmountTooLarge:
    """
    The data of an F08 reject.

    @ivar receivedAmount: what the rejecting node got, in its units.
    @ivar maximumAmount: what it takes at most, in the same units.
    """

    receivedAmount: int
    maximumAmount: int


_HEAD: Final = Struct(">Q17s32s")
_AMOUNTS: Final = Struct(">QQ")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LATEST: Final = 253402300799.999


class _Second:
    """The last seconds that were encoded, decoded and compared with: packets come in droves."""

    __slots__ = ("encoded", "now", "nowText", "prefix", "seconds", "text")

    def __init__(self) -> None:
        self.encoded = -2  # not -1, which stands for a time out of the limits
        self.prefix = b""
        self.text = b""
        self.seconds = 0
        self.now = -1
        self.nowText = b""


_second: Final = _Second()


def encodeTimestamp(expiresAt: float) -> bytes:
    """
    Write a time as C{YYYYMMDDHHMMSSmmm} in UTC, to the nearest millisecond.

    @param expiresAt: seconds since the epoch.
    @raise LocalError: if it is before 1970 or after 9999.
    """
    milliseconds = round(expiresAt * 1000) if 0 <= expiresAt <= _LATEST else -1
    seconds, fraction = divmod(milliseconds, 1000)
    if seconds != _second.encoded:
        if seconds < 0:
            raise LocalError(f"the time {expiresAt} cannot be written: use 1970 to 9999")
        moment = datetime.fromtimestamp(seconds, timezone.utc)
        _second.prefix = b"%04d%b" % (moment.year, moment.strftime("%m%d%H%M%S").encode())
        _second.encoded = seconds
    return b"%b%03d" % (_second.prefix, fraction)


def _decodeTimestamp(text: bytes) -> float:
    """Read a time that L{decodePrepare} has checked, or raise L{DecodeError} for one it has not."""
    prefix = text[:14]
    if prefix != _second.text:
        try:
            month, day, hour, minute, second = (int(text[i : i + 2]) for i in range(4, 14, 2))
            leap = second == 60
            second -= leap
            moment = datetime(int(text[:4]), month, day, hour, minute, second, tzinfo=timezone.utc)
        except ValueError as error:
            raise DecodeError(f"{text!r} is not a time: {error}") from None
        elapsed = moment - _EPOCH
        _second.seconds = elapsed.days * 86400 + elapsed.seconds + leap
        _second.text = prefix
    return (_second.seconds * 1000 + int(text[14:])) / 1000


def isExpired(timestamp: bytes, now: float) -> bool:
    """
    Whether the time of a Prepare, as it stands on the wire, is over.

    @param now: seconds since the epoch; both are told apart by their seconds nearly always.
    """
    seconds = int(now)
    if seconds != _second.now:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
        _second.nowText = b"%04d%b" % (moment.year, moment.strftime("%m%d%H%M%S").encode())
        _second.now = seconds
    prefix = timestamp[:14]
    if prefix != _second.nowText:
        return prefix < _second.nowText
    return _decodeTimestamp(timestamp) <= now


def _addressError(address: str) -> LocalError:
    return LocalError(
        f"the address {address[:80]!r} must be of ASCII characters, at most {MAX_ADDRESS_LENGTH}, "
        f"not {len(address)}"
    )


def encodePrepare(
    amount: int, timestamp: bytes, executionCondition: bytes, destination: str, data: bytes
) -> bytes:
    """
    Write a Prepare.

    @param timestamp: 17 digits, see L{encodeTimestamp}.
    @raise LocalError: if the amount does not fit in 64 bits, a field has a wrong length, or the
        destination other than ASCII characters.
    """
    if not 0 <= amount <= U64_MAX:
        raise LocalError(f"the amount {amount} of a Prepare must be from 0 to {U64_MAX}")
    if len(data) > MAX_DATA_LENGTH or len(executionCondition) != 32 or len(timestamp) != 17:
        raise LocalError(
            f"a Prepare takes at most {MAX_DATA_LENGTH} octets of data, a condition of 32 and a "
            f"time of 17, not {len(data)}, {len(executionCondition)} and {len(timestamp)}"
        )
    if len(destination) > MAX_ADDRESS_LENGTH or not destination.isascii():
        raise _addressError(destination)
    address = encodeVarOctets(destination.encode("ascii"))
    length = encodeLength(len(data))
    return b"\x0c%b%b%b%b%b" % (
        encodeLength(_HEAD.size + len(address) + len(length) + len(data)),
        _HEAD.pack(amount, timestamp, executionCondition),
        address,
        length,
        data,
    )


def encodeFulfill(fulfillment: bytes, data: bytes = b"") -> bytes:
    """
    Write a Fulfill.

    @raise LocalError: if a field has a wrong length.
    """
    if len(fulfillment) != 32 or len(data) > MAX_DATA_LENGTH:
        raise LocalError(
            f"a Fulfill takes 32 octets of fulfillment and at most {MAX_DATA_LENGTH} of data, "
            f"not {len(fulfillment)} and {len(data)}"
        )
    return b"\x0d" + encodeVarOctets(fulfillment + encodeVarOctets(data))


def encodeReject(code: str, triggeredBy: str = "", message: str = "", data: bytes = b"") -> bytes:
    """
    Write a Reject.

    @param message: what UTF-8 cannot carry in it becomes a question mark.
    @raise LocalError: if the code has not three letters or digits, the address is too long or
        has other than ASCII characters, or the data is too long.
    """
    if len(code) != 3 or not (code.isascii() and code.isalnum()) or len(data) > MAX_DATA_LENGTH:
        raise LocalError(
            f"a Reject takes a code of three letters or digits and at most {MAX_DATA_LENGTH} "
            f"octets of data, not {code!r} and {len(data)}"
        )
    if len(triggeredBy) > MAX_ADDRESS_LENGTH or not triggeredBy.isascii():
        raise _addressError(triggeredBy)
    content = b"%b%b%b%b" % (
        code.encode("ascii"),
        encodeVarOctets(triggeredBy.encode("ascii")),
        encodeVarOctets(message.encode("utf-8", "replace")),
        encodeVarOctets(data),
    )
    return b"\x0e" + encodeVarOctets(content)


def rejectWith(code: str, triggeredBy: str = "", data: bytes = b"") -> bytes:
    """
    Write a Reject whose message is its code's name in RFC 27, which tells nothing of who wrote it.

    @raise LocalError: as L{encodeReject} does.
    """
    return encodeReject(code, triggeredBy, ERROR_NAMES[code], data)


def encodeAmountTooLarge(receivedAmount: int, maximumAmount: int) -> bytes:
    """Write the 16 octets of data of an F08 reject."""
    return _AMOUNTS.pack(receivedAmount, maximumAmount)


def decodeAmountTooLarge(data: bytes) -> AmountTooLarge | None:
    """Read the data of an F08 reject; None if it has not 16 octets."""
    return AmountTooLarge(*_AMOUNTS.unpack(data)) if len(data) == _AMOUNTS.size else None


def _decodeAddress(octets: bytes) -> str:
    if len(octets) > MAX_ADDRESS_LENGTH or not octets.isascii():
        raise DecodeError(f"an address of {len(octets)} octets, or with other than ASCII")
    return octets.decode("ascii")


def _checkData(data: bytes) -> bytes:
    if len(data) > MAX_DATA_LENGTH:
        raise DecodeError(f"{len(data)} octets of data are more than {MAX_DATA_LENGTH}")
    return data


def decodePrepare(packet: bytes) -> Prepare:
    """
    Read a Prepare.

    @raise DecodeError: if the octets are no Prepare.
    """
    if packet[:1] != b"\x0c":
        raise DecodeError("this is no Prepare")
    length, pos = readLength(packet, 1, len(packet))
    if length < _HEAD.size:
        raise DecodeError(f"a Prepare of {length} octets is too short")
    end = pos + length
    amount, timestamp, condition = _HEAD.unpack_from(packet, pos)
    if timestamp[:14] != _second.text or not timestamp.isdigit():
        if not timestamp.isdigit():
            raise DecodeError(f"{timestamp!r} is not a time")
        _decodeTimestamp(timestamp)
    destination, pos = readVarOctets(packet, pos + _HEAD.size, end)
    data, _ = readVarOctets(packet, pos, end)
    return Prepare(amount, timestamp, condition, _decodeAddress(destination), _checkData(data))


def decodeReply(packet: bytes) -> Fulfill | Reject:
    """
    Read a Fulfill or a Reject.

    @raise DecodeError: if the octets are neither.
    """
    kind = packet[0] if packet else 0
    if kind != FULFILL and kind != REJECT:
        raise DecodeError("this is neither a Fulfill nor a Reject")
    content, _ = readVarOctets(packet, 1, len(packet))
    end = len(content)
    if kind == FULFILL:
        if end < 32:
            raise DecodeError(f"a Fulfill of {end} octets is too short")
        data, _ = readVarOctets(content, 32, end)
        return Fulfill(content[:32], _checkData(data))
    code = content[:3]
    if len(code) < 3 or not code.isalnum() or not code.isascii():
        raise DecodeError(f"{code!r} is not a code of a Reject")
    triggeredBy, pos = readVarOctets(content, 3, end)
    message, pos = readVarOctets(content, pos, end)
    data, _ = readVarOctets(content, pos, end)
    return Reject(
        code.decode("ascii"),
        _decodeAddress(triggeredBy),
        message.decode("utf-8", "replace"),
        _checkData(data),
    )


def decode(packet: bytes) -> Prepare | Fulfill | Reject:
    """
    Read any ILP packet.

    @raise DecodeError: if the octets are none.
    """
    return decodePrepare(packet) if packet[:1] == b"\x0c" else decodeReply(packet)
