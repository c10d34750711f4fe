"""Tests of C{txilpstream.wire.packet}, with the vectors that were published with RFC 29."""

from __future__ import annotations

import json
import os
from base64 import b64decode
from dataclasses import fields
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

import txilpstream
from txilpstream.amounts import U64_MAX
from txilpstream.errors import DecodeError
from txilpstream.test.support.strategies import forAll, mutated, octets, streamPackets, uint64
from txilpstream.wire.frames import (
    FRAME_TYPES,
    ConnectionMaxData,
    Frame,
    StreamData,
    StreamMoney,
    encodeFrame,
)
from txilpstream.wire.packet import (
    FULFILL,
    PREPARE,
    REJECT,
    VERSION,
    StreamPacket,
    decodeHeader,
    decodePacket,
    encodePacket,
)

NAMES_IN_VECTORS = {"streamID": "streamId", "maxStreamID": "maxStreamId"}
NAMES_IN_VECTORS["sourceAddress"] = "sourceAccount"


def encode(packet: StreamPacket) -> bytes:
    """The octets of a packet."""
    return encodePacket(packet.sequence, packet.packetType, packet.prepareAmount, packet.frames)


def frameOfVector(vector: dict[str, Any]) -> Frame:
    """A frame as it stands in the vectors: integers as text, octets as base64."""
    kind = FRAME_TYPES[vector["type"]]
    values: dict[str, Any] = {}
    for field in fields(kind):
        value = vector[NAMES_IN_VECTORS.get(field.name, field.name)]
        if field.type == "int":
            value = int(value)
        elif field.type == "bytes":
            value = b64decode(value)
        values[field.name] = value
    return kind(**values)


def packetOfVector(vector: dict[str, Any]) -> StreamPacket:
    """A packet as it stands in the vectors."""
    return StreamPacket(
        int(vector["sequence"]),
        vector["packetType"],
        int(vector["amount"]),
        [frameOfVector(frame) for frame in vector["frames"]],
    )


def vectorsPath() -> Path | None:
    """
    The published STREAM vectors: where the environment says, else in a folder C{vectors} of a
    neighbour of this checkout; None if they are nowhere.
    """
    named = os.environ.get("TXILPSTREAM_VECTORS")
    if named:
        path = Path(named)
        return path / "stream-packets.json" if path.is_dir() else path
    checkout = Path(txilpstream.__file__).parents[1]
    found = sorted(checkout.parent.glob("*/vectors/stream-packets.json"))
    return found[0] if found else None


class VectorTests(SynchronousTestCase):
    """The 53 published packets."""

    def setUp(self) -> None:
        path = vectorsPath()
        if path is None:
            message = "no stream-packets.json: name it with TXILPSTREAM_VECTORS"
            if os.environ.get("CI"):
                self.fail(message)
            raise SkipTest(message)
        self.cases: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8"))["cases"]

    def test_all(self) -> None:
        """None is missing."""
        self.assertEqual(len(self.cases), 53)

    def test_decode(self) -> None:
        """Each is read as it should be."""
        for name, case in self.cases.items():
            packet = packetOfVector(case["packet"])
            self.assertEqual(decodePacket(b64decode(case["buffer"])), packet, name)

    def test_encode(self) -> None:
        """Each is written as published; what was only to be read, so that it comes back."""
        for name, case in self.cases.items():
            packet = packetOfVector(case["packet"])
            buf = encode(packet)
            if case.get("decode_only"):
                self.assertEqual(decodePacket(buf), packet, name)
            else:
                self.assertEqual(buf, b64decode(case["buffer"]), name)


class VectorsPathTests(SynchronousTestCase):
    """Where the vectors are looked for."""

    def test_environment(self) -> None:
        """The environment may name the file or its folder."""
        folder = Path(self.mktemp())
        folder.mkdir()
        file = folder / "stream-packets.json"
        for named in (folder, file):
            self.patch(os, "environ", {"TXILPSTREAM_VECTORS": str(named)})
            self.assertEqual(vectorsPath(), file)

    def test_neighbour(self) -> None:
        """Else they are in a neighbour of the checkout, or nowhere."""
        self.patch(os, "environ", {})
        path = vectorsPath()
        if path is not None:
            self.assertEqual(path.name, "stream-packets.json")


class PacketTests(SynchronousTestCase):
    """RFC 29 section 5.2."""

    def test_known(self) -> None:
        """A packet byte for byte."""
        frames: list[Frame] = [StreamMoney(1, 1), ConnectionMaxData(256)]
        buf = encodePacket(5, PREPARE, 1000, frames)
        self.assertEqual(buf, bytes.fromhex("01 0c 0105 0203e8 0102 1104 0101 0101 0303 020100"))
        self.assertEqual(decodePacket(buf), StreamPacket(5, 12, 1000, frames))
        self.assertEqual(decodeHeader(buf), StreamPacket(5, 12, 1000))
        self.assertEqual((VERSION, PREPARE, FULFILL, REJECT), (1, 12, 13, 14))

    @forAll(streamPackets)
    def test_roundTrip(self, packet: StreamPacket) -> None:
        """Any packet comes back."""
        buf = encode(packet)
        self.assertEqual(decodePacket(buf), packet)
        header = StreamPacket(packet.sequence, packet.packetType, packet.prepareAmount)
        self.assertEqual(decodeHeader(buf), header)

    @forAll(st.one_of(octets, mutated(streamPackets.map(encode))), examples=400)
    def test_anyOctets(self, buf: bytes) -> None:
        """Any octets give a packet that can be written and read again, or DecodeError."""
        try:
            packet = decodePacket(buf)
        except DecodeError:
            try:
                self.assertEqual(decodeHeader(buf).frames, [])
            except DecodeError:
                pass
            return
        self.assertEqual(decodePacket(encode(packet)), packet)

    @forAll(streamPackets, octets)
    def test_junkData(self, packet: StreamPacket, junk: bytes) -> None:
        """Octets after the frames are ignored."""
        self.assertEqual(decodePacket(encode(packet) + junk), packet)

    @forAll(uint64, st.integers(0, 200))
    def test_padding(self, sequence: int, padTo: int) -> None:
        """Padding is zero octets, up to a length; what is longer stays as it is."""
        frames = [StreamData(1, 0, b"abc")]
        plain = encodePacket(sequence, PREPARE, 0, frames)
        padded = encodePacket(sequence, PREPARE, 0, frames, padTo)
        self.assertEqual(len(padded), max(len(plain), padTo))
        self.assertEqual(padded.rstrip(b"\0"), plain.rstrip(b"\0"))
        self.assertEqual(decodePacket(padded), decodePacket(plain))

    def test_unknownFrames(self) -> None:
        """Frames of unknown type are left out."""
        money = StreamMoney(1, 1)
        buf = bytes.fromhex("01 0c 0101 0100 0102 ff03aabbcc") + encodeFrame(money)
        self.assertEqual(decodePacket(buf).frames, [money])

    def test_refused(self) -> None:
        """Other versions, other packet types, cuts and impossible counts."""
        for wrong in (
            "",
            "01",
            "00 0c 0101 0100 0100",
            "02 0c 0101 0100 0100",
            "01 0b 0101 0100 0100",
            "01 0f 0101 0100 0100",
            "01 0c",
            "01 0c 0101",
            "01 0c 0900000000000000000001 0100 0100",
        ):
            self.assertRaises(DecodeError, decodePacket, bytes.fromhex(wrong))
            self.assertRaises(DecodeError, decodeHeader, bytes.fromhex(wrong))
        for wrong in ("01 0c 0101 0100", "01 0c 0101 0100 0101", "01 0c 0101 0100 08" + "ff" * 8):
            self.assertRaises(DecodeError, decodePacket, bytes.fromhex(wrong))

    def test_headerOfBadFrames(self) -> None:
        """Where the frames are not valid the header can still be read."""
        buf = bytes.fromhex("01 0e 0107 0109 0101 1100")
        self.assertRaises(DecodeError, decodePacket, buf)
        self.assertEqual(decodeHeader(buf), StreamPacket(7, REJECT, 9))

    def test_notWritten(self) -> None:
        """What does not fit in its field is not written."""
        for sequence, amount in ((-1, 0), (U64_MAX + 1, 0), (0, -1), (0, U64_MAX + 1)):
            self.assertRaises(OverflowError, encodePacket, sequence, PREPARE, amount, [])

    def test_framesOfItsOwn(self) -> None:
        """Packets share no list of frames."""
        first = StreamPacket(1, PREPARE, 0)
        first.frames.append(StreamMoney(1, 1))
        self.assertEqual(StreamPacket(1, PREPARE, 0).frames, [])
