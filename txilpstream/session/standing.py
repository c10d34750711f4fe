"""
What can be asked of a session at any time; asking changes nothing.
"""

from __future__ import annotations

from txilpstream.errors import RejectSeen
from txilpstream.session.commands import StreamCommands
from txilpstream.session.exchangerate import ExchangeRate
from txilpstream.session.offers import Offers
from txilpstream.session.packetbuilder import Packer
from txilpstream.session.path import Path
from txilpstream.session.receiver import Receiver
from txilpstream.session.sender import Sender
from txilpstream.session.stream import SessionStream
from txilpstream.wire.ilp import Prepare

__all__ = ["Standing"]


class Standing(StreamCommands):
    """The part of a L{txilpstream.session.session.Session} that answers questions."""

    __slots__ = ("_offers", "_packer", "_path", "_receiver", "_sender")

    _offers: Offers
    _packer: Packer
    _path: Path
    _receiver: Receiver
    _sender: Sender

    @property
    def isClosed(self) -> bool:
        """Whether the connection is over."""
        return self._state.isClosed

    @property
    def isClosing(self) -> bool:
        """Whether no streams can be opened any more."""
        return self._state.isClosed or self._state.isLeaving

    @property
    def isWorn(self) -> bool:
        """Whether its key has encrypted almost all that it may: new credentials are needed."""
        return self._state.isWorn

    @property
    def packetsEncrypted(self) -> int:
        """How many packets, answers included, this end has encrypted under its key."""
        return self._state.encrypted

    @property
    def packetsLeft(self) -> int:
        """How many packets, answers included, this end may still encrypt under its key."""
        return max(0, self._configuration.maximumPacketCount - self._state.encrypted)

    @property
    def isIdle(self) -> bool:
        """Whether nothing is in flight, held or waiting to be sent or read."""
        streams = self._state.streams
        return (
            not self._path.inFlight.packets
            and not self._sender.hasWork
            and streams.isQuiet()
            and not any(stream.data.held for stream in streams.open.values())
        )

    @property
    def hasPeer(self) -> bool:
        """Whether the peer has proved that it knows the secret."""
        return self._state.hasAnswered

    @property
    def peerClosed(self) -> bool:
        """Whether the connection is over because the peer closed it in good order."""
        state = self._state
        return state.isClosed and state.error is None and not state.isDraining

    @property
    def isUsed(self) -> bool:
        """
        Whether the peer was told, or has sent, what a session that takes this one's place would
        have to know: limits that were raised, data, money, streams.
        """
        streams = self._state.streams
        return bool(
            streams.open
            or streams.grant.received
            or streams.maxStreamID != self._configuration.maximumStreamID
        )

    def isFull(self, stream: SessionStream) -> bool:
        """Whether so much waits to leave, on a stream or on all, that its producer is to pause."""
        return (
            stream.queue.unsent >= self._configuration.streamHighWater
            or self._state.streams.unsent >= self._configuration.connectionHighWater
        )

    @property
    def isLow(self) -> bool:
        """Whether what waits to leave does not fill a packet."""
        return self._state.streams.unsent < self._configuration.fragmentSize

    @property
    def inFlight(self) -> int:
        """How many packets wait for an answer."""
        return len(self._path.inFlight.packets)

    @property
    def packetRate(self) -> float:
        """How many packets per second may leave."""
        return self._path.control.packetRate

    @property
    def rejects(self) -> tuple[RejectSeen, ...]:
        """Every kind of reject that was met."""
        return self._path.patience.rejects

    def isAnew(self, prepare: Prepare) -> bool:
        """
        Whether a Prepare for a connection that is over can only be the start of another one under
        the same secret: its sequence has begun again, or it brings money after the peer's close.
        """
        return self._receiver.isAnew(prepare)

    @property
    def refusal(self) -> str | None:
        """What the peer said beside a refusal, None if nothing."""
        return self._state.refusal

    @property
    def peerAddress(self) -> str:
        """Where packets go; empty while that is not known."""
        return self._state.destination

    @property
    def peerAsset(self) -> tuple[str, int] | None:
        """The peer's asset code and scale, None until it tells them."""
        return self._state.assetDetails

    @property
    def exchangeRate(self) -> ExchangeRate:
        """What is known of the rate, for reading."""
        return self._path.rate

    @property
    def mostPerPacket(self) -> int:
        """The most that one packet carries for now, in source units, as far as it is known."""
        return self._path.mostPerPacket

    @property
    def nextSequence(self) -> int:
        """The number of the next packet."""
        return self._packer.sequence
