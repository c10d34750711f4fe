"""
One measurement of our side in this process, for C{compare.py}.

    python compareours.py WHAT JSON

It prints one line of JSON: seconds on the wall (C{wall}), seconds of processor time (C{cpu}), how
much was done (C{count}: packets, bytes or connections) and the most memory that the process had
(C{peak}, MiB). C{interop/bench.js} does the same work with the peers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter, process_time
from typing import Any

from compareoursalone import measureCodec, measureReceiving
from compareprocesses import peakOf
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from zope.interface import implementer

from txilpstream import (
    Account,
    AccountDetails,
    Credentials,
    IMoneyReceiver,
    Ratio,
    StreamClient,
    StreamConnection,
    StreamFactory,
    StreamProtocol,
    StreamServer,
    memoryPair,
    pay,
)
from txilpstream.testing import Latency, MaximumPacketAmount, SimulatedPath

PACKET = 1000
"""Units in a packet of money."""

CHUNK = bytes([0xA5]) * (1 << 14)
"""What the application writes at once."""

RATES: dict[str, dict[str, Any]] = {
    "default": {},
    "measured": {},
    "any": {"acceptAnyRate": True},
    "given": {"minimumRate": Ratio(1)},
}
"""
What a payment is told of the rate. By default it knows the receiver's asset from the credentials;
where the rate is to be measured it is given credentials that do not tell it.
"""

Order = dict[str, Any]
Result = dict[str, Any]


@implementer(IMoneyReceiver)
class Sink(StreamProtocol):
    """
    Takes everything.

    @cvar heard: called with each piece of money or data that any stream gets, in units or bytes.
    """

    heard: Callable[[int], None] = staticmethod(lambda _: None)

    def dataReceived(self, data: bytes) -> None:
        type(self).heard(len(data))

    def moneyReceived(self, amount: int) -> None:
        type(self).heard(amount)


class Source:
    """A producer of so many chunks."""

    def __init__(self, transport: Any, chunks: int) -> None:
        self.transport = transport
        self.left = chunks
        self.isPaused = False

    def resumeProducing(self) -> None:
        self.isPaused = False
        while self.left and not self.isPaused:
            self.left -= 1
            self.transport.write(CHUNK)

    def pauseProducing(self) -> None:
        self.isPaused = True

    stopProducing = pauseProducing


class Rig:
    """Two accounts, with a server on one."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor

    async def open(self, oneWayMs: float = 0.0) -> None:
        """
        Join them, by a path that takes time if any is given and packets of C{PACKET} at most.
        """
        ends = [AccountDetails(f"test.{name}", 9, "USD") for name in ("client", "server")]
        left: Any
        right: Any
        if oneWayMs:
            hops = [MaximumPacketAmount(PACKET), Latency(oneWayMs / 1000)]
            path = SimulatedPath(self.reactor, hops, left=ends[0], right=ends[1])
            left, right = path.left, path.right
        else:
            left, right = memoryPair(self.reactor, left=ends[0], right=ends[1])
        self.client = await Account.open(self.reactor, left)
        self.server = StreamServer(await Account.open(self.reactor, right))
        await self.server.listen(Factory.forProtocol(Sink))

    async def connect(self, **options: Any) -> StreamConnection:
        """Open a connection; the rate is 1 unless something else is said of it."""
        options = options or {"minimumRate": Ratio(1)}
        credentials = self.server.generateCredentials()
        return await StreamClient(self.client).connect(
            credentials, maximumPacketAmount=PACKET, **options
        )

    async def openStream(self) -> Any:
        """The transport of a stream on a new connection."""
        connection = await self.connect()
        opened = await connection.openStream(StreamFactory.forProtocol(StreamProtocol))
        return opened.transport


async def timed(work: Callable[[], Awaitable[object]], count: int) -> Result:
    """What a piece of work takes."""
    began, spent = perf_counter(), process_time()
    await work()
    return {"wall": perf_counter() - began, "cpu": process_time() - spent, "count": count}


async def measureMoney(reactor: Any, order: Order) -> Result:
    """One payment over one stream, the connection open and its rate known."""
    rig = Rig(reactor)
    await rig.open(order.get("oneWayMs", 0))
    transport = await rig.openStream()
    if order["warm"]:
        await transport.sendMoney(PACKET * order["warm"])
    count = order["count"]
    return await timed(lambda: transport.sendMoney(PACKET * count), count)


async def measureData(reactor: Any, order: Order) -> Result:
    """Bytes one way over one stream, from the first write until all are with the application."""
    rig = Rig(reactor)
    await rig.open(order.get("oneWayMs", 0))
    transport = await rig.openStream()
    left = 0
    done: Deferred[None] = Deferred()

    def heard(size: int) -> None:
        nonlocal left
        left -= size
        if not left:
            done.callback(None)

    Sink.heard = staticmethod(heard)

    async def send(size: int) -> None:
        nonlocal left, done
        left, done = size, Deferred()
        source = Source(transport, size // len(CHUNK))
        transport.registerProducer(source, True)
        source.resumeProducing()
        await done
        transport.unregisterProducer()

    if order["warm"]:
        await send(order["warm"])
    return await timed(lambda: send(order["count"]), order["count"])


async def measureSetup(reactor: Any, order: Order) -> Result:
    """Connections one after the other, each opened until the peer has answered, and closed."""
    rig = Rig(reactor)
    await rig.open()

    async def many(count: int) -> None:
        for _ in range(count):
            connection = await rig.connect(acceptAnyRate=False)
            await connection.close()

    await many(order["warm"])
    return await timed(lambda: many(order["count"]), order["count"])


async def measureFirst(reactor: Any, order: Order) -> Result:
    """From credentials to the first unit at the server, the median of several payments."""
    rig = Rig(reactor)
    await rig.open(order["oneWayMs"])
    walls, spent = [], 0.0
    for number in range(order["count"] + 1):
        credentials = rig.server.generateCredentials()
        if order["rate"] != "default":
            credentials = Credentials(credentials.destinationAddress, credentials.sharedSecret)
        arrived: Deferred[int] = Deferred()
        Sink.heard = arrived.callback
        paid: list[Deferred[Any]] = []

        async def first(
            credentials: Any = credentials, arrived: Any = arrived, paid: Any = paid
        ) -> None:
            paid.append(pay(rig.client, credentials, sourceAmount=1, **RATES[order["rate"]]))
            await arrived

        found = await timed(first, 1)
        await paid[0]
        spent += found["cpu"]
        if number:
            walls.append(found["wall"])
    return {"wall": median(walls), "cpu": spent, "count": 1}


MEASURED: dict[str, Callable[[Any, Order], Any]] = {
    "money": measureMoney,
    "data": measureData,
    "setup": measureSetup,
    "first": measureFirst,
    "server": lambda reactor, order: measureReceiving(reactor, order, isStateless=False),
    "receiver": lambda reactor, order: measureReceiving(reactor, order, isStateless=True),
    "codec": measureCodec,
}
"""What can be measured."""


async def main(reactor: Any, what: str, words: str) -> None:
    """Measure one thing."""
    found = await MEASURED[what](reactor, json.loads(words))
    print(json.dumps({"event": "done", **found, "peak": peakOf("self")}), flush=True)


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
