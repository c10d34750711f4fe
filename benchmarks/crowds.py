"""
What a crowd at the door of a hub takes from a peer that pays: 600 connections of one token whose
requests stay unanswered, 500 of strangers, and 2,000 of those who say one octet a second.

The hub, the crowd and the peer that pays, over ILP over HTTP, are processes of their own on this
machine. The peer pays at a steady rate, and as fast as it can; each is measured without the crowd
and beside it, in turn. The crowd itself takes a part of the machine's processors, which the fast
rate shows too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from measure import RUNS, Figure, readOptions, show
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react
from twisted.internet.threads import deferToThread

from txilpstream.amounts import Ratio
from txilpstream.crypto.credentials import Credentials
from txilpstream.plugins.registry import pluginFromString
from txilpstream.transport.account import Account
from txilpstream.transport.client import StreamClient
from txilpstream.transport.protocol import StreamFactory, StreamProtocol

AMOUNT = 1000
"""Units in a packet."""

STEADY = 500
"""Packets per second that the steady peer pays."""

LEAST = 0.9
"""Part of its rate that it keeps at least."""


class Helper:
    """One of the other processes."""

    def __init__(self, *words: str) -> None:
        script = str(Path(__file__).with_name("crowdpeer.py"))
        self.process = subprocess.Popen(
            [sys.executable, script, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    async def line(self) -> str:
        """What it says."""
        assert self.process.stdout is not None
        return str(await deferToThread(self.process.stdout.readline))

    async def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        await deferToThread(self.process.wait, 60)


async def steadily(reactor: Any, transport: Any, seconds: float) -> float:
    """Pay a few packets each hundredth of a second; gives how many a second were delivered."""
    began = perf_counter()
    each = STEADY // 100
    payments = []
    for number in range(int(seconds * 100)):
        payments.append(transport.sendMoney(AMOUNT * each))
        await deferLater(reactor, max(0.0, began + (number + 1) / 100 - perf_counter()))
    for payment in payments:
        await payment
    return len(payments) * each / (perf_counter() - began)


async def fast(transport: Any, count: int) -> float:
    """Pay as fast as it goes; gives packets a second."""
    began = perf_counter()
    await transport.sendMoney(AMOUNT * count)
    return count / (perf_counter() - began)


async def main(reactor: Any) -> None:
    """Pay, with the crowd and without."""
    options = readOptions(__doc__ or "")
    runs = 1 if options.isSmoke else RUNS
    seconds, count = options.count(10, 3), options.count(20_000, 2000)
    hub = Helper("hub")
    hello = json.loads(await hub.line())
    plugin = pluginFromString(reactor, f"http://:payer@127.0.0.1:{hello['port']}/")
    account = await Account.open(reactor, plugin)
    credentials = Credentials(hello["address"], bytes.fromhex(hello["secret"]))
    limits: dict[str, Any] = {"maximumPacketAmount": AMOUNT, "minimumRate": Ratio(1)}
    connection = await StreamClient(account).connect(credentials, **limits)
    opened: Any = await connection.openStream(StreamFactory.forProtocol(StreamProtocol))
    pay = opened.transport
    await fast(pay, 1000)
    found: dict[str, list[float]] = {}
    for _ in range(runs):
        for who in ("alone", "beside the crowd"):
            crowd = None
            if who != "alone":
                crowd = Helper("crowd", str(hello["port"]))
                await crowd.line()
            steady = await steadily(reactor, pay, seconds)
            found.setdefault(f"steady, {who}", []).append(steady)
            found.setdefault(f"fast, {who}", []).append(await fast(pay, count))
            if crowd is not None:
                await crowd.close()
    if pay.totalInDoubt:
        raise AssertionError(f"{pay.totalInDoubt} units are in doubt")
    connection.abort()
    await account.close()
    await hub.close()
    figures = [Figure(name, median(each), "packets/s") for name, each in found.items()]
    for kind, least in (("steady", LEAST), ("fast", None)):
        pairs = zip(found[f"{kind}, beside the crowd"], found[f"{kind}, alone"], strict=True)
        kept = median(beside / alone for beside, alone in pairs)
        figures.append(Figure(f"{kind}, part that is kept", kept, "", least, True))
    show(figures, options, f"medians of {runs} runs")
    if not all(figure.holds is not False for figure in figures):
        sys.exit(1)


react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
