"""
The rules of the house, read from the source.

The tables at the top are the architecture: which module stands in which room, and which rooms a
room may know. A new module is entered there. Each rule is a function from modules to complaints;
it is run on the package, where there must be none, and on a small bad sample, where there must be.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import txilpstream

PACKAGE = "txilpstream"
ROOT = Path(txilpstream.__file__).parent

# Where each module or subpackage stands. Names are relative to the package.
ROOMS = {
    "_version": "contracts",
    "errors": "contracts",
    "interfaces": "contracts",
    "amounts": "contracts",
    "wire": "wire",
    "crypto": "secrets",
    "credentials": "secrets",
    "receipts": "secrets",
    "receiptverifier": "secrets",
    "tokens": "secrets",
    "session": "session",
    "protocol": "twisted",
    "stream": "twisted",
    "asking": "twisted",
    "awaited": "twisted",
    "connection": "twisted",
    "offers": "twisted",
    "moneyrate": "twisted",
    "opening": "twisted",
    "producerside": "twisted",
    "moneyside": "twisted",
    "telling": "twisted",
    "timer": "twisted",
    "stateless": "twisted",
    "statelesspayment": "twisted",
    "totals": "twisted",
    "turns": "twisted",
    "undecided": "twisted",
    "account": "twisted",
    "client": "twisted",
    "server": "twisted",
    "endpoints": "twisted",
    "payments": "twisted",
    "payer": "twisted",
    "outcome": "twisted",
    "reserve": "twisted",
    "paymentstate": "twisted",
    "terms": "twisted",
    "plugins": "plugins",
    "testing": "testing",
    "hub": "apps",
    "spsp": "apps",
    "spspsite": "apps",
    "boundedagent": "apps",
    "pointers": "apps",
    "spspcache": "apps",
    "spsprequest": "apps",
    "announcing": "apps",
    "complaining": "apps",
    "hubcommand": "apps",
    "paycommand": "apps",
    "paying": "apps",
    "pingcommand": "apps",
    "quotecommand": "apps",
    "reaching": "apps",
    "receivecommand": "apps",
    "receiving": "apps",
    "running": "apps",
    "servecommand": "apps",
    "settings": "apps",
    "spspserver": "apps",
    "strings": "apps",
    "trace": "apps",
    "plot": "apps",
    "plotaxes": "apps",
    "plotcommand": "apps",
    "plotdata": "apps",
    "plotpage": "apps",
    "plotpanels": "apps",
    "service": "apps",
    "cli": "apps",
    "demo": "apps",
    "democommand": "apps",
    "progress": "apps",
    "decodecommand": "apps",
    "inspection": "apps",
}

# What a room may import besides itself.
MAY_KNOW = {
    "contracts": set[str](),
    "wire": {"contracts"},
    "secrets": {"contracts", "wire"},
    "session": {"contracts", "wire", "secrets"},
    "twisted": {"contracts", "wire", "secrets", "session"},
    "plugins": {"contracts", "wire"},
    "testing": {"contracts", "wire", "plugins"},
    "apps": {"contracts", "wire", "secrets", "session", "twisted", "plugins", "testing"},
}

# The package itself, which offers the public names of every room, and its __main__.
EXEMPT = {"", "__main__"}

# Within session/, a module imports none of a higher level than its own.
SESSION_LEVELS = {
    "configuration": 0,
    "events": 0,
    "rounds": 0,
    "congestion": 0,
    "exchangerate": 1,
    "packetamount": 1,
    "liquidity": 1,
    "pacing": 1,
    "inflight": 1,
    "controls": 1,
    "money": 1,
    "databuffers": 1,
    "windows": 1,
    "retry": 1,
    "stream": 2,
    "streams": 3,
    "announcer": 3,
    "state": 4,
    "incoming": 4,
    "replyframes": 4,
    "hearing": 5,
    "receiver": 5,
    "stateless": 4,
    "jointcontrol": 2,
    "path": 2,
    "commands": 5,
    "packing": 5,
    "bounds": 2,
    "tracing": 3,
    "together": 5,
    "probing": 6,
    "offers": 7,
    "evidence": 6,
    "sender": 8,
    "deadlines": 9,
    "givingback": 5,
    "settlement": 10,
    "standing": 9,
    "session": 11,
}

# Each of these is one rule about the path, and knows no other; the shared rate rule is rounds.
CONTROLS = {"exchangerate", "packetamount", "liquidity", "pacing", "inflight"}
CONTROLS_MAY_KNOW = {"rounds"}

# What rooms that are told the time and given their randomness have no use for.
IMPURE = {"twisted", "zope", "time", "os", "random", "socket", "logging"}

FILE_LINES = 400
CLASS_LINES = 250
FUNCTION_LINES = 45


@dataclass(slots=True)
class Import:
    """One name that a module imports."""

    line: int
    target: str
    """The module, absolute: C{a.b} for C{from a.b import c}, unless C{a.b.c} is a module too."""


@dataclass(slots=True)
class Module:
    """One source file of the package."""

    name: str
    """Relative to the package: C{"wire.oer"}; the package itself is C{""}."""
    source: str
    nodes: list[ast.AST]
    """Of its whole syntax tree."""

    def complain(self, line: int, text: str) -> str:
        """Return a complaint that says where it is about."""
        return f"{self.name or '__init__'}:{line}: {text}"


def parse(sources: dict[str, str]) -> list[Module]:
    """Make modules of source text by relative name."""
    return [
        Module(name, source, list(ast.walk(ast.parse(source)))) for name, source in sources.items()
    ]


@cache
def readPackage(root: Path) -> list[Module]:
    """Read every module of the package but its tests, once for all rules."""
    sources = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[0] == "test":
            continue
        if parts[-1] == "__init__":
            parts = parts[:-1]
        sources[".".join(parts)] = path.read_text(encoding="utf-8")
    return parse(sources)


def importsOf(module: Module, names: set[str]) -> Iterator[Import]:
    """Yield all that a module imports, at its top, in functions and for types only."""
    for node in module.nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                yield Import(node.lineno, longer if within(longer) in names else node.module)


def within(target: str) -> str | None:
    """Return an absolute name relative to the package, or None if it is not of the package."""
    if target == PACKAGE:
        return ""
    return target[len(PACKAGE) + 1 :] if target.startswith(PACKAGE + ".") else None


def ownImports(module: Module, names: set[str]) -> Iterator[tuple[int, str]]:
    """Yield line and relative name of each import from the package itself."""
    for found in importsOf(module, names):
        name = within(found.target)
        if name is not None:
            yield found.line, name


def roomOf(name: str) -> str | None:
    """Return the room of a module by its relative name."""
    return ROOMS.get(name.partition(".")[0])


def checkPlaces(modules: list[Module]) -> list[str]:
    """Every module stands in a room, and every module of session/ on a level."""
    complaints = []
    for module in modules:
        if module.name not in EXEMPT and roomOf(module.name) is None:
            complaints.append(module.complain(1, "stands in no room: enter it in ROOMS"))
        room, _, name = module.name.partition(".")
        if room == "session" and name and name not in SESSION_LEVELS:
            complaints.append(module.complain(1, "has no level: enter it in SESSION_LEVELS"))
    return complaints


def checkDirections(modules: list[Module]) -> list[str]:
    """Imports run downward only."""
    names = {module.name for module in modules}
    complaints = []
    for module in modules:
        room = roomOf(module.name)
        if module.name in EXEMPT or room is None:
            continue
        for line, target in ownImports(module, names):
            other = roomOf(target)
            if target == "":
                # The package brings in all rooms, so it is above all of them.
                complaints.append(module.complain(line, "imports the package, not a module of it"))
            elif other != room and other not in MAY_KNOW[room]:
                text = f"stands in {room} and imports {target} of {other}"
                complaints.append(module.complain(line, text))
    return complaints


def checkSession(modules: list[Module]) -> list[str]:
    """Within session/, imports run from the session down to the windows."""
    names = {module.name for module in modules}
    top = max(SESSION_LEVELS.values()) + 1
    complaints = []
    for module in modules:
        room, _, name = module.name.partition(".")
        if room != "session" or name not in SESSION_LEVELS:
            continue
        for line, target in ownImports(module, names):
            room, _, other = target.partition(".")
            if room != "session" or other == name:
                continue
            # The subpackage itself, which may offer any of its names, is above them all.
            if SESSION_LEVELS.get(other, top) > SESSION_LEVELS[name]:
                complaints.append(module.complain(line, f"imports {target}, which is above it"))
            elif name in CONTROLS and other not in CONTROLS_MAY_KNOW:
                complaints.append(module.complain(line, f"is a control and imports {target}"))
    return complaints


def checkPurity(modules: list[Module]) -> list[str]:
    """Neither wire/ nor session/ nor crypto knows a clock, a network, a log or Twisted."""
    names = {module.name for module in modules}
    complaints = []
    for module in modules:
        if module.name.split(".")[0] not in {"wire", "session", "crypto"}:
            continue
        for found in importsOf(module, names):
            if found.target.split(".")[0] in IMPURE:
                complaints.append(module.complain(found.line, f"imports {found.target}"))
    return complaints


def checkWire(modules: list[Module]) -> list[str]:
    """Of what is not in this package, wire/ imports the standard library only."""
    names = {module.name for module in modules}
    complaints = []
    for module in modules:
        if module.name.split(".")[0] != "wire":
            continue
        for found in importsOf(module, names):
            root = found.target.split(".")[0]
            if root != PACKAGE and root not in sys.stdlib_module_names:
                text = f"imports {found.target}, which is not of the standard library"
                complaints.append(module.complain(found.line, text))
    return complaints


def checkAbsolute(modules: list[Module]) -> list[str]:
    """All imports are absolute."""
    return [
        module.complain(node.lineno, "imports relatively")
        for module in modules
        for node in module.nodes
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]


def checkSizes(modules: list[Module]) -> list[str]:
    """No file, class or function is too long; blank lines, comments and decorators count."""
    complaints = []
    for module in modules:
        lines = len(module.source.splitlines())
        if lines > FILE_LINES:
            complaints.append(module.complain(1, f"has {lines} lines; the limit is {FILE_LINES}"))
        for node in module.nodes:
            if isinstance(node, ast.ClassDef):
                limit = CLASS_LINES
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                limit = FUNCTION_LINES
            else:
                continue
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            lines = (node.end_lineno or node.lineno) - first + 1
            if lines > limit:
                text = f"{node.name} has {lines} lines; the limit is {limit}"
                complaints.append(module.complain(first, text))
    return complaints


def findReactor(root: Path, package: str) -> str:
    """Import a package in a fresh process, and say whether that brought in a reactor."""
    program = (
        f"import sys; sys.path.insert(0, {str(root)!r}); import {package}; "
        "print('twisted.internet.reactor' in sys.modules)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60
    )
    return finished.stdout.strip() or finished.stderr


class HouseTests(SynchronousTestCase):
    """The package keeps the rules."""

    def assertKept(self, check: Callable[[list[Module]], list[str]]) -> None:
        """Fail with all complaints, one on a line."""
        complaints = check(readPackage(ROOT))
        self.assertEqual(complaints, [], "\n" + "\n".join(complaints))

    def test_packageIsRead(self) -> None:
        """The rules are held against the real modules, and not against nothing."""
        names = {module.name for module in readPackage(ROOT)}
        self.assertLessEqual({"", "errors", "wire.frames", "crypto"}, names)
        self.assertFalse([name for name in names if name.split(".")[0] == "test"])

    def test_everyModuleStandsInARoom(self) -> None:
        self.assertKept(checkPlaces)

    def test_importsRunDownward(self) -> None:
        self.assertKept(checkDirections)

    def test_sessionImportsRunDownward(self) -> None:
        self.assertKept(checkSession)

    def test_timeAndRandomnessAreArguments(self) -> None:
        self.assertKept(checkPurity)

    def test_wireNeedsTheStandardLibraryOnly(self) -> None:
        self.assertKept(checkWire)

    def test_importsAreAbsolute(self) -> None:
        self.assertKept(checkAbsolute)

    def test_sizes(self) -> None:
        self.assertKept(checkSizes)

    def test_noReactorIsInstalled(self) -> None:
        """Whoever imports the package may still choose a reactor."""
        self.assertEqual(findReactor(ROOT.parent, PACKAGE), "False")


class SampleTests(SynchronousTestCase):
    """Each rule sees what breaks it, so that the tests above can fail."""

    def assertSeen(
        self,
        check: Callable[[list[Module]], list[str]],
        sources: dict[str, str],
        *expected: str,
    ) -> None:
        """Fail unless the complaints are about these places, in this order."""
        found = [complaint.split(": ")[0] for complaint in check(parse(sources))]
        self.assertEqual(found, list(expected))

    def test_places(self) -> None:
        sources = {"": "", "__main__": "", "utils": "", "wire.oer": "", "wire": ""}
        self.assertSeen(checkPlaces, sources, "utils:1")
        sources = {"session": "", "session.money": "", "session.manager": ""}
        self.assertSeen(checkPlaces, sources, "session.manager:1")

    def test_directions(self) -> None:
        sources = {
            "": "from txilpstream.transport.client import StreamClient",
            "errors": "import txilpstream.wire.oer",
            "wire.oer": "from txilpstream.errors import DecodeError",
            "wire.ilp": "from txilpstream.wire import oer\nfrom txilpstream import crypto",
            "crypto": "from txilpstream.wire.oer import x\nfrom txilpstream import StreamError",
            "client": "def f():\n    from txilpstream.plugins.memory import MemoryPlugin",
            "plugins.memory": "import txilpstream.interfaces\nimport txilpstream.session.session",
            "testing": "import txilpstream.plugins.memory\nimport txilpstream.transport.client",
            "cli": "import txilpstream.testing, txilpstream.transport.client, txilpstream.hub.routes",
            "demo": "import txilpstream.test.test_rooms",
        }
        self.assertSeen(
            checkDirections,
            sources,
            "errors:1",
            "wire.ilp:2",
            "crypto:2",
            "client:2",
            "plugins.memory:2",
            "testing:2",
            "demo:1",
        )

    def test_directionsForTypesOnly(self) -> None:
        """An import that only a type checker sees is knowledge too."""
        source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import txilpstream.transport.client"
        self.assertSeen(checkDirections, {"session.session": source}, "session.session:3")

    def test_session(self) -> None:
        prefix = "from txilpstream.session"
        sources = {
            "session": f"{prefix}.session import Session",
            "session.session": f"{prefix}.sender import Sender",
            "session.streams": f"{prefix}.stream import Stream\n{prefix}.sender import Sender",
            "session.stream": f"{prefix} import money, streams",
            "session.windows": f"{prefix} import Session",
            "session.sender": f"{prefix}.pacing import Pacing",
            "session.pacing": f"{prefix}.rounds import Rounds\n{prefix}.liquidity import Liquidity",
            "session.rounds": f"{prefix}.pacing import Pacing",
            "session.inflight": "import txilpstream.wire.ilp\nimport txilpstream.session.events",
        }
        # A name is taken for a module only if there is such a module.
        sources |= {"session.money": ""}
        self.assertSeen(
            checkSession,
            sources,
            "session.streams:2",
            "session.stream:1",
            "session.windows:1",
            "session.pacing:2",
            "session.rounds:1",
            "session.inflight:2",
        )

    def test_purity(self) -> None:
        sources = {
            "wire.btp": "import os.path",
            "session.pacing": "from time import monotonic",
            "crypto": "def f():\n    import random",
            "session.session": "import timeit, hashlib\nfrom zope.interface import implementer",
            "credentials": "import os",
            "connection": "from twisted.logger import Logger",
        }
        self.assertSeen(
            checkPurity, sources, "wire.btp:1", "session.pacing:1", "crypto:2", "session.session:2"
        )

    def test_wire(self) -> None:
        sources = {
            "wire.oer": "import struct\nimport cryptography.hazmat\nimport txilpstream.errors",
            "crypto": "import cryptography",
        }
        self.assertSeen(checkWire, sources, "wire.oer:2")

    def test_absolute(self) -> None:
        sources = {"wire.ilp": "from . import oer\nfrom ..errors import DecodeError\nimport sys"}
        self.assertSeen(checkAbsolute, sources, "wire.ilp:1", "wire.ilp:2")

    def test_sizes(self) -> None:
        """The longest that is allowed passes, and one line more does not."""

        def body(lines: int) -> str:
            return "    x = 1\n" * lines

        good = {
            "file": "x = 1\n" * FILE_LINES,
            "class": "class A:\n" + body(CLASS_LINES - 1),
            "function": "def f():\n" + body(FUNCTION_LINES - 1),
        }
        self.assertSeen(checkSizes, good)
        bad = {
            "file": "x = 1\n" * (FILE_LINES + 1),
            "class": "class A:\n" + body(CLASS_LINES),
            "function": "x = 1\nasync def f():\n" + body(FUNCTION_LINES),
            "decorated": "@g\ndef f():\n" + body(FUNCTION_LINES - 1),
        }
        self.assertSeen(checkSizes, bad, "file:1", "class:1", "function:2", "decorated:1")

    def test_reactor(self) -> None:
        """A package that installs a reactor is seen."""
        folder = Path(self.mktemp())
        folder.mkdir()
        folder.joinpath("bad.py").write_text("from twisted.internet import reactor\n")
        self.assertEqual(findReactor(folder.resolve(), "bad"), "True")
