"""Tests of C{txilpstream.wire.ildcp}."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.errors import DecodeError, LocalError
from txilpstream.test.support.strategies import (
    addresses,
    forAll,
    mutated,
    octets,
    prepares,
    texts,
    uint8,
)
from txilpstream.wire.ildcp import (
    DESTINATION,
    FULFILLMENT,
    AccountDetails,
    decodeResponse,
    encodeRequest,
    encodeResponse,
    isRequest,
)
from txilpstream.wire.ilp import Prepare, decodePrepare, encodeFulfill, encodePrepare, encodeReject

ALICE = AccountDetails("test.conn.alice", 9, "USD")

anyDetails = st.builds(AccountDetails, addresses, uint8, texts)


class RequestTests(SynchronousTestCase):
    """Asking (RFC 31)."""

    def test_known(self) -> None:
        """A request is a Prepare of nothing, with a condition that everybody can fulfill."""
        prepare = decodePrepare(encodeRequest(0.5))
        condition = sha256(FULFILLMENT).digest()
        self.assertEqual(prepare, Prepare(0, b"19700101000000500", condition, DESTINATION, b""))
        self.assertEqual((FULFILLMENT, DESTINATION), (bytes(32), "peer.config"))

    def test_recognised(self) -> None:
        """A request is known without being decoded."""
        self.assertTrue(isRequest(encodeRequest(1e9)))

    @forAll(prepares)
    def test_otherPackets(self, prepare: Prepare) -> None:
        """No other Prepare is taken for one."""
        fields = (prepare.amount, prepare.timestamp, prepare.executionCondition)
        for destination, data in (
            (prepare.destination, prepare.data),
            ("peer.configs", b""),
            ("peer.confi", b""),
            ("g.eer.confi", b""),
            (DESTINATION, b"x"),
        ):
            if (destination, data) != (DESTINATION, b""):
                self.assertFalse(isRequest(encodePrepare(*fields, destination, data)))

    def test_otherTypes(self) -> None:
        """
        A reply is no request, even if what stands in its data is like one; it was taken for one.
        """
        request = encodeRequest(1e9)
        fulfill = encodeFulfill(request[2:34], request[35:])
        self.assertEqual(fulfill[59:], request[59:])
        for packet in (fulfill, b"", b"\x0c", request[:-1], request + b"\0"):
            self.assertFalse(isRequest(packet))


class ResponseTests(SynchronousTestCase):
    """Answering."""

    def test_known(self) -> None:
        """An answer as a widely deployed connector writes it."""
        data = bytes.fromhex("0f746573742e636f6e6e2e616c6963650903555344")
        self.assertEqual(encodeResponse(ALICE), encodeFulfill(bytes(32), data))
        self.assertEqual(decodeResponse(encodeFulfill(bytes(32), data)), ALICE)

    @forAll(anyDetails)
    def test_roundTrip(self, details: AccountDetails) -> None:
        """Any details come back."""
        self.assertEqual(decodeResponse(encodeResponse(details)), details)

    @forAll(st.one_of(octets, mutated(anyDetails.map(encodeResponse))), examples=300)
    def test_anyOctets(self, packet: bytes) -> None:
        """Any octets give details that can be written, or DecodeError."""
        try:
            details = decodeResponse(packet)
        except DecodeError:
            return
        self.assertEqual(decodeResponse(encodeResponse(details)), details)

    def test_notWritten(self) -> None:
        """Only what can be read is written."""
        for wrong in (
            AccountDetails("nonsense", 9, "USD"),
            AccountDetails("g.a", -1, "USD"),
            AccountDetails("g.a", 256, "USD"),
        ):
            self.assertRaises(LocalError, encodeResponse, wrong)

    def test_reject(self) -> None:
        """The reason of a refusal is told."""
        packet = encodeReject("F00", "g.a", "who are you?")
        error = self.assertRaises(DecodeError, decodeResponse, packet)
        self.assertEqual(str(error), "the request was rejected: F00 who are you?")

    def test_wrongFulfillment(self) -> None:
        """
        Who does not know what everybody knows is no parent. The error used to blame the address,
        which was a good one.
        """
        data = bytes.fromhex("0f746573742e636f6e6e2e616c6963650903555344")
        packet = encodeFulfill(b"\1" * 32, data)
        error = self.assertRaises(DecodeError, decodeResponse, packet)
        self.assertIn("not fulfilled", str(error))

    def test_wrongAddress(self) -> None:
        """An answer must name an address."""
        for name in (b"\x00", b"\x08nonsense", b"\x04g.\xc3\xa9"):
            packet = encodeFulfill(bytes(32), name + b"\x09\x03USD")
            error = self.assertRaises(DecodeError, decodeResponse, packet)
            self.assertIn("is not an ILP address", str(error))

    def test_cutAnywhere(self) -> None:
        """Details that end early are none."""
        data = bytes.fromhex("0f746573742e636f6e6e2e616c6963650903555344")
        for length in range(len(data)):
            packet = encodeFulfill(bytes(32), data[:length])
            self.assertRaises(DecodeError, decodeResponse, packet)

    def test_text(self) -> None:
        """Asset codes that cannot be UTF-8 are not worth an exception, either way."""
        packet = encodeFulfill(bytes(32), b"\x03g.a\x02\x02a\xff")
        self.assertEqual(decodeResponse(packet), AccountDetails("g.a", 2, "a\ufffd"))
        packet = encodeResponse(AccountDetails("g.a", 2, "a\udcff"))
        self.assertEqual(decodeResponse(packet), AccountDetails("g.a", 2, "a?"))
