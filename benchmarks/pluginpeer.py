"""
The receiving end of C{plugins.py}, in a process of its own.

It listens on a free port, prints where and with which credentials, and answers each line on its
standard input with the processor time that it has used; at the end of the input it ends.
"""

from __future__ import annotations

import json
import sys
from time import process_time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver

from txilpstream.plugins.btp.server import BTPServer, BTPServerPlugin
from txilpstream.plugins.http.plugin import HTTPPlugin
from txilpstream.transport.account import Account
from txilpstream.transport.protocol import StreamProtocol
from txilpstream.transport.server import StreamServer

TOKEN = "benchmark"


class Questions(LineReceiver):
    """Says how much processor time was used."""

    delimiter = b"\n"

    def __init__(self) -> None:
        self.done: Deferred[None] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        """Answer."""
        self.sendLine(json.dumps({"cpu": process_time()}).encode())

    def connectionLost(self, reason: Any = None) -> None:
        """Nobody asks any more."""
        self.done.callback(None)


async def main(reactor: Any, kind: str) -> None:
    """Listen, and answer until nobody asks any more."""
    endpoint: IStreamServerEndpoint = serverFromString(reactor, "tcp:0:interface=127.0.0.1")
    plugin: Any
    if kind == "btp":
        plugin = BTPServerPlugin(reactor)
        btp = BTPServer(reactor, endpoint, lambda name, token: plugin)
        await btp.start()
        listening: Any = btp.port
        where = f"btp+ws://:{TOKEN}@127.0.0.1:{listening.getHost().port}"
    else:
        plugin = HTTPPlugin(reactor, None, endpoint=endpoint, incomingToken=TOKEN)
    account = await Account.open(reactor, plugin, address="test.server")
    if kind == "http":
        where = f"http://:{TOKEN}@127.0.0.1:{plugin.port.getHost().port}/"
    server = StreamServer(account)
    await server.listen(Factory.forProtocol(StreamProtocol))
    credentials = server.generateCredentials()
    questions = Questions()
    StandardIO(questions)
    questions.sendLine(
        json.dumps(
            {
                "plugin": where,
                "address": credentials.destinationAddress,
                "secret": credentials.sharedSecret.hex(),
            }
        ).encode()
    )
    await questions.done


react(lambda reactor: Deferred.fromCoroutine(main(reactor, sys.argv[1])))
