"""
What a hop is: the base class of all, and the record of a packet that they hand on.

A hop may change a packet and its reply in place, and hold each for a time.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, Protocol

from txilpstream.errors import LocalError
from txilpstream.wire.ilp import ERROR_NAMES, Fulfill, Prepare, Reject

if TYPE_CHECKING:
    from random import Random

    from twisted.internet.defer import Deferred

__all__ = ["Direction", "Gone", "Hop", "Side", "Transit", "checkProbability"]

Side = Literal["left", "right"]
"""One of the two ends of a path."""

Direction = Literal["both", "left", "right"]
"""Whose packets a hop is about: those that this side sends, with the replies to them."""


class Gone(Enum):
    """Why a packet or a reply goes no further."""

    LOST = "lost"
    """It vanished between two nodes. A Fulfill lost next to its sender was paid all the same."""

    DROPPED = "dropped"
    """The hop took it off the path on purpose, such as the second reply to one packet."""


class Transit:
    """
    One packet on its way there and back.

    A hop changes the fields of C{prepare} in place, and puts a new C{reply} for the old one.

    @ivar side: the side that sent it.
    @ivar data: the bytes that it sent.
    @ivar prepare: the Prepare as it has become so far.
    @ivar sourceAmount: its amount as it was sent.
    @ivar condition: its condition as it was sent.
    @ivar reply: the answer as it has become so far; not set before there is one.
    @ivar notes: what hops remember of it, each under itself.
    @ivar position: how many hops, in the order of its way there, lie between it and its sender.
    @ivar deferred: what its sender waits for.
    @ivar origin: the packet that this one is a copy of, if it is one.
    @ivar rawReply: the bytes that the far end answered with.
    @ivar farReply: what they were decoded to.
    @ivar hasLeft: whether it has entered the first hop.
    @ivar isAnswered: whether its sender has been answered, by this or by a copy.
    @ivar isTaken: whether its amount is in L{PathCounters.taken
        <txilpstream.testing.path.PathCounters>}, by this or by a copy.
    """

    __slots__ = (
        "condition",
        "data",
        "deferred",
        "farReply",
        "hasLeft",
        "isAnswered",
        "isTaken",
        "notes",
        "origin",
        "position",
        "prepare",
        "rawReply",
        "reply",
        "side",
        "sourceAmount",
    )

    prepare: Prepare
    sourceAmount: int
    condition: bytes
    reply: Fulfill | Reject

    def __init__(self, side: Side, data: bytes, deferred: Deferred[bytes]) -> None:
        self.side: Side = side
        self.data = data
        self.deferred = deferred
        self.notes: dict[Hop, Any] = {}
        self.position = 0
        self.origin: Transit | None = None
        self.rawReply = b""
        self.farReply: Fulfill | Reject | None = None
        self.hasLeft = False
        self.isAnswered = False
        self.isTaken = False

    def copy(self) -> Transit:
        """Make a second packet of this one; the first answer to either is the sender's."""
        twin = Transit(self.side, self.data, self.deferred)
        old = self.prepare
        twin.prepare = Prepare(
            old.amount, old.timestamp, old.executionCondition, old.destination, old.data
        )
        twin.sourceAmount = self.sourceAmount
        twin.condition = self.condition
        twin.notes = dict(self.notes)
        twin.position = self.position
        twin.origin = self.origin or self
        twin.hasLeft = True
        return twin


class HopPath(Protocol):
    """What a hop uses of its path."""

    random: Random
    startedAt: float

    @property
    def now(self) -> float:
        """The reactor's seconds."""

    def wallTime(self) -> float:
        """Seconds since the epoch."""

    def taken(self, side: Side) -> int:
        """What the path took from one side, in its units."""

    def given(self, side: Side) -> int:
        """What the path gave to one side, in its units."""

    def schedule(self, seconds: float, function: Callable[[Any], None], argument: object) -> None:
        """Call later."""

    def sendOn(self, hop: Hop, packet: Transit) -> None:
        """Send a packet on from a hop."""

    def sendBack(self, hop: Hop, packet: Transit, reject: Reject) -> None:
        """Send a reply back from a hop."""


class Hop:
    """
    One thing that happens to packets on a path; a hop of your own overrides the two methods.

    An instance belongs to one path, which sets C{path} and C{address} when it is made. Of
    C{path}, a hop uses C{now} (in the reactor's seconds), C{wallTime()} (in seconds since the
    epoch), C{random}, and, to act on its own, C{schedule}, C{sendOn} and C{sendBack}. An
    exception in a hop is logged; the Prepare is then rejected with T00, and a reply goes on as it
    is.

    @ivar direction: whose packets pass through it; those of the other side pass it by.
    @ivar path: the path that it is part of.
    @ivar address: its own ILP address, C{test.path.hop<index>}.
    """

    path: HopPath
    address: str = ""

    def __init__(self, *, direction: Direction = "both") -> None:
        """
        @raise LocalError: if the direction is none.
        """
        if direction not in ("both", "left", "right"):
            raise LocalError(f"direction is {direction!r}: it must be 'both', 'left' or 'right'")
        self.direction: Direction = direction

    def receivePrepare(self, packet: Transit) -> float | Reject | Gone | None:
        """
        A Prepare comes by; it may be changed.

        @return: None to let it pass, a number of seconds to let it pass so much later, a Reject
            to answer it, see L{reject}, or L{Gone}.
        """
        return None

    def receiveReply(self, packet: Transit) -> float | Gone | None:
        """
        The reply to a packet that this hop let pass comes by; it may be replaced.

        @return: None to let it pass, a number of seconds to let it pass so much later, or L{Gone}.
        """
        return None

    def reset(self) -> None:
        """All packets underway are gone, for both ends disconnected; forget them."""

    def reject(self, code: str, message: str = "", data: bytes = b"") -> Reject:
        """
        Make a Reject by this hop.

        @param message: the code's name in RFC 27 if it is empty.
        """
        return Reject(code, self.address, message or ERROR_NAMES.get(code, ""), data)


def checkProbability(name: str, value: float) -> float:
    """
    Give back a probability that is one.

    @raise LocalError: if it is not from 0 to 1.
    """
    if not 0 <= value <= 1:
        raise LocalError(f"{name} is {value!r}: it must be from 0 to 1")
    return value
