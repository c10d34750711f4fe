"""Tests of C{txilpstream.session.commands}: what an application may ask of a stream."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import U64_MAX, Ratio
from txilpstream.errors import ErrorCode, LocalError, PeerError
from txilpstream.session.events import ConnectionClosed, ReserveNeeded, StreamClosed, StreamEnded
from txilpstream.session.state import LONGEST_MESSAGE
from txilpstream.test.sessions import Pair, settled
from txilpstream.wire.frames import StreamData
from txilpstream.wire.packet import decodePacket


class CommandTests(SynchronousTestCase):
    """Commands on streams."""

    def setUp(self) -> None:
        self.pair = Pair({"minimumRate": Ratio(1)})
        self.session = self.pair.client.session
        self.streamID = self.pair.client.open()

    def test_sendWithMoney(self) -> None:
        """Data goes with the first money of a new stream, if it fits into a packet."""
        session = self.session
        self.assertRaises(LocalError, session.sendWithMoney, self.streamID, bytes(1 << 15))
        session.sendWithMoney(self.streamID, b"what it is for")
        session.sendMoney(self.streamID, 5)
        self.pair.run(5)
        (paid,) = (prepare for prepare in self.pair.client.prepares if prepare.amount)
        plain = self.pair.keys.open(paid.data)
        assert plain is not None
        frames = decodePacket(plain).frames
        self.assertIn(StreamData(self.streamID, 0, b"what it is for"), frames)
        self.assertEqual(self.pair.server.data[self.streamID], b"what it is for")
        self.assertRaises(LocalError, session.sendWithMoney, self.streamID, b"more")
        self.assertRaises(LocalError, session.setDeliverMax, self.streamID, 0)

    def test_setReserve(self) -> None:
        """No more than what is reserved leaves; a stream that is over is no matter."""
        session = self.session
        session.setReserve(self.streamID, 3)
        session.sendMoney(self.streamID, 5)
        self.pair.run(5)
        self.assertEqual(settled(self.pair.client), 3)
        self.assertTrue(self.pair.client.seen(ReserveNeeded))
        session.setReserve(self.streamID, 5)
        self.pair.run(5)
        self.assertEqual(settled(self.pair.client), 5)
        session.setReserve(99, 5)
        session.stopMoney(99)
        session.reserveSequences(session.nextSequence)
        session.sendMoney(self.streamID, 1)
        self.pair.run(5)
        self.assertEqual(settled(self.pair.client), 5)
        self.assertRaises(LocalError, session.measureRate, 0)

    def test_ignoreStream(self) -> None:
        """Money for a stream that nobody listens to is refused; an unknown one is no matter."""
        self.pair.pay(5)
        server = self.pair.server.session
        server.ignoreStream(9)
        server.ignoreStream(3)
        self.session.sendMoney(3, 5)
        self.pair.run(5)
        self.assertEqual(self.pair.server.credited, 5)

    def test_ping(self) -> None:
        """A packet leaves though nothing is to be said; not to who cannot be reached."""
        self.pair.run(5)
        before = len(self.pair.client.prepares)
        self.session.ping()
        self.pair.run(5)
        self.assertEqual(len(self.pair.client.prepares), before + 1)
        pair = Pair({"sourceAddress": ""})
        pair.pay(5)
        pair.server.session.ping()
        pair.run(5)
        self.assertEqual(pair.server.prepares, [])

    def test_ids(self) -> None:
        """The client's streams bear odd numbers, the server's even ones (RFC 29 4.4.1)."""
        self.assertEqual((self.streamID, self.session.openStream()), (1, 3))
        self.assertEqual(self.pair.server.session.openStream(), 2)
        self.assertRaises(LocalError, self.session.stream, 5)

    def test_amounts(self) -> None:
        """What is no amount is refused at the caller, and nothing changes."""
        for bad in (-1, 1.5, U64_MAX + 1, True, "1"):
            wrong: Any = bad
            for command in (
                self.session.sendMoney,
                self.session.setSendMax,
                self.session.setReceiveMax,
                self.session.startStream,
                self.session.withdrawMoney,
            ):
                self.assertRaises(LocalError, command, self.streamID, wrong)
        self.assertRaises(LocalError, self.session.sendMoney, self.streamID, 0)
        self.session.sendMoney(self.streamID, U64_MAX)
        self.assertRaises(LocalError, self.session.sendMoney, self.streamID, 1)
        self.assertEqual(self.session.stream(self.streamID).moneyOut.sendMax, U64_MAX)

    def test_sendMax(self) -> None:
        """The total offered may fall to what has left, and no further."""
        self.session.setSendMax(self.streamID, 100)
        self.pair.run(1)
        self.assertEqual(settled(self.pair.client), 100)
        error = self.assertRaises(LocalError, self.session.setSendMax, self.streamID, 99)
        self.assertIn("99", str(error))
        self.assertIn("100", str(error))
        self.session.setSendMax(self.streamID, 250)
        self.pair.run(1)
        self.assertEqual(settled(self.pair.client), 250)

    def test_withdraw(self) -> None:
        """What has not left can be taken back."""
        self.session.sendMoney(self.streamID, 100)
        self.assertEqual(self.session.withdrawMoney(self.streamID, 30), 30)
        self.assertEqual(self.session.withdrawMoney(99, 30), 0)
        self.pair.run(1)
        self.assertEqual(settled(self.pair.client), 70)
        self.assertEqual(self.session.withdrawMoney(self.streamID, 30), 0)

    def test_withdrawWhileClosing(self) -> None:
        """A stream that waits for its money closes without it."""
        self.session.sendMoney(self.streamID, 100)
        self.session.close()
        self.session.withdrawMoney(self.streamID, 100)
        self.pair.run(1)
        self.assertEqual(self.pair.client.seen(ConnectionClosed), [ConnectionClosed(None)])

    def test_receiveMax(self) -> None:
        """A limit may fall until the peer was told, and then only rise."""
        self.session.setReceiveMax(self.streamID, 500)
        self.session.setReceiveMax(self.streamID, 100)
        self.pair.run(1)
        self.assertRaises(LocalError, self.session.setReceiveMax, self.streamID, 99)
        self.session.setReceiveMax(self.streamID, 200)
        self.pair.server.session.sendMoney(self.streamID, 300)
        self.pair.run(3)
        self.assertTrue(200 <= self.pair.client.credited <= 202)
        self.assertRaises(LocalError, self.session.setReceiveMax, 99, 1)

    def test_start(self) -> None:
        """Starting a stream sets its limit unless it was set already."""
        self.session.setReceiveMax(self.streamID, 5)
        self.session.startStream(self.streamID, 10)
        self.assertEqual(self.session.stream(self.streamID).moneyIn.receiveMax, 5)
        other = self.session.openStream()
        self.session.startStream(other, 10)
        self.session.startStream(99, 10)
        self.assertEqual(self.session.stream(other).moneyIn.receiveMax, 10)

    def test_moreStreamsThanThePeerTakes(self) -> None:
        """A stream above the peer's limit waits, its own limits too."""
        streamIDs = [self.pair.client.open(100) for _ in range(14)]
        self.session.sendData(streamIDs[-1], b"data")
        self.pair.run(2)
        self.assertEqual(self.pair.client.seen(ConnectionClosed), [])
        self.assertNotIn(streamIDs[-1], self.pair.server.streams)
        for end in (self.pair.client, self.pair.server):
            for streamID in [self.streamID, *streamIDs[:9]]:
                end.session.closeStream(streamID)
        self.pair.run(3)
        self.assertEqual(self.pair.server.data[streamIDs[-1]], b"data")

    def test_consume(self) -> None:
        """Bytes are taken in order, as many as are wanted; then the peer may send more."""
        server = self.pair.server
        server.isReading = False
        self.assertEqual(server.session.consumeData(self.streamID), b"")
        self.session.sendData(self.streamID, bytes(range(100)))
        self.pair.run(1)
        self.assertEqual(server.session.consumeData(self.streamID, 3), b"\x00\x01\x02")
        self.assertEqual(server.session.consumeData(self.streamID), bytes(range(3, 100)))
        self.assertEqual(server.session.consumeData(self.streamID), b"")

    def test_consumeMuch(self) -> None:
        """The peer is told when half of a window was consumed, if it can be."""
        for address in ("test.client", ""):
            pair = Pair({"sourceAddress": address}, {"streamWindow": 40_000})
            streamID = pair.client.open()
            data = pair.random.randbytes(200_000)
            pair.client.session.sendData(streamID, data)
            pair.client.session.closeStream(streamID)
            pair.run(40)
            self.assertEqual(pair.server.data[streamID], data)
            self.assertEqual(pair.server.seen(StreamEnded), [StreamEnded(streamID)])
            self.assertEqual(bool(pair.server.prepares), bool(address))

    def test_consumeLate(self) -> None:
        """Reading late lets the peer go on, and a stream that has ended is over when it is read."""
        pair = Pair(None, {"streamWindow": 40_000, "connectionWindow": 80_000})
        pair.server.isReading = False
        streamIDs = [pair.client.open() for _ in range(3)]
        for streamID in streamIDs:
            pair.client.session.sendData(streamID, bytes(100_000))
            pair.client.session.closeStream(streamID)
        for _ in range(20):
            pair.run(1)
            for streamID in streamIDs:
                pair.server.read(streamID)
        self.assertEqual([len(pair.server.data[each]) for each in streamIDs], [100_000] * 3)
        pair.run(1)
        other = pair.client.open()
        pair.client.session.sendData(other, b"last words")
        pair.client.session.closeStream(other)
        pair.run(1)
        pair.server.session.closeStream(other)
        pair.run(1)
        pair.server.read(other)
        pair.run(1)
        self.assertEqual(pair.server.data[other], b"last words")
        self.assertEqual(pair.server.seen(StreamClosed), [StreamClosed(other, None)])
        pair.client.session.close()
        self.assertRaises(LocalError, pair.client.session.openStream)

    def test_close(self) -> None:
        """A closed half takes nothing more; closing twice does no harm."""
        self.session.sendMoney(self.streamID, 10)
        self.session.closeStream(self.streamID)
        self.session.closeStream(self.streamID)
        self.session.closeStream(99)
        self.assertRaises(LocalError, self.session.sendMoney, self.streamID, 1)
        self.assertRaises(LocalError, self.session.setSendMax, self.streamID, 1)
        self.assertRaises(LocalError, self.session.sendData, self.streamID, b"x")
        self.pair.run(1)
        self.assertEqual(settled(self.pair.client), 10)
        self.pair.server.session.sendMoney(self.streamID, 3)
        self.session.setReceiveMax(self.streamID, 3)
        self.pair.run(1)
        self.assertEqual(self.pair.client.credited, 3)

    def test_abort(self) -> None:
        """An abort ends both halves; the peer is told why, in few words."""
        self.session.sendMoney(self.streamID, 10)
        self.pair.run(1)
        error = LocalError("no")
        code = ErrorCode.APPLICATION_ERROR
        self.session.sendMoney(self.streamID, 10)
        self.session.abortStream(self.streamID, error, code, "no" * 1000)
        self.session.abortStream(self.streamID, None, code)
        self.session.abortStream(99, None, code)
        self.pair.run(1)
        self.assertEqual(self.pair.client.seen(StreamClosed), [StreamClosed(1, error)])
        (closed,) = self.pair.server.seen(StreamClosed)
        assert isinstance(closed.error, PeerError)
        self.assertEqual(closed.error.code, code)
        self.assertEqual(len(closed.error.message), LONGEST_MESSAGE)
        self.assertEqual(settled(self.pair.client), 10)
