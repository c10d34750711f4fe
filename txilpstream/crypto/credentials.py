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
import json
import os
import re
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from txilpstream.crypto.keys import ENVELOPE_OVERHEAD, IV_LENGTH, SECRET_LENGTH, checkSecret
from txilpstream.errors import DecodeError, LocalError, checkKind
from txilpstream.wire.address import MAX_ADDRESS_LENGTH, checkAddress, isAddress, isSegment, join
from txilpstream.wire.oer import encodeVarOctets, readVarOctets

__all__ = [
    "Credentials",
    "Token",
    "TokenReader",
    "decodeToken",
    "encodeToken",
    "readOctets",
    "readSecret",
]

_TOKEN_NONCE_LENGTH: Final = 18
_RECEIPT_NONCE_LENGTH: Final = 16
_RECEIPT_SECRET_LENGTH: Final = 32


def encodeToken(octets: bytes) -> str:
    """Write octets in base64url without padding."""
    return urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def decodeToken(text: str) -> bytes | None:
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
    return octets if encodeToken(octets) == text else None


_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]+", re.ASCII)
_TO_STANDARD: Final = str.maketrans("-_", "+/")


def readOctets(text: object, length: int) -> bytes | None:
    """
    Read octets as other programs write them: base64 or base64url, padded or not.

    @param text: anything that came from elsewhere.
    @param length: how many octets there must be.
    @return: None if it is something else.
    """
    if not isinstance(text, str) or len(text) > 2 * length + 4:
        return None
    plain = text.rstrip("=")
    padded = plain + "=" * (-len(plain) % 4)
    if len(plain) != -(-4 * length // 3) or text not in (plain, padded):
        return None
    if _BASE64.fullmatch(plain) is None:
        return None
    return b64decode(padded.translate(_TO_STANDARD))


_ASSET_CODE_LENGTH: Final = 255
"""The most characters of an asset's code that are believed; IL-DCP can say no more either."""


def _isAsset(code: object, scale: object) -> bool:
    """Whether these are what they should be where they are there, and one of them is."""
    if code is None and scale is None:
        return False
    if code is not None and not (
        isinstance(code, str) and 0 < len(code) <= _ASSET_CODE_LENGTH and code.isprintable()
    ):
        return False
    return scale is None or (
        isinstance(scale, int) and type(scale) is not bool and 0 <= scale <= 255
    )


def _assetsIn(source: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Whatever stands where programs of different age put the asset, the newest first."""
    for place in (source, source.get("asset_info"), source.get("ledger_info")):
        if isinstance(place, Mapping):
            yield place.get("asset_code"), place.get("asset_scale")
            yield place.get("assetCode"), place.get("assetScale")
    info = source.get("asset_info")
    if isinstance(info, Mapping):
        yield info.get("code"), info.get("scale")


def _credentialsFrom(
    what: str, address: object, secret: object, assets: Iterator[tuple[Any, Any]], receipts: object
) -> Credentials:
    """
    @raise DecodeError: if address or secret are not what they should be. Neither is shown: a
        program that mixes its fields up must not have a secret written into somebody's log.
    """
    if not isinstance(address, str) or not isAddress(address):
        raise DecodeError(f"{what} has no valid ILP address to pay to")
    octets = readOctets(secret, SECRET_LENGTH)
    if octets is None:
        raise DecodeError(f"{what} has no shared secret of {SECRET_LENGTH} octets in base64")
    code, scale = next((asset for asset in assets if _isAsset(*asset)), (None, None))
    return Credentials(address, octets, code, scale, receipts is True)


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
        @raise LocalError: if the address is none, the secret has not 32 octets, or the asset is not
            well-formed.
        """
        checkAddress(self.destinationAddress)
        checkSecret("the shared secret", self.sharedSecret)
        asset = self.assetCode, self.assetScale
        if asset != (None, None) and not _isAsset(*asset):
            raise LocalError(
                f"an asset has a code of 1 to {_ASSET_CODE_LENGTH} printable characters and a "
                "scale from 0 to 255"
            )
        checkKind("receiptsEnabled", self.receiptsEnabled, bool, "True or False")

    def toJSON(self) -> str:
        """
        The answer of an SPSP server (RFC 9), in ASCII and on one line.

        It contains the shared secret, in base64 with padding.

        @return: an object of C{destination_account}, C{shared_secret}, C{receipts_enabled}, and
            C{asset_code} and C{asset_scale} where they are known.
        """
        fields = {
            "destination_account": self.destinationAddress,
            "shared_secret": b64encode(self.sharedSecret).decode("ascii"),
            "asset_code": self.assetCode,
            "asset_scale": self.assetScale,
            "receipts_enabled": self.receiptsEnabled,
        }
        return json.dumps({name: value for name, value in fields.items() if value is not None})

    @classmethod
    def fromJSON(cls, source: str | bytes | Mapping[str, Any]) -> Credentials:
        """
        Read what L{toJSON} makes, or an SPSP server answers.

        The names may also be C{destinationAddress} or C{destinationAccount}, C{sharedSecret},
        C{assetCode}, C{assetScale} and C{receiptsEnabled}. The secret is in base64 or base64url,
        padded or not. An asset that is not well-formed is as if it was not told.

        @param source: a JSON text, or the object that was read from one.
        @raise DecodeError: if it is no such object; the text shows nothing of it.
        """
        source = _readObject(source)
        names = ("destination_account", "destinationAddress", "destinationAccount")
        return _credentialsFrom(
            "the JSON object",
            _first(source, *names),
            _first(source, "shared_secret", "sharedSecret"),
            _assetsIn(source),
            _first(source, "receipts_enabled", "receiptsEnabled"),
        )

    @classmethod
    def fromOpenPayments(
        cls, incomingPayment: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> Credentials:
        """
        Take the credentials out of an incoming payment of Open Payments.

        @param incomingPayment: its JSON object, as it was created or read with authorisation; or
            the list of its C{methods}, from which the asset is not known.
        @raise LocalError: if the payment is completed or expired: its methods are empty.
        @raise DecodeError: if it has no method of the type C{ilp}, or that has not what it needs.
        """
        payment = incomingPayment if isinstance(incomingPayment, Mapping) else {}
        methods = payment.get("methods") if payment else incomingPayment
        if not isinstance(methods, Sequence) or isinstance(methods, str | bytes):
            raise DecodeError(
                "the incoming payment has no list of methods: they are told to whoever creates it "
                "or reads it with authorisation, and to nobody else"
            )
        if not methods or payment.get("completed") is True:
            raise LocalError(
                "the incoming payment takes no money any more: it is completed or expired, so "
                "have another one created"
            )
        for method in methods:
            if isinstance(method, Mapping) and method.get("type") == "ilp":
                return _credentialsFrom(
                    "the payment method",
                    method.get("ilpAddress"),
                    method.get("sharedSecret"),
                    (
                        asset
                        for name in ("receivedAmount", "incomingAmount")
                        if isinstance(amount := payment.get(name), Mapping)
                        for asset in _assetsIn(amount)
                    ),
                    False,
                )
        raise DecodeError("the incoming payment has no method of the type 'ilp'")


def _first(source: Mapping[str, Any], *names: str) -> Any:
    """What stands under the first of these names that is there."""
    return next((source[name] for name in names if name in source), None)


def _readObject(source: str | bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    """
    @raise DecodeError: if it is none; nothing of the text is kept in the error.
    """
    if isinstance(source, Mapping):
        return source
    checkKind(
        "the credentials",
        source,
        str | bytes | bytearray,
        "a JSON text, or the object read from one",
    )
    try:
        text = source.decode("utf-8-sig") if isinstance(source, bytes) else source
        value = json.loads(text)
    except (ValueError, RecursionError):
        # What json raises keeps the whole text, which has the secret: none of it goes on.
        value = None
    if not isinstance(value, dict):
        raise DecodeError("the credentials are no JSON object")
    return value


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
    checkKind("connectionTag", connectionTag, str, "a text")
    checkKind("receiptNonce", receiptNonce, bytes | bytearray, f"{_RECEIPT_NONCE_LENGTH} octets")
    checkKind("receiptSecret", receiptSecret, bytes | bytearray, f"{_RECEIPT_SECRET_LENGTH} octets")
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
            join(serverAddress, encodeToken(token)),
            self.sharedSecret(token),
            *((assetCode, assetScale) if _isAsset(assetCode, assetScale) else (None, None)),
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
        octets = decodeToken(text)
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


def readSecret(text: str) -> bytes:
    """
    Read 32 octets in hex or base64url, padded or not.

    @raise LocalError: if it is neither; the text is not shown.
    """
    try:
        octets = bytes.fromhex(text) if len(text) == 64 else b""
    except ValueError:
        octets = b""
    if not octets:
        try:
            octets = urlsafe_b64decode(text.strip().encode("ascii", "replace") + b"==")
        except binascii.Error:
            octets = b""
    return checkSecret("the secret (in hex or base64url)", octets)
