"""
Tests of the package itself: it offers the public names, and brings nothing in before they are used.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from os import environ, pathsep
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import txilpstream

ROOT = Path(txilpstream.__file__).resolve().parent


def typedNames() -> dict[str, str]:
    """The names that a type checker sees, with the modules that it takes them from."""
    found = {}
    for node in ast.walk(ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("txilpstream."):
            for alias in node.names:
                found[alias.asname or alias.name] = str(node.module)
    return found


def runFresh(code: str) -> str:
    """What a program prints in a process of its own."""
    path = pathsep.join(filter(None, [str(ROOT.parent), environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**environ, "PYTHONPATH": path},
    )
    return done.stdout.strip() + done.stderr


class NamesTests(SynchronousTestCase):
    """What the package offers."""

    def test_sameObjects(self) -> None:
        """Each name is the object of that name in the module that a type checker takes it from."""
        for name, module in typedNames().items():
            self.assertIs(getattr(txilpstream, name), getattr(import_module(module), name), name)

    def test_publicThere(self) -> None:
        """A module that a name is taken from calls it public too."""
        for name, module in typedNames().items():
            if name != "__version__":
                self.assertIn(name, import_module(module).__all__, module)

    def test_all(self) -> None:
        """What is offered is what a type checker sees: no name more and none less, in order."""
        self.assertEqual(txilpstream.__all__, sorted(typedNames()))

    def test_errorsAndInterfaces(self) -> None:
        """Every error is offered, and every interface of this package's own."""
        for module in ("errors", "interfaces"):
            names = set(import_module(f"txilpstream.{module}").__all__)
            self.assertEqual(
                names - set(txilpstream.__all__) - {"IHalfCloseableProtocol", "ITotals"}, set()
            )

    def test_star(self) -> None:
        """C{from txilpstream import *} gives every name."""
        namespace: dict[str, object] = {}
        exec("from txilpstream import *", namespace)
        self.assertEqual(set(txilpstream.__all__) - set(namespace), set())

    def test_dir(self) -> None:
        """An interactive shell completes every name, used before or not, and offers no other."""
        code = (
            "import txilpstream as t; n = dir(t); print(set(t.__all__) - set(n), n == sorted(n)); "
            "print([m for m in n if m not in t.__all__ and m[:2] != '__'])"
        )
        self.assertEqual(runFresh(code), "set() True\n['_version']")

    def test_unknown(self) -> None:
        """What is not there is an C{AttributeError}, as of any module."""
        with self.assertRaises(AttributeError) as caught:
            _ = txilpstream.StreamSocket  # type: ignore[attr-defined]
        self.assertIn("'StreamSocket'", str(caught.exception))
        self.assertFalse(hasattr(txilpstream, "__wrapped__"))

    def test_kept(self) -> None:
        """A name is looked up once and stands in the module from then on."""
        code = (
            "import txilpstream as t; before = 'Ratio' in vars(t); t.Ratio;"
            "print(before, vars(t)['Ratio'] is t.Ratio)"
        )
        self.assertEqual(runFresh(code), "False True")


class LightTests(SynchronousTestCase):
    """What is imported, each time in a fresh process."""

    def test_import(self) -> None:
        """To import the package brings in its version and no other module of anybody's."""
        code = (
            "import sys, txilpstream\n"
            "roots = 'txilpstream', 'twisted', 'zope', 'cryptography'\n"
            "print(*sorted(name for name in sys.modules if name.split('.')[0] in roots))"
        )
        self.assertEqual(runFresh(code), "txilpstream txilpstream._version")

    def test_oneName(self) -> None:
        """A name brings in what its own module needs: amounts need no Twisted."""
        code = (
            "import sys, txilpstream\n"
            "txilpstream.Ratio\n"
            "print('txilpstream.amounts' in sys.modules, 'twisted' in sys.modules)"
        )
        self.assertEqual(runFresh(code), "True False")

    def test_noReactor(self) -> None:
        """All names together install no reactor."""
        code = (
            "import sys\nfrom txilpstream import *\n"
            "print('txilpstream.transport.connection' in sys.modules,"
            " 'twisted.internet.reactor' in sys.modules)"
        )
        self.assertEqual(runFresh(code), "True False")
