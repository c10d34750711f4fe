"""Conformance: STREAM receipts (RFC 39)."""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, urlsafe_b64encode
from typing import Any
from unittest.mock import patch

from txilpstream.crypto.credentials import Credentials, TokenReader
from txilpstream.crypto.receipts import (
    Receipt,
    ReceiptVerifier,
    decodeReceipt,
    signReceipt,
    verifyReceipt,
)
from txilpstream.errors import DecodeError, LocalError
from txilpstream.interfaces import PaymentResult
from txilpstream.payments.payment import pay
from txilpstream.spsp.client import resolve
from txilpstream.spsp.test.test_client import URL, Answer, ResolveTestCase, Server
from txilpstream.spsp.test.test_server import RECEIPTS, ResourceTestCase
from txilpstream.test.conformance.base import Conform, TappedTestCase
from txilpstream.test.support.connected import Recorder
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.testing import Latency, MaximumPacketAmount, Transit
from txilpstream.wire.frames import StreamMoney, StreamReceipt
from txilpstream.wire.ilp import Fulfill

SEED = bytes(range(32))

NOW = 1_700_000_000.0

NONCE, SECRET = bytes(range(16)), bytes(range(100, 132))


class FormatTests(VirtualTestCase):
    """What a receipt is."""

    def test_R23_format(self) -> None:
        """58 octets: version 1, nonce, stream id, total, and an HMAC over these 26."""
        receipt = signReceipt(NONCE, 7, 1 << 60, SECRET)
        fields = b"\x01" + NONCE + b"\x07" + (1 << 60).to_bytes(8, "big")
        self.assertEqual(receipt, fields + hmac.digest(SECRET, fields, "sha256"))
        self.assertEqual((len(fields), len(receipt)), (26, 58))
        self.assertEqual(verifyReceipt(receipt, SECRET), Receipt(NONCE, 7, 1 << 60))
        for bad in (receipt[:-1], receipt + b"\0", b"\x02" + receipt[1:], b""):
            self.assertRaises(DecodeError, decodeReceipt, bad)
            self.assertIsNone(verifyReceipt(bad, SECRET))
        for streamID in (0, 256):
            self.assertRaises(LocalError, signReceipt, NONCE, streamID, 1, SECRET)

    def test_R11_verified(self) -> None:
        """A receipt of which one bit was changed, or under another secret, is none."""
        receipt = signReceipt(NONCE, 7, 500, SECRET)
        for index in range(58):
            changed = bytearray(receipt)
            changed[index] ^= 1
            self.assertIsNone(verifyReceipt(bytes(changed), SECRET))
        self.assertIsNone(verifyReceipt(receipt, bytes(32)))

    def test_R11_constantTime(self) -> None:
        """Signatures are compared in constant time."""
        compared = []

        def compare(left: bytes, right: bytes) -> bool:
            compared.append((left, right))
            return left == right

        receipt = signReceipt(NONCE, 7, 500, SECRET)
        with patch("hmac.compare_digest", compare):
            verifyReceipt(receipt, SECRET)
        self.assertEqual(compared, [(receipt[26:], receipt[26:])])


class VerifierTests(VirtualTestCase):
    """What a verifier credits."""

    def setUp(self) -> None:
        """A verifier, and what it gave to a receiver."""
        self.verifier = ReceiptVerifier(SEED, validFor=100)
        self.given = self.verifier.issue(NOW)

    def receipt(self, total: int, streamID: int = 1) -> bytes:
        """A receipt of the receiver's."""
        return signReceipt(self.given.nonce, streamID, total, self.given.secret)

    def test_R1_threeChecks(self) -> None:
        """Signature, a greater amount, not stale: a receipt must pass all."""
        forged = signReceipt(self.given.nonce, 1, 70, bytes(32))
        self.assertEqual(self.verifier.accept(forged, NOW), 0)
        self.assertEqual(self.verifier.accept(self.receipt(70), NOW + 101), 0)
        self.assertEqual(self.verifier.accept(self.receipt(70), NOW), 70)
        self.assertEqual(self.verifier.accept(self.receipt(70), NOW), 0)
        self.assertEqual(self.verifier.accept(self.receipt(69), NOW), 0)

    def test_R2_window(self) -> None:
        """The window in which receipts are good is defined, and can be set."""
        self.assertEqual(self.verifier.accept(self.receipt(5), NOW + 100), 5)
        self.assertEqual(self.verifier.accept(self.receipt(6), NOW + 100.1), 0)
        unset = ReceiptVerifier(SEED)
        given = unset.issue(NOW)
        receipt = signReceipt(given.nonce, 1, 5, given.secret)
        self.assertEqual(unset.accept(receipt, NOW + 24 * 3600 + 1), 0)
        self.assertEqual(unset.accept(receipt, NOW + 24 * 3600), 5)

    def test_C6_R3_R4_differences(self) -> None:
        """Totals are kept by nonce and stream; only what is new is credited, and never less."""
        credited = [self.verifier.accept(self.receipt(total), NOW) for total in (30, 100, 50, 101)]
        self.assertEqual(credited, [30, 70, 0, 1])
        self.assertEqual(self.verifier.accept(self.receipt(40, streamID=3), NOW), 40)
        self.given = self.verifier.issue(NOW)
        self.assertEqual(self.verifier.accept(self.receipt(20), NOW), 20)

    def test_R5_amountCheckIsApart(self) -> None:
        """Who needs no amount check verifies signatures alone, without a store."""
        receipt = self.receipt(30)
        for _ in range(2):
            told = verifyReceipt(receipt, self.given.secret)
            self.assertEqual(told, Receipt(self.given.nonce, 1, 30))
        self.assertIsNone(verifyReceipt(self.receipt(31), bytes(32)))

    def test_R6_R16_uniqueNonces(self) -> None:
        """No nonce is issued twice, even in one second."""
        nonces = {self.verifier.issue(NOW).nonce for _ in range(1000)}
        self.assertEqual(len(nonces), 1000)
        self.assertEqual({len(nonce) for nonce in nonces}, {16})

    def test_R12_seed(self) -> None:
        """The secret of a nonce is the HMAC of the nonce under the seed."""
        expected = hmac.digest(SEED, self.given.nonce, "sha256")
        self.assertEqual(self.given.secret, expected)
        self.assertEqual(ReceiptVerifier(SEED).accept(self.receipt(9), NOW), 9)
        self.assertEqual(ReceiptVerifier(bytes(32)).accept(self.receipt(9), NOW), 0)


class AddressTests(VirtualTestCase):
    """How nonce and secret travel in an address."""

    def setUp(self) -> None:
        """Credentials of a server that gives receipts."""
        self.reader = TokenReader(SEED)
        self.credentials = self.reader.generateCredentials(
            "test.bob", receiptNonce=NONCE, receiptSecret=SECRET
        )

    def test_R7_R13_R14_inAddress(self) -> None:
        """Nonce and secret come to the receiver in the address, and nothing is stored."""
        text = self.credentials.destinationAddress.split(".")[-1]
        token, _ = TokenReader(SEED).read(text)
        assert token is not None
        self.assertEqual((token.receiptNonce, token.receiptSecret), (NONCE, SECRET))
        self.assertTrue(self.credentials.receiptsEnabled)

    def test_R8_R15_encrypted(self) -> None:
        """The secret is encrypted there: the sender does not see it."""
        text = self.credentials.destinationAddress.split(".")[-1]
        octets = b64decode(text + "=" * (-len(text) % 4), altchars=b"-_")
        for part in (SECRET, SECRET[:8], NONCE):
            self.assertNotIn(part, octets)
            self.assertNotIn(part, self.credentials.sharedSecret)
        again = self.reader.generateCredentials(
            "test.bob", receiptNonce=NONCE, receiptSecret=SECRET
        )
        self.assertNotEqual(again.destinationAddress, self.credentials.destinationAddress)
        self.assertIsNone(TokenReader(bytes(32)).read(text)[0])
        self.assertNotIn(repr(SECRET), repr(TokenReader(SEED).read(text)[0]))


class StreamTests(TappedTestCase):
    """Receipts over a connection of two ends."""

    def setUp(self) -> None:
        """A receiver that makes receipts, at the end of a path of small packets."""
        super().setUp()
        self.verifier = ReceiptVerifier(SEED)
        given = self.verifier.issue(NOW)
        self.wanted = {"receiptNonce": given.nonce, "receiptSecret": given.secret}
        self.secret = given.secret
        self.hop = Conform()
        self.joinBy(Latency(0.01), MaximumPacketAmount(100), self.hop)

    def test_R9_everyFulfill(self) -> None:
        """Each fulfill of money has a receipt of each stream's total; a reject has none."""
        self.listen(Recorder)
        near, _ = self.opened()
        other = self.openStream()
        self.pay(near, 1000)
        self.pay(other, 500)
        totals = {1: 0, 3: 0}
        for exchange in self.sent():
            answered = exchange.answered
            said = [] if answered is None else answered.frames
            receipts = [frame for frame in said if isinstance(frame, StreamReceipt)]
            if not isinstance(exchange.reply, Fulfill) or not exchange.prepare.amount:
                self.assertEqual(receipts, [])
                continue
            [receipt] = receipts
            totals[receipt.streamID] += exchange.prepare.amount
            told = verifyReceipt(receipt.receipt, self.secret)
            assert told is not None
            self.assertEqual(told.totalReceived, totals[receipt.streamID])
            self.assertEqual(told.streamID, receipt.streamID)
        self.assertEqual(totals, {1: 1000, 3: 500})

    def test_R9_largeNumbers(self) -> None:
        """A stream whose id a receipt cannot hold gets its money, and no receipt."""
        self.listen(Recorder, maximumStreamID=1000)
        self.opened()
        for streamID, count in ((255, 1), (257, 0)):
            reply = self.give(StreamMoney(streamID, 1), amount=50)
            self.assertEqual((reply.code, len(reply.only(StreamReceipt))), ("", count))
        self.run_()
        self.assertEqual([made.amounts for made in self.served.made[1:]], [[50], [50]])

    def test_R8_notToSender(self) -> None:
        """No octet of the secret goes over the connection."""
        self.listen(Recorder)
        near, _ = self.opened()
        self.pay(near, 1000)
        self.assertGreater(len(self.exchanges), 10)
        for exchange in self.exchanges:
            assert exchange.answer is not None
            for data in (exchange.prepare.data, exchange.reply.data):
                plain = self.keys.open(data)
                self.assertNotIn(self.secret, data if plain is None else plain)

    def test_R10_greatestIsHandedOver(self) -> None:
        """The sender's application gets the receipt of the greatest total, which is credited."""
        late: list[Transit] = []

        def back(packet: Transit) -> float | None:
            if late or not packet.sourceAmount or not isinstance(packet.reply, Fulfill):
                return None
            late.append(packet)
            return 3.0

        self.hop.back = back
        self.listen(Recorder)
        near, far = self.opened()
        result = self.pay(near, 1000)
        self.assertEqual((result.sent, result.receipt), (1000, near.transport.receipt))
        told = verifyReceipt(near.transport.receipt, self.secret)
        assert told is not None
        self.assertEqual(told.totalReceived, far.transport.totalReceived)
        self.assertTrue(late[0].isAnswered)
        self.assertEqual(self.verifier.accept(near.transport.receipt, NOW), 1000)

    def test_C6_R22_eachProgress(self) -> None:
        """A payment's progress has the newest receipt each time, and its result the greatest."""
        self.listen(Recorder)
        seen: list[PaymentResult] = []
        credentials = self.server.generateCredentials(**self.wanted)
        paying = pay(self.left, credentials, sourceAmount=2000, progress=seen.append)
        result = self.after(paying, 30)
        self.assertGreater(len(seen), 5)
        for each in seen:
            told = verifyReceipt(each.receipt, self.secret)
            assert told is not None
            self.assertEqual(told.totalReceived, each.sent)
        credited = sum(self.verifier.accept(each.receipt, NOW) for each in seen)
        self.assertEqual(credited, 2000)
        self.assertEqual(decodeReceipt(result.receipt).totalReceived, 2000)


class AskingTests(ResolveTestCase):
    """A verifier that asks a receiver by SPSP."""

    def asked(self, answer: dict[str, Any]) -> Any:
        """What comes of asking with a nonce and a secret."""
        self.server = Server({URL: Answer(json.dumps(answer).encode())})
        given: dict[str, Any] = {"receiptNonce": NONCE, "receiptSecret": SECRET}
        return self.successResultOf(resolve(self.server, "$bob.example", clock=self.clock, **given))

    def test_R17_R18_R19_headers(self) -> None:
        """Nonce and secret go to the receiver in two headers, in base64."""
        answer = {
            "destination_account": "test.bob.token",
            "shared_secret": urlsafe_b64encode(bytes(32)).decode(),
            "receipts_enabled": True,
        }
        self.asked(answer)
        [(_, headers)] = self.server.asked
        for name, octets in (("Receipt-Nonce", NONCE), ("Receipt-Secret", SECRET)):
            [text] = headers.getRawHeaders(name, [])
            plain = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
            self.assertEqual(b64decode(plain, altchars=b"-_"), octets)

    def test_R21_answerGoesOn(self) -> None:
        """What the receiver answered can be handed on to the sender as it is, without secrets."""
        answer = {
            "destination_account": "test.bob.token",
            "shared_secret": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "receipts_enabled": True,
        }
        credentials: Credentials = self.asked(answer)
        self.assertEqual(json.loads(credentials.toJSON()), answer)


class ServingTests(ResourceTestCase):
    """A receiver that is asked by SPSP for receipts."""

    def test_R19_R20_enabled(self) -> None:
        """Who sends both headers is told that there are receipts; who sends none, that not."""
        content = self.ask(**RECEIPTS).content
        self.assertIs(content["receipts_enabled"], True)
        self.assertNotIn(RECEIPTS["Receipt-Secret"], json.dumps(content))
        self.assertIs(self.ask().content["receipts_enabled"], False)

    def test_R21_contradiction(self) -> None:
        """One header without the other is refused: there are no half receipts."""
        for name in RECEIPTS:
            self.refused(400, "/", "GET", **{name: RECEIPTS[name]})
