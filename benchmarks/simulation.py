"""
Whole connections on a simulated path in virtual time, and a meter of what happens to their packets.

Nothing here waits: time passes from one delayed call to the next, so five minutes take as long as
their packets cost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock

from txilpstream.amounts import Ratio
from txilpstream.testing import Hop, Latency, SimulatedPath, Transit
from txilpstream.transport.account import Account
from txilpstream.transport.client import StreamClient
from txilpstream.transport.connection import StreamConnection
from txilpstream.transport.protocol import StreamFactory, StreamProtocol
from txilpstream.transport.server import StreamServer
from txilpstream.wire.ilp import Reject

BIN = 0.1
"""Seconds: what happened is counted in slices so long."""

STEP = 1e-6
"""Seconds beyond a call's moment, so that rounding never leaves it undone."""

PLENTY = 10**15
"""Units that no connection comes to the end of."""


class Meter(Hop):
    """
    The first hop: it sees every packet that leaves the left end, and every answer.

    @ivar passed: packets that were fulfilled, by slice of time.
    @ivar money: the same in units of the left end.
    @ivar rejects: by slice of time and code.
    @ivar bySender: packets that were fulfilled, by slice and by the last part of the address.
    """

    def __init__(self) -> None:
        super().__init__(direction="left")
        self.passed: Counter[int] = Counter()
        self.money: Counter[int] = Counter()
        self.rejects: Counter[tuple[int, str]] = Counter()
        self.bySender: dict[str, Counter[int]] = {}

    def receiveReply(self, packet: Transit) -> None:
        """Count an answer to a packet of money."""
        if not packet.sourceAmount:
            return
        slice_ = int(self.path.now / BIN)
        if isinstance(packet.reply, Reject):
            self.rejects[slice_, packet.reply.code] += 1
            return
        self.passed[slice_] += 1
        self.money[slice_] += packet.sourceAmount
        sender = packet.prepare.destination
        self.bySender.setdefault(sender, Counter())[slice_] += 1

    def packets(self, start: float, end: float) -> int:
        """How many were fulfilled from one moment to another."""
        return _between(self.passed, start, end)

    def units(self, start: float, end: float) -> int:
        """How much money was fulfilled from one moment to another."""
        return _between(self.money, start, end)

    def refused(self, start: float, end: float, code: str = "") -> int:
        """How many were rejected, with one code or with any."""
        first, last = round(start / BIN), round(end / BIN)
        return sum(
            count
            for (slice_, each), count in self.rejects.items()
            if first <= slice_ < last and code in ("", each)
        )

    def share(self, start: float, end: float, code: str = "") -> float:
        """Which part of all answers were rejects, in percent."""
        refused = self.refused(start, end, code)
        return 100 * refused / max(1, refused + self.packets(start, end))

    def reached(self, perSecond: float, start: float, width: float = 0.1) -> float:
        """Seconds from a moment until the end of the first slices with so many per second."""
        first, count = round(start / BIN), round(width / BIN)
        for slice_ in range(first, max(self.passed, default=first) + 1):
            if sum(self.passed[slice_ + i] for i in range(count)) >= perSecond * width:
                return (slice_ + count) * BIN - start
        return float("inf")


def _between(counter: Counter[int], start: float, end: float) -> int:
    first, last = round(start / BIN), round(end / BIN)
    return sum(counter[slice_] for slice_ in range(first, last))


class World:
    """
    A client's account on the left of a path, a server's on the right.

    @ivar clock: all time there is.
    @ivar meter: what happened to the packets of the left.
    """

    def __init__(
        self, hops: Sequence[Hop], *, roundTrip: float = 0.05, seed: int = 0, near: float = 0.5
    ) -> None:
        """
        @param hops: between the two ends.
        @param near: how far they are from the left end, as a part of the whole way.
        @param roundTrip: seconds, from end to end and back.
        """
        self.clock = Clock()
        self.meter = Meter()
        self.path = SimulatedPath(
            self.clock,
            [self.meter, Latency(near * roundTrip / 2), *hops, Latency((1 - near) * roundTrip / 2)],
            seed=seed,
        )
        self.random = Random(seed)
        accounts = [
            Account.open(
                self.clock, end, wallClock=self.clock.seconds, randomBytes=self.random.randbytes
            )
            for end in (self.path.left, self.path.right)
        ]
        self.run(0.1)
        left, right = (self.result(opened) for opened in accounts)
        self.client = StreamClient(left)
        self.server = StreamServer(right)
        self.server.listen(Factory.forProtocol(StreamProtocol))

    def run(self, seconds: float, isDone: Callable[[], bool] | None = None) -> None:
        """Let time pass, until something is done if that is said."""
        clock = self.clock
        end = clock.seconds() + seconds
        while isDone is None or not isDone():
            calls = clock.getDelayedCalls()
            moment = min((call.getTime() for call in calls), default=end + 1)
            if moment > end:
                clock.advance(max(0.0, end - clock.seconds()))
                return
            clock.advance(max(0.0, moment - clock.seconds()) + STEP)

    def result(self, deferred: Deferred[Any]) -> Any:
        """What a Deferred that has fired was fired with; an error is raised."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        if not results:
            raise AssertionError("a Deferred that should have fired has not")
        if hasattr(results[0], "raiseException"):
            results[0].raiseException()
        return results[0]

    def connect(self, **options: Any) -> tuple[StreamConnection, Any]:
        """Open a connection and a stream on it; gives the stream too."""
        options = {"minimumRate": Ratio(1), **options}
        opening = self.client.connect(self.server.generateCredentials(), **options)
        opened: list[Any] = []
        opening.addBoth(lambda outcome: opened.append(outcome) or outcome)
        self.run(5.0, lambda: bool(opened))
        connection = self.result(opening)
        protocol = self.result(connection.openStream(StreamFactory.forProtocol(StreamProtocol)))
        return connection, protocol.transport

    def settle(self) -> float:
        """Let time pass to the next full slice, and give the moment."""
        moment = (int(self.clock.seconds() / BIN) + 1) * BIN
        self.run(moment - self.clock.seconds())
        return moment
