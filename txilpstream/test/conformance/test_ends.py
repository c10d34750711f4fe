"""Conformance: what a module of STREAM is asked to do when streams and connections end."""

from __future__ import annotations

from typing import Any

from txilpstream.errors import ConnectionEnded, ErrorCode, PeerError
from txilpstream.payments.payment import pay
from txilpstream.plugins.registry import pluginFromEnvironment
from txilpstream.test.conformance.base import Conform, TappedTestCase
from txilpstream.test.support.connected import HalfRecorder, Recorder
from txilpstream.testing import Latency
from txilpstream.wire.frames import ConnectionClose, StreamClose, StreamData, StreamMoney
from txilpstream.wire.ilp import Fulfill


class StreamTests(TappedTestCase):
    """Streams from their first byte to their last."""

    def setUp(self) -> None:
        """A stream that both ends know."""
        super().setUp()
        self.listen()
        self.near, self.far = self.opened()

    def test_M12_streamCloses(self) -> None:
        """A stream that both ends close is over, and the others are not."""
        other = self.openStream()
        other.transport.write(b"?")
        self.near.transport.loseConnection()
        self.run_(1)
        self.assertEqual(self.far.happened, ["made", "end"])
        self.far.transport.loseConnection()
        self.run_(2)
        self.assertEqual([p.happened[-1] for p in (self.near, self.far)], ["lost", "lost"])
        self.assertEqual(list(self.connection.streams), [3])
        other.transport.write(b"!")
        self.run_()
        self.assertEqual(self.served.made[1].data, b"?!")

    def test_M15_data(self) -> None:
        """Bytes go both ways, whole and in order."""
        there, back = bytes(range(256)) * 1000, bytes(range(255, -1, -1)) * 1000
        self.near.transport.write(there)
        self.far.transport.writeSequence([back[:1000], back[1000:]])
        self.run_(5)
        self.assertEqual((self.far.data, self.near.data), (there, back))

    def test_S24_M16_oneSpaceOfIds(self) -> None:
        """One stream, with one number, moves money and bytes both ways."""
        self.near.transport.write(b"there")
        self.far.transport.write(b"back")
        self.pay(self.near, 30)
        self.pay(self.far, 20)
        self.assertEqual((self.far.data, self.near.data), (b"there", b"back"))
        self.assertEqual((sum(self.far.amounts), sum(self.near.amounts)), (30, 20))
        for side in ("left", "right"):
            said: list[StreamData | StreamMoney] = []
            said += [*self.said(StreamData, side), *self.said(StreamMoney, side)]
            self.assertEqual({frame.streamID for frame in said}, {1})
            self.assertEqual({type(frame) for frame in said}, {StreamData, StreamMoney})

    def test_M19_lastWrite(self) -> None:
        """What is written just before the end arrives before it."""
        self.near.transport.write(b"the end")
        self.near.transport.loseWriteConnection()
        self.near.transport.write(b"dropped")
        self.run_(2)
        self.assertEqual((self.far.data, self.far.happened), (b"the end", ["made", "end"]))

    def test_M21_endAndDestroy(self) -> None:
        """The end of a stream flushes bytes and money; an abort does not."""
        for method, isFlushed in (("loseConnection", True), ("abortConnection", False)):
            near = self.openStream()
            near.transport.write(b"x" * 300_000)
            paying = near.transport.sendMoney(1000)
            getattr(near.transport, method)()
            self.run_(20)
            outcome: list[Any] = []
            paying.addBoth(outcome.append)
            far = self.served.made[-1] if len(self.served.made) > 1 else None
            size = 0 if far is None else len(far.data)
            sent = getattr(getattr(outcome[0], "value", None), "result", outcome[0]).sent
            self.assertEqual((size, sent), (300_000, 1000) if isFlushed else (size, 0))
            self.assertEqual(near.happened, ["made", "lost"])
            if not isFlushed:
                self.assertLess(size if far is not self.served.made[1] else 0, 300_000)

    def test_M22_destroyIsTold(self) -> None:
        """The other side hears of an abort, of a stream and of a connection, and why."""
        self.near.transport.abortConnection()
        self.run_()
        error = self.far.reasons[0].value
        assert isinstance(error, PeerError)
        self.assertEqual(error.code, ErrorCode.APPLICATION_ERROR)
        near = self.openStream()
        near.transport.write(b"?")
        self.run_()
        self.connection.abort("the shop is closed")
        self.run_()
        self.assertIn("the shop is closed", self.served.made[-1].reasons[0].getErrorMessage())

    def test_M30_cleanedUp(self) -> None:
        """Nothing is left of closed streams; late money is an error, late bytes are not kept."""
        for _ in range(30):
            near = self.openStream()
            near.transport.write(b"x")
            self.run_(0.5)
            near.transport.loseConnection()
            self.served.made[-1].transport.loseConnection()
            self.run_(0.5)
        for end in (self.connection, self.back):
            self.assertEqual(list(end.streams), [1])
        reply = self.give(StreamMoney(61, 1), amount=5)
        [close] = reply.only(StreamClose)
        self.assertEqual((reply.code, close.errorCode), ("F99", ErrorCode.STREAM_STATE_ERROR))
        self.assertEqual(self.give(StreamData(61, 0, b"x")).code, "")
        self.assertFalse(self.back.session.isClosed)
        self.assertEqual(len(self.served.made), 31)


class ConnectionTests(TappedTestCase):
    """Connections from their beginning to their end."""

    def test_M11_helpers(self) -> None:
        """Sending, receiving and waiting for the end are one call each."""
        self.listen(Recorder)
        credentials = self.server.generateCredentials()
        result = self.after(pay(self.left, credentials, sourceAmount=100), 5)
        self.assertEqual((result.sent, self.served.made[0].amounts), (100, [100]))
        near, far = self.opened()
        self.assertEqual(self.pay(near, 5).sent, 5)
        ended = self.back.whenClosed()
        self.after(self.connection.close(), 5)
        self.successResultOf(ended)
        self.assertEqual(far.transport.totalReceived, 5)

    def test_M17_connectionCloses(self) -> None:
        """A connection that is closed is over at both ends, in good order."""
        self.listen()
        near, far = self.opened()
        self.after(self.connection.close(), 5)
        self.assertEqual((near.happened[-1], far.happened[-1]), ("lost", "lost"))
        [close] = self.said(ConnectionClose)
        self.assertEqual(close.errorCode, ErrorCode.NO_ERROR)
        self.assertTrue(self.back.session.isClosed)

    def closing(self, method: str) -> tuple[int, int]:
        """End a connection under way: bytes and money that arrive."""
        self.listen()
        near, far = self.opened()
        near.transport.write(b"x" * 400_000)
        paying = near.transport.sendMoney(1000)
        paying.addErrback(lambda _: None)
        getattr(self.connection, method)()
        self.run_(20)
        self.assertTrue(self.connection.session.isClosed)
        self.assertEqual(near.happened[-1], "lost")
        return len(far.data), far.transport.totalReceived

    def test_M20_endFlushes(self) -> None:
        """The end of a connection waits for bytes and money."""
        self.assertEqual(self.closing("close"), (400_000, 1000))

    def test_M20_destroyDoesNot(self) -> None:
        """An abort does not."""
        self.assertEqual(self.closing("abort"), (0, 0))

    def test_M27_waitsForStreams(self) -> None:
        """A connection that is to end is open until the last of its streams has sent."""
        self.listen()
        near, far = self.opened()
        others = [self.openStream() for _ in range(5)]
        far.transport.pauseProducing()
        for each in (near, *others):
            each.transport.write(b"x" * 1_200_000)
        closed = self.connection.close()
        self.run_(20)
        self.assertNoResult(closed)
        far.transport.resumeProducing()
        self.after(closed, 20)
        self.assertEqual([len(made.data) for made in self.served.made], [1_200_000] * 6)

    def test_M35_order(self) -> None:
        """Calls come in one order, each from a turn of its own, never from within a call."""
        happened: list[str] = []

        class Strict(HalfRecorder):
            def connectionMade(self) -> None:
                self.isBusy = False
                happened.append("made")

            def dataReceived(self, data: bytes) -> None:
                test.assertFalse(self.isBusy)
                self.isBusy = True
                happened.append("data")
                self.transport.write(data)
                self.transport.sendMoney(1)
                self.isBusy = False

            def moneyReceived(self, amount: int) -> None:
                test.assertFalse(self.isBusy)
                happened.append("money")

            def readConnectionLost(self) -> None:
                test.assertFalse(self.isBusy)
                happened.append("end")
                self.transport.loseConnection()

            def connectionLost(self, reason: Any = None) -> None:
                happened.append("lost")

        test = self
        self.listen(Strict)
        near = self.open()
        near.transport.write(b"x")
        self.run_()
        self.pay(near, 5)
        near.transport.loseConnection()
        self.run_(5)
        self.assertEqual(happened, ["made", "data", "money", "end", "lost"])
        other = self.openStream()
        other.transport.abortConnection()
        self.assertEqual(other.happened, ["made"])
        self.run_()
        self.assertEqual(other.happened, ["made", "lost"])

    def test_M36_environment(self) -> None:
        """The plugin can be named in the environment, and money goes over it."""
        environ = {"ILP_PLUGIN": "memory:conformance:address=test.named"}
        ends = [pluginFromEnvironment(self.clock, environ) for _ in range(2)]
        self.join(*ends)
        self.assertEqual(self.left.address, "test.named")
        self.listen()
        near, _ = self.opened()
        self.assertEqual(self.pay(near, 7).sent, 7)

    def test_M37_packetCount(self) -> None:
        """A connection ends when its key has encrypted all that it may."""
        self.listen()
        near, far = self.opened(maximumPacketCount=30)
        for _ in range(60):
            near.transport.write(b"x")
            self.run_(0.5)
        self.assertEqual((near.happened[-1], far.happened[-1]), ("lost", "lost"))
        self.assertLessEqual(len(self.sent()) + len(self.sent("right")), 30)
        near.reasons[0].trap(ConnectionEnded)

    def test_M40_inactivity(self) -> None:
        """A connection of which nothing is heard ends at both ends."""
        self.listen(idleTimeout=20)
        near, far = self.opened(idleTimeout=30)
        self.run_(18)
        self.assertEqual((near.happened, far.happened), (["made"], ["made"]))
        self.run_(15)
        self.assertEqual((near.happened[-1], far.happened[-1]), ("lost", "lost"))
        self.run_(60)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_M40_eitherEnd(self) -> None:
        """Each end counts for itself: one that hears nothing ends without being told."""
        for there, here, first, last in ((20, 40, "far", "near"), (40, 20, "near", "far")):
            hop = Conform("both")
            self.joinBy(Latency(0.01), hop)
            self.listen(idleTimeout=there)
            near, far = self.opened(idleTimeout=here)
            ends = {"near": near, "far": far}
            hop.there = lambda packet, hop=hop: hop.reject("T01")
            self.run_(18)
            self.assertEqual((near.happened, far.happened), (["made"], ["made"]))
            self.run_(12)
            self.assertEqual(ends[first].happened[-1], "lost")
            self.assertEqual(ends[last].happened, ["made"])
            self.run_(12)
            self.assertEqual(ends[last].happened[-1], "lost")

    def test_M40_keptAlive(self) -> None:
        """As long as something is said it stays."""
        self.listen(idleTimeout=20)
        near, far = self.opened(idleTimeout=20)
        for _ in range(10):
            self.run_(15)
            near.transport.ping()
        self.assertEqual((near.happened, far.happened), (["made"], ["made"]))
        self.assertTrue(all(isinstance(each.reply, Fulfill) for each in self.sent()))
