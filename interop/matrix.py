"""
The matrix: what is tested with which peer, and the page that says how it went.

    python matrix.py CELLS PAGE

reads the cells that the tests wrote, one JSON object a line, and writes the page.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

RECORD = "TXILPSTREAM_INTEROP_CELLS"
"""The environment variable that names the file for the cells; without it none are kept."""

PEERS = {
    "ilp-protocol-stream": "ilp-protocol-stream",
    "ilp-protocol-stream-alpha": "ilp-protocol-stream",
    "pay": "@interledger/pay",
    "pay-alpha": "@interledger/pay",
    "stream-receiver": "@interledger/stream-receiver",
    "stream-receiver-latest": "@interledger/stream-receiver",
    "ilp-connector": "ilp-connector",
    "ilp-plugin": "ilp-plugin",
    "ilp-plugin-btp": "ilp-plugin-btp",
    "ilp-plugin-http": "ilp-plugin-http",
    "ilp-plugin-mini-accounts": "ilp-plugin-mini-accounts",
}
"""The peers by the names in C{package.json}, and what they are called."""

ROWS = {
    "one-way": "Money one way",
    "both-ways": "Money both ways at once on several streams",
    "data-0": "Data both ways: nothing",
    "data-1": "Data both ways: 1 byte",
    "data-16k": "Data both ways: 16 KiB",
    "data-5m": "Data both ways: 5 MiB",
    "money-data": "Money and data together",
    "assets": "Two assets with a rate",
    "f08": "Packets too large for the path (F08)",
    "t04": "Too little liquidity (T04)",
    "receipts-ours": "Receipts that we issue",
    "receipts-theirs": "Receipts that the peer issues",
    "refusal": "A policy that refuses",
    "close-stream-us": "We close a stream with money and data pending",
    "close-stream-peer": "The peer closes a stream with money and data pending",
    "close-connection-us": "We close the connection with money and data pending",
    "close-connection-peer": "The peer closes the connection with money and data pending",
    "idle": "Nothing happens for too long",
    "padding": "Padding",
    "ten-streams": "Ten streams at once",
    "one-too-many": "A stream too many",
    "slippage": "More slippage than allowed",
    "addresses-theirs": "Addresses made by the peer's server, honoured by ours",
    "addresses-ours": "Addresses made by our server, honoured by the peer's",
    "stateless": "A receiver without state",
    "defaults": "Our hub, and the plugin as it comes",
    "one-unit": "A payment of 1 unit",
    "2-to-the-63": "A payment of 2^63 units",
    "thousand": "1,000 short connections in a row",
    "restart": "Killed in the middle, and started again",
}
"""What is tested, in the order of the page."""

ROLES = {"payer": "it pays us", "payee": "we pay it", "both": "both pay", "path": "between us"}


def record(row: str, peer: str, role: str, outcome: str, fault: str = "") -> None:
    """Keep one cell, if somebody wants them."""
    assert row in ROWS and peer in PEERS and role in ROLES, (row, peer, role)
    path = os.environ.get(RECORD)
    if path:
        cell = {"row": row, "peer": peer, "role": role, "outcome": outcome, "fault": fault}
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(cell) + "\n")


def versions() -> dict[str, str]:
    """The version of each peer, from the lock file."""
    lock = json.loads((HERE / "package-lock.json").read_text(encoding="utf-8"))
    return {name: lock["packages"][f"node_modules/{name}"]["version"] for name in PEERS}


def page(cells: list[dict[str, Any]]) -> str:
    """The page in reStructuredText; the same cells give the same page."""
    known = versions()
    title = "Other implementations"
    lines = [
        title,
        "=" * len(title),
        "",
        "Written by ``bash interop/run`` from what its tests found: each line below is a test with",
        "a real process of the peer on one machine.",
        "",
    ]
    for peer, called in PEERS.items():
        mine = [cell for cell in cells if cell["peer"] == peer]
        if not mine:
            continue
        heading = f"{called} {known[peer]}"
        lines += [heading, "-" * len(heading), ""]
        lines += [".. list-table::", "   :header-rows: 1", "   :widths: 34 14 52", ""]
        lines += _row("What", "Who", "Outcome")
        order = list(ROWS)
        # Tests run side by side, and in no order.
        mine.sort(key=lambda cell: (order.index(cell["row"]), cell["role"], cell["outcome"]))
        for cell in mine:
            outcome = cell["outcome"]
            if cell["fault"]:
                outcome += f" *Its fault:* {cell['fault']}"
            lines += _row(ROWS[cell["row"]], ROLES[cell["role"]], outcome)
        lines.append("")
    return "\n".join(lines)


def _row(*columns: str) -> list[str]:
    first, *others = columns
    return [f"   * - {first}", *(f"     - {each}" for each in others)]


def main(cells: str, target: str) -> None:
    """Write the page."""
    lines = Path(cells).read_text(encoding="utf-8").splitlines()
    Path(target).write_text(page([json.loads(line) for line in lines]), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
