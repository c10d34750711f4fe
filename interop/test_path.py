"""What the reference connector limits, and the rates at which it exchanges, over BTP."""

from __future__ import annotations

from typing import Any

from connectors import EUR, PACKET, Connector, PathTestCase, overBTP

from txilpstream import PaymentError, Ratio, StreamClient, pay, quote

PEER = "ilp-connector"

AMOUNT = 200 * PACKET + 1

RATES = {"USD": 1.25}
"""Of a euro, at the connector."""

PRICES = {"EUR": Ratio(5, 4), "USD": Ratio(1)}
"""The same, as we know them."""

RATE = 1250
"""The rate, in units of 10^-9 USD for one of 10^-6 EUR."""


class LimitTests(PathTestCase):
    """What the connector refuses for a while, or for good."""

    async def test_packetAmount(self) -> None:
        """The largest packet is learned to the unit, and no packet above it is sent again."""
        connector = await self.between(payer={"maxPacketAmount": "777"})
        payer = await self.open(connector.btp("payer"))
        house = await self.house(await self.open(connector.btp("payee")))
        asked = await quote(payer, house.credentials(), sourceAmount=AMOUNT)
        self.assertEqual(asked.maximumPacketAmount, 777)
        result = await pay(payer, house.credentials(), sourceAmount=AMOUNT)
        self.assertEqual((result.sent, house.total), (AMOUNT, AMOUNT))
        refused = sum(reject.count for reject in result.rejects if reject.code == "F08")
        self.assertTrue(0 < refused < 20, result.rejects)
        self.cell("f08", PEER, "path", "The limit is learned to the unit; all arrives.")

    async def test_balance(self) -> None:
        """
        Credit for half of a payment: all of it is used and nothing beyond; what the payee pays
        back is credit again.
        """
        credit = 50 * PACKET + 7
        connector = await self.between(payer={"balance": {"maximum": str(credit)}})
        payer = await self.open(connector.btp("payer"))
        payee = await self.open(connector.btp("payee"))
        house, back = await self.house(payee), await self.house(payer)
        trying = pay(payer, house.credentials(), sourceAmount=2 * credit, timeout=4)
        error = await self.assertFailure(trying, PaymentError)
        used = error.result.sent
        self.assertTrue(credit - 10 < used <= credit, used)  # the last unit may take its time
        self.assertEqual((house.total, error.result.inDoubt), (used, 0))
        self.assertIn("T04", [reject.code for reject in error.result.rejects])
        await pay(payee, back.credentials(), sourceAmount=used)
        await pay(payer, house.credentials(), sourceAmount=used)
        self.assertEqual((house.total, back.total), (2 * used, used))
        outcome = "Credit is used to the last few units, and again when it is paid back."
        self.cell("t04", PEER, "path", outcome)

    async def test_throughput(self) -> None:
        """So much money in a second and no more: a payment of more takes its time and arrives."""
        amount = 60 * PACKET
        throughput = {"incomingAmount": str(amount // 3)}
        connector = await self.between(payer={"throughput": throughput})
        payer = await self.open(connector.btp("payer"))
        house = await self.house(await self.open(connector.btp("payee")))
        result = await pay(payer, house.credentials(), sourceAmount=amount)
        self.assertEqual((result.sent, house.total), (amount, amount))
        self.assertIn("T04", [reject.code for reject in result.rejects])
        self.cell("t04", PEER, "path", "Where money comes by the second, a payment waits for it.")


class RateTests(PathTestCase):
    """Two assets, and the connector's rates for them."""

    async def exchange(self, **more: Any) -> Connector:
        """A payer in euros and a payee in dollars."""
        return await self.between(payer={"asset": EUR}, payee=more, rates=RATES)

    async def test_ours(self) -> None:
        """A fixed sending and a fixed delivery, with prices, between our own ends."""
        connector = await self.exchange()
        payer = await self.open(connector.btp("payer"))
        house = await self.house(await self.open(connector.btp("payee")))
        self.assertEqual((payer.assetCode, payer.assetScale), EUR)
        result = await pay(payer, house.credentials(), sourceAmount=AMOUNT, prices=PRICES)
        self.assertEqual((result.sent, house.total), (AMOUNT, AMOUNT * RATE))
        wanted = AMOUNT * RATE + 1
        terms = {"destinationAmount": wanted, "prices": PRICES}
        result = await pay(payer, house.credentials(), **terms)
        self.assertEqual(result.sent, AMOUNT + 1)
        self.assertTrue(wanted <= result.deliveredClaimed < wanted + RATE)
        self.assertEqual(house.total, AMOUNT * RATE + result.deliveredClaimed)
        self.cell("assets", PEER, "path", "We pay ourselves: fixed sending, and fixed delivery.")

    async def test_back(self) -> None:
        """From the finer asset to the coarser: no more is lost than is rounded in each packet."""
        connector = await self.exchange(maxPacketAmount=str(1000 * RATE))
        payee = await self.open(connector.btp("payer"))
        payer = await self.open(connector.btp("payee"))
        house = await self.house(payee)
        amount = 100_000 * RATE + 1
        result = await pay(payer, house.credentials(), sourceAmount=amount, prices=PRICES)
        self.assertEqual((result.sent, result.deliveredClaimed), (amount, house.total))
        self.assertTrue(99_000 <= house.total <= 100_000, house.total)
        self.cell("assets", PEER, "path", "From the finer asset to the coarser: within 1 %.")

    async def test_theirs(self) -> None:
        """The JavaScript client pays our server, and we pay the JavaScript one."""
        accounts = {name: overBTP(name, EUR) for name in ("payer", "theirs")}
        accounts |= {name: overBTP(name, maxPacketAmount=None) for name in ("payee", "server")}
        connector = await self.connector(accounts, rates=RATES)
        client = self.node("client.js", connector.btp("theirs"))
        server = await self.theirServer(connector.btp("server"))
        house = await self.house(await self.open(connector.btp("payee")))
        payer = await self.open(connector.btp("payer"))
        await client.hear("ready")
        paid = await self.theyPay(client, house.credentials(), AMOUNT)
        self.assertEqual((*paid, house.total), (AMOUNT, AMOUNT * RATE, AMOUNT * RATE))
        result = await pay(payer, await self.theirCredentials(server), sourceAmount=AMOUNT)
        self.assertEqual((result.sent, result.deliveredClaimed), (AMOUNT, AMOUNT * RATE))
        await self.theyReceived(server, AMOUNT * RATE)
        self.cell("assets", PEER, "path", "We pay ilp-protocol-stream, and it pays us.")

    async def test_wayBack(self) -> None:
        """
        The JavaScript server asks for the rate back to a payer that has an address, and ends the
        connection where no packet carries three digits of it; what had arrived is what was sent.
        C{pay} does not say where it can be reached, and pays it.
        """
        connector = await self.exchange(maxPacketAmount="1000")
        payer = await self.open(connector.btp("payer"))
        server = await self.theirServer(connector.btp("payee"))
        credentials = await self.theirCredentials(server)
        connection = await StreamClient(payer).connect(credentials, minimumRate=Ratio(RATE))
        paying = pay(connection, sourceAmount=100 * AMOUNT)
        error = await self.assertFailure(paying, PaymentError)
        result = error.result
        arrived = await self.theirTotal(server)
        self.assertLess(result.sent + result.inDoubt, 100 * AMOUNT)
        self.assertTrue(result.sent * RATE <= arrived <= (result.sent + result.inDoubt) * RATE)
        terms = {"sourceAmount": AMOUNT, "prices": PRICES}
        result = await pay(payer, await self.theirCredentials(server), **terms)
        self.assertEqual(result.sent, AMOUNT)
        await self.theyReceived(server, arrived + AMOUNT * RATE)
        self.cell(
            "assets",
            PEER,
            "path",
            "Where the way back carries too little in a packet, C{pay} asks for none.",
            "ilp-protocol-stream's server ends a connection for want of a rate that it never uses.",
        )

    async def test_slippage(self) -> None:
        """Where the prices promise more than the connector gives, nothing leaves at all."""
        connector = await self.exchange()
        payer = await self.open(connector.btp("payer"))
        house = await self.house(await self.open(connector.btp("payee")))
        better = {**PRICES, "EUR": Ratio(127, 100)}
        paying = pay(payer, house.credentials(), sourceAmount=AMOUNT, prices=better)
        error = await self.assertFailure(paying, PaymentError)
        self.assertEqual((error.result.sent, error.result.inDoubt, house.total), (0, 0, 0))
        self.cell("slippage", PEER, "path", "A rate 1.6 % below the prices: nothing leaves.")
