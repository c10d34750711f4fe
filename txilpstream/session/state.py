"""
What the two directions of a session share: its streams, what the peer has said, and its end.

Streams and the connection end here, whoever ends them; what else the peer's frames change is in
C{framehandlers}. A stream is told to be over once, and only when nothing of it is left to be said.
"""

from __future__ import annotations

from math import inf
from typing import Any, Final

from txilpstream.errors import ConnectionEnded, ErrorCode, PeerError, StreamError
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.controlframes import ControlFrames
from txilpstream.session.events import (
    ConnectionClosed,
    DataDrained,
    Event,
    PeerAnswered,
    SendingEnded,
    StreamClosed,
    StreamEnded,
)
from txilpstream.session.streams.flowcontrol import ByteBudget
from txilpstream.session.streams.streams import DRAINING, SessionStream, Streams
from txilpstream.wire.frames import (
    ConnectionAssetDetails,
    ConnectionMaxData,
    ConnectionMaxStreamID,
    ConnectionNewAddress,
    StreamClose,
)

__all__ = ["LONGEST_MESSAGE", "SessionState"]


LONGEST_MESSAGE: Final = 200
"""Characters of a close message that are sent: it must fit into a packet with others."""


EARLY_CLOSE_TIMEOUT: Final = 1.0
"""Seconds for which a stream may still get what its peer sent before it said, in an answer, that it
closes: a Prepare is hardly longer on its way than the answer that overtook it."""


class SessionState:
    """
    One connection as both directions see it.

    @ivar streams: all streams.
    @ivar controlFrames: frames that are repeated until heard, and what we say of ourselves.
    @ivar amountToMeasure: the amount for which the rate is asked though no money is offered; 0 if
        none is.
    @ivar events: what the driver has not collected yet.
    @ivar destination: where the peer is, or empty.
    @ivar isValidated: whether something authentic came back from there.
    @ivar validatesFrom: the number of the first packet that went there, None before one has: what
        answers an earlier one came from somewhere else.
    @ivar assetDetails: the peer's asset code and scale, None until it tells them.
    @ivar isLeaving: whether no streams are opened any more; when none is open it is closed.
    @ivar isDraining: whether the connection is to be closed when all is sent.
    @ivar isKeyExhausted: whether its key has encrypted almost as many packets as it may.
    @ivar hasSaidClose: whether our half is closed and the peer's is not (RFC 29 section 4.6).
    @ivar isPeerDone: whether the peer's half is closed and ours is not.
    @ivar isClosed: whether it is over.
    @ivar tracer: the L{Tracer <txilpstream.session.tracing.Tracer>}, None if nobody traces.
    @ivar refusal: what the peer said beside a refusal, None if nothing.
    @ivar owesClose: whether a ConnectionClose is still to be sent.
    @ivar heardAt: when something authentic came last, in seconds.
    @ivar earlyCloses: streams that the peer has closed in an answer, and until when what it sent
        before may come.
    @ivar encrypted: Prepares and replies that were encrypted under this key by us.
    """

    __slots__ = (
        *("amountToMeasure", "assetDetails", "closeCode", "closeMessage", "configuration"),
        *("controlFrames", "destination", "earlyCloses", "encrypted", "error", "events"),
        *("hasAnswered", "hasSaidClose", "heardAt", "isClosed", "isDraining", "isKeyExhausted"),
        *("isLeaving", "isPeerDone", "isValidated", "owesClose", "refusal", "streams"),
        *("tracer", "validatesFrom", "wasUnblocked"),
    )

    def __init__(self, configuration: SessionConfiguration, budget: ByteBudget) -> None:
        self.configuration = configuration
        self.streams = Streams(configuration, budget)
        self.controlFrames = ControlFrames(configuration, self.streams)
        self.amountToMeasure = 0
        self.events: list[Event] = []
        self.destination = configuration.destinationAddress
        self.isValidated = not configuration.isServer
        self.validatesFrom: int | None = 0
        self.hasAnswered = False
        self.assetDetails: tuple[str, int] | None = None
        self.isLeaving = False
        self.isDraining = False
        self.isKeyExhausted = False
        self.hasSaidClose = False
        self.isPeerDone = False
        self.isClosed = False
        self.owesClose = False
        self.earlyCloses: dict[int, float] = {}
        self.error: StreamError | None = None
        self.closeCode = ErrorCode.NO_ERROR
        self.closeMessage = ""
        self.heardAt: float | None = None
        self.encrypted = configuration.encryptedBefore
        self.wasUnblocked = False
        self.refusal: str | None = None
        self.tracer: Any = None
        if not configuration.isServer:
            self.controlFrames.add(ConnectionNewAddress.type)
            self.introduce()

    def introduce(self) -> None:
        """Tell the peer who we are and how much we take."""
        if self.configuration.sourceAssetCode is not None:
            self.controlFrames.add(ConnectionAssetDetails.type)
        if self.isReachable:
            self.controlFrames.add(ConnectionMaxData.type)

    @property
    def isReachable(self) -> bool:
        """Whether the peer knows where this end is, and so may send."""
        return self.configuration.isServer or bool(self.configuration.sourceAddress)

    @property
    def hasWork(self) -> bool:
        """Whether something waits to leave, whatever holds it up."""
        return bool(
            self.streams.moneyReady
            or self.streams.dataReady
            or self.controlFrames.pending
            or self.owesClose
            or self.amountToMeasure
        )

    def authentic(self, now: float) -> None:
        """Something came that only the peer can have made."""
        self.heardAt = now
        if not self.hasAnswered:
            self.hasAnswered = True
            self.events.append(PeerAnswered())

    def useWindow(self, stream: SessionStream, size: int) -> None:
        """New bytes of a stream leave; producers go on where that goes below a mark."""
        streams, configuration = self.streams, self.configuration
        stream.sendWindow.used += size
        streams.sendWindow.used += size
        unsent = stream.queue.unsent
        streams.unsent -= size
        if unsent < configuration.streamHighWater <= unsent + size:
            self.events.append(DataDrained(stream.streamID))
        if streams.unsent < configuration.connectionHighWater <= streams.unsent + size:
            self.events.append(DataDrained(0))

    # --- Ends -----------------------------------------------------------------------------

    def abortStream(self, stream: SessionStream, error: StreamError | None) -> None:
        """End both halves of a stream now; what was not sent never will be."""
        stream.isAborted = stream.isEnded = stream.refusesMoney = True
        stream.advance("abort")
        stream.moneyOut.withdraw()
        streams, mark = self.streams, self.configuration.connectionHighWater
        wasFull = streams.unsent >= mark
        streams.forgetData(stream)
        if wasFull and streams.unsent < mark:
            self.events.append(DataDrained(0))
        streams.refresh(stream)
        self.report(stream, error)

    def report(self, stream: SessionStream, error: StreamError | None) -> None:
        """Tell the application once that a stream is over."""
        if not stream.isReported:
            stream.isReported = True
            held = stream.moneyOut.held
            self.events.append(StreamClosed(stream.streamID, error, held))

    def settleStream(self, stream: SessionStream) -> None:
        """Something of a stream was settled: go on with its end if it is to end."""
        if stream.state == DRAINING and stream.isDrained:
            stream.advance("drained")
            if stream.hasOpened or stream.streamID <= self.streams.peerMaxStreamID:
                self.controlFrames.add(StreamClose.type, stream.streamID)
            else:  # the peer never heard of it, and need not
                stream.isEnded = stream.refusesMoney = True
                self.acknowledgeClose(stream)
                return
        self.finishStream(stream)

    def acknowledgeClose(self, stream: SessionStream) -> None:
        """The peer has heard that our half is closed."""
        if stream.advance("acknowledged") and not stream.isAborted:
            self.events.append(SendingEnded(stream.streamID))
        self.finishStream(stream)

    def finishStream(self, stream: SessionStream) -> None:
        """Forget a stream of which nothing is left."""
        if stream.isOver:
            self.report(stream, None)
            self.controlFrames.drop(stream.streamID)
            if self.streams.drop(stream):
                self.controlFrames.add(ConnectionMaxStreamID.type)

    def halfClose(self, code: int) -> bool:
        """
        The peer sends no more on any stream, and still takes what we send.

        @param code: of its ConnectionClose.
        @return: whether we are not done; otherwise the connection is over.
        """
        isWhole = code != ErrorCode.NO_ERROR or self.hasSaidClose
        if isWhole or not self.configuration.halfOpen:
            return False
        self.isPeerDone = self.isLeaving = True
        for stream in list(self.streams.open.values()):
            self.endReceiving(stream)
        return bool(self.streams.open)

    def endReceiving(self, stream: SessionStream) -> None:
        """The peer sends no more on a stream."""
        if not stream.isEnded:
            stream.isEnded = stream.refusesMoney = True
            self.events.append(StreamEnded(stream.streamID))
            self.finishStream(stream)

    def deferClose(self, frame: StreamClose, now: float) -> bool:
        """
        A close in good order came in an answer: what the peer sent before it may be on its way in
        a Prepare of its, so the stream ends with its next one, or when none has come for a while.

        @return: whether it is to be applied later.
        """
        streams, streamID = self.streams, frame.streamID
        stream = streams.open.get(streamID)
        if frame.errorCode != ErrorCode.NO_ERROR or not self.isReachable:
            return False
        if stream is None:  # what opens it may be on its way as well
            isToCome = streams.isRemote(streamID) and not streams.wasOpened(streamID)
            if not (isToCome and 0 < streamID <= streams.maxStreamID):
                return False
        elif stream.isEnded:
            return False
        self.earlyCloses.setdefault(frame.streamID, now + EARLY_CLOSE_TIMEOUT)
        return True

    def endEarlyClosed(self, now: float = inf) -> None:
        """Let the streams end whose close was deferred until now."""
        for streamID in [each for each, until in self.earlyCloses.items() if until <= now]:
            del self.earlyCloses[streamID]
            stream = self.streams.open.get(streamID)
            if stream is not None:
                self.endReceiving(stream)

    def fail(self, error: PeerError) -> None:
        """The peer broke the protocol: close the connection with the code of the error."""
        if not self.isClosed:
            self.closeCode, self.closeMessage = error.code, error.message[:LONGEST_MESSAGE]
            self.owesClose = True
            self.end(error)

    def end(self, error: StreamError | None) -> None:
        """The connection is over; money in flight is still settled when its answers come."""
        if self.isClosed:
            return
        self.isClosed = True
        self.error = error
        if self.tracer is not None:
            self.tracer.closed(error)
        for stream in list(self.streams.open.values()):
            reason = error
            if reason is None and not (stream.isDrained or stream.isAborted):
                reason = ConnectionEnded("the peer closed the connection before all was sent")
            self.abortStream(stream, reason)
        self.events.append(ConnectionClosed(error))
