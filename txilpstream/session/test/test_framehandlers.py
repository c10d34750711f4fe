"""Tests of C{txilpstream.session.framehandlers}: what the peer's frames change."""

from __future__ import annotations

from txilpstream.crypto.receipts import signReceipt
from txilpstream.errors import ErrorCode, PeerError
from txilpstream.session import events
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.framehandlers import FRAME_HANDLERS
from txilpstream.session.test.test_state import StateCase
from txilpstream.wire import frames


class HandlerTests(StateCase):
    """The table."""

    def test_complete(self) -> None:
        """Every frame that is decoded is handled, here or where packets are taken."""
        taken = {frames.StreamMoney, frames.StreamData, frames.StreamClose, frames.ConnectionClose}
        known = set(frames.FRAME_TYPES.values())
        self.assertEqual(known - taken - set(FRAME_HANDLERS), set())
        self.assertLessEqual(set(FRAME_HANDLERS), known)


class LimitTests(StateCase):
    """Limits of the peer's only grow."""

    def heard(self, frame: frames.Frame) -> bool:
        """Whether hearing a frame may have let something go."""
        self.state.wasUnblocked = False
        self.hear(frame)
        return self.state.wasUnblocked

    def test_connection(self) -> None:
        self.assertTrue(self.heard(frames.ConnectionMaxData(100)))
        self.assertFalse(self.heard(frames.ConnectionMaxData(99)))
        self.assertEqual(self.state.streams.sendWindow.limit, 100)

    def test_streamIDs(self) -> None:
        """A higher limit opens the streams that waited for it."""
        self.assertFalse(self.heard(frames.ConnectionMaxStreamID(20)))
        local = self.state.streams.openLocal()
        local.moneyOut.sendMax = 5
        self.assertTrue(self.heard(frames.ConnectionMaxStreamID(22)))
        self.assertEqual(self.state.streams.peerMaxStreamID, 22)
        self.assertEqual(self.pending(), [(0x14, 2)])
        self.assertIn(2, self.state.streams.moneyReady)

    def test_money(self) -> None:
        """A limit that stops money is answered by a word of what would go."""
        self.stream.moneyOut.sendMax = 50
        self.assertTrue(self.heard(frames.StreamMaxMoney(1, 10, 10)))
        self.assertEqual(self.pending(), [(0x13, 1)])
        self.assertFalse(self.heard(frames.StreamMaxMoney(1, 10, 10)))
        self.assertEqual(self.pending(), [])
        self.assertTrue(self.heard(frames.StreamMaxMoney(1, 20, 10)))
        self.assertIn(1, self.state.streams.moneyReady)
        self.assertFalse(self.heard(frames.StreamMaxMoney(9, 20, 10)))

    def test_data(self) -> None:
        self.stream.queue.write(b"abc")
        self.stream.sendWindow.limit = 0
        self.assertTrue(self.heard(frames.StreamMaxData(1, 2)))
        self.assertIn(1, self.state.streams.dataReady)
        self.assertFalse(self.heard(frames.StreamMaxData(1, 1)))
        self.assertFalse(self.heard(frames.StreamMaxData(9, 2)))

    def test_blocked(self) -> None:
        """Who is blocked is told the limit again; who cannot be reached finds it in the answer."""
        blocked: list[frames.Frame] = [
            frames.StreamMoneyBlocked(1, 9, 0),
            frames.StreamDataBlocked(1, 9),
            frames.StreamDataBlocked(9, 9),
            frames.ConnectionDataBlocked(9),
            frames.ConnectionStreamIDBlocked(9),
        ]
        for frame in blocked:
            self.hear(frame)
        self.assertEqual(self.pending(), [(0x12, 1), (0x15, 1), (0x03, 0), (0x05, 0)])
        self.state.destination = ""
        for frame in blocked:
            self.hear(frame)
        self.assertEqual(self.pending(), [])

    def test_longCode(self) -> None:
        """An asset code of many characters is none; nothing is kept of it."""
        frame = frames.ConnectionAssetDetails("X" * 101, 2)
        error = self.assertRaises(PeerError, self.hear, frame)
        self.assertEqual(error.code, ErrorCode.FRAME_FORMAT_ERROR)
        self.assertIsNone(self.state.assetDetails)

    def test_waitingStreams(self) -> None:
        """Streams that may open now say what they take, those still above the limit nothing."""
        self.state.streams.peerMaxStreamID = 0
        streams = [self.state.streams.openLocal() for _ in range(3)]
        streams[0].isStarted = True
        self.hear(frames.ConnectionMaxStreamID(4))
        self.assertEqual(self.pending(), [(0x14, 2), (0x12, 2), (0x15, 2), (0x14, 4)])

    def test_refusal(self) -> None:
        """What the peer said beside a refusal is why it closed, whatever its code."""
        self.state.refusal = "sold out"
        self.hear(frames.ConnectionClose(1, "bye"))
        assert self.state.error is not None
        self.assertIn("sold out", str(self.state.error))
        self.start(SessionConfiguration(isServer=True))
        self.state.refusal = "sold out"
        self.hear(frames.ConnectionClose(9, "bye"))
        self.assertEqual(str(self.state.error), "ApplicationError: sold out")

    def test_receipt(self) -> None:
        """A receipt counts even if its stream was closed meanwhile, not if there never was one."""
        self.state.streams.drop(self.stream)
        self.hear(frames.StreamReceipt(1, b"r"))
        self.hear(frames.StreamReceipt(3, b"r"))
        self.assertEqual(self.events(), [events.ReceiptArrived(1, b"r")])

    def test_greatestReceipt(self) -> None:
        """The receipt of the greatest total is kept; octets that are none are nothing."""
        receipts = [signReceipt(bytes(16), 1, total, bytes(32)) for total in (5, 9, 7, 9)]
        for receipt in (b"junk", *receipts):
            self.hear(frames.StreamReceipt(1, receipt))
        self.assertEqual(self.stream.receipt, receipts[1])
        kept = [events.ReceiptArrived(1, receipt) for receipt in receipts[:2]]
        self.assertEqual(self.events(), kept)
