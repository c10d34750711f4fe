"""Many streams, and many connections, between our ends and those of ilp-protocol-stream."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from streamends import Keeper, StreamTestCase, content

from txilpstream import Credentials, pay

TEN = 10

SIZE = 3000

AMOUNT = 500

THOUSAND = 1000


class StreamsTests:
    """What is the same whoever is the client."""

    def use(self: Any, keeper: Keeper) -> None:
        """Let both ends send a little on a stream."""
        self.order(keeper, "write", seed="theirs", size=SIZE)
        self.order(keeper, "offer", amount=AMOUNT)
        keeper.transport.write(content("ours", SIZE))
        keeper.transport.offerMoney(AMOUNT)

    async def checkUsed(self: Any, keeper: Keeper) -> None:
        """Wait until all has arrived on a stream."""
        enough = str(AMOUNT), str(AMOUNT), SIZE
        await self.streamReport(
            keeper, lambda said: (said["sent"], said["received"], said["bytes"]) == enough
        )
        await self.until(lambda: keeper.size == SIZE)
        self.assertEqual(keeper.transport.totalReceived, AMOUNT)
        self.assertEqual(keeper.digest.digest(), sha256(content("theirs", SIZE)).digest())

    async def test_ten(self: Any) -> None:
        """Ten streams are used at once, both ways."""
        await self.meet()
        keepers = [await self.open() for _ in range(TEN)]
        self.assertEqual([each.transport.streamID for each in keepers], list(range(1, 20, 2)))
        for keeper in keepers:
            self.use(keeper)
        for keeper in keepers:
            await self.checkUsed(keeper)
        await self.checkBooks()
        outcome = "Money and data arrive on all of them, both ways."
        self.cell("ten-streams", self.peer, self.role, outcome)


class PayerTests(StreamsTests, StreamTestCase):
    """It is the client."""

    async def test_eleventh(self) -> None:
        """Its eleventh stream has to wait until one is closed; one that does not is refused."""
        await self.meet()
        keepers = [await self.open() for _ in range(TEN)]
        said = await self.theirs.ask("failed", do="open", mayFail=True)
        self.assertIn("maximum number of open streams", said["message"])
        self.order(keepers[0], "end")
        await self.streamReport(keepers[0], lambda said: said["isClosed"])
        await self.until(lambda: keepers[0].lost is not None)
        await self.sleep(0.2)
        eleventh = await self.open()
        self.assertEqual(eleventh.transport.streamID, 21)
        self.use(eleventh)
        await self.checkUsed(eleventh)
        await self.theirs.ask("opened", do="open", isRude=True)
        said = await self.whenReport(lambda said: said["isClosed"])
        self.assertIn("StreamIdError", said["errors"][0])
        await self.connection.whenClosed()
        self.assertEqual(len(self.factory.made), TEN + 1)
        await self.checkBooks()
        outcome = "It waits until a stream is closed; if it does not, we end the connection."
        self.cell("one-too-many", self.peer, "payer", outcome)

    async def test_thousand(self) -> None:
        """It opens a thousand connections to our server, pays, and closes each."""
        plugin = await self.bring()
        await self.serve(self.ours)
        made = [self.server.generateCredentials() for _ in range(THOUSAND)]
        pairs = [[each.destinationAddress, each.sharedSecret.hex()] for each in made]
        orders = {"plugin": plugin, "credentials": pairs, "options": {"exchangeRate": 1}}
        said = await self.theirs.ask("done", do="many", amount=AMOUNT, **orders)
        self.assertEqual(said["delivered"], str(THOUSAND * AMOUNT))
        self.assertEqual([each.amounts for each in self.factory.made], [[AMOUNT]] * THOUSAND)
        await self.until(lambda: not self.ours.connections)
        self.assertTrue(all(each.lost is not None for each in self.factory.made))
        connections = self.server.connections
        self.assertTrue(all(each.session.isClosed for each in connections.values()))
        known = {each.destinationAddress.rpartition(".")[2] for each in made}
        self.assertTrue(known.issuperset(connections), "there are others")
        self.assertEqual(self.hub.accounts["us"].totalReceived, THOUSAND * AMOUNT)
        await self.stopServer()
        self.assertEqual(len(connections), 0)
        outcome = "Every unit arrives, and nothing of them stays."
        self.cell("thousand", self.peer, "payer", outcome)


class PayeeTests(StreamsTests, StreamTestCase):
    """It is the server."""

    role = "payee"

    async def test_eleventh(self) -> None:
        """What our eleventh stream has to send waits until one is closed."""
        await self.meet()
        keepers = [await self.open() for _ in range(TEN)]
        eleventh: Keeper = await self.connection.openStream(self.factory)
        self.assertEqual(eleventh.transport.streamID, 21)
        eleventh.transport.offerMoney(AMOUNT)
        eleventh.transport.write(content("ours", SIZE))
        await self.sleep(0.5)
        said = await self.report()
        self.assertEqual((len(said["streams"]), said["isClosed"]), (TEN, False))
        self.assertEqual(eleventh.transport.totalInDoubt, 0)
        keepers[0].transport.loseConnection()
        await self.streamReport(eleventh)
        self.order(eleventh, "offer", amount=AMOUNT)
        self.order(eleventh, "write", seed="theirs", size=SIZE)
        await self.checkUsed(eleventh)
        await self.checkBooks()
        outcome = "Ours waits until a stream is closed."
        fault = "it gives no place back for a stream that it closes itself."
        self.cell("one-too-many", self.peer, "payee", outcome, fault)

    async def test_thousand(self) -> None:
        """We open a thousand connections to its server, pay, and close each."""
        await self.invite()
        said = await self.theirs.ask("credentials", do="credentials", count=THOUSAND)
        for address, secret in said["all"]:
            asset = {"assetCode": "USD", "assetScale": 9}
            credentials = Credentials(address, bytes.fromhex(secret), **asset)
            result = await pay(self.ours, credentials, sourceAmount=AMOUNT)
            self.assertEqual((result.sent, result.deliveredClaimed), (AMOUNT, AMOUNT))
        await self.until(lambda: not self.ours.connections)
        said = await self.theirs.ask("counted", do="count")
        self.assertEqual((said["connections"], said["active"]), (THOUSAND, 0))
        self.assertEqual(said["received"], str(THOUSAND * AMOUNT))
        self.assertEqual(self.hub.accounts["them"].totalReceived, THOUSAND * AMOUNT)
        outcome = "Every unit arrives, and nothing of them stays."
        self.cell("thousand", self.peer, "payee", outcome)


class AlphaPayerTests(PayerTests):
    """The latest is the client."""

    peer = "ilp-protocol-stream-alpha"


class AlphaPayeeTests(PayeeTests):
    """The latest is the server."""

    peer = "ilp-protocol-stream-alpha"
