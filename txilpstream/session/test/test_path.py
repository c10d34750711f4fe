"""Tests of C{txilpstream.session.path}."""

from __future__ import annotations

from math import inf

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.congestion.combined import JointControl
from txilpstream.session.congestion.interface import ICongestionControl
from txilpstream.session.path import MAX_DOUBTFUL, NEVER, InFlight, Path, SentPacket
from txilpstream.test.support.strategies import forAll
from txilpstream.wire.ilp import encodeAmountTooLarge


class PathTests(SynchronousTestCase):
    """One direction of a connection."""

    def setUp(self) -> None:
        self.path = Path(SessionConfiguration(maximumPacketAmount=1000))

    def send(self, sequence: int, now: float, fragments: tuple[tuple[int, int, int], ...]) -> None:
        """A packet leaves."""
        packet = SentPacket(sequence, now, now + 30, bytes(32), fragments=fragments)
        self.path.sent(packet, now)

    def test_limits(self) -> None:
        """What one packet may carry is the least of two limits; times are known when measured."""
        path = self.path
        self.assertEqual((path.mostPerPacket, path.roundTrip, path.resendAfter), (1000, 0.0, 1.0))
        data = encodeAmountTooLarge(100, 1)
        path.control.rejected(1000, "F08", data, smallest=1, inFlight=0, sentAt=0.0, now=0.5)
        path.control.answered(0.0, 0.5)
        self.assertEqual((path.mostPerPacket, path.roundTrip, path.resendAfter), (10, 0.5, 2.0))

    def test_otherControl(self) -> None:
        """A control of one's own is made from the configuration."""
        made: list[SessionConfiguration] = []

        def make(configuration: SessionConfiguration) -> ICongestionControl:
            made.append(configuration)
            return JointControl(7, 1.0)

        configuration = SessionConfiguration(congestionControl=make)
        self.assertEqual(Path(configuration).mostPerPacket, 7)
        self.assertEqual(made, [configuration])

    def test_overdue(self) -> None:
        """What has something to be said again is overdue once, unless it was answered."""
        path = self.path
        self.assertEqual(path.resendAt(), NEVER)
        self.send(1, 0.0, ())
        self.assertEqual(path.resendAt(), NEVER)
        for sequence in (2, 3, 4):
            self.send(sequence, 0.1 * sequence, ((1, 0, 5),))
        path.inFlight.pop(2)
        self.assertEqual(path.resendAt(), 0.1 * 3 + 1)
        self.assertEqual(path.takeOverdue(1.0), [])
        (overdue,) = path.takeOverdue(path.resendAt())
        self.assertEqual((overdue.sequence, overdue.isResent), (3, True))
        self.assertIn(3, path.inFlight.packets)
        self.assertEqual([packet.sequence for packet in path.takeOverdue(9.0)], [4])
        self.assertEqual(path.resendAt(), NEVER)


def packet(sequence: int, expiresAt: float = 30.0, amount: int = 0) -> SentPacket:
    """A packet that was sent at 0."""
    return SentPacket(sequence, 0.0, expiresAt, bytes(32), amount)


class SentPacketTests(SynchronousTestCase):
    """The record of a packet."""

    def test_defaults(self) -> None:
        """A packet carries nothing unless it is said, and demands nothing."""
        sent = SentPacket(7, 1.0, 31.0, b"")
        self.assertEqual((sent.sequence, sent.sentAt, sent.expiresAt), (7, 1.0, 31.0))
        self.assertEqual((sent.amount, sent.minimum, sent.expected, sent.stream), (0, 0, 0, None))
        self.assertEqual((sent.fulfillment, sent.fragments, sent.controlFrames), (b"", (), ()))
        self.assertEqual((sent.isProbe, sent.isResent), (False, False))


class InFlightTests(SynchronousTestCase):
    """All packets without an answer."""

    def test_answered(self) -> None:
        """An answer finds its packet once; one that nothing waits for finds none."""
        inFlight = InFlight()
        one = packet(1)
        inFlight.add(one)
        self.assertIs(inFlight.pop(2), None)
        self.assertIs(inFlight.pop(1), one)
        self.assertIs(inFlight.pop(1), None)
        self.assertEqual(inFlight.packets, {})

    def test_withMoney(self) -> None:
        """Packets with money are counted, the others are not."""
        inFlight = InFlight()
        for sequence, amount in ((1, 0), (2, 10), (3, 20)):
            inFlight.add(packet(sequence, amount=amount))
        self.assertEqual((len(inFlight.packets), inFlight.withMoney), (3, 2))
        inFlight.pop(1)
        self.assertEqual(inFlight.withMoney, 2)
        inFlight.pop(2)
        inFlight.pop(2)
        self.assertEqual(inFlight.withMoney, 1)

    def test_oldest(self) -> None:
        """The packet that was sent first is the oldest until it is answered."""
        inFlight = InFlight()
        self.assertIs(inFlight.oldest, None)
        one, other = packet(1), packet(2)
        inFlight.add(one)
        inFlight.add(other)
        self.assertIs(inFlight.oldest, one)
        inFlight.pop(1)
        self.assertIs(inFlight.oldest, other)

    def test_expired(self) -> None:
        """Those whose time is over are taken out, the oldest first; the others stay."""
        inFlight = InFlight()
        self.assertEqual(list(inFlight.takeExpired(1e9)), [])
        for sequence in range(1, 5):
            inFlight.add(packet(sequence, 30.0 + sequence, amount=sequence % 2))
        self.assertEqual(list(inFlight.takeExpired(30.9)), [])
        self.assertEqual([one.sequence for one in inFlight.takeExpired(33.0)], [1, 2, 3])
        self.assertEqual((list(inFlight.packets), inFlight.withMoney), ([4], 0))
        self.assertEqual([one.sequence for one in inFlight.takeExpired(100.0)], [4])
        self.assertEqual(list(inFlight.takeExpired(100.0)), [])

    def test_changedMeanwhile(self) -> None:
        """While expired packets are gone through others may be answered or sent."""
        inFlight = InFlight()
        for sequence in (1, 2, 3):
            inFlight.add(packet(sequence))
        seen = []
        for one in inFlight.takeExpired(30.0):
            seen.append(one.sequence)
            inFlight.pop(2)
            if one.sequence == 1:
                inFlight.add(packet(4, 60.0))
        self.assertEqual((seen, list(inFlight.packets)), ([1, 3], [4]))

    def test_doubt(self) -> None:
        """A doubtful packet is remembered, and is not in flight."""
        inFlight = InFlight()
        inFlight.add(packet(1, amount=5))
        for one in inFlight.takeExpired(30.0):
            inFlight.doubt(one)
        self.assertEqual(list(inFlight.doubtful), [1])
        self.assertEqual((inFlight.packets, inFlight.withMoney), ({}, 0))
        self.assertIs(inFlight.pop(1), None)

    def test_tooManyDoubtful(self) -> None:
        """Of too many doubtful packets the oldest are forgotten."""
        inFlight = InFlight()
        for sequence in range(MAX_DOUBTFUL):
            inFlight.doubt(packet(sequence))
        self.assertEqual(len(inFlight.doubtful), MAX_DOUBTFUL)
        inFlight.doubt(packet(MAX_DOUBTFUL))
        self.assertEqual(len(inFlight.doubtful), MAX_DOUBTFUL)
        self.assertEqual(next(iter(inFlight.doubtful)), 1)
        self.assertIn(MAX_DOUBTFUL, inFlight.doubtful)

    @forAll(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(0, 2))))
    def test_conserved(self, steps: list[tuple[int, int, int]]) -> None:
        """Each packet is given back exactly once, as answered or as expired."""
        inFlight = InFlight()
        now = 0.0
        gone: list[int] = []
        for sent, (wait, chosen, amount) in enumerate(steps):
            now += wait
            inFlight.add(packet(sent, now + 5, amount))
            answered = inFlight.pop(chosen)
            if answered is not None:
                gone.append(answered.sequence)
            gone += [one.sequence for one in inFlight.takeExpired(now)]
            self.assertEqual(sorted([*gone, *inFlight.packets]), list(range(sent + 1)))
            money = [one for one in inFlight.packets.values() if one.amount]
            self.assertEqual(inFlight.withMoney, len(money))
            oldest = inFlight.oldest
            self.assertTrue(oldest is None or oldest.expiresAt > now)


class MoneyTests(SynchronousTestCase):
    """What packets carry together."""

    def test_money(self) -> None:
        inFlight = InFlight()
        self.assertEqual(inFlight.moneyOverdue(9.0, 1.0), (0, inf))
        for sequence, amount in ((1, 10), (2, 0), (3, 30), (4, 40)):
            now = float(sequence)
            inFlight.add(SentPacket(sequence, now, now + 30.0, bytes(32), amount=amount))
        self.assertEqual((inFlight.money, inFlight.withMoney), (80, 3))
        self.assertEqual(inFlight.moneyOverdue(1.9, 1.0), (0, 2.0))
        self.assertEqual(inFlight.moneyOverdue(4.0, 1.0), (40, 5.0))
        inFlight.pop(1)
        inFlight.pop(2)
        self.assertEqual((inFlight.money, inFlight.withMoney), (70, 2))
        self.assertEqual(inFlight.moneyOverdue(9.0, 1.0), (70, inf))
