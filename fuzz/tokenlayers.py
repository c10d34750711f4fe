"""
The tokens in addresses, in each format, each with what it may say.

Three formats are read under one server secret. Whatever the octets, they have a shared secret; they
say something only if they were made under the server secret, and then what they say is in its
limits.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from itertools import product
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fuzzing import require
from layers import ADDRESS, NOW, SECRET, Layer

from txilpstream.crypto.credentials import TokenReader
from txilpstream.crypto.tokens import (
    ILP_PROTOCOL_STREAM,
    INTERLEDGER_RS,
    STREAM_RECEIVER,
    TokenDetails,
    TokenFormats,
)

RECEIPT_NONCE: Final = bytes(range(50, 66))
RECEIPT_SECRET: Final = bytes(range(70, 102))
EXPIRY: Final = 1_800_000_000
"""Seconds since the epoch."""


def seededBytes(count: int) -> bytes:
    """Octets that are random for nobody."""
    return bytes(range(7, 7 + count))


READER: Final = TokenReader(SECRET, seededBytes)
FORMATS: Final = TokenFormats(SECRET, randomBytes=seededBytes)
_READERS: Final = {
    name: TokenFormats(SECRET, {name})
    for name in (ILP_PROTOCOL_STREAM, STREAM_RECEIVER, INTERLEDGER_RS)
}

_OWN: Final = AESGCM(SECRET)
_FLAGGED: Final = AESGCM(hmac.digest(SECRET, b"ilp_stream_connection_token", "sha256"))


def _textOf(aead: AESGCM, plain: bytes) -> str:
    """A token with this inside."""
    sealed = aead.encrypt(bytes(12), plain, None)
    return urlsafe_b64encode(bytes(12) + sealed[-16:] + sealed[:-16]).rstrip(b"=").decode("ascii")


def ownText(plain: bytes) -> str:
    """A token of ilp-protocol-stream's format, which is ours, with this inside."""
    return _textOf(_OWN, plain)


def flaggedText(plain: bytes) -> str:
    """A token of stream-receiver's format with this inside."""
    return _textOf(_FLAGGED, plain)


def _ownPlain(tag: bytes, hasReceipts: bool, expiry: bytes) -> bytes:
    nonce, secret = (RECEIPT_NONCE, RECEIPT_SECRET) if hasReceipts else (b"", b"")
    parts = [bytes([len(part)]) + part for part in (tag, nonce, secret)]
    return bytes(18) + b"".join(parts) + expiry


def _flaggedPlain(tag: bytes, hasReceipts: bool, code: bytes) -> bytes:
    plain = bytes([bool(tag) | 2 * hasReceipts | 4 * bool(code)])
    if tag:
        plain += bytes([len(tag)]) + tag
    if hasReceipts:
        plain += RECEIPT_NONCE + RECEIPT_SECRET
    return plain + bytes([len(code)]) + code + b"\x09" if code else plain


_TAGS: Final = (b"", b"invoice-7")
OWN_PLAIN: Final = tuple(
    _ownPlain(tag, hasReceipts, expiry)
    for tag, hasReceipts, expiry in product(
        _TAGS, (False, True), (b"", b"\x04" + EXPIRY.to_bytes(4, "big"))
    )
)
FLAGGED_PLAIN: Final = tuple(
    _flaggedPlain(tag, hasReceipts, code)
    for tag, hasReceipts, code in product(_TAGS, (False, True), (b"", b"EUR"))
)


def _made() -> dict[str, TokenDetails]:
    """Tokens of ours in every form, and what they say."""
    made: dict[str, TokenDetails] = {}
    receipts = {"receiptNonce": RECEIPT_NONCE, "receiptSecret": RECEIPT_SECRET}
    for tag, more, expiresAt in product(("", "invoice-7"), ({}, receipts), (None, EXPIRY)):
        options: dict[str, Any] = {"connectionTag": tag, **more}
        given = FORMATS.generateCredentials(ADDRESS, expiresAt=expiresAt, **options)
        text = given.destinationAddress.rpartition(".")[2]
        made[text] = TokenDetails(expiresAt=expiresAt, **options)
    return made


_MADE: Final = _made()
_RECEIPTS: Final = {False: (b"", b""), True: (RECEIPT_NONCE, RECEIPT_SECRET)}
_FOREIGN: Final = {
    flaggedText(_flaggedPlain(tag, hasReceipts, code)): TokenDetails(
        tag.decode("ascii"), *_RECEIPTS[hasReceipts], None, *(("EUR", 9) if code else (None, None))
    )
    for tag, hasReceipts, code in product(_TAGS, (False, True), (b"", b"EUR"))
}
_RANDOM: Final = urlsafe_b64encode(bytes(range(18))).decode("ascii")

TOKENS: Final = tuple(text.encode("ascii") for text in (*_MADE, *_FOREIGN, _RANDOM))
"""Tokens in all formats."""


def checkToken(octets: bytes) -> None:
    """Any text has a secret; only what was made under the server's secret says something."""
    text = octets.decode("latin-1")
    token, secret = READER.read(text)
    require(len(secret) == 32, "no shared secret")
    require((token is not None) == (text in _MADE), "a forged token was read, or a good one not")
    found = {}
    for name, formats in _READERS.items():
        found[name], again = formats.read(text)
        require(len(again) == 32, "no shared secret")
        if name != INTERLEDGER_RS or len(text) != len(_RANDOM):
            require(again == secret, "two formats have different secrets")
    require(found[ILP_PROTOCOL_STREAM] == _MADE.get(text), "our own token says something else")
    theirs = _FOREIGN.get(text, _MADE.get(text))
    require(found[STREAM_RECEIVER] == theirs, "stream-receiver's token says something else")
    details, _ = FORMATS.read(text)
    if details is not None and details != theirs:
        require(details == TokenDetails() and len(text) == len(_RANDOM), "a forged token was read")


def checkDetails(found: TokenDetails) -> None:
    """
    What a token says is in its limits.

    @raise FindingError: if something is not.
    """
    require(found.connectionTag.isascii(), "a tag is not of ASCII")
    lengths = len(found.receiptNonce), len(found.receiptSecret)
    require(lengths in ((0, 0), (16, 32)), f"nonce and secret have {lengths} octets")
    require((found.assetCode is None) == (found.assetScale is None), "half an asset")
    require(0 <= (found.assetScale or 0) <= 255, "a scale of more than an octet")
    require(0 <= (found.expiresAt or 0) < 1 << 64, "an expiry of more than 64 bits")
    require(
        found.isExpired(NOW) == (found.expiresAt is not None and found.expiresAt <= NOW), "late"
    )


def checkOwnContents(octets: bytes) -> None:
    """Whatever stands in a token of ours, made under the secret, it is read or it is not."""
    text = ownText(octets)
    found, secret = FORMATS.read(text)
    token, again = READER.read(text)
    require(secret == again, "two readers have different secrets")
    require(token is None or found is not None or len(octets) > 18, "one reader reads more")
    if found is not None:
        checkDetails(found)
        require(found.assetCode is None, "our own token has no asset")
        require(token is not None, "one reader reads what the other does not")
        require(token.connectionTag == found.connectionTag, "two readers differ on the tag")
        require(token.receiptSecret == found.receiptSecret, "two readers differ on the secret")


def checkFlaggedContents(octets: bytes) -> None:
    """So it is with a token of stream-receiver's."""
    text = flaggedText(octets)
    require(READER.read(text)[0] is None, "a token under another key is read")
    require(_READERS[ILP_PROTOCOL_STREAM].read(text)[0] is None, "a format is read unasked")
    found, _ = FORMATS.read(text)
    if found is not None:
        checkDetails(found)
        require(found.expiresAt is None, "theirs does not expire")


TOKEN_LAYERS: Final = (
    Layer("token", TOKENS, checkToken, ()),
    Layer("token-contents", OWN_PLAIN, checkOwnContents, ()),
    Layer("token-flagged", FLAGGED_PLAIN, checkFlaggedContents, ()),
)
"""Their layers."""
