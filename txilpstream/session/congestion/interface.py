"""
The one interface behind which the controls of a path stand.

Who sends asks: may a packet leave, when, and how large. Who settles tells: it left, it came
through, it was rejected, nobody answered. A control of one's own is given as
C{SessionConfiguration.congestionControl}. It decides how fast, how much at once and how large, and
nothing else: what ends a payment, and how long to wait when nothing at all comes through, is not
its business. There is no clock in it and no timer. A question changes nothing, however often it is
asked; whatever depends on time is computed for the moment that is given.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["ICongestionControl"]


class ICongestionControl(Protocol):
    """
    What one end of a connection may send.

    All amounts are in source units, all moments in seconds of one clock that never goes back. A
    packet without money has the amount 0.
    """

    @property
    def roundTrip(self) -> float | None:
        """Smoothed, in seconds; None until measured."""
        ...

    @property
    def packetRate(self) -> float:
        """Packets per second that may leave; for information only."""
        ...

    # --- Asked before a packet leaves -----------------------------------------------------

    def isAllowed(self, now: float, /) -> bool:
        """Whether one more packet may leave, with money or without."""
        ...

    def readyAt(self) -> float:
        """When one more may leave, after L{isAllowed} said no."""
        ...

    def mostPerPacket(self, smallest: int, /) -> int:
        """
        What a packet may carry for now, when nothing else is under way.

        @param smallest: the smallest amount that is of any use; never give less.
        """
        ...

    def mostNow(self, smallest: int, inFlight: int, now: float, /) -> int:
        """
        What a packet may carry at this moment; 0 if no money may leave.

        @param smallest: as of L{mostPerPacket}.
        @param inFlight: the money that is under way.
        """
        ...

    def moneyReadyAt(self, smallest: int, inFlight: int, /) -> float:
        """
        When L{mostNow}, which gave 0 for the same amounts, gives more; infinity if only an answer
        changes that.
        """
        ...

    def larger(self, now: float, /) -> int | None:
        """An amount beyond what L{mostNow} gave that is worth one try now, None for none."""
        ...

    # --- Told what happened ---------------------------------------------------------------

    def sent(self, amount: int, now: float, /) -> None:
        """A packet leaves."""
        ...

    def took(self, amount: int, sentAt: float, now: float, /) -> None:
        """
        The whole path took a packet's money, be it that the peer refused it.

        It may be told long after the packet was L{lost}.
        """
        ...

    def answered(self, sentAt: float, now: float, /) -> bool:
        """
        The peer itself answered a packet in time.

        @return: whether a round, of a length that the control knows best, is over with it.
        """
        ...

    def rejected(
        self,
        amount: int,
        code: str,
        data: bytes,
        *,
        smallest: int,
        inFlight: int,
        sentAt: float,
        now: float,
    ) -> bool:
        """
        A node on the path rejected a packet in time.

        @param code: of the reject, such as C{T05}.
        @param data: of the reject.
        @return: whether what leaves next differs so that it may well pass; if not, and if nothing
            else comes through, the sender waits.
        """
        ...

    def lost(self, amount: int, sentAt: float, now: float, /) -> None:
        """Nobody answered a packet in time."""
        ...

    def pathChanged(self, now: float, /) -> None:
        """The way to the peer was lost and is there again; it may be another."""
        ...
