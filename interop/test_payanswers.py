"""
What our receivers say to @interledger/pay: receipts, refusals, and answers without state.
"""

from __future__ import annotations

import os
import time

from test_pay import PayScene

from txilpstream import PaymentRequest, Ratio, ReceiptVerifier, Refusal, StatelessReceiver
from txilpstream.hub.accounts import AccountOptions
from txilpstream.ledger.memory import MemoryTotals
from txilpstream.transport.stateless import StatelessRequest

NO_RECEIPTS = "it keeps no receipts for whoever calls it"

SLOW = "each payment begins with 14 probes, at 40 a second"


class Fickle:
    """
    A policy that says no to some, and to others at first.

    @ivar asked: how often it was.
    """

    def __init__(self) -> None:
        self.asked = 0

    def judgePayment(self, request: PaymentRequest) -> bool | Refusal:
        """What the payee's tag says."""
        self.asked += 1
        if request.connectionTag == "never":
            return Refusal("sold out")
        return self.asked > 3 or Refusal("not yet", isFinal=False)


class AnswersTests(PayScene):
    """
    The older version.

    @ivar closed: what it calls it that a receiver wants no more.
    @ivar many: payments in a row.
    """

    closed = "ClosedByRecipient"
    many = 10

    async def test_receipts(self) -> None:
        """The last receipt proves the whole amount."""
        payee, node = await self.payee(), await self.payer(AccountOptions(maximumPacketAmount=500))
        verifier = ReceiptVerifier(os.urandom(32))
        setup = verifier.issue(time.time())
        credentials = payee.server.generateCredentials(
            receiptNonce=setup.nonce, receiptSecret=setup.secret
        )
        secret = setup.secret.hex()
        paid = await self.paid(node, credentials, amount="2500", receiptSecret=secret)
        self.assertPaid(paid, payee, 2500, 2500)
        if self.peer == "pay":
            self.assertEqual(paid["receipt"], "")
            outcome, fault = "Paid in full; the receipts harm nobody.", NO_RECEIPTS
        else:
            self.assertEqual(paid["proved"], "2500")
            self.assertEqual(verifier.accept(bytes.fromhex(paid["receipt"]), time.time()), 2500)
            outcome, fault = "It hands out the greatest; both sides' verifiers agree.", ""
        self.cell("receipts-ours", self.peer, "payer", outcome, fault)

    async def test_refusal(self) -> None:
        """A policy that refuses for good closes; one that refuses for now is asked again."""
        policy = Fickle()
        payee, node = await self.payee(policy=policy), await self.payer()
        credentials = payee.server.generateCredentials(connectionTag="never")
        paid = await self.paid(node, credentials, amount="1000")
        self.assertEqual((paid["error"], paid["sent"]), (self.closed, "0"))
        self.assertEqual((policy.asked, payee.money), (1, []))
        credentials = payee.server.generateCredentials(connectionTag="later")
        paid = await self.paid(node, credentials, amount="1000")
        self.assertPaid(paid, payee, 1000, 1000)
        self.assertEqual(policy.asked, 4)
        outcome = "For good: it stops, and nothing is sent. For now: it tries again and pays."
        self.cell("refusal", self.peer, "payer", outcome)

    async def test_slippage(self) -> None:
        """The rate falls by 5 % after a quote that allows 1 %."""
        rate = [Ratio(1)]
        await self.setHub(rates=lambda source, to: rate[0])
        payee, node = await self.payee(), await self.payer(AccountOptions("EUR"))
        credentials = payee.server.generateCredentials()
        order = {"amount": "1000000", "prices": {"EUR": 1, "USD": 1}}
        self.assertNotIn("error", await self.quote(node, credentials, **order))
        rate[0] = Ratio(95, 100)
        paid = await node.ask("paid", wanted="pay")
        self.assertEqual((paid["error"], paid["sent"]), ("InsufficientExchangeRate", "0"))
        self.assertEqual((payee.money, self.hub.accounts["payer"].balance), ([], 0))
        outcome = "Our server refuses what is too little; it stops, and nothing is sent."
        self.cell("slippage", self.peer, "payer", outcome)

    async def test_stateless(self) -> None:
        """A quote, its end, and a payment on the same key, whose sequences begin again."""
        totals = MemoryTotals()
        connections: set[str] = set()

        def accept(request: StatelessRequest) -> bool:
            connections.add(request.connectionID)
            return True

        account = await self.account("payee")
        receiver = StatelessReceiver(account, os.urandom(32), totals, accept=accept)
        await receiver.start()
        node = await self.payer(AccountOptions(maximumPacketAmount=500))
        credentials = receiver.generateCredentials()
        await self.quote(node, credentials, amount="2500")
        await node.ask("closed", wanted="close")
        for again in (1, 2):
            paid = await self.paid(node, credentials, amount="2500")
            self.assertNotIn("error", paid)
            (connection,) = connections
            self.assertEqual(totals.total(connection), 2500 * again)
        self.assertEqual(self.hub.accounts["payer"].balance, -5000)
        outcome = "Our stateless receiver is paid after a quote, and again, on the same key."
        self.cell("stateless", self.peer, "payer", outcome)

    async def test_many(self) -> None:
        """One payment after another, each with credentials of its own."""
        payee, node = await self.payee(), await self.payer()
        generate = payee.server.generateCredentials
        await self.quote(node, generate(), amount="1")
        if self.peer == "pay":
            await node.ask("closed", wanted="close")  # each quote has a plugin of its own
        each = [self.written(generate()) for _ in range(self.many)]
        looped = await node.ask(
            "looped",
            wanted="loop",
            each=each,
            amount="1",
            slippage=0.01,
            asset={"code": "USD", "scale": 9},
        )
        self.assertEqual(looped, {"event": "looped", "delivered": str(self.many)})
        self.assertEqual(payee.money, [1] * self.many)
        if self.peer == "pay":
            self.assertEqual(payee.opened, self.many + 1)  # its quote opened a stream too
            outcome, fault = "Ten, each paid: more would take too long.", SLOW
        else:
            self.assertEqual(payee.opened, self.many)
            outcome, fault = "Each paid, the path being known from one quote.", ""
        self.cell("thousand", self.peer, "payer", outcome, fault)


class AlphaAnswersTests(AnswersTests):
    """The newer version."""

    peer = "pay-alpha"
    closed = "ClosedByReceiver"
    many = 1000
