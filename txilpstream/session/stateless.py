"""
What becomes of one Prepare where nothing is remembered of those before it.

A receiver without state judges each packet by itself: sequences may start again, and money may come
after a close, since a payer that asks for a price and then pays does both with the same address.
It takes money on any stream that a client may open, and sends nothing but answers. What the
application thinks and where totals are kept is asked in C{transport}; nothing may be kept here from
one packet to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from txilpstream.amounts import checkAmount
from txilpstream.crypto.keys import SessionKeys
from txilpstream.crypto.receipts import MAX_STREAM_ID, signReceipt
from txilpstream.errors import ErrorCode
from txilpstream.session.configuration import MAX_FRAGMENT_SIZE
from txilpstream.session.receiver import (
    LONGEST_REASON,
    OPENING,
    UNEXPECTED,
    BrokenFrames,
    fulfillmentOf,
    openPrepare,
    shareOut,
)
from txilpstream.session.state import LONGEST_MESSAGE
from txilpstream.wire.frames import (
    ConnectionAssetDetails,
    ConnectionClose,
    ConnectionMaxStreamID,
    ConnectionNewAddress,
    Frame,
    StreamClose,
    StreamData,
    StreamMoney,
    StreamReceipt,
)
from txilpstream.wire.ilp import Prepare, encodeFulfill, isExpired, rejectWith
from txilpstream.wire.packet import FULFILL, REJECT, StreamPacket, encodePacket, fit

__all__ = ["UNEXPECTED", "StatelessPacket", "StatelessTerms", "recognise"]


@dataclass(slots=True, frozen=True)
class StatelessTerms:
    """
    What a receiver without state takes, and what it says of itself.

    @ivar maximumStreamID: the largest stream id that is taken; up to 255 there are receipts.
    @ivar takesData: whether data is taken with what it comes with; it is never put in order.
    @ivar padTo: every answer gets zero octets until its STREAM packet has so many.
    """

    maximumStreamID: int = MAX_STREAM_ID
    takesData: bool = False
    padTo: int = 0

    def __post_init__(self) -> None:
        """
        @raise LocalError: if one is out of its limits.
        """
        checkAmount("maximumStreamID", self.maximumStreamID, minimum=1)
        checkAmount("padTo", self.padTo, maximum=MAX_FRAGMENT_SIZE)


@dataclass(slots=True)
class StatelessPacket:
    """
    A Prepare of the peer's, and the answers that it can get.

    @ivar prepare: the ILP packet.
    @ivar packet: what was in it.
    @ivar fulfillment: what fulfills it; empty if nothing can.
    @ivar parts: stream id and amount of each stream that gets some of it, lowest id first; empty
        if the packet carries no money, or money that is meant for no stream.
    @ivar data: the bytes in it, those of all its streams together.
    @ivar peerAddress: where its sender says it can be reached; None if it says nothing.
    @ivar closeCode: with which code the connection is closed; 0 if it is not.
    @ivar closeMessage: why, for people.
    """

    prepare: Prepare
    packet: StreamPacket
    _keys: SessionKeys = field(repr=False)
    _terms: StatelessTerms
    fulfillment: bytes = b""
    parts: tuple[tuple[int, int], ...] = ()
    data: bytes = b""
    peerAddress: str | None = None
    closeCode: int = 0
    closeMessage: str = ""

    @property
    def packetID(self) -> bytes:
        """
        32 octets that no other packet has: copies of the same amount have the same. A copy of
        another amount came another way, and brings what it brings.
        """
        condition, amount = self.prepare.executionCondition, self.prepare.amount
        return sha256(condition + amount.to_bytes(8, "big")).digest()

    @property
    def mustAsk(self) -> bool:
        """Whether there is something that the application may not want."""
        return self.prepare.amount > 0 or bool(self.data)

    def mayBeTaken(self, now: float) -> bool:
        """
        Whether it can be fulfilled now, if the application wants it.

        @param now: seconds since the epoch.
        """
        amount = self.prepare.amount
        if not self.fulfillment:
            return False
        if self.data and not self._terms.takesData:
            return False
        return not amount or (bool(self.parts) and not self.isTooLate(now))

    def isTooLate(self, now: float) -> bool:
        """Whether money in it cannot be taken any more, since its sender waits no longer."""
        return self.prepare.amount > 0 and isExpired(self.prepare.timestamp, now)

    def receipts(
        self, totals: Mapping[int, int], receiptNonce: bytes, receiptSecret: bytes
    ) -> list[Frame]:
        """
        Sign what each stream that gets money has received in all (RFC 39).

        @param totals: by stream id, all that was credited to the streams of C{parts}.
        @param receiptNonce: 16 octets.
        @param receiptSecret: 32 octets.
        @return: a frame for each of them whose number a receipt can say.
        @raise LocalError: if a total does not fit in a receipt.
        """
        return [
            StreamReceipt(
                streamID, signReceipt(receiptNonce, streamID, totals[streamID], receiptSecret)
            )
            for streamID, _ in self.parts
            if streamID <= MAX_STREAM_ID
        ]

    def fulfill(
        self, iv: bytes, *, asset: tuple[str, int] | None = None, receipts: Sequence[Frame] = ()
    ) -> bytes:
        """
        The octets of a Fulfill.

        @param iv: 12 random octets that never served before under the same secret.
        @param asset: this side's asset, told to whoever tells its address.
        @param receipts: what L{receipts} gave.
        """
        frames = [*self._limits(asset), *receipts]
        if self.closeCode:
            frames.append(ConnectionClose(self.closeCode, self.closeMessage))
        return encodeFulfill(self.fulfillment, self._seal(FULFILL, frames, iv))

    def refuse(
        self,
        iv: bytes,
        *,
        asset: tuple[str, int] | None = None,
        reason: str = "",
        isFinal: bool = False,
    ) -> bytes:
        """
        The octets of a Reject, which says what arrived all the same.

        @param iv: 12 random octets that never served before under the same secret.
        @param asset: this side's asset, told to whoever tells its address.
        @param reason: for people; its first 500 characters stand in a StreamData frame of
            stream 1.
        @param isFinal: whether the payer is told to end the connection; else it may try again.
        """
        frames = self._limits(asset)
        if reason:
            octets = reason[:LONGEST_REASON].encode("utf-8", "replace")
            frames.append(StreamData(1, 0, octets))
        if self.data and not self._terms.takesData:
            named = {f.streamID: None for f in self.packet.frames if isinstance(f, StreamData)}
            for streamID in named:
                message = "no data is taken here"
                frames.append(StreamClose(streamID, ErrorCode.APPLICATION_ERROR, message))
        if self.closeCode:
            frames.append(ConnectionClose(self.closeCode, self.closeMessage))
        elif isFinal:
            frames.append(ConnectionClose(ErrorCode.APPLICATION_ERROR, reason[:LONGEST_MESSAGE]))
        data = self._seal(REJECT, frames, iv)
        return rejectWith("F99", data=data)

    def _limits(self, asset: tuple[str, int] | None) -> list[Frame | bytes]:
        """What whoever begins is told."""
        if self.peerAddress is None:
            return []
        frames: list[Frame | bytes] = []
        if asset is not None:
            frames.append(ConnectionAssetDetails(*asset))
        frames.append(ConnectionMaxStreamID(self._terms.maximumStreamID))
        return frames

    def _seal(self, packetType: int, frames: list[Frame | bytes], iv: bytes) -> bytes:
        plain = encodePacket(
            self.packet.sequence, packetType, self.prepare.amount, fit(frames), self._terms.padTo
        )
        return self._keys.seal(plain, iv)


def recognise(prepare: Prepare, keys: SessionKeys, terms: StatelessTerms) -> StatelessPacket | None:
    """
    Decrypt a Prepare and see what is in it.

    A packet whose frames are not valid, or that breaks the rules of stream ids, can only be
    refused, with the code of the RFC (RFC 29 sections 4.4.1 and 5.4).

    @return: None if it was not made with these keys, or is no Prepare inside: it gets
        L{UNEXPECTED}.
    """
    try:
        packet = openPrepare(prepare, keys)
    except BrokenFrames as broken:
        found = StatelessPacket(prepare, broken.header, keys, terms)
        found.closeCode, found.closeMessage = broken.error.code, broken.error.message
        return found
    if packet is None:
        return None
    found = StatelessPacket(prepare, packet, keys, terms)
    found.fulfillment = fulfillmentOf(prepare, packet, keys)
    _hear(found)
    return found


def _hear(found: StatelessPacket) -> None:
    """Take the frames in; one that breaks a rule makes the packet one that nothing fulfills."""
    money: list[StreamMoney] = []
    data: list[bytes] = []
    for frame in found.packet.frames:
        if isinstance(frame, OPENING):
            wrong = _wrongID(frame.streamID, found._terms.maximumStreamID)
            if wrong is not None:
                found.closeCode, found.closeMessage = wrong
                found.fulfillment = b""
                return
            if isinstance(frame, StreamMoney):
                money.append(frame)
            elif isinstance(frame, StreamData):
                data.append(frame.data)
        elif isinstance(frame, ConnectionNewAddress):
            found.peerAddress = frame.sourceAddress
        elif isinstance(frame, ConnectionClose):
            found.closeCode = ErrorCode.NO_ERROR
    found.data = b"".join(data)
    found.parts = _split(found.prepare.amount, money)


def _wrongID(streamID: int, maximum: int) -> tuple[int, str] | None:
    """Code and message for a stream id that a client must not use, None for one that it may."""
    if streamID % 2 == 0:
        return ErrorCode.PROTOCOL_VIOLATION, f"stream {streamID} is not a client's to open"
    if streamID > maximum:
        return ErrorCode.STREAM_ID_ERROR, f"stream {streamID} is above {maximum}"
    return None


def _split(amount: int, money: list[StreamMoney]) -> tuple[tuple[int, int], ...]:
    """
    Split an amount by shares, the remainder to the lowest stream (RFC 29 section 5.3.8).

    @return: stream id and amount, those that get nothing left out; empty if nobody gets any.
    """
    if not any(frame.shares for frame in money):
        return ()
    totals, rest = shareOut(amount, money)
    totals[min(totals)] += rest
    return tuple((streamID, part) for streamID, part in sorted(totals.items()) if part)
