"""Tests of C{txilpstream.wire.btp}: BTP packets as bytes."""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import U64_MAX
from txilpstream.errors import DecodeError, LocalError
from txilpstream.test.support.strategies import forAll, mutated, octets, uint8, uint64
from txilpstream.wire.btp import (
    MAX_ENTRIES,
    MESSAGE,
    RESPONSE,
    BTPError,
    BTPMessage,
    BTPPacket,
    BTPResponse,
    BTPTransfer,
    ProtocolData,
    decode,
    decodeILP,
    encode,
    encodeGeneralizedTime,
    encodeILPMessage,
    encodeILPResponse,
    findEntry,
)

uint32 = st.integers(0, 2**32 - 1)
asciiTexts = st.text(st.characters(max_codepoint=127), max_size=20)
codes = st.text(st.characters(max_codepoint=127), min_size=3, max_size=3)
entryLists = st.lists(st.builds(ProtocolData, asciiTexts, uint8, octets), max_size=5)
packets: st.SearchStrategy[BTPPacket] = st.one_of(
    st.builds(BTPMessage, uint32, entryLists),
    st.builds(BTPResponse, uint32, entryLists),
    st.builds(BTPTransfer, uint32, uint64, entryLists),
    st.builds(BTPError, uint32, codes, asciiTexts, asciiTexts, octets, entryLists),
)
sizes = st.one_of(
    st.integers(0, 300), st.sampled_from([110, 118, 119, 120, 247, 248, 255, 256, 65520, 65536])
)


class CodecTests(SynchronousTestCase):
    """Any packet, in its general form."""

    def test_login(self) -> None:
        """The first Message of a client, octet by octet."""
        entries = [
            ProtocolData("auth"),
            ProtocolData("auth_username", 1, b"al"),
            ProtocolData("auth_token", 1, b"x"),
        ]
        expected = bytes.fromhex("06 00000102 29 01 03 04") + b"auth\x00\x00"
        expected += b"\x0dauth_username\x01\x02al" + b"\x0aauth_token\x01\x01x"
        self.assertEqual(encode(BTPMessage(0x102, entries)), expected)
        self.assertEqual(decode(expected), BTPMessage(0x102, entries))

    def test_yes(self) -> None:
        """The answer to a login has no entries."""
        self.assertEqual(encode(BTPResponse(1, [])), bytes.fromhex("01 00000001 02 01 00"))

    def test_error(self) -> None:
        packet = BTPError(7, "F00", "NotAcceptedError", "20260102030405.678Z", b"why")
        expected = b"\x02\x00\x00\x00\x07\x2e\x46\x30\x30\x10NotAcceptedError"
        expected = expected.replace(b"\x2e", bytes([3 + 17 + 20 + 4 + 2]))
        expected += b"\x1320260102030405.678Z\x03why\x01\x00"
        self.assertEqual(encode(packet), expected)
        self.assertEqual(decode(expected), packet)

    def test_transfer(self) -> None:
        packet = BTPTransfer(1, U64_MAX, [])
        self.assertEqual(encode(packet), b"\x07\x00\x00\x00\x01\x0a" + b"\xff" * 8 + b"\x01\x00")

    def test_time(self) -> None:
        self.assertEqual(encodeGeneralizedTime(1767323045.678), "20260102030405.678Z")
        self.assertRaises(LocalError, encodeGeneralizedTime, -1)

    def test_findEntry(self) -> None:
        entries = [ProtocolData("a", 0, b"1"), ProtocolData("a", 0, b"2")]
        self.assertEqual(findEntry(entries, "a"), b"1")
        self.assertIsNone(findEntry(entries, "b"))

    def test_tokenIsNotShown(self) -> None:
        self.assertNotIn("secret", repr(BTPMessage(1, [ProtocolData("auth_token", 1, b"secret")])))

    @forAll(packets)
    def test_roundTrip(self, packet: BTPPacket) -> None:
        self.assertEqual(decode(encode(packet)), packet)

    @forAll(st.one_of(st.binary(max_size=80), mutated(packets.map(encode))), examples=500)
    def test_anything(self, data: bytes) -> None:
        """Any octets are a packet or a DecodeError, and a packet is written the same again."""
        try:
            packet = decode(data)
        except DecodeError:
            self.assertIsNone(decodeILP(data))
        else:
            self.assertEqual(decode(encode(packet)), packet)

    def test_notEncoded(self) -> None:
        for packet, text in (
            (BTPMessage(2**32, []), "4294967296"),
            (BTPMessage(-1, []), "-1"),
            (BTPMessage(1, [ProtocolData("é")]), "ASCII"),
            (BTPMessage(1, [ProtocolData("a", 256)]), "256"),
            (BTPMessage(1, [ProtocolData("a")] * (MAX_ENTRIES + 1)), "33"),
            (BTPTransfer(1, U64_MAX + 1, []), str(U64_MAX + 1)),
            (BTPTransfer(1, -1, []), "-1"),
            (BTPError(1, "F0", "", ""), "three"),
            (BTPError(1, "F0é", "", ""), "ASCII"),
        ):
            error = self.assertRaises(LocalError, encode, packet)
            self.assertIn(text, str(error))

    def test_notDecoded(self) -> None:
        entry = b"\x01a\x00\x00"
        for data, text in (
            (b"", "short"),
            (b"\x06\x00\x00\x00\x01", "length"),
            (b"\x06\x00\x00\x00\x01\x02\x01\x00\x00", "follow the packet"),
            (b"\x06\x00\x00\x00\x01\x03\x01\x00\x00", "follow the protocol data"),
            (b"\x06\x00\x00\x00\x01\x02\x01\x21", "33 entries"),
            (b"\x06\x00\x00\x00\x01\x06\x01\x01\x01\xff\x00\x00", "ASCII"),
            (b"\x06\x00\x00\x00\x01\x06\x01\x02" + entry, "missing"),
            (b"\x03\x00\x00\x00\x01\x02\x01\x00", "type 3"),
            (b"\x07\x00\x00\x00\x01\x02\x01\x00", "Transfer"),
            (b"\x02\x00\x00\x00\x01\x02F0", "code"),
            (b"\x02\x00\x00\x00\x01\x03\xff00", "code"),
        ):
            error = self.assertRaises(DecodeError, decode, data)
            self.assertIn(text, str(error))


class ShortcutTests(SynchronousTestCase):
    """The functions for what nearly every packet is."""

    @forAll(uint32, sizes)
    def test_encode(self, requestId: int, size: int) -> None:
        """They write what the general function writes."""
        packet = bytes(size)
        entries = [ProtocolData("ilp", 0, packet)]
        self.assertEqual(
            encodeILPMessage(requestId, packet), encode(BTPMessage(requestId, entries))
        )
        self.assertEqual(
            encodeILPResponse(requestId, packet), encode(BTPResponse(requestId, entries))
        )

    @forAll(uint32, sizes.filter(lambda size: size < 65500))
    def test_decode(self, requestId: int, size: int) -> None:
        packet = bytes(size)
        message, response = (
            encodeILPMessage(requestId, packet),
            encodeILPResponse(requestId, packet),
        )
        self.assertEqual(decodeILP(message), (MESSAGE, requestId, packet))
        self.assertEqual(decodeILP(response), (RESPONSE, requestId, packet))

    def test_others(self) -> None:
        """What is anything else is left to the general function."""
        ilp = ProtocolData("ilp", 0, b"packet")
        for packet in (
            BTPMessage(1, []),
            BTPMessage(1, [ilp, ilp]),
            BTPMessage(1, [ProtocolData("ilq", 0, b"packet")]),
            BTPMessage(1, [ProtocolData("ilp", 1, b"packet")]),
            BTPMessage(1, [ProtocolData("ilp", 0, bytes(70000))]),
            BTPTransfer(1, 2**64 - 1, [ilp]),
        ):
            self.assertIsNone(decodeILP(encode(packet)))

    @forAll(
        mutated(
            st.builds(encodeILPMessage, uint32, sizes.filter(lambda size: size < 300).map(bytes))
        ),
        examples=500,
    )
    def test_sameAsGeneral(self, data: bytes) -> None:
        """What the shortcut reads, the general function reads the same."""
        found = decodeILP(data)
        if found is not None:
            packet = decode(data)
            kind = MESSAGE if isinstance(packet, BTPMessage) else RESPONSE
            entries = [ProtocolData("ilp", 0, found[2])]
            self.assertEqual((kind, packet.requestId), found[:2])
            self.assertEqual(packet.protocolData, entries)

    def test_cutShort(self) -> None:
        """No part of a packet is one."""
        for size in (3, 130, 300):
            data = encodeILPMessage(1, bytes(size))
            for end in range(len(data)):
                self.assertIsNone(decodeILP(data[:end]))
            self.assertIsNone(decodeILP(data + b"\x00"))
