"""Tests of C{txilpstream.session.retry}: when a sender tries again, and when it gives up."""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.errors import RejectSeen
from txilpstream.session import retry
from txilpstream.session.retry import RetryPolicy
from txilpstream.test.support.strategies import forAll, rejects
from txilpstream.wire.ilp import Reject


class FinalTests(SynchronousTestCase):
    """Codes that end a payment."""

    def test_secondEpisode(self) -> None:
        for code in ["F00", "F01", "F02", "F03", "F06", "F07", "F42"]:
            retryPolicy = RetryPolicy()
            self.assertIs(retryPolicy.countReject(code, sentAt=10.0, now=11.0), False)
            self.assertEqual(retryPolicy.waitUntil, 11.0 + retry.EPISODE)
            self.assertIs(retryPolicy.countReject(code, sentAt=12.0, now=12.1), True)

    def test_inFlightTogether(self) -> None:
        """Packets that left before the first reject, or just after it, are no second try."""
        retryPolicy = RetryPolicy()
        for sentAt in (9.0, 10.0, 11.0, 11.9):
            self.assertIs(retryPolicy.countReject("F02", sentAt=sentAt, now=11.0), False)
        self.assertEqual(retryPolicy.waitUntil, 11.0 + retry.EPISODE)

    def test_timeouts(self) -> None:
        """R00 and R02 count together, and apart from final codes."""
        retryPolicy = RetryPolicy()
        final = [
            retryPolicy.countReject("R02" if i % 2 else "R00", sentAt=2.0 * i, now=2.0 * i)
            for i in range(retry.FINAL_AFTER_R)
        ]
        self.assertEqual(final, [False] * 9 + [True])
        self.assertIs(retryPolicy.countReject("F00", sentAt=50.0, now=50.0), False)

    def test_fulfilled(self) -> None:
        retryPolicy = RetryPolicy()
        retryPolicy.fulfilled()
        retryPolicy.countReject("F00", sentAt=0.0, now=0.0)
        retryPolicy.fulfilled()
        self.assertEqual(retryPolicy.waitUntil, 0.0)
        self.assertIs(retryPolicy.countReject("F00", sentAt=5.0, now=5.0), False)

    def test_longerWaitStays(self) -> None:
        retryPolicy = RetryPolicy()
        for _ in range(8):
            retryPolicy.sleep(retryPolicy.waitUntil, 0.0)
        until = retryPolicy.waitUntil
        retryPolicy.countReject("F00", sentAt=until - 9.0, now=until - 9.0)
        self.assertEqual(retryPolicy.waitUntil, until)

    def test_reconnected(self) -> None:
        """F02 after a reconnect says that routes are not told yet; others say what they say."""
        retryPolicy = RetryPolicy()
        retryPolicy.reconnected(100.0)
        for sentAt in (100.0, 102.0, 104.0, 109.9):
            self.assertIs(retryPolicy.countReject("F02", sentAt=sentAt, now=sentAt), False)
            self.assertGreater(retryPolicy.waitUntil, sentAt)
        self.assertIs(retryPolicy.countReject("F00", sentAt=109.9, now=109.9), False)
        self.assertIs(retryPolicy.countReject("F02", sentAt=111.0, now=111.0), True)


class SleepTests(SynchronousTestCase):
    """Rounds in which nothing came through."""

    def test_doubles(self) -> None:
        retryPolicy = RetryPolicy()
        slept = []
        now = 1000.0
        for _ in range(9):
            retryPolicy.sleep(now, 0.0)
            slept.append(round(retryPolicy.waitUntil - now, 3))
            now = retryPolicy.waitUntil
        self.assertEqual(slept, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])
        retryPolicy.fulfilled()
        retryPolicy.sleep(now, 0.0)
        self.assertAlmostEqual(retryPolicy.waitUntil - now, retry.FIRST_SLEEP)

    def test_jitter(self) -> None:
        retryPolicy = RetryPolicy()
        retryPolicy.sleep(0.0, 1.0)
        self.assertAlmostEqual(retryPolicy.waitUntil, 1.5 * retry.FIRST_SLEEP)

    def test_alreadyAsleep(self) -> None:
        retryPolicy = RetryPolicy()
        retryPolicy.sleep(0.0, 0.0)
        retryPolicy.sleep(0.05, 0.0)
        self.assertEqual(retryPolicy.waitUntil, retry.FIRST_SLEEP)


class RememberTests(SynchronousTestCase):
    """What the error tells."""

    def test_counts(self) -> None:
        retryPolicy = RetryPolicy()
        self.assertEqual(retryPolicy.rejects, ())
        retryPolicy.remember(Reject("T04", "test.b", "poor"), 5)
        retryPolicy.remember(Reject("X42"), 6)
        retryPolicy.remember(Reject("T04", "test.b", "poor", b"data"), 7)
        self.assertEqual(
            retryPolicy.rejects,
            (
                RejectSeen("T04", "Insufficient Liquidity", "test.b", "poor", 7, 2),
                RejectSeen("X42", "", "", "", 6, 1),
            ),
        )

    def test_manyMessages(self) -> None:
        """Beyond a number of kinds, those of one code are one kind."""
        retryPolicy = RetryPolicy()
        for i in range(retry.MOST_KINDS + 10):
            retryPolicy.remember(Reject("T00", "test.b", str(i)), i)
        self.assertEqual(len(retryPolicy.rejects), retry.MOST_KINDS + 1)
        self.assertEqual(
            retryPolicy.rejects[-1],
            RejectSeen("T00", "Internal Error", "", "", retry.MOST_KINDS + 9, 10),
        )
        retryPolicy.remember(Reject("T00", "test.b", "0"), 1)
        self.assertEqual(retryPolicy.rejects[0].count, 2)

    def test_manyCodes(self) -> None:
        """A node that makes up codes does not fill the memory."""
        retryPolicy = RetryPolicy()
        for i in range(500):
            retryPolicy.remember(Reject(f"{i:03}"), 1)
        self.assertEqual(len(retryPolicy.rejects), 2 * retry.MOST_KINDS)

    def test_longMessage(self) -> None:
        retryPolicy = RetryPolicy()
        retryPolicy.remember(Reject("T00", "", "x" * 30000), 1)
        self.assertEqual(retryPolicy.rejects[0].message, "x" * 200)

    @forAll(st.lists(rejects, max_size=60))
    def test_anything(self, seen: list[Reject]) -> None:
        retryPolicy = RetryPolicy()
        for reject in seen:
            retryPolicy.remember(reject, 1)
        self.assertEqual(sum(kind.count for kind in retryPolicy.rejects), len(seen))
