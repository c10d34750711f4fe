"""Tests of C{txilpstream.wire.oer}."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import U64_MAX
from txilpstream.errors import DecodeError
from txilpstream.test.support.strategies import forAll, mutated, octets, uint64
from txilpstream.wire.oer import (
    encodeVarOctets,
    encodeVarUInt,
    readUInt8,
    readVarOctets,
    readVarUInt,
    readVarUIntClamped,
)

Reader = Callable[[bytes, int, int], "tuple[int | bytes, int]"]
READERS: list[Reader] = [readUInt8, readVarOctets, readVarUInt, readVarUIntClamped]


class VarOctetsTests(SynchronousTestCase):
    """Octets with a length prefix (RFC 30)."""

    def test_prefixes(self) -> None:
        """The prefix is as short as it can be."""
        for length, prefix in (
            (0, "00"),
            (127, "7f"),
            (128, "8180"),
            (255, "81ff"),
            (256, "820100"),
            (65535, "82ffff"),
            (65536, "83010000"),
            (1 << 24, "8401000000"),
        ):
            encoded = encodeVarOctets(bytes(length))
            self.assertEqual(encoded[:-length] if length else encoded, bytes.fromhex(prefix))
            self.assertEqual(readVarOctets(encoded, 0, len(encoded)), (bytes(length), len(encoded)))

    def test_longerThanNeedBe(self) -> None:
        """A prefix that could be shorter is refused."""
        for wrong in ("8105" + "00" * 5, "820005" + "00" * 5, "8200ff" + "00" * 255, "8100", "80"):
            buf = bytes.fromhex(wrong)
            self.assertRaises(DecodeError, readVarOctets, buf, 0, len(buf))

    def test_cutShort(self) -> None:
        """So are octets that end early, prefixes that do, and prefixes beyond any packet."""
        for wrong in ("", "01", "0500", "81", "8201", "8180" + "00" * 127, "850100000000", "ff"):
            buf = bytes.fromhex(wrong)
            self.assertRaises(DecodeError, readVarOctets, buf, 0, len(buf))

    def test_end(self) -> None:
        """Nothing beyond the end is read, even if the buffer goes on."""
        self.assertRaises(DecodeError, readVarOctets, b"\x02ab", 0, 2)
        self.assertRaises(DecodeError, readVarOctets, b"\x02ab", 3, 3)
        self.assertEqual(readVarOctets(b"..\x02abc", 2, 5), (b"ab", 5))


class VarUIntTests(SynchronousTestCase):
    """Unsigned integers of variable size (RFC 30)."""

    def test_encoded(self) -> None:
        """Integers take as few octets as they need."""
        for value, expected in (
            (0, "0100"),
            (255, "01ff"),
            (256, "020100"),
            (65535, "02ffff"),
            (U64_MAX, "08" + "ff" * 8),
        ):
            self.assertEqual(encodeVarUInt(value).hex(), expected)

    def test_outOfLimits(self) -> None:
        """What does not fit in 64 bits cannot be written, however huge."""
        for value in (-1, -256, -(2**64), U64_MAX + 1, 10**5000):
            self.assertRaises(OverflowError, encodeVarUInt, value)

    def test_leadingZeros(self) -> None:
        """Leading zeros are taken as widely deployed peers write them."""
        for buf, value in (("020005", 5), ("08" + "00" * 7 + "07", 7)):
            octets = bytes.fromhex(buf)
            self.assertEqual(readVarUInt(octets, 0, len(octets)), (value, len(octets)))

    def test_refused(self) -> None:
        """No octets, too many, a cut and an overlong length are refused."""
        for wrong in ("", "00", "01", "0301", "09" + "01" * 9, "8101ff", "8180" + "00" * 128):
            buf = bytes.fromhex(wrong)
            self.assertRaises(DecodeError, readVarUInt, buf, 0, len(buf))

    def test_end(self) -> None:
        """Nothing beyond the end is read, even if the buffer goes on."""
        self.assertRaises(DecodeError, readVarUInt, b"\x01\x07", 0, 1)
        self.assertEqual(readVarUInt(b"..\x01\x07", 2, 4), (7, 4))

    def test_clamped(self) -> None:
        """Two fields of STREAM may hold more than 64 bits and count as the largest then."""
        for buf, value in (
            ("0105", 5),
            ("08" + "ff" * 8, U64_MAX),
            ("0901" + "00" * 8, U64_MAX),
            ("0900" + "00" * 7 + "09", 9),
            ("8180" + "ff" * 128, U64_MAX),
        ):
            octets = bytes.fromhex(buf)
            self.assertEqual(readVarUIntClamped(octets, 0, len(octets)), (value, len(octets)))
        for wrong in ("", "00", "0201"):
            octets = bytes.fromhex(wrong)
            self.assertRaises(DecodeError, readVarUIntClamped, octets, 0, len(octets))


class UInt8Tests(SynchronousTestCase):
    """Single octets."""

    def test_read(self) -> None:
        """There is one or there is none."""
        self.assertEqual(readUInt8(b"\x00\xff", 1, 2), (255, 2))
        self.assertRaises(DecodeError, readUInt8, b"\x00\xff", 1, 1)


class PropertyTests(SynchronousTestCase):
    """What holds for all octets."""

    @forAll(octets, octets, octets)
    def test_octetsRoundTrip(self, before: bytes, value: bytes, after: bytes) -> None:
        """Octets come back from any place."""
        buf = before + encodeVarOctets(value) + after
        self.assertEqual(readVarOctets(buf, len(before), len(buf)), (value, len(buf) - len(after)))

    @forAll(octets, uint64, octets)
    def test_integersRoundTrip(self, before: bytes, value: int, after: bytes) -> None:
        """So do integers."""
        buf = before + encodeVarUInt(value) + after
        for read in (readVarUInt, readVarUIntClamped):
            self.assertEqual(read(buf, len(before), len(buf)), (value, len(buf) - len(after)))

    @forAll(st.one_of(octets, mutated(octets.map(encodeVarOctets))))
    def test_anyOctets(self, buf: bytes) -> None:
        """Any octets give a value and a place within them, or DecodeError."""
        for read in READERS:
            try:
                _, pos = read(buf, 0, len(buf))
            except DecodeError:
                continue
            self.assertTrue(0 < pos <= len(buf))

    @forAll(octets)
    def test_canonical(self, buf: bytes) -> None:
        """There is one way only to write octets."""
        try:
            value, pos = readVarOctets(buf, 0, len(buf))
        except DecodeError:
            return
        self.assertEqual(encodeVarOctets(value), buf[:pos])
