"""
The two other processes of C{crowds.py}: a hub with named peers, and the crowd at its door.

    python crowdpeer.py hub
    python crowdpeer.py crowd PORT ADDRESS

The hub prints where it listens and whom to pay. The crowd prints a line when all have come, and
goes when its standard input ends; whoever is sent away comes again after a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react

from txilpstream.http.listener import raiseDescriptorLimit
from txilpstream.hub.connector import Hub
from txilpstream.hub.server import LocalHub
from txilpstream.plugins.memory import memoryPair
from txilpstream.transport.account import Account
from txilpstream.transport.protocol import StreamProtocol
from txilpstream.transport.server import StreamServer
from txilpstream.wire.ilp import encodePrepare, encodeTimestamp

GREEDY, STRANGERS, SLOW = 600, 500, 2000
"""Connections of one token, all of whose requests stay unanswered; of no token; and of those who
say one octet a second."""


class Input(StreamProtocol):
    """Says when the standard input ends."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def connectionLost(self, reason: Any = None) -> None:
        """It has."""
        self.ended.callback(None)


async def hub(reactor: Any) -> None:
    """Listen, for a peer that pays, one who is greedy, and whoever comes."""
    raiseDescriptorLimit()
    endpoint: Any = serverFromString(reactor, "tcp:0:interface=127.0.0.1")
    local = LocalHub(reactor, Hub(reactor, "test.hub"), http=endpoint, isOpen=False)
    local.addAccount("payer", token="payer")
    local.addAccount("greedy", token="greedy")
    ours, theirs = memoryPair(reactor)
    local.addAccount("shop", plugin=theirs)
    silent, far = memoryPair(reactor)
    silent.registerDataHandler(lambda data: Deferred())
    local.addAccount("silent", plugin=far)
    await ours.connect()
    await silent.connect()
    await local.start()
    server = StreamServer(await Account.open(reactor, ours))
    await server.listen(Factory.forProtocol(StreamProtocol))
    credentials = server.generateCredentials()
    port: Any = local.httpPort
    hello = {
        "port": port.getHost().port,
        "address": credentials.destinationAddress,
        "secret": credentials.sharedSecret.hex(),
    }
    print(json.dumps(hello), flush=True)
    ending = Input()
    StandardIO(ending)  # type: ignore[no-untyped-call]
    await ending.ended


def request(token: str) -> bytes:
    """A request that nobody answers, if the token is good."""
    packet = encodePrepare(0, encodeTimestamp(time.time() + 29), bytes(32), "test.hub.silent.x")
    return (
        f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {len(packet)}\r\n\r\n"
    ).encode() + packet


class Crowd:
    """All who come."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.came = 0

    async def visit(self, token: str) -> None:
        """Come, say something, and come again when sent away."""
        isNew = True
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                self.came += isNew
                isNew = False
                if token:
                    writer.write(request(token))
                    while await reader.read(4096):
                        pass
                else:
                    for octet in b"POST / HTTP/1.1\r\nX: " + b"y" * 1000:
                        writer.write(bytes([octet]))
                        await writer.drain()
                        with contextlib.suppress(asyncio.TimeoutError):
                            if not await asyncio.wait_for(reader.read(4096), 1):
                                break
                writer.close()
            await asyncio.sleep(1)

    async def run(self) -> None:
        """Have all come, until the standard input ends."""
        tokens = ["greedy"] * GREEDY + ["nobody's"] * STRANGERS + [""] * SLOW
        visits = []
        for number, token in enumerate(tokens):
            visits.append(asyncio.ensure_future(self.visit(token)))
            if number % 50 == 49:
                await asyncio.sleep(0.05)
        while self.came < len(tokens):
            await asyncio.sleep(0.1)
        print("all came", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        for visit in visits:
            visit.cancel()


if sys.argv[1] == "hub":
    react(lambda reactor: Deferred.fromCoroutine(hub(reactor)))
else:
    raiseDescriptorLimit()
    asyncio.run(Crowd(int(sys.argv[2])).run())
