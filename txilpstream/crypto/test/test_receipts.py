"""Tests of C{txilpstream.crypto.receipts}."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from hypothesis import strategies as st

from txilpstream.amounts import U64_MAX
from txilpstream.crypto.receipts import (
    MAX_STREAM_ID,
    NONCE_LENGTH,
    RECEIPT_LENGTH,
    VALID_FOR,
    Receipt,
    ReceiptSetup,
    ReceiptVerifier,
    decodeReceipt,
    signReceipt,
    verifyReceipt,
)
from txilpstream.errors import DecodeError, LocalError
from txilpstream.test.support.strategies import forAll, uint64
from txilpstream.test.support.virtual import VirtualTestCase

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


class SignTests(VirtualTestCase):
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


class VerifyTests(VirtualTestCase):
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


NOW = 1_700_000_000.75
SEED = b"sesame**" * 4


def receipt(setup: ReceiptSetup, total: int, streamID: int = 1) -> bytes:
    """What the receiver signs."""
    return signReceipt(setup.nonce, streamID, total, setup.secret)


class IssueTests(VirtualTestCase):
    """Nonces and their secrets."""

    def test_R12_derived(self) -> None:
        """R12: the secret is the HMAC of the nonce under the seed."""
        setup = ReceiptVerifier(SEED).issue(NOW)
        self.assertEqual(setup.secret, hmac.new(SEED, setup.nonce, hashlib.sha256).digest())
        self.assertEqual(len(setup.nonce), 16)
        self.assertEqual(int.from_bytes(setup.nonce[:5], "big"), 1_700_000_000)
        self.assertEqual(setup.issuedAt, 1_700_000_000)
        self.assertNotIn("secret", repr(setup))

    def test_R6_unique(self) -> None:
        """R6, R16: no two nonces of the same moment are the same, with a seed or a store."""
        for verifier in (ReceiptVerifier(SEED), ReceiptVerifier(nonces={})):
            nonces = {verifier.issue(NOW).nonce for _ in range(1000)}
            self.assertEqual(len(nonces), 1000)

    def test_nothingKept(self) -> None:
        """Whoever asks for nonces without end fills nothing."""
        verifier = ReceiptVerifier(SEED)
        for _ in range(100):
            verifier.issue(NOW)
        self.assertEqual(verifier.snapshot()["nonces"], {})

    def test_store(self) -> None:
        """With a store, its secrets are random, and known as long as they stand there."""
        nonces: dict[bytes, ReceiptSetup] = {}
        verifier = ReceiptVerifier(nonces=nonces)
        setup = verifier.issue(NOW)
        self.assertEqual(nonces, {setup.nonce: setup})
        self.assertEqual(ReceiptVerifier(nonces=nonces).accept(receipt(setup, 5), NOW), 5)
        self.assertNotEqual(setup.secret, verifier.issue(NOW).secret)

    def test_refused(self) -> None:
        """What no verifier can work with; the text shows no secret."""
        wrong: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
            ((), {}),
            ((SEED,), {"nonces": {}}),
            ((SEED[1:],), {}),
            ((SEED,), {"validFor": 0}),
            ((SEED,), {"validFor": float("inf")}),
            ((SEED,), {"validFor": float("nan")}),
            ((SEED,), {"validFor": "1"}),
            ((SEED,), {"validFor": True}),
            ((SEED,), {"maximumTotals": 0}),
        ]
        for arguments, options in wrong:
            error = self.assertRaises(LocalError, ReceiptVerifier, *arguments, **options)
            self.assertNotIn("sesame", str(error))
        for moment in (-1.0, 256.0**5):
            self.assertRaises(LocalError, ReceiptVerifier(SEED).issue, moment)


class AcceptTests(VirtualTestCase):
    """What is credited."""

    def setUp(self) -> None:
        self.verifier = ReceiptVerifier(SEED)
        self.setup_ = self.verifier.issue(NOW)

    def accept(self, total: int, streamID: int = 1, now: float = NOW) -> int:
        """What a genuine receipt brings."""
        return self.verifier.accept(receipt(self.setup_, total, streamID), now)

    def test_R3_R4_differences(self) -> None:
        """R3, R4: by nonce and stream, only what is new, and never backwards."""
        self.assertEqual([self.accept(n) for n in (10, 25, 25, 10, 26, 0)], [10, 15, 0, 0, 1, 0])
        self.assertEqual([self.accept(n, 3) for n in (7, 7, 9)], [7, 0, 2])
        other = self.verifier.issue(NOW)
        self.assertEqual(self.verifier.accept(receipt(other, 4), NOW), 4)
        self.assertEqual(self.accept(U64_MAX), U64_MAX - 26)

    def test_R1_genuine(self) -> None:
        """R1: a wrong signature is worth nothing, whatever its nonce, and changes nothing."""
        unknown = ReceiptSetup(bytes(16), bytes(32), 0)
        foreign = ReceiptVerifier(bytes(32)).issue(NOW)
        mixed = ReceiptSetup(self.setup_.nonce, foreign.secret, 0)
        for setup in (unknown, foreign, mixed):
            self.assertEqual(self.verifier.accept(receipt(setup, 5), NOW), 0)
        good = receipt(self.setup_, 5)
        for index in range(len(good)):
            changed = bytearray(good)
            changed[index] ^= 1
            self.assertEqual(self.verifier.accept(bytes(changed), NOW), 0)
        self.assertEqual(self.verifier.snapshot()["nonces"], {})
        self.assertEqual(self.verifier.accept(good, NOW), 5)

    def test_unknownNonce(self) -> None:
        """A nonce that does not stand in the store is none, even with a secret of zeros."""
        verifier = ReceiptVerifier(nonces={})
        for secret in (bytes(32), SEED):
            forged = ReceiptSetup(self.setup_.nonce, secret, 0)
            self.assertEqual(verifier.accept(receipt(forged, 5), NOW), 0)

    @forAll(st.binary(max_size=100))
    def test_garbage(self, octets: bytes) -> None:
        """Any octets are worth nothing."""
        self.assertEqual(ReceiptVerifier(SEED).accept(octets, NOW), 0)

    def test_otherTypes(self) -> None:
        """So is what is not even bytes."""
        wrong: list[Any] = [None, "receipt", 7, []]
        self.assertEqual([self.verifier.accept(each, NOW) for each in wrong], [0] * 4)

    def test_R2_window(self) -> None:
        """R2: a receipt is good for so long after its nonce was issued, and no longer."""
        late = self.setup_.issuedAt + VALID_FOR
        self.assertEqual(self.accept(10, now=late), 10)
        self.assertEqual(self.accept(20, now=late + 1), 0)
        self.assertEqual(self.accept(20, now=late), 10)

    def test_windowOfStore(self) -> None:
        """The same where the nonce does not say when it was issued."""
        setup = ReceiptSetup(b"n" * 16, SEED, 1000)
        verifier = ReceiptVerifier(nonces={setup.nonce: setup}, validFor=10)
        self.assertEqual(verifier.accept(receipt(setup, 3), 1010), 3)
        self.assertEqual(verifier.accept(receipt(setup, 4), 1011), 0)


class RoomTests(VirtualTestCase):
    """Totals are bounded, and never forgotten while they count."""

    def test_full(self) -> None:
        """Without room nothing is credited, and it can be later; what is known goes on."""
        verifier = ReceiptVerifier(SEED, validFor=100, maximumTotals=2)
        old, young = verifier.issue(0), verifier.issue(50)
        self.assertEqual(verifier.accept(receipt(old, 1), 50), 1)
        self.assertEqual(verifier.accept(receipt(young, 1), 50), 1)
        more = receipt(young, 1, 3)
        error = self.assertRaises(LocalError, verifier.accept, more, 100)
        self.assertIn("2 totals are kept", str(error))
        self.assertEqual(verifier.accept(receipt(young, 5), 100), 4)
        self.assertEqual(verifier.accept(more, 101), 1)
        self.assertEqual(list(verifier.snapshot()["nonces"]), [young.nonce.hex()])
        self.assertEqual(verifier.accept(receipt(old, 9), 101), 0)

    def test_forgetStale(self) -> None:
        """Stale nonces go out of the store too, those that are good stay."""
        nonces: dict[bytes, ReceiptSetup] = {}
        verifier = ReceiptVerifier(nonces=nonces, validFor=100)
        old, young = verifier.issue(0), verifier.issue(50)
        for setup in (old, young):
            verifier.accept(receipt(setup, 1), 60)
        verifier.forgetStale(100)
        self.assertEqual(len(nonces), 2)
        verifier.forgetStale(101)
        self.assertEqual(list(nonces), [young.nonce])
        verifier.forgetStale(151)
        self.assertEqual((nonces, verifier.snapshot()["nonces"]), ({}, {}))


class RestartTests(VirtualTestCase):
    """Totals outlast the process."""

    def setUp(self) -> None:
        self.verifier = ReceiptVerifier(SEED)
        self.setup_ = self.verifier.issue(NOW)
        self.verifier.accept(receipt(self.setup_, 10), NOW)
        self.verifier.accept(receipt(self.setup_, 7, 3), NOW)

    def restarted(self, **options: Any) -> ReceiptVerifier:
        """Another process, with what this one wrote down."""
        verifier = ReceiptVerifier(SEED, **options)
        verifier.restore(json.loads(json.dumps(self.verifier.snapshot())))
        return verifier

    def test_goesOn(self) -> None:
        """Replays bring nothing after a restart, and more is more."""
        verifier = self.restarted()
        self.assertEqual(verifier.snapshot(), self.verifier.snapshot())
        for streamID, total, credited in ((1, 10, 0), (3, 7, 0), (3, 9, 2), (1, 11, 1)):
            accepted = verifier.accept(receipt(self.setup_, total, streamID), NOW)
            self.assertEqual(accepted, credited)
        self.assertNotIn("sesame", repr(self.verifier.snapshot()))
        self.assertNotIn(self.setup_.secret.hex(), repr(self.verifier.snapshot()))

    def test_greater(self) -> None:
        """A total that is greater than that of the snapshot stands."""
        snapshot = self.verifier.snapshot()
        self.verifier.accept(receipt(self.setup_, 30), NOW)
        self.verifier.restore(snapshot)
        self.assertEqual(self.verifier.accept(receipt(self.setup_, 30), NOW), 0)

    def test_stale(self) -> None:
        """What was restored grows stale too."""
        verifier = self.restarted()
        verifier.forgetStale(NOW + VALID_FOR + 1)
        self.assertEqual(verifier.snapshot()["nonces"], {})

    def test_noRoom(self) -> None:
        """A snapshot that does not fit is not taken up in part."""
        self.assertRaises(LocalError, self.restarted, maximumTotals=1)

    def test_noSnapshot(self) -> None:
        """What is none is refused, and nothing is changed."""
        nonce = "00" * 16
        before = self.verifier.snapshot()

        def entry(**fields: Any) -> dict[str, Any]:
            return {"version": 1, "nonces": {nonce: {"issuedAt": 5, "totals": {}, **fields}}}

        wrong: list[Any] = [
            None,
            {},
            {"version": 2, "nonces": {}},
            {"version": 1, "nonces": []},
            {"version": 1, "nonces": {"zz": {}}},
            {"version": 1, "nonces": {"00": {"issuedAt": 5, "totals": {}}}},
            {"version": 1, "nonces": {nonce: {}}},
            entry(issuedAt=-1),
            entry(issuedAt="5"),
            entry(totals=None),
            entry(totals={"256": 1}),
            entry(totals={"x": 1}),
            entry(totals={"1": -1}),
            entry(totals={"1": 1.5}),
        ]
        for snapshot in wrong:
            self.assertRaises(LocalError, self.verifier.restore, snapshot)
        self.assertEqual(self.verifier.snapshot(), before)
