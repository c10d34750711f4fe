"""
A Prepare, written, sealed and recorded.

What it carries is decided by C{sender} and C{rateprobe}; control frames that wait go with whatever
leaves. A packet counts as sent from here on: it has its number, its key has encrypted one more, and
its record is in flight, so every packet that is built must be handed to the plugin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from txilpstream.amounts import U64_MAX
from txilpstream.crypto.keys import ENVELOPE_OVERHEAD, IV_LENGTH, SessionKeys, conditionOf
from txilpstream.session.path import Path, SentPacket
from txilpstream.session.state import SessionState
from txilpstream.session.streams.streams import SessionStream
from txilpstream.wire.frames import Frame, StreamData, encodeFrame
from txilpstream.wire.ilp import encodePrepare, encodeTimestamp
from txilpstream.wire.packet import PREPARE, encodePacket

__all__ = ["Outgoing", "PacketBuilder", "Wait"]

MOST_OCTETS: Final = 32_767 - 69 - ENVELOPE_OVERHEAD
"""Octets of a STREAM packet, less those of the destination: the fields of a Prepare, which are 69
without it, then leave the whole ILP packet within what the strictest peer's HTTP body takes."""

HEADER: Final = 22
"""Octets of a STREAM packet before its frames, at most: version, type and three numbers."""


@dataclass(slots=True)
class Outgoing:
    """
    A Prepare to be sent.

    @ivar sequence: hand it back with the answer.
    @ivar data: the bytes of the ILP packet.
    @ivar expiresAt: seconds; after it and a margin no answer is waited for.
    """

    sequence: int
    data: bytes
    expiresAt: float


@dataclass(slots=True)
class Wait:
    """
    Why there is no packet: it is too early.

    @ivar until: the moment from which asking again makes sense without anything having happened in
        between, in seconds; infinity if only the peer changes that.
    """

    until: float


class PacketBuilder:
    """
    Writes packets.

    @ivar sequence: the number of the next packet.
    @ivar reserved: the first number that may not be used yet.
    @ivar randomBytes: gives so many random octets, fit for cryptography.
    """

    __slots__ = ("_keys", "_path", "_state", "randomBytes", "reserved", "sequence")

    def __init__(
        self,
        state: SessionState,
        path: Path,
        keys: SessionKeys,
        randomBytes: Callable[[int], bytes],
    ) -> None:
        self._state = state
        self._path = path
        self._keys = keys
        self.sequence = state.configuration.firstSequence
        self.reserved = U64_MAX
        self.randomBytes = randomBytes

    def pack(
        self,
        now: float,
        amount: int,
        frames: list[Frame],
        *,
        minimum: int = 0,
        expected: int = 0,
        stream: SessionStream | None = None,
        fragments: tuple[tuple[int, int, int], ...] = (),
        isProbe: bool = False,
    ) -> Outgoing:
        """Write the packet and its record; a probe has a condition that nobody can fulfill."""
        state, keys = self._state, self._keys
        configuration = state.configuration
        controlFrames: tuple[tuple[tuple[int, int], int], ...] = ()
        if state.controlFrames.pending:
            first, controlFrames = state.controlFrames.take(self._room(frames), isAlone=not frames)
            frames = first + frames
        sequence = self.sequence
        self.sequence += 1
        state.encrypted += 1
        plain = encodePacket(sequence, PREPARE, minimum, frames, configuration.padTo)
        data = keys.seal(plain, self.randomBytes(IV_LENGTH))
        if isProbe:
            fulfillment, condition = b"", self.randomBytes(32)
        else:
            fulfillment = keys.fulfillment(data)
            condition = conditionOf(fulfillment)
        expiresAt = now + configuration.packetExpiry
        record = SentPacket(
            sequence, now, expiresAt, fulfillment, amount, minimum, expected, stream
        )
        if fragments or controlFrames or isProbe:
            record.fragments, record.controlFrames, record.isProbe = (
                fragments,
                controlFrames,
                isProbe,
            )
            if fragments:
                state.streams.lastData = sequence
        self._path.sent(record, now)
        if state.tracer is not None:
            size = sum(len(frame.data) for frame in frames if isinstance(frame, StreamData))
            state.tracer.sent(record, size, now)
        stated = self._stated(expiresAt) if configuration.expirySpread else expiresAt
        packet = encodePrepare(amount, encodeTimestamp(stated), condition, state.destination, data)
        return Outgoing(sequence, packet, expiresAt)

    def _room(self, frames: list[Frame]) -> int:
        """Octets that control frames may have beside these: a packet must not become large."""
        state = self._state
        whole = state.configuration.padTo or MOST_OCTETS - len(state.destination)
        return whole - HEADER - sum([len(encodeFrame(frame)) for frame in frames])

    def _stated(self, expiresAt: float) -> float:
        """A time that a packet states: earlier, at random, than what is waited for here."""
        part = int.from_bytes(self.randomBytes(4), "big") / (1 << 32)
        return expiresAt - part * self._state.configuration.expirySpread
