"""Tests for C{txilpstream.awaited}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.awaited import Awaited
from txilpstream.crypto.keys import SessionKeys
from txilpstream.errors import ConnectionEnded, PeerError
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.session import Session
from txilpstream.test.connected import ConnectedTestCase


class BaseTests(SynchronousTestCase):
    """What is awaited needs somebody who takes turns."""

    def test_wake(self) -> None:
        """The base alone takes none."""
        session = Session(SessionConfiguration(), SessionKeys(bytes(32)), bytes)
        self.assertRaises(NotImplementedError, Awaited(session).whenOpen)


class AwaitedTests(ConnectedTestCase):
    """Over a connection."""

    def test_eachHasItsOwn(self) -> None:
        """Whoever waits is told, and one who does not wait any more keeps nobody else from it."""
        self.listen()
        connection = self.client.start(self.server.generateCredentials())
        first, gone, second = (connection.whenOpen() for _ in range(3))
        gone.cancel()
        self.failureResultOf(gone)
        self.run_()
        for opened in (first, second):
            self.assertIs(self.successResultOf(opened), connection)
        ends, worn = [connection.whenClosed() for _ in range(2)], connection.whenWorn()
        connection.abort()
        self.run_()
        for closed in (*ends, connection.whenClosed()):
            self.assertIsNone(self.successResultOf(closed))
        self.assertNoResult(worn)

    def test_endsBefore(self) -> None:
        """A connection that ends before it is open fails."""
        connection = self.client.start(self.listen().generateCredentials())
        opened = connection.whenOpen()
        connection.abort("never mind")
        self.run_()
        self.failureResultOf(opened, ConnectionEnded, PeerError)
