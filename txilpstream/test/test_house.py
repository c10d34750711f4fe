"""
What the manual shows of the house is as the house is: the picture, the table of doors, and the
pages of the API reference.
"""

from __future__ import annotations

import re
from runpy import run_path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.test.support.documents import CHECKOUT, MISSING
from txilpstream.test.test_rooms import MAY_KNOW, ROOMS

PACKAGE = CHECKOUT / "txilpstream"


def script(name: str) -> dict[str, Any]:
    """What a script of the manual defines."""
    return run_path(str(CHECKOUT / "docs" / f"{name}.py"))


class PictureTests(SynchronousTestCase):
    """The picture of the house."""

    skip = MISSING

    def setUp(self) -> None:
        """Read the imports."""
        self.house = script("makehouse")
        self.rooms = self.house["readHouse"]()

    def test_current(self) -> None:
        """It is what the script draws now: C{python docs/makehouse.py} makes it anew."""
        drawn = (CHECKOUT / "docs" / "house.svg").read_text(encoding="utf-8")
        self.assertEqual(drawn, self.house["draw"](self.rooms))

    def test_rooms(self) -> None:
        """It has every room, and each says what it is for."""
        self.assertEqual(set(self.rooms), set(MAY_KNOW))
        for name, room in self.rooms.items():
            self.assertIn(" ", room.purpose, name)
            self.assertTrue(room.modules, name)
        single = {name for name, room in ROOMS.items() if room == "contracts"} - {"_version"}
        self.assertEqual(set(self.rooms["contracts"].modules[""]), single)

    def test_knows(self) -> None:
        """It sees imports, those for types only too, and those of a room's own modules are none."""
        self.assertIn("session", self.rooms["transport"].knows)
        self.assertEqual(self.rooms["wire"].knows, set())
        self.assertLessEqual(self.rooms["crypto"].knows, {"wire"})

    def test_arrows(self) -> None:
        """An arrow is left out only where a longer way says the same."""
        for name, room in self.rooms.items():
            arrows = self.house["arrowsOf"](self.rooms, name)
            reached = set(arrows).union(*(self.house["below"](self.rooms, to) for to in arrows))
            self.assertEqual(reached, self.house["below"](self.rooms, name))
            self.assertLessEqual(set(arrows), room.knows)


class TableTests(SynchronousTestCase):
    """The table of what to open for which change."""

    skip = MISSING

    def test_doors(self) -> None:
        """Every file in it is there, and every room has a row."""
        page = (CHECKOUT / "docs" / "development.rst").read_text(encoding="utf-8")
        table = page.split("To change X, open Y\n===")[1].split("The session's contract")[0]
        table = table.replace("``txilpstream/``", "")
        rows = [line for line in table.splitlines() if "``" in line and ".py" in line]
        self.assertGreaterEqual(len(rows), 25)
        files = [name for row in rows for name in re.findall(r"``([\w/]+\.py)``", row)]
        self.assertEqual([name for name in files if not (PACKAGE / name).is_file()], [])
        rooms = {name.partition("/")[0] for name in files}
        self.assertEqual(set(MAY_KNOW) - rooms, {"contracts"})

    def test_way(self) -> None:
        """Every module on the way of a packet is there."""
        page = (CHECKOUT / "docs" / "development.rst").read_text(encoding="utf-8")
        way = page.split("The way of a packet\n===")[1].split("To change X")[0]
        places = re.findall(r"``([a-z]+/[a-z/]*)``", way)
        self.assertGreater(len(places), 15)
        for place in places:
            found = (PACKAGE / place).is_dir() or (PACKAGE / f"{place}.py").is_file()
            self.assertTrue(found, place)


class ReferenceTests(SynchronousTestCase):
    """The pages of the API reference."""

    skip = MISSING

    def test_current(self) -> None:
        """They are what the script writes now: C{python docs/makeapi.py} makes them anew."""
        pages = script("makeapi")["pages"]()
        found = {
            path.stem: path.read_text(encoding="utf-8")
            for path in (CHECKOUT / "docs" / "api").glob("*.rst")
        }
        self.assertEqual(found, pages)

    def test_contents(self) -> None:
        """Each page is in the table of contents, and no other."""
        text = (CHECKOUT / "docs" / "api.rst").read_text(encoding="utf-8")
        listed = re.findall(r"^   api/(\w+)$", text, re.MULTILINE)
        self.assertEqual(sorted(listed), sorted(MAY_KNOW))
