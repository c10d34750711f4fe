"""Print one command of README.rst exactly as a reader would type it.

Usage: python .ci/readme_command.py demo|test

The command is the literal block after the comment ``.. demo command`` or ``.. test command``.
"""

import sys
import textwrap
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.rst"


def readCommand(text: str, name: str) -> str:
    """Return the block marked with C{name}.

    @raise ValueError: the text has no such marker, or no indented block after it.
    """
    lines = text.splitlines()
    marker = f".. {name} command"
    if marker not in lines:
        raise ValueError(f"README.rst has no line {marker!r}")
    block: list[str] = []
    for line in lines[lines.index(marker) + 1 :]:
        if line.startswith(" "):
            block.append(line)
        elif block and line:
            break
    command = textwrap.dedent("\n".join(block)).strip()
    if not command:
        raise ValueError(f"README.rst has no indented block after {marker!r}")
    return command


def main(arguments: list[str]) -> int:
    """Print the named command; 2 if it is not there."""
    if len(arguments) != 1:
        print("usage: readme_command.py demo|test", file=sys.stderr)
        return 2
    try:
        print(readCommand(README.read_text(encoding="utf-8"), arguments[0]))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
