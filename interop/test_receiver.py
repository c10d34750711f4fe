"""
@interledger/stream-receiver, in two versions, is paid by us over our hub.

Here are the parts for its tests, and those of amounts, rates and paths; what it says and keeps is
in C{test_receiveranswers}.
"""

from __future__ import annotations

import os
from typing import Any

from scene import Peer, SceneTestCase
from test_pay import Lengths
from twisted.internet.defer import gatherResults

from txilpstream import (
    Account,
    Credentials,
    PaymentError,
    PaymentResult,
    Ratio,
    StreamClient,
    StreamFactory,
    StreamProtocol,
    pay,
    quote,
)
from txilpstream.hub.accounts import AccountOptions
from txilpstream.testing import LiquidityBucket, MaximumPacketAmount

USD = {"code": "USD", "scale": 9}


class ReceiverScene(SceneTestCase):
    """
    A receiver in a process of its own, and a payer of ours.

    @ivar peer: which version it is.
    @ivar secret: the receiver's server secret.
    @ivar receiver: its process.
    """

    peer = "stream-receiver"

    async def setUp(self) -> None:
        await super().setUp()
        self.secret = os.urandom(32)

    async def start(self, options: AccountOptions | None = None) -> None:
        """It listens on an account of its own."""
        await self.startAt(self.btp("payee", options))

    async def startAt(self, url: str) -> None:
        """The same where the account is there already."""
        words = self.peer, url, f"{self.hub.address}.payee", self.secret.hex()
        self.receiver: Peer = self.node("receiver.js", *words)
        await self.receiver.hear("listening")

    async def credentials(self, **order: Any) -> Credentials:
        """Ask it for an address and a secret."""
        heard = await self.receiver.ask("credentials", wanted="credentials", **order)
        (made,) = heard["each"]
        return self.read(made)

    def read(self, made: dict[str, str]) -> Credentials:
        """Credentials as the driver writes them."""
        return Credentials(made["address"], bytes.fromhex(made["secret"]))

    async def totals(self) -> dict[str, Any]:
        """What it has accepted."""
        return await self.receiver.ask("totals", wanted="totals")

    async def fails(self, account: Account, credentials: Credentials, **terms: Any) -> PaymentError:
        """Pay; it must fail."""
        try:
            result = await pay(account, credentials, **terms)
        except PaymentError as error:
            return error
        raise AssertionError(f"it was paid: {result}")

    async def assertPaid(self, result: PaymentResult, sent: int, delivered: int) -> dict[str, Any]:
        """
        Payer, payee and hub say the same.

        @return: the receiver's totals.
        """
        found = result.sent, result.deliveredMinimum, result.deliveredClaimed, result.inDoubt
        self.assertEqual(found, (sent, found[1], delivered, 0))
        self.assertLessEqual(found[1], delivered)
        totals = await self.totals()
        self.assertEqual(int(totals["amount"]), delivered)
        self.assertEqual(self.hub.accounts["payer"].balance, -sent)
        self.assertEqual(self.hub.accounts["payee"].balance, delivered)
        return totals


class ReceiverTests(ReceiverScene):
    """
    Amounts, rates and paths, with the older version.

    @ivar tooLittle: with which code it refuses what is less than was asked for.
    """

    tooLittle = "F99"

    async def test_oneWay(self) -> None:
        """A fixed amount is sent, then another one delivered."""
        await self.start()
        account = await self.account("payer")
        result = await pay(account, await self.credentials(), sourceAmount=10**6)
        await self.assertPaid(result, 10**6, 10**6)
        result = await pay(account, await self.credentials(), destinationAmount=5000)
        self.assertEqual((result.sent, result.deliveredClaimed), (5000, 5000))
        self.assertEqual((await self.totals())["amount"], "1005000")
        outcome = "Paid in full, by what is sent and by what arrives."
        self.cell("one-way", self.peer, "payee", outcome)

    async def test_assets(self) -> None:
        """From EUR with 6 decimals to USD with 9, at 1.25; it says its asset if it was told."""
        await self.setHub(prices={"EUR": Ratio(5, 4), "USD": Ratio(1)})
        await self.start()
        account = await self.account("payer", AccountOptions("EUR", 6))
        credentials = await self.credentials(asset=USD)
        prices = {"EUR": Ratio(5, 4), "USD": Ratio(1)}
        offer = await quote(account, credentials, sourceAmount=12345, prices=prices)
        self.assertEqual(offer.destinationAsset, ("USD", 9))
        result = await pay(account, credentials, sourceAmount=12345, prices=prices)
        await self.assertPaid(result, 12345, 12345 * 1250)
        offer = await quote(account, await self.credentials(), sourceAmount=12345)
        self.assertIsNone(offer.destinationAsset)
        outcome = "We learn its asset from it, and deliver at the hub's rate."
        self.cell("assets", self.peer, "payee", outcome)

    async def test_tooLarge(self) -> None:
        """The hub takes 1,000 units in a packet; then one that does not say so much."""
        await self.start()
        account = await self.account("payer", AccountOptions(maximumPacketAmount=1000))
        result = await pay(account, await self.credentials(), sourceAmount=10500)
        totals = await self.assertPaid(result, 10500, 10500)
        self.assertGreaterEqual(totals["packets"], 11)
        silent = MaximumPacketAmount(1000, withAmounts=False)
        account, path = await self.accountBehind("other", silent)
        result = await pay(account, await self.credentials(), sourceAmount=10500)
        self.assertEqual(result.sent, 10500)
        self.assertGreater(path.counters("right").rejects["F08"], 0)
        outcome = "Paid in full, whether the hub says its maximum or not."
        self.cell("f08", self.peer, "payee", outcome)

    async def test_liquidity(self) -> None:
        """The path takes packets of 1,000 units, and never has more than 500."""
        await self.start()
        hops = MaximumPacketAmount(1000), LiquidityBucket(500, 10_000)
        account, path = await self.accountBehind("payer", *hops)
        result = await pay(account, await self.credentials(), sourceAmount=4000)
        totals = await self.assertPaid(result, 4000, 4000)
        self.assertGreaterEqual(totals["packets"], 8)
        self.assertGreater(path.counters("right").rejects["T04"], 0)
        self.cell("t04", self.peer, "payee", "Paid in full, in packets that fit.")

    async def test_slippage(self) -> None:
        """The rate falls by 5 % after a quote that allows 1 %."""
        rate = [Ratio(1)]
        await self.setHub(rates=lambda source, to: rate[0])
        await self.start()
        account = await self.account("payer", AccountOptions("EUR"))
        credentials = await self.credentials(asset=USD)
        offer = await quote(account, credentials, sourceAmount=10**6)
        rate[0] = Ratio(95, 100)
        terms = {"sourceAmount": 10**6, "minimumRate": offer.minimumRate}
        error = await self.fails(account, credentials, **terms)
        self.assertEqual((error.result.sent, error.result.inDoubt), (0, 0))
        self.assertEqual((await self.totals())["amount"], "0")
        self.cell("slippage", self.peer, "payee", "Nothing leaves below the rate of the quote.")

    async def test_rateFalls(self) -> None:
        """The rate falls by 5 % in the middle of a payment that allows 1 %."""
        rate = [Ratio(1)]
        await self.setHub(rates=lambda source, to: rate[0])
        await self.start()
        account, path = await self.accountBehind("payer", options=AccountOptions("EUR"))

        def watch(result: PaymentResult) -> None:
            if result.sent >= 2000:
                rate[0] = Ratio(95, 100)

        error = await self.fails(
            account,
            await self.credentials(),
            sourceAmount=10**6,
            options={"maximumPacketAmount": 100, "maximumPacketsPerSecond": 100},
            progress=watch,
        )
        result = error.result
        self.assertIn("the rate is 19/20, the least is 99/100", str(error))
        self.assertIn(result.sent, range(2000, 10_000))
        await self.assertPaid(result, result.sent, result.sent)
        self.assertIn(self.tooLittle, [reject.code for reject in result.rejects])
        self.assertEqual(path.taken("right"), result.sent)
        outcome = f"In the middle we stop at its refusal ({self.tooLittle}); what was paid stays."
        self.cell("slippage", self.peer, "payee", outcome)

    async def test_oneUnit(self) -> None:
        """The least there is."""
        await self.start()
        result = await pay(await self.account("payer"), await self.credentials(), sourceAmount=1)
        self.assertEqual((await self.assertPaid(result, 1, 1))["packets"], 1)
        self.cell("one-unit", self.peer, "payee", "Delivered.")

    async def test_most(self) -> None:
        """More than a signed number of 64 bits holds."""
        await self.start()
        account = await self.account("payer")
        result = await pay(account, await self.credentials(), sourceAmount=2**63)
        totals = await self.assertPaid(result, 2**63, 2**63)
        self.assertEqual(totals["packets"], 1)
        self.cell("2-to-the-63", self.peer, "payee", "Delivered in one packet.")

    async def test_padding(self) -> None:
        """Every packet of ours has 1,000 octets at least."""
        await self.start()
        lengths = Lengths()
        account, _ = await self.accountBehind("payer", lengths)
        credentials = await self.credentials()
        result = await pay(account, credentials, sourceAmount=1000, options={"padTo": 1000})
        await self.assertPaid(result, 1000, 1000)
        self.assertGreaterEqual(min(lengths.asked), 1000)
        self.cell("padding", self.peer, "payee", "It reads our padded packets.")

    async def test_tenStreams(self) -> None:
        """Ten streams of one connection, each with money of its own."""
        await self.start()
        client = StreamClient(await self.account("payer"))
        connection = await client.connect(await self.credentials())
        factory = StreamFactory.forProtocol(StreamProtocol)
        opened = [await connection.openStream(factory) for _ in range(10)]
        sent = [
            protocol.transport.sendMoney(amount) for amount, protocol in enumerate(opened, start=1)
        ]
        for amount, result in enumerate(await gatherResults(sent), start=1):
            self.assertEqual((result.sent, result.deliveredClaimed), (amount, amount))
        self.assertEqual((await self.totals())["amount"], "55")
        await connection.close()
        self.cell("ten-streams", self.peer, "payee", "Each of ten is paid; it counts them as one.")

    async def test_many(self) -> None:
        """One payment after another, each with credentials of its own."""
        await self.start()
        account = await self.account("payer")
        heard = await self.receiver.ask("credentials", wanted="credentials", count=1000)
        for made in heard["each"]:
            result = await pay(account, self.read(made), sourceAmount=1)
            self.assertEqual(result.deliveredClaimed, 1)
        totals = await self.totals()
        self.assertEqual((totals["amount"], totals["packets"]), ("1000", 1000))
        self.cell("thousand", self.peer, "payee", "Each paid.")


class LatestReceiverTests(ReceiverTests):
    """The same with the newer version."""

    peer = "stream-receiver-latest"
    tooLittle = "F04"
