"""
What the two directions of a session share: its streams, what the peer has said, and its end.

Frames of the peer that carry no money and no data of the application are applied here, whether
they came in a Prepare or in a reply. Limits only ever grow; what contradicts the protocol closes
the connection with the code of RFC 29 section 5.4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from txilpstream.errors import ConnectionEnded, ErrorCode, PeerError, StreamError
from txilpstream.session.announcer import Announcer
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.controls import ControlQueue
from txilpstream.session.events import (
    AssetDetailsLearned,
    ConnectionClosed,
    Event,
    PeerAddressChanged,
    PeerAnswered,
    ReceiptArrived,
    SendingEnded,
    StreamClosed,
    StreamEnded,
)
from txilpstream.session.stream import DRAINING, SessionStream
from txilpstream.session.streams import Streams
from txilpstream.session.windows import ByteBudget
from txilpstream.wire.address import isAddress
from txilpstream.wire.frames import (
    ConnectionAssetDetails,
    ConnectionClose,
    ConnectionDataBlocked,
    ConnectionMaxData,
    ConnectionMaxStreamID,
    ConnectionNewAddress,
    ConnectionStreamIDBlocked,
    Frame,
    StreamClose,
    StreamData,
    StreamDataBlocked,
    StreamMaxData,
    StreamMaxMoney,
    StreamMoneyBlocked,
    StreamReceipt,
)

__all__ = ["SessionState"]

LONGEST_MESSAGE: Final = 500
"""Characters of a close message that are kept: the peer may send many."""


class SessionState:
    """
    One connection as both directions see it.

    @ivar streams: all streams.
    @ivar announcer: builds what we say of ourselves.
    @ivar controls: frames that are repeated until heard.
    @ivar events: what the driver has not collected yet.
    @ivar destination: where the peer is, or empty.
    @ivar isValidated: whether something authentic came back from there.
    @ivar assetDetails: the peer's asset code and scale, None until it tells them.
    @ivar isDraining: whether the connection is to be closed when all is sent.
    @ivar isClosed: whether it is over.
    @ivar owesClose: whether a ConnectionClose is still to be sent.
    @ivar heardAt: when something authentic came last, in seconds.
    @ivar encrypted: Prepares and replies that were encrypted under this key by us.
    """

    __slots__ = (
        "announcer",
        "assetDetails",
        "closeCode",
        "closeMessage",
        "configuration",
        "controls",
        "destination",
        "encrypted",
        "error",
        "events",
        "hasAnswered",
        "heardAt",
        "isClosed",
        "isDraining",
        "isValidated",
        "owesClose",
        "streams",
        "wasUnblocked",
    )

    def __init__(self, configuration: SessionConfiguration, budget: ByteBudget) -> None:
        self.configuration = configuration
        self.streams = Streams(configuration, budget)
        self.announcer = Announcer(configuration, self.streams)
        self.controls = ControlQueue(self.announcer.build)
        self.events: list[Event] = []
        self.destination = configuration.destinationAddress
        self.isValidated = not configuration.isServer
        self.hasAnswered = False
        self.assetDetails: tuple[str, int] | None = None
        self.isDraining = False
        self.isClosed = False
        self.owesClose = False
        self.error: StreamError | None = None
        self.closeCode = ErrorCode.NO_ERROR
        self.closeMessage = ""
        self.heardAt: float | None = None
        self.encrypted = 0
        self.wasUnblocked = False
        if not configuration.isServer:
            self.controls.add(ConnectionNewAddress.type)
            self._introduce()

    def _introduce(self) -> None:
        """Tell the peer who we are and how much we take."""
        if self.configuration.sourceAssetCode is not None:
            self.controls.add(ConnectionAssetDetails.type)
        if self.configuration.sourceAddress or self.configuration.isServer:
            self.controls.add(ConnectionMaxData.type)

    def authentic(self, now: float) -> None:
        """Something came that only the peer can have made."""
        self.heardAt = now
        if not self.hasAnswered:
            self.hasAnswered = True
            self.events.append(PeerAnswered())

    # --- Frames of the peer -------------------------------------------------------------

    def hear(self, frame: Frame) -> None:
        """
        Apply a frame of the peer that carries neither money nor data.

        @raise PeerError: if it is against the protocol.
        """
        _HEARD[type(frame)](self, frame)

    def _hearAddress(self, frame: ConnectionNewAddress) -> None:
        address = frame.sourceAddress
        if not address or address == self.destination:
            return
        if not isAddress(address):
            raise PeerError(ErrorCode.FRAME_FORMAT_ERROR, "an address has not the form of one")
        if not self.configuration.isServer:
            return
        if not self.destination:
            self._introduce()
        self.destination = address
        self.isValidated = False
        self.events.append(PeerAddressChanged(address))

    def _hearAsset(self, frame: ConnectionAssetDetails) -> None:
        details = (frame.sourceAssetCode, frame.sourceAssetScale)
        if self.assetDetails is None:
            self.assetDetails = details
            self.events.append(AssetDetailsLearned(*details))
        elif self.assetDetails != details:
            raise PeerError(
                ErrorCode.PROTOCOL_VIOLATION,
                f"the asset was {self.assetDetails} and is now said to be {details}",
            )

    def _hearMaxData(self, frame: ConnectionMaxData) -> None:
        if self.streams.sendCredit.hear(frame.maxOffset):
            self._unblocked()

    def _hearMaxStreamID(self, frame: ConnectionMaxStreamID) -> None:
        streams = self.streams
        if frame.maxStreamID <= streams.peerMaxStreamID:
            return
        streams.peerMaxStreamID = frame.maxStreamID
        self._unblocked()
        for stream in streams.open.values():
            if not stream.hasOpened:
                self.controls.add(StreamData.type, stream.streamID)
                streams.refresh(stream)

    def _hearMaxMoney(self, frame: StreamMaxMoney) -> None:
        stream = self.streams.open.get(frame.streamID)
        if stream is not None:
            couldSend = stream.moneyOut.peerRoom > 0
            if stream.moneyOut.hear(frame.receiveMax, frame.totalReceived):
                self._unblocked()
            self.streams.refresh(stream)
            if couldSend and stream.moneyOut.unsent and not stream.moneyOut.peerRoom:
                self.controls.add(StreamMoneyBlocked.type, stream.streamID)

    def _hearMaxStreamData(self, frame: StreamMaxData) -> None:
        stream = self.streams.open.get(frame.streamID)
        if stream is not None and stream.sendCredit.hear(frame.maxOffset):
            self._unblocked()
            self.streams.refresh(stream)

    def _unblocked(self) -> None:
        self.wasUnblocked = True

    def _hearReceipt(self, frame: StreamReceipt) -> None:
        if self.streams.wasOpened(frame.streamID):
            self.events.append(ReceiptArrived(frame.streamID, frame.receipt))

    def _hearBlocked(self, frame: StreamDataBlocked | StreamMoneyBlocked) -> None:
        """The peer waits for a larger limit: say again what it is."""
        if frame.streamID in self.streams.open and self.destination:
            isMoney = isinstance(frame, StreamMoneyBlocked)
            self.controls.add(
                StreamMaxMoney.type if isMoney else StreamMaxData.type, frame.streamID
            )

    def _hearConnectionBlocked(self, frame: ConnectionDataBlocked) -> None:
        if self.destination:
            self.controls.add(ConnectionMaxData.type)

    def _hearStreamIDBlocked(self, frame: ConnectionStreamIDBlocked) -> None:
        if self.destination:
            self.controls.add(ConnectionMaxStreamID.type)

    def _hearStreamClose(self, frame: StreamClose) -> None:
        stream = self.streams.open.get(frame.streamID)
        if stream is None or stream.isAborted:
            return
        if frame.errorCode != ErrorCode.NO_ERROR:
            error = PeerError(frame.errorCode, frame.errorMessage[:LONGEST_MESSAGE])
            self.abortStream(stream, error)
            self.controls.drop(stream.streamID)
            self.acknowledgeClose(stream)
        elif not stream.isEnded:
            stream.isEnded = True
            self.events.append(StreamEnded(stream.streamID))
            self.finishStream(stream)

    def _hearConnectionClose(self, frame: ConnectionClose) -> None:
        error: StreamError | None = None
        if frame.errorCode != ErrorCode.NO_ERROR:
            error = PeerError(frame.errorCode, frame.errorMessage[:LONGEST_MESSAGE])
        self.end(error)

    # --- Ends -----------------------------------------------------------------------------

    def abortStream(self, stream: SessionStream, error: StreamError | None) -> None:
        """End both halves of a stream now; what was not sent never will be."""
        stream.isAborted = stream.isEnded = True
        stream.advance("abort")
        stream.moneyOut.withdraw()
        self.streams.forgetData(stream)
        self.streams.refresh(stream)
        self.report(stream, error)

    def report(self, stream: SessionStream, error: StreamError | None) -> None:
        """Tell the application once that a stream is over."""
        if not stream.isReported:
            stream.isReported = True
            self.events.append(StreamClosed(stream.streamID, error))

    def settleStream(self, stream: SessionStream) -> None:
        """Something of a stream was settled: go on with its end if it is to end."""
        if stream.state == DRAINING and stream.isDrained:
            stream.advance("drained")
            self.controls.add(StreamClose.type, stream.streamID)
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
            self.controls.drop(stream.streamID)
            if self.streams.drop(stream):
                self.controls.add(ConnectionMaxStreamID.type)

    def fail(self, error: PeerError) -> None:
        """The peer broke the protocol: close the connection with the code of the error."""
        if not self.isClosed:
            self.closeCode, self.closeMessage = error.code, error.message
            self.owesClose = True
            self.end(error)

    def end(self, error: StreamError | None) -> None:
        """The connection is over; money in flight is still settled when its answers come."""
        if self.isClosed:
            return
        self.isClosed = True
        self.error = error
        for stream in list(self.streams.open.values()):
            reason = error
            if reason is None and not (stream.isDrained or stream.isAborted):
                reason = ConnectionEnded("the peer closed the connection before all was sent")
            self.abortStream(stream, reason)
        self.events.append(ConnectionClosed(error))


_HEARD: Final[Mapping[type, Callable[..., None]]] = {
    ConnectionClose: SessionState._hearConnectionClose,
    ConnectionNewAddress: SessionState._hearAddress,
    ConnectionMaxData: SessionState._hearMaxData,
    ConnectionDataBlocked: SessionState._hearConnectionBlocked,
    ConnectionMaxStreamID: SessionState._hearMaxStreamID,
    ConnectionStreamIDBlocked: SessionState._hearStreamIDBlocked,
    ConnectionAssetDetails: SessionState._hearAsset,
    StreamClose: SessionState._hearStreamClose,
    StreamMaxMoney: SessionState._hearMaxMoney,
    StreamMoneyBlocked: SessionState._hearBlocked,
    StreamMaxData: SessionState._hearMaxStreamData,
    StreamDataBlocked: SessionState._hearBlocked,
    StreamReceipt: SessionState._hearReceipt,
}
