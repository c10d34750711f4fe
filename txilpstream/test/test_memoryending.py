"""How the ends of the memory plugin disconnect, and who gives up."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from txilpstream.errors import ConnectionEnded
from txilpstream.interfaces import NotSent
from txilpstream.plugins.memory import memoryPair
from txilpstream.test.test_memory import MemoryTestCase


class EndingTests(MemoryTestCase):
    """Disconnecting, and giving up."""

    def test_notConnected(self) -> None:
        left, _ = memoryPair(self.clock)
        self.assertFalse(left.isConnected())
        self.failureResultOf(left.sendData(b"a"), NotSent)
        self.assertClean()

    def test_queued(self) -> None:
        """What still waits in the queue was certainly not sent."""
        waiting = self.left.sendData(b"a")
        done = self.left.disconnect()
        self.assertFalse(self.left.isConnected())
        self.assertNoResult(waiting)
        self.clock.advance(0)
        self.failureResultOf(waiting, NotSent)
        self.successResultOf(done)
        self.assertEqual(self.asked, [])
        self.assertClean()

    def test_delivered(self) -> None:
        """Of what was delivered nobody knows; an answer that comes after all is for nobody."""
        answers = self.answerLater()
        waiting = self.left.sendData(b"a")
        self.clock.advance(0)
        self.left.disconnect()
        self.clock.advance(0)
        self.failureResultOf(waiting, ConnectionEnded)
        answers[0].callback(b"too late")
        self.assertClean()

    def test_peerDisconnects(self) -> None:
        answers = self.answerLater()
        waiting = self.left.sendData(b"a")
        self.clock.advance(0)
        self.right.disconnect()
        self.clock.advance(0)
        self.assertIn("peer", str(self.failureResultOf(waiting, ConnectionEnded).value))
        self.assertTrue(self.left.isConnected())
        answers[0].callback(b"too late")

    def test_answeredWhileDisconnecting(self) -> None:
        answers = self.answerLater()
        waiting = self.left.sendData(b"a")
        self.clock.advance(0)
        self.left.disconnect()
        answers[0].callback(b"just in time")
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(waiting), b"just in time")

    def test_withinBatch(self) -> None:
        """
        A reply's callback disconnects: the other answers of the batch still come, and what was
        sent since does not leave.
        """
        later: list[Deferred[bytes]] = []

        def end(_: bytes) -> Deferred[None]:
            later.append(self.left.sendData(b"c"))
            return self.left.disconnect()

        first = self.left.sendData(b"a").addCallback(end)
        second = self.left.sendData(b"b")
        self.clock.advance(0)
        self.clock.advance(0)
        self.successResultOf(first)
        self.assertEqual(self.successResultOf(second), b"B")
        self.failureResultOf(later[0], NotSent)
        self.assertEqual(self.asked, [b"a", b"b"])

    def test_handlerEndsBatch(self) -> None:
        """The sender disconnects while a batch is delivered: the rest of it does not leave."""

        def answer(data: bytes) -> bytes:
            self.asked.append(data)
            self.left.disconnect()
            return b"A"

        self.right.deregisterDataHandler()
        self.right.registerDataHandler(answer)
        first, second = self.left.sendData(b"a"), self.left.sendData(b"b")
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(first), b"A")
        self.failureResultOf(second, NotSent)
        self.assertEqual(self.asked, [b"a"])

    def test_handlerDisconnects(self) -> None:
        """The sender disconnects while its Prepare is in the handler's hands."""
        answers: list[Deferred[bytes]] = [Deferred()]

        def answer(data: bytes) -> Deferred[bytes]:
            self.left.disconnect()
            return answers[0]

        self.right.deregisterDataHandler()
        self.right.registerDataHandler(answer)
        waiting = self.left.sendData(b"a")
        self.clock.advance(0)
        self.failureResultOf(waiting, ConnectionEnded)

    def test_again(self) -> None:
        self.left.disconnect()
        self.clock.advance(0)
        self.left.connect()
        self.assertEqual(self.ask(), b"A")

    def test_cancelQueued(self) -> None:
        """Cancelling gives up waiting and takes nothing back."""
        waiting = self.left.sendData(b"a")
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.clock.advance(0)
        self.assertEqual(self.asked, [b"a"])

    def test_cancelQueuedThenDisconnect(self) -> None:
        waiting = self.left.sendData(b"a")
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.successResultOf(self.advanced(self.left.disconnect()))

    def advanced(self, done: Deferred[None]) -> Deferred[None]:
        """Let a turn pass."""
        self.clock.advance(0)
        return done

    def test_cancelBeforeLaterAnswer(self) -> None:
        answers = self.answerLater()
        waiting = self.left.sendData(b"a")
        waiting.cancel()
        self.clock.advance(0)
        answers[0].callback(b"for nobody")
        self.failureResultOf(waiting, CancelledError)

    def test_cancelDelivered(self) -> None:
        answers = self.answerLater()
        waiting = self.left.sendData(b"a")
        self.clock.advance(0)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        answers[0].callback(b"for nobody")
        self.left.disconnect()
        self.clock.advance(0)

    def test_cancelDisconnect(self) -> None:
        done = self.left.disconnect()
        done.cancel()
        self.clock.advance(0)
        self.failureResultOf(done, CancelledError)
