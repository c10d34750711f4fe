"""
ilp-connector as a process, and what stands at both its ends.

Here is how its accounts are described, how it is started, killed and started again, and what a
test of the path needs: our ends on plugins of ours, and the peers' drivers. What is sent through
it, and what must become of that, is each test's own.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from processes import freePort
from scene import HERE, Peer, SceneTestCase
from twisted.internet import reactor
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater

from txilpstream import (
    Account,
    Credentials,
    PaymentError,
    PaymentResult,
    StreamAddress,
    StreamProtocol,
    StreamServer,
    pay,
    pluginFromString,
)

USD = ("USD", 9)
EUR = ("EUR", 6)

PACKET = 1000
"""Units that an account of the connector sends in one packet, unless a test says otherwise."""

INDEX = "node_modules/ilp-connector/dist/index.js"

LOOPBACK = "127.0.0.1"


def overBTP(name: str, asset: tuple[str, int] = USD, **more: Any) -> dict[str, Any]:
    """A child that comes to the connector's ilp-plugin-btp."""
    port = freePort()
    where = {"host": LOOPBACK, "port": port}
    listener = {"port": port, "secret": f"{name}-token", "wsOpts": where}
    return _account("ilp-plugin-btp", asset, {"listener": listener}, **more)


def overAccounts(asset: tuple[str, int] = USD, **more: Any) -> dict[str, Any]:
    """An ilp-plugin-mini-accounts, to which many may come."""
    options = {"wsOpts": {"host": LOOPBACK, "port": freePort()}}
    return _account("ilp-plugin-mini-accounts", asset, options, **more)


def overHTTP(
    port: int, theirPort: int, asset: tuple[str, int] = USD, **more: Any
) -> dict[str, Any]:
    """
    An ilp-plugin-http, which has no option to listen on one address only.

    @param port: where the connector listens.
    @param theirPort: where who is on the other side does.
    """
    incoming = {"port": port, "staticToken": f"to-{port}"}
    outgoing = {"url": f"http://{LOOPBACK}:{theirPort}/ilp", "staticToken": f"to-{theirPort}"}
    options = {"incoming": incoming, "outgoing": outgoing}
    return _account("ilp-plugin-http", asset, options, **more)


def _account(
    plugin: str, asset: tuple[str, int], options: dict[str, Any], **more: Any
) -> dict[str, Any]:
    account = {"relation": "child", "plugin": plugin, "options": options, **more}
    account["assetCode"], account["assetScale"] = asset
    account.setdefault("maxPacketAmount", str(PACKET))
    if account["maxPacketAmount"] is None:
        del account["maxPacketAmount"]
    if account["relation"] == "peer":
        # Routes are fixed: those that are told depend on who listens first.
        account["sendRoutes"] = account["receiveRoutes"] = False
    return account


def httpPlugin(port: int, theirPort: int) -> Any:
    """
    A plugin of ours for the other side of L{overHTTP}.

    @param port: where it listens.
    @param theirPort: where the connector does.
    """
    return pluginFromString(
        reactor,  # type: ignore[arg-type]
        f"http:url=http\\://{LOOPBACK}\\:{theirPort}/ilp:token=to-{theirPort}"
        f":listen=tcp\\:{port}\\:interface={LOOPBACK}:incomingToken=to-{port}",
    )


class Connector:
    """
    One connector: the same whenever it is started, but for what it had in memory.

    @ivar process: what runs now.
    """

    process: Peer

    def __init__(
        self,
        case: SceneTestCase,
        accounts: dict[str, dict[str, Any]],
        address: str = "test.conn",
        routes: dict[str, str] | None = None,
        rates: dict[str, float] | None = None,
    ) -> None:
        """
        @param accounts: by name, as the functions above describe them.
        @param routes: the account for each prefix that is not its own.
        @param rates: of other currencies for one EUR; without them all assets are alike.
        """
        self._case = case
        self._accounts = accounts
        values: dict[str, Any] = {
            "ENV": "test",
            "ILP_ADDRESS": address,
            "ACCOUNTS": accounts,
            "ROUTES": [
                {"targetPrefix": prefix, "peerId": name} for prefix, name in (routes or {}).items()
            ],
            "BACKEND": "one-to-one" if rates is None else "ecb",
            "BACKEND_CONFIG": {}
            if rates is None
            else {"mockData": {"base": "EUR", "rates": rates}},
            "SPREAD": "0",
            "STORE": "memory",
            "ADMIN_API": "false",
            # It need not wait for its accounts: they come when they come.
            "INITIAL_CONNECT_TIMEOUT": "1",
        }
        self._environ = {
            f"CONNECTOR_{name}": value if isinstance(value, str) else json.dumps(value)
            for name, value in values.items()
        }

    async def start(self) -> None:
        """Start it; it is there when all its accounts listen."""
        self.process = self._case.node(INDEX, **self._environ)
        for name in self._accounts:
            await self._case.until(lambda name=name: self._isListening(name), 60)

    def _isListening(self, name: str) -> bool:
        assert not self.process.ended.called, f"the connector ended: {self.process.errors!r}"
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self.port(name))) == 0

    async def kill(self) -> None:
        """Give it no time for anything."""
        await self.process.end()

    def port(self, name: str) -> int:
        """Where an account listens."""
        options = self._accounts[name]["options"]
        where = options.get("wsOpts") or options.get("listener") or options["incoming"]
        return int(where["port"])

    def btp(self, name: str, user: str = "", token: str = "") -> str:
        """With which URL one comes to an account over BTP."""
        return f"btp+ws://{user}:{token or name + '-token'}@{LOOPBACK}:{self.port(name)}"


class Till(StreamProtocol):
    """Counts what comes on one stream, and sends bytes back if that is wanted."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.total = 0

    def moneyReceived(self, amount: int) -> None:
        """Count money."""
        self.total += amount
        self._house.total += amount

    def dataReceived(self, data: bytes) -> None:
        """Keep bytes."""
        self._house.data += data
        if self._house.isEcho:
            self.transport.write(data)


class House(Factory):
    """
    All that came to one server of ours.

    @ivar total: units of money.
    @ivar data: bytes, in the order in which they came.
    @ivar tills: one for each stream.
    """

    noisy = False

    def __init__(self, isEcho: bool = False) -> None:
        """
        @param isEcho: whether bytes are sent back.
        """
        self.isEcho = isEcho
        self.total = 0
        self.data = bytearray()
        self.tills: list[Till] = []
        self.server: StreamServer

    def buildProtocol(self, addr: StreamAddress | None) -> Till:  # type: ignore[override]
        """Make a till for each stream."""
        self.tills.append(Till(self))
        return self.tills[-1]

    def credentials(self) -> Credentials:
        """New ones."""
        return self.server.generateCredentials()


class Talker(StreamProtocol):
    """The other end of a L{Till}: it keeps what comes back."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.total = 0

    def moneyReceived(self, amount: int) -> None:
        """Count money."""
        self.total += amount

    def dataReceived(self, data: bytes) -> None:
        """Keep bytes."""
        self.data += data


class PathTestCase(SceneTestCase):
    """Ends of ours and of the peers around a connector."""

    async def connector(self, accounts: dict[str, dict[str, Any]], **options: Any) -> Connector:
        """Start a connector; it ends when the test does."""
        connector = Connector(self, accounts, **options)
        await connector.start()
        return connector

    async def between(
        self, payer: dict[str, Any] | None = None, payee: dict[str, Any] | None = None, **more: Any
    ) -> Connector:
        """
        Start a connector with two accounts over BTP.

        @param payer: what its account has beyond the usual.
        @param payee: the same.
        """
        accounts = {
            "payer": overBTP("payer", **(payer or {})),
            "payee": overBTP("payee", **(payee or {})),
        }
        return await self.connector(accounts, **more)

    def command(self, *words: str) -> Peer:
        """The command C{txilpstream}, which ends when the test does."""
        peer = Peer(words[0])
        arguments = [sys.executable, "-m", "txilpstream", *words]
        reactor.spawnProcess(  # type: ignore[attr-defined]
            peer, sys.executable, arguments, dict(os.environ), str(HERE)
        )
        self.addCleanup(peer.end)
        return peer

    async def open(self, plugin: Any, **options: Any) -> Account:
        """
        An account of ours.

        @param plugin: a URL or a plugin.
        """
        if isinstance(plugin, str):
            plugin = pluginFromString(reactor, plugin)  # type: ignore[arg-type]
        account = await Account.open(reactor, plugin, **options)  # type: ignore[arg-type]
        self.addCleanup(account.close)
        return account

    async def house(self, account: Account, isEcho: bool = False, **options: Any) -> House:
        """A server of ours."""
        house = House(isEcho)
        house.server = StreamServer(account, **options)
        port = await house.server.listen(house)
        # The account is closed first, whatever its clients have left undone.
        self.addCleanup(lambda: port.stopListening() and None)
        return house

    async def theirServer(self, where: str) -> Peer:
        """A server of ilp-protocol-stream's."""
        server = self.node("server.js", where)
        await server.hear("listening")
        return server

    async def theirCredentials(self, server: Peer) -> Credentials:
        """New ones, of the peer's making."""
        said = await server.ask("credentials", wanted="credentials")
        return Credentials(said["address"], bytes.fromhex(said["secret"]))

    async def theyReceived(self, server: Peer, amount: int, size: int = 0) -> None:
        """Wait until the peer's server has seen exactly so much; fail if it never does."""
        totals: dict[str, Any] = {}
        for _ in range(100):
            totals = await server.ask("totals", wanted="totals")
            if int(totals["amount"]) == amount and totals["bytes"] == size:
                return
            await deferLater(reactor, 0.02)  # type: ignore[arg-type]
        self.assertEqual((int(totals["amount"]), totals["bytes"]), (amount, size))

    async def theirTotal(self, server: Peer) -> int:
        """What the peer's server has seen so far."""
        return int((await server.ask("totals", wanted="totals"))["amount"])

    async def theyPay(
        self, client: Peer, credentials: Credentials, amount: int, data: str = ""
    ) -> tuple[int, int]:
        """Let the peer's client pay; gives what it sent, and what was delivered as it knows."""
        said = await client.ask(
            "paid",
            address=credentials.destinationAddress,
            secret=credentials.sharedSecret.hex(),
            amount=str(amount),
            data=data,
        )
        return int(said["sent"]), int(said["delivered"])


class RestartTestCase(PathTestCase):
    """Payments in the middle of which somebody dies."""

    amount = 300 * PACKET

    inFlight = 30
    """Packets without an answer at most: not many more can be in doubt, once and for all."""

    async def interrupt(
        self,
        payer: Account,
        credentials: Credentials,
        kill: Callable[[], Awaitable[Any]],
        start: Callable[[], Awaitable[Any]],
    ) -> PaymentResult:
        """
        Pay, kill somebody when a quarter is sent, and start him again.

        @return: what the payment came to, which is most of it sent and the rest in doubt.
        """
        progress: list[PaymentResult] = []
        terms = {"sourceAmount": self.amount, "options": {"maximumInFlight": self.inFlight}}
        paying = pay(payer, credentials, progress=progress.append, **terms)
        await self.until(lambda: progress and progress[-1].sent > self.amount // 4, 60)
        await kill()
        before = progress[-1].sent
        await start()
        try:
            result = await paying
        except PaymentError as error:
            result = error.result
            self.assertGreater(result.inDoubt, 0, str(error))
        self.assertGreater(result.sent, before)
        self.assertEqual(result.sent + result.inDoubt, self.amount)
        self.assertLessEqual(result.inDoubt, 2 * self.inFlight * PACKET)
        return result

    def agree(self, result: PaymentResult, arrived: int) -> None:
        """Check that what arrived was sent, or is in doubt."""
        self.assertTrue(result.sent <= arrived <= result.sent + result.inDoubt, (result, arrived))
