"""ILP over HTTP: ilp-plugin-http between connectors, and on the other side of our own plugin."""

from __future__ import annotations

import os
from typing import Any

from connectors import PACKET, USD, House, PathTestCase, Talker, httpPlugin, overBTP, overHTTP
from processes import freePort
from twisted.internet.protocol import Factory

from txilpstream import Account, NotSent, StreamClient, pay
from txilpstream.hub.accounts import AccountOptions
from txilpstream.wire.ilp import encodePrepare, encodeTimestamp

PEER = "ilp-plugin-http"

AMOUNT = 100 * PACKET + 1

FIVE_MEBIBYTES = 5 << 20

BODY = 32_767
"""Octets that ilp-plugin-http takes in one request."""

LARGEST = {"fragmentSize": 31_000}
"""The most that a connection of ours may put into one packet."""


class HTTPTestCase(PathTestCase):
    """Money and data over HTTP."""

    async def converse(self, payer: Account, house: House, size: int, **options: Any) -> None:
        """Send so many bytes to a server that sends them back, and see that they are the same."""
        words = os.urandom(size)
        connection = await StreamClient(payer).connect(house.credentials(), **options)
        talker = await connection.openStream(Factory.forProtocol(Talker))
        talker.transport.write(words)
        await self.until(lambda: len(talker.data) == size, 90)
        self.assertEqual(house.data, words)
        self.assertEqual(talker.data, words)
        await connection.close()

    def measure(self, plugin: Any) -> list[int]:
        """Note the size of each Prepare that a plugin of ours is given."""
        sizes: list[int] = []
        send = plugin.sendData

        def sendData(data: bytes) -> Any:
            sizes.append(len(data))
            return send(data)

        plugin.sendData = sendData
        return sizes


class PathTests(HTTPTestCase):
    """Two connectors that are peers over HTTP."""

    async def test_peers(self) -> None:
        """Money and data between ends of ours, each at a connector of its own."""
        near, far = freePort(), freePort()
        first = await self.connector(
            {"payer": overBTP("payer"), "far": overHTTP(near, far, relation="peer")},
            address="test.near",
            routes={"test.far": "far"},
        )
        second = await self.connector(
            {"payee": overBTP("payee"), "near": overHTTP(far, near, relation="peer")},
            address="test.far",
            routes={"test.near": "near"},
        )
        payer = await self.open(first.btp("payer"))
        house = await self.house(await self.open(second.btp("payee")), isEcho=True)
        result = await pay(payer, house.credentials(), sourceAmount=AMOUNT)
        self.assertEqual((result.sent, house.total), (AMOUNT, AMOUNT))
        self.cell("one-way", PEER, "path", "Between two connectors: not a unit is lost.")
        await self.converse(payer, house, 1 << 14)
        self.cell("data-16k", PEER, "path", "Between two connectors: the same bytes, both ways.")


class ChildTests(HTTPTestCase):
    """Our plugin, known to a connector as a child of its."""

    async def setUp(self) -> None:
        await super().setUp()
        theirs, ours = freePort(), freePort()
        accounts = {"ours": overHTTP(theirs, ours), "other": overBTP("other")}
        self.there = await self.connector(accounts)
        self.plugin = httpPlugin(ours, theirs)
        self.account = await self.open(self.plugin)

    async def test_address(self) -> None:
        """The connector says over HTTP who we are."""
        self.assertEqual(self.account.address, "test.conn.ours")
        self.assertEqual(self.account.asset, USD)
        server = await self.theirServer(self.there.btp("other"))
        result = await pay(
            self.account, await self.theirCredentials(server), sourceAmount=AMOUNT, data=b"words"
        )
        self.assertEqual(result.sent, AMOUNT)
        await self.theyReceived(server, AMOUNT, len(b"words"))
        self.cell("one-way", PEER, "payee", "We pay over it, with data: not a unit is lost.")

    async def test_payee(self) -> None:
        """The JavaScript client pays our server, whose packets come as requests."""
        client = self.node("client.js", self.there.btp("other"))
        house = await self.house(self.account)
        await client.hear("ready")
        paid = await self.theyPay(client, house.credentials(), AMOUNT, "words")
        self.assertEqual((*paid, house.total), (AMOUNT,) * 3)
        self.assertEqual(house.data, b"words")
        self.cell("one-way", PEER, "payer", "We are paid over it, with data: not a unit is lost.")

    async def test_data(self) -> None:
        """5 MiB each way in the largest packets that we make: none is refused for its size."""
        payer = await self.open(self.there.btp("other"))
        house = await self.house(self.account, isEcho=True, **LARGEST)
        sizes = self.measure(self.plugin)
        await self.converse(payer, house, FIVE_MEBIBYTES, **LARGEST)
        self.assertTrue(31_000 < max(sizes) <= BODY, max(sizes))
        self.cell("data-5m", PEER, "path", "The same bytes, both ways; no body above its limit.")

    async def test_limit(self) -> None:
        """What is larger than its limit was certainly not sent."""
        data = bytes(BODY)
        expiry = encodeTimestamp(self.account.now() + 30)
        packet = encodePrepare(0, expiry, bytes(32), "test.conn.other.nobody", data)
        error = await self.assertFailure(self.plugin.sendData(packet), NotSent)
        self.assertIn("413", str(error))
        self.cell("data-5m", PEER, "path", "What is larger gets 413, and counts as not sent.")


class PeerTests(HTTPTestCase):
    """Our hub and their connector, peers over HTTP."""

    async def test_hub(self) -> None:
        """The JavaScript ends are behind the connector, and ours behind the hub; both pay."""
        theirs, ours = freePort(), freePort()
        accounts = {
            "hub": overHTTP(theirs, ours, relation="peer"),
            "server": overBTP("server"),
            "client": overBTP("client"),
            "shop": overBTP("shop"),
        }
        connector = await self.connector(accounts, routes={"test.hub": "hub"})
        plugin = httpPlugin(ours, theirs)
        entry = self.hub.addAccount("conn", AccountOptions(), routes=("test.conn",))
        self.hub.attach(entry, plugin)
        await plugin.connect()
        self.addCleanup(plugin.disconnect)
        server = await self.theirServer(connector.btp("server"))
        client = self.node("client.js", connector.btp("client"))
        await client.hear("ready")
        payer = await self.account("payer")
        house = await self.house(await self.account("payee"))
        result = await pay(payer, await self.theirCredentials(server), sourceAmount=AMOUNT)
        self.assertEqual(result.sent, AMOUNT)
        await self.theyReceived(server, AMOUNT)
        paid = await self.theyPay(client, house.credentials(), 2 * AMOUNT)
        self.assertEqual((*paid, house.total), (2 * AMOUNT,) * 3)
        self.assertEqual(entry.balance, AMOUNT - 2 * AMOUNT)
        shop = await self.house(await self.open(connector.btp("shop")), isEcho=True)
        await self.converse(payer, shop, 1 << 16)
        self.cell(
            "one-way", PEER, "both", "Our hub is its peer, with money and data; the books agree."
        )
