"""
The page of the manual about C{compare.py}, made from what a run found: C{docs/comparison.rst}.

The same run gives the same page. What was measured, and how, is said here once; the numbers are
the run's.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import Any

from comparechart import drawChart

DOCS = Path(__file__).resolve().parent.parent / "docs"

Report = dict[str, Any]

ITEMS = {
    "a": "Both ends in one process: money",
    "b": "Receiving alone",
    "c": "Both ends in one process: data",
    "d": "Opening a connection",
    "e": "A round trip of 50 ms",
    "f": "Processes of their own, and connectors between them",
    "g": "Memory",
    "h": "Operations on packets",
}
"""The items, by the letters that C{--only} takes."""

ABOUT = """\
What people would use instead, measured in the same run on the same work, or for the same time where
one of both would take too long (item (e)): ``python benchmarks/compare.py --docs`` made this page
and its picture. The sides take turns, a run of each after the other, every run in a process of its
own; who begins changes from run to run. Each figure is the median of {runs}. Ratios are ours to
theirs: of a rate more is better, of a cost and of memory less is.

.. image:: comparison.svg
   :alt: Bars of how many times better than the peer each figure is, on a scale of powers of ten,
         with a mark for the goal of each. The numbers are in the tables below.
"""

CIRCUMSTANCES = """\
Run on {date}: {machine}, {system}. The load was {load0} before and {load1} after; of a machine with
nothing else to do it would be nearly 0 before. Ours: txilpstream {txilpstream} on Python {python}.
Theirs, on Node {node}: {peers}.
"""

METHOD = """\
Time on the wall depends on what else the machine does. Processor time depends on it less; it is
that of all threads of a process, those of its compilers and collectors with it.


What the work is
================

Money is packets of 1000 units of one asset at a rate of 1 over one stream, data is written in
pieces of 16 KiB. Before the time is taken each side does a tenth to a half of it, so that caches
are warm and code is compiled. Both are told the rate, so that neither asks for it in the measured
time. Ours uses its defaults but for what is named below.

Items (a) and (c)
   A client and a server, and a link that hands bytes from one to the other: 20,000 packets; 64 MiB,
   until the last byte is with the application. *ilp-protocol-stream* learns from the link how much
   a packet may carry, ours is told.
Item (b)
   10,000 Prepares that were made before, 100 at a time, answered and told to the application. Our
   server keeps connections, as that of *ilp-protocol-stream* does; our stateless receiver keeps
   totals, for receipts and against copies, and *stream-receiver* keeps nothing.
Item (d)
   Connections in one process, each opened and closed; and the time from credentials to the first
   unit at the receiver, where half a round trip, 25 ms, is the least that there can be. *As each
   side comes*, our credentials say what the receiver's asset is, which is also the payer's, and
   money leaves in the first packet; *ilp-protocol-stream* asks for the rate. Where any rate is
   accepted it asks all the same. Where both ask, one answer must come before money leaves; where
   both are told, neither waits, and there is no goal as nobody can be faster.
Item (e)
   25 ms each way in the link. *ilp-protocol-stream* has one packet in flight, so that its rate is
   the same from the first packet to the last, and a payment as large as ours would take it ten
   minutes: each side sends for some five seconds, with the beginning in it, when ours is still
   slow. Against *pay* both sides make the same payment, from its first packet. Version
   0.4.0-alpha.9 keeps a task for every reply and takes long, which is why its payment is half as
   large. The smaller a payment, the less the difference: ours begins with few packets and doubles
   them each round trip, so that one of 300 packets takes seven however fast the machine
   is; on a fast one, where theirs is faster, that is ten times theirs and below the goal.
Item (f)
   Client, server and connectors in processes of their own: one *ilp-connector* with both ends as
   children over BTP, 2,000 packets; or two that are peers over HTTP, 1,000 packets. The connectors
   are the same processes for both sides. Their work, see its row, bounds the rate. Ours has at most
   100 packets in flight: *ilp-plugin-http* opens a connection for each.
Item (g)
   The most memory that a process had in the measurement named, all included.
Item (h)
   One operation at a time, per second of CPU: on a money packet with one frame, a reply with
   three, 16 KiB of data, and the ILP packets around the first.


"""

WHOSE = {
    "ilp-protocol-stream": "ilp-protocol-stream",
    "stream-receiver": "stream-receiver",
    "pay": "pay",
    "pay-alpha": "pay (alpha)",
}
"""What a peer is called in the tables."""


def writePage(report: Report) -> None:
    """Write the page and its picture."""
    (DOCS / "comparison.svg").write_text(drawChart(report), encoding="utf-8")
    (DOCS / "comparison.rst").write_text(makePage(report), encoding="utf-8")


def makePage(report: Report) -> str:
    """The page in reStructuredText."""
    title = "Ours and theirs"
    peers = ", ".join(f"{_plain(name)} {version}" for name, version in report["peers"].items())
    load0, load1 = report["load"]
    runs = "1 run" if report["runs"] == 1 else f"{report['runs']} runs"
    words = {**report, "peers": peers, "load0": load0, "load1": load1, "runs": runs}
    run = fill(CIRCUMSTANCES.format(**words), 100, break_long_words=False, break_on_hyphens=False)
    text = f"{title}\n{'#' * len(title)}\n\n{ABOUT.format(**words)}\n{run}\n\n{METHOD}"
    for letter, heading in ITEMS.items():
        figures = [each for each in report["figures"] if each["letter"] == letter]
        if figures:
            heading = f"({letter}) {heading}"
            text += f"{heading}\n{'=' * len(heading)}\n\n{_table(figures)}\n\n"
    return text.rstrip("\n") + "\n"


def _plain(package: str) -> str:
    """A package's name without what tells two versions of it apart here."""
    return package.removesuffix("-alpha")


def _table(figures: list[Report]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 44 20 10 10 8 14", ""]
    lines += _row("What", "In", "Ours", "Theirs", "Ratio", "Goal")
    for each in figures:
        goal = ""
        if each["goal"] is not None:
            bound = "at least" if each["isRate"] else "at most"
            goal = f"{bound} {each['goal']:.2g}"
            if not each["holds"]:
                goal += ", **missed**"
        lines += _row(
            f"{each['name']}; {WHOSE[each['peer']]}",
            each["unit"],
            _number(each["ours"]["median"]),
            _number(each["theirs"]["median"]),
            f"{each['ratio']:.3g}",
            goal,
        )
    return "\n".join(lines)


def _number(value: float) -> str:
    """Three digits are what such figures are good for."""
    if value < 999.5:
        return f"{value:.3g}"
    digits = len(str(int(value))) - 3
    return f"{round(value, -digits):,.0f}"


def _row(*columns: str) -> list[str]:
    first, *others = columns
    return [f"   * - {first}", *(f"     - {each}".rstrip() for each in others)]
