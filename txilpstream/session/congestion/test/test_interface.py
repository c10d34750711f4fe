"""Tests of C{txilpstream.session.congestion.interface}: a control of one's own."""

from __future__ import annotations

from math import inf

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import Ratio
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.congestion.interface import ICongestionControl
from txilpstream.test.support.sessions import Pair, rejecting, settled
from txilpstream.wire.ilp import Prepare


class OneAtATime:
    """One packet of money each second, of at most ten units; writes down what it is told."""

    def __init__(self, start: float = 0.0) -> None:
        self.told: list[str] = []
        self._next = start

    roundTrip = 0.05
    packetRate = 1.0

    def isAllowed(self, now: float, /) -> bool:
        return True

    def readyAt(self) -> float:
        return inf

    def mostPerPacket(self, smallest: int, /) -> int:
        return 10

    def mostNow(self, smallest: int, inFlight: int, now: float, /) -> int:
        return 10 if now >= self._next else 0

    def moneyReadyAt(self, smallest: int, inFlight: int, /) -> float:
        return self._next

    def larger(self, now: float, /) -> int | None:
        return None

    def sent(self, amount: int, now: float, /) -> None:
        if amount:
            self._next = now + 1.0

    def took(self, amount: int, sentAt: float, now: float, /) -> None:
        self.told.append(f"took {amount}")

    def answered(self, sentAt: float, now: float, /) -> bool:
        return True

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
        self.told.append(code)
        return True

    def lost(self, amount: int, sentAt: float, now: float, /) -> None:
        self.told.append("lost")

    def pathChanged(self, now: float, /) -> None:
        self.told.append("changed")


class OwnControlTests(SynchronousTestCase):
    """A session with a control of the caller's."""

    def test_used(self) -> None:
        control = OneAtATime()
        isFirst = True

        def make(configuration: SessionConfiguration) -> ICongestionControl:
            return control

        def way(prepare: Prepare) -> bytes | None:
            nonlocal isFirst
            wasFirst = isFirst and bool(prepare.amount)
            isFirst = isFirst and not wasFirst
            return rejecting("T05") if wasFirst else None

        pair = Pair({"minimumRate": Ratio(1), "congestionControl": make})
        pair.client.out = way
        pair.pay(25, 2.5)
        amounts = [prepare.amount for prepare in pair.client.prepares if prepare.amount]
        self.assertEqual(amounts, [10, 10, 10])
        pair.run(5.0)
        self.assertEqual(settled(pair.client), 25)
        pair.client.session.receiveReconnect(now=pair.now)
        self.assertEqual(control.told, ["T05", "took 10", "took 10", "took 5", "changed"])

    def test_probe(self) -> None:
        """Packets that ask for the rate are asked about too."""
        control = OneAtATime(1001.0)
        pair = Pair({"congestionControl": lambda configuration: control})
        pair.pay(25, 0.9)
        self.assertEqual(sum(prepare.amount for prepare in pair.client.prepares), 0)
        pair.run(0.2)
        self.assertEqual(sum(prepare.amount for prepare in pair.client.prepares), 10)
        pair.run(10.0)
        self.assertEqual(settled(pair.client), 25)
