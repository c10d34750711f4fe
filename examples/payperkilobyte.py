"""Pay per kilobyte: money gates a producer. What is not paid for is never sent."""

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txilpstream import AccountDetails, Reactor, memoryPair
from txilpstream.transport.client import StreamClient
from txilpstream.transport.endpoints import StreamClientEndpoint
from txilpstream.transport.protocol import StreamFactory, StreamProtocol
from txilpstream.transport.server import StreamServer

PRICE, WANTED = 40, 16  # units per KiB, and KiB


class Shop(StreamProtocol):
    sold = 0

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        if self.sold < self.transport.totalReceived // PRICE:
            self.sold += 1
            self.transport.write(bytes(1024))
        if self.sold == WANTED:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def stopProducing(self) -> None:
        self.sold = WANTED


class Customer(StreamProtocol):
    def connectionMade(self) -> None:
        self.done: Deferred[None] = Deferred()
        self.received = 0

    def dataReceived(self, data: bytes) -> None:
        self.received += len(data)

    def connectionLost(self, reason: object = None) -> None:
        self.done.callback(None)


async def main(reactor: Reactor) -> None:
    end = AccountDetails("example.bob", 9, "USD")
    left, right = memoryPair(reactor, left=AccountDetails("example.alice", 9, "USD"), right=end)
    server = StreamServer(right, reactor=reactor)
    await server.listen(StreamFactory.forProtocol(Shop))
    client = StreamClient(left, reactor=reactor)
    endpoint = StreamClientEndpoint(client, server.generateCredentials())
    customer = await endpoint.connect(StreamFactory.forProtocol(Customer))
    customer.transport.setSendRate(PRICE * 32)  # 32 KiB per second
    await customer.done
    print(f"at {PRICE} units a KiB: {customer.received} bytes")


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
