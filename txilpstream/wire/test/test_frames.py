"""Tests of C{txilpstream.wire.frames}."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import U64_MAX
from txilpstream.errors import DecodeError
from txilpstream.test.support.strategies import anyFrame, forAll, mutated, octets
from txilpstream.wire.frames import (
    FRAME_TYPES,
    ConnectionAssetDetails,
    ConnectionClose,
    ConnectionDataBlocked,
    ConnectionMaxData,
    ConnectionMaxStreamID,
    ConnectionNewAddress,
    ConnectionStreamIDBlocked,
    Frame,
    StreamClose,
    StreamData,
    StreamDataBlocked,
    StreamMaxData,
    StreamMaxMoney,
    StreamMoney,
    StreamMoneyBlocked,
    StreamReceipt,
    decodeFrames,
    encodeFrame,
)
from txilpstream.wire.oer import encodeVarOctets, encodeVarUInt


def encodeFrames(frames: Iterable[Frame]) -> bytes:
    """Frames one after another."""
    return b"".join(map(encodeFrame, frames))


KNOWN: list[tuple[Frame, str]] = [
    (ConnectionClose(1, "fail"), "0106 01 04 6661696c"),
    (ConnectionNewAddress("g.a"), "0204 03 672e61"),
    (ConnectionNewAddress(""), "0201 00"),
    (ConnectionMaxData(256), "0303 020100"),
    (ConnectionDataBlocked(0), "0402 0100"),
    (ConnectionMaxStreamID(20), "0502 0114"),
    (ConnectionStreamIDBlocked(22), "0602 0116"),
    (ConnectionAssetDetails("ABC", 255), "0705 03 414243 ff"),
    (StreamClose(1, 9, "a"), "1005 0101 09 01 61"),
    (StreamMoney(1, 5), "1104 0101 0105"),
    (StreamMaxMoney(1, 5, 3), "1206 0101 0105 0103"),
    (StreamMoneyBlocked(1, 5, 3), "1306 0101 0105 0103"),
    (StreamData(1, 7, b"ab"), "1407 0101 0107 02 6162"),
    (StreamMaxData(1, 5), "1504 0101 0105"),
    (StreamDataBlocked(1, 5), "1604 0101 0105"),
    (StreamReceipt(1, b"abc"), "1706 0101 03 616263"),
]


def decodeOne(kind: int, contents: bytes) -> Frame:
    """Read the only frame of some octets."""
    frames, _ = decodeFrames(b"%c%b" % (kind, encodeVarOctets(contents)), 0, 1)
    (frame,) = frames
    return frame


class KnownFramesTests(SynchronousTestCase):
    """All fifteen, byte for byte."""

    def test_encode(self) -> None:
        """Each is written as RFC 29 and RFC 39 say."""
        for frame, expected in KNOWN:
            self.assertEqual(encodeFrame(frame), bytes.fromhex(expected), frame)

    def test_decode(self) -> None:
        """Each is read back."""
        for frame, encoded in KNOWN:
            buf = bytes.fromhex(encoded)
            self.assertEqual(decodeFrames(buf, 0, 1), ([frame], len(buf)))

    def test_types(self) -> None:
        """Every type has its class, and there are fifteen."""
        self.assertEqual([*FRAME_TYPES], [*range(0x01, 0x08), *range(0x10, 0x18)])
        for number, kind in FRAME_TYPES.items():
            self.assertEqual(kind.type, number)
        self.assertEqual({type(frame) for frame, _ in KNOWN}, set(FRAME_TYPES.values()))

    def test_several(self) -> None:
        """Frames follow one another; only so many are read as are asked for."""
        frames = [frame for frame, _ in KNOWN]
        buf = encodeFrames(frames)
        self.assertEqual(decodeFrames(buf, 0, len(frames)), (frames, len(buf)))
        self.assertEqual(decodeFrames(b"..." + buf + b"...", 3, 2)[0], frames[:2])
        self.assertEqual(decodeFrames(buf, 5, 0), ([], 5))

    def test_long(self) -> None:
        """Contents of any length."""
        for length in (120, 123, 124, 200, 300, 32000):
            frame = StreamData(1, 2**40, bytes(length))
            buf = encodeFrame(frame)
            self.assertEqual(decodeFrames(buf + b"junk", 0, 1), ([frame], len(buf)))


class ToleranceTests(SynchronousTestCase):
    """What is taken from peers that know more, or less, than RFC 29."""

    def test_unknownTypes(self) -> None:
        """Frames of unknown type are skipped, whatever is in them (RFC 29 section 5.3)."""
        money = StreamMoney(1, 1)
        for kind in (0x00, 0x08, 0x0F, 0x18, 0xFF):
            for contents in (b"", b"\xff", bytes(200)):
                unknown = b"%c%b" % (kind, encodeVarOctets(contents))
                buf = unknown + encodeFrame(money) + unknown
                self.assertEqual(decodeFrames(buf, 0, 3), ([money], len(buf)))

    def test_moreFields(self) -> None:
        """Octets after the known fields of a frame are ignored."""
        for frame, encoded in KNOWN:
            contents = bytes.fromhex(encoded)[2:]
            self.assertEqual(decodeOne(frame.type, contents + b"more"), frame)

    def test_fewerFields(self) -> None:
        """A frame that lacks a field, or the end of one, is not valid."""
        for frame, encoded in KNOWN:
            contents = bytes.fromhex(encoded)[2:]
            for length in range(len(contents)):
                self.assertRaises(DecodeError, decodeOne, frame.type, contents[:length])

    def test_fieldsOfTheNextFrame(self) -> None:
        """No frame reads on in the next one."""
        buf = b"\x11\x02\x01\x01" + encodeFrame(StreamMoney(1, 1))
        self.assertRaises(DecodeError, decodeFrames, buf, 0, 2)

    def test_leadingZeros(self) -> None:
        """Integers may have leading zeros."""
        self.assertEqual(decodeOne(0x11, bytes.fromhex("020001 03000005")), StreamMoney(1, 5))

    def test_text(self) -> None:
        """Octets that are not UTF-8, and text that cannot be, are replaced."""
        self.assertEqual(decodeOne(0x01, b"\x01\x02a\xff"), ConnectionClose(1, "a\ufffd"))
        self.assertEqual(encodeFrame(ConnectionClose(1, "\udcff")), b"\x01\x03\x01\x01?")

    def test_address(self) -> None:
        """An address is ASCII."""
        self.assertRaises(DecodeError, decodeOne, 0x02, b"\x04g.\xc3\xa9")


class LimitsTests(SynchronousTestCase):
    """64 bits and what does not fit in them."""

    TOO_LARGE = bytes.fromhex("09 01 0000000000000000")

    def test_clamped(self) -> None:
        """receiveMax and sendMax may be larger and count as the largest then (5.3.9, 5.3.10)."""
        contents = b"\x01\x01" + self.TOO_LARGE + b"\x01\x07"
        self.assertEqual(decodeOne(0x12, contents), StreamMaxMoney(1, U64_MAX, 7))
        self.assertEqual(decodeOne(0x13, contents), StreamMoneyBlocked(1, U64_MAX, 7))

    def test_notClamped(self) -> None:
        """Any other integer of more than 64 bits is an error."""
        one = b"\x01\x01"
        for kind, fields in ((0x03, 1), (0x04, 1), (0x05, 1), (0x06, 1), (0x11, 2), (0x15, 2)):
            self.assertRaises(DecodeError, decodeOne, kind, one * (fields - 1) + self.TOO_LARGE)
        for kind in (0x10, 0x12, 0x13, 0x14, 0x16, 0x17):
            self.assertRaises(DecodeError, decodeOne, kind, self.TOO_LARGE + one + one)
        for kind in (0x12, 0x13):
            self.assertRaises(DecodeError, decodeOne, kind, one + one + self.TOO_LARGE)

    def test_dataBeyondTheEnd(self) -> None:
        """Data ends at 2**64 - 1 at the latest."""
        last = b"\x01\x01" + encodeVarUInt(U64_MAX)
        self.assertEqual(decodeOne(0x14, last + b"\x00"), StreamData(1, U64_MAX, b""))
        self.assertRaises(DecodeError, decodeOne, 0x14, last + b"\x01a")

    def test_notWritten(self) -> None:
        """What does not fit in its field is not written."""
        frames: list[Frame] = [
            ConnectionClose(256, ""),
            ConnectionClose(-1, ""),
            ConnectionMaxData(U64_MAX + 1),
            ConnectionMaxData(-1),
            ConnectionAssetDetails("A", 256),
            StreamMoney(1, -1),
            StreamData(-1, 0, b""),
        ]
        for frame in frames:
            self.assertRaises(OverflowError, encodeFrame, frame)

    def test_manyFrames(self) -> None:
        """A count of frames that cannot be is refused before any is read."""
        self.assertRaises(DecodeError, decodeFrames, bytes(10), 0, 6)
        self.assertRaises(DecodeError, decodeFrames, bytes(10), 0, U64_MAX)
        self.assertRaises(DecodeError, decodeFrames, b"", 0, 1)

    def test_cutShort(self) -> None:
        """Frames that end early are refused, whatever their type and length prefix."""
        for wrong in ("1103010101", "ff05aa", "ff8180aa", "ff81", "ff81800000"):
            self.assertRaises(DecodeError, decodeFrames, bytes.fromhex(wrong), 0, 1)
        self.assertRaises(DecodeError, decodeFrames, b"\xff\x02\x00\x00\xff", 0, 2)
        self.assertRaises(DecodeError, decodeFrames, b"\xff\x01\x00\xff", 0, 2)


class PropertyTests(SynchronousTestCase):
    """What holds for all frames and all octets."""

    @forAll(anyFrame, examples=300)
    def test_roundTrip(self, frame: Frame) -> None:
        """Any frame comes back."""
        buf = encodeFrame(frame)
        self.assertEqual(decodeFrames(buf, 0, 1), ([frame], len(buf)))

    @forAll(
        st.one_of(octets, mutated(st.lists(anyFrame, max_size=4).map(encodeFrames))),
        st.integers(0, 5),
        examples=400,
    )
    def test_anyOctets(self, buf: bytes, count: int) -> None:
        """Any octets give frames that can be written and read again, or DecodeError."""
        try:
            frames, pos = decodeFrames(buf, 0, count)
        except DecodeError:
            return
        self.assertTrue(pos <= len(buf) and len(frames) <= count)
        self.checkRoundTrip(frames)

    @forAll(st.sampled_from([*FRAME_TYPES]), octets, examples=300)
    def test_anyContents(self, kind: int, contents: bytes) -> None:
        """The same where the type is known and the contents are anything."""
        try:
            frame = decodeOne(kind, contents)
        except DecodeError:
            return
        self.assertIsInstance(frame, FRAME_TYPES[kind])
        self.checkRoundTrip([frame])

    def checkRoundTrip(self, frames: Iterable[Frame]) -> None:
        """Frames come back."""
        frames = list(frames)
        buf = encodeFrames(frames)
        self.assertEqual(decodeFrames(buf, 0, len(frames)), (frames, len(buf)))
