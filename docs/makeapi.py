"""
Writes the pages of the API reference anew: one for each room, which lists its modules.

    python docs/makeapi.py

What a page says of its room is the first paragraph of the folder's own docstring.
"""

from __future__ import annotations

import ast
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGE = CHECKOUT / "txilpstream"

CONTRACTS = ("Contracts", "What every room, applications and plugins agree on.")

MARK = ".. A page of this folder is written by makeapi.py.\n\n"


def modulesOf(folder: Path) -> list[str]:
    """The names of a folder's modules, those of its own folders too, tests left out."""
    found = []
    for path in folder.rglob("*.py"):
        parts = path.relative_to(CHECKOUT).with_suffix("").parts
        if "test" not in parts:
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return sorted(found)


def purpose(folder: Path) -> str:
    """What a folder says that it is for."""
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    return text.split("\n\n", maxsplit=1)[0].replace("C{", "``").replace("}", "``")


def pageOf(title: str, text: str, modules: list[str], folders: set[str]) -> str:
    """A page that lists modules."""
    lines = [MARK + title, "#" * len(title), "", text, ""]
    for module in modules:
        name = f"``{module}``"
        lines += ["", name, "=" * len(name), "", f".. automodule:: {module}"]
        if module in folders:
            lines.append("   :no-members:")
        lines.append("")
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """The pages by their names."""
    folders = sorted(
        path.parent for path in PACKAGE.glob("*/__init__.py") if path.parent.name != "test"
    )
    packages = {
        ".".join(path.parent.relative_to(CHECKOUT).parts) for path in PACKAGE.rglob("__init__.py")
    }
    single = sorted(
        f"txilpstream.{path.stem}" for path in PACKAGE.glob("*.py") if path.stem[0] != "_"
    )
    made = {"contracts": pageOf(*CONTRACTS, single, packages)}
    for folder in folders:
        title = f"``{folder.name}``"
        made[folder.name] = pageOf(title, purpose(folder), modulesOf(folder), packages)
    return made


def main() -> None:
    """Write them."""
    target = CHECKOUT / "docs" / "api"
    made = pages()
    for path in target.glob("*.rst"):
        if path.stem not in made:
            path.unlink()
    for name, text in made.items():
        (target / f"{name}.rst").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
