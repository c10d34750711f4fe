"""
Draws the house: C{house.svg} shows the rooms of the package, what stands in each, and who knows
whom.

    python docs/makehouse.py

Everything in the picture is read from the source: the rooms are the folders, their purpose is the
first sentence of their C{__init__}, an arrow is an import. A room stands above all that it
imports. An arrow is left out where a longer way says the same, and so are those to the contracts,
which every room knows.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGE = CHECKOUT / "txilpstream"
TARGET = CHECKOUT / "docs" / "house.svg"

CONTRACTS = "contracts"
CONTRACTS_ARE = "What all rooms agree on."

WIDTH = 1160
MARGIN = 16
GAP = 30
"""Between boxes of a floor, in pixels."""
FLOOR_GAP = 46
"""Between floors, for the arrows."""
LINE = 15
CHARACTER = 6.2
"""The width of a character of the font, in pixels."""

STYLE = """
text { font: 11px sans-serif; fill: #222 }
.room { font: bold 13px monospace }
.module { font: 10.5px monospace; fill: #345 }
rect { fill: #f6f8fb; stroke: #7a8aa0; rx: 5 }
path { fill: none; stroke: #8a6d3b; stroke-width: 1.2; marker-end: url(#tip) }
"""


@dataclass
class Room:
    """A folder directly in the package, or the modules beside them."""

    name: str
    purpose: str
    modules: dict[str, list[str]] = field(default_factory=dict)
    """The names of modules by the folder that they stand in, the room itself first."""
    knows: set[str] = field(default_factory=set)
    """The other rooms that it imports, the contracts left out."""


@dataclass
class Box:
    """Where a room is drawn."""

    room: Room
    lines: list[tuple[str, str]]
    """Class and text of each line."""
    x: float = 0
    y: float = 0
    width: float = 0

    @property
    def height(self) -> float:
        """In pixels."""
        return len(self.lines) * LINE + 12


def sources() -> Iterator[tuple[tuple[str, ...], ast.Module]]:
    """The package's modules as their places below it and their syntax trees, tests left out."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if "test" not in parts and parts[0] not in ("__init__", "__main__", "_version"):
            yield parts, ast.parse(path.read_text(encoding="utf-8"))


def roomsKnown(tree: ast.Module) -> Iterator[str]:
    """The first part of each name that a module imports from the package."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "txilpstream":
            names = [f"txilpstream.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            first, _, rest = name.partition(".")
            if first == "txilpstream" and rest:
                yield rest.split(".")[0]


def readHouse() -> dict[str, Room]:
    """The rooms of the package by name."""
    rooms = {CONTRACTS: Room(CONTRACTS, CONTRACTS_ARE)}
    single = {path.stem for path in PACKAGE.glob("*.py")}
    for parts, tree in sources():
        name = parts[0] if len(parts) > 1 else CONTRACTS
        room = rooms.setdefault(name, Room(name, ""))
        if parts[1:] == ("__init__",):
            said = (ast.get_docstring(tree) or "").partition("\n\n")[0]
            room.purpose = said.replace("C{", "").replace("}", "").replace("\n", " ")
        if parts[-1] != "__init__":
            folder = "/".join(parts[1:-1])
            room.modules.setdefault(folder, []).append(parts[-1])
        room.knows |= {known for known in roomsKnown(tree) if known != name} - single
    return rooms


def below(rooms: dict[str, Room], name: str) -> set[str]:
    """All rooms that one knows, by whatever way."""
    found: set[str] = set()
    waiting = list(rooms[name].knows)
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += rooms[each].knows
    return found


def arrowsOf(rooms: dict[str, Room], name: str) -> list[str]:
    """The rooms that an arrow goes to: those that are not known by way of another anyway."""
    knows = rooms[name].knows
    return sorted(each for each in knows if not any(each in below(rooms, by) for by in knows))


def floorOf(rooms: dict[str, Room], name: str) -> int:
    """How many floors are below a room; the contracts are alone on the ground."""
    if name == CONTRACTS:
        return 0
    return 1 + max((floorOf(rooms, each) for each in rooms[name].knows), default=0)


def boxOf(room: Room, width: int) -> Box:
    """A room's box, with its text broken to a width in characters."""
    title = room.name if room.name == CONTRACTS else f"{room.name}/"
    lines = [("room", title)]
    lines += [("", line) for line in textwrap.wrap(room.purpose, width)]
    for folder, modules in sorted(room.modules.items()):
        text = (f"{folder}/: " if folder else "") + "  ".join(modules)
        lines += [("module", line) for line in textwrap.wrap(text, width - 2)]
    longest = max(len(text) for _, text in lines)
    return Box(room, lines, width=max(longest * CHARACTER + 22, 120))


def middle(rooms: dict[str, Room], name: str, boxes: list[Box]) -> float:
    """Where the arrows to a room come from, on average, of those that are placed already."""
    above = [box for box in boxes if name in arrowsOf(rooms, box.room.name)]
    return sum(box.x + box.width / 2 for box in above) / len(above) if above else 0


def place(rooms: dict[str, Room]) -> tuple[list[Box], float]:
    """Stand the boxes on their floors; returns them, and the height of the picture."""
    floors: dict[int, list[Room]] = {}
    for name, room in sorted(rooms.items()):
        floors.setdefault(floorOf(rooms, name), []).append(room)
    y, boxes = float(MARGIN), []
    for floor in sorted(floors, reverse=True):
        width = 150 if len(floors[floor]) == 1 else 44 if len(floors[floor]) < 4 else 34
        floors[floor].sort(key=lambda room: middle(rooms, room.name, boxes))
        row = [boxOf(room, width) for room in floors[floor]]
        free = WIDTH - 2 * MARGIN - sum(box.width for box in row)
        gap = free / (len(row) + 1)
        x = MARGIN + gap
        for box in row:
            box.x, box.y = x, y
            x += box.width + max(gap, GAP)
        y += max(box.height for box in row) + FLOOR_GAP
        boxes += row
    return boxes, y - FLOOR_GAP + MARGIN


def arrow(source: Box, number: int, count: int, target: Box) -> str:
    """A curve from the foot of one box to the head of another."""
    x = source.x + source.width * (number + 1) / (count + 1)
    y = source.y + source.height
    share = (x / WIDTH - 0.5) * 0.5 + 0.5
    endX, endY = target.x + target.width * share, target.y
    bend = min(40.0, (endY - y) / 2)
    return (
        f'<path d="M{x:.0f} {y:.0f} C{x:.0f} {y + bend:.0f} {endX:.0f} {endY - bend:.0f} '
        f'{endX:.0f} {endY - 2:.0f}"/>'
    )


def draw(rooms: dict[str, Room]) -> str:
    """The picture, as SVG."""
    boxes, height = place(rooms)
    byName = {box.room.name: box for box in boxes}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" height="{height:.0f}">',
        f"<title>The rooms of txilpstream</title><style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" '
        'style="fill:#8a6d3b;stroke:none"/></marker></defs>',
    ]
    for box in boxes:
        targets = sorted(arrowsOf(rooms, box.room.name), key=lambda name: byName[name].x)
        for number, name in enumerate(targets):
            parts.append(arrow(box, number, len(targets), byName[name]))
    for box in boxes:
        parts.append(
            f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" '
            f'height="{box.height:.0f}"/>'
        )
        for number, (kind, text) in enumerate(box.lines):
            y = box.y + 17 + number * LINE
            named = f' class="{kind}"' if kind else ""
            parts.append(f'<text{named} x="{box.x + 10:.0f}" y="{y:.0f}">{escape(text)}</text>')
    return "\n".join([*parts, "</svg>\n"])


if __name__ == "__main__":
    TARGET.write_text(draw(readHouse()), encoding="utf-8")
