"""
Address tokens in every format that is read, those of other implementations too, so that a server
secret can move here.

Whoever had a server secret elsewhere has clients with addresses that were made there, and these
stay good: the address names its format only by its length and by the key that opens it. There are
three formats: ilp-protocol-stream's, which is ours too, that of stream-receiver and Rafiki, and
interledger-rs's. Only the first is written, with the moment added from which the credentials are no
longer good; who reads a token compares that with the clock.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from txilpstream.amounts import checkAmount
from txilpstream.crypto.credentials import Credentials, Token, TokenReader, decodeToken, encodeToken
from txilpstream.crypto.keys import ENVELOPE_OVERHEAD, IV_LENGTH, SECRET_LENGTH
from txilpstream.crypto.receipts import NONCE_LENGTH
from txilpstream.errors import DecodeError, LocalError, checkKind
from txilpstream.wire.address import join
from txilpstream.wire.oer import encodeVarUInt, readUInt8, readVarOctets, readVarUInt

__all__ = [
    "ILP_PROTOCOL_STREAM",
    "INTERLEDGER_RS",
    "RANDOM_TOKEN_LENGTH",
    "STREAM_RECEIVER",
    "TokenDetails",
    "TokenFormats",
]

ILP_PROTOCOL_STREAM: Final = "ilp-protocol-stream"
"""Ours and that of ilp-protocol-stream since 2.5."""

STREAM_RECEIVER: Final = "stream-receiver"
"""That of @interledger/stream-receiver and of Rafiki."""

INTERLEDGER_RS: Final = "interledger-rs"
"""That of interledger-rs: 18 random octets, which say nothing."""

_FORMATS: Final = (ILP_PROTOCOL_STREAM, STREAM_RECEIVER, INTERLEDGER_RS)

RANDOM_TOKEN_LENGTH: Final = 24
"""Characters of a token of interledger-rs, 18 octets; each of the others has 39 or more."""

_TOKEN_NONCE_LENGTH: Final = 18

_HAS_TAG: Final = 1
_HAS_RECEIPTS: Final = 2
_HAS_ASSET: Final = 4


@dataclass(slots=True, frozen=True)
class TokenDetails(Token):
    """
    What a token says, in whichever format.

    @ivar expiresAt: seconds since the epoch from which the credentials are no longer good; None
        if they never expire.
    @ivar assetCode: the asset that was promised with the token, None if none was.
    @ivar assetScale: its number of decimals.
    """

    expiresAt: int | None = None
    assetCode: str | None = None
    assetScale: int | None = None

    def isExpired(self, now: float) -> bool:
        """
        Whether the credentials are no longer good.

        @param now: seconds since the epoch.
        """
        return self.expiresAt is not None and now >= self.expiresAt


_RANDOM: Final = TokenDetails()


class TokenFormats:
    """Reads tokens in several formats under one server secret, and makes those of ours."""

    __slots__ = ("_aeads", "_isRandomRead", "_own", "_randomBytes", "_reader")

    def __init__(
        self,
        serverSecret: bytes,
        formats: Iterable[str] = _FORMATS,
        randomBytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """
        @param serverSecret: 32 octets; whoever has them can read and make every token.
        @param formats: which are read: C{"ilp-protocol-stream"}, C{"stream-receiver"} and
            C{"interledger-rs"}. The first is read in any case, as it is what is made.
        @param randomBytes: gives so many random octets.
        @raise LocalError: if the secret has not 32 octets, or a format is not known.
        """
        checkKind("tokenFormats", formats, Iterable, "names of formats")
        names = {formats} if isinstance(formats, str) else set(formats)
        unknown = sorted(map(repr, names.difference(_FORMATS)))
        if unknown:
            raise LocalError(
                f"a token format is not known: {', '.join(unknown)}; there are "
                f"{', '.join(_FORMATS)}"
            )
        self._reader = TokenReader(serverSecret, randomBytes)
        self._randomBytes = randomBytes
        self._own = AESGCM(serverSecret)
        self._aeads: list[tuple[AESGCM, Callable[[bytes], TokenDetails]]] = [
            (self._own, _decodeOwn)
        ]
        if STREAM_RECEIVER in names:
            key = hmac.digest(serverSecret, b"ilp_stream_connection_token", "sha256")
            self._aeads.append((AESGCM(key), _decodeFlagged))
        self._isRandomRead = INTERLEDGER_RS in names

    def generateCredentials(
        self,
        serverAddress: str,
        *,
        connectionTag: str = "",
        receiptNonce: bytes = b"",
        receiptSecret: bytes = b"",
        assetCode: str | None = None,
        assetScale: int | None = None,
        expiresAt: int | None = None,
    ) -> Credentials:
        """
        Make an address and a secret for one client, in our own format.

        @param connectionTag: comes back with every packet of the connection; characters that can
            stand in an ILP address.
        @param receiptNonce: 16 octets, with C{receiptSecret}, to have receipts signed (RFC 39).
        @param receiptSecret: 32 octets; it travels encrypted.
        @param expiresAt: whole seconds since the epoch, from which the credentials are no longer
            good; None for never. Implementations in JavaScript read the token and do not see it.
        @raise LocalError: if the tag has other characters, one of nonce and secret is missing or
            has another length, the time is none, or the address would be too long.
        """
        credentials = self._reader.generateCredentials(
            serverAddress,
            connectionTag=connectionTag,
            receiptNonce=receiptNonce,
            receiptSecret=receiptSecret,
            assetCode=assetCode,
            assetScale=assetScale,
        )
        return credentials if expiresAt is None else self._expiring(credentials, expiresAt)

    def _expiring(self, credentials: Credentials, expiresAt: int) -> Credentials:
        """Seal the token of credentials that do not expire anew, with one field more."""
        checkAmount("expiresAt", expiresAt)
        address, _, text = credentials.destinationAddress.rpartition(".")
        plain = _open(self._own, decodeToken(text) or b"") + encodeVarUInt(expiresAt)
        iv = self._randomBytes(IV_LENGTH)
        sealed = self._own.encrypt(iv, plain, None)
        token = iv + sealed[-16:] + sealed[:-16]
        return replace(
            credentials,
            destinationAddress=join(address, encodeToken(token)),
            sharedSecret=self._reader.sharedSecret(token),
        )

    def read(self, text: str) -> tuple[TokenDetails | None, bytes]:
        """
        Read a token as it stands in an address.

        A bad token and one of a format that is not read take the way of a good one: each has a
        secret, which nobody can know, so that its packets fail to decrypt (RFC 29 section 4.2).

        @return: what it says, or None if it was not made under this secret; and the shared
            secret that belongs to it. A token of interledger-rs says nothing: nobody can tell
            whether it was made here before a packet decrypts with its secret.
        """
        octets = decodeToken(text) or b""
        details = None
        for aead, decode in self._aeads:
            try:
                details = decode(_open(aead, octets))
            except (InvalidTag, DecodeError):
                continue
        if self._isRandomRead and octets and len(text) == RANDOM_TOKEN_LENGTH:
            # The secret is derived from the characters here, everywhere else from the octets.
            return _RANDOM, self._reader.sharedSecret(text.encode("ascii"))
        return details, self._reader.sharedSecret(octets)


def _open(aead: AESGCM, token: bytes) -> bytes:
    """
    Decrypt IV, authentication tag and cipher text.

    @raise InvalidTag: if they were not made under this key.
    """
    sealed = token[ENVELOPE_OVERHEAD:] + token[IV_LENGTH:ENVELOPE_OVERHEAD]
    return aead.decrypt(token[:IV_LENGTH].ljust(IV_LENGTH, b"\0"), sealed, None)


def _readTag(plain: bytes, pos: int) -> tuple[str, int]:
    tag, pos = readVarOctets(plain, pos, len(plain))
    if not tag.isascii():
        raise DecodeError("a connection tag has other than ASCII characters")
    return tag.decode("ascii"), pos


def _decodeOwn(plain: bytes) -> TokenDetails:
    """
    Read random octets, tag, receipt nonce, receipt secret, and when it expires if that is there.

    What follows must be a time: credentials are not made to last by what cannot be read.

    @raise DecodeError: if it is something else.
    """
    end = len(plain)
    tag, pos = _readTag(plain, _TOKEN_NONCE_LENGTH)
    nonce, pos = readVarOctets(plain, pos, end)
    secret, pos = readVarOctets(plain, pos, end)
    expiresAt = readVarUInt(plain, pos, end)[0] if pos < end else None
    if (len(nonce), len(secret)) != (NONCE_LENGTH, SECRET_LENGTH):
        nonce = secret = b""
    return TokenDetails(tag, nonce, secret, expiresAt)


def _decodeFlagged(plain: bytes) -> TokenDetails:
    """
    Read an octet of flags, and what they announce: tag, receipts, asset.

    @raise DecodeError: if it is something else.
    """
    flags, pos = readUInt8(plain, 0, len(plain))
    tag, nonce, secret, code, scale = "", b"", b"", None, None
    if flags & _HAS_TAG:
        tag, pos = _readTag(plain, pos)
    if flags & _HAS_RECEIPTS:
        middle = pos + NONCE_LENGTH
        nonce, secret = plain[pos:middle], plain[middle : middle + SECRET_LENGTH]
        pos = middle + SECRET_LENGTH
        if pos > len(plain):
            raise DecodeError("the receipt's secret is cut short")
    if flags & _HAS_ASSET:
        octets, pos = readVarOctets(plain, pos, len(plain))
        scale, _ = readUInt8(plain, pos, len(plain))
        code = octets.decode("utf-8", "replace")
    return TokenDetails(tag, nonce, secret, None, code, scale)
