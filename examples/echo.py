"""
Echo over data: a stream is an ordinary transport, and this server an ordinary protocol.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import react

from txilpstream.interfaces import Reactor
from txilpstream.plugins.memory import memoryPair
from txilpstream.transport.account import Account
from txilpstream.transport.client import StreamClient
from txilpstream.transport.server import StreamServer
from txilpstream.wire.ildcp import AccountDetails


class Echo(Protocol):
    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Caller(Protocol):
    transport: Any

    def __init__(self) -> None:
        self.received = b""
        self.done: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(b"Hello, Interledger!")

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if self.received.endswith(b"!"):
            self.transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        self.done.callback(self.received)


async def main(reactor: Reactor) -> None:
    ends = [AccountDetails(name, 9, "USD") for name in ("example.alice", "example.bob")]
    left, right = memoryPair(reactor, left=ends[0], right=ends[1])
    alice, bob = await Account.open(reactor, left), await Account.open(reactor, right)
    server = StreamServer(bob)
    port = await server.listen(Factory.forProtocol(Echo))
    connection = await StreamClient(alice).connect(server.generateCredentials())
    caller = await connection.openStream(Factory.forProtocol(Caller))
    print("the echo:", (await caller.done).decode())
    await connection.close()
    await port.stopListening()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
