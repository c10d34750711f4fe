"""
What a session tells its driver.

Each event is built complete; the driver collects them with C{Session.nextEvents}. Every
total is up to date before an event of it is seen.
"""

from __future__ import annotations

from dataclasses import dataclass

from txilpstream.amounts import Ratio
from txilpstream.errors import StreamError

__all__ = [
    "AssetDetailsLearned",
    "ConnectionClosed",
    "DataArrived",
    "DataDrained",
    "DoubtResolved",
    "Event",
    "KeyExhausted",
    "MoneyFailed",
    "MoneyReceived",
    "MoneySettled",
    "PeerAddressChanged",
    "PeerAnswered",
    "RateLearned",
    "ReceiptArrived",
    "ReserveNeeded",
    "SendingEnded",
    "StreamClosed",
    "StreamEnded",
    "StreamOpened",
]


@dataclass(slots=True)
class PeerAnswered:
    """The peer proved for the first time that it has the shared secret."""


@dataclass(slots=True)
class PeerAddressChanged:
    """The peer told where it can be reached; C{address} is an ILP address."""

    address: str


@dataclass(slots=True)
class AssetDetailsLearned:
    """The peer told its asset: code and number of decimals."""

    assetCode: str
    assetScale: int


@dataclass(slots=True)
class KeyExhausted:
    """
    The key has encrypted almost as many packets as it may; no streams are opened any more.

    @ivar left: how many more it may.
    """

    left: int


@dataclass(slots=True)
class StreamOpened:
    """The peer opened the stream C{streamID}."""

    streamID: int


@dataclass(slots=True)
class DataArrived:
    """Bytes of a stream wait to be consumed."""

    streamID: int


@dataclass(slots=True)
class DataDrained:
    """
    Less waits to leave than the high-water mark, after it was that much.

    @ivar streamID: of which stream; 0 for all of them together.
    """

    streamID: int


@dataclass(slots=True)
class MoneyReceived:
    """Money was credited to a stream: C{amount}, in this end's units."""

    streamID: int
    amount: int


@dataclass(slots=True)
class MoneySettled:
    """
    The fate of money is known; packets that are settled one after the other are told together.

    @ivar sourceAmount: what left, in source units.
    @ivar deliveredMinimum: what arrived at least, in the peer's units.
    @ivar deliveredClaimed: what the peer says arrived.
    @ivar isInDoubt: whether there was no answer; then nothing is known to have arrived.
    """

    streamID: int
    sourceAmount: int
    deliveredMinimum: int
    deliveredClaimed: int
    isInDoubt: bool


@dataclass(slots=True)
class DoubtResolved:
    """
    A late answer says what became of money that was in doubt.

    @ivar sourceAmount: what is in doubt no more, in source units.
    @ivar deliveredMinimum: what arrived at least, in the peer's units; 0 if it came back.
    @ivar deliveredClaimed: what the peer says arrived.
    @ivar isSent: whether it arrived; else it came back, and is not offered again by itself.
    """

    streamID: int
    sourceAmount: int
    deliveredMinimum: int
    deliveredClaimed: int
    isSent: bool


@dataclass(slots=True)
class MoneyFailed:
    """
    Money that was offered cannot be sent and was taken back from the stream.

    @ivar sourceAmount: how much was taken back, in source units.
    @ivar reason: why, for people.
    @ivar smallestAmount: the smallest that could be sent, where the rate is the cause, else None.
    @ivar offered: all that had been offered on the stream by then: later offers are not meant.
    """

    streamID: int
    sourceAmount: int
    reason: str
    smallestAmount: int | None
    offered: int = 0


@dataclass(slots=True)
class ReserveNeeded:
    """Money, or packets at all if C{streamID} is 0, wait for a larger reserve."""

    streamID: int


@dataclass(slots=True)
class RateLearned:
    """
    The rate was asked for and is known, in destination per source units.

    @ivar low: it is at least this; None if nothing arrives at all.
    @ivar high: it is less than this, or equal.
    @ivar floor: the least at which money leaves.
    """

    low: Ratio | None
    high: Ratio | None
    floor: Ratio | None


@dataclass(slots=True)
class ReceiptArrived:
    """The peer signed what a stream has received (RFC 39): C{receipt} has 58 octets."""

    streamID: int
    receipt: bytes


@dataclass(slots=True)
class StreamEnded:
    """The peer will send no more on a stream; all it sent has been reported before."""

    streamID: int


@dataclass(slots=True)
class SendingEnded:
    """The peer knows that this end sends no more on a stream; all that was sent has arrived."""

    streamID: int


@dataclass(slots=True)
class StreamClosed:
    """
    Both halves of a stream are over.

    @ivar error: why, if it was not in good order.
    @ivar held: source units that were on their way when it ended; of them nothing more is told.
    """

    streamID: int
    error: StreamError | None
    held: int = 0


@dataclass(slots=True)
class ConnectionClosed:
    """The connection is over; C{error} says why if it was not in good order."""

    error: StreamError | None


Event = (
    PeerAnswered
    | PeerAddressChanged
    | AssetDetailsLearned
    | KeyExhausted
    | StreamOpened
    | DataArrived
    | DataDrained
    | MoneyReceived
    | MoneySettled
    | DoubtResolved
    | MoneyFailed
    | RateLearned
    | ReceiptArrived
    | ReserveNeeded
    | StreamEnded
    | SendingEnded
    | StreamClosed
    | ConnectionClosed
)
"""Any of these."""
