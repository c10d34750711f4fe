"""Tests of C{txilpstream.crypto.keys}."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.crypto.keys import (
    ENVELOPE_OVERHEAD,
    IV_LENGTH,
    SECRET_LENGTH,
    SessionKeys,
    checkSecret,
    conditionOf,
)
from txilpstream.errors import LocalError
from txilpstream.test.support.strategies import forAll, octets

SECRET = bytes(range(32))
IV = bytes(range(100, 112))

secrets = st.binary(min_size=32, max_size=32)
ivs = st.binary(min_size=12, max_size=12)


class CheckSecretTests(SynchronousTestCase):
    """RFC 29 section 4.1: 32 octets."""

    def test_good(self) -> None:
        """32 octets are a secret."""
        self.assertIs(checkSecret("the secret", SECRET), SECRET)
        self.assertEqual(SECRET_LENGTH, 32)

    def test_wrong(self) -> None:
        """Other lengths and other types are none; the error shows nothing of them."""
        things: list[Any] = [b"", b"sesame" * 5, b"s" * 33, "sesame" * 5, bytearray(32), None, 7]
        for thing in things:
            error = self.assertRaises(LocalError, checkSecret, "the secret", thing)
            self.assertNotIn("sesame", str(error))
            self.assertIn("the secret", str(error))
            self.assertRaises(LocalError, SessionKeys, thing)
        error = self.assertRaises(LocalError, checkSecret, "the secret", b"12345")
        self.assertEqual(str(error), "the secret has 5 octets: it must have 32")


class EnvelopeTests(SynchronousTestCase):
    """RFC 29 section 5.1."""

    @forAll(secrets, ivs, octets)
    def test_format(self, secret: bytes, iv: bytes, plain: bytes) -> None:
        """Key and order of the parts are those of all who speak STREAM."""
        key = hmac.new(secret, b"ilp_stream_encryption", hashlib.sha256).digest()
        sealed = AESGCM(key).encrypt(iv, plain, None)
        cipherText, tag = sealed[:-16], sealed[-16:]
        keys = SessionKeys(secret)
        self.assertEqual(keys.seal(plain, iv), iv + tag + cipherText)
        self.assertEqual(keys.open(iv + tag + cipherText), plain)

    def test_overhead(self) -> None:
        """An envelope is 28 octets longer than what it holds."""
        self.assertEqual((IV_LENGTH, ENVELOPE_OVERHEAD), (12, 28))
        self.assertEqual(len(SessionKeys(SECRET).seal(b"", IV)), ENVELOPE_OVERHEAD)

    @forAll(octets)
    def test_strangers(self, envelope: bytes) -> None:
        """Octets that nobody sealed under the secret open to nothing."""
        self.assertIs(SessionKeys(SECRET).open(envelope), None)

    def test_anyBit(self) -> None:
        """Nor does an envelope with a changed bit, a cut, an addition, or another's."""
        keys = SessionKeys(SECRET)
        envelope = keys.seal(b"STREAM", IV)
        for index in range(8 * len(envelope)):
            changed = bytearray(envelope)
            changed[index // 8] ^= 1 << index % 8
            self.assertIs(keys.open(bytes(changed)), None)
        for length in range(len(envelope)):
            self.assertIs(keys.open(envelope[:length]), None)
        self.assertIs(keys.open(envelope + b"\0"), None)
        self.assertIs(SessionKeys(SECRET[::-1]).open(envelope), None)


class FulfillmentTests(SynchronousTestCase):
    """RFC 29 section 6.3 and RFC 27."""

    @forAll(secrets, octets)
    def test_format(self, secret: bytes, data: bytes) -> None:
        """The fulfillment is the data's HMAC, the condition the fulfillment's hash."""
        key = hmac.new(secret, b"ilp_stream_fulfillment", hashlib.sha256).digest()
        fulfillment = hmac.new(key, data, hashlib.sha256).digest()
        self.assertEqual(SessionKeys(secret).fulfillment(data), fulfillment)
        self.assertEqual(conditionOf(fulfillment), hashlib.sha256(fulfillment).digest())

    def test_known(self) -> None:
        """The condition of IL-DCP, which everybody can fulfill."""
        self.assertEqual(
            conditionOf(bytes(32)).hex(),
            "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925",
        )


class SecrecyTests(SynchronousTestCase):
    """What must not be shown."""

    def test_repr(self) -> None:
        """Keys show nothing of themselves."""
        shown = repr(SessionKeys(SECRET))
        self.assertNotIn(SECRET.hex(), shown)
        self.assertNotIn(repr(SECRET), shown)
