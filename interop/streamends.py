"""
Two ends of a STREAM connection, ours in the test's process and ilp-protocol-stream's in its own.

This module makes them meet, whichever of them is the client, lets each be told the same things, and
compares what they say afterwards with each other and with the hub between them. What is tested is
in the modules that use it.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256, shake_256
from typing import Any

from scene import Peer, SceneTestCase
from twisted.internet.interfaces import IAddress
from twisted.python.components import proxyForInterface
from twisted.python.failure import Failure

from txilpstream import (
    Account,
    Credentials,
    IPlugin,
    StreamClient,
    StreamConnection,
    StreamFactory,
    StreamProtocol,
    StreamServer,
)
from txilpstream.amounts import U64_MAX
from txilpstream.hub.accounts import AccountOptions


def content(seed: str, size: int) -> bytes:
    """The bytes that the peer's driver makes of the same seed."""
    return shake_256(seed.encode()).digest(size)


class Keeper(StreamProtocol):
    """
    Our end of a stream: it takes everything and remembers what it took.

    @ivar amounts: of money, as they came.
    @ivar size: bytes that came.
    @ivar digest: SHA-256 of them.
    @ivar lost: why the stream is over; None while it is not.
    """

    def __init__(self, begin: Callable[[Keeper], object] | None) -> None:
        self.amounts: list[int] = []
        self.size = 0
        self.digest = sha256()
        self.lost: Failure | None = None
        self._begin = begin

    def connectionMade(self) -> None:
        """Do what was asked for at the beginning."""
        if self._begin is not None:
            self._begin(self)

    def moneyReceived(self, amount: int) -> None:
        """Keep it."""
        self.amounts.append(amount)

    def dataReceived(self, data: bytes) -> None:
        """Keep its hash."""
        self.size += len(data)
        self.digest.update(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Keep the reason."""
        self.lost = reason


class KeeperFactory(StreamFactory):
    """
    Makes L{Keeper}s.

    @ivar made: all of them, in order.
    """

    def __init__(self, begin: Callable[[Keeper], object] | None = None) -> None:
        self.made: list[Keeper] = []
        self._begin = begin

    def buildProtocol(self, addr: IAddress | None) -> Keeper:
        """Make one."""
        self.made.append(Keeper(self._begin))
        return self.made[-1]


class Scale(proxyForInterface(IPlugin)):  # type: ignore[misc]
    """
    A plugin that weighs what it carries.

    @ivar sent: octets of each Prepare that left.
    @ivar came: octets of each Prepare that came.
    """

    def __init__(self, original: Any) -> None:
        super().__init__(original)
        self.sent: list[int] = []
        self.came: list[int] = []

    def sendData(self, data: bytes) -> Any:
        """Weigh it and send it."""
        self.sent.append(len(data))
        return self.original.sendData(data)

    def registerDataHandler(self, handler: Any) -> None:
        """Weigh what it is given."""

        def weigh(data: bytes) -> Any:
            self.came.append(len(data))
            return handler(data)

        self.original.registerDataHandler(weigh)


class StreamTestCase(SceneTestCase):
    """
    Our end and a peer's, which meet at the hub.

    @cvar peer: the package that is tested, by its name in C{package.json}.
    @cvar role: what the peer is: a payer is the client of our server, a payee the server of our
        client.
    @ivar ours: our account, named C{us} at the hub; the peer's is named C{them}.
    @ivar theirs: the peer's process.
    @ivar connection: our end of the connection.
    @ivar factory: has made the protocols of all its streams.
    @ivar server: ours, if we are one.
    @ivar plugin: the URL with which the peer comes to the hub.
    @ivar before: how many connections the peer knew before this one.
    """

    peer = "ilp-protocol-stream"
    role = "payer"

    ours: Account
    theirs: Peer
    connection: StreamConnection
    factory: KeeperFactory
    server: StreamServer
    plugin: str
    before = 0

    def driver(self) -> Peer:
        """A process of the peer's."""
        return self.node("stream.js", self.peer)

    async def serve(self, account: Account, secret: bytes | None = None, **options: Any) -> None:
        """Let our server listen on an account."""
        self.server = StreamServer(account, secret, **options)
        await self.server.listen(self.factory)
        self.addCleanup(self.stopServer)

    async def offer(self, amount: int) -> Keeper:
        """Let the client, which is the peer, open a stream and offer money."""
        keeper = await self.openTheirs()
        self.order(keeper, "offer", amount=str(amount))
        return keeper

    async def stopServer(self) -> None:
        """Let our server go, and all its connections, at once."""
        for connection in list(self.server.connections.values()):
            connection.abort()
        await self.server.stopListening()

    async def credentials(self, **options: Any) -> Credentials:
        """Credentials that the peer's server makes."""
        said = await self.theirs.ask("credentials", do="credentials", **options)
        address, secret = said["all"][0]
        return Credentials(address, bytes.fromhex(secret))

    async def bring(
        self,
        *,
        us: AccountOptions | None = None,
        them: AccountOptions | None = None,
        wrap: Any = None,
        begin: Callable[[Keeper], object] | None = None,
    ) -> str:
        """
        Make both accounts and start the peer; gives the URL with which it comes to the hub.

        @param us: of our account.
        @param them: of the peer's.
        @param wrap: makes a plugin around ours.
        @param begin: is called with each protocol of ours when its stream begins.
        """
        self.factory = KeeperFactory(begin)
        self.ours = await self.account("us", us, wrap)
        self.theirs = self.driver()
        return self.btp("them", them)

    async def invite(
        self,
        *,
        theirOptions: dict[str, Any] | None = None,
        receiveMax: int = U64_MAX,
        tokens: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> Credentials:
        """
        Let the peer be a server; gives credentials of its making.

        @param theirOptions: of the peer's end.
        @param receiveMax: what its streams take.
        @param tokens: what it writes into the credentials.
        @param arguments: as L{bring} takes them.
        """
        orders = {"plugin": await self.bring(**arguments), "options": theirOptions or {}}
        orders["receiveMax"] = str(receiveMax)
        await self.theirs.ask("listening", do="serve", **orders)
        return await self.credentials(**tokens or {})

    async def meet(
        self,
        *,
        policy: Any = None,
        options: dict[str, Any] | None = None,
        theirOptions: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> None:
        """
        Open a connection from the client of the two to the server.

        @param policy: of our end.
        @param options: of our end.
        @param theirOptions: of the peer's end.
        @param arguments: as L{bring} takes them.
        """
        options = {"policy": policy, **(options or {})}
        if self.role == "payee":
            credentials = await self.invite(theirOptions=theirOptions, **arguments)
            client = StreamClient(self.ours)
            self.connection = await client.connect(credentials, factory=self.factory, **options)
            return
        self.plugin = await self.bring(**arguments)
        await self.serve(self.ours, **options)
        await self.connectThem(self.server.generateCredentials(), theirOptions)

    async def meetAgain(self) -> None:
        """Open another connection after the first has ended."""
        self.before = len(await self.reports())
        if self.role == "payer":
            await self.connectThem(self.server.generateCredentials())
            return
        credentials = await self.credentials()
        client = StreamClient(self.ours)
        self.connection = await client.connect(credentials, factory=self.factory)

    async def connectThem(
        self, credentials: Credentials, options: dict[str, Any] | None = None
    ) -> None:
        """Let the peer open a connection to our server."""
        orders = self.orderFor(credentials)
        await self.theirs.ask("connected", do="connect", options=options or {}, **orders)
        self.connection = list(self.server.connections.values())[-1]

    def orderFor(self, credentials: Credentials) -> dict[str, str]:
        """What the peer must know to open a connection."""
        return {
            "plugin": self.plugin,
            "address": credentials.destinationAddress,
            "secret": credentials.sharedSecret.hex(),
        }

    async def open(self) -> Keeper:
        """Let the client open a stream, and wait until the server knows it; gives our end."""
        return await (self.openTheirs if self.role == "payer" else self.openOurs)()

    async def openOurs(self) -> Keeper:
        """Let our end open a stream."""
        keeper: Keeper = await self.connection.openStream(self.factory)
        await self.streamReport(keeper)
        return keeper

    async def openTheirs(self) -> Keeper:
        """Let the peer open a stream; gives our end."""
        streamID = (await self.theirs.ask("opened", do="open"))["stream"]
        await self.until(lambda: streamID in self.connection.streams)
        return self.keeper(streamID)

    def keeper(self, streamID: int) -> Keeper:
        """Our end of a stream of the last connection."""
        keeper: Keeper = self.connection.streams[streamID].protocol
        return keeper

    def order(self, keeper: Keeper, what: str, **values: Any) -> None:
        """Let the peer do something on a stream, and do not wait for it."""
        self.theirs.say(do=what, stream=keeper.transport.streamID, **values)

    async def reports(self) -> list[dict[str, Any]]:
        """What the peer says of each connection; streams are in C{"streams"}."""
        said: list[dict[str, Any]] = (await self.theirs.ask("report", do="report"))["connections"]
        return said

    async def report(self) -> dict[str, Any]:
        """What it says of the last."""
        return (await self.reports())[-1]

    async def whenReport(
        self, isTrue: Callable[[dict[str, Any]], object], seconds: float = 20.0
    ) -> dict[str, Any]:
        """
        Wait until what the peer says of a connection is as it should be. Its server makes another
        one of a packet that comes when it has ended the first.
        """
        for _ in range(int(seconds / 0.02)):
            reports = (await self.reports())[self.before :]
            for said in reversed(reports):
                if isTrue(said):
                    return said
            await self.sleep(0.02)
        raise AssertionError(f"the peer still says after {seconds} s: {reports}")

    async def streamReport(
        self, keeper: Keeper, isTrue: Callable[[dict[str, Any]], object] = bool
    ) -> dict[str, Any]:
        """The same for one stream."""

        def find(said: dict[str, Any]) -> list[dict[str, Any]]:
            found = [s for s in said["streams"] if s["id"] == keeper.transport.streamID]
            return [each for each in found if isTrue(each)]

        return find(await self.whenReport(find))[0]

    async def whenQuiet(self) -> list[dict[str, Any]]:
        """Wait until no packet is under way; gives what the peer says of each connection then."""
        before = None
        while True:
            await self.until(lambda: not self.hub.books.holds)
            said = await self.reports()
            if said == before and not self.hub.books.holds:
                return said
            before = said
            await self.sleep(0.1)

    async def checkBooks(self, mostInFlight: int = 0) -> None:
        """
        Compare the books of both ends and of the hub, all in one asset.

        @param mostInFlight: what the peer may not know to have arrived: one packet of its for each
            connection.
        """
        said = await self.whenQuiet()
        theirSent = sum(int(each["sent"]) for each in said)
        theirReceived = sum(int(each["received"]) for each in said)
        streams = [each.transport for each in self.factory.made]
        sent = sum(stream.totalSent for stream in streams)
        inDoubt = sum(stream.totalInDoubt for stream in streams)
        received = sum(stream.totalReceived for stream in streams)
        us, them = self.hub.accounts["us"], self.hub.accounts["them"]
        self.assertLessEqual(sent, theirReceived)
        self.assertLessEqual(theirReceived, sent + inDoubt)
        self.assertEqual(theirReceived, us.totalSent)
        self.assertEqual(theirReceived, them.totalReceived)
        self.assertEqual(received, sum(sum(each.amounts) for each in self.factory.made))
        self.assertEqual(received, us.totalReceived)
        self.assertEqual(received, them.totalSent)
        self.assertLessEqual(theirSent, received)
        self.assertLessEqual(received, theirSent + mostInFlight)
