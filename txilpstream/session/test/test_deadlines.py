"""Tests of C{txilpstream.session.deadlines}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.amounts import Ratio
from txilpstream.errors import ConnectionEnded
from txilpstream.session.events import ConnectionClosed, MoneyFailed
from txilpstream.test.support.sessions import LOST, Pair, rejecting, settled


def ended(pair: Pair) -> str:
    """Why the client's connection is over."""
    (closed,) = pair.client.seen(ConnectionClosed)
    assert isinstance(closed.error, ConnectionEnded)
    return closed.error.message


class DeadlineTests(SynchronousTestCase):
    """How long a connection waits."""

    def test_noFulfill(self) -> None:
        """Without any fulfill it is given up after the deadline, with the rejects met."""
        pair = Pair({"minimumRate": Ratio(1)})
        pair.client.out = lambda prepare: LOST
        pair.pay(100, 44)
        self.assertFalse(pair.client.session.isClosed)
        pair.run(2)
        self.assertIn("nothing was fulfilled for 45.0 s", ended(pair))
        self.assertEqual(pair.client.streams[1].moneyOut.unanswered, 100)

    def test_rest(self) -> None:
        """While nothing waits no deadline runs: the next work has all of it."""
        pair = Pair({"minimumRate": Ratio(1)})
        streamID = pair.pay(100, 30)
        pair.client.out = lambda prepare: rejecting("T00")
        pair.client.session.sendMoney(streamID, 100)
        pair.run(20)
        self.assertFalse(pair.client.session.isClosed)
        pair.client.out = lambda prepare: None
        pair.run(20)
        self.assertEqual(settled(pair.client), 200)

    def test_moneyAlone(self) -> None:
        """Money has a deadline of its own while data arrives; the connection goes on."""
        pair = Pair({"minimumRate": Ratio(1)})
        pair.client.out = lambda prepare: rejecting("T04") if prepare.amount else None
        streamID = pair.client.open()
        pair.client.session.sendData(streamID, b"data")
        pair.run(30)
        pair.client.session.sendMoney(streamID, 100)
        for _ in range(44):
            pair.client.session.sendData(streamID, b"data")
            pair.run(1)
        self.assertEqual(pair.client.seen(MoneyFailed), [])
        for _ in range(3):
            pair.client.session.sendData(streamID, b"data")
            pair.run(1)
        (failed,) = pair.client.seen(MoneyFailed)
        self.assertEqual((failed.sourceAmount, failed.streamID), (100, streamID))
        self.assertIn("no money was fulfilled", failed.reason)
        self.assertFalse(pair.client.session.isClosed)

    def test_moneyRests(self) -> None:
        """Money that comes long after other money has a whole deadline too."""
        pair = Pair({"minimumRate": Ratio(1)})
        streamID = pair.pay(100, 1)
        for _ in range(44):
            pair.client.session.sendData(streamID, b"data")
            pair.run(1)
        pair.client.out = lambda prepare: rejecting("T04") if prepare.amount else None
        pair.client.session.sendMoney(streamID, 100)
        for _ in range(5):
            pair.client.session.sendData(streamID, b"data")
            pair.run(1)
        self.assertEqual(pair.client.seen(MoneyFailed), [])

    def test_idle(self) -> None:
        """Both ends give up a connection on which nothing is heard."""
        pair = Pair()
        pair.pay(100, 59)
        self.assertFalse(pair.client.session.isClosed)
        pair.run(2)
        self.assertIn("nothing was heard", ended(pair))
        self.assertTrue(pair.server.session.isClosed)

    def test_idleInFlight(self) -> None:
        """While a packet is under way its own time counts, and nobody is called in circles."""
        pair = Pair({"idleTimeout": 2})
        pair.client.out = lambda prepare: LOST
        pair.client.session.sendData(pair.client.open(), b"data")
        pair.run(20, mostSteps=200)
        self.assertFalse(pair.client.session.isClosed)

    def test_noAddress(self) -> None:
        """An end that cannot send waits for the peer and for nothing else."""
        pair = Pair({"sourceAddress": ""})
        streamID = pair.pay(100, 1)
        pair.server.session.sendMoney(streamID, 5)
        pair.run(50)
        self.assertFalse(pair.server.session.isClosed)
