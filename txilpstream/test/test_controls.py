"""Tests for C{txilpstream.session.controlframes}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.session.controlframes import MAX_CONTROLS, ControlQueue
from txilpstream.wire.frames import Frame, StreamMaxData, encodeFrame

ROOM = 1000
"""More octets than they need."""


class ControlQueueTests(SynchronousTestCase):
    """Frames that are said again until they were heard."""

    def setUp(self) -> None:
        self.value = 0
        self.controls = ControlQueue(self.build)

    def build(self, kind: int, streamID: int) -> Frame | None:
        return StreamMaxData(streamID, self.value) if self.value >= 0 else None

    def test_heard(self) -> None:
        """A frame leaves with the value of that moment, and is done when it was heard."""
        self.controls.add(0x15, 1)
        self.value = 7
        frames, taken = self.controls.take(ROOM)
        self.assertEqual(frames, [StreamMaxData(1, 7)])
        self.assertEqual(self.controls.take(ROOM), ([], ()))
        self.assertEqual(self.controls.heard(taken), [(0x15, 1)])
        self.assertEqual(self.controls.heard(taken), [])
        self.controls.lost(taken)
        self.assertEqual(self.controls.pending, {})

    def test_lost(self) -> None:
        """What was lost is said again with the value of the later moment."""
        self.controls.add(0x15, 1)
        _, taken = self.controls.take(ROOM)
        self.controls.lost(taken)
        self.value = 9
        self.assertEqual(self.controls.take(ROOM)[0], [StreamMaxData(1, 9)])

    def test_changedMeanwhile(self) -> None:
        """Hearing an old version is not hearing the new one."""
        self.controls.add(0x15, 1)
        _, first = self.controls.take(ROOM)
        self.controls.add(0x15, 1)
        self.assertEqual(self.controls.heard(first), [])
        self.assertEqual(list(self.controls.pending), [(0x15, 1)])
        _, second = self.controls.take(ROOM)
        self.assertEqual(self.controls.heard(second), [(0x15, 1)])

    def test_lateAnswer(self) -> None:
        """The answer to a packet of long ago does not count for a frame that was added since."""
        self.controls.add(0x15, 1)
        _, slow = self.controls.take(ROOM)
        self.controls.lost(slow)
        _, fast = self.controls.take(ROOM)
        self.assertEqual(self.controls.heard(fast), [(0x15, 1)])
        self.controls.add(0x15, 1)
        _, fresh = self.controls.take(ROOM)
        self.assertEqual(self.controls.heard(slow), [])
        self.assertEqual(self.controls.heard(fresh), [(0x15, 1)])

    def test_heardWhilePending(self) -> None:
        """What was taken for lost and waits to be repeated is not repeated once it was heard."""
        self.controls.add(0x15, 1)
        _, taken = self.controls.take(ROOM)
        self.controls.lost(taken)
        self.assertEqual(self.controls.heard(taken), [(0x15, 1)])
        self.assertEqual(self.controls.pending, {})

    def test_pointless(self) -> None:
        """A frame that is pointless when it could leave is forgotten."""
        self.value = -1
        self.controls.add(0x15, 1)
        self.assertEqual(self.controls.take(ROOM), ([], ()))
        self.assertEqual(self.controls.pending, {})

    def test_most(self) -> None:
        """A packet takes so many; the others wait for the next, in their order."""
        for streamID in range(1, MAX_CONTROLS + 3):
            self.controls.add(0x15, streamID)
        frames, taken = self.controls.take(ROOM)
        self.assertEqual((len(frames), len(taken)), (MAX_CONTROLS, MAX_CONTROLS))
        self.assertEqual(
            list(self.controls.pending), [(0x15, MAX_CONTROLS + 1), (0x15, MAX_CONTROLS + 2)]
        )

    def test_room(self) -> None:
        """What does not fit waits, and is known to; alone in a packet one of any size leaves."""
        for streamID in (1, 3, 5):
            self.controls.add(0x15, streamID)
        size = len(encodeFrame(StreamMaxData(1, 0)))
        frames, _ = self.controls.take(2 * size - 1)
        self.assertEqual(frames, [StreamMaxData(1, 0)])
        self.assertTrue(self.controls.isCrowded)
        self.assertEqual(self.controls.take(size - 1, isAlone=False), ([], ()))
        self.assertTrue(self.controls.isCrowded)
        frames, _ = self.controls.take(size - 1)
        self.assertEqual(frames, [StreamMaxData(3, 0)])
        self.assertEqual(self.controls.take(size)[0], [StreamMaxData(5, 0)])
        self.assertFalse(self.controls.isCrowded)

    def test_drop(self) -> None:
        """Nothing is said of a stream that is gone, be it waiting or on its way."""
        self.controls.add(0x10, 1)
        self.controls.add(0x15, 3)
        _, taken = self.controls.take(ROOM)
        self.controls.add(0x12, 1)
        self.controls.add(0x03)
        self.controls.drop(1)
        self.assertEqual(list(self.controls.pending), [(0x03, 0)])
        self.controls.lost(taken)
        self.assertEqual(list(self.controls.pending), [(0x03, 0), (0x15, 3)])
