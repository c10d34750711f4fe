"""Tests of C{txilpstream.session.state}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.errors import ConnectionEnded, ErrorCode, PeerError
from txilpstream.session import events
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.framehandlers import FRAME_HANDLERS
from txilpstream.session.framehandlers import LONGEST_KEPT_MESSAGE as LONGEST_HEARD
from txilpstream.session.state import LONGEST_MESSAGE, SessionState
from txilpstream.session.streams.flowcontrol import ByteBudget
from txilpstream.session.streams.streams import CLOSED, CLOSING, DRAINING, SessionStream
from txilpstream.wire import frames


class StateCase(SynchronousTestCase):
    """A server that knows where its client is, and one stream of the client's."""

    def setUp(self) -> None:
        self.start(SessionConfiguration(isServer=True, destinationAddress="test.client"))

    def start(self, configuration: SessionConfiguration) -> None:
        self.state = SessionState(configuration, ByteBudget(1000))
        self.stream = self.state.streams.accept(1) or self.state.streams.openLocal()

    def pending(self) -> list[tuple[int, int]]:
        """What waits to be said; it is forgotten."""
        pending = list(self.state.controlFrames.pending)
        self.state.controlFrames.pending.clear()
        return pending

    def events(self) -> list[events.Event]:
        """What happened since the last call."""
        happened, self.state.events = self.state.events, []
        return happened

    def hear(self, *said: frames.Frame) -> None:
        """The peer says so."""
        for frame in said:
            FRAME_HANDLERS[type(frame)](self.state, frame)


class IntroductionTests(StateCase):
    """Who says what first."""

    def introduced(self, **settings: object) -> list[int]:
        configuration = SessionConfiguration(**settings)  # type: ignore[arg-type]
        self.state = SessionState(configuration, ByteBudget(1))
        return [kind for kind, _ in self.pending()]

    def test_client(self) -> None:
        """A client begins, with what it has to say."""
        self.assertEqual(self.introduced(), [0x02])
        self.assertTrue(self.state.isValidated)
        self.assertEqual(self.introduced(sourceAddress="test.a"), [0x02, 0x03])
        asset = {"sourceAssetCode": "EUR", "sourceAssetScale": 2}
        self.assertEqual(self.introduced(**asset), [0x02, 0x07])

    def test_server(self) -> None:
        """A server begins when it is told where the client is; a new place is to be proved."""
        self.assertEqual(self.introduced(isServer=True), [])
        self.hear(frames.ConnectionNewAddress(""))
        self.assertEqual((self.events(), self.state.destination), ([], ""))
        self.hear(frames.ConnectionNewAddress("test.b"))
        self.assertEqual(self.pending(), [(0x03, 0)])
        self.assertEqual(self.events(), [events.PeerAddressChanged("test.b")])
        self.state.isValidated = True
        self.hear(frames.ConnectionNewAddress("test.b"))
        self.assertTrue(self.state.isValidated)
        self.hear(frames.ConnectionNewAddress("test.c"))
        self.assertFalse(self.state.isValidated)
        self.assertEqual((self.pending(), self.state.destination), ([], "test.c"))

    def test_serverMovesNot(self) -> None:
        """A client does not follow a server; no address at all is an error at either end."""
        self.introduced(destinationAddress="test.server")
        self.hear(frames.ConnectionNewAddress("test.b"))
        self.assertEqual(self.state.destination, "test.server")
        error = self.assertRaises(PeerError, self.hear, frames.ConnectionNewAddress("no address"))
        self.assertEqual(error.code, ErrorCode.FRAME_FORMAT_ERROR)

    def test_authentic(self) -> None:
        """That the peer has the secret is reported once."""
        self.state.authentic(5.0)
        self.state.authentic(6.0)
        self.assertEqual((self.events(), self.state.heardAt), ([events.PeerAnswered()], 6.0))

    def test_asset(self) -> None:
        """The peer's asset is reported once and may not change."""
        for _ in range(2):
            self.hear(frames.ConnectionAssetDetails("EUR", 2))
        self.assertEqual(self.events(), [events.AssetDetailsLearned("EUR", 2)])
        error = self.assertRaises(PeerError, self.hear, frames.ConnectionAssetDetails("USD", 2))
        self.assertEqual(error.code, ErrorCode.PROTOCOL_VIOLATION)


class StreamEndTests(StateCase):
    """The orders in which a stream can end."""

    def assertForgotten(self) -> None:
        """The stream is gone, and the peer may open one more."""
        self.assertEqual(self.state.streams.open, {})
        self.assertEqual(self.state.streams.maxStreamID, 22)
        self.assertEqual(self.pending(), [(0x05, 0)])

    def close(self) -> None:
        """The application closes our half."""
        self.stream.advance("close")
        self.state.settleStream(self.stream)

    def test_weCloseFirst(self) -> None:
        self.stream.queue.write(b"x")
        self.close()
        self.assertEqual((self.stream.state, self.pending()), (DRAINING, []))
        self.stream.queue.clear()
        self.state.settleStream(self.stream)
        self.assertEqual((self.stream.state, self.pending()), (CLOSING, [(0x10, 1)]))
        self.state.acknowledgeClose(self.stream)
        self.assertEqual((self.stream.state, self.events()), (CLOSED, [events.SendingEnded(1)]))
        self.hear(frames.StreamClose(1, 1))
        self.assertEqual(self.events(), [events.StreamEnded(1), events.StreamClosed(1, None)])
        self.assertForgotten()

    def test_peerClosesFirst(self) -> None:
        for _ in range(2):
            self.hear(frames.StreamClose(1, 1))
        self.assertEqual(self.events(), [events.StreamEnded(1)])
        self.close()
        self.pending()
        self.state.acknowledgeClose(self.stream)
        self.assertEqual(self.events(), [events.SendingEnded(1), events.StreamClosed(1, None)])
        self.assertForgotten()
        self.hear(frames.StreamClose(1, 1))
        self.assertEqual(self.events(), [])

    def test_unread(self) -> None:
        """What the application has not read is not forgotten."""
        self.stream.data.receive(0, b"x")
        self.close()
        self.state.acknowledgeClose(self.stream)
        self.hear(frames.StreamClose(1, 1))
        self.assertIn(1, self.state.streams.open)
        self.stream.data.take(1)
        self.pending()
        self.state.finishStream(self.stream)
        self.assertForgotten()

    def test_peerAborts(self) -> None:
        """Both halves end at once, with the peer's reason cut to a length."""
        self.stream.queue.write(b"x")
        self.stream.moneyOut.sendMax = 5
        self.state.controlFrames.add(0x12, 1)
        self.hear(frames.StreamClose(1, 9, "y" * 10000))
        [event] = self.events()
        assert isinstance(event, events.StreamClosed)
        assert isinstance(event.error, PeerError)
        self.assertEqual((event.error.code, len(event.error.message)), (9, LONGEST_HEARD))
        self.assertForgotten()

    def test_peerAbortsWithMoneyInFlight(self) -> None:
        """The stream stays until its money is settled."""
        self.stream.moneyOut.sendMax = 5
        self.stream.moneyOut.hold(5, 5)
        self.hear(frames.StreamClose(1, 9))
        self.hear(frames.StreamClose(1, 9))
        self.assertEqual(len(self.events()), 1)
        self.assertIn(1, self.state.streams.open)
        self.stream.moneyOut.settle(5, 5, 5, 5)
        self.state.settleStream(self.stream)
        self.assertEqual(self.events(), [])
        self.assertForgotten()

    def test_weAbort(self) -> None:
        """An abort is told even after our half was closed; then the stream is forgotten."""
        self.close()
        self.state.acknowledgeClose(self.stream)
        self.pending()
        self.state.abortStream(self.stream, None)
        self.assertEqual(self.stream.state, CLOSING)
        self.state.acknowledgeClose(self.stream)
        self.assertEqual(self.events(), [events.SendingEnded(1), events.StreamClosed(1, None)])
        self.assertForgotten()

    def test_ownStream(self) -> None:
        """The end of a stream of our own raises no limit."""
        self.state.streams.drop(self.stream)
        self.stream = self.state.streams.openLocal()
        before = self.state.streams.maxStreamID
        self.state.abortStream(self.stream, None)
        self.state.acknowledgeClose(self.stream)
        self.assertEqual((self.pending(), self.state.streams.open), ([], {}))
        self.assertEqual(self.state.streams.maxStreamID, before)


class EndTests(StateCase):
    """The end of the connection."""

    def closed(self) -> dict[int, object]:
        """What each stream was told."""
        happened = self.events()
        self.assertIsInstance(happened.pop(), events.ConnectionClosed)
        return {e.streamID: e.error for e in happened if isinstance(e, events.StreamClosed)}

    def test_peerCloses(self) -> None:
        """In good order is what had nothing left to send."""
        unsent = self.state.streams.openLocal()
        unsent.queue.write(b"x")
        aborted = self.state.streams.accept(3)
        assert aborted is not None
        self.state.abortStream(aborted, None)
        self.hear(frames.ConnectionClose(1))
        told = self.closed()
        self.assertEqual((told[1], told[3]), (None, None))
        self.assertIsInstance(told[2], ConnectionEnded)
        self.assertIsNone(self.state.error)
        self.assertTrue(self.state.isClosed and not self.state.owesClose)

    def test_peerFails(self) -> None:
        self.hear(frames.ConnectionClose(2, "z" * 10000))
        error = self.closed()[1]
        assert isinstance(error, PeerError)
        self.assertIs(self.state.error, error)
        self.assertEqual((error.code, len(error.message)), (2, LONGEST_HEARD))

    def test_longReason(self) -> None:
        """A reason is cut to what fits into a packet."""
        self.state.fail(PeerError(ErrorCode.PROTOCOL_VIOLATION, "x" * 40_000))
        self.assertEqual(len(self.state.closeMessage), LONGEST_MESSAGE)

    def test_fail(self) -> None:
        """The first error counts; what comes later neither changes it nor takes it back."""
        first = PeerError(ErrorCode.FLOW_CONTROL_ERROR, "too much")
        self.state.fail(first)
        self.assertIs(self.closed()[1], first)
        self.state.fail(PeerError(ErrorCode.PROTOCOL_VIOLATION, "and more"))
        self.state.end(None)
        self.assertEqual(self.events(), [])
        self.assertEqual((self.state.closeCode, self.state.closeMessage), (4, "too much"))
        self.assertTrue(self.state.owesClose)
        self.assertIs(self.state.error, first)
        self.assertIsInstance(self.stream, SessionStream)
