"""
What is to happen on a path and when, on one delayed call of the reactor.

What is due at one moment is done in the order in which it was added: a run can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall

from txilpstream.interfaces import AnyReactor

__all__ = ["TOGETHER", "Schedule"]

TOGETHER: Final = 50e-6
"""
Seconds: what is due so soon is done in the same run.

It saves delayed calls, and it is far more than what the rounding of a float makes of a time.
"""


class Schedule:
    """
    Functions and when to call them, in the order of their times, then as they came.

    Time within a run is the time of what is done, not of the moment when the reactor came to it:
    lateness does not add up, and a C{Clock} may be advanced in large steps.

    @ivar now: in the reactor's seconds, the time of what is being done, or was done or planned
        last; it never goes back.
    """

    def __init__(self, reactor: AnyReactor) -> None:
        self.now = reactor.seconds()
        self._reactor = reactor
        self._entries: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._count = 0
        self._isRunning = False
        self._call: IDelayedCall | None = None
        self._callAt = 0.0

    def add(self, seconds: float, function: Callable[[Any], None], argument: object) -> None:
        """
        Call a function later, never before this returns.

        @param seconds: from now, 0 or more.
        """
        if not self._isRunning:
            self.now = max(self.now, self._reactor.seconds())
        self._put(self.now + seconds, function, argument)

    def addNext(self, function: Callable[[Any], None], argument: object) -> None:
        """Call a function in the next turn; unlike the other it is called from outside."""
        self._put(self._reactor.seconds(), function, argument)

    def _put(self, due: float, function: Callable[[Any], None], argument: object) -> None:
        self._count += 1
        heappush(self._entries, (due, self._count, function, argument))
        if not self._isRunning and (self._call is None or due < self._callAt - TOGETHER):
            self._arm()

    def clear(self) -> None:
        """Forget everything; nothing is left with the reactor."""
        self._entries.clear()
        self._disarm()

    def _disarm(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _arm(self) -> None:
        self._disarm()
        if self._entries:
            self._callAt = self._entries[0][0]
            seconds = self._callAt - self._reactor.seconds()
            self._call = self._reactor.callLater(max(0.0, seconds), self._run)

    def _run(self) -> None:
        """Do what is due; what is added meanwhile waits for the next turn of the reactor."""
        self._call = None
        self._isRunning = True
        limit = self._reactor.seconds() + TOGETHER
        last = self._count
        entries = self._entries
        try:
            while entries and entries[0][0] <= limit and entries[0][1] <= last:
                due, _, function, argument = heappop(entries)
                if due > self.now:
                    self.now = due
                function(argument)
        finally:
            self._isRunning = False
            self._arm()
