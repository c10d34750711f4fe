"""Tests of C{txilpstream.wire.address}."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.errors import LocalError
from txilpstream.test.support.strategies import addresses, forAll, segments
from txilpstream.wire.address import (
    MAX_ADDRESS_LENGTH,
    checkAddress,
    isAddress,
    isSegment,
    join,
    localPart,
)

GOOD = [
    "g.acme.bob",
    "g.us-fed.ach.0.acmebank.swx0a0.acmecorp.sales.199.~ipr.cdfa5e16-e759-4ba3-88f6-8b9dc83c1868",
    "private.a",
    "example.alice",
    "peer.config",
    "self.x",
    "test.x",
    "test1.x",
    "test3.x",
    "local._~-",
    "g." + "a" * (MAX_ADDRESS_LENGTH - 2),
]

BAD = [
    "",
    "g",
    "g.",
    ".g",
    "g..a",
    "g.a.",
    "test4.a",
    "G.a",
    "unknown.a",
    "g.a b",
    "g.a\n",
    "\ng.a",
    "g.\u00e9",
    "g.\u0663",
    "g.a/b",
    "g." + "a" * (MAX_ADDRESS_LENGTH - 1),
]


class IsAddressTests(SynchronousTestCase):
    """RFC 15."""

    def test_good(self) -> None:
        """Addresses are addresses."""
        for text in GOOD:
            self.assertTrue(isAddress(text), text)
            self.assertEqual(checkAddress(text), text)

    def test_bad(self) -> None:
        """
        Anything else is none; the error shows it, though not at any length, and not what may be a
        secret: a URL with its token, or base64.
        """
        for text in (*BAD, "btp+ws://:password@example.com/", "c2VjcmV0IHNlY3JldCBzZWNyZXQ"):
            self.assertFalse(isAddress(text), text)
            error = self.assertRaises(LocalError, checkAddress, text)
            self.assertEqual(repr(text)[:80] in str(error), text in BAD)
            self.assertLess(len(str(error)), 250)

    def test_otherTypes(self) -> None:
        """A thing that is no text is no address."""
        things: list[Any] = [None, b"g.a", 7, ["g.a"]]
        for thing in things:
            self.assertRaises(LocalError, checkAddress, thing)

    @forAll(st.text(max_size=60))
    def test_anyText(self, text: str) -> None:
        """Any text is one or is none."""
        self.assertIn(isAddress(text), (True, False))

    def test_quick(self) -> None:
        """A long text that is nearly an address takes no longer than a short one."""
        self.assertFalse(isAddress("g" + ".a" * 500 + "!"))


class PartsTests(SynchronousTestCase):
    """Segments, put together and taken apart."""

    def test_segments(self) -> None:
        """Segments are not empty and hold no dot."""
        for text in ("a", "A-Z_~09"):
            self.assertTrue(isSegment(text))
        for text in ("", ".", "a.b", "a b", "a\n", "\u00e9"):
            self.assertFalse(isSegment(text))

    @forAll(addresses, st.lists(segments, max_size=3))
    def test_join(self, address: str, parts: list[str]) -> None:
        """What is joined is an address whose local part are the segments."""
        joined = join(address, *parts)
        self.assertTrue(isAddress(joined))
        self.assertEqual(localPart(joined, address), ".".join(parts))

    def test_joinRefused(self) -> None:
        """What would not be an address is not joined."""
        for parts in ([""], ["a..b"], ["a b"], ["a" * MAX_ADDRESS_LENGTH]):
            self.assertRaises(LocalError, join, "g.a", *parts)
        self.assertRaises(LocalError, join, "nonsense", "a")

    def test_localPart(self) -> None:
        """Only whole segments are compared."""
        self.assertEqual(localPart("g.a.b.c", "g.a"), "b.c")
        self.assertEqual(localPart("g.a", "g.a"), "")
        self.assertIs(localPart("g.ab", "g.a"), None)
        self.assertIs(localPart("g.b.a", "g.a"), None)
        self.assertIs(localPart("g", "g.a"), None)
