"""
A policy that asks before it fulfills: each packet of money waits until somebody has said yes.

Only what is fulfilled was paid: a packet that is refused costs its sender nothing.
"""

from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.task import deferLater, react
from zope.interface import implementer

from txilpstream.interfaces import IPaymentPolicy, PaymentRequest, Reactor
from txilpstream.plugins.memory import memoryPair
from txilpstream.transport.account import Account
from txilpstream.transport.client import StreamClient
from txilpstream.transport.protocol import StreamFactory, StreamProtocol
from txilpstream.transport.server import StreamServer
from txilpstream.wire.ildcp import AccountDetails


@implementer(IPaymentPolicy)
class AskTheOffice:
    """Takes money for invoices that are open; the office answers after a while."""

    def __init__(self, reactor: Any, *invoices: str) -> None:
        self.reactor, self.invoices = reactor, invoices

    def judgePayment(self, request: PaymentRequest) -> Deferred[bool]:
        def decide() -> bool:
            isOpen = request.connectionTag in self.invoices
            print(f"{request.connectionTag}: {'yes' if isOpen else 'no'} to {request.amount}")
            return isOpen

        return deferLater(self.reactor, 0.01, decide)


async def main(reactor: Reactor) -> None:
    details = [AccountDetails(name, 9, "USD") for name in ("example.alice", "example.bob")]
    left, right = memoryPair(reactor, left=details[0], right=details[1])
    alice, bob = await Account.open(reactor, left), await Account.open(reactor, right)
    server = StreamServer(bob, policy=AskTheOffice(reactor, "invoice-1"))
    port = await server.listen(StreamFactory.forProtocol(StreamProtocol))
    for invoice in ("invoice-1", "invoice-2"):
        credentials = server.generateCredentials(connectionTag=invoice)
        connection = await StreamClient(alice).connect(credentials)
        payer = await connection.openStream(StreamFactory.forProtocol(StreamProtocol))
        paid = payer.transport.sendMoney(100)
        try:
            await paid.addTimeout(0.2, reactor)
            print(f"{invoice}: paid, {payer.transport.totalSent} sent")
        except TimeoutError:
            print(f"{invoice}: given up, {payer.transport.totalSent} sent")
        connection.abort()
    await port.stopListening()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
