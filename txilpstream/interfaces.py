"""
The interfaces at which applications, plugins and this package meet.

What is declared and looked up at run time is an interface of zope's, as everywhere in Twisted. A
type checker without a plugin for those takes no object for one of them, so what public functions
take has a C{typing.Protocol} of the same shape beside it, named without the I: a change to one is a
change to both. Records that both sides of an interface hand over stand here too, and nothing that
implements any of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import twisted.plugin
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IHalfCloseableProtocol,
    IProtocolFactory,
    IPushProducer,
    IReactorTime,
    ITransport,
)
from zope.interface import Attribute, Interface

from txilpstream.errors import RejectSeen, StreamError, wrongType

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from txilpstream.amounts import Ratio

__all__ = [
    "IHalfCloseableProtocol",
    "IMoneyReceiver",
    "IMoneyTransport",
    "IPaymentPolicy",
    "IPlugin",
    "IPluginFactory",
    "ITotals",
    "ListeningPort",
    "NotSent",
    "PaymentError",
    "PaymentPolicy",
    "PaymentRequest",
    "PaymentResult",
    "Plugin",
    "ProtocolFactory",
    "Reactor",
    "Refusal",
]

if TYPE_CHECKING:
    DataHandler = Callable[[bytes], bytes | Deferred[bytes]]


class Reactor(Protocol):
    """What provides IReactorTime: Twisted's reactor, or a C{twisted.internet.task.Clock}."""

    def seconds(self) -> float:
        """Seconds since some moment; they never run backwards where it is a good reactor."""

    def callLater(
        self, delay: float, callable: Callable[..., object], /, *args: Any, **kwargs: Any
    ) -> IDelayedCall:
        """Call something after so many seconds."""


class ProtocolFactory(Protocol):
    """What provides IProtocolFactory: any C{twisted.internet.protocol.Factory}."""

    def buildProtocol(self, addr: Any, /) -> Any:
        """Make a protocol for one stream, or refuse it with None."""

    def doStart(self) -> None:
        """It is used from now on."""

    def doStop(self) -> None:
        """It is used no more."""


class IPlugin(Interface):
    """
    Interledger's plugin: it carries ILP packets to and from one peer.

    A plugin also takes one push producer with C{registerProducer} and C{unregisterProducer}: it
    pauses it while its way out is full.
    """

    def connect() -> Deferred[None]:
        """
        Make the way to the peer ready.

        @return: fires when packets can be sent; fails if they cannot.
        """

    def disconnect() -> Deferred[None]:
        """
        Give the way up. Deferreds of packets that wait for an answer fail.

        @return: fires when nothing of it is left.
        """

    def isConnected() -> bool:
        """Whether packets can be sent now."""

    def sendData(data: bytes) -> Deferred[bytes]:
        """
        Send a Prepare.

        @param data: the bytes of one ILP Prepare.
        @return: fires with the bytes of its Fulfill or Reject. It fails with L{NotSent
            <txilpstream.interfaces.NotSent>} if the packet certainly never left; with anything
            else if nobody knows. Cancelling it gives up waiting, and takes nothing back.
        """

    def registerDataHandler(handler: DataHandler) -> None:
        """
        Say who answers the peer's Prepares.

        @param handler: takes the bytes of a Prepare; returns those of the reply, or a Deferred
            of them.
        @raise LocalError: if there is a handler already.
        """

    def deregisterDataHandler() -> None:
        """Answer the peer's Prepares no more; without a handler they get T01."""

    def registerProducer(producer: IPushProducer, streaming: bool) -> None:
        """
        Say who sends, to be paused while the way out is full.

        @raise LocalError: if there is one already, or it is not a push producer.
        """

    def unregisterProducer() -> None:
        """Nobody sends any more."""


class ListeningPort(Protocol):
    """What C{listen} gives (IListeningPort)."""

    def getHost(self) -> Any:
        """Where it listens: an address."""

    def stopListening(self) -> Deferred[None]:
        """
        Listen no more, and end what came of it.

        @return: fires when that is done.
        """


class Plugin(Protocol):
    """An L{IPlugin}, as a type checker sees it."""

    def connect(self) -> Deferred[None]:
        """As of L{IPlugin}."""

    def disconnect(self) -> Deferred[None]:
        """As of L{IPlugin}."""

    def isConnected(self) -> bool:
        """As of L{IPlugin}."""

    def sendData(self, data: bytes, /) -> Deferred[bytes]:
        """As of L{IPlugin}."""

    def registerDataHandler(self, handler: DataHandler, /) -> None:
        """As of L{IPlugin}."""

    def deregisterDataHandler(self) -> None:
        """As of L{IPlugin}."""

    def registerProducer(self, producer: Any, streaming: bool, /) -> None:
        """As of L{IPlugin}."""

    def unregisterProducer(self) -> None:
        """As of L{IPlugin}."""


if TYPE_CHECKING:
    # What is taken: zope's interfaces too, in which plain type checkers see no methods.
    AnyFactory: TypeAlias = ProtocolFactory | IProtocolFactory
    AnyPlugin: TypeAlias = Plugin | IPlugin
    AnyReactor: TypeAlias = Reactor | IReactorTime
else:
    AnyFactory = AnyPlugin = AnyReactor = Any


def checkPlugin(plugin: Plugin, name: str = "plugin", wanted: str = "it takes a plugin") -> Plugin:
    """
    Give back a plugin that is one.

    @param name: of the argument that it was given as.
    @param wanted: what it takes, for the error.
    @raise LocalError: if it is none.
    """
    if IPlugin.providedBy(plugin) or (
        hasattr(plugin, "registerDataHandler") and not isinstance(plugin, type)
    ):
        return plugin
    if isinstance(plugin, str):
        wanted += "; pluginFromString(reactor, ...) makes one of a string"
    raise wrongType(name, plugin, wanted)


class IPluginFactory(twisted.plugin.IPlugin, Interface):
    """
    How a plugin is found from a string; C{twisted.plugin.getPlugins} discovers these.
    """

    prefix: str = Attribute("The scheme that stands before the first colon of a description.")

    def fromString(reactor: IReactorTime, *args: str, **kwargs: str) -> object:
        """
        Make a plugin from the parts of a description, split as endpoint strings are.

        @return: an L{IPlugin}.
        @raise LocalError: if the parts are not what this kind of plugin takes.
        """


class IMoneyTransport(ITransport, IConsumer, IPushProducer, Interface):
    """
    One stream as its protocol sees it: an ordinary transport that also moves money.

    Source amounts are in the units of this side's account.
    """

    totalSent: int = Attribute("What left for good, in source units.")
    totalDelivered: int = Attribute("What arrived at the peer at least, in the peer's units.")
    totalDeliveredClaimed: int = Attribute("What arrived as the peer says, in the peer's units.")
    receipt: bytes = Attribute("The greatest receipt of the peer's (RFC 39), or empty.")
    totalReceived: int = Attribute("What the peer's money came to, in this side's units.")
    totalInDoubt: int = Attribute("What left and has no answer yet, in source units.")

    def sendMoney(sourceAmount: int) -> Deferred[PaymentResult]:
        """
        Offer money to the peer, beyond what was offered before.

        @param sourceAmount: 1 or more, in source units.
        @return: fires when all of it has left and its fate is known; fails with PaymentError, which
            carries the partial result. Cancelling it takes back what has not left.
        @raise LocalError: if the amount is not an int of at least 1, the total does not fit in
            64 bits, or the stream is closed.
        """

    def setSendMax(sourceAmount: int) -> None:
        """
        Say how much is offered in all, what was offered before included.

        @raise LocalError: if it is less than what has left already, or not an amount.
        """

    def loseWriteConnection() -> None:
        """Close the sending half when all that was written and offered is delivered."""

    def abortConnection() -> None:
        """Close the stream at once; what was not sent never will be."""

    def setReceiveMax(amount: int) -> None:
        """
        Say how much this side accepts in all, in its own units.

        @raise LocalError: if it is less than was said before (RFC 29 section 4.4.4).
        """

    def setSendRate(sourceAmount: int, perSeconds: int = 1) -> None:
        """
        Offer money as time passes: so much every so many seconds, exact over time.

        @param sourceAmount: 0 stops it.
        @raise LocalError: if one is not a whole number within its limits, or the stream is closed.
        """


class IMoneyReceiver(Interface):
    """
    A protocol that takes money. Its stream accepts any amount unless it sets a limit.
    """

    def moneyReceived(amount: int) -> None:
        """
        Money arrived; the peer has been told so.

        @param amount: in this side's units.
        """


@dataclass(slots=True, frozen=True)
class PaymentRequest:
    """
    A packet of money that waits for a policy's answer.

    @ivar packetID: 32 octets that no other packet has: the Prepare's condition. A packet that
        comes twice has the same twice.
    @ivar connectionTag: what the server's owner wrote into the address, or an empty string.
    @ivar amount: of the whole packet, in this side's units.
    @ivar streamAmounts: stream id and amount, as the packet splits it.
    @ivar expiresAt: seconds since the epoch; a later yes is a no.
    @ivar data: what the packet carries beside its money, see C{pay(data=...)}.
    @ivar remoteAddress: the address of the sender where it has told it, or an empty string.
    """

    packetID: bytes
    connectionTag: str
    amount: int
    streamAmounts: tuple[tuple[int, int], ...]
    expiresAt: float
    remoteAddress: str
    data: bytes = b""


@dataclass(slots=True, frozen=True)
class Refusal:
    """
    A no with a reason, which reaches the payer.

    @ivar reason: for people, at most 500 characters of which are sent.
    @ivar isFinal: whether the connection is closed with it; else the payer may try again.
    """

    reason: str
    isFinal: bool = True

    @property
    def text(self) -> str:
        """The reason, whatever it was given as."""
        reason: object = self.reason
        return reason if isinstance(reason, str) else f"a reason of type {type(reason).__name__}"


class IPaymentPolicy(Interface):
    """Decides, packet by packet, whether money is accepted."""

    def judgePayment(request: PaymentRequest) -> bool | Refusal | Deferred[bool | Refusal]:
        """
        Accept or refuse one packet of money.

        It is asked only about packets that could be accepted, before anything is credited. To
        fail, or to fire with anything but C{True}, is to refuse; with a L{Refusal} the payer is
        told why.
        """


class PaymentPolicy(Protocol):
    """An L{IPaymentPolicy}, as a type checker sees it."""

    def judgePayment(
        self, request: Any, /
    ) -> bool | Refusal | Deferred[bool] | Deferred[Refusal] | Deferred[bool | Refusal]:
        """As of L{IPaymentPolicy}; the request is a L{PaymentRequest}."""


class NotSent(Exception):
    """A packet certainly never left this machine: its money is not in doubt."""


@dataclass(slots=True, frozen=True)
class PaymentResult:
    """
    What became of money that was offered; it never lies.

    Source amounts are in the sender's units, delivered amounts in the receiver's.

    @ivar sourceAmount: what was offered, in source units.
    @ivar sent: what left for good, proved by fulfillments, in source units.
    @ivar deliveredMinimum: what arrived at least, by the minimums that our own packets demanded.
    @ivar deliveredClaimed: what arrived as the receiver says.
    @ivar inDoubt: what left without an answer; it may have been taken, in source units.
    @ivar rejects: every kind of reject that was met.
    @ivar destinationAmount: what was to be delivered, where that was fixed, else None.
    @ivar receipt: the greatest receipt that the receiver gave (RFC 39), or empty.
    """

    sourceAmount: int
    sent: int
    deliveredMinimum: int
    deliveredClaimed: int
    inDoubt: int
    rejects: tuple[RejectSeen, ...] = ()
    destinationAmount: int | None = None
    receipt: bytes = b""

    @property
    def isComplete(self) -> bool:
        """Whether all that was offered was sent, or all that was to be delivered has arrived."""
        if self.destinationAmount is not None:
            return self.deliveredClaimed >= self.destinationAmount
        return self.sent == self.sourceAmount


class PaymentError(StreamError):
    """
    Money could not be delivered.

    @ivar result: what was delivered all the same.
    @ivar smallestAmount: the smallest amount that could have been sent where the rate was what
        stood in the way, else None.
    @ivar rate: the least rate that was asked for, else None.
    """

    def __init__(
        self,
        message: str,
        result: PaymentResult,
        *,
        smallestAmount: int | None = None,
        rate: Ratio | None = None,
    ) -> None:
        lines = "".join(f"\n  {reject}" for reject in result.rejects)
        super().__init__(f"{message}; rejects met:{lines}" if result.rejects else message)
        self.message = message
        self.result = result
        self.smallestAmount = smallestAmount
        self.rate = rate


class ITotals(Interface):
    """
    Where a receiver without state keeps what was received; all its processes use the same.
    """

    def credit(
        connectionID: str, streamID: int, amount: int, packetID: bytes
    ) -> int | Deferred[int]:
        """
        Add money to a stream, once for each packet: a copy of one that was credited already, and
        not revoked, adds nothing.

        @param connectionID: 64 hexadecimal digits.
        @param streamID: the number of the stream.
        @param amount: in the receiver's units.
        @param packetID: 32 octets that no other packet of the connection has.
        @return: all that the stream has received so far. To fail is to have credited nothing; the
            packet is refused then.
        """

    def revoke(connectionID: str, streamID: int, packetID: bytes) -> Deferred[None] | None:
        """
        Take one C{credit} back, as its packet was refused after all: the answer came too late, or
        another stream of the same packet could not be credited.

        A copy of the packet may have been fulfilled; so what was credited goes when as many were
        revoked as were credited, the copies counted.
        """
