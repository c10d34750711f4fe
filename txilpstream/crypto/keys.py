"""
The secrets of one connection: envelope, fulfillment and condition (RFC 29 sections 5.1 and 6).

An IV must never serve twice under one key, whichever end encrypts (RFC 29 section 5.1.3): random
octets are arguments, and who seals gives fresh ones each time.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from txilpstream.errors import LocalError

__all__ = [
    "ENVELOPE_OVERHEAD",
    "IV_LENGTH",
    "SECRET_LENGTH",
    "SessionKeys",
    "checkSecret",
    "conditionOf",
]

IV_LENGTH: Final = 12
"""Octets of the random initialisation vector that stands first in an envelope."""

TAG_LENGTH: Final = 16

ENVELOPE_OVERHEAD: Final = IV_LENGTH + TAG_LENGTH
"""How many octets an envelope has beyond what it holds."""

SECRET_LENGTH: Final = 32
"""Octets of a shared secret and of a server secret (RFC 29 section 4.1)."""


def checkSecret(name: str, secret: object) -> bytes:
    """
    Give back a secret of 32 octets.

    @raise LocalError: if it is something else; the text never shows it.
    """
    if not isinstance(secret, bytes):
        raise LocalError(f"{name} must be bytes, not {type(secret).__name__}")
    if len(secret) != SECRET_LENGTH:
        raise LocalError(f"{name} has {len(secret)} octets: it must have {SECRET_LENGTH}")
    return secret


class SessionKeys:
    """Everything that is derived from a connection's shared secret, derived once."""

    __slots__ = ("_aead", "_fulfillmentKey")

    def __init__(self, sharedSecret: bytes) -> None:
        """
        @param sharedSecret: 32 octets.
        @raise LocalError: if it is something else.
        """
        checkSecret("the shared secret", sharedSecret)
        self._aead = AESGCM(hmac.digest(sharedSecret, b"ilp_stream_encryption", "sha256"))
        self._fulfillmentKey = hmac.digest(sharedSecret, b"ilp_stream_fulfillment", "sha256")

    def seal(self, plain: bytes, iv: bytes) -> bytes:
        """
        Encrypt a STREAM packet.

        @param iv: 12 random octets that never served before under this secret.
        @return: IV, authentication tag and cipher text, in this order.
        """
        sealed = self._aead.encrypt(iv, plain, None)
        return b"%b%b%b" % (iv, sealed[-TAG_LENGTH:], sealed[:-TAG_LENGTH])

    def open(self, envelope: bytes) -> bytes | None:
        """Decrypt what L{seal} made; None if it was not made under this secret."""
        if len(envelope) < ENVELOPE_OVERHEAD:
            return None
        sealed = envelope[ENVELOPE_OVERHEAD:] + envelope[IV_LENGTH:ENVELOPE_OVERHEAD]
        try:
            return self._aead.decrypt(envelope[:IV_LENGTH], sealed, None)
        except InvalidTag:
            return None

    def fulfillment(self, envelope: bytes) -> bytes:
        """The 32 octets that fulfill a Prepare with this data (RFC 29 section 6.3)."""
        return hmac.digest(self._fulfillmentKey, envelope, "sha256")


def conditionOf(fulfillment: bytes) -> bytes:
    """The 32 octets of the condition that a fulfillment fulfills (RFC 27)."""
    return sha256(fulfillment).digest()
