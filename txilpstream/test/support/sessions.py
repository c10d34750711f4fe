"""
Two sessions on a simulated path in virtual time, with a hand in every packet.

Each end has a way out, which sees every Prepare half way: it may change it, answer it in the peer's
stead or lose it; and a way back, which sees the answer. After every single step the promise that
holds for money is checked: sent <= what the path took <= sent + held + unanswered.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from txilpstream.amounts import Ratio
from txilpstream.crypto.keys import SessionKeys
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.events import DataArrived, Event, MoneySettled, StreamOpened
from txilpstream.session.packetbuilder import Outgoing
from txilpstream.session.receiver import Incoming
from txilpstream.session.session import Session
from txilpstream.session.streams.flowcontrol import ByteBudget
from txilpstream.session.streams.streams import SessionStream
from txilpstream.wire.ilp import (
    Fulfill,
    Prepare,
    decodePrepare,
    decodeReply,
    encodeAmountTooLarge,
    encodeReject,
)

LOST = b"lost"
"""What a way gives for a packet that nobody will answer."""

Way = Callable[[Prepare], bytes | None]

EventType = TypeVar("EventType", bound=Event)


def nothing(_: Any) -> None:
    """A way on which nothing happens."""


def converting(rate: Ratio, then: Way = nothing) -> Way:
    """A way that converts money, after something else was done with the packet."""

    def way(prepare: Prepare) -> bytes | None:
        answer = then(prepare)
        prepare.amount = rate.floor(prepare.amount)
        return answer

    return way


def rejecting(code: str, data: bytes = b"") -> bytes:
    """A reject of a node on the path."""
    return encodeReject(code, "test.hop", "", data)


def limiting(most: int, *, withAmounts: bool = True) -> Way:
    """A way that takes no packet of more than so much (F08)."""

    def way(prepare: Prepare) -> bytes | None:
        if prepare.amount <= most:
            return None
        data = encodeAmountTooLarge(prepare.amount, most) if withAmounts else b""
        return rejecting("F08", data)

    return way


class End:
    """
    One end.

    @ivar out: what happens to its Prepares on their way.
    @ivar back: what happens to the answers: gives another one, L{LOST}, or None for the same.
    @ivar took: what its path took for packets that the peer fulfilled.
    @ivar received: what the peer was given and fulfilled, in this end's units.
    @ivar receiveMax: what each stream takes.
    @ivar isAccepting: whether the application takes a packet.
    @ivar isReading: whether bytes are consumed as they come.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.out: Way = nothing
        self.back: Callable[[bytes], bytes | None] = nothing
        self.events: list[Event] = []
        self.data: dict[int, bytearray] = {}
        self.streams: dict[int, SessionStream] = {}
        self.prepares: list[Prepare] = []
        self.replies: list[tuple[int, bytes]] = []
        self.took = 0
        self.checks = 0
        self.credited = 0
        self.receiveMax: int | None = 1 << 60
        self.isReading = True
        self.isPaused = False
        self.isAccepting: Callable[[Incoming], bool] = lambda incoming: True

    def open(self, receiveMax: int | None = None) -> int:
        """Open a stream and start it."""
        streamID = self.session.openStream()
        self.session.startStream(streamID, receiveMax)
        self.streams[streamID] = self.session.stream(streamID)
        return streamID

    def collect(self) -> None:
        """Take the events, and do what a driver does."""
        while happened := self.session.nextEvents():
            for event in happened:
                self.events.append(event)
                if isinstance(event, StreamOpened):
                    self.streams[event.streamID] = self.session.stream(event.streamID)
                    self.session.startStream(event.streamID, self.receiveMax)
                elif isinstance(event, DataArrived) and self.isReading:
                    self.read(event.streamID)

    def read(self, streamID: int) -> None:
        """Consume what has arrived on a stream."""
        taken = self.session.consumeData(streamID)
        self.data.setdefault(streamID, bytearray()).extend(taken)

    def seen(self, kind: type[EventType]) -> list[EventType]:
        """All events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def total(self, name: str) -> int:
        """A total of the outgoing money of all streams, those that are over too."""
        return sum(getattr(stream.moneyOut, name) for stream in self.streams.values())

    def check(self) -> None:
        """The promise that holds for money at every moment; with many streams, at some."""
        self.checks += 1
        if len(self.streams) > 100 and self.checks % 200:
            return
        sent, open_ = self.total("sent"), self.total("held") + self.total("unanswered")
        if not sent <= self.took <= sent + open_:
            raise AssertionError(f"sent {sent}, the path took {self.took}, open are {open_}")


class Pair:
    """
    A client and a server.

    @ivar now: the virtual time, in seconds.
    @ivar latency: seconds of one way.
    """

    def __init__(
        self,
        client: dict[str, Any] | None = None,
        server: dict[str, Any] | None = None,
        budget: ByteBudget | None = None,
    ) -> None:
        """
        @param client: settings of its configuration that differ from a simple one.
        @param server: the same.
        @param budget: of the server's bytes.
        """
        self.random = random.Random(1)
        self.keys = SessionKeys(bytes(range(32)))
        self.now = 1000.0
        self.latency = 0.025
        ours: dict[str, Any] = {
            "destinationAddress": "test.server",
            "sourceAddress": "test.client",
            "sourceAssetCode": "USD",
            "sourceAssetScale": 9,
        }
        theirs: dict[str, Any] = {
            "isServer": True,
            "sourceAddress": "test.server",
            "sourceAssetCode": "EUR",
            "sourceAssetScale": 6,
        }
        self.client = self._end(ours | (client or {}))
        self.server = self._end(theirs | (server or {}), budget)
        self.steps = 0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []

    def _end(self, settings: dict[str, Any], budget: ByteBudget | None = None) -> End:
        configuration = SessionConfiguration(**settings)
        return End(Session(configuration, self.keys, self.random.randbytes, budget))

    @property
    def ends(self) -> Iterator[tuple[End, End]]:
        """Each end with its peer."""
        yield self.client, self.server
        yield self.server, self.client

    def later(self, delay: float, action: Callable[[], None]) -> None:
        """Do something after so many seconds."""
        self.steps += 1
        heapq.heappush(self._queue, (self.now + delay, self.steps, action))

    def run(self, seconds: float = 5.0, *, mostSteps: int = 200_000) -> None:
        """Let time pass; a driver that is called without end is an error."""
        end = self.now + seconds
        for _ in range(mostSteps):
            self._serve()
            moments = [self._queue[0][0]] if self._queue else []
            for each, _peer in self.ends:
                moment = each.session.nextTimeout()
                if moment is not None:
                    moments.append(moment)
            if not moments or min(moments) > end:
                self.now = end
                return
            self.now = max(self.now, min(moments))
            while self._queue and self._queue[0][0] <= self.now:
                heapq.heappop(self._queue)[2]()
                self._serve()
            for each, _peer in self.ends:
                moment = each.session.nextTimeout()
                if moment is not None and moment <= self.now:
                    each.session.receiveTimeout(now=self.now)
        raise AssertionError(f"no end after {mostSteps} steps at {self.now}")

    def _serve(self) -> None:
        """Do the driver's duty at both ends."""
        for end, peer in self.ends:
            end.collect()
            if not end.isPaused:
                while packet := end.session.nextPacket(now=self.now):
                    self._carry(end, peer, packet)
                end.collect()
            end.check()

    def _carry(self, end: End, peer: End, packet: Outgoing) -> None:
        prepare = decodePrepare(packet.data)
        end.prepares.append(decodePrepare(packet.data))
        self.later(self.latency, lambda: self._arrive(end, peer, packet.sequence, prepare))

    def _arrive(self, end: End, peer: End, sequence: int, prepare: Prepare) -> None:
        amount = prepare.amount
        answer = end.out(prepare)
        if answer is None:
            answer = self.deliver(peer, prepare)
            if isinstance(decodeReply(answer), Fulfill):
                end.took += amount
                peer.credited += prepare.amount
            end.check()
            peer.check()
            answer = end.back(answer) or answer
        if answer is not LOST:
            reply = answer
            self.later(self.latency, lambda: self.reply(end, sequence, reply))

    def deliver(self, peer: End, prepare: Prepare) -> bytes:
        """Give an end a Prepare, and take its answer."""
        incoming = peer.session.receivePrepare(prepare, now=self.now)
        peer.collect()
        answer = peer.session.answer(incoming, peer.isAccepting(incoming), now=self.now)
        peer.collect()
        return answer

    def reply(self, end: End, sequence: int, reply: bytes) -> None:
        """Give an end an answer."""
        end.replies.append((sequence, reply))
        end.session.receiveReply(sequence, reply, now=self.now)
        end.check()
        end.collect()

    def pay(self, sourceAmount: int, seconds: float = 5.0) -> int:
        """Let the client offer money on a new stream, and time pass; gives the stream's id."""
        streamID = self.client.open()
        self.client.session.sendMoney(streamID, sourceAmount)
        self.run(seconds)
        return streamID


def settled(end: End) -> int:
    """The sum of what an end was told that it has sent."""
    return sum(e.sourceAmount for e in end.seen(MoneySettled) if not e.isInDoubt)


def stateOf(thing: Any, seen: dict[int, int] | None = None) -> Any:
    """All that an object of this package remembers, and the objects in it, to be compared."""
    seen = {} if seen is None else seen
    if isinstance(thing, dict):
        return [(key, stateOf(value, seen)) for key, value in thing.items()]
    if isinstance(thing, list | tuple):
        return [stateOf(each, seen) for each in thing]
    if not type(thing).__module__.startswith("txilpstream."):
        return sorted(thing) if isinstance(thing, set) else thing
    if id(thing) in seen:
        return seen[id(thing)]
    seen[id(thing)] = len(seen)
    names = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    names += list(getattr(thing, "__dict__", ()))
    return [(name, stateOf(getattr(thing, name, None), seen)) for name in names]
