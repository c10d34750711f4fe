"""Tests for C{txilpstream.telling}."""

from __future__ import annotations

from typing import get_args

from txilpstream.session import events
from txilpstream.telling import TOLD
from txilpstream.test.connected import ConnectedTestCase

GONE = (
    events.DataArrived(99),
    events.DataDrained(99),
    events.MoneyReceived(99, 5),
    events.MoneySettled(99, 5, 5, 5, False),
    events.MoneyFailed(99, 5, "on purpose", 6),
    events.StreamEnded(99),
    events.StreamClosed(99, None),
)


class TellingTests(ConnectedTestCase):
    """Each event reaches whom it concerns."""

    def test_every(self) -> None:
        """No event is without somebody to hear of it."""
        self.assertEqual(set(TOLD), set(get_args(events.Event)))

    def test_gone(self) -> None:
        """What concerns a stream that is gone concerns nobody."""
        self.listen()
        near = self.open()
        for event in GONE:
            TOLD[type(event)](self.connection, event)
        for event in GONE[3:5]:
            event.streamID = near.transport.streamID
            TOLD[type(event)](self.connection, event)
        self.run_()
        self.assertEqual(near.happened, ["made"])

    def test_closedTwice(self) -> None:
        """A stream that is over is not told so again."""
        self.listen()
        near = self.open()
        stream = near.transport
        stream.closed(None)
        stream.closed(None)
        stream.ended()
        self.assertEqual(near.happened, ["made", "lost"])
