"""Tests of C{txilpstream.crypto.receipts}."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import U64_MAX
from txilpstream.crypto.receipts import (
    MAX_STREAM_ID,
    NONCE_LENGTH,
    RECEIPT_LENGTH,
    Receipt,
    decodeReceipt,
    signReceipt,
    verifyReceipt,
)
from txilpstream.errors import DecodeError, LocalError
from txilpstream.test.support import forAll, uint64

NONCE = bytes(range(16))
SECRET = b"sesame**" * 4

PUBLISHED = bytes.fromhex(
    "01" + "00" * 16 + "01" + "00000000000001f4"
    "c122fa0252debb672d591823f710e99516d67385cf397da87cc8f9e8c8bf5130"
)
"""The receipt of the published vector C{frame:stream_receipt}; its secret is 32 zero octets."""

receipts = st.builds(
    Receipt, st.binary(min_size=16, max_size=16), st.integers(1, MAX_STREAM_ID), uint64
)


class SignTests(SynchronousTestCase):
    """RFC 39, Specification."""

    def test_published(self) -> None:
        """The published receipt, byte for byte."""
        self.assertEqual(signReceipt(bytes(16), 1, 500, bytes(32)), PUBLISHED)
        self.assertEqual(decodeReceipt(PUBLISHED), Receipt(bytes(16), 1, 500))
        self.assertEqual(verifyReceipt(PUBLISHED, bytes(32)), Receipt(bytes(16), 1, 500))

    @forAll(receipts)
    def test_format(self, receipt: Receipt) -> None:
        """Version, nonce, stream id, total, and the HMAC over these 26 octets."""
        fields = b"\x01" + receipt.nonce + bytes([receipt.streamID])
        fields += receipt.totalReceived.to_bytes(8, "big")
        signed = signReceipt(receipt.nonce, receipt.streamID, receipt.totalReceived, SECRET)
        self.assertEqual(signed, fields + hmac.new(SECRET, fields, hashlib.sha256).digest())
        self.assertEqual((len(fields), len(signed)), (26, RECEIPT_LENGTH))
        self.assertEqual(decodeReceipt(signed), receipt)
        self.assertEqual(verifyReceipt(signed, SECRET), receipt)

    def test_refused(self) -> None:
        """What no receipt can say is not signed; the error names the limit and no secret."""
        wrong: list[tuple[Any, ...]] = [
            (NONCE[1:], 1, 1, SECRET),
            ("n" * 16, 1, 1, SECRET),
            (NONCE, 0, 1, SECRET),
            (NONCE, 256, 1, SECRET),
            (NONCE, 1.0, 1, SECRET),
            (NONCE, 1, -1, SECRET),
            (NONCE, 1, U64_MAX + 1, SECRET),
            (NONCE, 1, 1.0, SECRET),
            (NONCE, 1, 1, SECRET[1:]),
            (NONCE, 1, 1, "sesame**" * 4),
        ]
        for values in wrong:
            error = self.assertRaises(LocalError, signReceipt, *values)
            self.assertNotIn("sesame", str(error))
        error = self.assertRaises(LocalError, signReceipt, NONCE, 256, 1, SECRET)
        self.assertIn("256: it must be from 1 to 255", str(error))
        self.assertEqual((NONCE_LENGTH, MAX_STREAM_ID), (16, 255))


class VerifyTests(SynchronousTestCase):
    """R1: what the secret did not sign is worth nothing."""

    def test_anyBit(self) -> None:
        """A receipt with a changed bit, a cut or an addition is none."""
        signed = signReceipt(NONCE, 1, 500, SECRET)
        for index in range(8 * len(signed)):
            changed = bytearray(signed)
            changed[index // 8] ^= 1 << index % 8
            self.assertIs(verifyReceipt(bytes(changed), SECRET), None)
        for length in range(len(signed)):
            self.assertIs(verifyReceipt(signed[:length], SECRET), None)
        self.assertIs(verifyReceipt(signed + b"\0", SECRET), None)

    def test_otherSecret(self) -> None:
        """So is one that another secret signed."""
        self.assertIs(verifyReceipt(PUBLISHED, SECRET), None)

    def test_otherVersion(self) -> None:
        """A genuine signature over another version is not taken for one of this."""
        fields = b"\x02" + NONCE + b"\x01" + bytes(8)
        signed = fields + hmac.new(SECRET, fields, hashlib.sha256).digest()
        self.assertIs(verifyReceipt(signed, SECRET), None)
        self.assertRaises(DecodeError, decodeReceipt, signed)

    def test_secret(self) -> None:
        """A secret is 32 octets."""
        self.assertRaises(LocalError, verifyReceipt, PUBLISHED, bytes(31))

    @forAll(st.binary(max_size=100))
    def test_anyOctets(self, octets: bytes) -> None:
        """Any octets give a receipt or DecodeError, and verify as nothing."""
        self.assertIs(verifyReceipt(octets, SECRET), None)
        try:
            receipt = decodeReceipt(octets)
        except DecodeError:
            return
        self.assertEqual(len(receipt.nonce), 16)

    @forAll(st.binary(min_size=57, max_size=57))
    def test_unverified(self, octets: bytes) -> None:
        """Octets of the right length and version can be read, though nobody signed them."""
        receipt = decodeReceipt(b"\x01" + octets)
        self.assertEqual(receipt.nonce, octets[:16])
        self.assertEqual(receipt.streamID, octets[16])
        self.assertEqual(receipt.totalReceived, int.from_bytes(octets[17:25], "big"))
