"""
Protocols and factories that know money; any other Twisted protocol runs over a stream as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from txilpstream.errors import wrongType
from txilpstream.interfaces import AnyFactory, IMoneyReceiver, PaymentPolicy

if TYPE_CHECKING:
    from txilpstream.transport.stream import Stream

__all__ = ["StreamFactory", "StreamProtocol", "checkFactory", "checkPolicy"]


@implementer(IMoneyReceiver)
class StreamProtocol(Protocol):
    """
    An ordinary protocol with one more callback.

    Its C{transport} is a L{Stream <txilpstream.transport.stream.Stream>}. It accepts any amount of
    money unless it calls C{transport.setReceiveMax} in C{connectionMade}.
    """

    transport: Stream

    def moneyReceived(self, amount: int) -> None:
        """
        Money arrived, in this side's units; override it.

        Every total of the transport has it already.
        """


class StreamFactory(Factory):
    """Builds a L{StreamProtocol} for each stream; any other Factory will do as well."""

    noisy = False


def checkFactory(factory: AnyFactory) -> None:
    """
    @raise LocalError: if it builds no protocols.
    """
    if isinstance(factory, type) or not hasattr(factory, "buildProtocol"):
        wanted = "it takes a Factory, such as StreamFactory.forProtocol makes of a protocol's class"
        raise wrongType("factory", factory, wanted)


def checkPolicy(policy: PaymentPolicy | None) -> None:
    """
    @raise LocalError: if it judges no payments.
    """
    if policy is not None and (isinstance(policy, type) or not hasattr(policy, "judgePayment")):
        raise wrongType("policy", policy, "it takes an object with judgePayment, or None")
