"""
STREAM receipts (RFC 39): signed totals with which a receiver proves what it got.

A verifier gives a nonce and a secret to the receiver. The receiver signs the total of a stream
with each Fulfill, the sender hands the receipt over, and the verifier knows its own signature.
This module knows one receipt; which receipt is newest or too old is for the verifier, who keeps
the greatest total of each nonce and stream id (RFC 39, Overview).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from struct import Struct
from typing import Final

from txilpstream.amounts import checkAmount
from txilpstream.crypto.keys import checkSecret
from txilpstream.errors import DecodeError, LocalError

__all__ = [
    "MAX_STREAM_ID",
    "NONCE_LENGTH",
    "RECEIPT_LENGTH",
    "Receipt",
    "decodeReceipt",
    "signReceipt",
    "verifyReceipt",
]

NONCE_LENGTH: Final = 16
"""Octets of the nonce that stands for one connection."""

MAX_STREAM_ID: Final = 255
"""The largest stream id for which there are receipts: the field has one octet."""

RECEIPT_LENGTH: Final = 58
"""Octets of a receipt: version, nonce, stream id, total, and 32 of HMAC-SHA256 over these."""

_VERSION: Final = 1
_FIELDS: Final = Struct(">B16sBQ")


@dataclass(slots=True, frozen=True)
class Receipt:
    """
    What a receipt says.

    @ivar nonce: 16 octets, the verifier's name for the connection.
    @ivar streamID: the stream that got the money, at most 255.
    @ivar totalReceived: all that the stream has got so far, in the receiver's units.
    """

    nonce: bytes
    streamID: int
    totalReceived: int


def signReceipt(nonce: bytes, streamID: int, totalReceived: int, secret: bytes) -> bytes:
    """
    Write a receipt, 58 octets.

    @param nonce: 16 octets.
    @param streamID: 1 to 255; a stream with a larger id can have no receipts.
    @param totalReceived: all that the stream has got so far, in the receiver's units.
    @param secret: the 32 octets that the verifier and the receiver share.
    @raise LocalError: if one is out of its limits; the text never shows the secret.
    """
    if not isinstance(nonce, bytes) or len(nonce) != NONCE_LENGTH:
        raise LocalError(f"the receipt nonce must be bytes, {NONCE_LENGTH} of them")
    checkAmount("the stream id of a receipt", streamID, minimum=1, maximum=MAX_STREAM_ID)
    checkAmount("the total of a receipt", totalReceived)
    checkSecret("the receipt secret", secret)
    fields = _FIELDS.pack(_VERSION, nonce, streamID, totalReceived)
    return fields + hmac.digest(secret, fields, "sha256")


def decodeReceipt(octets: bytes) -> Receipt:
    """
    Read a receipt without verifying it: its sender may have made it up.

    @raise DecodeError: if it has not 58 octets, or another version than 1.
    """
    if len(octets) != RECEIPT_LENGTH:
        raise DecodeError(f"a receipt has {RECEIPT_LENGTH} octets, not {len(octets)}")
    version, nonce, streamID, totalReceived = _FIELDS.unpack_from(octets)
    if version != _VERSION:
        raise DecodeError(f"version {version} of receipts is not known, only {_VERSION}")
    return Receipt(nonce, streamID, totalReceived)


def verifyReceipt(receipt: bytes, secret: bytes) -> Receipt | None:
    """
    Read a receipt and check its signature, in constant time.

    @param secret: the 32 octets that belong to the receipt's nonce.
    @return: what it says; None if it is none, or was not signed with this secret.
    @raise LocalError: if the secret has not 32 octets.
    """
    checkSecret("the receipt secret", secret)
    signed = hmac.digest(secret, receipt[: _FIELDS.size], "sha256")
    isGenuine = hmac.compare_digest(signed, receipt[_FIELDS.size :])
    try:
        return decodeReceipt(receipt) if isGenuine else None
    except DecodeError:
        return None
