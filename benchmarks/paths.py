"""
How well the controls use a path: whole connections on a simulated one, in virtual time.

Usage: python benchmarks/paths.py [--json] [--smoke] [--only NAME]

Shares are in percent. "Used" is what came through of what the path could have taken, "rejected" is
the part of all packets. Each case runs over several seeds, round trips and sizes; the worst figure
is the one that counts. What happens in the first ten seconds is left out where a case says so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from time import perf_counter

from measure import Figure, Options, show
from pathcases import (
    measureBuckets,
    measureChanges,
    measureFairness,
    measureLargest,
    measureLiquidity,
    measureLoss,
    measureSilence,
    measureTemporary,
)
from paymentcases import measureInterrupted, measurePayments, measureRoundTrips

CASES: dict[str, Callable[[Options], Iterable[Figure]]] = {
    "largest": measureLargest,
    "buckets": measureBuckets,
    "liquidity": measureLiquidity,
    "changes": measureChanges,
    "temporary": measureTemporary,
    "unmarked": measureLoss,
    "silence": measureSilence,
    "fairness": measureFairness,
    "roundtrips": measureRoundTrips,
    "payments": measurePayments,
    "interrupted": measureInterrupted,
}
"""Each case by the name that C{--only} takes, in the order in which they run."""


def readOptions() -> tuple[Options, list[str]]:
    """Read the command line; gives the names of the cases to run too."""
    parser = argparse.ArgumentParser(description="how well the controls use a path")
    parser.add_argument("--json", action="store_true", help="print a list of figures")
    parser.add_argument("--smoke", action="store_true", help="a short run")
    parser.add_argument("--only", action="append", choices=list(CASES), help="run this case")
    arguments = parser.parse_args()
    return Options(arguments.json, arguments.smoke), arguments.only or list(CASES)


def run(options: Options, names: list[str]) -> list[Figure]:
    """Run cases, and say on standard error how far it is."""
    figures: list[Figure] = []
    for name in names:
        started = perf_counter()
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        figures += CASES[name](options)
        print(f"{perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
    return figures


if __name__ == "__main__":
    chosen, cases = readOptions()
    show(run(chosen, cases), chosen, "virtual time; the worst of all seeds and variants")
