"""
Conformance as a whole: every statement has a test, and the page says which.

A test bears the rows that it shows in its name: C{test_S24_M16_...} shows S24 and M16.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final
from unittest import TestCase

from txilpstream.test.support.documents import CHECKOUT, MISSING
from txilpstream.test.support.virtual import VirtualTestCase

ROWS: Final = {
    *(f"S{number}" for number in range(1, 57)),
    *(f"R{number}" for number in range(1, 24)),
    *(f"M{number:02}" for number in range(1, 42)),
    *(f"C{number}" for number in range(1, 9)),
}
"""Statements of RFC 29 and RFC 39, what a module is asked to do, and choices of our own."""

LEVELS: Final = re.compile(
    "MUST|MUST NOT|SHOULD|SHOULD NOT|MAY|MAY NOT|OPTIONAL|RECOMMENDED|asked|choice"
)

_ROW: Final = re.compile(r"[SRMC]\d+")

_CELL: Final = re.compile(r"   [* ] - (.*)")


def conformanceModules() -> list[ModuleType]:
    """The modules whose tests show conformance."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py"))
    return [import_module(f"txilpstream.test.conformance.{name}") for name in names]


def testsByRow() -> dict[str, set[str]]:
    """The names of the tests that show each row."""
    found: dict[str, set[str]] = {}
    for module in conformanceModules():
        for case in vars(module).values():
            if isinstance(case, type) and issubclass(case, TestCase):
                for name in dir(case):
                    for row in rowsOf(name):
                        found.setdefault(row, set()).add(name)
    return found


def rowsOf(name: str) -> list[str]:
    """The rows in the name of a test."""
    rows: list[str] = []
    kind, *parts = name.split("_")
    for part in parts if kind == "test" else []:
        if _ROW.fullmatch(part) is None:
            break
        rows.append(part)
    return rows


def tableRows(text: str) -> list[list[str]]:
    """The rows of all tables of a page, without their headings: id, level, and so on."""
    rows: list[list[str]] = []
    for line in text.splitlines():
        cell = _CELL.fullmatch(line)
        if cell is None:
            continue
        if line.startswith("   * "):
            rows.append([])
        rows[-1].append(cell.group(1))
    return [row for row in rows if row[0] != "Row"]


class NameTests(VirtualTestCase):
    """What the names of the tests say."""

    def test_rowsOf(self) -> None:
        """The rows stand first in a name."""
        self.assertEqual(rowsOf("test_S24_M16_parity"), ["S24", "M16"])
        self.assertEqual(rowsOf("test_S24"), ["S24"])
        self.assertEqual(rowsOf("test_parity_S24"), [])
        self.assertEqual(rowsOf("assert_S24"), [])

    def test_everyRow(self) -> None:
        """Every row occurs in the name of a test, and no test names a row that does not exist."""
        self.assertEqual(set(testsByRow()), ROWS)
        self.assertEqual(len(ROWS), 56 + 23 + 41 + 8)


class PageTests(VirtualTestCase):
    """The page with all statements."""

    skip = MISSING

    def setUp(self) -> None:
        """Read it."""
        page = CHECKOUT / "docs" / "conformance.rst"
        self.rows = tableRows(page.read_text(encoding="utf-8"))

    def test_complete(self) -> None:
        """It has each row once, with a level, the statement and our answer."""
        self.assertEqual(sorted(row[0] for row in self.rows), sorted(ROWS))
        for row in self.rows:
            self.assertEqual(len(row), 5, row)
            self.assertIsNotNone(LEVELS.fullmatch(row[1]), row)
            for text in row[2:4]:
                self.assertTrue(text.endswith("."), row)

    def test_tests(self) -> None:
        """It names just the tests that show each row."""
        found = testsByRow()
        for row, _, _, _, tests in self.rows:
            named = set(re.findall(r"``(test_\w+)``", tests))
            self.assertEqual(named, found.get(row, set()), row)
