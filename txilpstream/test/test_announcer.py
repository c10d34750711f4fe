"""Tests for C{txilpstream.session.announcer}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.session.announcer import Announcer
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.streams.flowcontrol import ByteBudget
from txilpstream.session.streams.streams import Streams
from txilpstream.wire import frames


class AnnouncerTests(SynchronousTestCase):
    """Frames have the values of the moment when they leave."""

    def setUp(self) -> None:
        configuration = SessionConfiguration(
            sourceAddress="test.me",
            sourceAssetCode="EUR",
            sourceAssetScale=6,
            streamWindow=100,
            connectionWindow=200,
        )
        self.streams = Streams(configuration, ByteBudget(1000))
        self.announcer = Announcer(configuration, self.streams)
        self.stream = self.streams.openLocal()

    def test_connection(self) -> None:
        """What is said of the whole connection."""
        build = self.announcer.build
        self.assertEqual(build(0x02, 0), frames.ConnectionNewAddress("test.me"))
        self.assertEqual(build(0x03, 0), frames.ConnectionMaxData(200))
        self.assertEqual(build(0x05, 0), frames.ConnectionMaxStreamID(20))
        self.assertEqual(build(0x07, 0), frames.ConnectionAssetDetails("EUR", 6))

    def test_noAsset(self) -> None:
        """An asset that is not known is not told."""
        self.assertIsNone(Announcer(SessionConfiguration(), self.streams).asset())
        half = SessionConfiguration(sourceAssetCode="EUR")
        self.assertIsNone(Announcer(half, self.streams).asset())

    def test_stream(self) -> None:
        """What is said of a stream."""
        stream, build = self.stream, self.announcer.build
        stream.closeCode, stream.closeMessage = 9, "why"
        self.assertEqual(build(0x10, 1), frames.StreamClose(1, 9, "why"))
        stream.moneyIn.receiveMax = 50
        stream.moneyIn.credit(20)
        self.assertFalse(stream.moneyIn.isTold)
        self.assertEqual(build(0x12, 1), frames.StreamMaxMoney(1, 50, 20))
        self.assertTrue(stream.moneyIn.isTold)
        self.assertEqual(build(0x15, 1), frames.StreamMaxData(1, 100))
        self.assertIsNone(build(0x15, 3))

    def test_blocked(self) -> None:
        """What blocks says how far it would go."""
        stream, build = self.stream, self.announcer.build
        stream.queue.write(b"12345")
        stream.queue.nextNew(2)
        self.streams.sendCredit.used = 2
        stream.moneyOut.sendMax = 9
        stream.moneyOut.hold(4, 4)
        stream.moneyOut.settle(4, 4, 4, 4)
        self.assertEqual(build(0x04, 0), frames.ConnectionDataBlocked(5))
        self.assertEqual(build(0x13, 1), frames.StreamMoneyBlocked(1, 9, 4))
        self.assertEqual(build(0x16, 1), frames.StreamDataBlocked(1, 5))

    def test_streamIDBlocked(self) -> None:
        """It names the highest id that waits; if none does, it is pointless."""
        self.assertIsNone(self.announcer.build(0x06, 0))
        self.streams.peerMaxStreamID = 0
        self.streams.openLocal()
        self.assertEqual(self.announcer.build(0x06, 0), frames.ConnectionStreamIDBlocked(3))

    def test_opening(self) -> None:
        """A stream is opened by an empty frame, unless something else has opened it."""
        stream, build = self.stream, self.announcer.build
        self.streams.peerMaxStreamID = 0
        self.assertIsNone(build(0x14, 1))
        self.streams.peerMaxStreamID = 1
        self.assertFalse(stream.hasOpened)
        self.assertEqual(build(0x14, 1), frames.StreamData(1, 0, b""))
        self.assertTrue(stream.hasOpened)
        stream.moneyOut.hold(1, 1)
        self.assertIsNone(build(0x14, 1))
