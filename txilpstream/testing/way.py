"""
One direction of a path: the way of a packet from one end to the other, and of its reply back.

This module moves packets and keeps the books; what happens to a packet is for the hops to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from txilpstream.errors import DecodeError, LocalError
from txilpstream.testing.hop import Gone, Hop, Transit
from txilpstream.testing.ledger import Ledger
from txilpstream.testing.schedule import Agenda
from txilpstream.wire.ildcp import isRequest
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

if TYPE_CHECKING:
    from txilpstream.testing.path import PathEnd

__all__ = ["ADDRESS", "Way"]

ADDRESS: Final = "test.path"
"""Who rejects where there is no hop to do it."""

_log = Logger()


class Way:
    """
    The packets of one side.

    @ivar hops: those that these packets pass, in the order of the way there.
    @ivar source: the end that sends.
    @ivar destination: the end that answers.
    @ivar ledger: what became of them.
    """

    def __init__(
        self, agenda: Agenda, hops: Sequence[Hop], source: PathEnd, destination: PathEnd
    ) -> None:
        self.hops = tuple(hops)
        self.source = source
        self.destination = destination
        self.ledger = Ledger()
        self._agenda = agenda
        self._last = self.hops[-1] if self.hops else Hop()

    def enter(self, packet: Transit) -> None:
        """Let a packet enter the first hop."""
        if packet.isAnswered:
            return
        packet.hasLeft = True
        if isRequest(packet.data):
            self.source.receiveReply(packet, self.source.configuration)
            return
        self.ledger.packets += 1
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
                    self._agenda.schedule(verdict, self.forward, packet)
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
                self._agenda.schedule(verdict, self.backward, packet)
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
        self.ledger.delivered += 1
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
            self._agenda.schedule(0.0, self.backward, packet)

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
            self.ledger.given += packet.prepare.amount
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
            self.ledger.taken += first.sourceAmount
        return isProof

    def _answer(self, packet: Transit) -> None:
        """Give the reply to the sender."""
        first = packet.origin or packet
        if first.isAnswered:
            return
        first.isAnswered = True
        reply = packet.reply
        if isinstance(reply, Reject):
            self.ledger.rejects[reply.code] += 1
        elif self._take(packet):
            self.ledger.fulfilled += 1
        else:
            self.ledger.wrong += 1
        if reply is packet.farReply:
            raw = packet.rawReply
        elif isinstance(reply, Fulfill):
            raw = encodeFulfill(reply.fulfillment, reply.data)
        else:
            raw = encodeReject(reply.code, reply.triggeredBy, reply.message, reply.data)
        self.source.receiveReply(first, raw)
