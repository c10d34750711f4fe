"""The reference connector, killed in the middle of a payment of ours and started again."""

from __future__ import annotations

from connectors import PACKET, RestartTestCase, httpPlugin, overAccounts, overBTP, overHTTP
from processes import freePort
from twisted.internet import reactor


class ConnectorTests(RestartTestCase):
    """Ours goes on, and what arrived is between what it sent and that with what it doubts."""

    async def test_ours(self) -> None:
        """Between ends of ours over BTP, both of which connect again."""
        connector = await self.between()
        payer = await self.open(connector.btp("payer"))
        house = await self.house(await self.open(connector.btp("payee")))
        ends = payer, house.credentials()
        result = await self.interrupt(*ends, connector.kill, connector.start)
        self.agree(result, house.total)
        outcome = "We pay ourselves: it goes on; the books agree."
        self.cell("restart", "ilp-connector", "path", outcome)

    async def test_theirs(self) -> None:
        """From our client to the JavaScript server, which connects again too."""
        connector = await self.between()
        payer = await self.open(connector.btp("payer"))
        server = await self.theirServer(connector.btp("payee"))
        ends = payer, await self.theirCredentials(server)
        result = await self.interrupt(*ends, connector.kill, connector.start)
        self.agree(result, await self.theirTotal(server))
        outcome = "We pay ilp-protocol-stream: it goes on; the books agree."
        self.cell("restart", "ilp-connector", "path", outcome)

    async def test_accounts(self) -> None:
        """Between ends of ours over one ilp-plugin-mini-accounts, where both are known again."""
        connector = await self.connector({"local": overAccounts()})
        payer = await self.open(connector.btp("local", "payer", "one"))
        house = await self.house(await self.open(connector.btp("local", "payee", "two")))
        ends = payer, house.credentials()
        result = await self.interrupt(*ends, connector.kill, connector.start)
        self.agree(result, house.total)
        outcome = "It goes on; the books agree."
        self.cell("restart", "ilp-plugin-mini-accounts", "path", outcome)

    async def test_http(self) -> None:
        """Our payer sends its packets as HTTP requests, each of which may be cut off."""
        theirs, ours = freePort(), freePort()
        accounts = {"payer": overHTTP(theirs, ours), "payee": overBTP("payee")}
        connector = await self.connector(accounts)
        payer = await self.open(httpPlugin(ours, theirs))
        house = await self.house(await self.open(connector.btp("payee")))
        ends = payer, house.credentials()
        result = await self.interrupt(*ends, connector.kill, connector.start)
        self.agree(result, house.total)
        self.cell("restart", "ilp-plugin-http", "path", "It goes on; the books agree.")

    async def test_pace(self) -> None:
        """What died with the connector is no reason to pay more slowly when it is back."""
        connector = await self.between()
        payer = await self.open(connector.btp("payer"))
        house = await self.house(await self.open(connector.btp("payee")))
        self.amount = 500 * PACKET
        plugins = payer.plugin, house.server.account.plugin
        began = 0.0

        async def start() -> None:
            nonlocal began
            await connector.start()
            await self.until(lambda: all(plugin.isConnected() for plugin in plugins), 60)
            began = reactor.seconds()  # type: ignore[attr-defined]

        await self.interrupt(payer, house.credentials(), connector.kill, start)
        took = reactor.seconds() - began  # type: ignore[attr-defined]
        self.assertLess(took, 3.0)
