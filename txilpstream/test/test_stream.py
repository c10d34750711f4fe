"""Tests for C{txilpstream.session.stream}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.session.stream import CLOSED, CLOSING, DRAINING, OPEN, SessionStream

EVENTS = ("close", "drained", "acknowledged", "abort")

# Every state with every input: what comes of it; None changes nothing.
EXPECTED = {
    (OPEN, "close"): DRAINING,
    (OPEN, "drained"): None,
    (OPEN, "acknowledged"): None,
    (OPEN, "abort"): CLOSING,
    (DRAINING, "close"): None,
    (DRAINING, "drained"): CLOSING,
    (DRAINING, "acknowledged"): None,
    (DRAINING, "abort"): CLOSING,
    (CLOSING, "close"): None,
    (CLOSING, "drained"): None,
    (CLOSING, "acknowledged"): CLOSED,
    (CLOSING, "abort"): None,
    (CLOSED, "close"): None,
    (CLOSED, "drained"): None,
    (CLOSED, "acknowledged"): None,
    (CLOSED, "abort"): CLOSING,
}


class SessionStreamTests(SynchronousTestCase):
    """The life of one stream."""

    def test_everyInput(self) -> None:
        """The table, over every state and every input."""
        states = (OPEN, DRAINING, CLOSING, CLOSED)
        self.assertEqual(set(EXPECTED), {(s, e) for s in states for e in EVENTS})
        for (state, event), after in EXPECTED.items():
            stream = SessionStream(1, 100)
            stream.state = state
            self.assertEqual(stream.advance(event), after is not None, (state, event))
            self.assertEqual(stream.state, state if after is None else after, (state, event))

    def test_new(self) -> None:
        """A stream starts open, unknown to the peer, and takes no money."""
        stream = SessionStream(3, 100)
        self.assertEqual((stream.streamID, stream.state, stream.grant.limit), (3, OPEN, 100))
        self.assertEqual(stream.moneyIn.receiveMax, 0)
        self.assertFalse(stream.hasOpened or stream.isEnded or stream.isOver)

    def test_isDrained(self) -> None:
        """Drained is: nothing unsent, nothing without an answer."""
        stream = SessionStream(1, 100)
        self.assertTrue(stream.isDrained)
        stream.queue.write(b"ab")
        self.assertFalse(stream.isDrained)
        offset, _ = stream.queue.nextNew(2)
        self.assertFalse(stream.isDrained)
        stream.queue.acknowledge(offset)
        stream.moneyOut.sendMax = 5
        self.assertFalse(stream.isDrained)
        stream.moneyOut.hold(5, 5)
        self.assertFalse(stream.isDrained)
        stream.moneyOut.settle(5, 5, 5, 5)
        self.assertTrue(stream.isDrained)

    def test_isOver(self) -> None:
        """Over is: both halves closed, no money in flight, and all read."""
        stream = SessionStream(1, 100)
        stream.state = CLOSED
        self.assertFalse(stream.isOver)
        stream.isEnded = True
        self.assertTrue(stream.isOver)
        stream.moneyOut.hold(1, 1)
        self.assertFalse(stream.isOver)
        stream.moneyOut.release(1, 1)
        stream.data.receive(0, b"x")
        self.assertFalse(stream.isOver)
        stream.data.take(1)
        self.assertTrue(stream.isOver)
        stream.state = CLOSING
        self.assertFalse(stream.isOver)
