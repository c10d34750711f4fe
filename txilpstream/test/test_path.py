"""Tests of C{txilpstream.session.path}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.congestion.combined import JointControl
from txilpstream.session.congestion.interface import ICongestionControl
from txilpstream.session.inflight import SentPacket
from txilpstream.session.path import NEVER, Path
from txilpstream.wire.ilp import encodeAmountTooLarge


class PathTests(SynchronousTestCase):
    """One direction of a connection."""

    def setUp(self) -> None:
        self.path = Path(SessionConfiguration(maximumPacketAmount=1000))
        self.path.control.isAllowed(0.0)

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
