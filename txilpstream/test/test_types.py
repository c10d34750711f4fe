"""
What type checkers make of the public face: they take what is right and see what is not.

Users have neither the zope plugin of mypy nor our configuration, so the checkers run without both.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.interface import InterfaceClass

import txilpstream

CHECKOUT = Path(txilpstream.__file__).resolve().parents[1]
EXAMPLES = CHECKOUT / "examples"

LONGEST = 300
"""Seconds that a checker may take on a busy machine."""

GOOD = """from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.web.client import Agent
from zope.interface import implementer

from txilpstream import (
    Account,
    AccountDetails,
    Credentials,
    IPaymentPolicy,
    IPlugin,
    PaymentError,
    PaymentRequest,
    PaymentState,
    Payment,
    PaymentResult,
    Quote,
    Ratio,
    Reactor,
    Refusal,
    StatelessReceiver,
    StatelessRequest,
    StreamClient,
    StreamClientEndpoint,
    StreamConnection,
    StreamFactory,
    StreamProtocol,
    StreamServer,
    StreamServerEndpoint,
    memoryPair,
    pay,
    pluginFromEnvironment,
    pluginFromString,
    quote,
    resolve,
)
from txilpstream.ledger.memory import MemoryTotals
from txilpstream.spsp.server import SPSPResource, SPSPServer


class Tip(StreamProtocol):
    def connectionMade(self) -> None:
        self.transport.write(b"thanks for the song")
        self.transport.sendMoney(500).addCallback(self._cbSent)

    def moneyReceived(self, amount: int) -> None:
        print("got", amount)

    def _cbSent(self, payment: PaymentResult) -> None:
        self.transport.loseConnection()


@implementer(IPaymentPolicy)
class Doorkeeper:
    def judgePayment(self, request: PaymentRequest) -> bool | Refusal:
        return request.amount < 5 or Refusal("too much")


def accept(request: StatelessRequest) -> Deferred[bool]:
    return succeed(request.amount < 5)


def withInterfaces(
    reactor: IReactorTime, plugin: IPlugin, factory: IProtocolFactory, credentials: Credentials
) -> None:
    account = Account(reactor, plugin)
    StreamServer(plugin, policy=Doorkeeper(), reactor=reactor).listen(factory)
    StreamClient(plugin, reactor=reactor).connect(credentials, factory=factory)
    pay(plugin, credentials, sourceAmount=5, reactor=reactor)
    pluginFromString(reactor, "memory:shop")
    StreamClientEndpoint(StreamClient(account), credentials).connect(factory)


def withTheReactor() -> None:
    from twisted.internet import reactor

    left, right = memoryPair(reactor)
    Account(reactor, left)
    Account.open(reactor, right)
    StreamServer(left, reactor=reactor)
    pluginFromEnvironment(reactor)
    resolve(reactor, "$shop.example/alice", clock=reactor)


async def main(reactor: Reactor, agent: Agent) -> None:
    left, right = memoryPair(reactor, left=AccountDetails("example.alice", 9, "USD"))
    account = await Account.open(reactor, left)
    plugin = pluginFromString(reactor, "memory:shop")
    await Account.open(reactor, plugin, address="example.shop")
    server = StreamServer(right, bytes(32), reactor=reactor, policy=Doorkeeper())
    port = await server.listen(StreamFactory.forProtocol(Tip))
    credentials: Credentials = server.generateCredentials(connectionTag="invoice-7")
    client = StreamClient(account)
    connection: StreamConnection = await client.connect(credentials, timeout=5, idleTimeout=9.0)
    tip: Tip = await connection.openStream(StreamFactory.forProtocol(Tip))
    tip.transport.setSendRate(5)
    await connection.close()
    await port.stopListening()

    result: PaymentResult = await pay(account, "$shop.example/alice", sourceAmount=1000)
    await pay(plugin, credentials, destinationAmount=5, rate=Ratio(9, 10), reactor=reactor)
    await pay(connection, sourceAmount=5, options={"maximumInFlight": 5}, agent=agent)
    told: Quote = await quote(account, credentials, sourceAmount=5, timeout=3)
    print(result.sent, told.expectedDelivery)
    payment = Payment(account, credentials, sourceAmount=5, save=lambda state: None)
    try:
        await payment.start()
    except PaymentError as error:
        print(error.result.sent)
    await payment.stop()
    state = PaymentState.fromJSON(payment.state.toJSON())
    print(state.inDoubt, Credentials.fromJSON(credentials.toJSON()))

    listening = await StreamServerEndpoint(server).listen(Factory.forProtocol(Protocol))
    await StreamClientEndpoint(client, credentials).connect(Factory.forProtocol(Protocol))
    await listening.stopListening()
    receiver = StatelessReceiver(account, bytes(32), MemoryTotals())
    await receiver.start()
    await receiver.stop()
    StatelessReceiver(account, bytes(32), MemoryTotals(), accept=accept)
    shop = SPSPServer(reactor, "tcp:80", SPSPResource(server))
    await shop.start()
    await shop.stop()
    await resolve(agent, "$shop.example/alice", clock=Clock())
    await resolve(reactor, "$shop.example/alice")


def virtually() -> Deferred[None]:
    return Deferred.fromCoroutine(main(Clock(), Agent(Clock())))
"""
"""A small program that uses what the package offers; no checker complains."""

BAD = {
    "a typo in an argument": "pay(account, '$shop.example/alice', sourceAmuont=1)",
    "the same of a quote": "quote(account, '$shop.example/alice', sourceAmuont=1)",
    "a float amount": "pay(account, '$shop.example/alice', sourceAmount=1.5)",
    "octets for whom": "pay(account, b'$shop.example/alice', sourceAmount=1)",
    "a text for a plugin": "pay('btp+ws://:token@127.0.0.1:7768', '$shop.example', sourceAmount=1)",
    "a text for an account's plugin": "Account.open(reactor, 'btp+ws://:token@127.0.0.1:7768')",
    "a typo in what an account takes": "Account.open(reactor, plugin, adress='example.shop')",
    "a typo in an option": "pay(account, '$shop.example', sourceAmount=1, options={'inFlight': 1})",
    "a typo in a connection's option": "StreamClient(account).connect(credentials, timout=5)",
    "a name that is not there": "account.attach",
    "a policy that is none": "StreamServer(account, policy='yes')",
}
"""One line each, of which every checker complains."""

ANY = {
    "Stream.registerProducer: producer": "it is a push or a pull producer; Twisted has no one type"
}
"""Parameters that are of any type, each with the reason."""

HEAD = """from txilpstream import Account, Credentials, Plugin, Reactor, StreamClient, StreamServer
from txilpstream import pay, quote


def program(account: Account, plugin: Plugin, reactor: Reactor, credentials: Credentials) -> None:
"""


@dataclass(slots=True, frozen=True)
class Complaint:
    """What a checker says of a line."""

    file: str
    line: int
    text: str


def run(folder: Path, *command: str) -> str:
    """What a checker prints, of the version that is installed."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(CHECKOUT)},
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def runMypy(folder: Path, files: list[str]) -> list[Complaint]:
    """Run mypy without plugins or any other configuration."""
    options = ("--config-file=", f"--python-executable={sys.executable}")
    printed = run(
        folder,
        *("mypy", *options, "--check-untyped-defs", "--follow-imports=silent", "--output=json"),
        *files,
    )
    found = [json.loads(line) for line in printed.splitlines()]
    return [
        Complaint(Path(each["file"]).name, each["line"], each["message"])
        for each in found
        if each["severity"] == "error"
    ]


def runPyright(folder: Path, files: list[str]) -> list[Complaint]:
    """Run pyright, told no more than where things are."""
    configuration = {"extraPaths": [str(CHECKOUT)], "include": files}
    (folder / "pyrightconfig.json").write_text(json.dumps(configuration), encoding="utf-8")
    printed = run(folder, "pyright", "--outputjson", "--pythonpath", sys.executable)
    return [
        Complaint(Path(each["file"]).name, each["range"]["start"]["line"] + 1, each["message"])
        for each in json.loads(printed)["generalDiagnostics"]
        if each["severity"] == "error"
    ]


@cache
def complaintsOf(checker: Callable[[Path, list[str]], list[Complaint]]) -> list[Complaint]:
    """All that a checker says of the programs above and of the examples."""
    bad = HEAD + "".join(f"    {line}  # {why}\n" for why, line in BAD.items())
    with TemporaryDirectory() as name:
        folder = Path(name).resolve()
        for file, source in (("good.py", GOOD), ("bad.py", bad)):
            (folder / file).write_text(source, encoding="utf-8")
        for example in EXAMPLES.glob("*.py"):
            copy(example, folder)
        return checker(folder, sorted(path.name for path in folder.glob("*.py")))


class Checks:
    """What holds for each checker."""

    checker: Any
    assertEqual: Any

    def complaints(self, *names: str) -> list[Complaint]:
        """What it says of files."""
        return [each for each in complaintsOf(type(self).checker) if each.file in names]

    def test_good(self) -> None:
        """A program that uses the whole public face is right."""
        self.assertEqual(self.complaints("good.py"), [])

    def test_examples(self) -> None:
        """The examples are right."""
        if not EXAMPLES.is_dir():
            raise SkipTest(f"there is no {EXAMPLES}: the examples are in the checkout")
        self.assertEqual(self.complaints(*(path.name for path in EXAMPLES.glob("*.py"))), [])

    def test_bad(self) -> None:
        """Each mistake is seen, and nothing else there is taken for one."""
        lines = {each.line for each in self.complaints("bad.py")}
        first = len(HEAD.splitlines()) + 1
        seen = {why for index, why in enumerate(BAD) if index + first in lines}
        self.assertEqual(set(BAD) - seen, set())
        self.assertEqual(len(lines), len(BAD))


class MypyTests(Checks, SynchronousTestCase):
    """Mypy without plugins."""

    checker = staticmethod(runMypy)

    if find_spec("mypy") is None:
        skip = "mypy is not installed: it is in the extra 'dev'"


class PyrightTests(Checks, SynchronousTestCase):
    """Pyright."""

    checker = staticmethod(runPyright)

    if find_spec("pyright") is None:
        skip = "pyright is not installed: it is in the extra 'dev'"


def publicCalls(namespace: dict[str, Any]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Functions and classes with their public methods, by name."""
    for name, found in namespace.items():
        if isinstance(found, InterfaceClass) or not callable(found):
            continue
        if getattr(found, "_is_protocol", False):
            continue
        if not inspect.isclass(found):
            yield name, found
            continue
        if found.__init__ is not object.__init__ and not issubclass(found, Exception):
            yield name, found.__init__
        for attribute in vars(found):
            if not attribute.startswith("_") and inspect.isroutine(vars(found)[attribute]):
                yield f"{name}.{attribute}", getattr(found, attribute)


def checkSignatures(namespace: dict[str, Any]) -> list[str]:
    """
    Every parameter has a type, and none stands for whatever is called in any way.

    The fields of a C{TypedDict} may be keywords: a type checker knows each of them.
    """
    complaints = []
    for name, call in publicCalls(namespace):
        for parameter in inspect.signature(call).parameters.values():
            hint = str(parameter.annotation)
            if parameter.name in ("self", "cls"):
                continue
            if parameter.annotation is parameter.empty:
                complaints.append(f"{name}: {parameter.name} has no type")
            elif parameter.kind is parameter.VAR_KEYWORD and not hint.startswith("Unpack["):
                complaints.append(f"{name}: **{parameter.name} takes anything")
            elif hint == "Any" and f"{name}: {parameter.name}" not in ANY:
                complaints.append(f"{name}: {parameter.name} is of any type")
    return complaints


class SignatureTests(SynchronousTestCase):
    """What can be called says what it takes."""

    def test_public(self) -> None:
        """Every function, class and method that the package offers."""
        names = [name for name in txilpstream.__all__ if name != "__version__"]
        complaints = checkSignatures({name: getattr(txilpstream, name) for name in names})
        self.assertEqual(complaints, [], "\n" + "\n".join(complaints))

    def test_badSample(self) -> None:
        """What the rule is against is seen."""

        def careless(source, other: Any, *, good: int = 1, **arguments: object) -> None:  # type: ignore[no-untyped-def]
            pass

        class Careless:
            def method(self, value) -> None:  # type: ignore[no-untyped-def]
                pass

            def _private(self, value) -> None:  # type: ignore[no-untyped-def]
                pass

        self.assertEqual(
            checkSignatures({"careless": careless, "Careless": Careless}),
            [
                "careless: source has no type",
                "careless: other is of any type",
                "careless: **arguments takes anything",
                "Careless.method: value has no type",
            ],
        )
