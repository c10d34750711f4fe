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
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import txilpstream

PACKAGE = "txilpstream"
ROOT = Path(txilpstream.__file__).parent

# What stands directly in the package. A folder's C{__init__} says what it is for.
ROOMS = {
    "_version": "contracts",
    "errors": "contracts",
    "interfaces": "contracts",
    "amounts": "contracts",
    "logs": "contracts",
    "waiters": "contracts",
    "wire": "wire",
    "crypto": "crypto",
    "session": "session",
    "http": "http",
    "transport": "transport",
    "plugins": "plugins",
    "testing": "testing",
    "ledger": "ledger",
    "spsp": "spsp",
    "payments": "payments",
    "hub": "hub",
    "trace": "trace",
    "service": "service",
    "cli": "cli",
}

MOST_MODULES = 5
"""Directly in the package, besides C{__init__}, C{__main__} and C{_version}."""

MOST_FOLDERS = 17

# What a room may import besides itself and the contracts, which know nothing but each other.
MAY_KNOW = {
    "contracts": set[str](),
    "wire": set[str](),
    "crypto": {"wire"},
    "session": {"wire", "crypto"},
    "http": set[str](),
    "transport": {"wire", "crypto", "session"},
    "plugins": {"wire", "http"},
    "testing": {"wire", "plugins"},
    "ledger": set[str](),
    "spsp": {"wire", "crypto", "http"},
    "payments": {"wire", "crypto", "session", "transport", "spsp"},
    "hub": {"wire", "http", "plugins"},
    "trace": {"wire", "session"},
    "service": {
        *{"wire", "crypto", "http", "session", "transport", "plugins", "ledger", "spsp"},
        *{"payments", "hub", "trace"},
    },
    "cli": {
        *{"wire", "crypto", "http", "session", "transport", "plugins", "ledger", "spsp"},
        *{"payments", "hub", "trace", "service", "testing"},
    },
}

# Single modules that may know a room which theirs may not, each with the reason.
DOORS = {
    # Endpoint strings name a plugin by its string.
    "transport.endpointstrings": {"plugins"}
}

# The package itself, which offers the public names of every room, and its __main__.
EXEMPT = {"", "__main__"}

# Of session/, these folders know only each other's names here and what is listed.
INNER_ROOMS = {
    "session.streams": {"session.configuration", "session.events"},
    "session.congestion": {"session.configuration", "session.events"},
}

# Each of these is one rule about the path, and knows no other; they share the rule of rates.
CONTROLS = {
    "session.exchangerate",
    "session.congestion.maxpacket",
    "session.congestion.liquidity",
    "session.congestion.pacing",
}
CONTROLS_MAY_KNOW = {"session.congestion.adaptiverate"}

# What rooms that are told the time and given their randomness have no use for.
IMPURE = {
    *{"twisted", "zope", "time", "os", "random", "secrets", "uuid", "socket", "ssl"},
    *{"asyncio", "threading", "subprocess", "logging"},
}
PURE = ("wire", "session", "crypto.keys")

FILE_LINES = 800
FUNCTION_LINES = 60

# Files and functions that are longer, each with the reason why it is one idea.
LONG: dict[str, str] = {}

# What a class derives from, near or far, if it is an interface; and C{typing.Protocol}, if near.
INTERFACES = ("zope.interface.Interface", "twisted.internet.interfaces.")

# Classes with one subclass here that are made to be derived from elsewhere, each with the reason.
BASES: dict[str, str] = {}


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
    isFolder: bool
    """Whether it is the C{__init__} of a folder."""
    tree: ast.Module
    nodes: list[ast.AST]
    """Of the whole tree."""

    def complain(self, line: int, text: str) -> str:
        """Return a complaint that says where it is about."""
        return f"{self.name or '__init__'}:{line}: {text}"


def parse(sources: dict[str, str], folders: Collection[str] = ()) -> list[Module]:
    """Make modules of source text by relative name."""
    modules = []
    for name, source in sources.items():
        tree = ast.parse(source)
        modules.append(Module(name, source, name in folders, tree, list(ast.walk(tree))))
    return modules


@cache
def readPackage(root: Path) -> list[Module]:
    """Read every module of the package but its tests, once for all rules."""
    sources, folders = {}, []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if "test" in parts:
            continue
        if parts[-1] == "__init__":
            parts = parts[:-1]
            folders.append(".".join(parts))
        sources[".".join(parts)] = path.read_text(encoding="utf-8")
    return parse(sources, folders)


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


def isWithin(name: str, folder: str) -> bool:
    """Whether a module is that one, or in that folder."""
    return name == folder or name.startswith(folder + ".")


def checkPlaces(modules: list[Module]) -> list[str]:
    """Every module stands in a room, and the package has few doors."""
    complaints = []
    single: set[str] = set()
    folders: set[str] = set()
    for module in modules:
        room, _, rest = module.name.partition(".")
        if module.name not in EXEMPT and roomOf(module.name) is None:
            complaints.append(module.complain(1, "stands in no room: enter it in ROOMS"))
        (folders if rest or module.isFolder else single).add(room)
    single -= EXEMPT | {"_version"}
    for kind, names, most in (
        ("modules", single, MOST_MODULES),
        ("folders", folders - EXEMPT, MOST_FOLDERS),
    ):
        if len(names) > most:
            listed = ", ".join(sorted(names))
            complaints.append(
                f"{len(names)} {kind} stand in the package, more than {most}: {listed}"
            )
    return complaints


def checkFolders(modules: list[Module]) -> list[str]:
    """The first line of each folder's C{__init__} says what the folder is for."""
    complaints = []
    for module in modules:
        if module.isFolder and module.name:
            said = ast.get_docstring(module.tree)
            if said is None or " " not in said.splitlines()[0]:
                complaints.append(module.complain(1, "does not say what it is for"))
    return complaints


def checkDirections(modules: list[Module]) -> list[str]:
    """Imports run downward only."""
    names = {module.name for module in modules}
    complaints = []
    for module in modules:
        room = roomOf(module.name)
        if module.name in EXEMPT or room is None:
            continue
        known = {room, "contracts", *MAY_KNOW[room], *DOORS.get(module.name, ())}
        for line, target in ownImports(module, names):
            other = roomOf(target)
            if target == "":
                # The package brings in all rooms, so it is above all of them.
                complaints.append(module.complain(line, "imports the package, not a module of it"))
            elif other not in known:
                text = f"stands in {room} and imports {target} of {other}"
                complaints.append(module.complain(line, text))
    return complaints


def checkInnerRooms(modules: list[Module]) -> list[str]:
    """Within session/, streams and congestion stand below the rest, and controls alone."""
    names = {module.name for module in modules}
    complaints = []
    for module in modules:
        folder = next((each for each in INNER_ROOMS if isWithin(module.name, each)), None)
        for line, target in ownImports(module, names):
            if not isWithin(target, "session") or target == module.name:
                continue
            if module.name in CONTROLS and target not in CONTROLS_MAY_KNOW:
                complaints.append(module.complain(line, f"is a control and imports {target}"))
            elif folder and not isWithin(target, folder) and target not in INNER_ROOMS[folder]:
                complaints.append(module.complain(line, f"imports {target}, which is above it"))
    return complaints


def checkCircles(modules: list[Module]) -> list[str]:
    """No module imports itself by way of others, not even for types only."""
    names = {module.name for module in modules}
    folders = {module.name for module in modules if module.isFolder and module.name}
    imports = {}
    for module in modules:
        # Whoever imports a module imports the folders that it is in, unless he is in them too.
        imports[module.name] = sorted(
            {
                (line, each)
                for line, target in ownImports(module, names)
                for each in (target, *(folder for folder in folders if isWithin(target, folder)))
                if each == target or not isWithin(module.name, each)
            }
        )
    complaints = []

    def reach(start: str) -> list[str] | None:
        """The shortest way from a module back to itself."""
        ways = [[target] for _, target in imports[start]]
        seen: set[str] = set()
        for way in ways:
            if way[-1] == start:
                return way
            if way[-1] not in seen:
                seen.add(way[-1])
                ways += [[*way, target] for _, target in imports.get(way[-1], ())]
        return None

    for module in modules:
        # What the package offers is in everybody's reach, and nobody may import it.
        if module.name not in EXEMPT and (way := reach(module.name)) is not None:
            line = next(line for line, target in imports[module.name] if target == way[0])
            complaints.append(module.complain(line, f"is in a circle: {' -> '.join(way)}"))
    return complaints


def namesIn(modules: list[Module]) -> dict[str, str]:
    """Full names, such as C{hub.x.Base}, that stand for others by an import or an assignment."""
    names = {}
    for module in modules:
        for node in module.nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                above = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
                for alias in node.names:
                    if above or alias.asname:
                        target = above + alias.name
                        own = within(target)
                        new = alias.asname or alias.name
                        names[f"{module.name}.{new}"] = target if own is None else own
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name | ast.Attribute):
                for each in node.targets:
                    value = f"{module.name}.{ast.unparse(node.value)}"
                    names[f"{module.name}.{ast.unparse(each)}"] = value
    return names


def fullName(module: str, text: str, names: dict[str, str]) -> str:
    """What a dotted name means in a module; what is not of the package stays as it is."""
    full = f"{module}.{text}"
    for _ in range(20):  # of a name that stands for itself there is no end
        parts = full.split(".")
        for count in range(len(parts), 0, -1):
            if (head := ".".join(parts[:count])) in names:
                full = names[head] + full[len(head) :]
                break
    own = within(text)
    return full if own is None else own


def checkBases(modules: list[Module]) -> list[str]:
    """A base class has two subclasses, or is an interface; exceptions and records apart."""
    names = namesIn(modules)
    classes: dict[str, tuple[Module, ast.ClassDef]] = {}
    bases: dict[str, list[str]] = {}
    for module in modules:
        for node in module.nodes:
            if isinstance(node, ast.ClassDef):
                full = f"{module.name}.{node.name}"
                classes[full] = (module, node)
                bases[full] = [
                    fullName(module.name, ast.unparse(base).split("[")[0], names)
                    for base in node.bases
                ]

    def lineage(name: str) -> set[str]:
        """All that a class derives from, near or far, as far as the package tells."""
        found: set[str] = set()
        more = [name]
        while more:
            for base in bases.get(more.pop(), ()):
                if base not in found:
                    found.add(base)
                    more.append(base)
        return found

    complaints = []
    for name, (module, node) in classes.items():
        subclasses = [other for other, its in bases.items() if name in its]
        isRecord = any("dataclass" in ast.unparse(each) for each in node.decorator_list)
        above = lineage(name)
        if (
            len(subclasses) == 1
            and name not in BASES
            and not isRecord
            and "typing.Protocol" not in bases[name]
            and not any(each.startswith(INTERFACES) for each in above)
            and not any(each.endswith(("Exception", "Error")) for each in above)
        ):
            text = f"{node.name} has one subclass, {subclasses[0]}: one class is enough"
            complaints.append(module.complain(node.lineno, text))
    return complaints


def checkPurity(modules: list[Module]) -> list[str]:
    """Neither wire/ nor session/ nor the keys know a clock, a network, a log or Twisted."""
    names = {module.name for module in modules}
    impure = {  # of the contracts; crypto/ has the system's randomness for who gives none
        module.name
        for module in modules
        for found in importsOf(module, names)
        if found.target.split(".")[0] in IMPURE and roomOf(module.name) == "contracts"
    }
    complaints = []
    for module in modules:
        if not any(isWithin(module.name, pure) for pure in PURE):
            continue
        for found in importsOf(module, names):
            if found.target.split(".")[0] in IMPURE or within(found.target) in impure:
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


def longPlaces(modules: list[Module]) -> dict[str, str]:
    """Files and functions that are longer than is usual, with what is to be said of each."""
    places = {}
    for module in modules:
        name = module.name or "__init__"
        lines = len(module.source.splitlines())
        if lines > FILE_LINES:
            places[name] = module.complain(1, f"has {lines} lines, more than {FILE_LINES}")
        for node in module.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                lines = (node.end_lineno or node.lineno) - first + 1
                if lines > FUNCTION_LINES:
                    text = f"{node.name} has {lines} lines, more than {FUNCTION_LINES}"
                    places[f"{name}.{node.name}"] = module.complain(first, text)
    return places


def checkSizes(modules: list[Module]) -> list[str]:
    """What is long is named in a list; blank lines, comments and decorators count."""
    return [said for place, said in longPlaces(modules).items() if place not in LONG]


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
        modules = readPackage(ROOT)
        names = {module.name for module in modules}
        self.assertLessEqual(
            {"", "errors", "wire.frames", "crypto.keys", "cli.commands.pay"}, names
        )
        self.assertFalse([name for name in names if "test" in name.split(".")])
        folders = {module.name for module in modules if module.isFolder}
        self.assertLessEqual({"", "wire", "session.streams", "plugins.btp"}, folders)
        self.assertNotIn("wire.frames", folders)

    def test_everyModuleStandsInARoom(self) -> None:
        self.assertKept(checkPlaces)

    def test_foldersSayWhatTheyAreFor(self) -> None:
        self.assertKept(checkFolders)

    def test_importsRunDownward(self) -> None:
        self.assertKept(checkDirections)

    def test_innerRoomsStandBelow(self) -> None:
        self.assertKept(checkInnerRooms)

    def test_noCircles(self) -> None:
        self.assertKept(checkCircles)

    def test_baseClassesHaveTwoSubclasses(self) -> None:
        self.assertKept(checkBases)

    def test_timeAndRandomnessAreArguments(self) -> None:
        self.assertKept(checkPurity)

    def test_wireNeedsTheStandardLibraryOnly(self) -> None:
        self.assertKept(checkWire)

    def test_importsAreAbsolute(self) -> None:
        self.assertKept(checkAbsolute)

    def test_sizes(self) -> None:
        self.assertKept(checkSizes)

    def test_exceptionsAreNeeded(self) -> None:
        """Each exception has its reason, and nothing is excepted that need not be."""
        modules = readPackage(ROOT)
        self.assertLessEqual(set(LONG), set(longPlaces(modules)))
        classes = {
            f"{each.name}.{node.name}"
            for each in modules
            for node in each.nodes
            if isinstance(node, ast.ClassDef)
        }
        self.assertLessEqual(set(BASES), classes)
        self.assertLessEqual(set(DOORS), {module.name for module in modules})
        self.assertTrue(
            all(len(reason.split()) > 3 for reason in [*LONG.values(), *BASES.values()])
        )

    def test_noReactorIsInstalled(self) -> None:
        """Whoever imports the package may still choose a reactor."""
        self.assertEqual(findReactor(ROOT.parent, PACKAGE), "False")


class SampleTests(SynchronousTestCase):
    """Each rule sees what breaks it, so that the tests above can fail."""

    def assertSeen(
        self, check: Callable[[list[Module]], list[str]], sources: dict[str, str], *expected: str
    ) -> None:
        """Fail unless the complaints are about these places, in this order."""
        found = [complaint.split(": ")[0] for complaint in check(parse(sources))]
        self.assertEqual(found, list(expected))

    def test_places(self) -> None:
        sources = {"": "", "__main__": "", "utils": "", "wire.oer": "", "wire": ""}
        self.assertSeen(checkPlaces, sources, "utils:1")

    def test_doors(self) -> None:
        """As many modules and folders as may stand in the package, and one of each more."""
        sources = dict.fromkeys(["", "__main__", "_version"], "")
        single = [name for name in ROOMS if name not in sources][:MOST_MODULES]
        self.assertSeen(checkPlaces, sources | dict.fromkeys(single, ""))
        one = next(name for name in ROOMS if name not in {*sources, *single})
        complaints = checkPlaces(parse(sources | dict.fromkeys([*single, one], "")))
        self.assertEqual(len(complaints), 1)
        self.assertIn(f"{MOST_MODULES + 1} modules", complaints[0])
        many = [f"wire{number}" for number in range(MOST_FOLDERS + 1)]
        complaints = checkPlaces(parse(dict.fromkeys(many, ""), many))
        self.assertIn(f"{MOST_FOLDERS + 1} folders", complaints[-1])

    def test_folders(self) -> None:
        sources = {
            "": "",
            "wire": '"""Bytes to values."""',
            "session": "",
            "transport": '"""Transport."""',
            "wire.oer": "",
        }
        modules = parse(sources, ["", "wire", "session", "transport"])
        said = [complaint.split(": ")[0] for complaint in checkFolders(modules)]
        self.assertEqual(said, ["session:1", "transport:1"])

    def test_directions(self) -> None:
        sources = {
            "": "from txilpstream.transport.client import StreamClient",
            "errors": "import txilpstream.wire.oer",
            "wire.oer": "from txilpstream.errors import DecodeError",
            "wire.ilp": "from txilpstream.wire import oer\nfrom txilpstream.crypto import keys",
            "crypto.keys": "from txilpstream.wire.oer import x\nfrom txilpstream import Ratio",
            "transport.client": "def f():\n    from txilpstream.plugins.memory import MemoryPlugin",
            "transport.endpointstrings": "import txilpstream.plugins.registry",
            "plugins.memory": "import txilpstream.interfaces\nimport txilpstream.session.session",
            "http.url": "import txilpstream.logs\nimport txilpstream.wire.oer",
            "spsp.client": "import txilpstream.http.client\nimport txilpstream.payments.payment",
            "testing": "import txilpstream.plugins.memory\nimport txilpstream.transport.client",
            "service.service": "import txilpstream.hub.routing, txilpstream.cli.run",
            "cli.run": "import txilpstream.testing, txilpstream.service.service",
            "cli.main": "import txilpstream.test.test_rooms",
        }
        self.assertSeen(
            checkDirections,
            sources,
            "errors:1",
            "wire.ilp:2",
            "crypto.keys:2",
            "transport.client:2",
            "plugins.memory:2",
            "http.url:2",
            "spsp.client:2",
            "testing:2",
            "service.service:1",
            "cli.main:1",
        )

    def test_directionsForTypesOnly(self) -> None:
        """An import that only a type checker sees is knowledge too."""
        source = (
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n"
            "    import txilpstream.transport.client"
        )
        self.assertSeen(checkDirections, {"session.session": source}, "session.session:3")

    def test_innerRooms(self) -> None:
        prefix = "from txilpstream.session"
        sources = {
            "session.session": f"{prefix}.sender import Sender",
            "session.sender": f"{prefix}.congestion.pacing import Pacing",
            "session.streams.money": f"{prefix}.events import X\n{prefix}.sender import Sender",
            "session.streams.streams": f"{prefix}.streams.money import MoneySender",
            "session.congestion.combined": f"{prefix}.congestion.pacing import Pacing",
            "session.congestion.pacing": f"{prefix}.congestion.adaptiverate import AdaptiveRate\n"
            f"{prefix}.congestion.liquidity import Liquidity",
            "session.congestion.adaptiverate": f"{prefix}.path import Path",
            "session.exchangerate": "import txilpstream.wire.ilp, txilpstream.session.events",
        }
        self.assertSeen(
            checkInnerRooms,
            sources,
            "session.streams.money:2",
            "session.congestion.pacing:2",
            "session.congestion.adaptiverate:1",
            "session.exchangerate:1",
        )

    def test_circles(self) -> None:
        """Two that know each other, three in a ring, and one that a type checker alone sees."""
        onlyTypes = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    "
        sources = {
            "": "import txilpstream.wire.a",
            "wire.a": "import txilpstream.wire.b",
            "wire.b": "import txilpstream.errors, txilpstream.wire.a",
            "errors": "",
            "hub.x": "import os\nfrom txilpstream.hub import y",
            "hub.y": "def f():\n    from txilpstream.hub.z import Z",
            "hub.z": onlyTypes + "from txilpstream.hub.x import X",
            "hub.w": "from txilpstream.hub.x import X",
        }
        self.assertSeen(
            checkCircles, sources, "wire.a:1", "wire.b:1", "hub.x:2", "hub.y:2", "hub.z:3"
        )

    def test_circleByFolder(self) -> None:
        """A folder's C{__init__} is imported before what is in the folder."""
        sources = {
            "session.streams": "import txilpstream.session.sender",
            "session.streams.money": "import txilpstream.session.events",
            "session.sender": "import txilpstream.session.streams.money",
        }
        complaints = checkCircles(parse(sources, ["session.streams"]))
        said = [complaint.split(": ")[0] for complaint in complaints]
        self.assertEqual(said, ["session.streams:1", "session.sender:1"])

    def test_bases(self) -> None:
        """One subclass is one too few, wherever it stands; interfaces and the like may have one."""
        own, typing = "from txilpstream.", "from typing import Generic, Protocol\n"
        sources = {
            "a": "class Half:\n    pass\n\nclass Shared:\n    pass\n\nclass Alone:\n    pass",
            "b": "from txilpstream import a\nimport txilpstream.a\n"
            "class Whole(a.Half, a.Shared):\n    pass\n"
            "class Other(txilpstream.a.Shared):\n    pass",
            "c": "from zope.interface import Interface\n"
            "class IThing(Interface):\n    pass\nclass IMore(IThing):\n    pass\n"
            "class IMost(IMore):\n    pass",
            "d": "class Fault(Exception):\n    pass\nclass Special(Fault):\n    pass\n"
            "class More(Special):\n    pass",
            "e": "@dataclass\nclass Record:\n    x: int\nclass Longer(Record):\n    y: int",
            "f": typing + "class Box(Generic[T]):\n    pass\nclass IntBox(Box[int]):\n    pass",
            "g": typing + "class Needs(Protocol):\n    x: int\nclass Brings(Needs):\n    x = 1",
            # By other names, by way of another module, and of the same name as a base elsewhere.
            "h": "class One:\n    pass\nclass Two:\n    pass\nclass Three:\n    pass",
            "i": f"{own}h import One as Base, Two\nAlias = Two\n"
            "class A(Base):\n    pass\nclass B(Alias):\n    pass",
            "j": f"{own}i import Base\nclass C(Base):\n    pass",
            "l": "from twisted.internet import protocol\nprotocol = protocol.wrapped\n"
            "class P(protocol.Protocol):\n    pass",
            "k": "from twisted.internet import protocol\n"
            "class Factory(protocol.Factory):\n    pass\nclass Three(Factory):\n    pass",
        }
        self.assertSeen(checkBases, sources, "a:1", "f:2", "h:3", "k:2")

    def test_purity(self) -> None:
        sources = {
            "wire.btp": "import os.path",
            "session.congestion.pacing": "from time import monotonic",
            "crypto.keys": "def f():\n    import random",
            "session.session": "import timeit, hashlib\nfrom zope.interface import implementer",
            "crypto.credentials": "import os",
            "transport.connection": "from twisted.logger import Logger",
            "logs": "from twisted.logger import Logger",
            "session.path": "from txilpstream.logs import RareLog\nimport txilpstream.errors",
            "errors": "import re",
        }
        self.assertSeen(
            checkPurity,
            sources,
            "wire.btp:1",
            "session.congestion.pacing:1",
            "crypto.keys:2",
            "session.session:2",
            "session.path:1",
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
        """The longest that is usual passes, and one line more does not."""

        def body(lines: int) -> str:
            return "    x = 1\n" * lines

        good = {
            "file": "x = 1\n" * FILE_LINES,
            "class": "class A:\n" + body(FILE_LINES - 1),
            "function": "def f():\n" + body(FUNCTION_LINES - 1),
        }
        self.assertSeen(checkSizes, good)
        bad = {
            "file": "x = 1\n" * (FILE_LINES + 1),
            "function": "x = 1\nasync def f():\n" + body(FUNCTION_LINES),
            "decorated": "@g\ndef f():\n" + body(FUNCTION_LINES - 1),
        }
        self.assertSeen(checkSizes, bad, "file:1", "function:2", "decorated:1")
        self.patch(sys.modules[__name__], "LONG", {"file": "", "function.f": "", "decorated.f": ""})
        self.assertSeen(checkSizes, bad)

    def test_reactor(self) -> None:
        """A package that installs a reactor is seen."""
        folder = Path(self.mktemp())
        folder.mkdir()
        folder.joinpath("bad.py").write_text("from twisted.internet import reactor\n")
        self.assertEqual(findReactor(folder.resolve(), "bad"), "True")
