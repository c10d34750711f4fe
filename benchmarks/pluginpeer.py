"""
The receiving end of C{plugins.py}, in a process of its own.

It listens on a free port, prints where and with which credentials, and answers each line on its
standard input with the processor time that it has used, or with where it went; at the end of the
input it ends.
"""

from __future__ import annotations

import json
import sys
from cProfile import Profile
from time import process_time
from typing import Any

from floors import FLOORS, Answering
from measure import shares
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import SSL4ServerEndpoint, serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver

from txilpstream.plugins.btp.server import BTPServer, BTPServerPlugin
from txilpstream.plugins.http.plugin import HTTPPlugin
from txilpstream.test.support.certificates import makePEM, serverCertificate
from txilpstream.transport.account import Account
from txilpstream.transport.protocol import StreamProtocol
from txilpstream.transport.server import StreamServer

TOKEN = "benchmark"


class Questions(LineReceiver):
    """Says how much processor time was used, and by what."""

    delimiter = b"\n"

    def __init__(self) -> None:
        self.done: Deferred[None] = Deferred()
        self.profile = Profile()

    def say(self, answer: dict[str, Any]) -> None:
        """Write a line."""
        self.sendLine(json.dumps(answer).encode())

    def lineReceived(self, line: bytes) -> None:
        """Answer."""
        if line == b"profile":
            self.profile.enable()
        elif line == b"shares":
            self.profile.disable()
            self.say({"shares": shares(self.profile)})
        else:
            self.say({"cpu": process_time()})

    def connectionLost(self, reason: Any = None) -> None:
        """Nobody asks any more."""
        self.done.callback(None)


async def serve(reactor: Any, kind: str) -> dict[str, Any]:
    """Listen; gives what the sending end has to know."""
    endpoint: IStreamServerEndpoint = serverFromString(reactor, "tcp:0:interface=127.0.0.1")
    if kind in FLOORS:
        factory: Any = Factory()
        factory.noisy = False
        factory.buildProtocol = lambda _: Answering(kind)
        port: Any = await endpoint.listen(factory)
        return {"port": port.getHost().port}
    plugin: Any
    scheme, pem = kind, b""
    if kind == "btp":
        plugin = BTPServerPlugin(reactor)
        btp = BTPServer(reactor, endpoint, lambda name, token: plugin)
        await btp.start()
        port, scheme = btp.port, "btp+ws"
    else:
        if kind == "https":
            pem = makePEM()
            options = serverCertificate(pem).options()
            endpoint = SSL4ServerEndpoint(reactor, 0, options, interface="127.0.0.1")
        plugin = HTTPPlugin(reactor, None, endpoint=endpoint, incomingToken=TOKEN)
    account = await Account.open(reactor, plugin, address="test.server")
    if kind != "btp":
        port = plugin.port
    server = StreamServer(account)
    await server.listen(Factory.forProtocol(StreamProtocol))
    credentials = server.generateCredentials()
    return {
        "plugin": f"{scheme}://:{TOKEN}@127.0.0.1:{port.getHost().port}",
        "pem": pem.decode(),
        "address": credentials.destinationAddress,
        "secret": credentials.sharedSecret.hex(),
    }


async def main(reactor: Any, kind: str) -> None:
    """Listen, and answer until nobody asks any more."""
    hello = await serve(reactor, kind)
    questions = Questions()
    StandardIO(questions)
    questions.say(hello)
    await questions.done


react(lambda reactor: Deferred.fromCoroutine(main(reactor, sys.argv[1])))
