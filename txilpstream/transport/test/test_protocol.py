"""Tests for C{txilpstream.transport.protocol}."""

from __future__ import annotations

from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from txilpstream.interfaces import IMoneyReceiver
from txilpstream.transport.protocol import StreamFactory, StreamProtocol
from txilpstream.transport.stream import StreamAddress


class ProtocolTests(SynchronousTestCase):
    """The protocol, its factory and its address."""

    def test_interfaces(self) -> None:
        """Each is what it says."""
        verifyObject(IAddress, StreamAddress("test.address", 1))
        verifyObject(IMoneyReceiver, StreamProtocol())
        verifyObject(IProtocolFactory, StreamFactory())

    def test_address(self) -> None:
        """Addresses are compared by what they say."""
        self.assertEqual(StreamAddress("test.a", 1), StreamAddress("test.a", 1, ""))
        self.assertNotEqual(StreamAddress("test.a", 1), StreamAddress("test.a", 3))
        self.assertEqual(len({StreamAddress("test.a", 1), StreamAddress("test.a", 1)}), 1)

    def test_money(self) -> None:
        """A protocol that does not care takes money silently."""
        StreamProtocol().moneyReceived(5)

    def test_quiet(self) -> None:
        """A factory writes no log lines of its own."""
        self.assertFalse(StreamFactory().noisy)
