"""
What a packet of money costs over each kind of plugin: memory, BTP and ILP over HTTP.

Over memory both ends are in one process; over the others the receiving end is a process of its own
and the way is the loopback interface. Each packet is one Prepare with its Fulfill. The difference
to memory is what the libraries below, Twisted and wsproto, take with sockets and framing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

from measure import RUNS, Figure, readOptions, show
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import react

from txilpstream.amounts import Ratio
from txilpstream.crypto.credentials import Credentials
from txilpstream.plugins.memory import memoryPair
from txilpstream.plugins.registry import pluginFromString
from txilpstream.transport.account import Account
from txilpstream.transport.client import StreamClient
from txilpstream.transport.protocol import StreamFactory, StreamProtocol
from txilpstream.transport.server import StreamServer

AMOUNT = 1000
"""Source units in a packet."""

GOALS = {("btp", 100): 5000, ("http", 100): 1200}
"""Packets per second, at least."""


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

    def cpu(self) -> float:
        """The processor time that it has used."""
        assert self.process.stdin is not None
        self.process.stdin.write("cpu\n")
        self.process.stdin.flush()
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


async def measure(reactor: Any, kind: str, inFlight: int, count: int) -> tuple[float, float, float]:
    """Packets per second, and µs of processor time per packet here and there."""
    peer = None if kind == "memory" else Peer(kind)
    if peer is None:
        client, credentials = await overMemory(reactor)
    else:
        plugin = pluginFromString(reactor, peer.hello["plugin"])
        client = await Account.open(reactor, plugin, address="test.client")
        secret = bytes.fromhex(peer.hello["secret"])
        credentials = Credentials(peer.hello["address"], secret)
    options: dict[str, Any] = {"maximumPacketAmount": AMOUNT, "minimumRate": Ratio(1)}
    connection = await StreamClient(client).connect(
        credentials, maximumInFlight=inFlight, **options
    )
    opened: Any = await connection.openStream(StreamFactory.forProtocol(StreamProtocol))
    await opened.transport.sendMoney(AMOUNT * max(200, count // 4))
    there = 0.0 if peer is None else peer.cpu()
    here, began = process_time(), perf_counter()
    await opened.transport.sendMoney(AMOUNT * count)
    seconds, here = perf_counter() - began, process_time() - here
    there = 0.0 if peer is None else peer.cpu() - there
    connection.abort()
    await client.close()
    if peer is not None:
        peer.close()
    return count / seconds, here / count * 1e6, there / count * 1e6


async def main(reactor: Any) -> None:
    """Measure all, and say which part is the libraries'."""
    options = readOptions(__doc__ or "")
    runs = 1 if options.isSmoke else RUNS
    figures = []
    costs: dict[str, float] = {}
    for inFlight in (1, 100):
        for kind in ("memory", "btp", "http"):
            count = options.count(8000 if inFlight > 1 else 2000, 300)
            found = [await measure(reactor, kind, inFlight, count) for _ in range(runs)]
            speed, here, there = (median(each) for each in zip(*found, strict=True))
            name = f"{kind}, {inFlight} in flight"
            goal = None if options.isSmoke else GOALS.get((kind, inFlight))
            figures.append(Figure(name, speed, "packets/s", goal, True))
            where = "both ends" if kind == "memory" else "sending end"
            figures.append(Figure(f"{name}, {where}", here, "µs"))
            if kind != "memory":
                figures.append(Figure(f"{name}, receiving end", there, "µs"))
            costs[kind] = here + there
        for kind in ("btp", "http"):
            part = (costs[kind] - costs["memory"]) / costs[kind] * 100
            name = f"{kind}, {inFlight} in flight, part of sockets and framing"
            figures.append(Figure(name, part, "%"))
    show(figures, options)


react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
