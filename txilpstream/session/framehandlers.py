"""
What the peer says of itself, applied: limits, addresses, assets, closes and receipts.

These frames carry neither money nor data of the application, and count whether they came in a
Prepare or in an answer. Limits only ever grow; what contradicts the protocol raises PeerError with
the code of RFC 29 section 5.4. Nothing is sent from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from txilpstream.amounts import U64_MAX
from txilpstream.crypto.receipts import decodeReceipt
from txilpstream.errors import ConnectionEnded, DecodeError, ErrorCode, PeerError, StreamError
from txilpstream.session.events import AssetDetailsLearned, PeerAddressChanged, ReceiptArrived
from txilpstream.session.state import SessionState
from txilpstream.session.streams.streams import CLOSING
from txilpstream.wire.address import isAddress
from txilpstream.wire.frames import (
    ConnectionAssetDetails,
    ConnectionClose,
    ConnectionDataBlocked,
    ConnectionMaxData,
    ConnectionMaxStreamID,
    ConnectionNewAddress,
    ConnectionStreamIDBlocked,
    StreamClose,
    StreamData,
    StreamDataBlocked,
    StreamMaxData,
    StreamMaxMoney,
    StreamMoneyBlocked,
    StreamReceipt,
)

__all__ = ["FRAME_HANDLERS"]

LONGEST_CODE: Final = 100
"""Characters of an asset code: those in use have three or four."""

LONGEST_KEPT_MESSAGE: Final = 500
"""Characters of a close message that are kept: the peer may send many."""


def _hearAddress(state: SessionState, frame: ConnectionNewAddress) -> None:
    address = frame.sourceAddress
    if not address or address == state.destination:
        return
    if not isAddress(address):
        raise PeerError(ErrorCode.FRAME_FORMAT_ERROR, "an address has not the form of one")
    if not state.configuration.isServer:
        return
    if not state.destination:
        state.introduce()
    state.destination = address
    state.isValidated = False
    state.validatesFrom = None
    state.events.append(PeerAddressChanged(address))


def _hearAsset(state: SessionState, frame: ConnectionAssetDetails) -> None:
    details = (frame.sourceAssetCode, frame.sourceAssetScale)
    if len(frame.sourceAssetCode) > LONGEST_CODE:
        raise PeerError(ErrorCode.FRAME_FORMAT_ERROR, "an asset code is too long")
    if state.assetDetails is None:
        state.assetDetails = details
        state.events.append(AssetDetailsLearned(*details))
    elif state.assetDetails != details:
        raise PeerError(
            ErrorCode.PROTOCOL_VIOLATION,
            f"the asset was {state.assetDetails} and is now said to be {details}",
        )


def _hearMaxData(state: SessionState, frame: ConnectionMaxData) -> None:
    if state.streams.sendWindow.hear(frame.maxOffset):
        state.wasUnblocked = True


def _hearMaxStreamID(state: SessionState, frame: ConnectionMaxStreamID) -> None:
    streams = state.streams
    if frame.maxStreamID <= streams.peerMaxStreamID:
        return
    streams.peerMaxStreamID = frame.maxStreamID
    state.wasUnblocked = True
    for stream in streams.open.values():
        if not stream.hasOpened and stream.streamID <= frame.maxStreamID and stream.state < CLOSING:
            state.controlFrames.add(StreamData.type, stream.streamID)
            if state.isReachable and stream.isStarted:
                state.controlFrames.add(StreamMaxMoney.type, stream.streamID)
                state.controlFrames.add(StreamMaxData.type, stream.streamID)
            streams.refresh(stream)


def _hearMaxMoney(state: SessionState, frame: StreamMaxMoney) -> None:
    stream = state.streams.open.get(frame.streamID)
    if stream is None:
        return
    money = stream.moneyOut
    if money.peerMax == frame.receiveMax == U64_MAX:
        money.isTold = True  # there was no limit and is none: what the peer has got is no matter
        return
    couldSend = money.peerRoom > 0
    if money.hear(frame.receiveMax, frame.totalReceived):
        state.wasUnblocked = True
    state.streams.refresh(stream)
    if couldSend and money.unsent and not money.peerRoom:
        state.controlFrames.add(StreamMoneyBlocked.type, stream.streamID)


def _hearMaxStreamData(state: SessionState, frame: StreamMaxData) -> None:
    stream = state.streams.open.get(frame.streamID)
    if stream is not None and stream.sendWindow.hear(frame.maxOffset):
        state.wasUnblocked = True
        state.streams.refresh(stream)


def _hearReceipt(state: SessionState, frame: StreamReceipt) -> None:
    """Keep the receipt of the greatest total; nobody here can verify one."""
    stream = state.streams.open.get(frame.streamID)
    if stream is None and not state.streams.wasOpened(frame.streamID):
        return
    if stream is not None:
        try:
            total = decodeReceipt(frame.receipt).totalReceived
        except DecodeError:
            return
        if stream.receipt and total <= decodeReceipt(stream.receipt).totalReceived:
            return
        stream.receipt = frame.receipt
    state.events.append(ReceiptArrived(frame.streamID, frame.receipt))


def _hearBlocked(state: SessionState, frame: StreamDataBlocked | StreamMoneyBlocked) -> None:
    """The peer waits for a larger limit: say again what it is."""
    if frame.streamID in state.streams.open and state.destination:
        isMoney = isinstance(frame, StreamMoneyBlocked)
        state.controlFrames.add(
            StreamMaxMoney.type if isMoney else StreamMaxData.type, frame.streamID
        )


def _hearConnectionBlocked(state: SessionState, frame: ConnectionDataBlocked) -> None:
    if state.destination:
        state.controlFrames.add(ConnectionMaxData.type)


def _hearStreamIDBlocked(state: SessionState, frame: ConnectionStreamIDBlocked) -> None:
    if state.destination:
        state.controlFrames.add(ConnectionMaxStreamID.type)


def _hearStreamClose(state: SessionState, frame: StreamClose) -> None:
    stream = state.streams.open.get(frame.streamID)
    if stream is None or stream.isAborted:
        return
    if frame.errorCode != ErrorCode.NO_ERROR:
        error = PeerError(frame.errorCode, frame.errorMessage[:LONGEST_KEPT_MESSAGE])
        state.abortStream(stream, error)
        state.controlFrames.drop(stream.streamID)
        state.acknowledgeClose(stream)
    else:
        state.endReceiving(stream)


def _hearConnectionClose(state: SessionState, frame: ConnectionClose) -> None:
    error: StreamError | None = None
    refusal = state.refusal
    if frame.errorCode != ErrorCode.NO_ERROR:
        error = PeerError(frame.errorCode, refusal or frame.errorMessage[:LONGEST_KEPT_MESSAGE])
    elif refusal is not None:
        error = ConnectionEnded(f"the peer refused: {refusal}")
    state.end(error)


FRAME_HANDLERS: Final[Mapping[type, Callable[..., None]]] = {
    ConnectionClose: _hearConnectionClose,
    ConnectionNewAddress: _hearAddress,
    ConnectionMaxData: _hearMaxData,
    ConnectionDataBlocked: _hearConnectionBlocked,
    ConnectionMaxStreamID: _hearMaxStreamID,
    ConnectionStreamIDBlocked: _hearStreamIDBlocked,
    ConnectionAssetDetails: _hearAsset,
    StreamClose: _hearStreamClose,
    StreamMaxMoney: _hearMaxMoney,
    StreamMoneyBlocked: _hearBlocked,
    StreamMaxData: _hearMaxStreamData,
    StreamDataBlocked: _hearBlocked,
    StreamReceipt: _hearReceipt,
}
"""What applies each frame that carries neither money nor data."""
