"""
What a packet of money costs over each kind of plugin: memory, BTP, and ILP over HTTP with and
without TLS; and what it could not be cheaper than.

Over memory both ends are in one process; over the others the receiving end is a process of its own
and the way is the loopback interface. Each packet is one Prepare with its Fulfill. The floors are
the same octets over Twisted's TCP, read by nothing, or by C{httptools}. C{--profile} tells where
the time goes at each end of HTTP; a profile itself takes time, so its shares are rough.
"""

from __future__ import annotations

import json
import subprocess
import sys
from cProfile import Profile
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

from floors import FLOORS, exchange
from measure import RUNS, Figure, readOptions, shares, show
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import react

from txilpstream.amounts import Ratio
from txilpstream.crypto.credentials import Credentials
from txilpstream.plugins.http.plugin import HTTPPlugin
from txilpstream.plugins.memory import memoryPair
from txilpstream.plugins.registry import pluginFromString
from txilpstream.test.support.certificates import trusting
from txilpstream.transport.account import Account
from txilpstream.transport.client import StreamClient
from txilpstream.transport.protocol import StreamFactory, StreamProtocol
from txilpstream.transport.server import StreamServer

AMOUNT = 1000
"""Source units in a packet."""

GOALS = {("btp", 100): 5000, ("http", 100): 5000}
"""Packets per second, at least."""

KINDS = ("memory", *FLOORS, "btp", "http", "https")


class Peer:
    """The receiving end in another process."""

    def __init__(self, kind: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("pluginpeer.py")), kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.hello = self.read()

    def read(self) -> dict[str, Any]:
        """One line of it."""
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def tell(self, word: str) -> None:
        """Write it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def cpu(self) -> float:
        """The processor time that it has used."""
        self.tell("cpu")
        return float(self.read()["cpu"])

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)


async def overMemory(reactor: Any) -> tuple[Account, Credentials]:
    """Both ends here."""
    left, right = memoryPair(reactor)
    client = await Account.open(reactor, left, address="test.client")
    server = StreamServer(await Account.open(reactor, right, address="test.server"))
    await server.listen(Factory.forProtocol(StreamProtocol))
    return client, server.generateCredentials()


async def overWire(reactor: Any, peer: Peer) -> tuple[Account, Credentials]:
    """The other end is there."""
    hello = peer.hello
    if hello["pem"]:
        policy = trusting(hello["pem"].encode())
        plugin: Any = HTTPPlugin(reactor, hello["plugin"], contextFactory=policy)
    else:
        plugin = pluginFromString(reactor, hello["plugin"])
    client = await Account.open(reactor, plugin, address="test.client")
    return client, Credentials(hello["address"], bytes.fromhex(hello["secret"]))


async def connect(reactor: Any, kind: str, peer: Peer | None, inFlight: int) -> Any:
    """
    Be ready.

    @return: what sends so many packets, and what ends it.
    """
    if kind in FLOORS and peer is not None:
        return await exchange(reactor, peer.hello["port"], kind, inFlight)
    both = overMemory(reactor) if peer is None else overWire(reactor, peer)
    client, credentials = await both
    options: dict[str, Any] = {"maximumPacketAmount": AMOUNT, "minimumRate": Ratio(1)}
    connection = await StreamClient(client).connect(
        credentials, maximumInFlight=inFlight, **options
    )
    opened: Any = await connection.openStream(StreamFactory.forProtocol(StreamProtocol))

    async def run(count: int) -> None:
        await opened.transport.sendMoney(AMOUNT * count)

    async def close() -> None:
        connection.abort()
        await client.close()

    return run, close


async def measure(reactor: Any, kind: str, inFlight: int, count: int) -> tuple[float, float, float]:
    """Packets per second, and µs of processor time per packet here and there."""
    peer = None if kind == "memory" else Peer(kind)
    run, close = await connect(reactor, kind, peer, inFlight)
    await run(max(200, count // 4))
    there = 0.0 if peer is None else peer.cpu()
    here, began = process_time(), perf_counter()
    await run(count)
    seconds, here = perf_counter() - began, process_time() - here
    there = 0.0 if peer is None else peer.cpu() - there
    await close()
    if peer is not None:
        peer.close()
    return count / seconds, here / count * 1e6, there / count * 1e6


async def profile(reactor: Any, count: int) -> list[Figure]:
    """Where the time goes at both ends of HTTP, 100 packets in flight."""
    peer = Peer("http")
    run, close = await connect(reactor, "http", peer, 100)
    await run(count // 4)
    here = Profile()
    peer.tell("profile")
    here.enable()
    await run(count)
    here.disable()
    peer.tell("shares")
    ends = {"sending": shares(here), "receiving": peer.read()["shares"]}
    await close()
    peer.close()
    return [
        Figure(f"http, {end} end, {place}", part, "%")
        for end, parts in ends.items()
        for place, part, _ in parts
        if part >= 1
    ]


async def main(reactor: Any) -> None:
    """Measure all, each kind in turn, and hold it against its floor."""
    options = readOptions(__doc__ or "", hasProfile=True)
    runs = 1 if options.isSmoke else RUNS
    figures = []
    for inFlight in (1, 100):
        count = options.count(8000 if inFlight > 1 else 2000, 300)
        found: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in KINDS}
        for _ in range(runs):
            for kind in KINDS:
                found[kind].append(await measure(reactor, kind, inFlight, count))
        costs: dict[str, float] = {}
        for kind in KINDS:
            speed, here, there = (median(each) for each in zip(*found[kind], strict=True))
            name = f"{kind}, {inFlight} in flight"
            goal = None if options.isSmoke else GOALS.get((kind, inFlight))
            figures.append(Figure(name, speed, "packets/s", goal, True))
            where = "both ends" if kind == "memory" else "sending end"
            figures.append(Figure(f"{name}, {where}", here, "µs"))
            if kind != "memory":
                figures.append(Figure(f"{name}, receiving end", there, "µs"))
            costs[kind] = here + there
        least = costs["httptools"] + costs["memory"]
        isJudged = not options.isSmoke and inFlight > 1
        for name, ratio, most in (
            ("http to floor and memory", costs["http"] / least, 1.5),
            ("https to http", costs["https"] / costs["http"], 1.3),
            ("btp to floor and memory", costs["btp"] / least, None),
        ):
            goal = most if isJudged else None
            figures.append(Figure(f"{name}, {inFlight} in flight", ratio, "times", goal))
    if options.isProfile:
        figures += await profile(reactor, options.count(8000, 1000))
    show(figures, options)


react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
