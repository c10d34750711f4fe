"""Tests for C{txilpstream.opening}: who is given a stream that the peer opens."""

from __future__ import annotations

from txilpstream.test.test_conformancebase import TappedTestCase
from txilpstream.wire.frames import StreamData


class BrokenTests(TappedTestCase):
    """A packet that opens a stream and breaks the protocol besides."""

    def test_noProtocol(self) -> None:
        """The connection is over, and nobody is given the stream."""
        self.listen()
        self.opened()
        made = len(self.served.made)
        reply = self.give(StreamData(3, 0, b"x"), StreamData(4, 0, b"x"))
        self.assertEqual(reply.code, "F99")
        self.run_()
        self.assertEqual(len(self.served.made), made)
        self.assertTrue(self.connection.session.isClosed)
