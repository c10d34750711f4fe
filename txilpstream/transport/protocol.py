"""
Protocols and factories that know money; any other Twisted protocol runs over a stream as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from twisted.internet import error
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from txilpstream.errors import ConnectionEnded, PeerError, StreamError
from txilpstream.interfaces import IMoneyReceiver

if TYPE_CHECKING:
    from txilpstream.transport.stream import Stream

__all__ = [
    "StreamAddress",
    "StreamFactory",
    "StreamLost",
    "StreamProtocol",
    "StreamRefused",
    "lostBecause",
]


@implementer(IAddress)
@dataclass(frozen=True, slots=True)
class StreamAddress:
    """
    One end of a stream.

    @ivar address: the ILP address of that end; empty where the peer has told none.
    @ivar streamID: the number of the stream.
    @ivar connectionTag: what the server's owner wrote into the credentials, or empty.
    """

    address: str
    streamID: int
    connectionTag: str = ""


class StreamLost(ConnectionEnded, error.ConnectionLost):
    """A stream ended before its time; for protocols that know Twisted's errors only."""

    __str__ = Exception.__str__


class StreamRefused(PeerError, error.ConnectionLost):
    """The peer ended a stream with an error, C{code}; the same for Twisted's protocols."""

    __str__ = Exception.__str__


def lostBecause(reason: StreamError | None) -> Exception:
    """
    What C{connectionLost} is told.

    @return: C{ConnectionDone} for an end in good order, else an error that is both one of this
        package's and C{twisted.internet.error.ConnectionLost}.
    """
    if reason is None:
        return error.ConnectionDone()
    if isinstance(reason, PeerError):
        return StreamRefused(reason.code, reason.message)
    if isinstance(reason, ConnectionEnded):
        return StreamLost(reason.message, reason.rejects)
    return StreamLost(str(reason))


@implementer(IMoneyReceiver)
class StreamProtocol(Protocol):
    """
    An ordinary protocol with one more callback.

    Its C{transport} is a L{Stream <txilpstream.transport.stream.Stream>}. It accepts any amount of money
    unless it calls C{transport.setReceiveMax} in C{connectionMade}.
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
