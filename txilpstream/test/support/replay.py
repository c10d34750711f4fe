"""
A transcript played again: our end as it is now, and the peer as it was when it was written down.

Events have the order of the transcript. What our end did is waited for and compared; what the peer
did is done at its time or, if our end is later than it was, right after that. So a replay depends
on what is said and not on how fast. What was sealed with octets that are new each time is compared
by its meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from txilpstream import Account, DecodeError, IPlugin
from txilpstream.crypto.keys import SessionKeys, conditionOf
from txilpstream.plugins.base import PluginBase
from txilpstream.test.support.ends import Chance, End, makeEnd
from txilpstream.wire.frames import (
    ConnectionClose,
    ConnectionMaxData,
    ConnectionNewAddress,
    Frame,
    StreamClose,
    StreamData,
    StreamMaxData,
    StreamMoney,
)
from txilpstream.wire.ilp import (
    Fulfill,
    Prepare,
    Reject,
    decodeAmountTooLarge,
    decodePrepare,
    decodeReply,
    encodeFulfill,
)
from txilpstream.wire.packet import StreamPacket, decodePacket

__all__ = ["CannotReplay", "Replay", "isSame", "play"]

PATIENCE: Final = 10.0
"""Seconds of the replay's clock that our end may be later than it was."""

AFTERWARDS: Final = 1.0
"""Seconds in which nothing more may be sent when all was said."""

SHORTEST_TURN: Final = 0.005
"""Seconds between two packets of the peer's in which our end may have had no turn."""

_WEIGHTY: Final = (StreamMoney, StreamData, StreamClose, ConnectionClose, ConnectionNewAddress)
"""Frames of our Prepares on which the peer's answer rests; others may come sooner or later."""


class CannotReplay(AssertionError):
    """Our end does not do what it did, or what was written down is not what was said."""


def isSame(what: str, recorded: object, found: object) -> None:
    """
    Compare what was with what is.

    @param what: that is compared, for the error.
    @raise CannotReplay: if it is not.
    """
    if recorded != found:
        raise CannotReplay(
            f"{what} was {recorded!r:.2000} and is {found!r:.2000} now: if that is as it should "
            "be, make the transcripts anew, see docs/transcripts.rst"
        )


def meaningOf(packet: StreamPacket) -> tuple[object, ...]:
    """
    What a reply says, whatever the order in which it says it.

    How many bytes there is room for is left out: it depends on whether the application has read
    what came before.
    """
    said = []
    for frame in packet.frames:
        if isinstance(frame, StreamMaxData):
            frame = StreamMaxData(frame.streamID, 0)
        elif isinstance(frame, ConnectionMaxData):
            frame = ConnectionMaxData(0)
        said.append(repr(frame))
    return packet.sequence, packet.packetType, packet.prepareAmount, sorted(said)


def weightOf(packet: StreamPacket) -> tuple[object, ...]:
    """What a Prepare of ours asks for."""
    frames: list[Frame] = [frame for frame in packet.frames if isinstance(frame, _WEIGHTY)]
    return packet.sequence, packet.packetType, packet.prepareAmount, sorted(map(repr, frames))


class Secrets:
    """What the shared secret says of packets."""

    def __init__(self, sharedSecret: bytes) -> None:
        self._keys = SessionKeys(sharedSecret)

    def open(self, what: str, envelope: bytes) -> StreamPacket:
        """
        Decrypt.

        @raise CannotReplay: if it was not made with this secret.
        """
        plain = self._keys.open(envelope)
        if plain is None:
            raise CannotReplay(f"{what} was not made with the shared secret of the transcript")
        return decodePacket(plain)

    def fulfillment(self, prepare: Prepare) -> bytes:
        """What fulfills a Prepare; empty if nothing does, as it asks for a rate."""
        fulfillment = self._keys.fulfillment(prepare.data)
        return fulfillment if conditionOf(fulfillment) == prepare.executionCondition else b""

    def renewed(self, recorded: Prepare, found: Prepare, reply: bytes) -> bytes:
        """
        A recorded reply to a Prepare of ours, as an answer to the Prepare that stands for it now.

        The data are the peer's own octets; only a fulfillment is that of the new Prepare.

        @raise CannotReplay: if it is no good answer to the recorded one.
        """
        decoded = decodeReply(reply)
        what = f"the reply to {recorded.destination}"
        if isinstance(decoded, Fulfill):
            condition = conditionOf(decoded.fulfillment)
            isSame(f"{what}, its condition", recorded.executionCondition, condition)
        if not recorded.data:  # it asks by IL-DCP
            return reply
        asked = self.open("a Prepare of ours", recorded.data)
        if isinstance(decoded, Fulfill):
            self._check(what, asked, decoded)
            return encodeFulfill(self.fulfillment(found), decoded.data)
        if decoded.code == "F08" and decodeAmountTooLarge(decoded.data) is not None:
            return reply
        if decoded.data:
            self._check(what, asked, decoded)
        return reply

    def _check(self, what: str, asked: StreamPacket, reply: Fulfill | Reject) -> None:
        answer = self.open(what, reply.data)
        packetType = 13 if isinstance(reply, Fulfill) else 14
        head = asked.sequence, packetType
        isSame(f"{what}, number and type", head, (answer.sequence, answer.packetType))


@implementer(IPlugin)
class _Recorded(PluginBase):
    """The way to a peer that is not there any more."""

    def __init__(self, replay: Replay) -> None:
        super().__init__()
        self._replay = replay

    def connect(self) -> Deferred[None]:
        """It is ready."""
        return succeed(None)

    disconnect = connect

    def isConnected(self) -> bool:
        """Always."""
        return True

    def sendData(self, data: bytes) -> Deferred[bytes]:
        """Compare it with what was sent."""
        return self._replay.sent(data)


class _Packet:
    """
    One Prepare of the transcript and its reply.

    @ivar isOurs: whether our end sent the Prepare.
    @ivar octets: of the Prepare.
    @ivar reply: of the reply.
    @ivar found: the Prepare that our end has sent in its place.
    @ivar answered: what waits for the reply to it.
    @ivar hasReply: whether our end has answered it.
    """

    def __init__(self, isOurs: bool, octets: bytes) -> None:
        self.isOurs = isOurs
        self.octets = octets
        self.prepare = decodePrepare(octets)
        self.reply = b""
        self.found: Prepare | None = None
        self.answered: Deferred[bytes] = Deferred()
        self.hasReply = False

    def isDone(self) -> bool:
        """Whether our end has done its part of it."""
        return self.found is not None if self.isOurs else self.hasReply


class Replay:
    """
    One transcript, played once.

    @ivar clock: the time in it, in seconds since it began.
    @ivar fault: what went wrong where nobody could be told; None if nothing did.
    """

    def __init__(self, transcript: dict[str, Any]) -> None:
        self.clock = Clock()
        self.fault: CannotReplay | None = None
        self._transcript = transcript
        self._secrets = Secrets(bytes.fromhex(transcript["sharedSecret"]))
        self._packets: dict[int, _Packet] = {}
        self._end: End | None = None
        for event in transcript["events"]:
            octets = bytes.fromhex(event["octets"])
            packet = self._packets.get(event["packet"])
            if packet is None:
                self._packets[event["packet"]] = _Packet(event["by"] == "us", octets)
            else:
                packet.reply = octets
        self._unsent = [packet for packet in self._packets.values() if packet.isOurs]
        self._plugin = _Recorded(self)

    def _wallClock(self) -> float:
        epoch: float = self._transcript["epoch"]
        return epoch + self.clock.seconds()

    # --- What our end does -------------------------------------------------------------------

    def sent(self, octets: bytes) -> Deferred[bytes]:
        """Our end sends a Prepare."""
        prepare = decodePrepare(octets)
        try:
            if not self._unsent:
                isSame("what our end sent last", "nothing more", octets.hex())
            packet = self._unsent.pop(0)
            packet.found = prepare
            self._compare(packet.prepare, prepare)
        except CannotReplay as fault:
            self.fault = self.fault or fault
            return Deferred()
        return packet.answered

    def _compare(self, recorded: Prepare, found: Prepare) -> None:
        what = "a Prepare of ours"
        isSame(f"the destination of {what}", recorded.destination, found.destination)
        isSame(f"the amount of {what}", recorded.amount, found.amount)
        if not recorded.data:
            isSame(f"{what} without data", recorded.executionCondition, found.executionCondition)
            return
        fulfillment = self._secrets.fulfillment
        mayFulfill = bool(fulfillment(recorded)), bool(fulfillment(found))
        isSame(f"whether {what} can be fulfilled", *mayFulfill)
        weight = (weightOf(self._secrets.open(what, each.data)) for each in (recorded, found))
        isSame(what, *weight)

    def _answered(self, octets: bytes, packet: _Packet) -> None:
        """Our end answers a Prepare of the peer's."""
        packet.hasReply = True
        what = "a reply of ours"
        recorded, found = decodeReply(packet.reply), decodeReply(octets)
        try:
            isSame(what, *(replace(each, data=b"") for each in (recorded, found)))
            isSame(f"{what}, data", bool(recorded.data), bool(found.data))
            if recorded.data:
                both = [self._secrets.open(what, each.data) for each in (recorded, found)]
                isSame(what, *map(meaningOf, both))
        except CannotReplay as fault:
            self.fault = self.fault or fault

    # --- Time ----------------------------------------------------------------------------------

    def _check(self) -> None:
        if self.fault is not None:
            raise self.fault
        if self._end is not None and self._end.failure is not None:
            isSame("the end of our end", "a good one", self._end.failure.getErrorMessage())

    def _stepUntil(self, moment: float) -> bool:
        """Let time pass up to the next thing to do; False if there is none before this moment."""
        due = [call.getTime() for call in self.clock.getDelayedCalls()]
        now = self.clock.seconds()
        earliest = max(now, min(due, default=moment))
        hasWork = bool(due) and earliest <= moment
        self.clock.advance(min(earliest, moment) - now if earliest > now else 0)
        self._check()
        return hasWork

    def _reach(self, moment: float, isAwaited: bool) -> None:
        """
        Come to the moment of an event.

        @param isAwaited: whether our end has yet to do it; else it has no turn before it if it
            hardly had one then, such as between two packets that were read at once.
        """
        now = self.clock.seconds()
        if isAwaited or self._end is None or moment > now + SHORTEST_TURN:
            self._goTo(max(moment, now))
        else:
            self.clock.rightNow = max(moment, now)

    def _goTo(self, moment: float) -> None:
        begins: float = self._transcript["begins"]
        if self._end is None and moment >= begins:
            self._pass(begins)
            self._end = makeEnd(self._transcript, self._account)
            self._end.start()
        self._pass(moment)

    def _pass(self, moment: float) -> None:
        while self._stepUntil(moment):
            pass

    def _waitFor(self, what: str, isTrue: Callable[[], bool]) -> None:
        last = self.clock.seconds() + PATIENCE
        self._check()
        while not isTrue():
            if not self._stepUntil(last) and not isTrue():
                isSame(what, "there", "missing")

    # --- The whole -----------------------------------------------------------------------------

    def play(self) -> None:
        """
        Play it.

        @raise CannotReplay: if it cannot be played, or comes to another end.
        """
        account = self._account = Account(
            self.clock, self._plugin, randomBytes=Chance(b"replay"), wallClock=self._wallClock
        )
        account.whenOpen().addErrback(self._ebOpen)
        begun: set[int] = set()
        for event in self._transcript["events"]:
            number = event["packet"]
            packet = self._packets[number]
            isReply = number in begun
            begun.add(number)
            self._reach(event["at"], event["by"] == "us" and not packet.isDone())
            if event["by"] == "us":
                self._waitFor(f"packet {number} of ours", packet.isDone)
            else:
                self._give(packet, isReply)
                self._check()
        self._goTo(max(self._transcript["begins"], self.clock.seconds()))
        self._finish()

    def _give(self, packet: _Packet, isReply: bool) -> None:
        """The peer does what it did."""
        if isReply:
            assert packet.found is not None
            packet.answered.callback(
                self._secrets.renewed(packet.prepare, packet.found, packet.reply)
            )
            return
        self._secrets.open("a Prepare of the peer's", packet.prepare.data)
        reply = self._plugin.answerPrepare(packet.octets)
        if isinstance(reply, Deferred):
            reply.addCallback(self._answered, packet)
        else:
            self._answered(reply, packet)

    def _ebOpen(self, failure: Failure) -> None:
        message = failure.getErrorMessage()
        self.fault = CannotReplay(f"our end does not learn who it is: {message}")

    def _finish(self) -> None:
        end = self._end
        assert end is not None
        self._waitFor("the end of our end", lambda: end.isOver)
        self._pass(self.clock.seconds() + AFTERWARDS)
        account = self._account
        details = account.address, account.assetCode, account.assetScale
        told = self._transcript["account"]
        isSame("the account", told, dict(zip(told, details, strict=True)))
        isSame("what our end counted", self._transcript["counted"], end.counted())


def play(transcript: dict[str, Any]) -> None:
    """
    Play a transcript.

    @raise CannotReplay: if our end does not do what it did.
    """
    try:
        Replay(transcript).play()
    except DecodeError as error:
        raise CannotReplay(f"what was written down is no packet: {error}") from error
