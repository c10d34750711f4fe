"""The reference connector between our ends and the reference implementation's, over BTP."""

from __future__ import annotations

from connectors import PACKET, PathTestCase, Talker
from twisted.internet.defer import gatherResults
from twisted.internet.protocol import Factory

from txilpstream import StreamClient, pay

PEER = "ilp-connector"

AMOUNT = 200 * PACKET + 1


class PairTests(PathTestCase):
    """Each client pays each server through one connector that takes small packets."""

    async def test_ours(self) -> None:
        """Our client pays our server."""
        connector = await self.between()
        payer = await self.open(connector.btp("payer"))
        house = await self.house(await self.open(connector.btp("payee")))
        result = await pay(payer, house.credentials(), sourceAmount=AMOUNT)
        self.assertEqual((result.sent, result.inDoubt), (AMOUNT, 0))
        self.assertEqual((result.deliveredClaimed, house.total), (AMOUNT, AMOUNT))
        self.cell("one-way", PEER, "path", "We pay ourselves: not a unit is lost.")

    async def test_theirServer(self) -> None:
        """Our client pays the JavaScript server."""
        connector = await self.between()
        payer = await self.open(connector.btp("payer"))
        server = await self.theirServer(connector.btp("payee"))
        result = await pay(payer, await self.theirCredentials(server), sourceAmount=AMOUNT)
        self.assertEqual((result.sent, result.inDoubt), (AMOUNT, 0))
        await self.theyReceived(server, AMOUNT)
        self.cell("one-way", PEER, "path", "We pay ilp-protocol-stream: not a unit is lost.")

    async def test_theirClient(self) -> None:
        """The JavaScript client pays our server."""
        connector = await self.between()
        client = self.node("client.js", connector.btp("payer"))
        house = await self.house(await self.open(connector.btp("payee")))
        await client.hear("ready")
        paid = await self.theyPay(client, house.credentials(), AMOUNT)
        self.assertEqual((*paid, house.total), (AMOUNT,) * 3)
        self.cell("one-way", PEER, "path", "ilp-protocol-stream pays us: not a unit is lost.")

    async def test_bothWays(self) -> None:
        """Both ends of a connection of ours pay on five streams at once, and send data beside."""
        connector = await self.between()
        payer = await self.open(connector.btp("payer"))
        house = await self.house(await self.open(connector.btp("payee")), isEcho=True)
        connection = await StreamClient(payer).connect(house.credentials())
        talkers = []
        for number in range(5):
            talker = await connection.openStream(Factory.forProtocol(Talker))
            talker.transport.write(bytes([number]) * 20_000)
            talkers.append(talker)
        await self.until(lambda: len(house.tills) == 5)
        offers = [end.transport.sendMoney(AMOUNT // 5) for end in (*talkers, *house.tills)]
        await gatherResults(offers)
        await self.until(lambda: all(len(talker.data) == 20_000 for talker in talkers))
        for number, talker in enumerate(talkers):
            self.assertEqual(talker.data, bytes([number]) * 20_000)
        everybody = (*talkers, *house.tills)
        self.assertEqual([end.total for end in everybody], [AMOUNT // 5] * 10)
        await connection.close()
        self.cell(
            "both-ways", PEER, "path", "We pay ourselves on five streams, both ways, with data."
        )

    async def test_thousand(self) -> None:
        """A thousand payments, each on a connection of its own."""
        connector = await self.between()
        payer = await self.open(connector.btp("payer"))
        account = await self.open(connector.btp("payee"))
        house = await self.house(account)
        for number in range(1, 1001):
            result = await pay(payer, house.credentials(), sourceAmount=number)
            self.assertEqual(result.sent, number)
        self.assertEqual(house.total, 500_500)
        await self.until(lambda: not payer.connections)
        self.cell("thousand", PEER, "path", "We pay ourselves: each arrives, none stays open.")
