"""
Tests of C{txilpstream.hub.connector}: the hub: what becomes of a packet on its way from one account
to another.
"""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from txilpstream.amounts import U64_MAX, Ratio
from txilpstream.errors import ConnectionEnded, LocalError
from txilpstream.hub.connector import Hub
from txilpstream.interfaces import NotSent
from txilpstream.test.support.hubs import CONDITION, EPOCH, PREIMAGE, HubTestCase, prepareTo
from txilpstream.wire.ildcp import decodeResponse, encodeRequest
from txilpstream.wire.ilp import Fulfill, Reject, decodeAmountTooLarge, encodeFulfill, encodeReject


class ForwardTests(HubTestCase):
    """Two accounts of one asset."""

    def setUp(self) -> None:
        super().setUp()
        self.alice = self.add("alice")
        self.bob = self.add("bob")

    def test_fulfilled(self) -> None:
        """The packet goes on a second shorter, and the money moves with the fulfillment."""
        reply = self.ask("alice", prepareTo("test.hub.bob.token", 70))
        self.assertEqual(reply, Fulfill(PREIMAGE, b"yes"))
        (got,) = self.got["bob"]
        self.assertEqual(
            (got.amount, got.destination, got.data), (70, "test.hub.bob.token", b"data")
        )
        self.assertEqual((got.executionCondition, got.expiresAt), (CONDITION, EPOCH + 29))
        self.assertEqual((self.alice.balance, self.bob.balance), (-70, 70))
        self.assertEqual((self.alice.totalSent, self.bob.totalReceived), (70, 70))
        self.assertEqual((self.alice.held, self.bob.heldFor), (0, 0))

    def test_rejected(self) -> None:
        """A reject is handed on as it is, and nothing moves."""
        self.answers["bob"] = encodeReject("F99", "test.hub.bob", "no", b"why")
        reply = self.ask("alice", prepareTo("test.hub.bob"))
        self.assertEqual(reply, Reject("F99", "test.hub.bob", "no", b"why"))
        self.assertEqual((self.alice.balance, self.bob.balance), (0, 0))

    def test_wrongPreimage(self) -> None:
        self.answers["bob"] = encodeFulfill(b"q" * 32)
        self.assertEqual(self.codeOf("alice", prepareTo("test.hub.bob")), "F05")
        self.assertEqual((self.alice.balance, self.bob.balance), (0, 0))

    def test_answerIsNone(self) -> None:
        self.answers["bob"] = b"noise"
        self.assertEqual(self.codeOf("alice", prepareTo("test.hub.bob")), "T00")

    def test_held(self) -> None:
        """Money is held while the answer is awaited."""
        answer: Deferred[bytes] = Deferred()
        self.answers["bob"] = lambda: answer
        answered = self.send("alice", prepareTo("test.hub.bob", 40))
        self.assertNoResult(answered)
        self.assertEqual((self.alice.held, self.bob.heldFor, self.alice.balance), (40, 40, 0))
        answer.callback(encodeFulfill(PREIMAGE))
        self.successResultOf(answered)
        self.assertEqual((self.alice.held, self.bob.balance), (0, 40))

    def test_nobodyAnswers(self) -> None:
        """R00 half a second before the sender's time is over; what comes then is too late."""
        answer: Deferred[bytes] = Deferred()
        self.answers["bob"] = lambda: answer
        answered = self.send("alice", prepareTo("test.hub.bob", seconds=10))
        self.clock.pump([0.05] * 188)
        self.assertNoResult(answered)
        self.clock.pump([0.05] * 5)
        self.assertIn(b"R00", self.successResultOf(answered))
        answer.callback(encodeFulfill(PREIMAGE))
        self.clock.advance(1)
        self.assertEqual((self.alice.balance, self.bob.balance, self.alice.held), (0, 0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_justInTime(self) -> None:
        """What was fulfilled in time may take a moment to come back."""
        answer: Deferred[bytes] = Deferred()
        self.answers["bob"] = lambda: answer
        answered = self.send("alice", prepareTo("test.hub.bob", seconds=10))
        self.clock.pump([0.05] * 184)
        answer.callback(encodeFulfill(PREIMAGE))
        self.successResultOf(answered)
        self.assertEqual(self.bob.balance, 100)

    def test_heldNoLonger(self) -> None:
        """Whatever a packet asks for, 30 s is the most."""
        self.ask("alice", prepareTo("test.hub.bob", seconds=3600))
        self.assertEqual(self.got["bob"][0].expiresAt, EPOCH + 30)

    def test_tooLittleTime(self) -> None:
        self.assertEqual(self.codeOf("alice", prepareTo("test.hub.bob", seconds=1.9)), "R02")
        self.assertEqual(self.codeOf("alice", prepareTo("test.hub.bob", seconds=-5)), "R02")
        self.assertIsInstance(self.ask("alice", prepareTo("test.hub.bob", seconds=2)), Fulfill)

    def test_noRoute(self) -> None:
        for destination in ("test.hub.carol", "g.bob", "test.hub", "test.hubbob.x", "peer.x"):
            self.assertEqual(self.codeOf("alice", prepareTo(destination)), "F02", destination)

    def test_toItself(self) -> None:
        """A packet that would go back where it came from goes nowhere."""
        self.assertEqual(self.codeOf("alice", prepareTo("test.hub.alice.x")), "F02")

    def test_noPrepare(self) -> None:
        self.assertEqual(self.codeOf("alice", b"noise"), "F01")

    def test_notConnected(self) -> None:
        self.bob.outlets[0].plugin.disconnect()
        self.clock.advance(0)
        self.assertEqual(self.codeOf("alice", prepareTo("test.hub.bob")), "T01")

    def test_nothingAttached(self) -> None:
        self.hub.addAccount("carol")
        self.assertEqual(self.codeOf("alice", prepareTo("test.hub.carol")), "T01")

    def test_ildcp(self) -> None:
        """Each account hears who it is, at any hour."""
        details = decodeResponse(self.successResultOf(self.send("bob", encodeRequest(EPOCH))))
        self.assertEqual((details.address, details.assetScale), ("test.hub.bob", 9))

    def test_zero(self) -> None:
        """A packet without money goes the same way and moves nothing."""
        self.assertIsInstance(self.ask("alice", prepareTo("test.hub.bob", 0)), Fulfill)
        self.assertEqual(self.bob.totalReceived, 0)

    def test_secondOutlet(self) -> None:
        """If the first way is closed, the packet takes the second."""
        self.add("carol")
        plugin = self.hub.accounts["carol"].outlets[0].plugin
        self.hub.accounts["carol"].outlets[0].close()
        self.hub.attach(self.bob, plugin)
        self.bob.outlets[0].plugin.disconnect()
        self.clock.advance(0)
        self.assertIsInstance(self.ask("alice", prepareTo("test.hub.bob")), Fulfill)
        self.assertEqual((len(self.got["bob"]), len(self.got["carol"])), (0, 1))

    def test_outcomes(self) -> None:
        """What a plugin says of a packet that was not answered, as a code."""
        plugin: Any = self.bob.outlets[0].plugin
        for error, code in ((NotSent("x"), "T01"), (ConnectionEnded("x"), "T00")):
            plugin.sendData = lambda _, error=error: fail(error)
            self.assertEqual(self.codeOf("alice", prepareTo("test.hub.bob")), code)
        self.assertEqual(self.alice.held, 0)

    def test_pluginRaises(self) -> None:
        plugin: Any = self.bob.outlets[0].plugin
        plugin.sendData = lambda _: 1 / 0
        self.assertEqual(self.codeOf("alice", prepareTo("test.hub.bob")), "T00")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class LimitTests(HubTestCase):
    """What an account may do."""

    def test_balance(self) -> None:
        """T04 for what the balance does not cover, held money counted; never below its minimum."""
        alice = self.add("alice", minimumBalance=-100)
        self.add("bob", minimumBalance=0)
        answer: Deferred[bytes] = Deferred()
        self.answers["bob"] = lambda: answer
        held = self.send("alice", prepareTo("test.hub.bob", 60))
        self.assertEqual(self.codeOf("alice", prepareTo("test.hub.bob", 41)), "T04")
        answer.callback(encodeFulfill(PREIMAGE))
        self.successResultOf(held)
        self.answers["bob"] = encodeFulfill(PREIMAGE)
        self.assertEqual(self.codeOf("alice", prepareTo("test.hub.bob", 41)), "T04")
        self.assertIsInstance(self.ask("alice", prepareTo("test.hub.bob", 40)), Fulfill)
        self.assertEqual(alice.balance, -100)
        self.assertEqual(self.codeOf("alice", prepareTo("test.hub.bob", 1)), "T04")
        self.assertIsInstance(self.ask("bob", prepareTo("test.hub.alice", 100)), Fulfill)
        self.assertEqual(self.codeOf("bob", prepareTo("test.hub.alice", 1)), "T04")

    def test_packetAmount(self) -> None:
        self.add("alice", maximumPacketAmount=99)
        self.add("bob")
        reply = self.ask("alice", prepareTo("test.hub.bob", 100))
        assert isinstance(reply, Reject)
        limit = decodeAmountTooLarge(reply.data)
        assert limit is not None
        self.assertEqual((reply.code, limit.receivedAmount, limit.maximumAmount), ("F08", 100, 99))
        self.assertIsInstance(self.ask("alice", prepareTo("test.hub.bob", 99)), Fulfill)

    def test_packetRate(self) -> None:
        """As many at once as in a minute, and then as many as the time brings."""
        self.add("alice", packetsPerMinute=60)
        self.add("bob")
        packet = prepareTo("test.hub.bob", 1, seconds=3600)
        for _ in range(60):
            self.assertIsInstance(self.ask("alice", packet), Fulfill)
        self.assertEqual(self.codeOf("alice", packet), "T05")
        self.clock.advance(2.5)
        for _ in range(2):
            self.assertIsInstance(self.ask("alice", packet), Fulfill)
        self.assertEqual(self.codeOf("alice", packet), "T05")


class RateTests(HubTestCase):
    """Two assets."""

    options = {"prices": {"USD": Ratio(1), "EUR": Ratio(5, 4)}}

    def setUp(self) -> None:
        super().setUp()
        self.alice = self.add("alice")
        self.bob = self.add("bob", assetCode="EUR", assetScale=6)

    def test_roundedDown(self) -> None:
        """What rounding leaves is the hub's."""
        self.ask("alice", prepareTo("test.hub.bob", 1_999_999))
        self.assertEqual((self.alice.balance, self.bob.balance), (-1_999_999, 1599))
        self.assertEqual(self.hub.books.position, {("USD", 9): 1_999_999, ("EUR", 6): -1599})

    def test_back(self) -> None:
        self.ask("bob", prepareTo("test.hub.alice", 4))
        self.assertEqual((self.alice.balance, self.bob.balance), (5000, -4))

    def test_roundedToNothing(self) -> None:
        """A packet that comes to nothing goes on: whoever sent it set its minimum."""
        self.ask("alice", prepareTo("test.hub.bob", 999))
        self.assertEqual(
            (self.alice.balance, self.bob.balance, self.got["bob"][0].amount), (-999, 0, 0)
        )

    def test_tooLargeThen(self) -> None:
        """What would not fit into 64 bits beyond the rate is too large; what would is said."""
        reply = self.ask("bob", prepareTo("test.hub.alice", U64_MAX))
        assert isinstance(reply, Reject)
        limit = decodeAmountTooLarge(reply.data)
        assert limit is not None
        self.assertEqual((reply.code, limit.receivedAmount), ("F08", U64_MAX))
        self.assertIsInstance(
            self.ask("bob", prepareTo("test.hub.alice", limit.maximumAmount)), Fulfill
        )

    def test_noRate(self) -> None:
        self.add("carol", assetCode="XRP")
        self.assertEqual(self.codeOf("alice", prepareTo("test.hub.carol")), "F02")


class RateSourceTests(HubTestCase):
    """Rates from a callable."""

    options = {"rates": lambda source, destination: Ratio(1, 0 if destination[0] == "BAD" else 2)}

    def test_asked(self) -> None:
        self.add("alice")
        bob = self.add("bob", assetCode="EUR")
        self.ask("alice", prepareTo("test.hub.bob", 9))
        self.assertEqual(bob.balance, 4)

    def test_raises(self) -> None:
        self.add("alice")
        self.add("bob", assetCode="BAD")
        self.assertEqual(self.codeOf("alice", prepareTo("test.hub.bob", 9)), "F02")
        self.assertEqual(len(self.flushLoggedErrors(LocalError)), 1)

    def test_notBoth(self) -> None:
        with self.assertRaises(LocalError):
            Hub(Clock(), prices={}, rates=lambda source, destination: None)


class AccountTests(HubTestCase):
    """Accounts that come and go."""

    def test_sameName(self) -> None:
        self.add("alice")
        with self.assertRaisesRegex(LocalError, "already"):
            self.hub.addAccount("alice")

    def test_routes(self) -> None:
        """A prefix leads to one account; one that cannot be given leaves nothing behind."""
        self.add("alice", routes=("g.bank",))
        bank = self.add("bob", routes=("",))
        with self.assertRaisesRegex(LocalError, "another account"):
            self.hub.addAccount("carol", routes=("g.bank",))
        self.assertNotIn("carol", self.hub.accounts)
        self.hub.addAccount("carol")
        self.assertIsInstance(self.ask("bob", prepareTo("g.bank.zoe")), Fulfill)
        self.assertIsInstance(self.ask("alice", prepareTo("g.other.zoe", 7)), Fulfill)
        self.assertEqual(bank.balance, -93)

    def test_removed(self) -> None:
        alice, bob = self.add("alice"), self.add("bob")
        self.ask("alice", prepareTo("test.hub.bob", 5))
        with self.assertRaisesRegex(LocalError, "balance of 5"):
            self.hub.removeAccount(bob)
        self.ask("bob", prepareTo("test.hub.alice", 5))
        self.assertFalse(bob.isIdle)
        self.hub.removeAccount(bob)
        self.assertTrue(bob.isIdle)
        self.assertEqual(self.codeOf("alice", prepareTo("test.hub.bob", 5)), "F02")
        self.assertTrue(alice.isConnected)


class EndTests(HubTestCase):
    """A hub that stops."""

    def setUp(self) -> None:
        super().setUp()
        self.add("alice")
        self.add("bob")
        self.answer: Deferred[bytes] = Deferred()
        self.answers["bob"] = lambda: self.answer

    def test_drain(self) -> None:
        """What is under way is settled; what comes is refused for now."""
        answered = self.send("alice", prepareTo("test.hub.bob"))
        drained = self.hub.drain()
        self.assertNoResult(drained)
        self.assertEqual(self.codeOf("alice", prepareTo("test.hub.bob")), "T99")
        self.answer.callback(encodeFulfill(PREIMAGE))
        self.successResultOf(drained)
        self.successResultOf(answered)
        self.successResultOf(self.hub.drain())

    def test_drainGivenUp(self) -> None:
        self.send("alice", prepareTo("test.hub.bob"))
        drained = self.hub.drain()
        drained.cancel()
        self.failureResultOf(drained)
        self.answer.callback(encodeFulfill(PREIMAGE))

    def test_close(self) -> None:
        """What is still under way gets R00, and nothing is left behind."""
        answered = self.send("alice", prepareTo("test.hub.bob"))
        self.hub.close()
        self.clock.advance(0)
        self.assertIn(b"R00", self.successResultOf(answered))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.hub.close()


class BooksTests(HubTestCase):
    """Many accounts, many packets, many ends."""

    options = {"prices": {"USD": Ratio(1), "EUR": Ratio(108, 100), "XRP": Ratio(3, 7)}}

    def test_random(self) -> None:
        """Whatever happens to packets, the books add up and no limit is passed, at every step."""
        rng = random.Random(4)
        names = [f"a{number}" for number in range(6)]
        for name in names:
            limit = rng.choice([None, 0, -500])
            asset = rng.choice(["USD", "EUR", "XRP"])
            self.add(name, assetCode=asset, assetScale=rng.choice([2, 3]), minimumBalance=limit)
        open_: list[Deferred[bytes]] = []

        def answer() -> bytes | Deferred[bytes]:
            kind = rng.randrange(5)
            if kind < 2:
                return encodeFulfill(PREIMAGE)
            if kind == 2:
                return encodeReject("F99")
            if kind == 3:
                return succeed(encodeFulfill(b"x" * 32))
            open_.append(Deferred())
            return open_[-1]

        for name in names:
            self.answers[name] = answer
        for _ in range(600):
            source, to = rng.sample(names, 2)
            now = EPOCH + self.clock.seconds()
            self.send(source, prepareTo(f"test.hub.{to}", rng.randrange(300), 5, now))
            if open_ and rng.random() < 0.3:
                late = open_.pop(rng.randrange(len(open_)))
                late.callback(encodeFulfill(PREIMAGE))
            self.clock.advance(rng.random() / 5)
            self.hub.checkInvariants()
        self.clock.pump([0.1] * 50)
        self.assertFalse(self.hub.books.holds)
        self.assertTrue(any(account.balance for account in self.hub.accounts.values()))
