"""
Protocols and factories that know money; any other Twisted protocol runs over a stream as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from txilpstream.interfaces import IMoneyReceiver

if TYPE_CHECKING:
    from txilpstream.transport.stream import Stream

__all__ = ["StreamFactory", "StreamProtocol"]


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
