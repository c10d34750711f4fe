"""
Send money over a path that takes no large packets and changes the currency.

One payment becomes as many packets as the path needs; the result says what left and what arrived.
"""

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txilpstream.amounts import Ratio
from txilpstream.interfaces import Reactor
from txilpstream.testing import Latency, MaximumPacketAmount, Rate, SimulatedPath
from txilpstream.transport.account import Account
from txilpstream.transport.client import StreamClient
from txilpstream.transport.protocol import StreamFactory, StreamProtocol
from txilpstream.transport.server import StreamServer
from txilpstream.wire.ildcp import AccountDetails


async def main(reactor: Reactor) -> None:
    path = SimulatedPath(
        reactor,
        [MaximumPacketAmount(100_000), Latency(0.005), Rate(Ratio(92, 100))],
        left=AccountDetails("example.alice", 6, "USD"),
        right=AccountDetails("example.bob", 6, "EUR"),
    )
    alice = await Account.open(reactor, path.left)
    bob = await Account.open(reactor, path.right)
    server = StreamServer(bob)
    port = await server.listen(StreamFactory.forProtocol(StreamProtocol))

    connection = await StreamClient(alice).connect(server.generateCredentials())
    stream = (await connection.openStream(StreamFactory.forProtocol(StreamProtocol))).transport
    result = await stream.sendMoney(1_000_000)
    print(
        f"sent {result.sent} units of {alice.assetCode} in {path.counters('left').packets} packets"
    )
    print(f"delivered at least {result.deliveredMinimum} units of {bob.assetCode}")

    await connection.close()
    await port.stopListening()
    await alice.close()
    await bob.close()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
