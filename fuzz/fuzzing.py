"""
What the two fuzzers share: options, shares, mutations, what was logged, and the bound on memory.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from time import monotonic, process_time
from typing import Any, Final

from twisted.logger import LogLevel, formatEvent, globalLogBeginner

MOST_GROWTH: Final = 128 * 1024
"""Octets that may be held more at the end of a run than when it is warm."""

MOST_LINES: Final = 50
"""How many of the last lines of a reproducer are shown; the command that is shown too makes all."""

MOST_AT_ONCE: Final = 32 * 1024 * 1024
"""Octets that may be held at any moment beyond those that were held at the beginning."""

_EDGES: Final = (0, 1, 2, 12, 13, 14, 16, 17, 18, 20, 127, 128, 129, 130, 132, 136, 254, 255)
"""Octets that mean something in a packet: types, and lengths where their form changes."""


class FindingError(Exception):
    """Something happened that must not; the text says what."""


def require(isTrue: object, text: str) -> None:
    """
    @raise FindingError: unless it is true.
    """
    if not isTrue:
        raise FindingError(text)


def mutated(rng: random.Random, octets: bytes, other: bytes) -> bytes:
    """
    Change octets a little, in one place or in up to four.

    @param other: another valid one, of which parts are taken.
    """
    result = bytearray(octets)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        kind = rng.randrange(9)
        at = rng.randrange(len(result) + 1)
        stop = min(len(result), at + rng.choice((1, 1, 2, 4, 8, 32)))
        if kind == 0 and at < len(result):
            result[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(result):
            result[at] = rng.choice(_EDGES)
        elif kind == 2 and at < len(result):
            result[at] = (result[at] + rng.choice((-1, 1))) & 255
        elif kind == 3:
            del result[at:stop]
        elif kind == 4:
            result[at:at] = rng.randbytes(rng.choice((1, 2, 8, 200)))
        elif kind == 5:
            result[at:at] = result[at:stop]
        elif kind == 6:
            del result[at:]
        elif kind == 7:
            result[at:stop] = bytes([rng.choice((0, 255))]) * (stop - at)
        else:
            start = rng.randrange(len(other) + 1)
            result[at:stop] = other[start : start + rng.choice((1, 4, 16, 64))]
    return bytes(result)


class Memory:
    """
    Bounds what is held, as C{tracemalloc} counts it; that makes all slow, so it counts a part only.

    @ivar growth: octets that were held more at the end than at the beginning.
    @ivar peak: octets that were held at most beyond those.
    """

    def __init__(self) -> None:
        self.growth = self.peak = 0

    def begin(self) -> None:
        """From now on nothing more may be kept: caches are warm."""
        gc.collect()
        tracemalloc.start(1)

    def check(self) -> None:
        """
        Count no more.

        @raise FindingError: if more is held than may be.
        """
        if not tracemalloc.is_tracing():
            return
        gc.collect()
        self.growth, self.peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        if self.growth > MOST_GROWTH or self.peak > MOST_AT_ONCE:
            raise FindingError(f"memory grew by {self.growth} octets, at most by {self.peak}")


class Log:
    """
    Turns what is logged as an error, such as one in a Deferred, into a finding.

    @ivar expected: formats of errors that are documented.
    """

    def __init__(self) -> None:
        self.expected: set[str] = set()
        self._errors: list[str] = []
        # Until somebody begins, Twisted keeps all that is logged.
        globalLogBeginner.beginLoggingTo([self._observe], redirectStandardIO=False)

    def _observe(self, event: dict[str, Any]) -> None:
        if event.get("log_format") in self.expected:
            return
        if event.get("log_level", LogLevel.info) >= LogLevel.error:
            failure = event.get("log_failure")
            text = failure.getTraceback() if failure is not None else formatEvent(event)
            self._errors.append(text)

    def check(self) -> None:
        """
        @raise FindingError: if an error was logged.
        """
        if self._errors:
            text, self._errors = self._errors[0], []
            raise FindingError(f"an error was logged: {text}")


class Watch:
    """Tells what a run took."""

    def __init__(self) -> None:
        self._began, self._cpu = monotonic(), process_time()

    def __str__(self) -> str:
        seconds, cpu = monotonic() - self._began, process_time() - self._cpu
        return f"{seconds:.0f} s, of which {cpu:.0f} s of processor time"


def parserFor(
    doc: str, count: int, names: Sequence[str], where: str = "in all"
) -> argparse.ArgumentParser:
    """
    A parser with the options that both have.

    @param count: how many are made if nothing is said.
    @param names: of what there is to choose from.
    @param where: what the count is about.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    text = f"how many {where}, {count} by default"
    parser.add_argument("--count", type=int, default=count, help=text)
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same input")
    parser.add_argument("--only", choices=names, help="this one only")
    return parser


def sharesOf(options: argparse.Namespace, weights: dict[str, int]) -> Iterator[tuple[str, int]]:
    """
    Which of the names are chosen, and how many of the count are for each.

    @param options: what the parser of L{parserFor} found.
    @param weights: by name, the part of the whole.
    """
    chosen = {name: weights[name] for name in weights if options.only in (None, name)}
    done = weight = 0
    for name, part in chosen.items():
        weight += part
        end = options.count * weight // sum(chosen.values())
        yield name, end - done
        done = end


def playAll(
    options: argparse.Namespace,
    weights: dict[str, int],
    what: str,
    play: Callable[[str, int, Log], None],
) -> None:
    """
    Play the shares of all that are chosen, and say that nothing was found.

    @param what: what there are so many of.
    @param play: takes a name, its share, and the log; a finding ends the program.
    """
    watch, log = Watch(), Log()
    for name, count in sharesOf(options, weights):
        play(name, count, log)
    print(f"{options.count} {what} without a finding, seed {options.seed}, in {watch}")


def report(what: str, error: BaseException, reproducer: Sequence[str], again: str) -> None:
    """
    Print a finding, and end with status 1.

    @param reproducer: the input, in lines of hex, of which the last are shown.
    @param again: the command that does it once more.
    """
    print(f"FOUND {what}: {type(error).__name__}: {error}", file=sys.stderr)
    for line in reproducer[-MOST_LINES:]:
        print(f"  {line}", file=sys.stderr)
    print(f"again: {again}", file=sys.stderr)
    sys.stdout.flush()
    raise SystemExit(1)
