"""A simulated path in virtual time, whose ends answer what they get as they are told."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.testing import Hop, PathEnd, Side, SimulatedPath
from txilpstream.wire.ilp import (
    Fulfill,
    Prepare,
    Reject,
    decodePrepare,
    decodeReply,
    encodeFulfill,
    encodePrepare,
    encodeTimestamp,
)

PREIMAGE = bytes(range(32))
CONDITION = sha256(PREIMAGE).digest()

Answer = Callable[[Prepare], "bytes | Deferred[bytes]"]


class PathTestCase(VirtualTestCase):
    """A path on a clock; each end fulfills what it gets, with data that says who it is."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.got: dict[Side, list[Prepare]] = {"left": [], "right": []}

    def connect(self, *hops: Hop, seed: int = 0) -> SimulatedPath:
        """Make a path whose ends are connected."""
        path = self.path = SimulatedPath(self.clock, hops, seed=seed)
        for end in (path.left, path.right):
            self.successResultOf(end.connect())
            self.answerWith(end, lambda prepare: encodeFulfill(PREIMAGE, b"reply"))
        return path

    def answerWith(self, end: PathEnd, answer: Answer) -> None:
        """Let one end answer otherwise."""

        def handler(data: bytes) -> bytes | Deferred[bytes]:
            prepare = decodePrepare(data)
            self.got[end.side].append(prepare)
            return answer(prepare)

        end.deregisterDataHandler()
        end.registerDataHandler(handler)

    def send(
        self,
        amount: int = 100,
        *,
        end: PathEnd | None = None,
        data: bytes = b"data",
        seconds: float = 30.0,
        condition: bytes = CONDITION,
    ) -> Deferred[bytes]:
        """Send from the left, if no end is given, a Prepare that expires in so many seconds."""
        timestamp = encodeTimestamp(self.clock.seconds() + seconds)
        packet = encodePrepare(amount, timestamp, condition, "test.path.right.x", data)
        return (end or self.path.left).sendData(packet)

    def replyTo(self, waiting: Deferred[bytes]) -> Fulfill | Reject:
        """Give the reply, which has come."""
        return decodeReply(self.successResultOf(waiting))

    def ask(self, amount: int = 100, *, end: PathEnd | None = None) -> Fulfill | Reject:
        """Send and give the reply of the same moment."""
        waiting = self.send(amount, end=end)
        self.clock.advance(0)
        return self.replyTo(waiting)

    def amounts(self, side: Side = "right") -> list[int]:
        """What Prepares came to one side, by their amounts."""
        return [prepare.amount for prepare in self.got[side]]


class HopTestCase(PathTestCase):
    """What tests of hops have in common."""

    def code(self, waiting: Deferred[bytes]) -> str:
        """Give the code of the Reject that came, or an empty string for a Fulfill."""
        reply = self.replyTo(waiting)
        return reply.code if isinstance(reply, Reject) else ""

    def codes(self, *amounts: int) -> list[str]:
        """Send packets at once and give the codes of the replies."""
        waiting = [self.send(amount) for amount in amounts]
        self.clock.advance(0)
        return [self.code(each) for each in waiting]
