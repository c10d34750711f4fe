"""Tests of C{txilpstream.testing.faults}: hops that do wrong."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from txilpstream.amounts import U64_MAX, Ratio
from txilpstream.errors import LocalError
from txilpstream.test.support.paths import PREIMAGE, HopTestCase
from txilpstream.testing import (
    Duplicate,
    Latency,
    LiquidityBucket,
    Loss,
    RejectWith,
    SwapReplies,
    TamperAmount,
    TamperData,
    Transit,
)
from txilpstream.wire.ilp import Fulfill, Reject, encodeFulfill, encodeReject


class LossTests(HopTestCase):
    """What vanishes, and what is rejected for nothing."""

    def test_prepares(self) -> None:
        path = self.connect(Loss(0.5, replies=0))
        for _ in range(100):
            self.send()
        self.clock.advance(100)
        counters = path.counters("left")
        self.assertTrue(20 < counters.delivered < 80)
        self.assertEqual(counters.fulfilled, counters.delivered)

    def test_replies(self) -> None:
        path = self.connect(Loss(0.5))
        for _ in range(100):
            self.send()
        self.clock.advance(100)
        counters = path.counters("left")
        self.assertTrue(0 < counters.fulfilled < counters.delivered < 80)
        self.assertEqual(counters.taken, counters.delivered * 100)

    def test_rejectWith(self) -> None:
        path = self.connect(RejectWith("T00", 0.5), RejectWith("F99", 0.5, "mine", b"data"))
        self.codes(*[1] * 100)
        counters = path.counters("left")
        self.assertTrue(20 < counters.rejects["T00"] < 80)
        self.assertEqual(counters.rejects.total() + counters.fulfilled, 100)
        self.connect(RejectWith("F99", 1, "mine", b"data"))
        self.assertEqual(self.ask(), Reject("F99", "test.path.hop0", "mine", b"data"))

    def test_bad(self) -> None:
        for make in (
            lambda: Loss(1.1),
            lambda: Loss(0, -0.1),
            lambda: RejectWith("T00", 2),
            lambda: RejectWith("T000", 1),
            lambda: Latency(float("inf")),
            lambda: SwapReplies(0.1, float("nan")),
        ):
            self.assertRaises(LocalError, make)


class DuplicateTests(HopTestCase):
    """Packets that go on twice."""

    def test_twice(self) -> None:
        """The receiver is given both, the sender pays once and hears once."""
        path = self.connect(Duplicate(1), Latency(1))
        replies = [b"first", b"second"]
        self.answerWith(path.right, lambda prepare: encodeFulfill(PREIMAGE, replies.pop(0)))
        waiting = self.send()
        self.clock.advance(1)
        self.assertEqual(self.amounts(), [100, 100])
        self.clock.advance(1)
        self.assertEqual(self.replyTo(waiting), Fulfill(PREIMAGE, b"first"))
        counters = path.counters("left")
        self.assertEqual((counters.taken, counters.given, counters.fulfilled), (100, 200, 1))

    def test_apart(self) -> None:
        """What happens to one of the pair further on does not happen to the other."""
        self.connect(Duplicate(1), LiquidityBucket(100, 1), TamperAmount(1, lambda amount: 7))
        self.assertEqual(self.codes(100), [""])
        self.assertEqual(self.amounts(), [7])
        self.assertEqual(self.path.counters("left").fulfilled, 1)

    def test_twoPairs(self) -> None:
        path = self.connect(Duplicate(1), Duplicate(1))
        self.assertEqual(self.codes(1), [""])
        counters = path.counters("left")
        self.assertEqual((counters.taken, counters.given, counters.fulfilled), (1, 4, 1))

    def test_lostNextToSender(self) -> None:
        """Money is taken once, whatever becomes of the replies."""
        path = self.connect(Loss(0, replies=1), Duplicate(1))
        self.send()
        self.clock.advance(0)
        self.assertEqual((path.taken("left"), path.given("right")), (100, 200))

    def test_never(self) -> None:
        self.connect(Duplicate(0))
        self.assertEqual(self.codes(1), [""])
        self.assertEqual(self.amounts(), [1])

    def test_copyAnswersItsSender(self) -> None:
        """A hop that lets both replies through still gives its sender one."""

        class Careless(Duplicate):
            def receiveReply(self, packet: Transit) -> None:
                return None

        path = self.connect(Careless(1))
        self.assertEqual(self.codes(1), [""])
        counters = path.counters("left")
        self.assertEqual((counters.taken, counters.fulfilled, counters.unanswered), (1, 1, 0))


class TamperTests(HopTestCase):
    """Connectors that change what is not theirs."""

    def test_amount(self) -> None:
        path = self.connect(TamperAmount(1, Ratio(1, 2).floor))
        self.codes(101)
        self.assertEqual(self.amounts(), [50])
        self.assertEqual((path.taken("left"), path.given("right")), (101, 50))

    def test_amountLimits(self) -> None:
        self.connect(TamperAmount(1, lambda amount: (amount - 50) * 2**64))
        self.codes(1, 100)
        self.assertEqual(self.amounts(), [0, U64_MAX])

    def test_amountNever(self) -> None:
        self.connect(TamperAmount(0, lambda amount: 1 // 0))
        self.assertEqual(self.codes(1), [""])

    def test_prepareData(self) -> None:
        """One byte differs, somewhere."""
        self.connect(TamperData(1, replies=0))
        for _ in range(50):
            self.send(data=b"abcdef")
        self.clock.advance(0)
        places = set()
        for prepare in self.got["right"]:
            (place,) = [at for at in range(6) if prepare.data[at] != b"abcdef"[at]]
            places.add(place)
        self.assertEqual(places, set(range(6)))

    def test_replyData(self) -> None:
        """Neither the fulfillment nor the code is touched."""
        path = self.connect(TamperData(0, replies=1))
        reply = self.ask()
        assert isinstance(reply, Fulfill)
        self.assertEqual(reply.fulfillment, PREIMAGE)
        self.assertNotEqual(reply.data, b"reply")
        self.assertEqual(len(reply.data), 5)
        self.assertEqual(path.taken("left"), 100)
        self.answerWith(path.right, lambda prepare: encodeReject("F99", "test.b", "m", b"why"))
        reject = self.ask()
        assert isinstance(reject, Reject)
        self.assertEqual((reject.code, reject.triggeredBy, reject.message), ("F99", "test.b", "m"))
        self.assertNotEqual(reject.data, b"why")

    def test_noData(self) -> None:
        path = self.connect(TamperData(1))
        self.answerWith(path.right, lambda prepare: encodeFulfill(PREIMAGE))
        waiting = self.send(data=b"")
        self.clock.advance(0)
        self.assertEqual(self.replyTo(waiting), Fulfill(PREIMAGE))


class SwapTests(HopTestCase):
    """Replies that are mixed up."""

    def setUp(self) -> None:
        super().setUp()
        path = self.connect(SwapReplies(1, 0.5))
        for end in (path.left, path.right):
            self.answerWith(end, lambda prepare: encodeFulfill(PREIMAGE, b"%d" % prepare.amount))

    def data(self, waiting: Deferred[bytes]) -> bytes:
        """Give the data of the reply."""
        return self.replyTo(waiting).data

    def test_swap(self) -> None:
        first, second = self.send(1), self.send(2)
        self.clock.advance(0)
        self.assertEqual(self.data(second), b"1")
        self.assertNoResult(first)
        self.clock.advance(0.5)
        self.assertEqual(self.data(first), b"2")

    def test_alone(self) -> None:
        """Without another, a reply goes on as it was."""
        first = self.send(1)
        self.clock.advance(0.5)
        self.assertEqual(self.data(first), b"1")
        second = self.send(2)
        self.clock.advance(0)
        self.assertNoResult(second)
        self.clock.advance(0.5)
        self.assertEqual(self.data(second), b"2")

    def test_direction(self) -> None:
        """Replies that go opposite ways are not mixed up."""
        first, second = self.send(1), self.send(2, end=self.path.right)
        self.clock.advance(0)
        self.clock.advance(0.5)
        self.assertEqual((self.data(first), self.data(second)), (b"1", b"2"))

    def test_wrongPreimage(self) -> None:
        """A Fulfill for another packet takes no money."""
        path = self.path
        self.answerWith(path.right, lambda prepare: encodeFulfill(bytes([prepare.amount] * 32)))
        self.send(1)
        self.send(2)
        self.clock.advance(0)
        self.clock.advance(0.5)
        self.assertEqual((path.taken("left"), path.counters("left").wrong), (0, 2))

    def test_never(self) -> None:
        self.connect(SwapReplies(0))
        self.assertEqual(self.codes(1, 2), ["", ""])
