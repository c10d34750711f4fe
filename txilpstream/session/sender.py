"""
The next Prepare: when it may leave, and whose turn it is.

The controls say how fast, how much at once and how large; the streams take turns. Data travels in
packets of amount 0, money in packets of one stream, and control frames in whatever leaves next. How
much money a packet carries is written in C{offers}, what an answer changes in C{settlement}.
"""

from __future__ import annotations

from typing import Final

from txilpstream.session.events import ReserveNeeded
from txilpstream.session.offers import Offers
from txilpstream.session.packetbuilder import Outgoing, Packer
from txilpstream.session.path import NEVER, Path
from txilpstream.session.state import SessionState
from txilpstream.session.stream import SessionStream
from txilpstream.wire.frames import (
    ConnectionClose,
    ConnectionDataBlocked,
    ConnectionStreamIDBlocked,
    Frame,
    StreamData,
    StreamDataBlocked,
    StreamMoneyBlocked,
)

__all__ = ["Outgoing", "Sender"]

UNVALIDATED_IN_FLIGHT: Final = 4
"""Packets in flight to an address that has not proved to be the peer's (RFC 29 4.3.2)."""

FRAME_OVERHEAD: Final = 25
"""Octets that a frame of data takes besides its data, at most: type, lengths, id and offset."""

FIRST_POLL: Final = 0.1
"""Seconds before a blocked sender asks, where the round trip is not known."""

LONGEST_POLL: Final = 5.0


class Sender:
    """
    Builds Prepares.

    @ivar wakeAt: when L{build}, having given None, may give a packet without anything having
        happened in between.
    """

    __slots__ = (
        "_control",
        "_inFlight",
        "_isDataTurn",
        "_offers",
        "_packer",
        "_path",
        "_patience",
        "_pollAt",
        "_pollDelay",
        "_probing",
        "_state",
        "_stuckAt",
        "wakeAt",
    )

    def __init__(self, state: SessionState, path: Path, packer: Packer, offers: Offers) -> None:
        self._state = state
        self._path = path
        self._packer = packer
        self._offers = offers
        self._probing = offers.probing
        self._inFlight = path.inFlight
        self._control = path.control
        self._patience = path.patience
        self._isDataTurn = False
        self._pollAt = NEVER
        self._pollDelay = 0.0
        self._stuckAt = -1
        self.wakeAt = NEVER

    @property
    def hasWork(self) -> bool:
        """Whether something waits to leave, whatever holds it up."""
        state = self._state
        streams = state.streams
        return bool(
            streams.moneyReady
            or streams.dataReady
            or state.controls.pending
            or state.owesClose
            or self._probing.wanted
        )

    def build(self, now: float) -> Outgoing | None:
        """Give the next Prepare, or None if nothing may leave now."""
        state = self._state
        self.wakeAt = NEVER
        packets = self._inFlight.packets
        if not state.destination:
            return None
        if state.isClosed:
            mayClose = state.owesClose and not packets
            isReserved = self._packer.sequence < self._packer.reserved
            return self._close(now) if mayClose and isReserved else None
        if state.validatesFrom is None:  # the first packet that goes to a new address
            state.validatesFrom = self._packer.sequence
        most = state.configuration.maximumInFlight if state.isValidated else UNVALIDATED_IN_FLIGHT
        if len(packets) >= most:
            return None
        packer = self._packer
        if packer.sequence >= packer.reserved:
            state.events.append(ReserveNeeded(0))
            return None
        streams = state.streams
        isAsked = self._probing.wanted
        if streams.moneyReady or streams.dataReady or state.controls.pending or isAsked:
            if not self._isTime(now):
                return None
            packet = self._choose(now)
            if packet is not None:
                return packet
        if self._isPollDue(now):
            self._askForLimits()
            if self._isTime(now):
                return self._packer.pack(now, 0, [])
        return None

    def _isTime(self, now: float) -> bool:
        """Whether one more packet of any kind may leave now."""
        if now < self._patience.waitUntil:
            self.wakeAt = self._patience.waitUntil
            return False
        if not self._control.isAllowed(now):
            self.wakeAt = self._control.readyAt()
            return False
        return True

    def _choose(self, now: float) -> Outgoing | None:
        """Let money and data take turns; what can wait for neither goes alone."""
        state = self._state
        streams = state.streams
        packet = None
        if state.controls.isCrowded and state.controls.pending:
            return self._packer.pack(now, 0, [])
        if streams.dataReady and (self._isDataTurn or not streams.moneyReady):
            packet = self._data(now)
        if packet is None and (streams.moneyReady or self._probing.wanted):
            packet = self._offers.next(now)
            if packet is None:
                self.wakeAt = self._offers.readyAt
                if streams.dataReady:
                    packet = self._data(now)
        if packet is not None:
            self._isDataTurn = not self._isDataTurn
        elif state.controls.pending:
            packet = self._packer.pack(now, 0, [])
        return packet

    # --- Data -----------------------------------------------------------------------------

    def _data(self, now: float) -> Outgoing | None:
        """Fill a packet with fragments of the streams whose turn it is."""
        ready, credit = self._state.streams.dataReady, self._state.streams.sendCredit
        if not credit.room and self._stuckAt == self._path.losses:
            return None
        configuration = self._state.configuration
        room = configuration.fragmentSize
        # Where answers are padded too, the limits of so many streams fit into one.
        most = configuration.padTo // 64 or len(ready)
        frames: list[Frame] = []
        fragments = []
        for _ in range(len(ready)):
            streamID = next(iter(ready))
            stream = ready[streamID]
            queue = stream.queue
            if queue.hasLost:
                offset, data = queue.peekLost()
                if len(data) > room and frames:
                    break
                queue.resend(offset)
            else:
                size = min(room, stream.sendCredit.room, credit.room)
                if size <= 0:  # it is the connection that is blocked; another may have lost some
                    ready.move_to_end(streamID)
                    continue
                offset, data = queue.nextNew(size)
                self._use(stream, len(data))
            stream.hasOpened = True
            frames.append(StreamData(streamID, offset, data))
            fragments.append((streamID, offset, len(data) if queue.isSure(offset) else 0))
            room -= len(data) + FRAME_OVERHEAD
            if queue.hasLost or (queue.unsent and stream.sendCredit.room):
                ready.move_to_end(streamID)
            else:
                del ready[streamID]
            if room <= 0 or len(frames) == most:
                break
        if not frames:
            self._stuckAt = self._path.losses
            return None
        return self._packer.pack(now, 0, frames, fragments=tuple(fragments))

    def _use(self, stream: SessionStream, size: int) -> None:
        """New bytes leave: use credit, and say so when it is used up."""
        state = self._state
        state.useCredit(stream, size)
        credit, unsent = state.streams.sendCredit, stream.queue.unsent
        if unsent and not stream.sendCredit.room:
            state.controls.add(StreamDataBlocked.type, stream.streamID)
        if unsent and not credit.room:
            state.controls.add(ConnectionDataBlocked.type)

    # --- What else leaves -------------------------------------------------------------------

    def _isPollDue(self, now: float) -> bool:
        """
        Whether to ask for the peer's limits: after one round trip in which nothing was on its way,
        then twice as late each time.
        """
        state = self._state
        if state.wasUnblocked:
            state.wasUnblocked = False
            self._offers.stalled.clear()
            self._pollDelay = 0.0
        # What is on its way will be answered, and the answer says the limits.
        if self._inFlight.packets or not (self._offers.stalled or state.streams.isBlocked()):
            self._pollAt = NEVER
            return False
        if self._pollAt == NEVER:
            first = max(FIRST_POLL, self._path.roundTrip)
            self._pollDelay = min(LONGEST_POLL, 2 * self._pollDelay or first)
            self._pollAt = now + self._pollDelay
        if now < self._pollAt:
            self.wakeAt = min(self.wakeAt, self._pollAt)
            return False
        self._pollAt = NEVER
        return True

    def _askForLimits(self) -> None:
        """Say what is blocked; the answer carries the peer's limits of this moment."""
        state = self._state
        self._offers.stalled.clear()
        for stream in state.streams.open.values():
            if not stream.hasOpened and stream.streamID > state.streams.peerMaxStreamID:
                state.controls.add(ConnectionStreamIDBlocked.type)
            elif stream.queue.unsent:
                state.controls.add(StreamDataBlocked.type, stream.streamID)
                if not state.streams.sendCredit.room:
                    state.controls.add(ConnectionDataBlocked.type)
            elif stream.moneyOut.unsent:
                state.controls.add(StreamMoneyBlocked.type, stream.streamID)

    def _close(self, now: float) -> Outgoing:
        """The last packet of a connection; it is not repeated."""
        state = self._state
        state.owesClose = False
        state.controls.pending.clear()
        return self._packer.pack(now, 0, [ConnectionClose(state.closeCode, state.closeMessage)])
