"""Tests of C{txilpstream.service.receiver}: what a service received, by account."""

from __future__ import annotations

from typing import cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from txilpstream.interfaces import IPaymentPolicy, PaymentRequest, Refusal
from txilpstream.service import receiver
from txilpstream.service.receiver import Accounts, Received, ReceivingFactory
from txilpstream.transport.stream import StreamAddress


def request(account: str, amount: int) -> PaymentRequest:
    """A packet of money for an account."""
    return PaymentRequest(b"c" * 32, account, amount, ((1, amount),), 1e9, "")


class AccountsTests(SynchronousTestCase):
    """Counts, limits and the log."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[LogEvent] = []
        keep = cast(ILogObserver, self.keep)
        globalLogPublisher.addObserver(keep)
        self.addCleanup(globalLogPublisher.removeObserver, keep)
        self.told: list[tuple[str, int, int]] = []

    def keep(self, event: LogEvent) -> None:
        """Keep what is logged of what was received."""
        if event["log_namespace"] == "txilpstream.service.receiver":
            self.events.append(event)

    def accounts(self, **options: object) -> Accounts:
        """Accounts that tell the test."""

        def tell(account: str, received: Received) -> None:
            self.told.append((account, received.total, received.size))

        return Accounts(self.clock, told=tell, **options)  # type: ignore[arg-type]

    def test_told(self) -> None:
        """Once a second, what is new of each account; nothing where nothing is new."""
        accounts = self.accounts()
        accounts.credit("alice", 5)
        accounts.credit("alice", 6)
        accounts.take("bob", 3)
        self.assertEqual(self.told, [])
        self.clock.advance(1)
        self.assertEqual(self.told, [("alice", 11, 0), ("bob", 0, 3)])
        self.clock.advance(5)
        accounts.credit("alice", 1)
        self.clock.advance(1)
        self.assertEqual(self.told[2:], [("alice", 12, 0)])
        last = self.events[-1]
        self.assertEqual((last["account"], last["amount"], last["total"]), ("alice", 1, 12))
        self.assertEqual((accounts.total, accounts.size), (12, 3))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_tellNow(self) -> None:
        accounts = self.accounts()
        accounts.credit("alice", 5)
        accounts.tell()
        self.assertEqual(self.told, [("alice", 5, 0)])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        accounts.tell()
        self.assertEqual(len(self.told), 1)

    def test_many(self) -> None:
        """Accounts beyond the most are counted together."""
        self.patch(receiver, "MOST_ACCOUNTS", 2)
        accounts = self.accounts()
        for name in ("a", "b", "c", "d", "a"):
            accounts.credit(name, 5)
        accounts.tell()
        self.assertEqual(self.told, [("a", 10, 0), ("b", 5, 0), ("(others)", 10, 0)])

    def test_nobodyIsTold(self) -> None:
        accounts = Accounts(self.clock)
        accounts.credit("alice", 5)
        self.clock.advance(1)
        self.assertEqual(len(self.events), 1)

    def test_limits(self) -> None:
        """What was accepted counts at once, whether it was credited yet or not."""
        accounts = self.accounts(limits={"alice": 10, "bob": None}, limit=3)
        verifyObject(IPaymentPolicy, accounts)
        self.assertTrue(accounts.judgePayment(request("alice", 10)))
        refusal = accounts.judgePayment(request("alice", 1))
        self.assertIsInstance(refusal, Refusal)
        self.assertIn("10 units", str(refusal))
        self.assertIsInstance(accounts.judgePayment(request("bob", 4)), Refusal)
        self.assertIs(accounts.judgePayment(request("bob", 3)), True)
        self.assertIsInstance(accounts.judgePayment(request("", 4)), Refusal)
        self.assertIs(self.accounts().judgePayment(request("bob", 4)), True)


class FactoryTests(SynchronousTestCase):
    """Protocols for streams."""

    def test_counts(self) -> None:
        accounts = Accounts(Clock())
        seen: list[bytes] = []
        for tag, name in (("alice", "alice"), ("shop~2ftill", "shop/till"), ("x~", "x~")):
            address = StreamAddress("test.x", 1, tag)
            protocol = ReceivingFactory(accounts, seen.append).buildProtocol(address)
            protocol.moneyReceived(7)  # type: ignore[attr-defined]
            protocol.dataReceived(b"abc")
            self.assertEqual(accounts.accounts[name].total, 7)
        self.assertEqual(seen, [b"abc"] * 3)
        protocol = ReceivingFactory(accounts).buildProtocol(None)
        protocol.dataReceived(b"x")
        self.assertEqual(accounts.accounts["default"].size, 1)
