"""
@interledger/pay, in two versions, pays our server over our hub.

Here are the parts for its tests, and those of amounts, rates and paths; what receivers may say is
in C{test_payanswers}.
"""

from __future__ import annotations

from typing import Any

from scene import Peer, SceneTestCase
from twisted.internet.defer import Deferred, gatherResults

from txilpstream import Account, Credentials, Ratio, StreamFactory, StreamProtocol, StreamServer
from txilpstream.hub.accounts import AccountOptions
from txilpstream.testing import Hop, LiquidityBucket, MaximumPacketAmount, Transit

TOO_SMALL = "it does not make its packets smaller when it meets T04"


class Till(StreamProtocol):
    """Writes the amount of each packet down."""

    def __init__(self, money: list[int]) -> None:
        self._money = money

    def moneyReceived(self, amount: int) -> None:
        """One packet more."""
        self._money.append(amount)


class Payee(StreamFactory):
    """
    Our server with all that it was paid.

    @ivar money: the amount of each packet.
    @ivar opened: how many streams there were.
    """

    def __init__(self, account: Account, **options: Any) -> None:
        self.money: list[int] = []
        self.opened = 0
        self.server = StreamServer(account, **options)

    def buildProtocol(self, addr: object) -> StreamProtocol:
        """Its money is written down here."""
        self.opened += 1
        return Till(self.money)


class Lengths(Hop):
    """
    A hop that measures what passes.

    @ivar asked: octets of data in each packet.
    @ivar answered: octets of data in each answer that has some.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.answered: list[int] = []

    def receivePrepare(self, packet: Transit) -> None:
        """Write it down."""
        self.asked.append(len(packet.prepare.data))

    def receiveReply(self, packet: Transit) -> None:
        """Write it down; the answer to what nobody could read has none."""
        if packet.reply.data:
            self.answered.append(len(packet.reply.data))


class PayScene(SceneTestCase):
    """
    A payer in a process of its own, and a payee of ours.

    @ivar peer: which version it is.
    """

    peer = "pay"

    async def payer(self, options: AccountOptions | None = None) -> Peer:
        """It is at the hub and waits for orders."""
        node = self.node("payer.js", self.peer, self.btp("payer", options))
        await node.hear("ready")
        return node

    async def listening(self, account: Account, **options: Any) -> Payee:
        """Our server on an account."""
        payee = Payee(account, **options)
        await payee.server.listen(payee)
        self.addCleanup(payee.server.stopListening)
        return payee

    async def payee(self, options: AccountOptions | None = None, **serverOptions: Any) -> Payee:
        """The same on an account of its own."""
        return await self.listening(await self.account("payee", options), **serverOptions)

    async def quote(self, node: Peer, credentials: Credentials, **order: Any) -> dict[str, Any]:
        """
        Have a payment quoted.

        @param order: C{amount} or C{deliver} in base units, and what else the driver takes.
        """
        options = self.hub.accounts["payer"].options
        return await node.ask(
            "quoted",
            wanted="quote",
            asset={"code": options.assetCode, "scale": options.assetScale},
            **self.written(credentials),
            **{"slippage": 0.01, **order},
        )

    def written(self, credentials: Credentials) -> dict[str, str]:
        """Credentials as the drivers take them."""
        return {"address": credentials.destinationAddress, "secret": credentials.sharedSecret.hex()}

    async def paid(self, node: Peer, credentials: Credentials, **order: Any) -> dict[str, Any]:
        """Have a payment quoted and made."""
        quoted = await self.quote(node, credentials, **order)
        self.assertNotIn("error", quoted)
        return await node.ask("paid", wanted="pay", receiptSecret=order.get("receiptSecret"))

    def assertPaid(self, paid: dict[str, Any], payee: Payee, sent: int, delivered: int) -> None:
        """Payer, payee and hub say the same."""
        self.assertNotIn("error", paid)
        self.assertEqual((int(paid["sent"]), int(paid["delivered"])), (sent, delivered))
        self.assertEqual(sum(payee.money), delivered)
        self.assertEqual(self.hub.accounts["payer"].balance, -sent)
        self.assertEqual(self.hub.accounts["payee"].balance, delivered)


class PayTests(PayScene):
    """Amounts, rates and paths."""

    async def test_oneWay(self) -> None:
        """A fixed amount is sent, then another one delivered."""
        payee, node = await self.payee(), await self.payer()
        generate = payee.server.generateCredentials
        self.assertPaid(await self.paid(node, generate(), amount="1000000"), payee, 10**6, 10**6)
        paid = await self.paid(node, generate(), deliver="5000")
        self.assertEqual(paid["delivered"], "5000")
        self.assertEqual(sum(payee.money), 1_005_000)
        self.cell(
            "one-way", self.peer, "payer", "Paid in full, by what is sent and by what arrives."
        )

    async def test_assets(self) -> None:
        """From EUR with 6 decimals to USD with 9, at 1.25."""
        await self.setHub(prices={"EUR": Ratio(5, 4), "USD": Ratio(1)})
        payee, node = await self.payee(), await self.payer(AccountOptions("EUR", 6))
        credentials = payee.server.generateCredentials()
        order = {"amount": "12345", "prices": {"EUR": 1.25, "USD": 1}}
        quoted = await self.quote(node, credentials, **order)
        self.assertEqual((quoted["code"], quoted["scale"]), ("USD", 9))
        paid = await node.ask("paid", wanted="pay")
        self.assertPaid(paid, payee, 12345, 12345 * 1250)
        self.cell(
            "assets", self.peer, "payer", "It learns our asset and delivers at the hub's rate."
        )

    async def test_tooLarge(self) -> None:
        """The hub takes 1,000 units in a packet."""
        payee, node = await self.payee(), await self.payer(AccountOptions(maximumPacketAmount=1000))
        credentials = payee.server.generateCredentials()
        paid = await self.paid(node, credentials, amount="10500")
        self.assertPaid(paid, payee, 10500, 10500)
        self.assertEqual((len(payee.money), max(payee.money)), (11, 1000))
        self.cell("f08", self.peer, "payer", "Paid in full, in packets of the hub's maximum.")

    async def test_liquidity(self) -> None:
        """Three packets pass at once, then ten in a second."""
        hops = MaximumPacketAmount(1000), LiquidityBucket(3000, 10_000)
        account, path = await self.accountBehind("payee", *hops)
        payee, node = await self.listening(account), await self.payer()
        credentials = payee.server.generateCredentials()
        paid = await self.paid(node, credentials, amount="10000")
        self.assertPaid(paid, payee, 10000, 10000)
        self.assertGreater(path.counters("left").rejects["T04"], 0)
        self.cell("t04", self.peer, "payer", "Paid in full where a packet fits.")

    async def test_oneUnit(self) -> None:
        """The least there is."""
        payee, node = await self.payee(), await self.payer()
        credentials = payee.server.generateCredentials()
        self.assertPaid(await self.paid(node, credentials, amount="1"), payee, 1, 1)
        self.assertEqual(payee.money, [1])
        self.cell("one-unit", self.peer, "payer", "Delivered.")

    async def test_most(self) -> None:
        """More than a signed number of 64 bits holds."""
        payee, node = await self.payee(), await self.payer()
        credentials = payee.server.generateCredentials()
        paid = await self.paid(node, credentials, amount=str(2**63))
        self.assertPaid(paid, payee, 2**63, 2**63)
        self.assertEqual(payee.money, [2**63])
        self.cell("2-to-the-63", self.peer, "payer", "Delivered in one packet.")

    async def test_padding(self) -> None:
        """Our answers are padded."""
        lengths = Lengths()
        account, _ = await self.accountBehind("payee", lengths)
        payee, node = await self.listening(account, padTo=500), await self.payer()
        credentials = payee.server.generateCredentials()
        self.assertPaid(await self.paid(node, credentials, amount="1000"), payee, 1000, 1000)
        self.assertGreaterEqual(min(lengths.answered), 500)
        self.cell("padding", self.peer, "payer", "It reads our padded answers.")


class PayAlphaTests(PayTests):
    """The same with the newer one."""

    peer = "pay-alpha"


class StallTests(PayScene):
    """What neither version can do."""

    async def outcome(self, peer: str, payee: Payee) -> str:
        """Why a payment by one version is not made."""
        node = self.node("payer.js", peer, self.btp(peer))
        await node.hear("ready")
        credentials = payee.server.generateCredentials()
        quoted = await node.ask(
            "quoted",
            wanted="quote",
            amount="2000",
            slippage=0.01,
            asset={"code": "USD", "scale": 9},
            **self.written(credentials),
        )
        return str(quoted.get("error"))

    async def test_stall(self) -> None:
        """The path takes packets of 1,000 units, and never has more than 500."""
        hops = MaximumPacketAmount(1000), LiquidityBucket(500, 10_000)
        account, path = await self.accountBehind("payee", *hops)
        payee = await self.listening(account)
        peers = ["pay", "pay-alpha"]
        waiting = [Deferred.fromCoroutine(self.outcome(peer, payee)) for peer in peers]
        self.assertEqual(await gatherResults(waiting), ["RateProbeFailed", "RateProbeFailed"])
        self.assertGreater(path.counters("left").rejects["T04"], 20)
        self.assertEqual(payee.money, [])
        for peer in peers:
            outcome = "No quote after 10 s, and nothing sent, where a packet does not fit."
            self.cell("t04", peer, "payer", outcome, TOO_SMALL)
