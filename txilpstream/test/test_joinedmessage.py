"""Chunks of a message."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from wsproto.events import BytesMessage

from txilpstream.plugins.joinedmessage import LARGE_READ, SMALL_READ, JoinedMessage


class JoinedMessageTests(SynchronousTestCase):
    """What is joined, within a limit."""

    def add(self, joined: JoinedMessage, data: bytes, maximum: int = 10) -> bool:
        """Add a chunk."""
        return joined.add(BytesMessage(data), maximum)

    def test_joined(self) -> None:
        joined = JoinedMessage()
        for chunk in (b"ab", b"cd", b"ef"):
            self.assertTrue(self.add(joined, chunk))
        self.assertEqual(joined.take(), b"abcdef")
        self.assertEqual(joined.take(), b"")

    def test_tooLong(self) -> None:
        """What would be too long is not added."""
        joined = JoinedMessage()
        self.assertTrue(self.add(joined, b"x" * 10))
        self.assertFalse(self.add(joined, b"x"))
        self.assertEqual(joined.take(), b"x" * 10)

    def test_readSize(self) -> None:
        """Little is read at once until a message was large, and again when one was small."""
        joined = JoinedMessage()
        self.assertEqual(joined.readSize, SMALL_READ)
        for size, expected in ((5000, LARGE_READ), (4096, SMALL_READ)):
            self.add(joined, bytes(size), 10_000)
            joined.take()
            self.assertEqual(joined.readSize, expected)
