"""
The pages of the manual list all that there is, and what they define does what they say.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

import txilpstream.testing as kit
from txilpstream import IPlugin, IPluginFactory, StreamClient
from txilpstream.amounts import U64_MAX, Ratio
from txilpstream.cli.main import COMMANDS
from txilpstream.errors import LocalError
from txilpstream.interfaces import IPaymentPolicy, PaymentError
from txilpstream.plugins.registry import FactoryByName
from txilpstream.service.settings import OPTIONS
from txilpstream.session.configuration import SessionConfiguration, configure
from txilpstream.test.support.connected import LEFT, RIGHT, ConnectedTestCase
from txilpstream.test.support.documents import CHECKOUT, MISSING, PAGES, blocksOf, execute
from txilpstream.transport.account import Account
from txilpstream.transport.protocol import StreamFactory, StreamProtocol
from txilpstream.wire.ildcp import encodeRequest

ROW = re.compile(r"   \* - ``(\w+)``\n     - (.+)\n     - (.+)\n", re.MULTILINE)

WORDS = {"none": None, "no": False, "no limit": U64_MAX, "1 %": Ratio(1, 100)}
"""Defaults that a table does not write as numbers."""


def firstColumn(page: str, title: str) -> list[str]:
    """The literals in the first column of a page's simple table with this title or first row."""
    text = PAGES[page].read_text(encoding="utf-8")
    rows = text[text.index(f"\n{title}") :].splitlines()[1:]
    found = []
    for row in rows:
        cell = re.match(r"``([^`]+)``  ", row)
        if cell:
            found.append(cell[1])
        elif not row.startswith("=") and row != rows[0]:
            break
    return found


class ListTests(ConnectedTestCase):
    """Lists that would grow old."""

    skip = MISSING

    def test_modules(self) -> None:
        """The reference has every module but the tests, each once."""
        root = CHECKOUT / "txilpstream"
        modules = []
        for path in root.rglob("*.py"):
            parts = path.relative_to(CHECKOUT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            if "test" not in parts and parts[1] not in ("__main__", "_version"):
                modules.append(name)
        listed = []
        for page, path in PAGES.items():
            if page.startswith("docs/"):
                text = path.read_text(encoding="utf-8")
                listed += re.findall(r"^\.\. automodule:: (\S+)$", text, re.MULTILINE)
        self.assertEqual(sorted(listed), sorted(modules))

    def test_options(self) -> None:
        """The options are those that an application may set, with their defaults."""
        rows = ROW.findall(PAGES["docs/options.rst"].read_text(encoding="utf-8"))
        shown = {
            name: WORDS[text] if text in WORDS else int(text.replace(",", ""))
            for name, _, text in rows
        }
        self.assertEqual(len(shown), len(rows))
        default = SessionConfiguration()
        real = {}
        for field in fields(SessionConfiguration):
            value = getattr(default, field.name)
            try:
                configure({field.name: value})
            except LocalError:
                continue
            real[field.name] = value
        self.assertEqual(shown, real)

    def test_hops(self) -> None:
        """The hops are those of the test kit."""
        hops = []
        for name in kit.__all__:
            value = getattr(kit, name)
            if isinstance(value, type) and issubclass(value, kit.Hop) and value is not kit.Hop:
                hops.append(name)
        shown = firstColumn("docs/testing.rst", "hop  ")
        self.assertEqual(sorted(shown), hops)

    def test_ledger(self) -> None:
        """The books have these entries."""
        names = [field.name for field in fields(kit.PathCounters)] + ["unanswered"]
        shown = firstColumn("docs/testing.rst", "=============== ===")
        self.assertEqual(sorted(shown), sorted(names))

    def test_settings(self) -> None:
        """Every option of a service is there, in its order."""
        shown = firstColumn("docs/network.rst", "option                      default")
        self.assertEqual([text.split()[0] for text in shown], [f"--{o.name}" for o in OPTIONS])

    def test_commands(self) -> None:
        """Every subcommand has a section."""
        text = PAGES["docs/commands.rst"].read_text(encoding="utf-8")
        sections = re.findall(r"^(\w+)\n=+$", text, re.MULTILINE)
        self.assertEqual(sorted(sections), sorted(COMMANDS))


class PayingTests(ConnectedTestCase):
    """What C{paying.rst} defines."""

    skip = MISSING

    def setUp(self) -> None:
        super().setUp()
        self.names = execute(blocksOf("docs/paying.rst", "python"))
        self.listen()

    def call(self, name: str, *arguments: Any) -> Any:
        """What a coroutine of the page returns."""
        coroutine = self.names[name](self.left, self.server.generateCredentials(), *arguments)
        return self.after(Deferred.fromCoroutine(coroutine), 5)

    def test_payments(self) -> None:
        """Both kinds of payment, and a quote."""
        self.assertEqual(self.call("give"), (1000, 1000))
        self.assertEqual(self.call("deliver"), (1000, 990, 1000, 0))
        self.assertEqual(self.call("compare")[:2], (1_000_000, 990_000))

    def test_progress(self) -> None:
        """A payment that is shown, and can be stopped."""
        shown: list[Any] = []
        credentials = self.server.generateCredentials()
        payment, paying = self.names["start"](self.left, credentials, shown.append)
        self.assertEqual(self.after(paying, 5).sent, 1000)
        self.assertEqual(shown[-1].sent, 1000)
        payment.stop()

    def test_goOn(self) -> None:
        """A payment whose state is kept in a file; there is nothing to go on with in the end."""
        path = self.mktemp()
        self.assertEqual(self.call("goOn", path, 5000).sent, 5000)
        self.assertEqual(self.call("goOn", path, 5000).sent, 5000)
        received = sum(sum(made.amounts) for made in self.served.made)
        self.assertEqual(received, 5000)


class ReceivingTests(ConnectedTestCase):
    """What C{receiving.rst} defines."""

    skip = MISSING

    def setUp(self) -> None:
        super().setUp()
        self.names = execute(blocksOf("docs/receiving.rst", "python"))

    def test_ticketMachine(self) -> None:
        """A ticket is given for the whole price, in parts, and no more money is taken."""
        self.listen(self.names["TicketMachine"])
        customer = self.open()
        self.after(customer.transport.sendMoney(400))
        self.assertEqual(customer.data, b"")
        stream = customer.transport
        rest = stream.sendMoney(700)
        self.run_(5)
        result = self.failureResultOf(rest, PaymentError).value.result
        self.assertEqual((customer.data, result.sent), (b"admit one", 600))

    def test_openInvoices(self) -> None:
        """What is due is taken, and not a unit more."""
        policy = self.names["OpenInvoices"]({"tag": 100})
        self.assertTrue(verifyObject(IPaymentPolicy, policy))
        self.listen(policy=policy)
        stream = self.open().transport
        self.after(stream.sendMoney(60))
        self.after(stream.sendMoney(40))
        refused = stream.sendMoney(1)
        self.run_(5)
        self.assertNoResult(refused)
        self.assertEqual((stream.totalSent, policy.due), (100, {"tag": 0}))
        refused.addErrback(lambda failure: None)

    def test_receipts(self) -> None:
        """Each receipt proves what is new in it, once, and nothing if it was made up."""
        verifier = self.names["Verifier"]()
        server = self.listen()
        credentials = self.names["sell"](server, verifier)
        self.connection = self.after(self.client.connect(credentials))
        stream = self.openStream().transport
        proved = []
        for amount in (100, 50):
            receipt = self.after(self.bought(stream, amount))
            proved.append((len(receipt), verifier.accept(receipt), verifier.accept(receipt)))
        self.assertEqual(proved, [(58, 100, 0), (58, 50, 0)])
        self.assertEqual(stream.receipt, receipt)
        for wrong in (b"", receipt[:-1] + b"!", bytes(58)):
            self.assertEqual(verifier.accept(wrong), 0)

    def bought(self, stream: Any, amount: int) -> Any:
        """A Deferred of the page's coroutine."""
        return Deferred.fromCoroutine(self.names["buy"](stream, amount))

    def test_tags(self) -> None:
        """The tag is where the page says it is."""
        self.listen()
        self.open()
        self.run_()
        transport = self.served.made[0].transport
        self.assertEqual(transport.getPeer().connectionTag, "tag")
        self.assertEqual(transport.getHost().connectionTag, "tag")
        self.assertEqual(self.served.peers[0].connectionTag, "tag")


class EndpointTests(ConnectedTestCase):
    """What C{endpoints.rst} defines."""

    skip = MISSING

    def test_loop(self) -> None:
        """The page's own kind of plugin carries packets, and its factory makes it."""
        names = execute(blocksOf("docs/endpoints.rst", "python"))
        factory = names["LoopFactory"]()
        self.assertTrue(verifyObject(IPluginFactory, factory))
        plugin = factory.fromString(self.clock, "test.me")
        self.assertTrue(verifyObject(IPlugin, plugin))
        self.failureResultOf(plugin.sendData(encodeRequest(1.0)))
        account: Account = self.account(plugin)
        self.assertEqual((account.address, account.assetCode), ("test.me", "USD"))
        self.right, self.client = account, StreamClient(account)
        self.listen()
        payer = self.open(StreamProtocol)
        self.after(payer.transport.sendMoney(100))
        self.assertEqual(self.served.made[0].amounts, [100])

    def test_byName(self) -> None:
        """The drop-in's line is an C{IPluginFactory} that imports nothing yet."""
        loop = execute(blocksOf("docs/endpoints.rst", "python"))["loop"]
        self.assertIsInstance(loop, FactoryByName)
        self.assertTrue(verifyObject(IPluginFactory, loop))
        self.assertRaises(ModuleNotFoundError, loop.fromString, self.clock)


class OptionTests(ConnectedTestCase):
    """What C{options.rst} defines, and says of the rate floor."""

    skip = MISSING

    def test_functions(self) -> None:
        """The options are taken."""
        names = execute(blocksOf("docs/options.rst", "python"))
        server = names["makeServer"](self.right, bytes(32))
        self.successResultOf(server.listen(StreamFactory.forProtocol(StreamProtocol)))
        connected = names["connect"](self.left, server.generateCredentials())
        self.assertTrue(self.after(connected).session.hasPeer)

    def floor(self, ratio: Ratio, **options: Any) -> Any:
        """What becomes of 1000 units, when the path takes its part."""
        path = kit.SimulatedPath(self.clock, [kit.Rate(ratio)], left=LEFT, right=RIGHT)
        self.join(path.left, path.right)
        self.listen()
        stream = self.open(**options).transport
        stream.sendMoney(1000).addErrback(lambda failure: None)
        self.run_(60)
        return stream

    def test_given(self) -> None:
        """A floor that is given lets nothing leave at a worse rate."""
        self.assertEqual(self.floor(Ratio(9, 10), minimumRate=Ratio(95, 100)).totalSent, 0)

    def test_measured(self) -> None:
        """A floor that is measured takes the rate as it is."""
        self.assertEqual(self.floor(Ratio(5, 10)).totalSent, 1000)

    def test_any(self) -> None:
        """Without a floor all may be kept by the path; that goes before a floor given."""
        options = {"acceptAnyRate": True, "minimumRate": Ratio(1)}
        stream = self.floor(Ratio(1, 10**6), **options)
        self.assertEqual((stream.totalSent, stream.totalDelivered), (1000, 0))
