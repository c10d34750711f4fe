"""
Address tokens and shared secrets: what a server gives a client, and how it knows it again.

A server keeps one secret of 32 octets. Each client gets an address whose last segment, the
token, holds everything about the connection, encrypted; the shared secret is derived from the
token. So a server stores nothing per client (RFC 29 section 4.1). The format is that of
ilp-protocol-stream: the same server secret gives the same addresses in both.
"""

from __future__ import annotations

import binascii
import hmac
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from txilpstream.crypto import ENVELOPE_OVERHEAD, IV_LENGTH, checkSecret
from txilpstream.errors import DecodeError, LocalError
from txilpstream.wire.address import MAX_ADDRESS_LENGTH, checkAddress, isSegment, join
from txilpstream.wire.oer import encodeVarOctets, readVarOctets

__all__ = ["Credentials", "Token", "TokenReader"]

_TOKEN_NONCE_LENGTH: Final = 18
_RECEIPT_NONCE_LENGTH: Final = 16
_RECEIPT_SECRET_LENGTH: Final = 32


def _encodeText(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def _decodeText(text: str) -> bytes | None:
    """
    Read base64url without padding; None unless it is the only way to write these octets.

    What is longer than any address is not even decoded.
    """
    if len(text) > MAX_ADDRESS_LENGTH:
        return None
    try:
        octets = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
    return octets if _encodeText(octets) == text else None


@dataclass(slots=True, frozen=True)
class Credentials:
    """
    What a client needs to reach a server: the address and the secret that both share.

    Hand them over on an authenticated, encrypted channel only (RFC 29 section 4.1).

    @ivar destinationAddress: the server's ILP address with the client's token.
    @ivar sharedSecret: 32 octets; never shown in a C{repr}.
    @ivar assetCode: the receiver's asset where it is known, such as C{"EUR"}.
    @ivar assetScale: its number of decimals where it is known.
    @ivar receiptsEnabled: whether the receiver gives receipts (RFC 39).
    """

    destinationAddress: str
    sharedSecret: bytes = field(repr=False)
    assetCode: str | None = None
    assetScale: int | None = None
    receiptsEnabled: bool = False

    def __post_init__(self) -> None:
        """
        @raise LocalError: if the address is none or the secret has not 32 octets.
        """
        checkAddress(self.destinationAddress)
        checkSecret("the shared secret", self.sharedSecret)


@dataclass(slots=True, frozen=True)
class Token:
    """
    What a token says.

    @ivar connectionTag: what the server's owner wrote into it, or an empty string.
    @ivar receiptNonce: 16 octets, or empty where no receipts are wanted (RFC 39).
    @ivar receiptSecret: 32 octets, or empty.
    """

    connectionTag: str = ""
    receiptNonce: bytes = b""
    receiptSecret: bytes = field(default=b"", repr=False)


def _checkToken(connectionTag: str, receiptNonce: bytes, receiptSecret: bytes) -> None:
    if connectionTag and not isSegment(connectionTag):
        raise LocalError(
            f"the connection tag {connectionTag[:80]!r} may hold only letters, digits, "
            "'_', '~' and '-'"
        )
    lengths = len(receiptNonce), len(receiptSecret)
    if lengths not in ((0, 0), (_RECEIPT_NONCE_LENGTH, _RECEIPT_SECRET_LENGTH)):
        raise LocalError(
            f"receipts need a nonce of {_RECEIPT_NONCE_LENGTH} octets and a secret of "
            f"{_RECEIPT_SECRET_LENGTH}, not of {lengths[0]} and {lengths[1]}"
        )


class TokenReader:
    """Makes credentials under one server secret, and reads them back."""

    __slots__ = ("_aead", "_keygen", "_randomBytes")

    def __init__(
        self, serverSecret: bytes, randomBytes: Callable[[int], bytes] = os.urandom
    ) -> None:
        """
        @param serverSecret: 32 octets; whoever has them can read and make every token.
        @param randomBytes: gives so many random octets.
        @raise LocalError: if the secret is something else.
        """
        checkSecret("the server secret", serverSecret)
        self._aead = AESGCM(serverSecret)
        self._keygen = hmac.digest(serverSecret, b"ilp_stream_shared_secret", "sha256")
        self._randomBytes = randomBytes

    def generateCredentials(
        self,
        serverAddress: str,
        *,
        connectionTag: str = "",
        receiptNonce: bytes = b"",
        receiptSecret: bytes = b"",
        assetCode: str | None = None,
        assetScale: int | None = None,
    ) -> Credentials:
        """
        Make an address and a secret for one client.

        @param connectionTag: comes back with every packet of the connection; characters that can
            stand in an ILP address.
        @param receiptNonce: 16 octets, with C{receiptSecret}, to have receipts signed (RFC 39).
        @param receiptSecret: 32 octets; it travels encrypted.
        @raise LocalError: if the tag has other characters, one of nonce and secret is missing or
            has another length, or the address would be too long.
        """
        _checkToken(connectionTag, receiptNonce, receiptSecret)
        iv = self._randomBytes(IV_LENGTH)
        plain = b"".join(
            [
                self._randomBytes(_TOKEN_NONCE_LENGTH),
                encodeVarOctets(connectionTag.encode("ascii")),
                encodeVarOctets(receiptNonce),
                encodeVarOctets(receiptSecret),
            ]
        )
        sealed = self._aead.encrypt(iv, plain, None)
        token = iv + sealed[-16:] + sealed[:-16]
        return Credentials(
            join(serverAddress, _encodeText(token)),
            self.sharedSecret(token),
            assetCode,
            assetScale,
            bool(receiptNonce),
        )

    def sharedSecret(self, token: bytes) -> bytes:
        """The secret that belongs to the octets of a token, whether it is a good one or not."""
        return hmac.digest(self._keygen, token, "sha256")

    def read(self, text: str) -> tuple[Token | None, bytes]:
        """
        Read a token as it stands in an address.

        A bad token takes the same way as a good one with a wrong key: it has a secret, which
        nobody can know, so that its packets fail to decrypt (RFC 29 section 4.2).

        @return: what it says, or None if it was not made under this secret; and the shared
            secret that belongs to it.
        """
        octets = _decodeText(text)
        token = b"" if octets is None else octets
        secret = self.sharedSecret(token)
        sealed = token[ENVELOPE_OVERHEAD:] + token[IV_LENGTH:ENVELOPE_OVERHEAD]
        try:
            plain = self._aead.decrypt(token[:IV_LENGTH].ljust(IV_LENGTH, b"\0"), sealed, None)
            return self._decode(plain), secret
        except (InvalidTag, DecodeError):
            return None, secret

    @staticmethod
    def _decode(plain: bytes) -> Token:
        end = len(plain)
        tag, pos = readVarOctets(plain, _TOKEN_NONCE_LENGTH, end)
        receiptNonce, pos = readVarOctets(plain, pos, end)
        receiptSecret, _ = readVarOctets(plain, pos, end)
        if not tag.isascii():
            raise DecodeError("a connection tag has other than ASCII characters")
        if len(receiptNonce) != _RECEIPT_NONCE_LENGTH:
            receiptNonce = b""
        if len(receiptSecret) != _RECEIPT_SECRET_LENGTH or not receiptNonce:
            return Token(tag.decode("ascii"))
        return Token(tag.decode("ascii"), receiptNonce, receiptSecret)
