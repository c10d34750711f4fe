"""
The receiving side of a session, and a peer that writes every frame of its packets by hand.
"""

from __future__ import annotations

from typing import Final

from txilpstream.crypto.keys import SessionKeys, conditionOf
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.events import Event
from txilpstream.session.receiver import Incoming, Receiver
from txilpstream.session.state import SessionState
from txilpstream.session.streams.flowcontrol import ByteBudget
from txilpstream.wire.frames import Frame
from txilpstream.wire.ilp import Fulfill, Prepare, decodeReply, encodeTimestamp
from txilpstream.wire.packet import PREPARE, StreamPacket, decodePacket, encodePacket

NOW: Final = 1_700_000_000.0

SECRET: Final = bytes(range(32))


class Reply:
    """
    An answer, opened.

    @ivar code: of a reject; empty for a fulfill.
    @ivar packet: the STREAM packet in it.
    """

    def __init__(self, code: str, packet: StreamPacket) -> None:
        self.code = code
        self.packet = packet
        self.frames = packet.frames

    def only(self, kind: type[Frame]) -> list[Frame]:
        """The frames of one kind."""
        return [frame for frame in self.frames if type(frame) is kind]


class HandPeer:
    """
    The server end of a connection, and a client that writes every frame itself.

    @ivar state: the server's.
    """

    def __init__(
        self, configuration: SessionConfiguration | None = None, budget: int = 1 << 40
    ) -> None:
        self.keys = SessionKeys(SECRET)
        self.state = SessionState(
            configuration or SessionConfiguration(isServer=True), ByteBudget(budget)
        )
        self.receiver = Receiver(self.state, self.keys, bytes)
        self.sequence = 0

    def prepareOf(
        self, plain: bytes, amount: int = 0, *, condition: bytes = b"", expiresIn: float = 30.0
    ) -> Prepare:
        """Seal octets into a Prepare that can be fulfilled unless a condition is given."""
        data = self.keys.seal(plain, bytes(12))
        return Prepare(
            amount,
            encodeTimestamp(NOW + expiresIn),
            condition or conditionOf(self.keys.fulfillment(data)),
            "test.server",
            data,
        )

    def prepare(
        self,
        *frames: Frame,
        amount: int = 0,
        minimum: int = 0,
        condition: bytes = b"",
        expiresIn: float = 30.0,
    ) -> Prepare:
        """A Prepare with these frames."""
        self.sequence += 1
        plain = encodePacket(self.sequence, PREPARE, minimum, frames)
        return self.prepareOf(plain, amount, condition=condition, expiresIn=expiresIn)

    def receive(self, prepare: Prepare, receiveMax: int | None = None) -> Incoming:
        """The first step; streams that it opens then take so much money."""
        incoming = self.receiver.receive(prepare, NOW)
        if receiveMax is not None:
            for stream in self.state.streams.open.values():
                stream.moneyIn.receiveMax = receiveMax
        return incoming

    def answer(self, incoming: Incoming, accept: bool = True, now: float = NOW) -> Reply:
        """The second step, with the reply opened."""
        reply = decodeReply(self.receiver.answer(incoming, accept, now))
        plain = self.keys.open(reply.data)
        assert plain is not None, reply
        return Reply("" if isinstance(reply, Fulfill) else reply.code, decodePacket(plain))

    def send(
        self,
        *frames: Frame,
        amount: int = 0,
        receiveMax: int | None = None,
        now: float = NOW,
        minimum: int = 0,
    ) -> Reply:
        """Both steps at once."""
        prepare = self.prepare(*frames, amount=amount, minimum=minimum, expiresIn=3600)
        return self.answer(self.receive(prepare, receiveMax), now=now)

    def events(self) -> list[Event]:
        """What happened since the last call."""
        events, self.state.events = self.state.events, []
        return events
