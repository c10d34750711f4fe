"""Tests of C{txilpstream.session.packetbuilder}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.crypto.keys import SessionKeys, conditionOf
from txilpstream.session.configuration import MAX_FRAGMENT_SIZE, SessionConfiguration
from txilpstream.session.packetbuilder import PacketBuilder
from txilpstream.session.path import Path
from txilpstream.session.state import SessionState
from txilpstream.session.streams.flowcontrol import ByteBudget
from txilpstream.wire.address import MAX_ADDRESS_LENGTH
from txilpstream.wire.frames import (
    ConnectionAssetDetails,
    ConnectionMaxData,
    ConnectionNewAddress,
    StreamData,
    StreamMoney,
)
from txilpstream.wire.ilp import decodePrepare
from txilpstream.wire.packet import PREPARE, decodePacket


class PacketBuilderTests(SynchronousTestCase):
    """Packets, written and recorded."""

    def setUp(self) -> None:
        configuration = SessionConfiguration(
            destinationAddress="test.server", sourceAddress="test.client", padTo=500
        )
        self.state = SessionState(configuration, ByteBudget(1000))
        self.path = Path(configuration)
        self.keys = SessionKeys(bytes(32))
        self.packetBuilder = PacketBuilder(self.state, self.path, self.keys, bytes)

    def test_packet(self) -> None:
        """A packet says all it should; its record knows what fulfills it."""
        stream = self.state.streams.openLocal()
        outgoing = self.packetBuilder.pack(
            100.0, 50, [StreamMoney(1, 1)], minimum=40, expected=45, stream=stream
        )
        prepare = decodePrepare(outgoing.data)
        self.assertEqual((prepare.amount, prepare.destination), (50, "test.server"))
        self.assertEqual((prepare.expiresAt, outgoing.expiresAt), (130.0, 130.0))
        record = self.path.inFlight.packets[outgoing.sequence]
        self.assertEqual(conditionOf(record.fulfillment), prepare.executionCondition)
        self.assertEqual((record.amount, record.minimum, record.expected), (50, 40, 45))
        self.assertIs(record.stream, stream)
        plain = self.keys.open(prepare.data)
        assert plain is not None
        self.assertGreaterEqual(len(plain), 500)
        packet = decodePacket(plain)
        self.assertEqual((packet.packetType, packet.prepareAmount), (PREPARE, 40))
        self.assertEqual(packet.sequence, outgoing.sequence)
        self.assertIsInstance(packet.frames[0], ConnectionNewAddress)
        self.assertEqual(packet.frames[-1], StreamMoney(1, 1))
        self.assertEqual(self.state.encrypted, 1)

    def test_sequence(self) -> None:
        """Each packet has a number of its own; controls that were said go once."""
        first, second = self.packetBuilder.pack(1.0, 0, []), self.packetBuilder.pack(1.0, 0, [])
        self.assertEqual(second.sequence, first.sequence + 1)
        self.assertEqual(self.path.inFlight.packets[second.sequence].controlFrames, ())

    def test_probe(self) -> None:
        """Nothing that we know fulfills a probe."""
        outgoing = self.packetBuilder.pack(1.0, 5, [], isProbe=True)
        record = self.path.inFlight.packets[outgoing.sequence]
        prepare = decodePrepare(outgoing.data)
        self.assertEqual((record.fulfillment, record.isProbe), (b"", True))
        ours = conditionOf(self.keys.fulfillment(prepare.data))
        self.assertNotEqual(prepare.executionCondition, ours)

    def test_longAddresses(self) -> None:
        """
        With the longest addresses a full packet of data is still small enough, and what has no
        room in it goes in the next.
        """
        far, near = (name.ljust(MAX_ADDRESS_LENGTH, "x") for name in ("test.far", "test.near"))
        state = SessionState(
            SessionConfiguration(
                destinationAddress=far, sourceAddress=near, sourceAssetCode="\U0001f600" * 100
            ),
            ByteBudget(1000),
        )
        packetBuilder = PacketBuilder(state, self.path, self.keys, bytes)
        for kind in (ConnectionNewAddress, ConnectionAssetDetails, ConnectionMaxData):
            state.controlFrames.add(kind.type)
        data = StreamData(1, 0, bytes(MAX_FRAGMENT_SIZE))
        for frames, isCrowded in (([data], True), ([], False)):
            octets = packetBuilder.pack(1.0, 0, [*frames]).data
            self.assertLessEqual(len(octets), 32767)
            self.assertEqual(state.controlFrames.isCrowded, isCrowded)
        self.assertEqual(state.controlFrames.pending, {})
