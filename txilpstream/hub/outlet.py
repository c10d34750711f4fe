"""
One way out of a hub: a plugin towards an account, and what waits while it is full.

A packet that waits here has not left: if the plugin is lost, or its time is over, it was not sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from txilpstream.interfaces import AnyPlugin, NotSent, checkPlugin

if TYPE_CHECKING:
    from txilpstream.interfaces import DataHandler

__all__ = ["MOST_WAITING", "Full", "Outlet"]

MOST_WAITING: Final = 1 << 22
"""Bytes of packets that wait for a full plugin; what comes then is refused."""


class Full(Exception):
    """Too much waits already."""


class _Waiting:
    """
    A packet that waits for room.

    @ivar answered: fires with its answer.
    """

    __slots__ = ("_sent", "answered", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._sent: Deferred[bytes] | None = None
        self.answered: Deferred[bytes] = Deferred(self._giveUp)

    def _giveUp(self, _: Deferred[bytes]) -> None:
        if self._sent is not None:
            self._sent.cancel()
        else:
            self.fail("the packet's time was over before there was room for it")

    def send(self, plugin: AnyPlugin) -> None:
        """There is room now."""
        self._sent = plugin.sendData(self.data)
        self._sent.addBoth(self._done)

    def _done(self, outcome: bytes | Failure) -> None:
        if not self.answered.called:
            self.answered.callback(outcome)

    def fail(self, message: str) -> None:
        """It never left."""
        if not self.answered.called:
            self.answered.errback(NotSent(message))


@implementer(IPushProducer)
class Outlet:
    """
    A plugin as the hub uses it.

    @ivar plugin: an L{IPlugin <txilpstream.interfaces.IPlugin>}.
    @ivar isPaused: whether the plugin's way out is full, or lost.
    """

    __slots__ = ("_size", "_waiting", "isPaused", "plugin")

    def __init__(self, plugin: AnyPlugin, handler: DataHandler) -> None:
        """
        @param handler: answers the Prepares that come from there.
        @raise LocalError: if the plugin is none, or has a handler or a producer already.
        """
        self.plugin = checkPlugin(plugin)
        self.isPaused = False
        self._waiting: dict[_Waiting, None] = {}
        self._size = 0
        plugin.registerDataHandler(handler)
        plugin.registerProducer(self, True)

    @property
    def isConnected(self) -> bool:
        """Whether the plugin can send."""
        return self.plugin.isConnected()

    def send(self, data: bytes) -> Deferred[bytes]:
        """
        Send a Prepare, now or when there is room.

        @return: as of C{sendData}; fails with L{Full} if too much waits.
        """
        if not self.isPaused:
            return self.plugin.sendData(data)
        if not self.isConnected:
            return fail(NotSent("the account is not connected"))
        if self._size + len(data) > MOST_WAITING:
            return fail(Full())
        waiting = _Waiting(data)
        self._waiting[waiting] = None
        self._size += len(data)
        return waiting.answered

    def pauseProducing(self) -> None:
        """The plugin's way out is full, or lost: what waits then has nowhere to go."""
        self.isPaused = True
        if not self.isConnected:
            self._dropAll()

    def resumeProducing(self) -> None:
        """The plugin takes packets again."""
        self.isPaused = False
        while self._waiting and not self.isPaused:
            waiting = next(iter(self._waiting))
            del self._waiting[waiting]
            self._size -= len(waiting.data)
            if not waiting.answered.called:
                waiting.send(self.plugin)

    def stopProducing(self) -> None:
        """The plugin is gone."""
        self.pauseProducing()

    def _dropAll(self) -> None:
        dropped, self._waiting = self._waiting, {}
        self._size = 0
        for waiting in dropped:
            waiting.fail("the account was lost before the packet left")

    def close(self) -> None:
        """Give the plugin's slots back."""
        self.plugin.deregisterDataHandler()
        self.plugin.unregisterProducer()
        self._dropAll()
