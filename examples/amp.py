"""
AMP over a stream: Twisted's own remote calls, carried by Interledger.
"""

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.protocols.amp import AMP, Command, Integer

from txilpstream.interfaces import Reactor
from txilpstream.plugins.memory import memoryPair
from txilpstream.transport.account import Account
from txilpstream.transport.client import StreamClient
from txilpstream.transport.endpoints import StreamClientEndpoint, StreamServerEndpoint
from txilpstream.transport.server import StreamServer
from txilpstream.wire.ildcp import AccountDetails


class Sum(Command):
    arguments = [(b"a", Integer()), (b"b", Integer())]
    response = [(b"total", Integer())]


class Calculator(AMP):
    @Sum.responder
    def sum(self, a: int, b: int) -> dict[str, int]:
        return {"total": a + b}


async def main(reactor: Reactor) -> None:
    left, right = memoryPair(
        reactor,
        left=AccountDetails("example.alice", 9, "USD"),
        right=AccountDetails("example.bob", 9, "USD"),
    )
    alice, bob = await Account.open(reactor, left), await Account.open(reactor, right)
    server = StreamServer(bob)
    port = await StreamServerEndpoint(server).listen(Factory.forProtocol(Calculator))
    endpoint = StreamClientEndpoint(StreamClient(alice), server.generateCredentials())
    remote = await endpoint.connect(Factory.forProtocol(AMP))
    answer = await remote.callRemote(Sum, a=19, b=23)
    print("19 + 23 =", answer["total"])
    remote.transport.loseConnection()
    await port.stopListening()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
