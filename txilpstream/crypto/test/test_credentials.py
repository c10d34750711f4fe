"""Tests of C{txilpstream.crypto.credentials}."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import strategies as st

from txilpstream.crypto.credentials import Credentials, Token, TokenReader, readOctets
from txilpstream.errors import DecodeError, LocalError
from txilpstream.test.support.strategies import addresses, forAll
from txilpstream.test.support.virtual import VirtualTestCase
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


class CredentialsTests(VirtualTestCase):
    """What a client gets."""

    def test_checked(self) -> None:
        """An address that is none and a secret of another length are refused."""
        Credentials("g.a", bytes(32))
        wrong: list[tuple[Any, Any]] = [("g", bytes(32)), ("g.a", bytes(31)), ("g.a", "s" * 32)]
        for address, secret in wrong:
            self.assertRaises(LocalError, Credentials, address, secret)

    def test_asset(self) -> None:
        """An asset that no server could tell is refused too, before it is written down."""
        make: Any = Credentials
        make("g.a", bytes(32), "EUR", 255, True)
        for code, scale in (("", 2), (7, 2), ("E\n", 2), ("EUR", 256), ("EUR", -1), ("EUR", True)):
            self.assertRaises(LocalError, make, "g.a", bytes(32), code, scale)
        self.assertRaises(LocalError, make, "g.a", bytes(32), "EUR", 2, "yes")

    def test_serversAsset(self) -> None:
        """A server whose parent tells a strange asset gives credentials that tell none."""
        make = TokenReader(SERVER_SECRET).generateCredentials
        for code, asset in (("", None), ("USD\0", None), ("USD", "USD")):
            self.assertEqual(make("g.a", assetCode=code, assetScale=2).assetCode, asset)

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


class FormatTests(VirtualTestCase):
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


class TokenReaderTests(VirtualTestCase):
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


class BadTokenTests(VirtualTestCase):
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


class ReadOctetsTests(VirtualTestCase):
    """Octets as other programs write them."""

    @forAll(st.binary(max_size=40), st.booleans(), st.booleans())
    def test_roundTrip(self, octets: bytes, isURL: bool, isPadded: bool) -> None:
        """Either base64, padded or not, if there are as many as there should be."""
        text = (urlsafe_b64encode if isURL else b64encode)(octets).decode("ascii")
        text = text if isPadded else text.rstrip("=")
        if octets:
            self.assertEqual(readOctets(text, len(octets)), octets)
        self.assertIs(readOctets(text, len(octets) + 1), None)

    def test_refused(self) -> None:
        """Other characters, half a padding, other types, and what is far too long."""
        good = b64encode(bytes(16)).decode("ascii")
        self.assertEqual(readOctets(good, 16), bytes(16))
        wrong: list[Any] = [
            *(None, 7, good.encode(), "", "=", good[:-1], good + "=", good + "\n", " " + good),
            *("\u00e9" * 22, "!" * 22, "A" * 21 + "=", "A" * 10**6, good[:-3] + "==="),
        ]
        for text in wrong:
            self.assertIs(readOctets(text, 16), None, text)


ADDRESS = "test.bob.token"
SESAME = b"sesame**" * 4
SESAME_TEXT = b64encode(SESAME).decode("ascii")


def unreadable(case: VirtualTestCase, read: Callable[[Any], object], source: Any) -> str:
    """The text of the error that a source gives, in which there is nothing of it."""
    error = case.assertRaises(DecodeError, read, source)
    case.assertIs(error.__context__, None)
    for secret in ("sesame", SESAME_TEXT):
        case.assertNotIn(secret, str(error))
    return str(error)


class JSONTests(VirtualTestCase):
    """Credentials as SPSP tells them (RFC 9)."""

    def test_written(self) -> None:
        """The names of RFC 9, and standard base64 with padding; what is not known is not told."""
        self.assertEqual(
            json.loads(Credentials(ADDRESS, bytes(32)).toJSON()),
            {
                "destination_account": ADDRESS,
                "shared_secret": "A" * 43 + "=",
                "receipts_enabled": False,
            },
        )
        told = json.loads(Credentials(ADDRESS, bytes(32), "EUR", 0, True).toJSON())
        self.assertEqual(
            (told["asset_code"], told["asset_scale"], told["receipts_enabled"]), ("EUR", 0, True)
        )

    @forAll(
        addresses,
        st.binary(min_size=32, max_size=32),
        st.one_of(st.none(), st.sampled_from(["EUR", "\u00a4", "X" * 255])),
        st.one_of(st.none(), st.integers(0, 255)),
        st.booleans(),
    )
    def test_roundTrip(
        self, address: str, secret: bytes, code: str | None, scale: int | None, receipts: bool
    ) -> None:
        """What is written is read, from the object, the text, and its octets."""
        credentials = Credentials(address, secret, code, scale, receipts)
        text = credentials.toJSON()
        self.assertEqual((text.isascii(), text.count("\n")), (True, 0))
        for source in (json.loads(text), text, text.encode(), b"\xef\xbb\xbf" + text.encode()):
            self.assertEqual(Credentials.fromJSON(source), credentials)

    def test_names(self) -> None:
        """The names of other programs are understood."""
        expected = Credentials(ADDRESS, SESAME, "EUR", 2, True)
        for name in ("destinationAddress", "destinationAccount"):
            source: dict[str, Any] = {
                name: ADDRESS,
                "sharedSecret": urlsafe_b64encode(SESAME).decode().rstrip("="),
                "assetCode": "EUR",
                "assetScale": 2,
                "receiptsEnabled": True,
            }
            self.assertEqual(Credentials.fromJSON(source), expected)

    def test_assets(self) -> None:
        """An asset is read from where it stands, if it is one."""
        for more, asset in (
            ({"asset_info": {"code": "EUR", "scale": 2}}, ("EUR", 2)),
            ({"ledger_info": {"asset_code": "EUR", "asset_scale": 2}}, ("EUR", 2)),
            ({"asset_code": "EUR", "asset_info": {"code": "USD", "scale": 2}}, ("EUR", None)),
            ({"asset_code": "", "asset_info": {"code": "USD", "scale": 2}}, ("USD", 2)),
            ({"asset_code": "EUR", "asset_scale": 256}, (None, None)),
            ({"asset_code": "EUR", "asset_scale": -1}, (None, None)),
            ({"asset_code": "EUR", "asset_scale": True}, (None, None)),
            ({"asset_code": "EUR", "asset_scale": 2.0}, (None, None)),
            ({"asset_code": 978, "asset_scale": 2}, (None, None)),
            ({"asset_code": "E\nR", "asset_scale": 2}, (None, None)),
            ({"asset_code": "\ud800", "asset_scale": 2}, (None, None)),
            ({"asset_code": "E" * 256, "asset_scale": 2}, (None, None)),
            ({"asset_info": "EUR", "ledger_info": None}, (None, None)),
        ):
            source = {"destination_account": ADDRESS, "shared_secret": SESAME_TEXT, **more}
            credentials = Credentials.fromJSON(source)
            self.assertEqual((credentials.assetCode, credentials.assetScale), asset, more)

    def test_receipts(self) -> None:
        """Receipts are there if that is said, and not if something like it is."""
        for value in (1, "true", None, [True]):
            source: dict[str, Any] = {
                "destination_account": ADDRESS,
                "shared_secret": SESAME_TEXT,
                "receipts_enabled": value,
            }
            self.assertFalse(Credentials.fromJSON(source).receiptsEnabled)

    def test_refused(self) -> None:
        """What is no JSON object, or has not what it needs; nothing of it is shown."""
        good = {"destination_account": ADDRESS, "shared_secret": SESAME_TEXT}
        sources: list[Any] = [
            *("", "sesame", "null", f'["{SESAME_TEXT}"]', "[" * 10**5, "1" * 10**5),
            *(b"\xff", json.dumps(good)[:-1], json.dumps(good) + "sesame"),
            *({}, {**good, "destination_account": SESAME_TEXT}),
            *({**good, "destination_account": None}, {**good, "shared_secret": None}),
            *({**good, "shared_secret": SESAME_TEXT[4:]}, {**good, "shared_secret": "!" * 43}),
        ]
        for source in sources:
            unreadable(self, Credentials.fromJSON, source)


class OpenPaymentsTests(VirtualTestCase):
    """Credentials out of an incoming payment."""

    def payment(self, **more: Any) -> dict[str, Any]:
        """An incoming payment as Rafiki shows it to its creator."""
        return {
            "id": "https://bob.example/incoming-payments/1",
            "walletAddress": "https://bob.example/",
            "completed": False,
            "receivedAmount": {"value": "0", "assetCode": "EUR", "assetScale": 2},
            "methods": [
                {"type": "cash", "ilpAddress": "test.wrong"},
                {
                    "type": "ilp",
                    "ilpAddress": ADDRESS,
                    "sharedSecret": urlsafe_b64encode(SESAME).decode().rstrip("="),
                },
            ],
            **more,
        }

    def test_read(self) -> None:
        """The first method of the type C{ilp}, with the asset of the payment."""
        expected = Credentials(ADDRESS, SESAME, "EUR", 2)
        payment = self.payment()
        self.assertEqual(Credentials.fromOpenPayments(payment), expected)
        amount = payment.pop("receivedAmount")
        self.assertEqual(
            Credentials.fromOpenPayments({**payment, "incomingAmount": amount}), expected
        )
        sources: list[Any] = [payment, payment["methods"], {**payment, "receivedAmount": "1"}]
        for source in sources:
            self.assertEqual(Credentials.fromOpenPayments(source), Credentials(ADDRESS, SESAME))

    def test_over(self) -> None:
        """A payment that is completed or expired takes nothing more, and that is said."""
        sources: list[Any] = [self.payment(methods=[]), [], self.payment(completed=True)]
        for source in sources:
            error = self.assertRaises(LocalError, Credentials.fromOpenPayments, source)
            self.assertIn("completed or expired", str(error))

    def test_refused(self) -> None:
        """What is no such payment; nothing of it is shown."""
        public = self.payment()
        del public["methods"]
        self.assertIn("auth", unreadable(self, Credentials.fromOpenPayments, public))
        method = {"type": "ilp", "ilpAddress": ADDRESS, "sharedSecret": SESAME_TEXT}
        sources: list[Any] = [
            *({}, None, 7, "sesame", b"sesame", self.payment(methods="sesame")),
            *(self.payment(methods={"type": "ilp"}), ["ilp"], [{"type": "cash"}]),
            *([{**method, "ilpAddress": SESAME_TEXT}], [{**method, "sharedSecret": "sesame"}]),
            *([{**method, "ilpAddress": 7}], [{"type": "ilp"}]),
        ]
        for source in sources:
            unreadable(self, Credentials.fromOpenPayments, source)
