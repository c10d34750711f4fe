"""Our own processes, killed in the middle of a payment of ours and started again."""

from __future__ import annotations

from pathlib import Path

from connectors import PACKET, RestartTestCase
from processes import freePort
from scene import Peer

from txilpstream import Credentials
from txilpstream.hub.accounts import AccountOptions


class RestartTests(RestartTestCase):
    """A hub, a receiver, and a payer whose packets are small."""

    async def kill(self) -> None:
        """Give him no time for anything."""
        await self.process.end()

    async def startHub(self) -> None:
        """The hub, always on the same port."""
        peer = f"payer:token=payer:most={PACKET}"
        doors = ("--http", "none", "--btp", str(self.port))
        self.process = self.command("hub", "--json", *doors, "--peer", peer)
        await self.process.hear("listening")

    async def test_hub(self) -> None:
        """Payer and receiver come back; what was sent or is in doubt covers what arrived."""
        self.port = freePort()
        where = f"btp+ws://:{{}}@127.0.0.1:{self.port}"
        await self.startHub()
        payer = await self.open(where.format("payer"))
        server = await self.theirServer(where.format("payee"))
        ends = payer, await self.theirCredentials(server)
        result = await self.interrupt(*ends, self.kill, self.startHub)
        self.agree(result, await self.theirTotal(server))
        outcome = "Our hub dies and comes back: we go on paying it; the books agree."
        self.cell("restart", "ilp-plugin-btp", "payee", outcome)

    async def startReceiver(self) -> Peer:
        """The receiver, always with the same secret."""
        words = ("receive", "--json", "--plugin", self.where, "--secret-file", self.secret)
        self.process = self.command(*words)
        return self.process

    async def test_receiver(self) -> None:
        """The payment goes on after it; the hub credits no more than is sent or in doubt."""
        self.where = self.btp("receiver")
        self.secret = str(Path(self.mktemp()).resolve())
        payer = await self.account("payer", AccountOptions(maximumPacketAmount=PACKET))
        said = await (await self.startReceiver()).hear("credentials")
        ends = payer, Credentials.fromJSON(said["credentials"])
        result = await self.interrupt(*ends, self.kill, self.startReceiver)
        self.agree(result, self.hub.accounts["receiver"].balance)
