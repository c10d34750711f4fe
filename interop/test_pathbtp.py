"""ilp-plugin-btp as a listener, in a connector, and as a client of a hub of ours."""

from __future__ import annotations

from connectors import PACKET, Connector, PathTestCase
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint

from txilpstream import Account, ConnectionEnded, pay, pluginFromString, quote
from txilpstream.hub.server import LocalHub
from txilpstream.wire.ildcp import encodeRequest

PEER = "ilp-plugin-btp"

AMOUNT = 100 * PACKET + 1


class ListenerTests(PathTestCase):
    """We log in to it."""

    async def setUp(self) -> None:
        await super().setUp()
        self.there: Connector = await self.between()
        self.shop = await self.house(await self.open(self.there.btp("payee")))

    async def arrives(self, payer: Account) -> None:
        """A payment is made, and not a unit is lost."""
        before = self.shop.total
        result = await pay(payer, self.shop.credentials(), sourceAmount=AMOUNT)
        self.assertEqual((result.sent, self.shop.total - before), (AMOUNT, AMOUNT))

    async def refused(self) -> None:
        """A wrong token is."""
        plugin = pluginFromString(reactor, self.there.btp("payer", token="wrong"))
        await self.assertFailure(Account.open(reactor, plugin), ConnectionEnded)
        self.assertFalse(plugin.isConnected())
        await plugin.disconnect()

    async def test_name(self) -> None:
        """It takes any user name, and the address is the account's."""
        payer = await self.open(self.there.btp("payer", "somebody"))
        self.assertEqual(payer.address, "test.conn.payer")
        await self.arrives(payer)
        self.cell("one-way", PEER, "path", "We log in to its listener, with any user name.")

    async def test_wrongToken(self) -> None:
        """A wrong token is refused, and the right one is taken after it."""
        await self.refused()
        await self.arrives(await self.open(self.there.btp("payer")))
        self.cell("refusal", PEER, "path", "Its listener refuses a wrong token of ours.")

    async def test_wrongTokenOfAnother(self) -> None:
        """Somebody's wrong token cuts off who is logged in, until he logs in again."""
        payer = await self.open(self.there.btp("payer"))
        await self.arrives(payer)
        await self.refused()
        asking = quote(payer, self.shop.credentials(), sourceAmount=AMOUNT, timeout=1)
        await self.assertFailure(asking, ConnectionEnded)
        await payer.close()
        await self.arrives(await self.open(self.there.btp("payer")))
        self.cell(
            "refusal",
            PEER,
            "path",
            "After a wrong token of somebody else we have to log in again.",
            "its listener forgets the connection of who is logged in.",
        )

    async def test_secondLogin(self) -> None:
        """The last login of ours is the one that counts; the one before learns so when it sends."""
        first = await self.open(self.there.btp("payer"))
        second = await self.open(self.there.btp("payer"))
        await self.arrives(second)
        asking = first.plugin.sendData(encodeRequest(first.now() + 30))
        await self.assertFailure(asking, ConnectionEnded)
        await first.close()
        # It may have come again for a moment, and have taken the place of the second.
        await second.close()
        await self.arrives(await self.open(self.there.btp("payer")))
        self.cell("refusal", PEER, "path", "The last login of ours takes its listener's account.")


class ClientTests(PathTestCase):
    """It logs in to us."""

    async def test_wrongToken(self) -> None:
        """A hub that is not open refuses a token that it does not know."""
        door = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        closed = LocalHub(reactor, self.hub, btp=door, isOpen=False)
        await closed.start()
        self.addCleanup(closed.stop)
        closed.addAccount("payee", token="right")
        where = f"btp+ws://:{{}}@127.0.0.1:{closed.btpPort.getHost().port}"
        stranger = self.node("server.js", where.format("wrong"))
        error = await self.assertFailure(stranger.hear("listening"), AssertionError)
        self.assertIn("connection aborted", str(error))
        await self.theirServer(where.format("right"))
        self.assertEqual(list(self.hub.accounts), ["payee"])
        self.cell("refusal", PEER, "both", "Our hub refuses a wrong token of its.")

    async def test_secondLogin(self) -> None:
        """A second login displaces a first that hangs, and gets what is paid from then on."""
        where = self.btp("payee")
        hanging = await self.theirServer(where)
        hanging.transport.signalProcess("STOP")
        server = await self.theirServer(where)
        payer = await self.account("payer")
        result = await pay(payer, await self.theirCredentials(server), sourceAmount=AMOUNT)
        self.assertEqual(result.sent, AMOUNT)
        await self.theyReceived(server, AMOUNT)
        self.cell("one-way", PEER, "payee", "A second login displaces a first that hangs.")
