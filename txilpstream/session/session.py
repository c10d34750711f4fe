"""
One connection: sender, receiver and keys joined, and its life in time.

It does no input or output, and has no clock. A driver tells it what happened and collects what is
to be done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from txilpstream.amounts import checkAmount
from txilpstream.crypto.keys import SessionKeys
from txilpstream.errors import ConnectionEnded, ErrorCode, StreamError
from txilpstream.session.acknowledgements import Settlement
from txilpstream.session.configuration import ANSWER_MARGIN, SessionConfiguration
from txilpstream.session.deadlines import Deadlines
from txilpstream.session.events import Event, KeyWorn
from txilpstream.session.evidence import Evidence
from txilpstream.session.incoming import Incoming
from txilpstream.session.offers import Offers
from txilpstream.session.packetbuilder import Outgoing, Packer
from txilpstream.session.path import NEVER, Path
from txilpstream.session.receiver import Receiver
from txilpstream.session.sender import Sender
from txilpstream.session.standing import Standing
from txilpstream.session.state import LONGEST_MESSAGE, SessionState
from txilpstream.session.streams.flowcontrol import ByteBudget
from txilpstream.session.tracing import Tracer
from txilpstream.wire.frames import ConnectionClose
from txilpstream.wire.ilp import Prepare

__all__ = ["Outgoing", "Session"]

LONGEST_REASON: Final = 500
"""Characters of a refusal's reason."""

UNLIMITED: Final = 1 << 62

WORN_PART: Final = 10
CLOSING_PART: Final = 100
"""With this part of a key's packets left no streams are opened, or all are closed: what is still
to be sent must find room."""


class Session(Standing):
    """
    The state of one STREAM connection.

    The caller's duty: after each call of C{receive...} or of a command, collect L{nextEvents};
    then L{nextPacket} until it gives None or a bound of its own is reached; then L{nextTimeout},
    and call L{receiveTimeout} at that moment, which is at once if making packets made events.
    C{now} is in seconds since the epoch and never goes back.
    """

    __slots__ = ("_deadlines", "_settlement", "_wearsAt")

    def __init__(
        self,
        configuration: SessionConfiguration,
        keys: SessionKeys,
        randomBytes: Callable[[int], bytes],
        budget: ByteBudget | None = None,
    ) -> None:
        """
        @param randomBytes: gives so many random octets, fit for cryptography.
        @param budget: bytes that this and other sessions may hold together.
        """
        state = SessionState(configuration, budget or ByteBudget(UNLIMITED))
        super().__init__(configuration, state)
        path = self._path = Path(configuration)
        if configuration.trace is not None:
            state.tracer = Tracer(configuration.trace, path)
        packer = self._packer = Packer(state, path, keys, randomBytes)
        offers = self._offers = Offers(state, path, packer)
        sender = self._sender = Sender(state, path, packer, offers)
        deadlines = self._deadlines = Deadlines(configuration, state, path, offers, sender)
        evidence = Evidence(state, path, packer)
        self._settlement = Settlement(state, path, keys, offers, evidence, deadlines)
        self._receiver = Receiver(state, keys, randomBytes)
        most = configuration.maximumPacketCount
        self._wearsAt = min(most - most // WORN_PART, most - 1)

    # --- Tell -----------------------------------------------------------------------------

    def receivePrepare(self, prepare: Prepare, *, now: float) -> Incoming:
        """The peer's Prepare came; collect events, then answer it with L{answer}."""
        return self._receiver.receive(prepare, now)

    def receiveReply(self, sequence: int, data: bytes, *, now: float) -> None:
        """The bytes of an answer came."""
        self._settlement.receive(sequence, data, now)
        self._afterSettling(now)

    def receiveNotSent(self, sequence: int, *, now: float) -> None:
        """A packet certainly never left this machine."""
        self._settlement.notSent(sequence, now)
        self._afterSettling(now)

    def receiveNoReply(self, sequence: int, *, now: float, isLinkDown: bool = False) -> None:
        """
        No answer will come, and nobody knows whether the packet arrived.

        @param isLinkDown: whether that is since the way to the next node was lost, and so says
            nothing of how much the path takes.
        """
        self._settlement.unanswered(sequence, now, isLinkDown)
        self._afterSettling(now)

    def receiveReconnect(self, *, now: float) -> None:
        """The way to the peer was lost and is there again."""
        self._path.patience.reconnected(now)
        self._path.control.pathChanged(now)

    def receiveTimeout(self, *, now: float) -> None:
        """The moment of L{nextTimeout} has come, or any other."""
        if self._sender.wakeAt <= now:
            self._sender.wakeAt = NEVER  # nextPacket says the next, if it is asked
        self._settlement.expire(now)
        self._deadlines.check(now)
        self._endIfDrained()

    # --- Command; those on streams are in StreamCommands ---------------------------------

    def close(self) -> None:
        """Close the connection when all is sent; no streams are opened any more."""
        self._state.isLeaving = self._state.isDraining = True
        for streamID in list(self._state.streams.open):
            self.closeStream(streamID)
        self._endIfDrained()

    def abort(
        self,
        error: StreamError | None,
        code: int = ErrorCode.APPLICATION_ERROR,
        message: str = "",
    ) -> None:
        """Close the connection now; what was not sent never will be."""
        state = self._state
        if not state.isClosed:
            state.closeCode, state.closeMessage = code, message[:LONGEST_MESSAGE]
            state.owesClose = True
            state.end(error)

    def measureRate(self, sourceAmount: int) -> None:
        """
        Ask for the rate of about this amount, though no money is offered; an event tells it.

        @raise LocalError: if it is not an amount of at least 1.
        """
        self._offers.probing.ask(checkAmount("the amount to measure", sourceAmount, minimum=1))

    def forgetRate(self) -> None:
        """Nobody waits for the rate any more that L{measureRate} asked for."""
        self._offers.probing.forget()

    def setTotal(self, sourceAmount: int) -> None:
        """Say that so much and no more will ever be offered: the rate is needed for that only."""
        self._offers.probing.total = sourceAmount

    def requireRate(self) -> None:
        """Let no money leave before the rate is measured, if it is not known."""
        self._offers.probing.isNeeded = not self._path.rate.isKnown

    def reserveSequences(self, first: int) -> None:
        """Use no sequence from this one on, until more are reserved."""
        self._packer.reserved = first

    def wouldAccept(self, incoming: Incoming, *, now: float) -> bool:
        """Whether it makes sense to ask the application about a packet of money."""
        try:
            return self._receiver.wouldAccept(incoming, now)
        except StreamError:
            return False

    def streamAmounts(self, incoming: Incoming) -> tuple[tuple[int, int], ...]:
        """How a packet of money would be split: stream ids and amounts."""
        parts = self._receiver.split(incoming) or []
        return tuple((stream.streamID, amount) for stream, amount in parts)

    def refuse(self, incoming: Incoming, reason: str, *, isFinal: bool) -> None:
        """
        Say why a packet of money will be refused; L{answer} carries it.

        @param isFinal: whether the connection is closed with it.
        """
        incoming.refusal = reason[:LONGEST_REASON]
        if isFinal and not self._state.isClosed:
            state = self._state
            state.closeCode, state.closeMessage = (
                ErrorCode.APPLICATION_ERROR,
                reason[:LONGEST_MESSAGE],
            )
            state.end(ConnectionEnded(f"a payment was refused: {reason[:LONGEST_REASON]}"))

    def answer(self, incoming: Incoming, accept: bool, *, now: float) -> bytes:
        """Give the bytes that answer a Prepare; money and data are taken only here."""
        return self._receiver.answer(incoming, accept, now)

    def wait(self, *, now: float) -> None:
        """Nothing can be sent for now; remember since when something waits."""
        self._deadlines.note(now)

    # --- Collect --------------------------------------------------------------------------

    def nextPacket(self, *, now: float) -> Outgoing | None:
        """The next Prepare to be sent, None if nothing may leave now."""
        state, deadlines = self._state, self._deadlines
        if deadlines.fulfilledAt is None or (
            deadlines.moneyAt is None and state.streams.moneyReady
        ):
            deadlines.note(now)
        if state.encrypted >= self._wearsAt and not self._wear():
            return None
        packet = self._sender.build(now)
        if packet is None and state.isLeaving:
            self._endIfDrained()  # offers that came to nothing may have been the last
            packet = self._sender.build(now)
        return packet

    def nextTimeout(self) -> float | None:
        """When L{receiveTimeout} is to be called, in seconds; None for never."""
        if self._state.events:
            return 0.0
        moment = min(self._sender.wakeAt, self._deadlines.next(), self._path.resendAt())
        oldest = self._path.inFlight.oldest
        if oldest is not None:
            moment = min(moment, oldest.expiresAt + ANSWER_MARGIN)
        return None if moment == NEVER else moment

    def nextEvents(self) -> list[Event]:
        """What happened since the last call, in order."""
        state = self._state
        events = state.events
        if events:
            state.events = []
        return events

    # --- In time --------------------------------------------------------------------------

    def _wear(self) -> bool:
        """
        Keep the packets that are left under a key for an end in good order (RFC 29 section 5.1.3).

        @return: whether there are any.
        """
        state, most = self._state, self._configuration.maximumPacketCount
        if not state.isWorn:
            state.isWorn = state.isLeaving = True
            if not state.isClosed:
                state.events.append(KeyWorn(most - state.encrypted))
        self._wearsAt = min(most - most // CLOSING_PART, most - 1)
        if state.encrypted >= self._wearsAt:
            self._wearsAt = most - 1
            if not state.isDraining:
                self.close()
        if state.encrypted >= most - 1 and not state.isClosed:
            error = ConnectionEnded("the most packets that one key may encrypt were sent")
            self.abort(error, ErrorCode.NO_ERROR)
        if state.encrypted < most:
            return True
        state.owesClose = False  # not even for the last word: answers may have used up all
        return False

    def _afterSettling(self, now: float) -> None:
        """Let the deadlines rest if nothing waits any more; end if that was all."""
        inFlight = self._path.inFlight
        if not inFlight.withMoney or not inFlight.packets:
            self._deadlines.note(now)
        if self._state.isLeaving:
            self._endIfDrained()

    def _endIfDrained(self) -> None:
        """Close a draining connection when all is sent, and one that is left when it is empty."""
        state = self._state
        if state.isLeaving and not state.streams.open:
            state.isDraining = True
        if (
            not state.isDraining
            or state.isClosed
            or self._path.inFlight.packets
            or not state.streams.isQuiet()
        ):
            return
        if not state.configuration.halfOpen or state.isPeerDone or not state.destination:
            state.owesClose = True
            state.end(None)
        elif not state.hasSaidClose:
            state.hasSaidClose = True
            state.controls.add(ConnectionClose.type)
