"""
All streams of a connection: their ids, their turns, and what they share.

Streams take turns: whoever has sent goes to the end of the line, so the cost of a packet does not
depend on how many streams are open. Closed ids are all below a mark except for a few ranges, never
a growing set: whoever skips a million ids costs one range.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from typing import Final

from txilpstream.amounts import U64_MAX
from txilpstream.errors import ErrorCode, LocalError, PeerError
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.streams.buffers import Reassembler, SendQueue
from txilpstream.session.streams.flowcontrol import (
    INITIAL_CONNECTION_CREDIT,
    INITIAL_STREAM_CREDIT,
    ByteBudget,
    ReceiveWindow,
    SendWindow,
)
from txilpstream.session.streams.money import MoneyReceiver, MoneySender

__all__ = [
    "CLOSED",
    "CLOSING",
    "DRAINING",
    "OPEN",
    "PEER_MAX_STREAM_ID",
    "TRANSITIONS",
    "SessionStream",
    "Streams",
]

PEER_MAX_STREAM_ID: Final = 20
"""The largest id that a peer takes before it says so (RFC 29 section 3.3)."""

OPEN: Final = 0
DRAINING: Final = 1
CLOSING: Final = 2
CLOSED: Final = 3

TRANSITIONS: Final[dict[tuple[int, str], int]] = {
    (OPEN, "close"): DRAINING,
    (OPEN, "abort"): CLOSING,
    (DRAINING, "drained"): CLOSING,
    (DRAINING, "abort"): CLOSING,
    (CLOSING, "acknowledged"): CLOSED,
    (CLOSED, "abort"): CLOSING,
}
"""The sending half: what is not named here changes nothing."""


class SessionStream:
    """
    The state of one stream.

    @ivar state: of the sending half, one of L{OPEN}, L{DRAINING}, L{CLOSING}, L{CLOSED}.
    @ivar isEnded: whether the peer sends no more.
    @ivar refusesMoney: whether no money is taken any more, since the peer sends no more, or nobody
        is there to be told.
    @ivar isAborted: whether it ended in an error, here or there.
    @ivar isReported: whether the application was told that it is over.
    @ivar isStarted: whether the application has seen it and set its limits.
    @ivar sendsDataWithMoney: whether its data goes in the packet of its first money, and again
        while that is refused.
    @ivar closeCode: what StreamClose says.
    @ivar closeMessage: what it says for people.
    @ivar hasOpened: whether the peer knows of the stream.
    @ivar receipt: the greatest receipt that the peer gave, as octets, or empty (RFC 39).
    """

    __slots__ = (
        "closeCode",
        "closeMessage",
        "data",
        "hasOpened",
        "isAborted",
        "isEnded",
        "isReported",
        "isStarted",
        "moneyIn",
        "moneyOut",
        "queue",
        "receipt",
        "receiveWindow",
        "refusesMoney",
        "sendWindow",
        "sendsDataWithMoney",
        "state",
        "streamID",
    )

    def __init__(self, streamID: int, window: int) -> None:
        self.streamID = streamID
        self.state = OPEN
        self.isEnded = False
        self.refusesMoney = False
        self.isAborted = False
        self.isReported = False
        self.isStarted = False
        self.sendsDataWithMoney = False
        self.closeCode = ErrorCode.NO_ERROR
        self.closeMessage = ""
        self.hasOpened = False
        self.receipt = b""
        self.queue = SendQueue()
        self.data = Reassembler()
        self.sendWindow = SendWindow(INITIAL_STREAM_CREDIT)
        self.receiveWindow = ReceiveWindow(window)
        self.moneyOut = MoneySender()
        self.moneyIn = MoneyReceiver()

    def advance(self, event: str) -> bool:
        """
        Move the sending half.

        @param event: C{"close"}, C{"drained"}, C{"acknowledged"} or C{"abort"}.
        @return: whether it has moved.
        """
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    @property
    def isDrained(self) -> bool:
        """Whether all that was to be sent is delivered and settled."""
        return self.queue.isEmpty and not self.moneyOut.unsent and not self.moneyOut.held

    @property
    def isOver(self) -> bool:
        """Whether both halves are closed, all is read, and nothing waits for an answer."""
        return (
            self.state == CLOSED
            and self.isEnded
            and not self.data.waiting
            and not self.moneyOut.held
        )


class Streams:
    """
    The streams of one connection.

    @ivar open: those that are not over, by id.
    @ivar moneyReady: those that have money to send and may, in the order of their turns.
    @ivar dataReady: those that have data to send and may.
    @ivar maxStreamID: the largest id that we accept.
    @ivar peerMaxStreamID: the largest id that the peer accepts.
    @ivar unsent: bytes written to all streams that have not left yet.
    @ivar sendWindow: bytes that the peer takes on all streams.
    @ivar receiveWindow: bytes that we take on all streams.
    @ivar lastData: the sequence of the last packet with new bytes.
    @ivar budget: bytes that are held for the application, shared with other connections.
    """

    __slots__ = (
        "_configuration",
        "_isServer",
        "_nextID",
        "_nextRemote",
        "_skipped",
        "_waiting",
        "budget",
        "dataReady",
        "lastData",
        "maxStreamID",
        "moneyReady",
        "open",
        "peerMaxStreamID",
        "receiveWindow",
        "sendWindow",
        "unsent",
    )

    def __init__(self, configuration: SessionConfiguration, budget: ByteBudget) -> None:
        self._configuration = configuration
        self._isServer = configuration.isServer
        self._nextID = configuration.firstStreamID or (2 if configuration.isServer else 1)
        self._nextRemote = 1 if configuration.isServer else 2
        self._skipped: list[tuple[int, int]] = []
        self._waiting: dict[int, SessionStream] = {}
        self.open: dict[int, SessionStream] = {}
        self.moneyReady: OrderedDict[int, SessionStream] = OrderedDict()
        self.dataReady: OrderedDict[int, SessionStream] = OrderedDict()
        self.maxStreamID = configuration.maximumStreamID
        self.peerMaxStreamID = PEER_MAX_STREAM_ID
        self.unsent = 0
        self.sendWindow = SendWindow(INITIAL_CONNECTION_CREDIT)
        self.receiveWindow = ReceiveWindow(configuration.connectionWindow)
        self.budget = budget
        self.lastData = -1

    def get(self, streamID: int) -> SessionStream:
        """
        The stream of this id.

        @raise LocalError: if it is not open.
        """
        stream = self.open.get(streamID)
        if stream is None:
            raise LocalError(f"the stream {streamID} is not open: it is closed or never was")
        return stream

    def openLocal(self) -> SessionStream:
        """Open the next stream of this end (RFC 29 section 4.4.1)."""
        stream = SessionStream(self._nextID, self._configuration.streamWindow)
        self.open[self._nextID] = stream
        self._waiting[self._nextID] = stream
        self._nextID += 2
        return stream

    def accept(self, streamID: int) -> SessionStream | None:
        """
        Find a stream that the peer names, or open it.

        @return: None if it is closed.
        @raise PeerError: if the peer may not open it: ProtocolViolation for a number that is not
            the peer's to use, StreamIdError for one above the limit.
        """
        stream = self.open.get(streamID)
        if stream is not None:
            return stream
        if self.wasOpened(streamID):
            return None
        if streamID == 0 or not self.isRemote(streamID):
            raise PeerError(
                ErrorCode.PROTOCOL_VIOLATION, f"stream {streamID} is not the peer's to open"
            )
        if streamID > self.maxStreamID:
            raise PeerError(
                ErrorCode.STREAM_ID_ERROR,
                f"stream {streamID} is above the limit of {self.maxStreamID}",
            )
        self._skip(streamID)
        stream = SessionStream(streamID, self._configuration.streamWindow)
        stream.hasOpened = True
        self.open[streamID] = stream
        return stream

    def _skip(self, streamID: int) -> None:
        """Remember which of the peer's ids were passed over and may still be opened."""
        index = bisect_right(self._skipped, (streamID, U64_MAX)) - 1
        if streamID >= self._nextRemote:
            if streamID > self._nextRemote:
                self._skipped.append((self._nextRemote, streamID))
            self._nextRemote = streamID + 2
            return
        first, end = self._skipped[index]
        parts = [(first, streamID), (streamID + 2, end)]
        self._skipped[index : index + 1] = [part for part in parts if part[0] < part[1]]

    def wasOpened(self, streamID: int) -> bool:
        """Whether there was such a stream ever, be it closed or not."""
        if not self.isRemote(streamID):
            return 0 < streamID < self._nextID
        if not 0 < streamID < self._nextRemote:
            return False
        index = bisect_right(self._skipped, (streamID, U64_MAX)) - 1
        return index < 0 or streamID >= self._skipped[index][1]

    def isRemote(self, streamID: int) -> bool:
        """Whether the peer opened it."""
        return streamID % 2 == self._isServer

    def refresh(self, stream: SessionStream) -> None:
        """Put a stream in line, or take it out, as it has something to send and may."""
        streamID = stream.streamID
        mayOpen = stream.hasOpened or streamID <= self.peerMaxStreamID
        money = stream.moneyOut
        unsent = money.unsent
        sendsDataWithMoney = stream.sendsDataWithMoney
        if (
            mayOpen
            and unsent > 0
            and money.peerRoom > 0
            and not (sendsDataWithMoney and money.held)
        ):
            self.moneyReady.setdefault(streamID, stream)
        else:
            self.moneyReady.pop(streamID, None)
        queue = stream.queue
        if (
            mayOpen
            and not sendsDataWithMoney
            and (queue.hasLost or (queue.unsent and stream.sendWindow.room))
        ):
            self.dataReady.setdefault(streamID, stream)
        else:
            self.dataReady.pop(streamID, None)
        if unsent or queue.unsent:
            self._waiting[streamID] = stream

    def drop(self, stream: SessionStream) -> bool:
        """
        Forget a stream that is over; the peer may open one more for one of its own.

        @return: whether the limit on the peer's ids was raised.
        """
        streamID = stream.streamID
        self.forgetData(stream)
        self.moneyReady.pop(streamID, None)
        self.dataReady.pop(streamID, None)
        self._waiting.pop(streamID, None)
        if self.open.pop(streamID, None) is None or not self.isRemote(streamID):
            return False
        self.maxStreamID = min(self.maxStreamID + 2, U64_MAX)
        return True

    def forgetData(self, stream: SessionStream) -> None:
        """Forget data that nobody will send or read; its credit goes back to the connection."""
        unread = stream.receiveWindow.received - stream.receiveWindow.consumed
        stream.receiveWindow.consumed += unread
        self.receiveWindow.consumed += unread
        self.budget.give(stream.data.held)
        stream.data.clear()
        self.unsent -= stream.queue.unsent
        self.sendWindow.used -= stream.queue.clear()

    def recount(self, limit: int) -> bool:
        """
        Take a limit that is less than what was sent before it was told: ilp-protocol-stream counts
        the bytes of the streams that it knows, and forgets those that are over. No other peer ever
        says so, as a limit never shrinks.

        @param limit: the peer's, in an answer to a packet that left after the last new bytes.
        @return: whether more may be sent now.
        """
        if limit >= min(self.sendWindow.used, self.sendWindow.limit):
            return False
        counted = sum(stream.queue.offset for stream in self.open.values())
        return self.sendWindow.renew(limit - counted)

    def findBlocked(self) -> bool:
        """
        Look for a stream with something to send that only the peer's word can let go; those with
        nothing to send are not looked at again.
        """
        done = []
        isBlocked = False
        for streamID, stream in self._waiting.items():
            money = stream.moneyOut
            if money.unsent > 0:
                isBlocked = money.peerRoom == 0
            elif not stream.queue.unsent and (stream.hasOpened or streamID <= self.peerMaxStreamID):
                done.append(streamID)
                continue
            if stream.queue.unsent and not (stream.sendWindow.room and self.sendWindow.room):
                isBlocked = True
            if not stream.hasOpened and streamID > self.peerMaxStreamID:
                isBlocked = True
            if isBlocked:
                break
        for streamID in done:
            del self._waiting[streamID]
        return isBlocked

    def isQuiet(self) -> bool:
        """Whether every stream has delivered and settled all that it was given to send."""
        return all(
            stream.isDrained and (stream.state == OPEN or stream.state >= CLOSING)
            for stream in self.open.values()
        )
