"""Tests of C{txilpstream.session.streams.streams}."""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import U64_MAX
from txilpstream.errors import ErrorCode, LocalError, PeerError
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.streams.flowcontrol import ByteBudget
from txilpstream.session.streams.streams import (
    CLOSED,
    CLOSING,
    DRAINING,
    OPEN,
    SessionStream,
    Streams,
)
from txilpstream.test.support.strategies import forAll


def streamsOf(isServer: bool = True, **settings: int) -> Streams:
    """The streams of one end."""
    configuration = SessionConfiguration(isServer=isServer, **settings)  # type: ignore[arg-type]
    return Streams(configuration, ByteBudget(1000))


class IDTests(SynchronousTestCase):
    """Which ids there are, and who may open them."""

    def assertRefused(self, streams: Streams, streamID: int, code: int) -> None:
        error = self.assertRaises(PeerError, streams.accept, streamID)
        self.assertEqual(error.code, code)

    def accepted(self, streams: Streams, streamID: int) -> SessionStream:
        stream = streams.accept(streamID)
        assert stream is not None, streamID
        return stream

    def test_local(self) -> None:
        """A client opens odd ids and a server even ones, each the next."""
        client, server = streamsOf(False), streamsOf()
        self.assertEqual([client.openLocal().streamID for _ in range(3)], [1, 3, 5])
        self.assertEqual([server.openLocal().streamID for _ in range(3)], [2, 4, 6])
        self.assertIs(client.get(3), client.open[3])
        self.assertIs(client.accept(3), client.open[3])
        self.assertRaises(LocalError, client.get, 7)

    def test_parity(self) -> None:
        """An id of this end's own that it never used is not the peer's to open; nor is 0."""
        for isServer, own in ((False, 1), (True, 2)):
            streams = streamsOf(isServer)
            self.assertRefused(streams, own, ErrorCode.PROTOCOL_VIOLATION)
            self.assertRefused(streams, 0, ErrorCode.PROTOCOL_VIOLATION)
            stream = streams.openLocal()
            self.assertFalse(streams.drop(stream))
            self.assertIsNone(streams.accept(own))
            self.assertRefused(streams, own + 2, ErrorCode.PROTOCOL_VIOLATION)

    def test_limit(self) -> None:
        """The limit itself may be opened, more may not."""
        streams = streamsOf(False, maximumStreamID=4)
        self.assertRefused(streams, 6, ErrorCode.STREAM_ID_ERROR)
        stream = self.accepted(streams, 4)
        self.assertTrue(stream.hasOpened)
        self.assertIs(streams.accept(4), stream)

    def test_raised(self) -> None:
        """Each closed stream of the peer lets it open one more, up to 64 bits."""
        streams = streamsOf(maximumStreamID=3)
        stream = self.accepted(streams, 1)
        self.assertTrue(streams.drop(stream))
        self.assertEqual(streams.maxStreamID, 5)
        self.assertFalse(streams.drop(stream))
        self.assertEqual(streams.maxStreamID, 5)
        self.assertIsNone(streams.accept(1))
        self.accepted(streams, 5)
        streams = streamsOf(maximumStreamID=U64_MAX)
        self.assertTrue(streams.drop(self.accepted(streams, 1)))
        self.assertEqual(streams.maxStreamID, U64_MAX)

    def test_skipped(self) -> None:
        """Ids that were passed over may be opened later; to skip very many costs nothing."""
        streams = streamsOf(maximumStreamID=U64_MAX)
        last = 2**63 + 1
        self.accepted(streams, last)
        for streamID in (5, 1, last - 2, 3):
            self.assertFalse(streams.wasOpened(streamID))
            streams.drop(self.accepted(streams, streamID))
            self.assertIsNone(streams.accept(streamID))
        self.assertFalse(streams.wasOpened(7))
        self.assertFalse(streams.wasOpened(last + 2))

    @forAll(st.booleans(), st.lists(st.integers(0, 15), max_size=30))
    def test_anyOrder(self, isServer: bool, indexes: list[int]) -> None:
        """Each id opens once, whatever the order."""
        streams = streamsOf(isServer, maximumStreamID=100)
        seen = set()
        for index in indexes:
            streamID = 2 * index + (1 if isServer else 2)
            self.assertEqual(streams.wasOpened(streamID), streamID in seen)
            stream = streams.accept(streamID)
            self.assertEqual(stream is None, streamID in seen)
            seen.add(streamID)
            if stream is not None:
                streams.drop(stream)


class LineTests(SynchronousTestCase):
    """Who may send, and who waits."""

    def setUp(self) -> None:
        self.streams = streamsOf(False)
        self.stream = self.streams.openLocal()

    def ready(self) -> tuple[bool, bool]:
        """Whether the stream is in line for money and for data."""
        self.streams.refresh(self.stream)
        streamID = self.stream.streamID
        return streamID in self.streams.moneyReady, streamID in self.streams.dataReady

    def test_money(self) -> None:
        """Money is ready while some is unsent and the peer takes it."""
        self.assertEqual(self.ready(), (False, False))
        self.assertFalse(self.streams.findBlocked())
        self.stream.moneyOut.sendMax = 5
        self.assertEqual(self.ready(), (True, False))
        self.assertFalse(self.streams.findBlocked())
        self.stream.moneyOut.hear(0, 0)
        self.assertEqual(self.ready(), (False, False))
        self.assertTrue(self.streams.findBlocked())

    def test_data(self) -> None:
        """Data is ready while some is unsent and there is credit, or some was lost."""
        self.stream.sendWindow.limit = 2
        self.stream.queue.write(b"abc")
        self.assertEqual(self.ready(), (False, True))
        self.assertFalse(self.streams.findBlocked())
        self.stream.queue.nextNew(2)
        self.stream.sendWindow.used = 2
        self.assertEqual(self.ready(), (False, False))
        self.assertTrue(self.streams.findBlocked())
        self.stream.queue.lose(0)
        self.assertEqual(self.ready(), (False, True))

    def test_connectionCredit(self) -> None:
        """A stream is blocked by the connection's credit too."""
        self.stream.queue.write(b"abc")
        self.stream.moneyOut.sendMax = 1
        self.ready()
        self.streams.sendWindow.limit = 0
        self.assertTrue(self.streams.findBlocked())

    def test_unopened(self) -> None:
        """A stream above the peer's limit waits for it."""
        self.streams.peerMaxStreamID = 0
        self.stream.moneyOut.sendMax = 5
        self.stream.queue.write(b"abc")
        self.assertEqual(self.ready(), (False, False))
        self.assertTrue(self.streams.findBlocked())
        self.streams.peerMaxStreamID = 1
        self.assertEqual(self.ready(), (True, True))
        self.assertFalse(self.streams.findBlocked())

    def test_nothingWaits(self) -> None:
        """An idle stream is not looked at again; one that offers more is."""
        self.assertFalse(self.streams.findBlocked())
        self.stream.queue.write(b"abc")
        self.stream.sendWindow.limit = 0
        self.ready()
        self.assertTrue(self.streams.findBlocked())

    def test_isQuiet(self) -> None:
        """Quiet is: all is delivered, and no close is still to be said."""
        self.assertTrue(self.streams.isQuiet())
        self.stream.queue.write(b"abc")
        self.assertFalse(self.streams.isQuiet())
        self.stream.queue.clear()
        for state, expected in ((DRAINING, False), (CLOSING, True), (CLOSED, True)):
            self.stream.state = state
            self.assertEqual(self.streams.isQuiet(), expected)

    def test_forgetData(self) -> None:
        """What nobody will read goes back to the connection's credit and to the budget."""
        streams, stream = self.streams, self.stream
        stream.data.receive(0, b"12345")
        stream.receiveWindow.received = streams.receiveWindow.received = 5
        streams.budget.used = 5
        stream.queue.write(b"abc")
        self.ready()
        self.assertFalse(streams.drop(stream))
        self.assertEqual((streams.receiveWindow.consumed, streams.budget.used), (5, 0))
        self.assertEqual(stream.receiveWindow.consumed, 5)
        self.assertFalse(streams.open or streams.dataReady or streams.findBlocked())


EVENTS = ("close", "drained", "acknowledged", "abort")

# Every state with every input: what comes of it; None changes nothing.
EXPECTED = {
    (OPEN, "close"): DRAINING,
    (OPEN, "drained"): None,
    (OPEN, "acknowledged"): None,
    (OPEN, "abort"): CLOSING,
    (DRAINING, "close"): None,
    (DRAINING, "drained"): CLOSING,
    (DRAINING, "acknowledged"): None,
    (DRAINING, "abort"): CLOSING,
    (CLOSING, "close"): None,
    (CLOSING, "drained"): None,
    (CLOSING, "acknowledged"): CLOSED,
    (CLOSING, "abort"): None,
    (CLOSED, "close"): None,
    (CLOSED, "drained"): None,
    (CLOSED, "acknowledged"): None,
    (CLOSED, "abort"): CLOSING,
}


class SessionStreamTests(SynchronousTestCase):
    """The life of one stream."""

    def test_everyInput(self) -> None:
        """The table, over every state and every input."""
        states = (OPEN, DRAINING, CLOSING, CLOSED)
        self.assertEqual(set(EXPECTED), {(s, e) for s in states for e in EVENTS})
        for (state, event), after in EXPECTED.items():
            stream = SessionStream(1, 100)
            stream.state = state
            self.assertEqual(stream.advance(event), after is not None, (state, event))
            self.assertEqual(stream.state, state if after is None else after, (state, event))

    def test_new(self) -> None:
        """A stream starts open, unknown to the peer, and takes no money."""
        stream = SessionStream(3, 100)
        self.assertEqual(
            (stream.streamID, stream.state, stream.receiveWindow.limit), (3, OPEN, 100)
        )
        self.assertEqual(stream.moneyIn.receiveMax, 0)
        self.assertFalse(stream.hasOpened or stream.isEnded or stream.isOver)

    def test_isDrained(self) -> None:
        """Drained is: nothing unsent, nothing without an answer."""
        stream = SessionStream(1, 100)
        self.assertTrue(stream.isDrained)
        stream.queue.write(b"ab")
        self.assertFalse(stream.isDrained)
        offset, _ = stream.queue.nextNew(2)
        self.assertFalse(stream.isDrained)
        stream.queue.acknowledge(offset)
        stream.moneyOut.sendMax = 5
        self.assertFalse(stream.isDrained)
        stream.moneyOut.hold(5, 5)
        self.assertFalse(stream.isDrained)
        stream.moneyOut.settle(5, 5, 5, 5)
        self.assertTrue(stream.isDrained)

    def test_isOver(self) -> None:
        """Over is: both halves closed, no money in flight, and all read."""
        stream = SessionStream(1, 100)
        stream.state = CLOSED
        self.assertFalse(stream.isOver)
        stream.isEnded = True
        self.assertTrue(stream.isOver)
        stream.moneyOut.hold(1, 1)
        self.assertFalse(stream.isOver)
        stream.moneyOut.release(1, 1)
        stream.data.receive(0, b"x")
        self.assertFalse(stream.isOver)
        stream.data.take(1)
        self.assertTrue(stream.isOver)
        stream.state = CLOSING
        self.assertFalse(stream.isOver)
