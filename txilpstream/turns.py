"""
How the connections of one account share its plugin: each in its turn, none while it is full.

This file knows that connections send and that a plugin pauses; it knows nothing of packets.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

__all__ = ["Turns"]

_log = Logger()


class _Sends(Protocol):
    """A connection, as its account sees it."""

    def turn(self) -> None:
        """Send what may be sent now."""

    def reconnected(self) -> None:
        """The plugin lost its peer and has found it again."""

    def abort(self, message: str) -> None:
        """End now."""


@implementer(IPushProducer)
class Turns:
    """
    Gives connections their turns.

    @ivar reactor: where its time comes from.
    @ivar plugin: what carries its packets.
    @ivar connections: those that are not over.
    @ivar isPaused: whether the plugin's way out is full.
    """

    def __init__(self, reactor: IReactorTime, plugin: Any) -> None:
        self.reactor = reactor
        self.plugin = plugin
        self.isPaused = False
        self.connections: set[_Sends] = set()
        self._waiting: dict[_Sends, None] = {}
        self._stopped: dict[_Sends, None] = {}
        self._isScheduled = False
        self._isLost = False

    def forget(self, connection: _Sends) -> None:
        """A connection is over."""
        self.connections.discard(connection)
        self._stopped.pop(connection, None)

    def wake(self, sender: _Sends) -> None:
        """Give a connection a turn soon."""
        self._waiting[sender] = None
        if not self._isScheduled:
            self._isScheduled = True
            self.reactor.callLater(0, self._turn)

    def _turn(self) -> None:
        self._isScheduled = False
        waiting, self._waiting = self._waiting, {}
        for sender in waiting:
            try:
                sender.turn()
            except Exception:
                _log.failure("a connection failed in its turn; others go on")

    def pauseProducing(self) -> None:
        """The plugin's way out is full, or lost: connections collect, and send no more."""
        self.isPaused = True
        self._isLost = not self.plugin.isConnected()

    def resumeProducing(self) -> None:
        """The plugin takes packets again."""
        self.isPaused = False
        if self._isLost:
            self._isLost = False
            for connection in list(self.connections):
                connection.reconnected()
        for sender in self._stopped:
            self.wake(sender)
        self._stopped.clear()

    def stopProducing(self) -> None:
        """The plugin is gone."""
        self.isPaused = True

    def waitForPlugin(self, sender: _Sends) -> None:
        """A connection has more to send once the plugin takes it."""
        self._stopped[sender] = None
