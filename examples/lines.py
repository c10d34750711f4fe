"""
An unchanged Twisted protocol over a stream: a LineReceiver that never heard of money.

Endpoints give it a stream where others would give it a TCP connection.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver

from txilpstream.interfaces import Reactor
from txilpstream.plugins.memory import memoryPair
from txilpstream.transport.account import Account
from txilpstream.transport.client import StreamClient
from txilpstream.transport.endpoints import StreamClientEndpoint, StreamServerEndpoint
from txilpstream.transport.server import StreamServer
from txilpstream.wire.ildcp import AccountDetails


class Greeter(LineReceiver):
    def lineReceived(self, line: bytes) -> None:
        self.sendLine(b"Good day, " + line)


class Visitor(LineReceiver):
    transport: Any

    def connectionMade(self) -> None:
        self.done: Deferred[None] = Deferred()
        self.sendLine(b"Alice")
        self.sendLine(b"and Bob")

    def lineReceived(self, line: bytes) -> None:
        print(line.decode())
        if b"Bob" in line:
            self.transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        self.done.callback(None)


async def main(reactor: Reactor) -> None:
    ends = [AccountDetails(name, 9, "USD") for name in ("example.alice", "example.bob")]
    left, right = memoryPair(reactor, left=ends[0], right=ends[1])
    alice, bob = await Account.open(reactor, left), await Account.open(reactor, right)
    server = StreamServer(bob)
    port = await StreamServerEndpoint(server).listen(Factory.forProtocol(Greeter))
    endpoint = StreamClientEndpoint(StreamClient(alice), server.generateCredentials())
    visitor = await endpoint.connect(Factory.forProtocol(Visitor))
    await visitor.done
    await port.stopListening()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
