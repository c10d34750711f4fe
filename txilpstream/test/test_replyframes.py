"""Tests for C{txilpstream.session.replyframes}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.crypto.receipts import Receipt, verifyReceipt
from txilpstream.errors import ErrorCode
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.replyframes import addLimits, addReceipts
from txilpstream.session.state import SessionState
from txilpstream.session.stream import CLOSED, CLOSING, SessionStream
from txilpstream.session.streams.flowcontrol import ByteBudget
from txilpstream.wire import frames
from txilpstream.wire.packet import FULFILL, PREPARE, StreamPacket, decodePacket, encodePacket


class ReplyFramesTests(SynchronousTestCase):
    """What an answer says."""

    def setUp(self) -> None:
        self.start(SessionConfiguration(isServer=True, streamWindow=100, connectionWindow=200))

    def start(self, configuration: SessionConfiguration) -> None:
        self.state = SessionState(configuration, ByteBudget(1000))
        self.stream = self.state.streams.accept(1) or SessionStream(1, 1)
        self.stream.moneyIn.receiveMax = 10

    def limits(self, *heard: frames.Frame) -> list[frames.Frame]:
        """What is said to a packet with these frames."""
        result: list[frames.Frame | bytes] = []
        addLimits(self.state, StreamPacket(1, PREPARE, 0, list(heard)), result)
        return decodePacket(encodePacket(1, FULFILL, 0, result)).frames

    def test_limits(self) -> None:
        """The limits of a stream are said once, however often a packet names it."""
        connection = frames.ConnectionMaxData(200)
        touched = [frames.StreamMaxMoney(1, 10, 0), frames.StreamMaxData(1, 100), connection]
        self.assertEqual(self.limits(), [connection])
        self.assertEqual(self.limits(frames.StreamReceipt(1, b"")), [connection])
        self.assertEqual(self.limits(frames.StreamMoney(3, 1)), [connection])
        data = frames.StreamData(1, 0, b"")
        self.assertEqual(self.limits(frames.StreamMoney(1, 1), data), touched)

    def test_streamIDs(self) -> None:
        """The limit on ids is said unless it is the one that every peer assumes."""
        self.state.streams.maxStreamID = 22
        self.assertEqual(self.limits()[1:], [frames.ConnectionMaxStreamID(22)])

    def test_noStreams(self) -> None:
        """A side that takes no streams says so."""
        self.state.streams.maxStreamID = 0
        self.assertIn(frames.ConnectionMaxStreamID(0), self.limits())

    def test_asset(self) -> None:
        """Who tells its address is told our asset, if there is one to tell."""
        address = frames.ConnectionNewAddress("test.peer")
        self.assertEqual(len(self.limits(address)), 1)
        self.start(SessionConfiguration(isServer=True, sourceAssetCode="EUR", sourceAssetScale=2))
        self.assertEqual(self.limits(address)[0], frames.ConnectionAssetDetails("EUR", 2))

    def test_closes(self) -> None:
        """Who cannot be reached is told in answers, again and again while there is a stream."""
        state, stream = self.state, self.stream
        self.limits(frames.StreamMoney(1, 1))
        stream.advance("close")
        state.settleStream(stream)
        self.assertEqual(stream.state, CLOSING)
        close = frames.StreamClose(1, ErrorCode.NO_ERROR)
        for _ in range(2):
            self.assertIn(close, self.limits())
            self.assertEqual(stream.state, CLOSED)
        stream.isEnded = True
        self.assertIn(close, self.limits(frames.StreamMaxData(1, 0)))
        self.assertFalse(state.streams.open)
        self.assertNotIn(close, self.limits(frames.StreamMaxData(1, 0)))

    def test_closesOfReachable(self) -> None:
        """Who can be reached is told by packets, which are acknowledged."""
        self.state.destination = "test.peer"
        self.state.abortStream(self.stream, None)
        self.state.controls.add(0x10, 1)
        self.state.controls.add(0x12, 1)
        self.assertEqual(len(self.limits(frames.StreamMoney(1, 1))), 3)
        self.state.destination = ""
        self.assertEqual(
            self.limits(),
            [
                frames.StreamClose(1, ErrorCode.NO_ERROR),
                frames.ConnectionMaxData(200),
                frames.ConnectionMaxStreamID(22),
            ],
        )

    def test_receipts(self) -> None:
        """Each stream that got money has a receipt, if its id fits into one."""
        secret = bytes(range(32))
        configuration = SessionConfiguration(
            isServer=True, receiptNonce=bytes(16), receiptSecret=secret
        )
        self.stream.moneyIn.credit(7)
        result: list[frames.Frame | bytes] = []
        addReceipts(configuration, [(self.stream, 7), (SessionStream(257, 1), 7)], result)
        [frame] = result
        assert isinstance(frame, frames.StreamReceipt)
        self.assertEqual(verifyReceipt(frame.receipt, secret), Receipt(bytes(16), 1, 7))
