"""
When a sender tries again, and when it gives up.

A code is final, or it is not; several packets in flight at once that are answered alike are one
episode, not many. What was met is counted, for the error that may have to be told.
"""

from __future__ import annotations

from typing import Final

from txilpstream.errors import RejectSeen
from txilpstream.wire.ilp import ERROR_NAMES, Reject

__all__ = ["RetryPolicy"]

EPISODE: Final = 1.0
"""Seconds: a packet sent earlier after the last reject belongs to the same episode."""

FINAL_AFTER_F: Final = 2
"""Episodes of a final code: one may be a routing change."""

FINAL_AFTER_R: Final = 10
"""Episodes of R00 or R02: a time-out is not the end of a payment."""

RECONNECT_GRACE: Final = 10.0
"""Seconds after a reconnect in which F02 says nothing: routes are being told."""

FIRST_SLEEP: Final = 0.1
"""Seconds of the first sleep after a round without any fulfill; each doubles, up to the longest."""

LONGEST_SLEEP: Final = 10.0

MOST_KINDS: Final = 32
"""
Kinds of reject that are remembered: nodes write their messages as they like. As many codes are
counted beyond them, without their messages: there are fewer, unless a node makes them up.
"""

_MOST_TEXT: Final = 200
"""Characters of a message that are remembered."""


class RetryPolicy:
    """
    What a sender has met since the last fulfill.

    @ivar waitUntil: nothing leaves before this moment.
    """

    __slots__ = ("_episodes", "_lastAt", "_reconnectedAt", "_seen", "_sleep", "waitUntil")

    def __init__(self) -> None:
        self.waitUntil = 0.0
        self._sleep = FIRST_SLEEP
        self._episodes: dict[str, int] = {}
        self._lastAt: dict[str, float] = {}
        self._reconnectedAt: float | None = None
        self._seen: dict[tuple[str, str, str], RejectSeen] | None = None

    def reconnected(self, now: float) -> None:
        """The plugin lost its peer and has found it again."""
        self._reconnectedAt = now

    def fulfilled(self) -> None:
        """A packet was fulfilled: whatever was met before counts no more."""
        if self._episodes or self.waitUntil or self._sleep != FIRST_SLEEP:
            self._episodes.clear()
            self._lastAt.clear()
            self._sleep = FIRST_SLEEP
            self.waitUntil = 0.0

    def remember(self, reject: Reject, sourceAmount: int) -> None:
        """Count a reject for the error text."""
        if self._seen is None:
            self._seen = {}
        message = reject.message[:_MOST_TEXT]
        key = (reject.code, reject.triggeredBy, message)
        old = self._seen.get(key)
        if old is None and len(self._seen) >= MOST_KINDS:
            key = (reject.code, "", "")
            old = self._seen.get(key)
            if old is None and len(self._seen) >= 2 * MOST_KINDS:
                return
        self._seen[key] = RejectSeen(
            reject.code,
            ERROR_NAMES.get(reject.code, ""),
            key[1],
            key[2],
            sourceAmount,
            1 if old is None else old.count + 1,
        )

    @property
    def rejects(self) -> tuple[RejectSeen, ...]:
        """Every kind of reject met on this connection, in the order of the first of each."""
        return () if self._seen is None else tuple(self._seen.values())

    def countReject(self, code: str, *, sentAt: float, now: float) -> bool:
        """
        Count a reject that is not temporary.

        @param sentAt: when the packet left that was answered so.
        @return: whether this was the last try; else nothing leaves for one episode.
        """
        reconnectedAt = self._reconnectedAt
        if code == "F02" and reconnectedAt is not None and now - reconnectedAt < RECONNECT_GRACE:
            self.sleep(now, EPISODE)
            return False
        kind = "R" if code[0] == "R" else "F"
        last = self._lastAt.get(kind)
        if last is None or sentAt >= last + EPISODE:
            self._episodes[kind] = self._episodes.get(kind, 0) + 1
            self._lastAt[kind] = now
            self.waitUntil = max(self.waitUntil, now + EPISODE)
        return self._episodes[kind] >= (FINAL_AFTER_R if kind == "R" else FINAL_AFTER_F)

    def sleep(self, now: float, jitter: float) -> None:
        """
        Nothing came through in a whole round: wait, twice as long each time.

        @param jitter: from 0 to 1; adds up to a half.
        """
        if now >= self.waitUntil:
            self.waitUntil = now + self._sleep * (1 + jitter / 2)
            self._sleep = min(LONGEST_SLEEP, 2 * self._sleep)
