"""
Stream a file with a producer: it is read as fast as the peer takes it, and never held whole.

Usage: python streamfile.py [FILE]; without one it streams itself.
"""

import hashlib
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import react
from twisted.protocols.basic import FileSender

from txilpstream.interfaces import Reactor
from txilpstream.plugins.memory import memoryPair
from txilpstream.transport.account import Account
from txilpstream.transport.client import StreamClient
from txilpstream.transport.server import StreamServer
from txilpstream.wire.ildcp import AccountDetails


class Sink(Protocol):
    def connectionMade(self) -> None:
        self.hash, self.size = hashlib.sha256(), 0

    def dataReceived(self, data: bytes) -> None:
        self.hash.update(data)
        self.size += len(data)

    def connectionLost(self, reason: Any = None) -> None:
        print(f"received {self.size} bytes, sha256 {self.hash.hexdigest()}")


async def main(reactor: Reactor, name: str = __file__) -> None:
    ends = [AccountDetails(end, 9, "USD") for end in ("example.alice", "example.bob")]
    left, right = memoryPair(reactor, left=ends[0], right=ends[1])
    alice, bob = await Account.open(reactor, left), await Account.open(reactor, right)
    server = StreamServer(bob)
    port = await server.listen(Factory.forProtocol(Sink))
    connection = await StreamClient(alice).connect(server.generateCredentials())
    stream = (await connection.openStream(Factory.forProtocol(Protocol))).transport

    digest = hashlib.sha256()

    def note(data: bytes) -> bytes:
        digest.update(data)
        return data

    with open(name, "rb") as file:
        await FileSender().beginFileTransfer(file, stream, note)
    print(f"sent everything, sha256 {digest.hexdigest()}")
    await connection.close()
    await port.stopListening()


if __name__ == "__main__":
    react(lambda reactor, *names: Deferred.fromCoroutine(main(reactor, *names)), sys.argv[1:])
