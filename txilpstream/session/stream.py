"""
One stream: two halves of data, two halves of money, and how it ends.

The sending half goes from open to draining (the application closed it), closing (all is delivered
and settled, the peer is being told) and closed; an abort goes to closing at once, from closed too,
since the peer is to be told. The receiving half ends when the peer closes. What was rejected:
ending both halves with the first StreamClose, which loses what the other side still wanted to say
(RFC 29 section 4.4.5 allows half-open streams).
"""

from __future__ import annotations

from typing import Final

from txilpstream.errors import ErrorCode
from txilpstream.session.streams.buffers import Reassembler, SendQueue
from txilpstream.session.streams.flowcontrol import INITIAL_STREAM_CREDIT, Grant, SendCredit
from txilpstream.session.streams.money import MoneyReceiver, MoneySender

__all__ = ["CLOSED", "CLOSING", "DRAINING", "OPEN", "TRANSITIONS", "SessionStream"]

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
    @ivar isDeaf: whether no money is taken any more, since the peer sends no more, or nobody is
        there to be told.
    @ivar isAborted: whether it ended in an error, here or there.
    @ivar isReported: whether the application was told that it is over.
    @ivar isStarted: whether the application has seen it and set its limits.
    @ivar isTogether: whether its data goes with its money, see C{together}.
    @ivar closeCode: what StreamClose says.
    @ivar closeMessage: what it says for people.
    @ivar hasOpened: whether the peer knows of the stream.
    @ivar receipt: the greatest receipt that the peer gave, as octets, or empty (RFC 39).
    """

    __slots__ = (
        "closeCode",
        "closeMessage",
        "data",
        "grant",
        "hasOpened",
        "isAborted",
        "isDeaf",
        "isEnded",
        "isReported",
        "isStarted",
        "isTogether",
        "moneyIn",
        "moneyOut",
        "queue",
        "receipt",
        "sendCredit",
        "state",
        "streamID",
    )

    def __init__(self, streamID: int, window: int) -> None:
        self.streamID = streamID
        self.state = OPEN
        self.isEnded = False
        self.isDeaf = False
        self.isAborted = False
        self.isReported = False
        self.isStarted = False
        self.isTogether = False
        self.closeCode = ErrorCode.NO_ERROR
        self.closeMessage = ""
        self.hasOpened = False
        self.receipt = b""
        self.queue = SendQueue()
        self.data = Reassembler()
        self.sendCredit = SendCredit(INITIAL_STREAM_CREDIT)
        self.grant = Grant(window)
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
