"""
Whole connections over random paths, in virtual time: money and data both ways on many streams.

After every step of time the books of both ends are held against those of the path.
"""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.web.client import Agent, readBody
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

from txilpstream.amounts import Ratio
from txilpstream.plugins.memory import memoryPair
from txilpstream.test.support.virtual import VirtualTestCase
from txilpstream.testing import (
    Duplicate,
    Expiry,
    Hop,
    Latency,
    LiquidityBucket,
    Loss,
    MaximumPacketAmount,
    MoneyInFlight,
    PacketRate,
    Rate,
    RejectWith,
    Reorder,
    Side,
    SimulatedPath,
    SwapReplies,
    TamperAmount,
    TamperData,
    linearDrift,
)
from txilpstream.transport.account import Account
from txilpstream.transport.client import StreamClient
from txilpstream.transport.endpoints import StreamClientEndpoint, StreamServerEndpoint
from txilpstream.transport.protocol import StreamProtocol
from txilpstream.transport.server import StreamServer
from txilpstream.wire.ildcp import AccountDetails

PATHS = 200
WINDOW = 1 << 20


@implementer(IHalfCloseableProtocol)
class Recorder(StreamProtocol):
    """Sends what it was given, and keeps what comes."""

    def __init__(self, data: bytes, money: int) -> None:
        self.data = data
        self.money = money
        self.got: list[bytes] = []
        self.count = 0
        self.credited = 0
        self.outcome: Any = None
        self.reason: Any = None
        self.hasRead = False

    def connectionMade(self) -> None:
        self.transport.write(self.data)
        if self.money:
            sent = self.transport.sendMoney(self.money)
            sent.addBoth(self._cbSent)
        self.transport.loseWriteConnection()

    def _cbSent(self, outcome: Any) -> None:
        self.outcome = outcome

    def dataReceived(self, data: bytes) -> None:
        self.got.append(data)

    def moneyReceived(self, amount: int) -> None:
        self.credited += amount

    def readConnectionLost(self) -> None:
        self.hasRead = True

    def writeConnectionLost(self) -> None:
        """Nothing more is to be written."""

    def connectionLost(self, reason: Any = None) -> None:
        self.reason = reason


class Recorders(Factory):
    """Builds recorders and keeps them by stream id."""

    noisy = False

    def __init__(self, make: Any) -> None:
        self.make = make
        self.protocols: dict[int, Recorder] = {}

    def buildProtocol(self, addr: Any) -> Recorder:
        protocol: Recorder = self.make()
        self.protocols[addr.streamID] = protocol
        return protocol


def randomHops(chance: random.Random) -> list[Hop]:
    """Some of everything that paths do."""
    hops: list[Hop] = [Latency(chance.uniform(0.001, 0.1), chance.choice([0, 0.01]))]

    def maybe(probability: float, *makers: Any) -> None:
        if chance.random() < probability:
            hops.append(chance.choice(makers)())

    ratio = Ratio(chance.randrange(1, 2000), chance.randrange(1, 2000))
    drift = linearDrift(Ratio(1, chance.randrange(500, 5000)), isFalling=chance.random() < 0.5)
    maybe(0.7, lambda: Rate(ratio), lambda: Rate(ratio, drift=drift))
    maybe(0.5, lambda: MaximumPacketAmount(chance.randrange(500, 50000), chance.random() < 0.5))
    maybe(
        0.3, lambda: LiquidityBucket(chance.randrange(10**5, 10**7), chance.randrange(10**5, 10**7))
    )
    maybe(0.3, lambda: PacketRate(chance.randrange(20, 500), chance.randrange(5, 100)))
    maybe(0.3, lambda: Loss(chance.choice([0.005, 0.02])))
    maybe(0.3, lambda: Duplicate(0.02))
    maybe(0.3, lambda: Reorder(0.05, 0.2))
    maybe(0.2, lambda: RejectWith("T00", 0.03), lambda: RejectWith("R00", 0.01))
    maybe(0.2, lambda: TamperData(0.01), lambda: TamperAmount(0.02, Ratio(1, 2).floor))
    maybe(0.2, lambda: SwapReplies(0.02), lambda: MoneyInFlight(chance.randrange(10**5, 10**7)))
    maybe(0.2, lambda: Expiry(1.0))
    chance.shuffle(hops)
    return hops


class Run:
    """One connection over one random path."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.path = SimulatedPath(
            self.clock,
            randomHops(chance),
            seed=seed,
            left=AccountDetails("example.left", 9, "USD"),
            right=AccountDetails("example.right", 6, "EUR"),
        )
        streams = chance.randrange(1, 11)
        size = chance.choice([0, 10, 20_000, 300_000]) // streams
        money = chance.choice([0, 1, 1000, 1_000_000]) // streams

        def make() -> Recorder:
            return Recorder(chance.randbytes(size), money)

        self.clients, self.servers = Recorders(make), Recorders(make)
        self.streams = streams
        self.connections: list[Any] = []
        self.worst = 0
        Deferred.fromCoroutine(self.start()).addErrback(self.problem)

    def problem(self, failure: Any) -> None:
        self.connections.append(failure)

    async def start(self) -> None:
        clock = self.clock
        left = await Account.open(clock, self.path.left, wallClock=clock.seconds)
        right = await Account.open(clock, self.path.right, wallClock=clock.seconds)
        server = StreamServer(right)
        self.server = server
        await server.listen(self.servers)
        connection = StreamClient(left).openConnection(server.generateCredentials())
        self.connections.append(connection)
        for _ in range(self.streams):
            connection.openStream(self.clients)

    def check(self, test: VirtualTestCase) -> None:
        """The books of both ends against those of the path."""
        sides: list[tuple[Side, Side, Recorders, Recorders]] = [
            ("left", "right", self.clients, self.servers),
            ("right", "left", self.servers, self.clients),
        ]
        for side, far, ends, others in sides:
            transports = [p.transport for p in ends.protocols.values()]
            sent = sum(t.totalSent for t in transports)
            doubt = sum(t.totalInDoubt for t in transports)
            taken = self.path.taken(side)
            test.assertLessEqual(sent, taken, side)
            test.assertLessEqual(taken, sent + doubt, side)
            got = sum(p.transport.totalReceived for p in others.protocols.values())
            test.assertEqual(self.path.given(far), got)
            for streamID, protocol in others.protocols.items():
                count = protocol.count
                data = ends.protocols[streamID].data if protocol.got else b""
                for piece in protocol.got:
                    test.assertEqual(data[count : count + len(piece)], piece)
                    count += len(piece)
                protocol.got.clear()
                protocol.count = count
            for streamID, protocol in ends.protocols.items():
                if protocol.reason is None:
                    stream = protocol.transport.connection.session.stream(streamID)
                    self.worst = max(self.worst, stream.data.held)
                    written = len(protocol.data)
                    kept = stream.queue.unsent + stream.queue.outstanding
                    test.assertLessEqual(kept, written)

    @property
    def isOver(self) -> bool:
        clients = self.clients.protocols.values()
        return bool(clients) and all(p.reason is not None for p in clients)


class RandomPathTests(VirtualTestCase):
    """Two hundred random paths, in tens."""

    def run_(self, seed: int) -> None:
        run = Run(seed)
        steps = 0
        while not run.isOver and steps < 20000:
            calls = run.clock.getDelayedCalls()
            self.assertTrue(calls, "nothing will ever happen again")
            run.clock.advance(max(0.0, min(c.getTime() for c in calls) - run.clock.seconds()))
            steps += 1
            run.check(self)
        self.assertTrue(run.isOver, f"seed {seed} hangs")
        self.assertLessEqual(run.worst, WINDOW)
        for streamID, client in run.clients.protocols.items():
            server = run.servers.protocols.get(streamID)
            for near, far in ((client, server), (server, client)):
                if near is None:
                    continue
                if near.hasRead and far is not None:
                    self.assertEqual(near.count, len(far.data))
                elif near.reason is not None:
                    self.assertFalse(near.reason.check(ConnectionDone), f"seed {seed}")
                    self.assertTrue(near.reason.getErrorMessage())
                if near.money and near.reason is not None:
                    self.assertIsNotNone(near.outcome)


def _add(first: int) -> None:
    def test(self: RandomPathTests) -> None:
        for seed in range(first, first + 10):
            self.run_(seed)

    test.__doc__ = f"The books hold on the random paths {first} to {first + 9}."
    setattr(RandomPathTests, f"test_paths{first:03d}", test)


for _first in range(0, PATHS, 10):
    _add(_first)


class Page(Resource):
    """One page of a mebibyte."""

    isLeaf = True
    content = bytes(range(256)) * 4096

    def render_GET(self, request: Any) -> bytes:
        return self.content


class WebTests(VirtualTestCase):
    """HTTP over STREAM, with nothing changed on either side."""

    def test_page(self) -> None:
        """An unmodified Site serves, and an unmodified Agent fetches, a page of 1 MiB."""
        clock = Clock()
        ends = memoryPair(
            clock,
            left=AccountDetails("example.left", 9, "USD"),
            right=AccountDetails("example.right", 9, "USD"),
        )
        bodies: list[bytes] = []
        endpoints: list[StreamClientEndpoint] = []

        class Endpoints:
            def endpointForURI(self, uri: Any) -> StreamClientEndpoint:
                return endpoints[0]

        async def fetch() -> None:
            left = await Account.open(clock, ends[0], wallClock=clock.seconds)
            right = await Account.open(clock, ends[1], wallClock=clock.seconds)
            server = StreamServer(right)
            await StreamServerEndpoint(server).listen(Site(Page(), reactor=clock))
            client = StreamClient(left)
            endpoints.append(StreamClientEndpoint(client, server.generateCredentials()))
            agent = Agent.usingEndpointFactory(clock, Endpoints())
            response = await agent.request(b"GET", b"http://page.example/")
            bodies.append(await readBody(response))

        done = Deferred.fromCoroutine(fetch())
        for _ in range(20000):
            clock.advance(0.001)
            if done.called:
                break
        self.successResultOf(done)
        self.assertEqual(bodies, [Page.content])
        # readBody looks for a method that Agent's own proxy of any transport has not.
        self.flushWarnings()
