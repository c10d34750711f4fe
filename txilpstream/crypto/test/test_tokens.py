"""Tests of C{txilpstream.crypto.tokens}."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import strategies as st

from txilpstream.crypto.credentials import Token, TokenReader
from txilpstream.crypto.tokens import (
    ILP_PROTOCOL_STREAM,
    INTERLEDGER_RS,
    STREAM_RECEIVER,
    TokenDetails,
    TokenFormats,
)
from txilpstream.errors import LocalError
from txilpstream.test.support.strategies import forAll
from txilpstream.test.support.virtual import VirtualTestCase

SECRET = bytes(range(32))
NONCE = b"n" * 16
RECEIPT_SECRET = b"r" * 32

STREAM_RECEIVER_TOKENS = (
    (
        "I9zRp5f60QsjrsNrT4r75eCb-SCuNgevzTut24E",
        "d28f7117992a8932db25b5e0ecfcb5a3a0140bb2b19eba8b29382017580a7156",
        TokenDetails(),
    ),
    (
        "pHW6-3xKmKER7jXRBSKisa_Qj7YsCFMl-eBwXVKWe1qBda9iFPr1",
        "8c258c4e57352a0cfa89cdc025a5c9250552028a38cd48ce35517bdf02d8a6a4",
        TokenDetails("invoice 7"),
    ),
    (
        "hJ-bZLg6VjT5Rd4CuK8GskQ530qJxjS9gYRvtY3zAmkDW_qbz0CV1ivTer3TNpHStnesntsyZLzguTCTuT9k5COmUkwZ"
        "IUlNXjt0-eM",
        "4778598b4ec6878a50d96c5ca7dbdcd69e8b369b428f3679fce68717a25379fb",
        TokenDetails("", NONCE, RECEIPT_SECRET),
    ),
    (
        "jCNqPmFjFfa62X7G6jqXvKjmORcHX9Ay9wcmFkuy4b4ZI8ZGTCz8x0gZqiDp-87Jo7vnjedq9vTJ5rgEuR70Cqu1ZK_r"
        "xHisxkAgX6XCYsMSQIxv",
        "540595445120394b40fa20006922f702715a946d7e034acb4bef72a9bbf3e24f",
        TokenDetails("t", NONCE, RECEIPT_SECRET, None, "EUR", 2),
    ),
    (
        "OY5_zq1gdEVgApDgv1Gg3sNU5sRoAbCGnQCCegmqvLXuDA",
        "6adcf5a705276369243289c2679a5653e35d5d3f7ce5cb5db2683034436f7f4e",
        TokenDetails("", b"", b"", None, "XRP", 9),
    ),
)
"""Token, shared secret and what it says, as stream-receiver 0.3.3-alpha.3 made them with SECRET."""


def derived(*parts: bytes) -> bytes:
    """HMACs of HMACs, each with the one before as its key."""
    key = SECRET
    for part in parts:
        key = hmac.new(key, part, hashlib.sha256).digest()
    return key


def textOf(octets: bytes) -> str:
    """Octets as they stand in an address."""
    return urlsafe_b64encode(octets).decode("ascii").rstrip("=")


def seal(key: bytes, plain: bytes) -> str:
    """A token with this inside."""
    iv = b"i" * 12
    sealed = AESGCM(key).encrypt(iv, plain, None)
    return textOf(iv + sealed[-16:] + sealed[:-16])


def own(plain: bytes) -> str:
    """A token of our own format; the random octets are zeros."""
    return seal(SECRET, bytes(18) + plain)


def flagged(plain: bytes) -> str:
    """A token of stream-receiver's format."""
    return seal(derived(b"ilp_stream_connection_token"), plain)


class OwnTests(VirtualTestCase):
    """Our own format."""

    def setUp(self) -> None:
        self.tokens = TokenFormats(SECRET)

    def test_sameAsBefore(self) -> None:
        """Credentials without an expiry are read, and made, as C{TokenReader} does."""
        reader = TokenReader(SECRET, bytes)
        made = TokenFormats(SECRET, randomBytes=bytes).generateCredentials(
            "test.a",
            connectionTag="tag",
            receiptNonce=NONCE,
            receiptSecret=RECEIPT_SECRET,
            assetCode="EUR",
            assetScale=2,
        )
        self.assertEqual(
            made,
            reader.generateCredentials(
                "test.a",
                connectionTag="tag",
                receiptNonce=NONCE,
                receiptSecret=RECEIPT_SECRET,
                assetCode="EUR",
                assetScale=2,
            ),
        )
        text = made.destinationAddress.rpartition(".")[2]
        details, secret = self.tokens.read(text)
        self.assertEqual(details, TokenDetails("tag", NONCE, RECEIPT_SECRET))
        self.assertEqual(secret, made.sharedSecret)
        assert details is not None
        self.assertFalse(details.isExpired(1e12))
        self.assertNotIn("rrr", repr(details))

    def test_expires(self) -> None:
        """An expiry travels in the token; who does not know of it reads all else."""
        made = self.tokens.generateCredentials(
            "test.a",
            connectionTag="tag",
            receiptNonce=NONCE,
            receiptSecret=RECEIPT_SECRET,
            assetCode="EUR",
            assetScale=2,
            expiresAt=1_700_000_000,
        )
        self.assertEqual((made.assetCode, made.assetScale), ("EUR", 2))
        self.assertTrue(made.receiptsEnabled)
        text = made.destinationAddress.rpartition(".")[2]
        details, secret = self.tokens.read(text)
        self.assertEqual(details, TokenDetails("tag", NONCE, RECEIPT_SECRET, 1_700_000_000))
        self.assertEqual(secret, made.sharedSecret)
        assert details is not None
        self.assertFalse(details.isExpired(1_699_999_999.9))
        self.assertTrue(details.isExpired(1_700_000_000))
        older, secret = TokenReader(SECRET).read(text)
        self.assertEqual(older, Token("tag", NONCE, RECEIPT_SECRET))
        self.assertEqual(secret, made.sharedSecret)

    def test_fresh(self) -> None:
        """Two credentials with the same expiry share nothing."""
        one, two = (self.tokens.generateCredentials("test.a", expiresAt=5) for _ in range(2))
        self.assertNotEqual(one.sharedSecret, two.sharedSecret)

    def test_notMade(self) -> None:
        """What cannot be written is refused."""
        wrong: list[dict[str, Any]] = [
            {"expiresAt": 1.5},
            {"expiresAt": -1},
            {"expiresAt": 2**64},
            {"connectionTag": "a b"},
            {"receiptNonce": NONCE},
        ]
        for options in wrong:
            self.assertRaises(LocalError, self.tokens.generateCredentials, "test.a", **options)

    def test_read(self) -> None:
        """Fields by hand; nonce and secret count together and in full length only."""
        for plain, expected in (
            (b"\3tag\0\0", TokenDetails("tag")),
            (b"\0\0\0\1\7", TokenDetails("", b"", b"", 7)),
            (b"\0\x10" + NONCE + b"\0", TokenDetails()),
            (b"\0\0\x20" + RECEIPT_SECRET, TokenDetails()),
            (b"\0\x10" + NONCE + b"\x20" + RECEIPT_SECRET, TokenDetails("", NONCE, RECEIPT_SECRET)),
        ):
            self.assertEqual(self.tokens.read(own(plain))[0], expected)

    def test_notRead(self) -> None:
        """Broken fields, and an expiry that is none: such credentials are not good for ever."""
        for plain in (
            b"",
            b"\3ta",
            b"\1\xff\0\0",
            b"\0\0",
            b"\0\0\0\0",
            b"\0\0\0\2\1",
            b"\0\0\0more",
        ):
            self.assertIsNone(self.tokens.read(own(plain))[0], plain)


class StreamReceiverTests(VirtualTestCase):
    """The format of stream-receiver and Rafiki."""

    def test_theirs(self) -> None:
        """Tokens that stream-receiver made, with the secrets that it gave with them."""
        tokens = TokenFormats(SECRET)
        for text, secret, expected in STREAM_RECEIVER_TOKENS:
            self.assertEqual(tokens.read(text), (expected, bytes.fromhex(secret)))

    def test_byHand(self) -> None:
        """Flags of the future, and fields that are cut short."""
        tokens = TokenFormats(SECRET)
        self.assertEqual(tokens.read(flagged(b"\xf8"))[0], TokenDetails())
        self.assertEqual(tokens.read(flagged(b"\1\3tagmore"))[0], TokenDetails("tag"))
        for plain in (
            b"",
            b"\1",
            b"\1\2t",
            b"\1\1\xff",
            b"\2" + NONCE + RECEIPT_SECRET[1:],
            b"\4\3EU",
            b"\4\3EUR",
        ):
            self.assertIsNone(tokens.read(flagged(plain))[0], plain)


class RandomTests(VirtualTestCase):
    """The format of interledger-rs."""

    def test_secret(self) -> None:
        """Its secret is derived from the characters, not from the octets."""
        text = textOf(bytes(range(200, 218)))
        details, secret = TokenFormats(SECRET).read(text)
        self.assertEqual(details, TokenDetails())
        self.assertEqual(secret, derived(b"ilp_stream_shared_secret", text.encode("ascii")))

    def test_otherLengths(self) -> None:
        """A character more or less is another token."""
        tokens = TokenFormats(SECRET)
        for length in (17, 19):
            octets = bytes(length)
            details, secret = tokens.read(textOf(octets))
            self.assertIsNone(details)
            self.assertEqual(secret, derived(b"ilp_stream_shared_secret", octets))
        self.assertIsNone(tokens.read("!" * 24)[0])


class ChosenTests(VirtualTestCase):
    """Which formats are read."""

    def test_unknown(self) -> None:
        """A format that nobody knows, and a secret that is none."""
        error = self.assertRaises(LocalError, TokenFormats, SECRET, ["dassie"])
        self.assertIn("'dassie'; there are ilp-protocol-stream", str(error))
        self.assertRaises(LocalError, TokenFormats, SECRET, "dassie")
        self.assertRaises(LocalError, TokenFormats, SECRET[1:])

    def test_only(self) -> None:
        """What is not read takes the way of any foreign token, and has a secret all the same."""
        theirs, secret, details = STREAM_RECEIVER_TOKENS[1]
        text = textOf(bytes(18))
        ours = own(b"\3tag\0\0")
        for names, read in (
            (ILP_PROTOCOL_STREAM, (True, False, False)),
            ([], (True, False, False)),
            ([STREAM_RECEIVER], (True, True, False)),
            ([INTERLEDGER_RS], (True, False, True)),
        ):
            tokens = TokenFormats(SECRET, names)
            found = tuple(tokens.read(each)[0] is not None for each in (ours, theirs, text))
            self.assertEqual(found, read, names)
            self.assertEqual(tokens.read(theirs)[1].hex(), secret)
        self.assertEqual(
            TokenFormats(SECRET, []).read(text)[1], derived(b"ilp_stream_shared_secret", bytes(18))
        )
        self.assertEqual(details.connectionTag, "invoice 7")

    @forAll(st.text(max_size=120))
    def test_anyText(self, text: str) -> None:
        """Any text has a secret of 32 octets; hardly any says something."""
        details, secret = TokenFormats(SECRET).read(text)
        self.assertEqual(len(secret), 32)
        self.assertIn(details, (None, TokenDetails()))

    def test_notCanonical(self) -> None:
        """One token has one text: other ways to write it, and what is too long, are foreign."""
        theirs, secret, _ = STREAM_RECEIVER_TOKENS[0]
        tokens = TokenFormats(SECRET)
        for text in (theirs + "=", theirs[:-1] + "F", theirs + "\n", theirs + " ", "A" * 2000):
            details, other = tokens.read(text)
            self.assertIsNone(details, text)
            self.assertNotEqual(other.hex(), secret)
        self.assertEqual(tokens.read("A" * 1024)[1], tokens.read("")[1])

    def test_anyBit(self) -> None:
        """A token with a changed character is foreign."""
        theirs = STREAM_RECEIVER_TOKENS[3][0]
        tokens = TokenFormats(SECRET)
        for index, character in enumerate(theirs):
            changed = theirs[:index] + ("A" if character != "A" else "B") + theirs[index + 1 :]
            self.assertIsNone(tokens.read(changed)[0])
