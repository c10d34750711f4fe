"""
Which answer belongs to which request, over a link that has many of them under way.

This module knows request ids and the time, and nothing of what is asked or how it travels.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from txilpstream.errors import ConnectionEnded

__all__ = ["Correlation"]

SHORTEST_SWEEP: Final = 1.0
"""Seconds between two looks for requests whose time is over: they end up to so much late."""

_T = TypeVar("_T")


class _Request(Deferred[_T]):
    """One that waits; it is its own record, since there is one for each packet."""

    requestId = 0
    deadline = 0.0


class Correlation(Generic[_T]):
    """
    Requests by id, each a Deferred with a deadline.

    Ids follow upon each other from a random one, and none is given out while a
    request with it waits. All deadlines are equally far away, so the oldest request is the first
    to end, and one timer serves all.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        timeLimit: float,
        firstId: int,
        message: str,
        *,
        idBits: int = 32,
    ) -> None:
        """
        @param timeLimit: seconds that a request waits for its answer.
        @param firstId: random, so that a late answer to an earlier connection meets nobody.
        @param idBits: of an id; there must be far more ids than requests.
        @param message: of the L{ConnectionEnded} with which a request fails whose time is over.
        """
        self._reactor = reactor
        self._timeLimit = timeLimit
        self._mask = (1 << idBits) - 1
        self._nextId = firstId & self._mask
        self._message = message
        self._waiting: dict[int, _Request[_T]] = {}
        self._call: IDelayedCall | None = None

    def __len__(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    def begin(self) -> tuple[int, Deferred[_T]]:
        """
        Begin a request.

        @return: its id, and a Deferred that fires with its answer. It fails with
            L{ConnectionEnded} when its time is over; cancelling it gives up waiting.
        """
        waiting = self._waiting
        requestId = self._nextId
        while requestId in waiting:
            requestId = (requestId + 1) & self._mask
        self._nextId = (requestId + 1) & self._mask
        request: _Request[_T] = _Request(self._giveUp)
        request.requestId = requestId
        request.deadline = self._reactor.seconds() + self._timeLimit
        waiting[requestId] = request
        if self._call is None:
            self._call = self._reactor.callLater(self._timeLimit, self._sweep)
        return requestId, request

    def end(self, requestId: int) -> Deferred[_T] | None:
        """
        Take out the request that an answer came for.

        @return: its Deferred, for the caller to fire; None if nobody waits.
        """
        return self._waiting.pop(requestId, None)

    def failAll(self, error: Exception) -> None:
        """Fail all that wait now, oldest first, and leave no call behind in the reactor."""
        waiting, self._waiting = self._waiting, {}
        if self._call is not None:
            self._call.cancel()
            self._call = None
        for request in waiting.values():
            if not request.called:
                request.errback(error)

    def _giveUp(self, request: Deferred[_T]) -> None:
        assert isinstance(request, _Request)
        if self._waiting.get(request.requestId) is request:
            del self._waiting[request.requestId]

    def _sweep(self) -> None:
        """Fail the requests whose time is over, and look again when the next one's is."""
        self._call = None
        now = self._reactor.seconds()
        late: list[_Request[_T]] = []
        for request in self._waiting.values():
            if request.deadline > now:
                delay = max(SHORTEST_SWEEP, request.deadline - now)
                self._call = self._reactor.callLater(delay, self._sweep)
                break
            late.append(request)
        for request in late:
            del self._waiting[request.requestId]
        for request in late:
            if not request.called:
                request.errback(ConnectionEnded(self._message))
