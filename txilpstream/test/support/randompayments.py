"""
Payments on random paths, and what must hold of each; for tests and for benchmarks.

Each payment has a world of its own in virtual time. A guarantee that does not hold is an
AssertionError that names the seed.
"""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from txilpstream.amounts import Ratio
from txilpstream.crypto.keys import SessionKeys
from txilpstream.interfaces import IPlugin, PaymentError, PaymentResult
from txilpstream.payments.payment import Payment
from txilpstream.payments.state import PaymentState
from txilpstream.test.support.connected import Recorder, Recorders, run
from txilpstream.test.support.virtual import seeded
from txilpstream.test.test_scenarios import randomHops
from txilpstream.testing import (
    Duplicate,
    Hop,
    Rate,
    SimulatedPath,
    SwapReplies,
    TamperAmount,
    TamperData,
    Transit,
)
from txilpstream.transport.account import Account
from txilpstream.transport.server import StreamServer
from txilpstream.wire.ildcp import AccountDetails
from txilpstream.wire.ilp import Fulfill
from txilpstream.wire.packet import decodePacket

__all__ = ["InterruptedPayment", "RandomPayment"]

LONGEST = 3000.0
"""Seconds of virtual time that a payment may take."""


class Ends(Hop):
    """
    The hop next to the payer: it knows each packet as it left and as it was answered.

    @ivar fulfilled: source amount, delivered amount, and the bounds of the rate when it left.
    @ivar sequences: of all packets that left.
    """

    def __init__(self) -> None:
        super().__init__(direction="left")
        self.fulfilled: list[tuple[int, int, Any]] = []
        self.sequences: list[int] = []
        self.session: Any = None
        self.keys: SessionKeys | None = None
        self.packets = 0

    def receivePrepare(self, packet: Transit) -> None:
        """Note what is known of the rate now."""
        self.packets += 1
        rate = self.session.exchangeRate
        packet.notes[self] = rate.low, rate.high
        if self.keys is not None:
            plain = self.keys.open(packet.prepare.data)
            assert plain is not None
            self.sequences.append(decodePacket(plain).sequence)

    def receiveReply(self, packet: Transit) -> None:
        """Note what arrived."""
        if packet.sourceAmount and isinstance(packet.reply, Fulfill):
            arrived = packet.prepare.amount
            self.fulfilled.append((packet.sourceAmount, arrived, packet.notes[self]))


class World:
    """A payer's end and a receiver's on one path."""

    def __init__(self, seed: int, hops: list[Hop]) -> None:
        self.seed = seed
        self.octets = seeded(seed)
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.ends = Ends()
        self.path = SimulatedPath(
            self.clock,
            [self.ends, *hops],
            seed=seed,
            left=AccountDetails("example.left", 9, "USD"),
            right=AccountDetails("example.right", 6, "EUR"),
        )
        self.served = Recorders(Recorder)
        self.server = StreamServer(self.open(self.path.right))
        self.server.listen(self.served)

    def open(self, plugin: Any) -> Account:
        """An account on a plugin."""
        opened = Account.open(
            self.clock, plugin, wallClock=self.clock.seconds, randomBytes=self.octets
        )
        out: list[Any] = []
        opened.addBoth(out.append)
        run(self.clock, 0.1)
        account: Account = out[0]
        return account

    def check(self, isTrue: object, what: str) -> None:
        """A guarantee."""
        if not isTrue:
            raise AssertionError(f"seed {self.seed}: {what}")

    def finish(self, payment: Payment, deferred: Deferred[PaymentResult]) -> PaymentResult:
        """Let time pass until it is over, with the books held after every step."""
        out: list[Any] = []
        deferred.addBoth(out.append)
        end = self.clock.seconds() + LONGEST
        while not out:
            moments = [call.getTime() for call in self.clock.getDelayedCalls()]
            self.check(moments and min(moments) < end, "the payment never ends")
            self.clock.advance(max(0.0, min(moments) - self.clock.seconds()) + 1e-6)
            self.checkBooks(payment.result)
        outcome = getattr(out[0], "value", out[0])
        if isinstance(outcome, PaymentError):
            self.check(outcome.message, "an error that does not say why")
            outcome = outcome.result
        self.check(isinstance(outcome, PaymentResult), f"it ended with {outcome!r}")
        self.checkBooks(outcome)
        result: PaymentResult = outcome
        return result

    def checkBooks(self, result: PaymentResult) -> None:
        """What was sent and what the path took."""
        taken = self.path.taken("left")
        self.check(result.sent <= taken, f"sent {result.sent} of {taken} taken")
        self.check(taken <= result.sent + result.inDoubt, f"{taken} taken, {result}")
        self.check(taken <= result.sourceAmount, f"{taken} taken of {result.sourceAmount}")


class RandomPayment(World):
    """One payment with random terms on a random path."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        hops = randomHops(chance)
        super().__init__(seed, hops)
        rates = [hop for hop in hops if isinstance(hop, Rate)]
        ratio = rates[0]._ratio if rates else Ratio(1)
        self.isSteady = not any(
            isinstance(hop, Duplicate | TamperAmount | TamperData | SwapReplies)
            or getattr(hop, "_drift", None) is not None
            for hop in hops
        )
        self.isPlain = not any(isinstance(hop, Duplicate | SwapReplies) for hop in hops)
        amount = int(10 ** chance.uniform(0, 7))
        self.terms: dict[str, Any] = {}
        if chance.random() < 0.5:
            self.terms["sourceAmount"] = amount
        else:
            self.terms["destinationAmount"] = amount
            needed = ratio.inverse().ceil(amount)
            most = max(1, int(needed * chance.uniform(0.7, 2)) + chance.randrange(2))
            if chance.random() < 0.8:
                self.terms["maxSourceAmount"] = most
        known = chance.random()
        if known < 0.3:
            self.terms["rate"] = ratio * Ratio(chance.randrange(980, 1021), 1000)
        elif known < 0.4:
            self.terms["minimumRate"] = ratio.less(Ratio(1, 20))
        elif known < 0.5:
            self.terms["acceptAnyRate"] = True
        if chance.random() < 0.2:
            self.terms["data"] = b"what it is for"
        if chance.random() < 0.1:
            self.terms["timeout"] = chance.uniform(0.1, 20)

    def check_(self) -> PaymentResult:
        """Pay, and hold it to every guarantee."""
        account = self.open(self.path.left)
        payment = Payment(account, self.server.generateCredentials(), **self.terms)
        deferred = payment.start()
        assert payment.connection is not None
        session = self.ends.session = payment.connection.session
        result = self.finish(payment, deferred)
        floor = session.exchangeRate.floor
        for sourceAmount, arrived, _ in self.ends.fulfilled if self.isPlain else ():
            isMet = floor is not None and arrived >= floor.ceil(sourceAmount)
            self.check(isMet, f"{sourceAmount} arrived as {arrived}, the floor is {floor}")
        got = sum(p.transport.totalReceived for p in self.served.made)
        self.check(got == self.path.given("right"), "the receiver was credited something else")
        self.check(result.deliveredMinimum <= got, f"{got} arrived, {result}")
        if result.isComplete and "destinationAmount" in self.terms:
            self.checkDelivery(got)
        return result

    def checkDelivery(self, got: int) -> None:
        """
        A fixed delivery is reached, and hardly exceeded where the rate is steady and every answer
        can be read: of a fulfill that says nothing only the minimum counts.
        """
        wanted = self.terms["destinationAmount"]
        self.check(got >= wanted, f"{got} of {wanted} arrived")
        if not self.isSteady or not self.ends.fulfilled:
            return
        sourceAmount, arrived, (low, high) = self.ends.fulfilled[-1]
        if low is None or high is None:
            # What was known was given, and may have been wrong by so much.
            uncertainty = arrived
        else:
            uncertainty = high.ceil(sourceAmount) - low.floor(sourceAmount)
            uncertainty += high.ceil(1)
        # What a node between rejected after it was fulfilled is that node's loss, not the payer's.
        paid = sum(arrived for _, arrived, _ in self.ends.fulfilled)
        self.check(paid - wanted <= uncertainty, f"{paid} arrived of {wanted}")


@implementer(IPlugin)
class Mortal:
    """A process's hold on a plugin, until it is killed: then it sends nothing and hears nothing."""

    def __init__(self, plugin: Any) -> None:
        self._plugin = plugin
        self.isDead = False
        self.connect = plugin.connect
        self.disconnect = plugin.disconnect
        self.isConnected = plugin.isConnected
        self.registerDataHandler = plugin.registerDataHandler
        self.deregisterDataHandler = plugin.deregisterDataHandler
        self.registerProducer = plugin.registerProducer
        self.unregisterProducer = plugin.unregisterProducer

    def sendData(self, data: bytes) -> Deferred[bytes]:
        """Send, unless it is dead."""
        waiting: Deferred[bytes] = Deferred()
        if not self.isDead:

            def answered(outcome: Any) -> None:
                if not self.isDead:
                    waiting.callback(outcome)

            self._plugin.sendData(data).addBoth(answered)
        return waiting

    def kill(self) -> None:
        """The process is gone at once; another may take the plugin."""
        self.isDead = True
        self._plugin.deregisterDataHandler()
        self._plugin.unregisterProducer()


class InterruptedPayment(World):
    """A payment whose process is killed, some times, and that others go on with."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        hops = randomHops(self.chance)
        super().__init__(seed, hops)
        self.saved = ""
        self.terms: dict[str, Any] = {}
        amount = int(10 ** self.chance.uniform(2, 6))
        if self.chance.random() < 0.7:
            self.terms["sourceAmount"] = amount
        else:
            self.terms |= {"destinationAmount": amount, "maxSourceAmount": amount * 3000}

    def begin(self, credentials: Any) -> tuple[Payment, Deferred[PaymentResult], Mortal]:
        """A process that starts it, or goes on with it."""
        plugin = Mortal(self.path.left)

        def save(state: PaymentState) -> Deferred[None] | None:
            if plugin.isDead:
                return None
            self.saved = state.toJSON()
            if self.chance.random() < 0.8:
                return None
            later: Deferred[None] = Deferred()
            self.clock.callLater(0.01, later.callback, None)
            return later

        state = PaymentState.fromJSON(self.saved) if self.saved else None
        account = self.open(plugin)
        payment = Payment(account, credentials, save=save, state=state, **self.terms)
        deferred = payment.start()
        if payment.connection is not None:
            self.ends.session = payment.connection.session
        return payment, deferred, plugin

    def check_(self) -> PaymentResult:
        """Pay, killed up to three times, and hold it to every guarantee."""
        credentials = self.server.generateCredentials()
        self.ends.keys = SessionKeys(credentials.sharedSecret)
        for _ in range(self.chance.randrange(1, 4)):
            payment, deferred, plugin = self.begin(credentials)
            deferred.addErrback(lambda failure: failure.trap(PaymentError))
            stopAt = self.ends.packets + self.chance.randrange(1, 40)
            end = self.clock.seconds() + 200
            while self.ends.packets < stopAt and not payment.isOver:
                moments = [call.getTime() for call in self.clock.getDelayedCalls()]
                if not moments or min(moments) > end:
                    break
                self.clock.advance(max(0.0, min(moments) - self.clock.seconds()) + 1e-6)
            plugin.kill()
            run(self.clock, self.chance.uniform(0, 5))
        payment, deferred, plugin = self.begin(credentials)
        result = self.finish(payment, deferred)
        sequences = self.ends.sequences
        self.check(len(sequences) == len(set(sequences)), "a sequence was used twice")
        return result
