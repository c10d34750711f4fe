"""Which answer belongs to which request."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.errors import ConnectionEnded
from txilpstream.plugins.correlation import Correlation


class CorrelationTests(SynchronousTestCase):
    """Ids, deadlines and the one timer."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.requests: Correlation[bytes] = Correlation(self.clock, 35.0, 41, "no answer")

    def end(self, requestId: int, answer: bytes) -> None:
        """Answer a request."""
        waiting = self.requests.end(requestId)
        assert waiting is not None
        waiting.callback(answer)

    def test_answered(self) -> None:
        """Answers come in any order."""
        (first, one), (second, two) = self.requests.begin(), self.requests.begin()
        self.assertEqual((first, second, len(self.requests)), (41, 42, 2))
        self.end(second, b"b")
        self.end(first, b"a")
        self.assertEqual(self.successResultOf(one), b"a")
        self.assertEqual(self.successResultOf(two), b"b")
        self.assertEqual(len(self.requests), 0)

    def test_answeredOnce(self) -> None:
        requestId, _ = self.requests.begin()
        self.assertIsNotNone(self.requests.end(requestId))
        self.assertIsNone(self.requests.end(requestId))
        self.assertIsNone(self.requests.end(99))

    def test_wraps(self) -> None:
        """Ids have 32 bits, and one in use is passed over."""
        requests: Correlation[bytes] = Correlation(self.clock, 35.0, 2**40 + 2**32 - 1, "")
        ids = [requests.begin()[0] for _ in range(2)]
        self.assertEqual(ids, [2**32 - 1, 0])

    def test_inUse(self) -> None:
        """The id of a request that waits is passed over."""
        requests: Correlation[bytes] = Correlation(self.clock, 35.0, 0, "", idBits=2)
        ids = [requests.begin()[0] for _ in range(4)]
        self.assertEqual(ids, [0, 1, 2, 3])
        requests.end(2)
        self.assertEqual(requests.begin()[0], 2)

    def test_tooLate(self) -> None:
        """One timer ends each request at its own deadline, a second late at most."""
        _, first = self.requests.begin()
        self.clock.advance(0.5)
        second, two = self.requests.begin()
        self.clock.advance(10)
        third, three = self.requests.begin()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(24.5)
        self.assertIn("no answer", str(self.failureResultOf(first, ConnectionEnded).value))
        self.assertNoResult(two)
        self.clock.advance(1)
        self.failureResultOf(two, ConnectionEnded)
        self.assertIsNone(self.requests.end(second))
        self.assertNoResult(three)
        self.end(third, b"c")
        self.assertEqual(self.successResultOf(three), b"c")
        self.clock.advance(35)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled(self) -> None:
        requestId, waiting = self.requests.begin()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertIsNone(self.requests.end(requestId))

    def test_failAll(self) -> None:
        """All fail in their order, and nothing is left with the reactor."""
        failed: list[int] = []

        def note(failure: Failure, index: int) -> None:
            failed.append(index)

        for index in range(3):
            self.requests.begin()[1].addErrback(note, index)
        self.requests.failAll(ConnectionEnded("lost"))
        self.assertEqual(failed, [0, 1, 2])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.requests.failAll(ConnectionEnded("lost"))

    def test_begunWhileFailing(self) -> None:
        """What a callback begins or cancels meanwhile is not disturbed."""
        _, first = self.requests.begin()
        _, second = self.requests.begin()
        begun: list[Deferred[bytes]] = []

        def ebFirst(failure: Failure) -> None:
            begun.append(self.requests.begin()[1])
            second.cancel()

        first.addErrback(ebFirst)
        self.requests.failAll(ConnectionEnded("lost"))
        self.failureResultOf(second, CancelledError)
        self.assertNoResult(begun[0])
        self.assertEqual(len(self.requests), 1)

    def test_cancelledWhileSweeping(self) -> None:
        _, first = self.requests.begin()
        _, second = self.requests.begin()
        first.addErrback(lambda _: second.cancel())
        self.clock.advance(35)
        self.failureResultOf(second, CancelledError)
