"""
IL-DCP: how a node learns its own address and asset from its parent (RFC 31).

Request and answer are an ordinary Prepare and Fulfill with a fixed condition, as bytes; an account
asks when it opens, a hub answers its children.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from txilpstream.errors import DecodeError, LocalError
from txilpstream.wire.address import checkAddress, isAddress
from txilpstream.wire.ilp import (
    PREPARE,
    Fulfill,
    decodeReply,
    encodeFulfill,
    encodePrepare,
    encodeTimestamp,
)
from txilpstream.wire.oer import encodeVarOctets, readUInt8, readVarOctets

__all__ = [
    "DESTINATION",
    "FULFILLMENT",
    "AccountDetails",
    "decodeResponse",
    "encodeRequest",
    "encodeResponse",
    "isRequest",
]

DESTINATION: Final = "peer.config"
"""Where every IL-DCP request goes."""

FULFILLMENT: Final = bytes(32)
"""The fulfillment that everybody knows."""

_CONDITION: Final = bytes.fromhex(
    "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925"
)

_REQUEST_LENGTH: Final = 72


@dataclass(slots=True, frozen=True)
class AccountDetails:
    """
    What a node's parent says of it.

    @ivar address: the node's own ILP address.
    @ivar assetScale: how many decimals a unit of the asset has, 0 to 255.
    @ivar assetCode: such as C{"USD"}.
    """

    address: str
    assetScale: int
    assetCode: str


def encodeRequest(expiresAt: float) -> bytes:
    """Write the Prepare that asks for one's own details."""
    return encodePrepare(0, encodeTimestamp(expiresAt), _CONDITION, DESTINATION, b"")


def isRequest(packet: bytes) -> bool:
    """Whether the bytes of an ILP packet are a request, told without decoding them."""
    return (
        len(packet) == _REQUEST_LENGTH
        and packet[0] == PREPARE
        and packet[59:] == b"\x0bpeer.config\x00"
    )


def encodeResponse(details: AccountDetails) -> bytes:
    """
    Write the Fulfill that answers a request.

    @raise LocalError: if the address is none or the scale is not from 0 to 255.
    """
    if not 0 <= details.assetScale <= 255:
        raise LocalError(f"the asset scale {details.assetScale} must be from 0 to 255")
    data = b"%b%c%b" % (
        encodeVarOctets(checkAddress(details.address).encode("ascii")),
        details.assetScale,
        encodeVarOctets(details.assetCode.encode("utf-8", "replace")),
    )
    return encodeFulfill(FULFILLMENT, data)


def decodeResponse(packet: bytes) -> AccountDetails:
    """
    Read the answer to a request.

    @raise DecodeError: if it is a Reject, or a Fulfill without valid details.
    """
    reply = decodeReply(packet)
    if not isinstance(reply, Fulfill):
        raise DecodeError(f"the request was rejected: {reply.code} {reply.message[:200]}")
    end = len(reply.data)
    octets, pos = readVarOctets(reply.data, 0, end)
    scale, pos = readUInt8(reply.data, pos, end)
    code, _ = readVarOctets(reply.data, pos, end)
    address = octets.decode("ascii", "replace")
    if reply.fulfillment != FULFILLMENT:
        raise DecodeError("the answer is not fulfilled as IL-DCP demands, with 32 zero octets")
    if not isAddress(address):
        raise DecodeError(f"the answer names {address[:80]!r}, which is not an ILP address")
    return AccountDetails(address, scale, code.decode("utf-8", "replace"))
