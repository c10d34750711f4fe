"""Tests of C{txilpstream.wire.ilp}."""

from __future__ import annotations

import importlib.util
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import U64_MAX
from txilpstream.errors import DecodeError, LocalError
from txilpstream.test.support.strategies import (
    encodeAny,
    forAll,
    fulfills,
    milliseconds,
    mutated,
    octets,
    prepares,
    rejects,
    uint64,
)
from txilpstream.wire import ilp
from txilpstream.wire.ilp import (
    ERROR_NAMES,
    MAX_DATA_LENGTH,
    AmountTooLarge,
    Fulfill,
    Prepare,
    Reject,
    decode,
    decodeAmountTooLarge,
    decodePrepare,
    decodeReply,
    encodeAmountTooLarge,
    encodeFulfill,
    encodePrepare,
    encodeReject,
    encodeTimestamp,
    isExpired,
    rejectWith,
)
from txilpstream.wire.oer import encodeVarOctets

CONDITION = bytes(range(32))
TIME = b"20260801123456789"
SECONDS = datetime(2026, 8, 1, 12, 34, 56, 789000, timezone.utc).timestamp()
PREPARE = bytes.fromhex(
    "0c4e"
    "000000000000006b"
    + TIME.hex()
    + CONDITION.hex()
    + "0d" + b"example.alice".hex()
    + "06" + b"foobar".hex()
)  # fmt: skip
FULFILL = bytes.fromhex("0d27" + CONDITION.hex() + "06" + b"foobar".hex())
REJECT = bytes.fromhex(
    "0e1c" + b"F02".hex() + "06" + b"test.c".hex() + "07" + b"no r\xc3\xa9l".hex() + "09"
    + b"more data".hex()
)  # fmt: skip


def prepareOf(
    timestamp: bytes = TIME, destination: bytes = b"example.alice", data: bytes = b""
) -> bytes:
    """A Prepare made by hand, with fields that may be wrong."""
    content = bytes(8) + timestamp + CONDITION
    content += encodeVarOctets(destination) + encodeVarOctets(data)
    return b"\x0c" + encodeVarOctets(content)


class TimestampTests(SynchronousTestCase):
    """Times as RFC 27 writes them."""

    def test_known(self) -> None:
        """A time is 17 digits of UTC, to the nearest millisecond."""
        self.assertEqual(encodeTimestamp(SECONDS), TIME)
        self.assertEqual(encodeTimestamp(SECONDS + 0.0004), TIME)
        self.assertEqual(encodeTimestamp(SECONDS - 0.0004), TIME)
        self.assertEqual(encodeTimestamp(SECONDS + 0.211), b"20260801123457000")
        self.assertEqual(encodeTimestamp(0), b"19700101000000000")
        self.assertEqual(encodeTimestamp(253402300799.999), b"99991231235959999")

    def test_outOfLimits(self) -> None:
        """What four digits of a year cannot write is refused, and the value named."""
        for wrong in (-0.001, -5, 253402300800, float("nan"), float("inf")):
            error = self.assertRaises(LocalError, encodeTimestamp, wrong)
            self.assertIn(f"the time {wrong} cannot be written", str(error))

    def test_outOfLimitsAtFirst(self) -> None:
        """
        A time before 1970 was written as three digits if it was the first that the process
        wrote: the empty cache took it for the time that it held.
        """
        spec = importlib.util.spec_from_file_location("freshILP", ilp.__file__)
        assert spec is not None and spec.loader is not None
        fresh: Any = importlib.util.module_from_spec(spec)
        self.patch(__import__("sys"), "modules", {**__import__("sys").modules, "freshILP": fresh})
        spec.loader.exec_module(fresh)
        self.assertRaises(LocalError, fresh.encodeTimestamp, -5)

    @forAll(st.lists(milliseconds, min_size=1, max_size=4))
    def test_roundTrip(self, moments: list[int]) -> None:
        """Times of 1970 to 9999 come back to the millisecond, in any order."""
        for moment in moments:
            stamp = encodeTimestamp(moment / 1000)
            when = datetime(1970, 1, 1) + timedelta(milliseconds=moment)
            self.assertEqual(stamp.decode(), f"{when:%Y%m%d%H%M%S}{when.microsecond // 1000:03}")
            self.assertEqual(decodePrepare(prepareOf(stamp)).expiresAt, moment / 1000)

    def test_leapSecond(self) -> None:
        """A leap second is the second after the last of its minute."""
        prepare = decodePrepare(prepareOf(b"20161231235960500"))
        self.assertEqual(encodeTimestamp(prepare.expiresAt), b"20170101000000500")

    def test_early(self) -> None:
        """Times before 1970 can be read."""
        self.assertEqual(decodePrepare(prepareOf(b"19691231235959500")).expiresAt, -0.5)

    def test_noTimes(self) -> None:
        """Digits that name no moment, and other than digits, are refused at once."""
        for wrong in (
            b"20261301000000000",
            b"20260230000000000",
            b"20260801240000000",
            b"20260801006000000",
            b"20260801000061000",
            b"00000101000000000",
            b"2026080112345678x",
            b"2026 801123456789",
            b"+0260801123456789",
        ):
            self.assertRaises(DecodeError, decodePrepare, prepareOf(wrong))
            self.assertRaises(DecodeError, decodePrepare, prepareOf(wrong))

    def test_cachedPrefix(self) -> None:
        """Milliseconds are checked even if the second is one that was just read."""
        decodePrepare(prepareOf(TIME))
        self.assertRaises(DecodeError, decodePrepare, prepareOf(TIME[:14] + b"7 9"))


class ExpiredTests(SynchronousTestCase):
    """L{isExpired}, which compares what stands on the wire."""

    def test_edges(self) -> None:
        """A packet is over at its very millisecond; whole seconds apart it is plain."""
        for difference, isOver in ((-61.0, False), (-0.001, False), (0.0, True), (0.3, True)):
            self.assertEqual(isExpired(TIME, SECONDS + difference), isOver, difference)
        self.assertTrue(isExpired(TIME, SECONDS + 3600))
        self.assertFalse(isExpired(TIME, 0.0))

    @forAll(milliseconds, milliseconds)
    def test_asNumbers(self, expiry: int, now: int) -> None:
        """It says what comparing the numbers says."""
        stamp = encodeTimestamp(expiry / 1000)
        self.assertEqual(isExpired(stamp, now / 1000), expiry <= now)


class PrepareTests(SynchronousTestCase):
    """Prepares."""

    def test_known(self) -> None:
        """A Prepare byte for byte."""
        prepare = Prepare(107, TIME, CONDITION, "example.alice", b"foobar")
        self.assertEqual(encodeAny(prepare), PREPARE)
        self.assertEqual(decodePrepare(PREPARE), prepare)
        self.assertEqual(decode(PREPARE), prepare)
        self.assertEqual(prepare.expiresAt, SECONDS)

    @forAll(prepares)
    def test_roundTrip(self, prepare: Prepare) -> None:
        """Any Prepare comes back."""
        self.assertEqual(decodePrepare(encodeAny(prepare)), prepare)

    @forAll(st.one_of(octets, mutated(prepares.map(encodeAny))), examples=300)
    def test_anyOctets(self, packet: bytes) -> None:
        """Any octets give a Prepare that can be written, or DecodeError."""
        try:
            prepare = decodePrepare(packet)
        except DecodeError:
            return
        self.assertIsInstance(prepare.expiresAt, float)
        self.assertEqual(decodePrepare(encodeAny(prepare)), prepare)

    def test_cutAnywhere(self) -> None:
        """No beginning of a Prepare is one."""
        for length in range(len(PREPARE)):
            self.assertRaises(DecodeError, decodePrepare, PREPARE[:length])
            inner = b"\x0c" + encodeVarOctets(PREPARE[2 : 2 + length])
            if inner != PREPARE:
                self.assertRaises(DecodeError, decodePrepare, inner)

    def test_junk(self) -> None:
        """Octets after the packet and after its fields are ignored."""
        self.assertEqual(decodePrepare(PREPARE + b"junk"), decodePrepare(PREPARE))
        longer = b"\x0c" + encodeVarOctets(PREPARE[2:] + b"junk")
        self.assertEqual(decodePrepare(longer), decodePrepare(PREPARE))

    def test_otherPackets(self) -> None:
        """Other packets are no Prepare."""
        for packet in (FULFILL, REJECT, b""):
            self.assertRaises(DecodeError, decodePrepare, packet)

    def test_largest(self) -> None:
        """Data and address have limits, in both directions."""
        packet = prepareOf(data=bytes(MAX_DATA_LENGTH))
        self.assertEqual(len(decodePrepare(packet).data), MAX_DATA_LENGTH)
        for wrong in (
            prepareOf(data=bytes(MAX_DATA_LENGTH + 1)),
            prepareOf(destination=b"a" * 1024),
            prepareOf(destination=b"g.\xe9"),
        ):
            self.assertRaises(DecodeError, decodePrepare, wrong)

    def test_refused(self) -> None:
        """What would be no Prepare is not written."""
        fields: list[tuple[int, bytes, bytes, str, bytes]] = [
            (-1, TIME, CONDITION, "g.a", b""),
            (U64_MAX + 1, TIME, CONDITION, "g.a", b""),
            (0, TIME[1:], CONDITION, "g.a", b""),
            (0, TIME, CONDITION[1:], "g.a", b""),
            (0, TIME, CONDITION, "g.a", bytes(MAX_DATA_LENGTH + 1)),
            (0, TIME, CONDITION, "g.\u00e9", b""),
            (0, TIME, CONDITION, "g." + "a" * 1022, b""),
        ]
        for wrong in fields:
            self.assertRaises(LocalError, encodePrepare, *wrong)


class ReplyTests(SynchronousTestCase):
    """Fulfills and Rejects."""

    def test_knownFulfill(self) -> None:
        """A Fulfill byte for byte."""
        self.assertEqual(encodeFulfill(CONDITION, b"foobar"), FULFILL)
        self.assertEqual(decodeReply(FULFILL), Fulfill(CONDITION, b"foobar"))
        self.assertEqual(decode(FULFILL), Fulfill(CONDITION, b"foobar"))
        self.assertEqual(decodeReply(encodeFulfill(CONDITION)), Fulfill(CONDITION))

    def test_knownReject(self) -> None:
        """A Reject byte for byte."""
        reject = Reject("F02", "test.c", "no r\u00e9l", b"more data")
        self.assertEqual(encodeAny(reject), REJECT)
        self.assertEqual(decodeReply(REJECT), reject)
        self.assertEqual(decode(REJECT), reject)
        self.assertEqual(decodeReply(encodeReject("T00")), Reject("T00"))

    def test_rejectWith(self) -> None:
        """What is said is the code's name, and who says it if that is told."""
        self.assertEqual(decodeReply(rejectWith("T03")), Reject("T03", "", ERROR_NAMES["T03"]))
        told = decodeReply(rejectWith("F08", "test.c", b"more data"))
        self.assertEqual(told, Reject("F08", "test.c", "Amount Too Large", b"more data"))

    @forAll(st.one_of(fulfills, rejects))
    def test_roundTrip(self, reply: Fulfill | Reject) -> None:
        """Any reply comes back."""
        self.assertEqual(decodeReply(encodeAny(reply)), reply)

    @forAll(st.one_of(octets, mutated(st.one_of(fulfills, rejects).map(encodeAny))), examples=300)
    def test_anyOctets(self, packet: bytes) -> None:
        """Any octets give a reply that can be written, or DecodeError."""
        try:
            reply = decodeReply(packet)
        except DecodeError:
            return
        self.assertEqual(decodeReply(encodeAny(reply)), reply)

    def test_cutAnywhere(self) -> None:
        """No beginning of a reply is one."""
        for reply in (FULFILL, REJECT):
            for length in range(len(reply)):
                self.assertRaises(DecodeError, decodeReply, reply[:length])
                inner = reply[:1] + encodeVarOctets(reply[2 : 2 + length])
                if inner != reply:
                    self.assertRaises(DecodeError, decodeReply, inner)

    def test_otherPackets(self) -> None:
        """A Prepare is no reply, and an unknown type no packet."""
        for packet in (PREPARE, b"\x0f\x00", b"\x00", b""):
            self.assertRaises(DecodeError, decodeReply, packet)
        self.assertRaises(DecodeError, decode, b"\x0f\x00")
        self.assertRaises(DecodeError, decode, b"")

    def test_codes(self) -> None:
        """A code is three letters or digits; unknown ones are read."""
        for code in ("F0", "F000", "F0\u00e9", "F 0", "\u0663\u0663\u0663"):
            self.assertRaises(LocalError, encodeReject, code)
        for wrong in (b"F 0", b"F0\xe9", b"\0\0\0"):
            packet = b"\x0e" + encodeVarOctets(wrong + bytes(3))
            self.assertRaises(DecodeError, decodeReply, packet)
        self.assertEqual(decodeReply(encodeReject("X42")), Reject("X42"))

    def test_message(self) -> None:
        """
        Octets that are not UTF-8 are replaced when read, and half a surrogate pair, which is in
        some names of files, when written: it used to end in an exception.
        """
        packet = b"\x0e" + encodeVarOctets(b"F00" + b"\x00" + b"\x02a\xff" + b"\x00")
        self.assertEqual(decodeReply(packet), Reject("F00", "", "a\ufffd"))
        self.assertEqual(decodeReply(encodeReject("F00", "", "a\udcff")), Reject("F00", "", "a?"))

    def test_limits(self) -> None:
        """Data, fulfillment and address have limits."""
        tooLong = bytes(MAX_DATA_LENGTH + 1)
        self.assertRaises(LocalError, encodeFulfill, CONDITION, tooLong)
        self.assertRaises(LocalError, encodeFulfill, CONDITION[1:])
        self.assertRaises(LocalError, encodeReject, "F00", "", "", tooLong)
        self.assertRaises(LocalError, encodeReject, "F00", "g.\u00e9")
        self.assertRaises(LocalError, encodeReject, "F00", "g." + "a" * 1022)
        for wrong in (
            b"\x0d" + encodeVarOctets(CONDITION + encodeVarOctets(tooLong)),
            b"\x0e" + encodeVarOctets(b"F00\0\0" + encodeVarOctets(tooLong)),
            b"\x0e" + encodeVarOctets(b"F00" + encodeVarOctets(b"a" * 1024) + b"\0\0"),
        ):
            self.assertRaises(DecodeError, decodeReply, wrong)


class AmountTooLargeTests(SynchronousTestCase):
    """The data of F08."""

    @forAll(uint64, uint64)
    def test_roundTrip(self, received: int, maximum: int) -> None:
        """Two amounts of 64 bits."""
        data = encodeAmountTooLarge(received, maximum)
        self.assertEqual(data, received.to_bytes(8, "big") + maximum.to_bytes(8, "big"))
        self.assertEqual(decodeAmountTooLarge(data), AmountTooLarge(received, maximum))

    def test_otherData(self) -> None:
        """Old connectors send none, and whoever forwards may send anything."""
        for data in (b"", bytes(15), bytes(17)):
            self.assertIs(decodeAmountTooLarge(data), None)


class NamesTests(SynchronousTestCase):
    """The codes of RFC 27."""

    def test_names(self) -> None:
        """All 21 codes are there, and each can be written."""
        self.assertEqual(len(ERROR_NAMES), 21)
        self.assertEqual(ERROR_NAMES["F08"], "Amount Too Large")
        self.assertEqual(ERROR_NAMES["T04"], "Insufficient Liquidity")
        self.assertEqual(ERROR_NAMES["R00"], "Transfer Timed Out")
        for code in ERROR_NAMES:
            self.assertEqual(decodeReply(encodeReject(code)), Reject(code))
