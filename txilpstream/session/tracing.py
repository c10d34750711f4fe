"""
What a session decides and meets, told to whoever asked for it, as it happens.

Each call names an event and gives its particulars; their names and units stand in the manual's page
on traces. Nothing secret is among them. A session that nobody traces has no tracer, and pays one
comparison a packet.
"""

from __future__ import annotations

from collections.abc import Callable

from txilpstream.amounts import U64_MAX, Ratio
from txilpstream.errors import StreamError
from txilpstream.session.path import Path, SentPacket

__all__ = ["Tracer"]


def _text(ratio: Ratio | None) -> str | None:
    return None if ratio is None else str(ratio)


class Tracer:
    """
    Tells one session's events.

    @ivar failure: what the one who was told raised; it ends the trace.
    """

    __slots__ = ("_bytes", "_last", "_path", "_told", "failure", "now")

    def __init__(self, tell: Callable[[str, dict[str, object]], None], path: Path) -> None:
        self._told: Callable[[str, dict[str, object]], None] | None = tell
        self.failure: Exception | None = None
        self._path = path
        self._bytes: dict[int, int] = {}
        self._last: tuple[object, ...] = ()
        self.now = 0.0

    def _tell(self, name: str, particulars: dict[str, object]) -> None:
        """Tell it; whoever raises is told nothing more, and harms nothing."""
        if self._told is not None:
            try:
                self._told(name, particulars)
            except Exception as error:
                self._told, self.failure = None, error

    def _packet(self, name: str, sent: SentPacket, now: float, **more: object) -> None:
        self.now = now
        self._tell(
            name,
            {
                "time": now,
                "sequence": sent.sequence,
                "amount": sent.amount,
                "bytes": self._bytes.get(sent.sequence, 0),
                "inFlight": len(self._path.inFlight.packets),
                **more,
            },
        )

    def sent(self, sent: SentPacket, size: int, now: float) -> None:
        """A packet leaves with so many bytes of the application."""
        if size:
            self._bytes[sent.sequence] = size
        self._packet(
            "packetSent",
            sent,
            now,
            minimum=sent.minimum,
            streamID=sent.stream.streamID if sent.stream is not None else 0,
            isProbe=sent.isProbe,
        )
        self.controlFrames(now)

    def fulfilled(self, sent: SentPacket, delivered: int, isLate: bool, now: float) -> None:
        """A packet was fulfilled; C{delivered} is what the peer says arrived."""
        if isLate:
            self._packet("lateAnswer", sent, now, isFulfilled=True)
        else:
            self._packet(
                "packetFulfilled",
                sent,
                now,
                delivered=delivered,
                deliveredMinimum=sent.minimum,
                roundTrip=now - sent.sentAt,
            )
        self._bytes.pop(sent.sequence, None)
        self.controlFrames(now)

    def rejected(
        self,
        sent: SentPacket,
        code: str,
        triggeredBy: str,
        isByPeer: bool,
        isLate: bool,
        now: float,
    ) -> None:
        """A packet was rejected, by the peer or by a node on the path."""
        if isLate:
            self._packet("lateAnswer", sent, now, isFulfilled=False)
        else:
            self._packet(
                "packetRejected", sent, now, code=code, triggeredBy=triggeredBy, isByPeer=isByPeer
            )
        self._bytes.pop(sent.sequence, None)
        self.controlFrames(now)

    def doubted(self, sent: SentPacket, now: float) -> None:
        """Nobody knows what became of a packet."""
        self._packet("packetDoubted", sent, now)
        self.controlFrames(now)

    def notSent(self, sent: SentPacket, now: float) -> None:
        """A packet certainly never left."""
        self._packet("packetNotSent", sent, now)
        self._bytes.pop(sent.sequence, None)

    def controlFrames(self, now: float) -> None:
        """Tell what has changed of the limits that the sender keeps to."""
        path = self._path
        control = path.control
        most, rate, roundTrip = path.mostPerPacket, control.packetRate, control.roundTrip
        money = getattr(control, "moneyRate", None)
        current = (most, rate, money)
        if current == self._last:
            return
        last, self._last = self._last or (None, None, None), current
        if most != last[0]:
            limit = None if most >= U64_MAX else most
            self._tell("packetAmountChanged", {"time": now, "limit": limit})
        if money != last[2]:
            cap = None if most >= U64_MAX else most
            self._tell("liquidityChanged", {"time": now, "rate": money, "cap": cap})
        if rate != last[1]:
            self._tell("pacingChanged", {"time": now, "rate": rate, "roundTrip": roundTrip})

    def rateLearned(self, low: Ratio | None, high: Ratio | None, floor: Ratio | None) -> None:
        """The rate was asked for."""
        self._tell(
            "rateLearned",
            {"time": self.now, "low": _text(low), "high": _text(high), "floor": _text(floor)},
        )

    def slept(self, until: float, reason: str, now: float) -> None:
        """Nothing leaves for a while."""
        self._tell("slept", {"time": now, "until": until, "reason": reason})

    def moneyFailed(self, streamID: int, sourceAmount: int, reason: str) -> None:
        """Money was taken back from a stream."""
        self._tell(
            "moneyFailed",
            {
                "time": self.now,
                "streamID": streamID,
                "sourceAmount": sourceAmount,
                "reason": reason,
            },
        )

    def moneyReceived(self, streamID: int, amount: int, now: float) -> None:
        """Money was credited to a stream."""
        self.now = now
        self._tell("moneyReceived", {"time": now, "streamID": streamID, "amount": amount})

    def closed(self, error: StreamError | None) -> None:
        """The connection is over."""
        self._tell(
            "connectionClosed", {"time": self.now, "error": None if error is None else str(error)}
        )
