"""
Ours and the peers', in one run, on the same work.

Usage: python benchmarks/compare.py [--smoke] [--only a,b] [--json] [--check] [--docs]

It needs Linux, Node 18 or later, and the peers: C{npm ci} in C{interop/}. The sides take turns, a
run of each after the other, and who begins changes from run to run. Each figure is the median of
five runs, each in a new process. Ratios are ours to theirs. With C{--docs} the run writes
C{docs/comparison.rst} and its chart; C{--from FILE} does so, and prints, from what C{--json}
printed before.

The status is 1 if something did not run; with C{--check} also if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from comparecontests import CONTESTS, Contest, Measure, PathContest, Result
from comparepage import writePage
from compareprocesses import INTEROP, Failed, findNode
from measure import RUNS

from txilpstream import __version__

LETTERS = "abcdefgh"

Report = dict[str, Any]


def readOptions() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="ours and the peers', in one run")
    parser.add_argument("--json", action="store_true", help="print everything, each run too")
    parser.add_argument("--smoke", action="store_true", help="a short run, without goals")
    parser.add_argument("--only", help=f"letters of {LETTERS}, with commas", default=LETTERS)
    parser.add_argument("--check", action="store_true", help="a missed goal is a failure")
    parser.add_argument("--docs", action="store_true", help="write docs/comparison.rst and .svg")
    parser.add_argument("--from", dest="file", type=Path, help="take a run that --json printed")
    options = parser.parse_args()
    options.letters = set(options.only.replace(",", ""))
    if not options.letters <= set(LETTERS):
        parser.error(f"--only takes letters of {LETTERS}, not {options.only}")
    return options


def run(options: argparse.Namespace) -> Report:
    """
    Run what was chosen, and say on standard error how far it is.

    @raise Failed: if the peers are not there at all.
    """
    about = machine()
    runs = 1 if options.isSmoke else RUNS
    figures: list[Report] = []
    failures: list[str] = []
    before = os.getloadavg()[0]
    for contest in CONTESTS:
        measures = [each for each in contest.measures if each.letter in options.letters]
        if not measures:
            continue
        name = f"{contest.name}, {contest.peer}"
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        began = perf_counter()
        try:
            found = alternate(contest, runs, options.isSmoke)
        except (Failed, OSError) as error:
            failures.append(f"{name}: {error}")
            print(f"FAILED: {error}", file=sys.stderr, flush=True)
            continue
        print(f"{perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
        figures += [figure(contest, each, found, options.isSmoke) for each in measures]
    figures.sort(key=lambda each: str(each["letter"]))
    return {
        **about,
        "runs": runs,
        "load": [round(before, 2), round(os.getloadavg()[0], 2)],
        "figures": figures,
        "failures": failures,
    }


def alternate(contest: Contest | PathContest, runs: int, isSmoke: bool) -> dict[str, list[Result]]:
    """
    Let the sides take turns.

    @raise Failed: if one of them fails.
    """
    found: dict[str, list[Result]] = {"ours": [], "theirs": []}
    try:
        measure = contest.open(isSmoke)
        for number in range(runs):
            order = ("ours", "theirs") if number % 2 else ("theirs", "ours")
            for side in order:
                found[side].append(measure(side))
    finally:
        contest.close()
    return found


def figure(
    contest: Contest | PathContest, measure: Measure, found: dict[str, list[Result]], isSmoke: bool
) -> Report:
    """One line of the table, with each run's value."""
    values = {side: [measure.read(each) for each in results] for side, results in found.items()}
    ours, theirs = median(values["ours"]), median(values["theirs"])
    ratio = ours / theirs
    goal = None if isSmoke else measure.goal
    holds = None
    if goal is not None:
        holds = ratio >= goal if measure.isRate else ratio <= goal
    return {
        "letter": measure.letter,
        "name": contest.name,
        "peer": contest.peer,
        "unit": measure.unit,
        "isRate": measure.isRate,
        "ours": {"median": ours, "runs": values["ours"]},
        "theirs": {"median": theirs, "runs": values["theirs"]},
        "ratio": ratio,
        "goal": goal,
        "holds": holds,
    }


def machine() -> Report:
    """
    What it runs on and with.

    @raise Failed: if the peers are not there.
    """
    lock = json.loads((INTEROP / "package-lock.json").read_text(encoding="utf-8"))
    packages = {
        name.removeprefix("node_modules/"): entry["version"]
        for name, entry in lock["packages"].items()
        if name
    }
    peers = ["ilp-protocol-stream", "stream-receiver", "pay", "pay-alpha"]
    peers += ["ilp-connector", "ilp-plugin-btp", "ilp-plugin-http"]
    processor = ""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
    node = subprocess.run([findNode(), "--version"], capture_output=True, text=True, check=True)
    return {
        "date": date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {processor or platform.machine()}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "node": node.stdout.strip().removeprefix("v"),
        "txilpstream": __version__,
        "peers": {name: packages[name] for name in peers},
    }


def show(report: Report) -> None:
    """Print the table."""
    print(
        f"txilpstream {report['txilpstream']}, Python {report['python']}, Node {report['node']}; "
        f"{report['machine']}; load {report['load'][0]} before, {report['load'][1]} after; "
        f"medians of {report['runs']}"
    )
    name = ""
    for each in report["figures"]:
        heading = f"({each['letter']}) {each['name']}, {each['peer']}"
        if heading != name:
            print(heading)
            name = heading
        line = f"    {each['unit']:42}{each['ours']['median']:>14,.1f}"
        line += f"{each['theirs']['median']:>14,.1f}{each['ratio']:>10.2f}"
        if each["goal"] is not None:
            bound = "at least" if each["isRate"] else "at most"
            line += f"  {bound} {each['goal']:.3g}: {'holds' if each['holds'] else 'MISSED'}"
        print(line)
    for failure in report["failures"]:
        print(f"FAILED {failure}")


def main() -> int:
    """Run, print, and say how it went."""
    options = readOptions()
    options.isSmoke = options.smoke
    if options.file:
        report: Report = json.loads(options.file.read_text(encoding="utf-8"))
    else:
        try:
            report = run(options)
        except Failed as error:
            print(f"compare: {error}; nothing was compared", file=sys.stderr)
            return 1
    if options.docs:
        writePage(report)
    if options.json:
        print(json.dumps(report, indent=1))
    else:
        show(report)
    isMissed = any(each["holds"] is False for each in report["figures"])
    return int(bool(report["failures"]) or (options.check and isMissed))


if __name__ == "__main__":
    sys.exit(main())
