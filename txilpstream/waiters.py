"""
Waiting: Deferreds of those who wait for something that happens once, or ends, and a call that is
delayed.

Whoever is told may ask again at once, and may cancel others: what is fired is what waited when it
began, and each is called at most once.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

__all__ = ["SHORTEST_WAIT", "Timer", "Waiters", "atMost"]

T = TypeVar("T")


class Waiters(Generic[T]):
    """
    Those who wait for one event.

    It is false while nobody waits.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[Deferred[T], None] | None = None

    def __len__(self) -> int:
        return len(self._waiting) if self._waiting else 0

    def add(self) -> Deferred[T]:
        """
        Wait.

        @return: a Deferred; who cancels it waits no more, and nobody else notices.
        """
        deferred: Deferred[T] = Deferred(self._forget)
        if self._waiting is None:
            self._waiting = {}
        self._waiting[deferred] = None
        return deferred

    def fire(self, value: T) -> None:
        """It has happened: call back all who wait, in the order in which they began to."""
        for deferred in self._take():
            # One of those before may have cancelled it.
            if not deferred.called:
                deferred.callback(value)

    def fail(self, reason: Failure | Exception) -> None:
        """It will not happen: tell all who wait."""
        for deferred in self._take():
            if not deferred.called:
                deferred.errback(reason)

    def _take(self) -> list[Deferred[T]]:
        waiting, self._waiting = self._waiting, None
        return list(waiting or ())

    def _forget(self, deferred: Deferred[T]) -> None:
        if self._waiting is not None:
            self._waiting.pop(deferred, None)


def atMost(seconds: float, wait: Deferred[Any], reactor: IReactorTime) -> Deferred[Any]:
    """Wait for a Deferred, whatever its outcome; it is cancelled when time is up."""
    wait.addTimeout(seconds, reactor)
    return DeferredList([wait], consumeErrors=True)


SHORTEST_WAIT: Final = 0.0005
"""Seconds: a timer that is due at once would starve the reactor if nothing came of it."""


class Timer:
    """
    A delayed call whose moment may be moved.

    @ivar isSet: whether it will call.
    """

    __slots__ = ("_call", "_function", "_moment", "_reactor")

    def __init__(self, reactor: IReactorTime, function: Callable[[], object]) -> None:
        self._reactor = reactor
        self._function = function
        self._call: IDelayedCall | None = None
        self._moment = 0.0

    @property
    def isSet(self) -> bool:
        return self._call is not None

    def set(self, delay: float) -> None:
        """Call so many seconds from now, and not when it was said before."""
        self.stop()
        self._moment = inf
        self._call = self._reactor.callLater(delay, self._fire)

    def moveTo(self, moment: float | None, clock: Callable[[], float]) -> None:
        """
        Call at this moment or, if that was said since it last did, an earlier one; None for never.

        @param clock: tells the time that the moments are of.
        """
        if moment is None:
            self.stop()
        elif self._call is None or moment < self._moment:
            self.set(max(SHORTEST_WAIT, moment - clock()))
            self._moment = moment

    def stop(self) -> None:
        """Do not call."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _fire(self) -> None:
        self._call = None
        self._function()
