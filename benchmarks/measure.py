"""
What the benchmarks share: a figure, the median of several runs, and how figures are printed.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
from collections.abc import Callable
from cProfile import Profile
from dataclasses import asdict, dataclass
from pstats import Stats
from statistics import median
from time import process_time

RUNS = 5
"""Each figure is the median of so many runs."""


@dataclass
class Figure:
    """
    One line of a benchmark.

    @ivar goal: the most that C{value} may be, or the least if C{isLeast}; None if nothing is asked.
    """

    name: str
    value: float
    unit: str
    goal: float | None = None
    isLeast: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.isLeast else self.value <= self.goal

    def asPlain(self) -> dict[str, object]:
        """The figure as it stands in the JSON list."""
        plain = asdict(self)
        del plain["isLeast"]
        plain["value"] = round(self.value, 3)
        plain["holds"] = self.holds
        return plain


@dataclass
class Options:
    """What the command line says."""

    isJson: bool
    isSmoke: bool
    isProfile: bool = False

    def count(self, full: int, smoke: int) -> int:
        """How often something is done."""
        return smoke if self.isSmoke else full


def readOptions(description: str, *, hasProfile: bool = False) -> Options:
    """Read the command line; some tell where the time goes, too."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print a list of figures")
    parser.add_argument("--smoke", action="store_true", help="a short run")
    if hasProfile:
        parser.add_argument("--profile", action="store_true", help="tell where the time goes")
    arguments = parser.parse_args()
    return Options(arguments.json, arguments.smoke, hasProfile and arguments.profile)


def shares(profile: Profile) -> list[tuple[str, float, float]]:
    """Where a profile's time went, by folders of modules: each part in %, and its calls in %."""
    found: dict[str, list[float]] = {}
    for (path, _, name), (_, calls, seconds, _, _) in Stats(profile).stats.items():  # type: ignore[attr-defined]
        if name in _WAITING:
            continue
        parts = path.split("/")
        place = "C" if path == "~" else parts[-2] if len(parts) > 1 else path
        for root in ("txilpstream", "twisted"):
            if root in parts[:-1]:
                inner = parts[len(parts) - parts[::-1].index(root) : -1]
                place = ".".join([root, *inner])
        each = found.setdefault(place, [0.0, 0.0])
        each[0] += seconds
        each[1] += calls
    whole = [sum(column) for column in zip(*found.values(), strict=True)]
    return sorted(
        ((k, 100 * v[0] / whole[0], 100 * v[1] / whole[1]) for k, v in found.items()),
        key=lambda share: -share[1],
    )


_WAITING = (
    "<method 'poll' of 'select.epoll' objects>",
    "<method 'readline' of '_io.TextIOWrapper' objects>",
    "<built-in method time.sleep>",
)
"""What takes time and no processor."""


def processorTime(function: Callable[[], object]) -> float:
    """Seconds of processor time that a call takes."""
    gc.collect()
    started = process_time()
    function()
    return process_time() - started


def microseconds(function: Callable[[], object], count: int) -> float:
    """Processor time of one call in µs, the median of several runs of C{count} calls."""

    def run() -> None:
        for _ in range(count):
            function()

    return median(processorTime(run) for _ in range(RUNS)) / count * 1e6


def show(figures: list[Figure], options: Options, how: str = f"medians of {RUNS} runs") -> None:
    """
    Print the figures, as a table or as JSON.

    @param how: what the figures are, for the head of the table.
    """
    if options.isJson:
        print(json.dumps([figure.asPlain() for figure in figures], indent=2))
        return
    print(f"Python {platform.python_version()} on {platform.machine()}, {how}")
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        line = f"{figure.name:{width}}  {figure.value:>12,.2f} {figure.unit:10}"
        if figure.goal is not None:
            bound = "at least" if figure.isLeast else "at most"
            line += f"  {bound} {figure.goal:g}: {'holds' if figure.holds else 'MISSED'}"
        print(line.rstrip())
