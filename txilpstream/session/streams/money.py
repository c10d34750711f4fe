"""
The money of one stream, going out and coming in.

Going out: offered = unsent + held + sent + unanswered, always. Money is never sent twice: what a
reject gives back is offered again, what is never answered is charged for good. Coming in: credited
never exceeds the limit by more than the tolerance, and only a fulfill credits.
"""

from __future__ import annotations

from txilpstream.amounts import U64_MAX, Ratio

__all__ = ["MoneyReceiver", "MoneySender"]


class MoneySender:
    """
    What this end sends on one stream. Source amounts are in its own units.

    @ivar sendMax: offered in all.
    @ivar offered: what was ever offered, that which was taken back since included.
    @ivar isBounded: whether there is a fixed delivery or a reserve.
    @ivar isStopped: whether what comes back is not offered again.
    @ivar held: in packets that wait for an answer.
    @ivar sent: in packets that were fulfilled.
    @ivar unanswered: in packets that were not answered in time.
    @ivar deliverMax: what is to be delivered in all, in the peer's units, where that is fixed.
    @ivar reserved: what may leave in all, in source units, as its owner has written down.
    @ivar deliveredMinimum: what arrived at least, in the peer's units.
    @ivar deliveredClaimed: what the peer says arrived, in its units.
    @ivar heldDelivery: what the held packets are expected to come to, in the peer's units.
    @ivar peerMax: what the peer takes in all, in its units; unlimited until it says so.
    @ivar peerReceived: what the peer says it has got; only ever used to send less.
    @ivar isTold: whether the peer has said what it takes.
    @ivar recalled: what has left and is not to be offered again if it comes back; of all that is
        under way it is the last to be settled.
    """

    __slots__ = (
        "deliverMax",
        "deliveredClaimed",
        "deliveredMinimum",
        "held",
        "heldDelivery",
        "isBounded",
        "isStopped",
        "isTold",
        "offered",
        "peerMax",
        "peerReceived",
        "recalled",
        "reserved",
        "sendMax",
        "sent",
        "unanswered",
    )

    def __init__(self) -> None:
        self.sendMax = 0
        self.offered = 0
        self.deliverMax = U64_MAX
        self.reserved = U64_MAX
        self.isBounded = False
        self.isStopped = False
        self.held = 0
        self.sent = 0
        self.unanswered = 0
        self.recalled = 0
        self.deliveredMinimum = 0
        self.deliveredClaimed = 0
        self.heldDelivery = 0
        self.peerMax = U64_MAX
        self.peerReceived = 0
        self.isTold = False

    @property
    def left(self) -> int:
        """What has left and not come back, in source units."""
        return self.held + self.sent + self.unanswered

    @property
    def unsent(self) -> int:
        """What is offered and has not left, in source units."""
        return self.sendMax - self.held - self.sent - self.unanswered

    @property
    def probeable(self) -> int:
        """An amount near what will be sent, in source units, for asking for the rate."""
        return min(self.unsent, self.deliverMax)

    @property
    def peerRoom(self) -> int:
        """What the peer still takes, in its units; never negative."""
        if self.peerMax == U64_MAX:
            return U64_MAX
        got = max(self.deliveredClaimed, self.peerReceived)
        return max(0, self.peerMax - got - self.heldDelivery)

    def hear(self, receiveMax: int, totalReceived: int) -> bool:
        """
        Take the peer's word on what it accepts: the first counts, later ones only grow.

        @return: whether there may be more room than before.
        """
        self.peerReceived = max(self.peerReceived, totalReceived)
        if self.isTold and receiveMax <= self.peerMax:
            return False
        self.isTold = True
        self.peerMax = receiveMax
        return True

    def hold(self, sourceAmount: int, expected: int) -> None:
        """Money leaves in a packet that is expected to deliver so much."""
        self.held += sourceAmount
        self.heldDelivery += expected

    def release(self, sourceAmount: int, expected: int) -> None:
        """A packet was refused: its money is offered again, unless it was recalled."""
        self.held -= sourceAmount
        self.heldDelivery -= expected
        if self.recalled:
            taken = min(self.recalled, sourceAmount)
            self.recalled -= taken
            self.sendMax -= taken

    def settle(self, sourceAmount: int, expected: int, minimum: int, claimed: int) -> None:
        """A packet was fulfilled."""
        self.held -= sourceAmount
        self.heldDelivery -= expected
        self.sent += sourceAmount
        self.deliveredMinimum += minimum
        self.deliveredClaimed += claimed
        if self.recalled:
            self._trimRecall()

    def doubt(self, sourceAmount: int, expected: int) -> None:
        """A packet was not answered in time; what it may have delivered still counts as held."""
        self.held -= sourceAmount
        self.unanswered += sourceAmount
        if self.recalled:
            self._trimRecall()

    def _trimRecall(self) -> None:
        """What is under way is settled for those first who still wait; the rest was recalled."""
        self.recalled = min(self.recalled, self.unsent + self.held)
        excess = max(0, self.recalled - self.held)
        self.sendMax -= excess
        self.recalled -= excess

    def settleDoubt(self, sourceAmount: int, expected: int, minimum: int, claimed: int) -> None:
        """A packet in doubt was fulfilled after all."""
        self.doubt(-sourceAmount, -expected)
        self.settle(sourceAmount, expected, minimum, claimed)

    def releaseDoubt(self, sourceAmount: int, expected: int) -> None:
        """A packet in doubt was refused after all."""
        self.unanswered -= sourceAmount
        self.heldDelivery -= expected

    def withdraw(self) -> int:
        """Offer no more than what has left; gives what was taken back, in source units."""
        taken = self.unsent
        self.sendMax -= taken
        return taken

    def recall(self, sourceAmount: int) -> int:
        """
        Offer so much less: what has not left, and the rest if it comes back.

        @return: what had not left.
        """
        taken = min(sourceAmount, self.unsent)
        self.sendMax -= taken
        self.recalled = min(self.recalled + sourceAmount - taken, self.held)
        return taken


class MoneyReceiver:
    """
    What this end takes on one stream, in its own units.

    @ivar receiveMax: what it accepts in all; it only grows once it was told to the peer.
    @ivar totalReceived: what was credited.
    @ivar isTold: whether the limit was ever told.
    """

    __slots__ = ("isTold", "receiveMax", "totalReceived")

    def __init__(self) -> None:
        self.receiveMax = 0
        self.totalReceived = 0
        self.isTold = False

    def takes(self, amount: int, tolerance: Ratio) -> bool:
        """
        Whether so much more is accepted.

        @param tolerance: which part of what remains may come on top, rounded up.
        """
        remaining = max(0, self.receiveMax - self.totalReceived)
        if amount <= remaining:
            return True
        most = min(remaining + tolerance.ceil(remaining), U64_MAX - self.totalReceived)
        return amount <= most

    def credit(self, amount: int) -> None:
        """A packet was fulfilled."""
        self.totalReceived += amount
