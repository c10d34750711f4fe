"""Tests of C{txilpstream.testing.hop}: hops in general, and hops of one's own."""

from __future__ import annotations

from twisted.internet.defer import succeed

from txilpstream.amounts import Ratio
from txilpstream.errors import LocalError
from txilpstream.test.support.paths import PREIMAGE, PathTestCase
from txilpstream.testing import (
    Gone,
    Hop,
    MaximumPacketAmount,
    Rate,
    RejectWith,
    SimulatedPath,
    Transit,
)
from txilpstream.wire.ilp import Fulfill, Reject, encodeFulfill


class Noting(Hop):
    """Somebody's own hop."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.verdict: float | Reject | Gone | None = None

    def receivePrepare(self, packet: Transit) -> float | Reject | Gone | None:
        """Note it."""
        self.seen.append(f"{packet.side} {packet.prepare.amount}")
        return self.verdict

    def receiveReply(self, packet: Transit) -> float | Gone | None:
        """Note it."""
        self.seen.append(f"{packet.side} {type(packet.reply).__name__}")
        return None


class Broken(Hop):
    """A hop that fails both ways."""

    def receivePrepare(self, packet: Transit) -> None:
        """Fail."""
        if packet.side == "right":
            raise ZeroDivisionError

    def receiveReply(self, packet: Transit) -> None:
        """Fail."""
        raise ZeroDivisionError


class Inflating(Hop):
    """A hop that makes what cannot be."""

    def receivePrepare(self, packet: Transit) -> None:
        """Make the amount too large for 64 bits."""
        packet.prepare.amount = 2**64


class HopTests(PathTestCase):
    """Hops in general, and hops of one's own."""

    def test_base(self) -> None:
        """The base class lets all pass."""
        self.connect(Hop())
        self.assertEqual(self.ask(), Fulfill(PREIMAGE, b"reply"))

    def test_order(self) -> None:
        first, second = Noting(), Noting()
        path = self.connect(first, Rate(Ratio(2)), second)
        self.ask()
        self.assertEqual(first.seen, ["left 100", "left Fulfill"])
        self.assertEqual(second.seen, ["left 200", "left Fulfill"])
        self.ask(end=path.right)
        self.assertEqual(second.seen[2:], ["right 100", "right Fulfill"])
        self.assertEqual(first.seen[2:], ["right 50", "right Fulfill"])

    def test_reject(self) -> None:
        """A hop's Reject passes those between it and the sender, and no other."""
        hops = [Noting(), Noting(), Noting()]
        path = self.connect(*hops)
        hops[1].verdict = hops[1].reject("F02", data=b"why")
        self.assertEqual(self.ask(), Reject("F02", "test.path.hop1", "Unreachable", b"why"))
        self.assertEqual([len(hop.seen) for hop in hops], [2, 1, 0])
        self.ask(end=path.right)
        self.assertEqual([len(hop.seen) for hop in hops], [2, 2, 2])
        self.assertEqual(Hop().reject("X99", "mine"), Reject("X99", "", "mine"))
        self.assertEqual(Hop().reject("X99"), Reject("X99"))

    def test_seconds(self) -> None:
        hop = Noting()
        self.connect(hop)
        hop.verdict = 3
        waiting = self.send()
        self.clock.advance(2.5)
        self.assertNoResult(waiting)
        self.clock.advance(0.5)
        self.assertEqual(self.replyTo(waiting), Fulfill(PREIMAGE, b"reply"))

    def test_gone(self) -> None:
        hop = Noting()
        path = self.connect(hop)
        hop.verdict = Gone.DROPPED
        waiting = self.send()
        self.clock.advance(100)
        self.assertNoResult(waiting)
        self.assertEqual(path.counters("left").unanswered, 1)

    def test_fails(self) -> None:
        path = self.connect(Broken())
        self.assertEqual(self.ask(), Fulfill(PREIMAGE, b"reply"))
        self.assertEqual(
            self.ask(end=path.right), Reject("T00", "test.path.hop0", "Internal Error")
        )
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_impossiblePrepare(self) -> None:
        path = self.connect(Inflating())
        self.assertEqual(self.ask(), Reject("T00", "test.path.hop0", "Internal Error"))
        self.assertEqual(path.counters("left").delivered, 0)
        self.assertEqual(len(self.flushLoggedErrors(LocalError)), 1)

    def test_direction(self) -> None:
        """A hop for one side is passed by by the other."""
        path = self.connect(
            RejectWith("T00", 1, direction="right"), MaximumPacketAmount(5, direction="left")
        )
        self.assertEqual(self.ask(5), Fulfill(PREIMAGE, b"reply"))
        reply = self.ask(6)
        assert isinstance(reply, Reject)
        self.assertEqual((reply.code, reply.triggeredBy), ("F08", "test.path.hop1"))
        reply = self.ask(6, end=path.right)
        assert isinstance(reply, Reject)
        self.assertEqual((reply.code, reply.triggeredBy), ("T00", "test.path.hop0"))

    def test_badDirection(self) -> None:
        error = self.assertRaises(LocalError, Hop, direction="up")
        self.assertIn("up", str(error))

    def test_oncePerPath(self) -> None:
        hop = Hop()
        error = self.assertRaises(LocalError, SimulatedPath, self.clock, [hop, hop])
        self.assertIn("test.path.hop0", str(error))

    def test_alreadyFired(self) -> None:
        path = self.connect()
        self.answerWith(path.right, lambda prepare: succeed(encodeFulfill(PREIMAGE)))
        self.assertEqual(self.ask(), Fulfill(PREIMAGE))
