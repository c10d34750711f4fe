"""
The pages of the manual as tests see them: code blocks with the lines where they stand.

Only directives are read here, not the rest of reStructuredText.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import environ, pathsep
from pathlib import Path
from typing import Any, Final

import txilpstream

CHECKOUT: Final = Path(txilpstream.__file__).resolve().parents[1]

PAGES: Final = {
    str(path.relative_to(CHECKOUT)): path
    for path in [
        *CHECKOUT.glob("*.rst"),
        *sorted(CHECKOUT.glob("docs/*.rst")),
        *sorted(CHECKOUT.glob("docs/api/*.rst")),
    ]
}
"""Every page, by its name as seen from the checkout."""

MISSING: Final = (
    None
    if (CHECKOUT / "docs").is_dir()
    else f"there is no {CHECKOUT / 'docs'}: the manual is in the checkout, not in the wheel"
)
"""Why tests of the manual are skipped, if they are."""

PROGRAM: Final = 'if __name__ == "__main__":'
"""Stands in the last block of a page that is a program when its blocks are put together."""

_DIRECTIVE: Final = re.compile(r"( *)\.\. code-block:: *(\S+) *")


@dataclass(slots=True, frozen=True)
class Block:
    """
    One code block.

    @ivar page: the name of its page.
    @ivar line: where its first line stands.
    @ivar language: what the directive says.
    @ivar text: its lines, without their common indentation.
    """

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocksOf(page: str, *languages: str) -> list[Block]:
    """The code blocks of a page in these languages, in all if none is named."""
    found = _read(page, PAGES[page].read_text(encoding="utf-8"))
    return [block for block in found if not languages or block.language in languages]


def _read(page: str, text: str) -> Iterator[Block]:
    lines = text.splitlines()
    for number, line in enumerate(lines):
        directive = _DIRECTIVE.fullmatch(line)
        if directive is None:
            continue
        outside = len(directive[1])
        first = number + 1
        while first < len(lines) and lines[first].strip().startswith(":"):
            first += 1
        while first < len(lines) and not lines[first].strip():
            first += 1
        last = first
        while last < len(lines) and (not lines[last].strip() or _indent(lines[last]) > outside):
            last += 1
        body = lines[first:last]
        least = min((_indent(line) for line in body if line.strip()), default=0)
        code = "\n".join(line[least:] for line in body).rstrip() + "\n"
        yield Block(page, first + 1, directive[2], code)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def execute(blocks: Sequence[Block]) -> dict[str, Any]:
    """
    Execute blocks one after the other, as one module.

    @return: the names that they defined.
    """
    namespace: dict[str, Any] = {}
    for block in blocks:
        namespace["__name__"] = block.page
        # Empty lines before it, so that a traceback names the line of the page.
        code = "\n" * (block.line - 1) + block.text
        exec(compile(code, str(PAGES[block.page]), "exec"), namespace)
    return namespace


def isProgram(blocks: Sequence[Block]) -> bool:
    """Whether the blocks of a page make a program together."""
    return any(PROGRAM in block.text for block in blocks)


TWISTED_OWN = "ignore:unclosed file <_io.TextIOWrapper name='/dev/null':ResourceWarning"
"""What any program gives at its end that ever listened with Twisted."""


def runProgram(blocks: Sequence[Block], folder: Path) -> str:
    """
    Put blocks together as a reader would, and run them in a process of their own.

    @return: what is printed; what goes wrong follows it.
    """
    folder.mkdir()
    program = folder / "program.py"
    program.write_text("\n\n".join(block.text for block in blocks), encoding="utf-8")
    path = pathsep.join(filter(None, [str(CHECKOUT), environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", TWISTED_OWN, "program.py"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
        env={**environ, "PYTHONPATH": path},
    )
    status = f"status {done.returncode}\n" if done.returncode else ""
    return done.stdout + done.stderr + status


def fits(pattern: str, text: str) -> bool:
    """Whether a text is what a page shows, where C{...} stands for any text."""
    parts = [re.escape(part) for part in pattern.strip().split("...")]
    return re.fullmatch(".*".join(parts), text.strip(), re.DOTALL) is not None
