"""Tests of C{txilpstream.interfaces}."""

from __future__ import annotations

import dataclasses
from typing import Any

import twisted.plugin
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides, implementer
from zope.interface.exceptions import Invalid
from zope.interface.interface import InterfaceClass, Method
from zope.interface.verify import verifyObject

from txilpstream import interfaces
from txilpstream.interfaces import (
    IMoneyReceiver,
    IMoneyTransport,
    IPaymentPolicy,
    IPlugin,
    IPluginFactory,
    NotSent,
    PaymentRequest,
)

OWN: list[InterfaceClass] = [
    IMoneyReceiver,
    IMoneyTransport,
    IPaymentPolicy,
    IPlugin,
    IPluginFactory,
]

REQUEST = PaymentRequest(bytes(32), "invoice-7", 10, ((1, 7), (3, 3)), 1e9, "")


@implementer(IPlugin)
class Loopback:
    """The least that is a plugin: it answers itself."""

    handler: Any = None

    def connect(self) -> Deferred[None]:
        return succeed(None)

    def disconnect(self) -> Deferred[None]:
        return succeed(None)

    def isConnected(self) -> bool:
        return True

    def sendData(self, data: bytes) -> Deferred[bytes]:
        return succeed(self.handler(data))

    def registerDataHandler(self, handler: Any) -> None:
        self.handler = handler

    def deregisterDataHandler(self) -> None:
        self.handler = None

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        pass

    def unregisterProducer(self) -> None:
        pass


@implementer(IPaymentPolicy)
class Generous:
    """Accepts everything."""

    def judgePayment(self, request: PaymentRequest) -> bool:
        return True


class ShapeTests(SynchronousTestCase):
    """Real signatures and docstrings, and names that are there."""

    def test_public(self) -> None:
        """All names are there."""
        for name in interfaces.__all__:
            self.assertTrue(hasattr(interfaces, name), name)

    def test_docstrings(self) -> None:
        """Every interface, method and attribute says what it means."""
        for interface in OWN:
            self.assertTrue(interface.getDoc().strip(), interface)
            for name, element in interface.namesAndDescriptions():
                self.assertTrue(element.getDoc().strip(), f"{interface.getName()}.{name}")

    def test_bases(self) -> None:
        """A stream is what Twisted's protocols and producers expect, and more."""
        for base in (ITransport, IConsumer, IPushProducer):
            self.assertTrue(IMoneyTransport.extends(base))
        self.assertTrue(IPluginFactory.extends(twisted.plugin.IPlugin))
        self.assertFalse(IPlugin.extends(twisted.plugin.IPlugin))

    def test_signatures(self) -> None:
        """Arguments are named in units where two exist."""
        interface: InterfaceClass = IMoneyTransport
        for name, expected in (
            ("sendMoney", "(sourceAmount)"),
            ("setSendMax", "(sourceAmount)"),
            ("setReceiveMax", "(amount)"),
            ("setSendRate", "(sourceAmount, perSeconds=1)"),
        ):
            method = interface.get(name)
            assert isinstance(method, Method)
            self.assertEqual(method.getSignatureString(), expected)


class ImplementersTests(SynchronousTestCase):
    """What can be provided."""

    def test_plugin(self) -> None:
        """A plugin of a few lines is one."""
        plugin = Loopback()
        self.assertTrue(verifyObject(IPlugin, plugin))
        plugin.registerDataHandler(lambda data: data[::-1])
        self.assertEqual(self.successResultOf(plugin.sendData(b"abc")), b"cba")

    def test_policy(self) -> None:
        """So is a policy."""
        self.assertTrue(verifyObject(IPaymentPolicy, Generous()))

    def test_incomplete(self) -> None:
        """A class that lacks a method is found out."""

        class Poor:
            """Takes no money."""

        poor = Poor()
        directlyProvides(poor, IMoneyReceiver)
        self.assertRaises(Invalid, verifyObject, IMoneyReceiver, poor)


class RecordsTests(SynchronousTestCase):
    """What travels over the interfaces."""

    def test_paymentRequest(self) -> None:
        """A request does not change while somebody thinks about it."""
        self.assertRaises(dataclasses.FrozenInstanceError, setattr, REQUEST, "amount", 11)
        self.assertEqual(REQUEST, dataclasses.replace(REQUEST))
        self.assertEqual(sum(amount for _, amount in REQUEST.streamAmounts), REQUEST.amount)

    def test_notSent(self) -> None:
        """It can be raised by plugins that know nothing of STREAM's errors."""
        self.assertTrue(issubclass(NotSent, Exception))
