"""
A simulated Interledger path and its two ends.

This module joins ends, hops and time; how packets move is in C{way}.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from zope.interface import implementer

from txilpstream.errors import ConnectionEnded, LocalError
from txilpstream.interfaces import IPlugin, NotSent
from txilpstream.plugins.base import PluginBase
from txilpstream.testing.hop import Hop, Side, Transit
from txilpstream.testing.ledger import Ledger
from txilpstream.testing.schedule import Agenda
from txilpstream.testing.way import ADDRESS, Way
from txilpstream.wire.ildcp import AccountDetails, encodeResponse
from txilpstream.wire.ilp import Reject

__all__ = ["LEFT", "RIGHT", "PathEnd", "SimulatedPath"]

LEFT: Final = AccountDetails("test.path.left", 9, "USD")
"""Who the left end is, if not told."""

RIGHT: Final = AccountDetails("test.path.right", 9, "USD")
"""Who the right end is, if not told."""


@implementer(IPlugin)
class PathEnd(PluginBase):
    """
    One end of a L{SimulatedPath}, as a plugin.

    It takes whatever it is given, so it never pauses its producer: the hops are what limits.

    @ivar side: which end it is.
    @ivar details: its address and asset.
    @ivar configuration: the answer to its IL-DCP requests, in bytes.
    @ivar session: how often it has been disconnected.
    """

    def __init__(self, path: SimulatedPath, side: Side, details: AccountDetails) -> None:
        super().__init__(details.address)
        self.side: Side = side
        self.details = details
        self.configuration = encodeResponse(details)
        self.session = 0
        self._path = path
        self._isConnected = False
        self._waiting: dict[Deferred[bytes], Transit] = {}

    def connect(self) -> Deferred[None]:
        """Make this end ready; the other need not be."""
        self._isConnected = True
        return succeed(None)

    def disconnect(self) -> Deferred[None]:
        """
        Give this end up; packets that wait for an answer fail, in a later turn of the reactor.

        Those that have not entered the path fail with L{NotSent}, others with L{ConnectionEnded},
        for they may still be taken. Once both ends are disconnected, all that is underway is
        gone, and nothing is left with the reactor.
        """
        self._isConnected = False
        self.session += 1
        waiting, self._waiting = self._waiting, {}
        for packet in waiting.values():
            packet.isAnswered = packet.isAnswered or not packet.hasLeft
        done: Deferred[None] = Deferred()
        self._path.reactor.callLater(0, self._finish, waiting, done)
        return done

    def isConnected(self) -> bool:
        """Whether this end is ready."""
        return self._isConnected

    def sendData(self, data: bytes) -> Deferred[bytes]:
        """Send a Prepare; it enters the path in the next turn of the reactor."""
        if not self._isConnected:
            return fail(NotSent("this end is not connected: call connect() first"))
        deferred: Deferred[bytes] = Deferred(self._giveUp)
        packet = Transit(self.side, data, deferred)
        self._waiting[deferred] = packet
        self._path.send(packet)
        return deferred

    def receivePrepare(self, data: bytes) -> bytes | Deferred[bytes]:
        """The path delivers a Prepare; T01 if this end is not connected."""
        return self.answerPrepare(data) if self._isConnected else self._unreachable

    def receiveReply(self, packet: Transit, data: bytes) -> None:
        """The path delivers the reply to a packet of this end."""
        self._waiting.pop(packet.deferred, None)
        if not packet.deferred.called:
            packet.deferred.callback(data)

    def _giveUp(self, deferred: Deferred[bytes]) -> None:
        self._waiting.pop(deferred, None)

    def _finish(self, waiting: dict[Deferred[bytes], Transit], done: Deferred[None]) -> None:
        """Fail what waited when this end was given up."""
        for deferred, packet in waiting.items():
            if not deferred.called:
                if packet.hasLeft:
                    message = "the plugin was disconnected before the answer came"
                    deferred.errback(ConnectionEnded(message))
                else:
                    message = "the plugin was disconnected before the packet left"
                    deferred.errback(NotSent(message))
        self._path.endDisconnected()
        done.callback(None)


class SimulatedPath:
    """
    Two plugins and what lies between them.

    What one end sends passes the hops in order from the left, in reverse order from the right,
    and its reply passes the same hops back. The path answers IL-DCP requests itself. Rejects bear
    the address of the hop that made them, C{test.path.hop<index>} as counted from the left.

    @ivar left: the left end.
    @ivar right: the right end.
    @ivar reactor: what time comes from.
    @ivar random: what chance comes from.
    @ivar wallClock: gives seconds since the epoch; the expiry of packets is held against it.
    @ivar startedAt: when the path was made, in the reactor's seconds.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        hops: Sequence[Hop] = (),
        *,
        seed: int = 0,
        left: AccountDetails = LEFT,
        right: AccountDetails = RIGHT,
        wallClock: Callable[[], float] | None = None,
    ) -> None:
        """
        @param hops: from left to right; each instance is for one path and one place in it.
        @param seed: of the path's chance; the same packets at the same times meet the same fate.
        @param left: what the left end learns by IL-DCP, and who it is in rejects.
        @param right: the same of the right end.
        @param wallClock: C{time.time} by default; with a C{Clock} as reactor, its seconds.
        @raise LocalError: if a hop has a place in a path already, or details are not valid.
        """
        if wallClock is None:
            wallClock = reactor.seconds if isinstance(reactor, Clock) else time.time
        self.reactor = reactor
        self.random = Random(seed)
        self.wallClock = wallClock
        self._agenda = Agenda(reactor)
        self.startedAt = self._agenda.now
        self._hops = tuple(hops)
        for index, hop in enumerate(self._hops):
            if hop.address:
                raise LocalError(
                    f"hop {index}, a {type(hop).__name__}, is {hop.address} already: "
                    "make a hop for each place"
                )
            hop.path = self
            hop.address = f"{ADDRESS}.hop{index}"
        self.left = PathEnd(self, "left", left)
        self.right = PathEnd(self, "right", right)
        there = [hop for hop in self._hops if hop.direction != "right"]
        back = [hop for hop in reversed(self._hops) if hop.direction != "left"]
        self._ways: dict[Side, Way] = {
            "left": Way(self._agenda, there, self.left, self.right),
            "right": Way(self._agenda, back, self.right, self.left),
        }

    @property
    def now(self) -> float:
        """The time, in the reactor's seconds, of what is happening on the path."""
        return self._agenda.now

    def wallTime(self) -> float:
        """The same in seconds since the epoch, by the wall clock."""
        return self.wallClock() - (self.reactor.seconds() - self._agenda.now)

    def ledger(self, side: Side) -> Ledger:
        """The books of the packets that one side sends."""
        return self._ways[side].ledger

    def taken(self, side: Side) -> int:
        """What the path took from one side, in the units of that side; see L{Ledger.taken}."""
        return self._ways[side].ledger.taken

    def given(self, side: Side) -> int:
        """What the path gave to one side, in the units of that side; see L{Ledger.given}."""
        return self._ways["right" if side == "left" else "left"].ledger.given

    def schedule(self, seconds: float, function: Callable[[Any], None], argument: object) -> None:
        """
        Call a function of a hop later.

        There is no way to cancel it; it is forgotten when both ends disconnect.
        """
        self._agenda.schedule(seconds, function, argument)

    def send(self, packet: Transit) -> None:
        """Let a packet enter the path in the next turn of the reactor."""
        self._agenda.scheduleNext(self._ways[packet.side].enter, packet)

    def sendOn(self, hop: Hop, packet: Transit) -> None:
        """Let a packet go on there from a hop, such as a copy that the hop has made."""
        way = self._ways[packet.side]
        packet.position = way.hops.index(hop) + 1
        self._agenda.schedule(0.0, way.forward, packet)

    def sendBack(self, hop: Hop, packet: Transit, reject: Reject) -> None:
        """
        Let a hop reject a packet that it has let pass before.

        The hop drops the reply to the packet if one comes by later.
        """
        way = self._ways[packet.side]
        copy = packet.copy()
        copy.position = way.hops.index(hop)
        copy.reply = reject
        self._agenda.schedule(0.0, way.backward, copy)

    def endDisconnected(self) -> None:
        """Forget all that is underway if neither end is there any more."""
        if not (self.left.isConnected() or self.right.isConnected()):
            self._agenda.clear()
            for hop in self._hops:
                hop.reset()
