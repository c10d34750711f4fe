"""
A simulated Interledger path and its two ends.

Two ends are plugins; what one sends passes the hops, and its reply passes them back. What the path
took and what it gave is counted where it happens, whatever becomes of the reply afterwards.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import Logger
from zope.interface import implementer

from txilpstream.errors import ConnectionEnded, DecodeError, LocalError
from txilpstream.interfaces import AnyReactor, IPlugin, NotSent
from txilpstream.plugins.base import PluginBase
from txilpstream.testing.hop import Gone, Hop, Side, Transit
from txilpstream.testing.schedule import Schedule
from txilpstream.wire.ildcp import AccountDetails, encodeResponse, isRequest
from txilpstream.wire.ilp import (
    ERROR_NAMES,
    Fulfill,
    Reject,
    decodePrepare,
    decodeReply,
    encodeFulfill,
    encodePrepare,
    encodeReject,
)

__all__ = ["ADDRESS", "LEFT", "RIGHT", "PathCounters", "PathEnd", "SimulatedPath"]


ADDRESS: Final = "test.path"
"""Who rejects where there is no hop to do it."""

LEFT: Final = AccountDetails("test.path.left", 9, "USD")
"""Who the left end is, if not told."""

RIGHT: Final = AccountDetails("test.path.right", 9, "USD")
"""Who the right end is, if not told."""

_log = Logger()


@dataclass(slots=True)
class PathCounters:
    """
    The books of one direction. IL-DCP requests, which the path answers itself, are not in them.

    @ivar packets: Prepares that entered the path.
    @ivar delivered: Prepares that the other end's handler was given, duplicates each for itself.
    @ivar fulfilled: answers that were Fulfills with the right preimage.
    @ivar wrong: answers that were Fulfills with a wrong preimage.
    @ivar rejects: answers that were Rejects, by code.
    @ivar taken: the amounts, as the sender sent them, of packets whose Fulfill with the right
        preimage came back through all hops, counted just before the sender's Deferred fires; and
        of those whose Fulfill was lost in the hop nearest to the sender, who never hears of it.
    @ivar given: the amounts of the Prepares that the other end's handler fulfilled with the right
        preimage, in its units, counted when its reply comes; duplicates each for itself.
    """

    packets: int = 0
    delivered: int = 0
    fulfilled: int = 0
    wrong: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    taken: int = 0
    given: int = 0

    @property
    def unanswered(self) -> int:
        """Packets that are underway or have vanished."""
        return self.packets - self.fulfilled - self.wrong - self.rejects.total()


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
        reactor: AnyReactor,
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
        self._schedule = Schedule(reactor)
        self.startedAt = self._schedule.now
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
        self._flows: dict[Side, _Flow] = {
            "left": _Flow(self._schedule, there, self.left, self.right),
            "right": _Flow(self._schedule, back, self.right, self.left),
        }

    @property
    def now(self) -> float:
        """The time, in the reactor's seconds, of what is happening on the path."""
        return self._schedule.now

    def wallTime(self) -> float:
        """The same in seconds since the epoch, by the wall clock."""
        return self.wallClock() - (self.reactor.seconds() - self._schedule.now)

    def counters(self, side: Side) -> PathCounters:
        """The books of the packets that one side sends."""
        return self._flows[side].counters

    def taken(self, side: Side) -> int:
        """What the path took from one side, in its units; see L{PathCounters.taken}."""
        return self._flows[side].counters.taken

    def given(self, side: Side) -> int:
        """What the path gave to one side, in its units; see L{PathCounters.given}."""
        return self._flows["right" if side == "left" else "left"].counters.given

    def schedule(self, seconds: float, function: Callable[[Any], None], argument: object) -> None:
        """
        Call a function of a hop later.

        There is no way to cancel it; it is forgotten when both ends disconnect.
        """
        self._schedule.add(seconds, function, argument)

    def send(self, packet: Transit) -> None:
        """Let a packet enter the path in the next turn of the reactor."""
        self._schedule.addNext(self._flows[packet.side].enter, packet)

    def sendOn(self, hop: Hop, packet: Transit) -> None:
        """Let a packet go on there from a hop, such as a copy that the hop has made."""
        flow = self._flows[packet.side]
        packet.position = flow.hops.index(hop) + 1
        self._schedule.add(0.0, flow.forward, packet)

    def sendBack(self, hop: Hop, packet: Transit, reject: Reject) -> None:
        """
        Let a hop reject a packet that it has let pass before.

        The hop drops the reply to the packet if one comes by later.
        """
        flow = self._flows[packet.side]
        copy = packet.copy()
        copy.position = flow.hops.index(hop)
        copy.reply = reject
        self._schedule.add(0.0, flow.backward, copy)

    def endDisconnected(self) -> None:
        """Forget all that is underway if neither end is there any more."""
        if not (self.left.isConnected() or self.right.isConnected()):
            self._schedule.clear()
            for hop in self._hops:
                hop.reset()


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


class _Flow:
    """
    The packets of one side: through the hops to the other, and their replies back.

    @ivar hops: those that these packets pass, in the order of the way there.
    @ivar source: the end that sends.
    @ivar destination: the end that answers.
    @ivar counters: what became of them.
    """

    def __init__(
        self, schedule: Schedule, hops: Sequence[Hop], source: PathEnd, destination: PathEnd
    ) -> None:
        self.hops = tuple(hops)
        self.source = source
        self.destination = destination
        self.counters = PathCounters()
        self._schedule = schedule
        self._last = self.hops[-1] if self.hops else Hop()

    def enter(self, packet: Transit) -> None:
        """Let a packet enter the first hop."""
        if packet.isAnswered:
            return
        packet.hasLeft = True
        if isRequest(packet.data):
            self.source.receiveReply(packet, self.source.configuration)
            return
        self.counters.packets += 1
        try:
            prepare = decodePrepare(packet.data)
        except DecodeError as error:
            packet.reply = Reject("F01", ADDRESS, str(error))
            packet.condition = b""
            self._answer(packet)
            return
        packet.prepare = prepare
        packet.sourceAmount = prepare.amount
        packet.condition = prepare.executionCondition
        self.forward(packet)

    def forward(self, packet: Transit) -> None:
        """Move a packet on, as far as the hops let it."""
        hops = self.hops
        position = packet.position
        while position < len(hops):
            hop = hops[position]
            try:
                verdict = hop.receivePrepare(packet)
            except Exception:
                _log.failure("a hop failed; its Prepare is rejected with T00")
                verdict = hop.reject("T00")
            if verdict is None:
                position += 1
            elif isinstance(verdict, Reject):
                packet.position = position
                packet.reply = verdict
                self.backward(packet)
                return
            else:
                if not isinstance(verdict, Gone):
                    packet.position = position + 1
                    self._schedule.add(verdict, self.forward, packet)
                return
        packet.position = position
        self._deliver(packet)

    def backward(self, packet: Transit) -> None:
        """Move the reply to a packet back, as far as the hops let it."""
        hops = self.hops
        position = packet.position
        while position:
            position -= 1
            try:
                verdict = hops[position].receiveReply(packet)
            except Exception:
                _log.failure("a hop failed; the reply goes on as it is")
                continue
            if verdict is None:
                continue
            if not isinstance(verdict, Gone):
                packet.position = position
                self._schedule.add(verdict, self.backward, packet)
            elif verdict is Gone.LOST and position == 0:
                self._take(packet)
            return
        self._answer(packet)

    def _deliver(self, packet: Transit) -> None:
        """Give a packet to the far end's handler."""
        prepare = packet.prepare
        try:
            data = encodePrepare(
                prepare.amount,
                prepare.timestamp,
                prepare.executionCondition,
                prepare.destination,
                prepare.data,
            )
        except LocalError:
            _log.failure("hops made a Prepare that cannot be; it is rejected with T00")
            packet.reply = self._reject("T00")
            self.backward(packet)
            return
        self.counters.delivered += 1
        reply = self.destination.receivePrepare(data)
        if isinstance(reply, Deferred):
            reply.addCallback(self._cbReply, packet, self.destination.session)
        else:
            self._receive(packet, reply)
            self.backward(packet)

    def _cbReply(self, raw: bytes, packet: Transit, session: int) -> None:
        """Take a late reply; if the far end has disconnected since, it does not leave it."""
        self._receive(packet, raw)
        if self.destination.session == session:
            self._schedule.add(0.0, self.backward, packet)

    def _receive(self, packet: Transit, raw: bytes) -> None:
        """Take the far end's reply."""
        try:
            reply = decodeReply(raw)
        except DecodeError:
            _log.failure("a data handler's answer is no reply; its Prepare is rejected with T00")
            reply = self._reject("T00")
            raw = encodeReject(reply.code, reply.triggeredBy, reply.message)
        if (
            isinstance(reply, Fulfill)
            and sha256(reply.fulfillment).digest() == packet.prepare.executionCondition
        ):
            self.counters.given += packet.prepare.amount
        packet.rawReply = raw
        packet.reply = packet.farReply = reply

    def _reject(self, code: str) -> Reject:
        return Reject(code, self._last.address or ADDRESS, ERROR_NAMES[code])

    def _take(self, packet: Transit) -> bool:
        """Count the packet's money as taken, once, if the reply proves it."""
        reply = packet.reply
        isProof = (
            isinstance(reply, Fulfill) and sha256(reply.fulfillment).digest() == packet.condition
        )
        first = packet.origin or packet
        if isProof and not first.isTaken:
            first.isTaken = True
            self.counters.taken += first.sourceAmount
        return isProof

    def _answer(self, packet: Transit) -> None:
        """Give the reply to the sender."""
        first = packet.origin or packet
        if first.isAnswered:
            return
        first.isAnswered = True
        reply = packet.reply
        if isinstance(reply, Reject):
            self.counters.rejects[reply.code] += 1
        elif self._take(packet):
            self.counters.fulfilled += 1
        else:
            self.counters.wrong += 1
        if reply is packet.farReply:
            raw = packet.rawReply
        elif isinstance(reply, Fulfill):
            raw = encodeFulfill(reply.fulfillment, reply.data)
        else:
            raw = encodeReject(reply.code, reply.triggeredBy, reply.message, reply.data)
        self.source.receiveReply(first, raw)
