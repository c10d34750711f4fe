"""Tests for C{txilpstream.session.incoming}."""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.errors import ErrorCode, PeerError
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.incoming import Incoming, isOldData, lateFrames, splitAmount, takesData
from txilpstream.session.state import SessionState
from txilpstream.session.stream import SessionStream
from txilpstream.session.streams.buffers import MAX_SEGMENTS
from txilpstream.session.streams.flowcontrol import ByteBudget
from txilpstream.test.support import forAll
from txilpstream.wire.frames import StreamClose, StreamData, StreamMoney
from txilpstream.wire.ilp import Prepare


def incomingOf(*frames: StreamMoney | StreamData, amount: int = 0) -> Incoming:
    """A packet that arrived with these frames."""
    return Incoming(
        Prepare(amount, b"", b"", "", b""),
        None,
        [frame for frame in frames if isinstance(frame, StreamMoney)],
        [frame for frame in frames if isinstance(frame, StreamData)],
    )


class IncomingCase(SynchronousTestCase):
    """A server's state with streams 1, 3 and 5."""

    def setUp(self) -> None:
        configuration = SessionConfiguration(
            isServer=True, streamWindow=20000, connectionWindow=70000
        )
        self.state = SessionState(configuration, ByteBudget(60000))
        self.streams: dict[int, SessionStream] = {}
        for streamID in (5, 1, 3):
            stream = self.state.streams.accept(streamID)
            assert stream is not None
            stream.moneyIn.receiveMax = 100
            self.streams[streamID] = stream


class SplitAmountTests(IncomingCase):
    """Who gets how much."""

    def split(self, amount: int, *shares: tuple[int, int]) -> dict[int, int] | None:
        frames = [StreamMoney(*share) for share in shares]
        parts = splitAmount(self.state, incomingOf(*frames, amount=amount))
        return None if parts is None else {stream.streamID: part for stream, part in parts}

    def test_one(self) -> None:
        """A single stream gets all, up to 1 % of what remains above its limit."""
        self.assertEqual(self.split(101, (1, 1)), {1: 101})
        self.assertIsNone(self.split(102, (1, 1)))
        self.assertIsNone(self.split(5, (7, 1)))
        self.streams[1].isEnded = self.streams[1].isDeaf = True
        self.assertIsNone(self.split(5, (1, 1)))

    def test_nobody(self) -> None:
        """Money that no frame gives to anyone is refused; no money needs nobody."""
        self.assertIsNone(self.split(5))
        self.assertIsNone(self.split(5, (1, 0)))
        self.assertIsNone(self.split(5, (1, 0), (3, 0)))
        self.assertEqual(self.split(0, (1, 0), (3, 0)), {})

    def test_remainder(self) -> None:
        """What rounding leaves goes to the lowest stream below its limit, named or not."""
        self.assertEqual(self.split(11, (5, 1), (3, 1)), {5: 5, 3: 5, 1: 1})
        self.assertEqual(self.split(11, (1, 2), (3, 2)), {1: 6, 3: 5})
        self.streams[1].isEnded = self.streams[1].isDeaf = True
        self.assertEqual(self.split(11, (5, 1), (3, 1)), {5: 5, 3: 6})
        self.streams[3].moneyIn.receiveMax = 5
        self.assertEqual(self.split(11, (5, 1), (3, 1)), {5: 6, 3: 5})
        self.streams[5].moneyIn.receiveMax = 5
        self.assertIsNone(self.split(11, (5, 1), (3, 1)))

    def test_parts(self) -> None:
        """One part that is not taken refuses all; a part of nothing needs no stream."""
        self.assertEqual(self.split(10, (1, 1), (7, 0)), {1: 10})
        self.assertIsNone(self.split(10, (1, 1), (7, 1)))
        self.streams[3].moneyIn.receiveMax = 2
        self.assertIsNone(self.split(10, (1, 1), (3, 1)))
        self.streams[3].isEnded = self.streams[3].isDeaf = True
        self.assertIsNone(self.split(10, (1, 1), (3, 1)))
        self.assertEqual(self.split(10, (1, 1), (1, 4)), {1: 10})

    @forAll(
        st.integers(0, 400),
        st.lists(st.tuples(st.sampled_from([1, 3, 5]), st.integers(0, 7)), min_size=1, max_size=5),
    )
    def test_allOrNothing(self, amount: int, shares: list[tuple[int, int]]) -> None:
        """The parts are the whole amount, and none exceeds its limit and the tolerance."""
        self.setUp()
        parts = self.split(amount, *shares)
        if parts is None:
            total = sum(share for _, share in shares)
            self.assertTrue(total == 0 or amount > 100)
        else:
            self.assertEqual(sum(parts.values()), amount)
            self.assertTrue(all(part <= 101 for part in parts.values()))


class TakesDataTests(IncomingCase):
    """Whether there is room for data."""

    def takes(self, *frames: StreamData) -> bool:
        return takesData(self.state, incomingOf(*frames))

    def assertExceeds(self, *frames: StreamData) -> None:
        error = self.assertRaises(PeerError, self.takes, *frames)
        self.assertEqual(error.code, ErrorCode.FLOW_CONTROL_ERROR)

    def test_stream(self) -> None:
        """A stream takes its window and not an octet more."""
        self.assertTrue(self.takes(StreamData(1, 19999, b"x")))
        self.assertExceeds(StreamData(1, 20000, b"x"))
        self.streams[1].isEnded = self.streams[1].isDeaf = True
        self.assertTrue(self.takes(StreamData(1, 20000, b"x"), StreamData(9, 1 << 50, b"x")))

    def test_connection(self) -> None:
        """All streams together take the connection's window; what overlaps counts once."""
        self.state.streams.grant.received = 69990
        frames = [StreamData(1, 0, b"12345"), StreamData(1, 2, b"345"), StreamData(3, 0, b"12345")]
        self.assertTrue(self.takes(*frames))
        self.assertExceeds(*frames, StreamData(5, 0, b"1"))

    def test_untold(self) -> None:
        """However small the windows are, what a peer assumes at first is no violation."""
        configuration = SessionConfiguration(isServer=True, streamWindow=1, connectionWindow=1)
        self.state = SessionState(configuration, ByteBudget(1 << 20))
        self.state.streams.accept(1)
        self.assertTrue(self.takes(StreamData(1, 0, bytes(1 << 14))))
        self.assertExceeds(StreamData(1, 0, bytes((1 << 14) + 1)))
        self.state.streams.grant.received = 1 << 16
        self.assertExceeds(StreamData(1, 0, b"x"))

    def test_budget(self) -> None:
        """A budget that others have used up refuses, and it is nobody's fault."""
        self.state.streams.budget.used = 59990
        self.assertTrue(self.takes(StreamData(1, 0, bytes(10))))
        self.assertFalse(self.takes(StreamData(1, 0, bytes(5)), StreamData(3, 0, bytes(6))))

    def test_crowded(self) -> None:
        """With too many pieces before gaps, only what comes next is kept."""
        data = self.streams[1].data
        for index in range(MAX_SEGMENTS):
            data.receive(2 * index + 1, b"x")
        self.assertFalse(self.takes(StreamData(1, 10000, b"x")))
        self.assertTrue(self.takes(StreamData(1, 0, b"x")))


class LateTests(IncomingCase):
    """What comes for streams that are closed."""

    def test_isOldData(self) -> None:
        """Old is what was taken to the last octet, or was for a stream that is forgotten."""
        self.streams[1].data.receive(0, b"1234")
        old = StreamData(1, 2, b"34")
        self.assertTrue(isOldData(self.state, incomingOf()))
        self.assertTrue(isOldData(self.state, incomingOf(old)))
        self.assertFalse(isOldData(self.state, incomingOf(old, StreamData(1, 2, b"345"))))
        self.assertFalse(isOldData(self.state, incomingOf(StreamData(7, 0, b"1"))))
        self.state.streams.drop(self.streams[3])
        self.assertTrue(isOldData(self.state, incomingOf(StreamData(3, 0, b"1"))))

    def test_lateFrames(self) -> None:
        """Money for a closed stream, or for one that its sender has closed, gets a word."""
        self.streams[3].isEnded = self.streams[3].isDeaf = True
        self.state.streams.drop(self.streams[5])
        incoming = incomingOf(*[StreamMoney(i, 1) for i in (1, 3, 5)], amount=9)
        frames = lateFrames(self.state, incoming)
        code = ErrorCode.STREAM_STATE_ERROR
        message = "the stream is closed"
        self.assertEqual(frames, [StreamClose(3, code, message), StreamClose(5, code, message)])
