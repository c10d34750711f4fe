"""
Receive money: a protocol with one more callback, and a limit on what it takes.

The server knows each payer by the tag that it wrote into the credentials it gave him.
"""

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txilpstream.interfaces import Reactor
from txilpstream.plugins.memory import memoryPair
from txilpstream.transport.account import Account
from txilpstream.transport.client import StreamClient
from txilpstream.transport.protocol import StreamFactory, StreamProtocol
from txilpstream.transport.server import StreamServer
from txilpstream.wire.ildcp import AccountDetails


class TipJar(StreamProtocol):
    """Counts what is thrown in, up to 1,000 units."""

    def connectionMade(self) -> None:
        self.transport.setReceiveMax(1000)

    def moneyReceived(self, amount: int) -> None:
        payer = self.transport.getPeer().connectionTag
        print(f"{payer} gave {amount}, {self.transport.totalReceived} in all")


async def main(reactor: Reactor) -> None:
    left, right = memoryPair(
        reactor,
        left=AccountDetails("example.alice", 9, "USD"),
        right=AccountDetails("example.bob", 9, "USD"),
    )
    alice, bob = await Account.open(reactor, left), await Account.open(reactor, right)
    server = StreamServer(bob)
    port = await server.listen(StreamFactory.forProtocol(TipJar))

    credentials = server.generateCredentials(connectionTag="alice")
    connection = await StreamClient(alice).connect(credentials)
    payer = await connection.openStream(StreamFactory.forProtocol(StreamProtocol))
    for tip in (250, 300, 450):
        await payer.transport.sendMoney(tip)

    await connection.close()
    await port.stopListening()
    await alice.close()
    await bob.close()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
