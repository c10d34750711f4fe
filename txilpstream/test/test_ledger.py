"""The books of a simulated path."""

from __future__ import annotations

from hashlib import sha256

from txilpstream.amounts import Ratio
from txilpstream.test.paths import PathTestCase
from txilpstream.testing import (
    Duplicate,
    Expiry,
    Latency,
    Ledger,
    LiquidityBucket,
    Loss,
    MaximumPacketAmount,
    MoneyInFlight,
    PacketRate,
    PathEnd,
    Rate,
    RejectWith,
    Reorder,
    SimulatedPath,
    SwapReplies,
    TamperAmount,
    TamperData,
    linearDrift,
)
from txilpstream.wire.ilp import Reject, decodeReply, encodeFulfill, encodeReject

CONDITIONS = {amount: sha256(sha256(b"%d" % amount).digest()).digest() for amount in range(1, 1000)}
PREIMAGES = {condition: sha256(b"%d" % amount).digest() for amount, condition in CONDITIONS.items()}


class LedgerTests(PathTestCase):
    """What the path took and gave."""

    def test_fulfilled(self) -> None:
        """Taken just before the sender hears of it, given when the receiver says so."""
        path = self.connect(Latency(1), Rate(Ratio(1, 2)))
        seen: list[int] = []
        self.send(101).addCallback(lambda reply: seen.append(path.taken("left")))
        self.clock.advance(0)
        self.assertEqual(path.given("right"), 0)
        self.clock.advance(1)
        self.assertEqual((path.taken("left"), path.given("right")), (0, 50))
        self.clock.advance(1)
        self.assertEqual(seen, [101])
        ledger = path.ledger("left")
        self.assertEqual(ledger, Ledger(packets=1, delivered=1, fulfilled=1, taken=101, given=50))
        self.assertEqual(ledger.unanswered, 0)
        self.assertEqual((path.taken("right"), path.given("left")), (0, 0))

    def test_fromTheRight(self) -> None:
        path = self.connect(Rate(Ratio(1, 2)))
        self.ask(50, end=path.right)
        self.assertEqual((path.taken("right"), path.given("left")), (50, 100))

    def test_rejected(self) -> None:
        path = self.connect()
        self.answerWith(path.right, lambda prepare: encodeReject("F99"))
        self.ask()
        self.assertEqual(path.ledger("left").rejects, {"F99": 1})
        self.assertEqual((path.taken("left"), path.given("right")), (0, 0))

    def test_wrongPreimage(self) -> None:
        path = self.connect()
        self.answerWith(path.right, lambda prepare: encodeFulfill(bytes(32)))
        self.ask()
        self.assertEqual(path.ledger("left").wrong, 1)
        self.assertEqual((path.taken("left"), path.given("right")), (0, 0))

    def test_lostNextToSender(self) -> None:
        """The nearest hop paid, and the sender never hears of it."""
        path = self.connect(Loss(0, replies=1), Latency(0))
        waiting = self.send()
        self.clock.advance(0)
        self.assertNoResult(waiting)
        self.assertEqual((path.taken("left"), path.given("right")), (100, 100))
        self.assertEqual(path.ledger("left").unanswered, 1)

    def test_lostElsewhere(self) -> None:
        path = self.connect(Latency(0), Loss(0, replies=1))
        self.send()
        self.clock.advance(0)
        self.assertEqual((path.taken("left"), path.given("right")), (0, 100))

    def test_lostReject(self) -> None:
        path = self.connect(Loss(0, replies=1), RejectWith("T00", 1))
        self.send()
        self.clock.advance(0)
        self.assertEqual(path.taken("left"), 0)

    def test_bad(self) -> None:
        """Whatever happens, what the senders know is within what the path took."""
        for seed in range(30):
            self.setUp()
            path = self.connect(
                Loss(0.05),
                Duplicate(0.1),
                Latency(0.05, 0.02),
                Expiry(),
                SwapReplies(0.1),
                Rate(Ratio(3, 7), drift=linearDrift(Ratio(1, 10))),
                TamperAmount(0.1, Ratio(1, 3).floor),
                MaximumPacketAmount(400),
                LiquidityBucket(20000, 5000),
                MoneyInFlight(4000),
                PacketRate(500, 20),
                RejectWith("T00", 0.05),
                Loss(0.05),
                TamperData(0.1),
                Reorder(0.1, 0.03),
                Duplicate(0.1),
                seed=seed,
            )
            self.check(path, 300)

    def check(self, path: SimulatedPath, count: int) -> None:
        """Send both ways and hold the books against what the ends see."""
        offered, sent, heard = ({"left": 0, "right": 0} for _ in range(3))

        def settle(raw: bytes, end: PathEnd, amount: int) -> None:
            reply = decodeReply(raw)
            if isinstance(reply, Reject):
                heard[end.side] += amount
            elif sha256(reply.fulfillment).digest() == CONDITIONS[amount]:
                heard[end.side] += amount
                sent[end.side] += amount
            self.assertLessEqual(sent[end.side], path.taken(end.side))

        for end in (path.left, path.right):
            self.answerWith(end, lambda p: encodeFulfill(PREIMAGES[p.executionCondition], b"ok"))
        for index in range(count):
            end = path.left if index % 2 else path.right
            amount = 1 + index * 2
            offered[end.side] += amount
            waiting = self.send(amount, end=end, seconds=5, condition=CONDITIONS[amount])
            waiting.addCallback(settle, end, amount)
            self.clock.advance(0.005)
        for _ in range(400):
            self.clock.advance(0.05)
        for side in ("left", "right"):
            inDoubt = offered[side] - heard[side]
            self.assertGreater(sent[side], 0)
            self.assertLessEqual(path.taken(side), sent[side] + inDoubt)
            self.assertEqual(path.given(side), sum(self.amounts(side)))
            ledger = path.ledger(side)
            self.assertEqual(ledger.packets, count // 2)
            self.assertGreaterEqual(ledger.unanswered, 0)
