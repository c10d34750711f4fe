"""Tests of C{txilpstream.hub.routing}: which account is next."""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.errors import LocalError
from txilpstream.hub.routing import Routes
from txilpstream.test.support.strategies import forAll


class RoutesTests(SynchronousTestCase):
    """The longest prefix of whole segments holds."""

    def test_longest(self) -> None:
        routes: Routes[str] = Routes()
        for prefix in ("g", "g.bank", "g.bank.branch.desk"):
            routes.add(prefix, prefix)
        self.assertEqual(routes.find("g.bank.branch.alice"), "g.bank")
        self.assertEqual(routes.find("g.bank.branch.desk.alice.x"), "g.bank.branch.desk")
        self.assertEqual(routes.find("g.bankrupt"), "g")
        self.assertIsNone(routes.find("test.bank"))
        routes.add("", "elsewhere")
        self.assertEqual(routes.find("test.bank"), "elsewhere")
        routes.remove("g.bank")
        self.assertEqual(routes.find("g.bank.branch.alice"), "g")

    def test_bad(self) -> None:
        routes: Routes[str] = Routes()
        for prefix in (".", "g.", ".g", "g..x", "g x", "g." + "x" * 1023):
            with self.assertRaises(LocalError):
                routes.add(prefix, "x")
        routes.add("g", "x")
        routes.add("g", "x")
        with self.assertRaises(LocalError):
            routes.add("g", "y")

    @forAll(
        st.sets(st.text("ab.", max_size=7).filter(lambda p: not p or ".." not in f".{p}.")),
        st.text("ab.", max_size=9),
    )
    def test_asSaid(self, prefixes: set[str], address: str) -> None:
        """What is found is what trying all prefixes would find."""
        routes: Routes[str] = Routes()
        for prefix in prefixes:
            routes.add(prefix, prefix)
        fitting = [p for p in prefixes if not p or f"{address}.".startswith(f"{p}.")]
        self.assertEqual(routes.find(address), max(fitting, key=len, default=None))
