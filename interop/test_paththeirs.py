"""The peers' payers and receivers around the reference connector: what it limits, and its death."""

from __future__ import annotations

from connectors import PACKET, USD, Connector, House, RestartTestCase
from scene import Peer
from twisted.internet import reactor

from txilpstream import Credentials, pay

AMOUNT = 60 * PACKET

SLOW = {"throughput": {"incomingAmount": str(AMOUNT // 3)}}
"""What an account may send in a second."""

MOST_IN_FLIGHT = 20
"""Packets that pay has without an answer at most."""


class TheirsTestCase(RestartTestCase):
    """
    Ends of ours and of a peer's on a connector.

    @ivar peer: which peer it is.
    """

    peer = "ilp-protocol-stream"

    async def houseAt(self, connector: Connector) -> House:
        """A server of ours at the connector."""
        return await self.house(await self.open(connector.btp("payee")))

    def written(self, credentials: Credentials) -> dict[str, str]:
        """Credentials as the drivers take them."""
        return {"address": credentials.destinationAddress, "secret": credentials.sharedSecret.hex()}


class StreamTests(TheirsTestCase):
    """ilp-protocol-stream."""

    async def client(self, connector: Connector, credentials: Credentials) -> Peer:
        """A client with one stream open."""
        node = self.node("stream.js", self.peer)
        await node.hear("ready")
        where = connector.btp("payer")
        await node.ask("connected", do="connect", plugin=where, **self.written(credentials))
        await node.ask("opened", do="open")
        return node

    async def listening(self, connector: Connector) -> tuple[Peer, Credentials]:
        """A server, and credentials of its making."""
        node = self.node("stream.js", self.peer)
        await node.hear("ready")
        await node.ask("listening", do="serve", plugin=connector.btp("payee"))
        [(address, secret)] = (await node.ask("credentials", do="credentials"))["all"]
        return node, Credentials(address, bytes.fromhex(secret))

    async def total(self, node: Peer, what: str) -> int:
        """What its only connection has sent or received."""
        [said] = (await node.ask("report", do="report"))["connections"]
        return int(said[what])

    async def test_slowPayer(self) -> None:
        """It pays us more than passes in a second."""
        connector = await self.between(payer=SLOW)
        house = await self.houseAt(connector)
        node = await self.client(connector, house.credentials())
        began = reactor.seconds()  # type: ignore[attr-defined]
        said = await node.ask("sent", do="send", stream=1, amount=str(AMOUNT))
        self.assertGreater(reactor.seconds() - began, 1)  # type: ignore[attr-defined]
        self.assertEqual((said["total"], house.total), (str(AMOUNT), AMOUNT))
        self.cell("t04", self.peer, "payer", "Through a connector that limits it: all arrives.")

    async def test_slowPayee(self) -> None:
        """We pay it more than passes in a second."""
        connector = await self.between(payer=SLOW)
        payer = await self.open(connector.btp("payer"))
        node, credentials = await self.listening(connector)
        result = await pay(payer, credentials, sourceAmount=AMOUNT)
        self.assertIn("T04", [reject.code for reject in result.rejects])
        self.assertEqual((result.sent, await self.total(node, "received")), (AMOUNT, AMOUNT))
        self.cell("t04", self.peer, "payee", "Through a connector that limits us: all arrives.")

    async def test_killedPayer(self) -> None:
        """The connector dies while it pays us."""
        connector = await self.between()
        house = await self.houseAt(connector)
        node = await self.client(connector, house.credentials())
        order = {"stream": 1, "amount": str(100 * self.amount), "timeout": 5000, "mayFail": True}
        failed = node.ask("failed", do="send", **order)
        await self.until(lambda: house.total > self.amount // 4)
        await connector.kill()
        arrived = house.total
        await connector.start()
        await failed
        sent = await self.total(node, "sent")
        self.assertTrue(sent <= arrived <= sent + PACKET, (sent, arrived))
        self.assertEqual(house.total, arrived)
        await node.end()
        again = await self.client(connector, house.credentials())
        await again.ask("sent", do="send", stream=1, amount=str(10 * PACKET))
        self.assertEqual(house.total, arrived + 10 * PACKET)
        self.cell(
            "restart",
            self.peer,
            "payer",
            "What it says was sent has arrived, and at most a packet more; the next one pays.",
            "it waits for an answer that was lost, and then says that nothing was sent with it.",
        )

    async def test_killedPayee(self) -> None:
        """The connector dies while we pay it."""
        connector = await self.between()
        payer = await self.open(connector.btp("payer"))
        node, credentials = await self.listening(connector)
        result = await self.interrupt(payer, credentials, connector.kill, connector.start)
        self.agree(result, await self.total(node, "received"))
        self.cell("restart", self.peer, "payee", "We go on; the books agree.")


class AlphaStreamTests(StreamTests):
    """The same with the newer one."""

    peer = "ilp-protocol-stream-alpha"


class PayTests(TheirsTestCase):
    """@interledger/pay."""

    peer = "pay"

    async def quoted(self, connector: Connector, credentials: Credentials, amount: int) -> Peer:
        """A payer with a quote."""
        node = self.node("payer.js", self.peer, connector.btp("payer"))
        await node.hear("ready")
        asset = {"code": USD[0], "scale": USD[1]}
        order = {"amount": str(amount), "slippage": 0.01, "asset": asset}
        said = await node.ask("quoted", wanted="quote", **order, **self.written(credentials))
        self.assertNotIn("error", said)
        return node

    async def test_slowPayer(self) -> None:
        """It pays us more than passes in a second."""
        connector = await self.between(payer=SLOW)
        house = await self.houseAt(connector)
        node = await self.quoted(connector, house.credentials(), AMOUNT)
        began = reactor.seconds()  # type: ignore[attr-defined]
        paid = await node.ask("paid", wanted="pay")
        self.assertGreater(reactor.seconds() - began, 1)  # type: ignore[attr-defined]
        self.assertNotIn("error", paid)
        amounts = {paid["sent"], paid["delivered"], str(house.total)}
        self.assertEqual(amounts, {str(AMOUNT)})
        self.cell("t04", self.peer, "payer", "Through a connector that limits it: all arrives.")

    async def test_killedPayer(self) -> None:
        """The connector dies while it pays us."""
        connector = await self.between()
        house = await self.houseAt(connector)
        node = await self.quoted(connector, house.credentials(), 20 * self.amount)
        paying = node.ask("paid", wanted="pay")
        await self.until(lambda: house.total > self.amount // 4)
        await connector.kill()
        arrived = house.total
        await connector.start()
        paid = await paying
        self.assertEqual(house.total, arrived)
        sent = int(paid["sent"])
        self.assertTrue(sent <= arrived <= sent + MOST_IN_FLIGHT * PACKET, (sent, arrived))
        self.assertIn("error", paid)
        self.cell(
            "restart",
            self.peer,
            "payer",
            "It gives up; what it says was sent has arrived, and what was on its way at most.",
            "it does not go on when the connector is back.",
        )


class PayAlphaTests(PayTests):
    """The same with the newer one."""

    peer = "pay-alpha"


class ReceiverTests(TheirsTestCase):
    """@interledger/stream-receiver."""

    peer = "stream-receiver"

    async def receiver(self, connector: Connector) -> tuple[Peer, Credentials]:
        """A receiver, and credentials of its making."""
        node = self.node(
            "receiver.js", self.peer, connector.btp("payee"), "test.conn.payee", "53" * 32
        )
        await node.hear("listening")
        [said] = (await node.ask("credentials", wanted="credentials"))["each"]
        return node, Credentials(said["address"], bytes.fromhex(said["secret"]))

    async def total(self, node: Peer) -> int:
        """What it has accepted."""
        return int((await node.ask("totals", wanted="totals"))["amount"])

    async def test_slowPayee(self) -> None:
        """We pay it more than passes in a second."""
        connector = await self.between(payer=SLOW)
        payer = await self.open(connector.btp("payer"))
        node, credentials = await self.receiver(connector)
        result = await pay(payer, credentials, sourceAmount=AMOUNT)
        self.assertIn("T04", [reject.code for reject in result.rejects])
        self.assertEqual((result.sent, await self.total(node)), (AMOUNT, AMOUNT))
        self.cell("t04", self.peer, "payee", "Through a connector that limits us: all arrives.")

    async def test_killedPayee(self) -> None:
        """The connector dies while we pay it."""
        connector = await self.between()
        payer = await self.open(connector.btp("payer"))
        node, credentials = await self.receiver(connector)
        result = await self.interrupt(payer, credentials, connector.kill, connector.start)
        self.agree(result, await self.total(node))
        self.cell("restart", self.peer, "payee", "We go on; the books agree.")


class LatestReceiverTests(ReceiverTests):
    """The same with the newer one."""

    peer = "stream-receiver-latest"
