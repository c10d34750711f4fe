"""Tests of C{txilpstream.credentials}."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.credentials import Credentials, Token, TokenReader
from txilpstream.errors import LocalError
from txilpstream.test.support import addresses, forAll
from txilpstream.wire.address import isAddress
from txilpstream.wire.oer import encodeVarOctets

SERVER_SECRET = bytes(range(32))
NONCE = b"n" * 16
RECEIPT_SECRET = b"r" * 32

tags = st.text("abcXYZ019_~-", max_size=100)


def counted() -> Callable[[int], bytes]:
    """Octets that are not random at all, and never the same twice."""
    numbers = iter(range(256))
    return lambda length: bytes([next(numbers)]) * length


def textOf(octets: bytes) -> str:
    """Octets as they stand in an address."""
    return urlsafe_b64encode(octets).decode("ascii").rstrip("=")


def tokenOf(plain: bytes, secret: bytes = SERVER_SECRET, iv: bytes = b"i" * 12) -> bytes:
    """A token as ilp-protocol-stream makes it: IV, tag, cipher text."""
    sealed = AESGCM(secret).encrypt(iv, plain, None)
    return iv + sealed[-16:] + sealed[:-16]


def plainOf(tag: bytes = b"", nonce: bytes = b"", secret: bytes = b"") -> bytes:
    """What is encrypted in a token."""
    return bytes(18) + b"".join(encodeVarOctets(part) for part in (tag, nonce, secret))


def sharedSecretOf(token: bytes) -> bytes:
    """The shared secret of a token's octets, derived by hand."""
    key = hmac.new(SERVER_SECRET, b"ilp_stream_shared_secret", hashlib.sha256).digest()
    return hmac.new(key, token, hashlib.sha256).digest()


class CredentialsTests(SynchronousTestCase):
    """What a client gets."""

    def test_checked(self) -> None:
        """An address that is none and a secret of another length are refused."""
        Credentials("g.a", bytes(32))
        wrong: list[tuple[Any, Any]] = [("g", bytes(32)), ("g.a", bytes(31)), ("g.a", "s" * 32)]
        for address, secret in wrong:
            self.assertRaises(LocalError, Credentials, address, secret)

    def test_secrecy(self) -> None:
        """The secret is not shown."""
        self.assertNotIn("sesame", repr(Credentials("g.a", b"sesame**" * 4)))
        self.assertNotIn("sesame", repr(Token("tag", NONCE, b"sesame**" * 4)))

    def test_defaults(self) -> None:
        """Asset and receipts are told only where they are known."""
        credentials = Credentials("g.a", bytes(32))
        self.assertEqual(
            (credentials.assetCode, credentials.assetScale, credentials.receiptsEnabled),
            (None, None, False),
        )


class FormatTests(SynchronousTestCase):
    """The same server secret gives the same addresses as in ilp-protocol-stream."""

    def test_generated(self) -> None:
        """Every octet of an address and of its secret, derived by hand."""
        reader = TokenReader(SERVER_SECRET, counted())
        credentials = reader.generateCredentials(
            "g.server", connectionTag="invoice-7", receiptNonce=NONCE, receiptSecret=RECEIPT_SECRET
        )
        plain = b"\1" * 18 + b"\x09invoice-7" + b"\x10" + NONCE + b"\x20" + RECEIPT_SECRET
        token = tokenOf(plain, iv=b"\0" * 12)
        self.assertEqual(credentials.destinationAddress, "g.server." + textOf(token))
        self.assertEqual(credentials.sharedSecret, sharedSecretOf(token))
        self.assertTrue(credentials.receiptsEnabled)

    def test_read(self) -> None:
        """A token made by hand is read."""
        for plain, expected in (
            (plainOf(), Token()),
            (plainOf(b"tag"), Token("tag")),
            (plainOf(b"", NONCE, RECEIPT_SECRET), Token("", NONCE, RECEIPT_SECRET)),
            (plainOf(b"a b!", NONCE, RECEIPT_SECRET), Token("a b!", NONCE, RECEIPT_SECRET)),
            (plainOf(b"tag") + b"more", Token("tag")),
        ):
            token = tokenOf(plain)
            self.assertEqual(
                TokenReader(SERVER_SECRET).read(textOf(token)), (expected, sharedSecretOf(token))
            )

    def test_halfReceipts(self) -> None:
        """Nonce and secret of a receipt count only together and in full length."""
        for nonce, secret in (
            (NONCE, b""),
            (b"", RECEIPT_SECRET),
            (NONCE, RECEIPT_SECRET[1:]),
            (NONCE[1:], RECEIPT_SECRET),
        ):
            token, _ = TokenReader(SERVER_SECRET).read(
                textOf(tokenOf(plainOf(b"t", nonce, secret)))
            )
            self.assertEqual(token, Token("t"))

    def test_length(self) -> None:
        """49 octets, 66 characters without tag and receipts."""
        credentials = TokenReader(SERVER_SECRET).generateCredentials("g.a")
        self.assertEqual(len(credentials.destinationAddress), len("g.a.") + 66)


class TokenReaderTests(SynchronousTestCase):
    """A server makes credentials and knows them again."""

    @forAll(addresses, tags, st.booleans())
    def test_roundTrip(self, address: str, tag: str, receipts: bool) -> None:
        """All that went into a token comes out of it, with the secret that the client got."""
        options: dict[str, Any] = {"connectionTag": tag}
        if receipts:
            options.update(receiptNonce=NONCE, receiptSecret=RECEIPT_SECRET)
        reader = TokenReader(SERVER_SECRET, counted())
        credentials = reader.generateCredentials(address, assetCode="EUR", assetScale=6, **options)
        self.assertTrue(isAddress(credentials.destinationAddress))
        self.assertEqual((credentials.assetCode, credentials.assetScale), ("EUR", 6))
        self.assertEqual(credentials.receiptsEnabled, receipts)
        text = credentials.destinationAddress[len(address) + 1 :]
        expected = Token(tag, NONCE, RECEIPT_SECRET) if receipts else Token(tag)
        self.assertEqual(
            TokenReader(SERVER_SECRET).read(text), (expected, credentials.sharedSecret)
        )

    def test_random(self) -> None:
        """No two clients get the same."""
        reader = TokenReader(SERVER_SECRET)
        first, second = (reader.generateCredentials("g.a") for _ in range(2))
        self.assertNotEqual(first.destinationAddress, second.destinationAddress)
        self.assertNotEqual(first.sharedSecret, second.sharedSecret)

    def test_longestAddress(self) -> None:
        """
        An address of full length is one that its server can read. A token of more than 1,000
        characters was made, and then not known again.
        """
        reader = TokenReader(SERVER_SECRET)
        credentials = reader.generateCredentials("g.a", connectionTag="t" * 713)
        text = credentials.destinationAddress[len("g.a.") :]
        self.assertEqual(len(text), 1019)
        self.assertEqual(reader.read(text), (Token("t" * 713), credentials.sharedSecret))
        self.assertRaises(LocalError, reader.generateCredentials, "g.a", connectionTag="t" * 714)

    def test_serverSecret(self) -> None:
        """A server secret is 32 octets."""
        self.assertRaises(LocalError, TokenReader, bytes(31))

    def test_refusedTags(self) -> None:
        """A tag is made of what can stand in an address."""
        reader = TokenReader(SERVER_SECRET)
        for tag in ("a b", "a.b", "\u00e9", "a\n"):
            error = self.assertRaises(
                LocalError, reader.generateCredentials, "g.a", connectionTag=tag
            )
            self.assertIn(repr(tag), str(error))

    def test_refusedReceipts(self) -> None:
        """Nonce and secret of receipts come together and in full length, or not at all."""
        reader = TokenReader(SERVER_SECRET)
        for nonce, secret in (
            (NONCE, b""),
            (b"", RECEIPT_SECRET),
            (NONCE[1:], RECEIPT_SECRET),
            (NONCE, RECEIPT_SECRET[1:]),
        ):
            error = self.assertRaises(
                LocalError,
                reader.generateCredentials,
                "g.a",
                receiptNonce=nonce,
                receiptSecret=secret,
            )
            self.assertNotIn("rrr", str(error))

    def test_refusedAddress(self) -> None:
        """A server has an address."""
        self.assertRaises(LocalError, TokenReader(SERVER_SECRET).generateCredentials, "nonsense")


class BadTokenTests(SynchronousTestCase):
    """RFC 29 section 4.2: a bad token looks like a good one with a wrong key."""

    def check(self, text: str) -> bytes:
        """A token is refused, and has a secret all the same."""
        token, secret = TokenReader(SERVER_SECRET).read(text)
        self.assertIs(token, None)
        self.assertEqual(len(secret), 32)
        return secret

    def test_foreign(self) -> None:
        """A token of another server."""
        token = tokenOf(plainOf(), secret=SERVER_SECRET[::-1])
        self.assertEqual(self.check(textOf(token)), sharedSecretOf(token))

    def test_anyBit(self) -> None:
        """A token with a changed bit."""
        token = tokenOf(plainOf())
        for index in range(8 * len(token)):
            changed = bytearray(token)
            changed[index // 8] ^= 1 << index % 8
            self.check(textOf(bytes(changed)))

    def test_cut(self) -> None:
        """A token that is cut anywhere."""
        text = textOf(tokenOf(plainOf()))
        for length in range(len(text)):
            self.check(text[:length])

    def test_otherSpellings(self) -> None:
        """There is one way only to write a token: no two texts lead to one connection."""
        token = tokenOf(plainOf(), iv=b"\xff" * 12)  # writes as underscores
        text = textOf(token)
        self.assertEqual(TokenReader(SERVER_SECRET).read(text)[0], Token())
        self.check(b64encode(token).decode("ascii").rstrip("="))
        for other in (text + "=", text + "==", text + "\n", text[:9] + "!" + text[9:], " " + text):
            self.check(other)
        longer = textOf(tokenOf(plainOf() + b"x"))  # its last character has bits to spare
        self.assertEqual(len(longer) % 4, 3)
        self.check(longer[:-1] + chr(ord(longer[-1]) + 1))

    def test_contents(self) -> None:
        """A genuine token whose contents are none, as another program might make."""
        for plain in (b"", bytes(18), bytes(19), bytes(18) + b"\x01\xff\0\0", bytes(18) + b"\5a"):
            self.check(textOf(tokenOf(plain)))

    @forAll(st.text(max_size=100))
    def test_anyText(self, text: str) -> None:
        """Any other text."""
        self.check(text)

    def test_long(self) -> None:
        """A text that is longer than any address is not even decoded."""
        self.assertEqual(self.check("A" * 10**6), self.check(""))
