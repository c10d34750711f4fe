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

PRICE = 40  # units for 1,024 bytes


class Shop(StreamProtocol):
    sold = 0

    def moneyReceived(self, amount):
        while self.sold < self.transport.totalReceived // PRICE:
            self.sold += 1
            self.transport.write(bytes(1024))


class Customer(StreamProtocol):
    """Pays for one kilobyte at a time, the next when it has the last."""

    def __init__(self):
        self.received = 0
        self.done = Deferred()

    def connectionMade(self):
        self.transport.sendMoney(PRICE)

    def dataReceived(self, data):
        self.received += len(data)
        if self.received == 16 * 1024:
            self.done.callback(None)
        elif self.received % 1024 == 0:
            self.transport.sendMoney(PRICE)


async def main(reactor):
    left, right = memoryPair(
        reactor,
        left=AccountDetails("example.alice", 9, "USD"),
        right=AccountDetails("example.bob", 9, "USD"),
    )
    alice, bob = await Account.open(reactor, left), await Account.open(reactor, right)
    server = StreamServer(bob)
    await server.listen(StreamFactory.forProtocol(Shop))
    connection = await StreamClient(alice).connect(server.generateCredentials())
    customer = await connection.openStream(StreamFactory.forProtocol(Customer))
    await customer.done
    print(f"paid {customer.transport.totalSent} units for {customer.received} bytes")
    await connection.close()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
