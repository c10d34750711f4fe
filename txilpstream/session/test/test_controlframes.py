"""Tests of C{txilpstream.session.controlframes}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.controlframes import MAX_CONTROLS, ControlFrames
from txilpstream.session.streams.flowcontrol import ByteBudget
from txilpstream.session.streams.streams import Streams
from txilpstream.wire import frames
from txilpstream.wire.frames import StreamMaxData, encodeFrame

ROOM = 1000
"""More octets than they need."""


class RepeatingTests(SynchronousTestCase):
    """Frames that are said again until they were heard."""

    def setUp(self) -> None:
        configuration = SessionConfiguration(streamWindow=1)
        self.streams = Streams(configuration, ByteBudget(1000))
        for _ in range(MAX_CONTROLS):
            self.streams.openLocal()
        self.controlFrames = ControlFrames(configuration, self.streams)

    def setValue(self, value: int) -> None:
        """What the frame of stream 1 says."""
        self.streams.open[1].receiveWindow.consumed = value - 1

    def test_heard(self) -> None:
        """A frame leaves with the value of that moment, and is done when it was heard."""
        self.controlFrames.add(0x15, 1)
        self.setValue(7)
        frames, taken = self.controlFrames.take(ROOM)
        self.assertEqual(frames, [StreamMaxData(1, 7)])
        self.assertEqual(self.controlFrames.take(ROOM), ([], ()))
        self.assertEqual(self.controlFrames.heard(taken), [(0x15, 1)])
        self.assertEqual(self.controlFrames.heard(taken), [])
        self.controlFrames.lost(taken)
        self.assertEqual(self.controlFrames.pending, {})

    def test_lost(self) -> None:
        """What was lost is said again with the value of the later moment."""
        self.controlFrames.add(0x15, 1)
        _, taken = self.controlFrames.take(ROOM)
        self.controlFrames.lost(taken)
        self.setValue(9)
        self.assertEqual(self.controlFrames.take(ROOM)[0], [StreamMaxData(1, 9)])

    def test_changedMeanwhile(self) -> None:
        """Hearing an old version is not hearing the new one."""
        self.controlFrames.add(0x15, 1)
        _, first = self.controlFrames.take(ROOM)
        self.controlFrames.add(0x15, 1)
        self.assertEqual(self.controlFrames.heard(first), [])
        self.assertEqual(list(self.controlFrames.pending), [(0x15, 1)])
        _, second = self.controlFrames.take(ROOM)
        self.assertEqual(self.controlFrames.heard(second), [(0x15, 1)])

    def test_lateAnswer(self) -> None:
        """The answer to a packet of long ago does not count for a frame that was added since."""
        self.controlFrames.add(0x15, 1)
        _, slow = self.controlFrames.take(ROOM)
        self.controlFrames.lost(slow)
        _, fast = self.controlFrames.take(ROOM)
        self.assertEqual(self.controlFrames.heard(fast), [(0x15, 1)])
        self.controlFrames.add(0x15, 1)
        _, fresh = self.controlFrames.take(ROOM)
        self.assertEqual(self.controlFrames.heard(slow), [])
        self.assertEqual(self.controlFrames.heard(fresh), [(0x15, 1)])

    def test_heardWhilePending(self) -> None:
        """What was taken for lost and waits to be repeated is not repeated once it was heard."""
        self.controlFrames.add(0x15, 1)
        _, taken = self.controlFrames.take(ROOM)
        self.controlFrames.lost(taken)
        self.assertEqual(self.controlFrames.heard(taken), [(0x15, 1)])
        self.assertEqual(self.controlFrames.pending, {})

    def test_pointless(self) -> None:
        """A frame that is pointless when it could leave is forgotten."""
        self.streams.drop(self.streams.open[1])
        self.controlFrames.add(0x15, 1)
        self.assertEqual(self.controlFrames.take(ROOM), ([], ()))
        self.assertEqual(self.controlFrames.pending, {})

    def test_most(self) -> None:
        """A packet takes so many; the others wait for the next, in their order."""
        streamIDs = range(1, 2 * MAX_CONTROLS + 4, 2)
        self.streams.openLocal()
        self.streams.openLocal()
        for streamID in streamIDs:
            self.controlFrames.add(0x15, streamID)
        frames, taken = self.controlFrames.take(ROOM)
        self.assertEqual((len(frames), len(taken)), (MAX_CONTROLS, MAX_CONTROLS))
        self.assertEqual(
            list(self.controlFrames.pending), [(0x15, streamID) for streamID in streamIDs[-2:]]
        )

    def test_room(self) -> None:
        """What does not fit waits, and is known to; alone in a packet one of any size leaves."""
        for streamID in (1, 3, 5):
            self.controlFrames.add(0x15, streamID)
        size = len(encodeFrame(StreamMaxData(1, 1)))
        frames, _ = self.controlFrames.take(2 * size - 1)
        self.assertEqual(frames, [StreamMaxData(1, 1)])
        self.assertTrue(self.controlFrames.isCrowded)
        self.assertEqual(self.controlFrames.take(size - 1, isAlone=False), ([], ()))
        self.assertTrue(self.controlFrames.isCrowded)
        frames, _ = self.controlFrames.take(size - 1)
        self.assertEqual(frames, [StreamMaxData(3, 1)])
        self.assertEqual(self.controlFrames.take(size)[0], [StreamMaxData(5, 1)])
        self.assertFalse(self.controlFrames.isCrowded)

    def test_drop(self) -> None:
        """Nothing is said of a stream that is gone, be it waiting or on its way."""
        self.controlFrames.add(0x10, 1)
        self.controlFrames.add(0x15, 3)
        _, taken = self.controlFrames.take(ROOM)
        self.controlFrames.add(0x12, 1)
        self.controlFrames.add(0x03)
        self.controlFrames.drop(1)
        self.assertEqual(list(self.controlFrames.pending), [(0x03, 0)])
        self.controlFrames.lost(taken)
        self.assertEqual(list(self.controlFrames.pending), [(0x03, 0), (0x15, 3)])


class CurrentValueTests(SynchronousTestCase):
    """Frames have the values of the moment when they leave."""

    def setUp(self) -> None:
        configuration = SessionConfiguration(
            sourceAddress="test.me",
            sourceAssetCode="EUR",
            sourceAssetScale=6,
            streamWindow=100,
            connectionWindow=200,
        )
        self.streams = Streams(configuration, ByteBudget(1000))
        self.controlFrames = ControlFrames(configuration, self.streams)
        self.stream = self.streams.openLocal()

    def test_connection(self) -> None:
        """What is said of the whole connection."""
        build = self.controlFrames.build
        self.assertEqual(build(0x02, 0), frames.ConnectionNewAddress("test.me"))
        self.assertEqual(build(0x03, 0), frames.ConnectionMaxData(200))
        self.assertEqual(build(0x05, 0), frames.ConnectionMaxStreamID(20))
        self.assertEqual(build(0x07, 0), frames.ConnectionAssetDetails("EUR", 6))

    def test_noAsset(self) -> None:
        """An asset that is not known is not told."""
        self.assertIsNone(ControlFrames(SessionConfiguration(), self.streams).asset())
        half = SessionConfiguration(sourceAssetCode="EUR")
        self.assertIsNone(ControlFrames(half, self.streams).asset())

    def test_stream(self) -> None:
        """What is said of a stream."""
        stream, build = self.stream, self.controlFrames.build
        stream.closeCode, stream.closeMessage = 9, "why"
        self.assertEqual(build(0x10, 1), frames.StreamClose(1, 9, "why"))
        stream.moneyIn.receiveMax = 50
        stream.moneyIn.credit(20)
        self.assertFalse(stream.moneyIn.isTold)
        self.assertEqual(build(0x12, 1), frames.StreamMaxMoney(1, 50, 20))
        self.assertTrue(stream.moneyIn.isTold)
        self.assertEqual(build(0x15, 1), frames.StreamMaxData(1, 100))
        self.assertIsNone(build(0x15, 3))

    def test_blocked(self) -> None:
        """What blocks says how far it would go."""
        stream, build = self.stream, self.controlFrames.build
        stream.queue.write(b"12345")
        stream.queue.nextNew(2)
        self.streams.sendWindow.used = 2
        stream.moneyOut.sendMax = 9
        stream.moneyOut.hold(4, 4)
        stream.moneyOut.settle(4, 4, 4, 4)
        self.assertEqual(build(0x04, 0), frames.ConnectionDataBlocked(5))
        self.assertEqual(build(0x13, 1), frames.StreamMoneyBlocked(1, 9, 4))
        self.assertEqual(build(0x16, 1), frames.StreamDataBlocked(1, 5))

    def test_streamIDBlocked(self) -> None:
        """It names the highest id that waits; if none does, it is pointless."""
        self.assertIsNone(self.controlFrames.build(0x06, 0))
        self.streams.peerMaxStreamID = 0
        self.streams.openLocal()
        self.assertEqual(self.controlFrames.build(0x06, 0), frames.ConnectionStreamIDBlocked(3))

    def test_opening(self) -> None:
        """A stream is opened by an empty frame, unless something else has opened it."""
        stream, build = self.stream, self.controlFrames.build
        self.streams.peerMaxStreamID = 0
        self.assertIsNone(build(0x14, 1))
        self.streams.peerMaxStreamID = 1
        self.assertFalse(stream.hasOpened)
        self.assertEqual(build(0x14, 1), frames.StreamData(1, 0, b""))
        self.assertTrue(stream.hasOpened)
        stream.moneyOut.hold(1, 1)
        self.assertIsNone(build(0x14, 1))
