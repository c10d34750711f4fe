"""
Pay per kilobyte: money gates a producer. What is not paid for is never sent.
"""

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txilpstream.account import Account
from txilpstream.client import StreamClient
from txilpstream.plugins.memory import memoryPair
from txilpstream.protocol import StreamFactory, StreamProtocol
from txilpstream.server import StreamServer
from txilpstream.wire.ildcp import AccountDetails

PRICE, WANTED = 40, 16  # units per KiB, and KiB


class Shop(StreamProtocol):
    """A producer that needs two things to go on: room to write, and money."""

    sold, hasRoom = 0, True

    def connectionMade(self):
        self.transport.registerProducer(self, True)

    def pauseProducing(self):
        self.hasRoom = False

    stopProducing = pauseProducing

    def resumeProducing(self):
        self.hasRoom = True
        self.moneyReceived(0)

    def moneyReceived(self, amount):
        while self.hasRoom and self.sold < min(WANTED, self.transport.totalReceived // PRICE):
            self.sold += 1
            self.transport.write(bytes(1024))
        if self.sold == WANTED:
            self.transport.unregisterProducer()
            self.transport.loseConnection()


class Customer(StreamProtocol):
    received = 0

    def dataReceived(self, data):
        self.received += len(data)

    def connectionLost(self, reason):
        print(f"at {PRICE} units a KiB: {self.received} bytes")
        self.done.callback(None)


async def main(reactor):
    ends = [AccountDetails(name, 9, "USD") for name in ("example.alice", "example.bob")]
    left, right = memoryPair(reactor, left=ends[0], right=ends[1])
    server = StreamServer(await Account.open(reactor, right))
    await server.listen(StreamFactory.forProtocol(Shop))
    client = StreamClient(await Account.open(reactor, left))
    connection = await client.connect(server.generateCredentials())
    customer = await connection.openStream(StreamFactory.forProtocol(Customer))
    customer.done = Deferred()
    customer.transport.setSendRate(PRICE * 32)  # 32 KiB per second
    await customer.done
    connection.abort()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
