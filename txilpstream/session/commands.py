"""
What the application commands on the streams of a connection.

Nothing leaves here: a command changes what is offered, granted or to be said, and the sender takes
it from there.
"""

from __future__ import annotations

from txilpstream.amounts import U64_MAX, checkAmount
from txilpstream.errors import LocalError, StreamError
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.state import LONGEST_MESSAGE, SessionState
from txilpstream.session.stream import OPEN, SessionStream
from txilpstream.wire.frames import (
    ConnectionMaxData,
    ConnectionStreamIDBlocked,
    StreamClose,
    StreamData,
    StreamMaxData,
    StreamMaxMoney,
)

__all__ = ["StreamCommands"]


class StreamCommands:
    """The part of a L{txilpstream.session.session.Session} that commands streams."""

    __slots__ = ("_configuration", "_state")

    def __init__(self, configuration: SessionConfiguration, state: SessionState) -> None:
        self._configuration = configuration
        self._state = state

    def stream(self, streamID: int) -> SessionStream:
        """
        The state of a stream, for reading its totals.

        @raise LocalError: if it is not open.
        """
        return self._state.streams.get(streamID)

    def openStream(self) -> int:
        """
        Open a stream and give its id; it waits if the peer takes no more for now.

        @raise LocalError: if the connection is closed or closing.
        """
        self._checkOpen()
        streams, controls = self._state.streams, self._state.controls
        stream = streams.openLocal()
        controls.add(StreamData.type, stream.streamID)
        if stream.streamID > streams.peerMaxStreamID:
            controls.add(ConnectionStreamIDBlocked.type)
        return stream.streamID

    def startStream(self, streamID: int, receiveMax: int | None) -> None:
        """
        The application has seen a stream: tell the peer what it takes.

        @param receiveMax: in this end's units, unless it was set already.
        """
        stream = self._state.streams.open.get(streamID)
        if stream is None:
            return
        if receiveMax is not None and not stream.moneyIn.receiveMax:
            stream.moneyIn.receiveMax = checkAmount("the total to receive", receiveMax)
        stream.isStarted = True
        if self._state.isReachable:
            self._tell(stream, StreamMaxMoney.type, StreamMaxData.type)

    def sendData(self, streamID: int, data: bytes) -> None:
        """
        Offer bytes on a stream.

        @raise LocalError: if its sending half is closed.
        """
        stream = self._sendable(streamID)
        stream.queue.write(data)
        self._state.streams.unsent += len(data)
        self._state.streams.refresh(stream)

    def sendMoney(self, streamID: int, sourceAmount: int) -> None:
        """
        Offer more money on a stream.

        @raise LocalError: if it is not an amount of at least 1, or the sending half is closed.
        """
        checkAmount("the amount to send", sourceAmount, minimum=1)
        stream = self._sendable(streamID)
        self.setSendMax(streamID, stream.moneyOut.sendMax + sourceAmount)

    def setSendMax(self, streamID: int, sourceAmount: int) -> None:
        """
        Offer so much money in all on a stream.

        @raise LocalError: if it is less than has left, or not an amount.
        """
        stream = self._sendable(streamID)
        checkAmount(
            "the total to send", sourceAmount, minimum=stream.moneyOut.left, maximum=U64_MAX
        )
        money = stream.moneyOut
        money.offered += max(0, sourceAmount - money.sendMax)
        money.sendMax = sourceAmount
        self._state.streams.refresh(stream)

    def withdrawMoney(self, streamID: int, sourceAmount: int) -> int:
        """
        Take back what was offered and has not left, at most so much; gives how much it was.

        @raise LocalError: if it is not an amount.
        """
        checkAmount("the amount to withdraw", sourceAmount)
        stream = self._state.streams.open.get(streamID)
        if stream is None:
            return 0
        taken = min(sourceAmount, stream.moneyOut.unsent)
        stream.moneyOut.sendMax -= taken
        self._state.streams.refresh(stream)
        self._state.settleStream(stream)
        return taken

    def setReceiveMax(self, streamID: int, amount: int) -> None:
        """
        Accept so much money in all on a stream, in this end's units.

        @raise LocalError: if it is not an amount, or less than the peer was told before.
        """
        stream = self._state.streams.get(streamID)
        money = stream.moneyIn
        checkAmount("the total to receive", amount)
        if money.isTold and amount < money.receiveMax:
            raise LocalError(
                f"the total to receive cannot fall from {money.receiveMax} to {amount}: the peer "
                "relies on it (RFC 29 section 4.4.4)"
            )
        money.receiveMax = amount
        self._tell(stream, StreamMaxMoney.type)

    def consumeData(self, streamID: int, count: int = U64_MAX) -> bytes:
        """Take bytes that arrived, in order, at most so many; that lets the peer send more."""
        state = self._state
        stream = state.streams.open.get(streamID)
        if stream is None or not stream.data.waiting:
            return b""
        data = stream.data.take(count)
        size = len(data)
        streams = state.streams
        streams.budget.give(size)
        stream.grant.consumed += size
        streams.grant.consumed += size
        if state.destination:
            if stream.grant.isDue() and not stream.isEnded:
                state.controls.add(StreamMaxData.type, streamID)
            if streams.grant.isDue():
                state.controls.add(ConnectionMaxData.type)
        if stream.isEnded:
            state.finishStream(stream)
        return data

    def closeStream(self, streamID: int) -> None:
        """Close the sending half when all is delivered and settled; twice does no harm."""
        stream = self._state.streams.open.get(streamID)
        if stream is not None and stream.advance("close"):
            self._state.settleStream(stream)

    def sendWithMoney(self, streamID: int, data: bytes) -> None:
        """
        Offer bytes that go with the first money of the stream, and again while it is refused.

        @raise LocalError: if they do not fit into a packet, or data or money left already.
        """
        stream = self._sendable(streamID)
        most = min(self._configuration.fragmentSize, stream.sendCredit.room)
        if len(data) > most:
            raise LocalError(
                f"{len(data)} bytes do not fit beside money: at most {most} do; write the rest "
                "to the stream"
            )
        if not stream.queue.isEmpty or stream.queue.offset or stream.moneyOut.left:
            raise LocalError(f"stream {streamID} was used before: use a new one")
        stream.queue.write(data)
        self._state.streams.unsent += len(data)
        stream.isTogether = bool(data)
        self._state.streams.refresh(stream)

    def setDeliverMax(self, streamID: int, destinationAmount: int) -> None:
        """
        Deliver so much in all on a stream, in the peer's units, for at most what is offered.

        @raise LocalError: if it is not an amount of at least 1, or the sending half is closed.
        """
        checkAmount("the total to deliver", destinationAmount, minimum=1)
        money = self._sendable(streamID).moneyOut
        money.deliverMax, money.isBounded = destinationAmount, True

    def stopMoney(self, streamID: int) -> None:
        """Let no money leave on a stream any more, that which comes back with a reject included."""
        stream = self._state.streams.open.get(streamID)
        if stream is not None:
            stream.moneyOut.isStopped = True

    def setReserve(self, streamID: int, sourceAmount: int) -> None:
        """Let no more than so much money leave on a stream in all, until more is reserved."""
        checkAmount("the reserve", sourceAmount)
        stream = self._state.streams.open.get(streamID)
        if stream is not None:
            stream.moneyOut.reserved, stream.moneyOut.isBounded = sourceAmount, True
            self._state.streams.refresh(stream)

    def ignoreStream(self, streamID: int) -> None:
        """
        Nobody is there any more to be told of money: what still comes is refused.

        The peer's half is over with ours: ilp-protocol-stream does not say that it closes after
        we have, and would never get its place back.
        """
        stream = self._state.streams.open.get(streamID)
        if stream is not None:
            stream.isDeaf = stream.isEnded = True
            self._state.streams.forgetData(stream)
            self._state.finishStream(stream)

    def ping(self) -> None:
        """Say something, so that the connection is not taken for idle at either end."""
        if self._state.destination:
            self._state.controls.add(ConnectionMaxData.type)

    def abortStream(
        self, streamID: int, error: StreamError | None, code: int, message: str = ""
    ) -> None:
        """End both halves of a stream now and tell the peer why."""
        stream = self._state.streams.open.get(streamID)
        if stream is not None and not stream.isAborted:
            stream.closeCode, stream.closeMessage = code, message[:LONGEST_MESSAGE]
            self._state.abortStream(stream, error)
            self._state.controls.add(StreamClose.type, streamID)

    def _checkOpen(self) -> None:
        state = self._state
        if state.isWorn:
            raise LocalError(
                f"the key of this connection has encrypted {state.encrypted} of the "
                f"{self._configuration.maximumPacketCount} packets that it may: open another "
                "connection with new credentials"
            )
        if state.isClosed or state.isLeaving:
            raise LocalError("the connection is closed: open another one")

    def _sendable(self, streamID: int) -> SessionStream:
        stream = self._state.streams.get(streamID)
        if stream.state != OPEN:
            raise LocalError(f"the sending half of stream {streamID} is closed")
        return stream

    def _tell(self, stream: SessionStream, *kinds: int) -> None:
        """Say limits of a stream, unless the peer may not yet hear of it or cannot be reached."""
        state = self._state
        if state.destination and (
            stream.hasOpened or stream.streamID <= state.streams.peerMaxStreamID
        ):
            for kind in kinds:
                state.controls.add(kind, stream.streamID)
