"""
The subcommand C{demo}: runs the demonstration and says what happened.
"""

from __future__ import annotations

import json
import os
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TextIO

from txilpstream.cli.output import LINE_INTERVAL, Amount, Progress, progressFor
from txilpstream.trace.file import TraceWriter

if TYPE_CHECKING:
    from txilpstream.cli.demoscenario import Demo, DemoResult

__all__ = ["SUMMARY", "addArguments", "run"]

SUMMARY: Final = "pay and send a file both ways over a path in this process"

TITLE: Final = "txilpstream demo"
"""Of the picture that a trace is drawn as."""

DEFAULT_AMOUNT: Final = 5_000_000_000
DEFAULT_FILE_SIZE: Final = 4 << 20

STALLED: Final = 60.0
"""Seconds without any progress after which the run is given up."""


def addArguments(parser: ArgumentParser) -> None:
    """Say which options there are."""
    parser.add_argument(
        "--amount",
        default=str(DEFAULT_AMOUNT),
        metavar="N",
        help="source units to pay, USD with scale 9 (%(default)s)",
    )
    parser.add_argument("--file", metavar="PATH", help="what to send (4 MiB that it makes)")
    parser.add_argument(
        "--rtt", default="50", metavar="MS", help="round trip in milliseconds (%(default)s)"
    )
    parser.add_argument("--trace", metavar="PATH", help="write what the client's sender decides")
    parser.add_argument("--json", action="store_true", help="print one JSON object and no more")


def _parse(options: Namespace) -> tuple[int, float]:
    """
    @raise ValueError: with a sentence that names value and limit.
    """
    from txilpstream.cli.demoscenario import SMALLEST_AMOUNT

    text = options.amount
    isNumber = text.isascii() and text.isdigit() and len(text) <= 20
    if not isNumber or not SMALLEST_AMOUNT <= int(text) < 2**63:
        raise ValueError(
            f"--amount is {text[:40]!r}: it must be a whole number from {SMALLEST_AMOUNT}, which "
            "is worth one unit at the other end, to 2**63 - 1"
        )
    try:
        milliseconds = float(options.rtt)
    except ValueError:
        milliseconds = -1.0
    if not 0 <= milliseconds <= 10_000:
        raise ValueError(f"--rtt is {options.rtt[:40]!r}: it must be from 0 to 10000 ms")
    return int(text), milliseconds / 1000


def _open(path: str | None) -> BinaryIO:
    """
    @raise OSError: if the file cannot be read.
    """
    if path is not None:
        if os.path.isdir(path):
            raise IsADirectoryError(f"{path!r} is a folder")
        file = open(path, "rb")  # noqa: SIM115 - the caller closes it
        try:
            file.peek(1)  # what opens need not be readable
        except OSError as error:
            file.close()
            raise OSError(f"{path!r} cannot be read: {error}") from None
        return file
    made = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    made.write(os.urandom(DEFAULT_FILE_SIZE))
    made.seek(0)
    return made


def run(options: Namespace, stdout: TextIO, stderr: TextIO) -> int:
    """
    Run the demonstration.

    @return: 0 only if every unit and every byte arrived; 2 for options that are not valid.
    """
    try:
        amount, roundTrip = _parse(options)
        file = _open(options.file)
        trace = None if options.trace is None else TraceWriter(options.trace, title=TITLE)
    except (OSError, ValueError) as error:
        print(f"txilpstream demo: {error}", file=stderr)
        return 2
    from twisted.internet import reactor

    from txilpstream.cli.demoscenario import Demo

    demo = Demo(reactor, amount, file, roundTrip, trace)
    with file, trace or nullcontext():
        if options.json:
            _react(reactor, demo, LINE_INTERVAL, lambda: None)
        else:
            size, progress = os.fstat(file.fileno()).st_size, progressFor(stderr)
            _react(reactor, demo, progress.interval, lambda: _show(demo, size, progress))
            progress.close()
    if options.json:
        print(json.dumps(demo.result.asPlain()), file=stdout)
    else:
        print(_table(demo.result), file=stdout)
    for problem in demo.problems:
        print(f"txilpstream demo: {problem}", file=stderr)
    return 0 if demo.isComplete else 1


def _react(reactor: Any, demo: Demo, interval: float, show: Callable[[], None]) -> None:
    """Run the reactor until the demonstration is over, and show how it goes."""
    from twisted.internet.defer import Deferred
    from twisted.internet.task import LoopingCall

    last = [(-1, -1, -1), reactor.seconds()]

    def tick() -> None:
        result = demo.result
        state = (result.received, result.bytesSent, demo.bytesEchoed)
        if state != last[0]:
            last[:] = [state, reactor.seconds()]
        elif reactor.seconds() - last[1] > STALLED:
            running[0].cancel()
        show()

    def finish(outcome: Any) -> None:
        if outcome is not demo.result:
            demo.failed(outcome)
        if loop.running:
            loop.stop()
        reactor.callLater(0, reactor.stop)

    def start() -> None:
        running.append(Deferred.fromCoroutine(demo.run()))
        running[0].addBoth(finish)
        loop.start(interval, now=False)

    running: list[Deferred[Any]] = []
    loop = LoopingCall(tick)
    reactor.callWhenRunning(start)
    reactor.run()


def _show(demo: Demo, size: int, progress: Progress) -> None:
    """Say how far it has come."""
    result, connection = demo.result, demo.connection
    if connection is None:
        return
    session = connection.session
    progress.show(
        [
            Amount("money", demo.sent, result.amount),
            Amount("file", result.bytesSent, size),
            Amount("echo", demo.bytesEchoed, size),
        ],
        f"{session.inFlight:,} packets in flight, {session.packetRate:,.0f} packets/s allowed",
    )


def _table(result: DemoResult) -> str:
    """What happened, a line each."""
    rejected = ", ".join(f"{code}: {count:,}" for code, count in sorted(result.rejected.items()))
    rows = [
        ("amount", f"{result.amount:,} (USD, scale 9)"),
        ("sent", f"{result.sent:,}"),
        ("in doubt", f"{result.inDoubt:,}"),
        ("delivered at least", f"{result.deliveredMinimum:,} (EUR, scale 6)"),
        ("delivered, as claimed", f"{result.deliveredClaimed:,}"),
        ("received by the server", f"{result.received:,}"),
        ("tip received", f"{result.tipReceived:,} (USD, scale 9)"),
        ("packets", f"{result.packets:,}, fulfilled {result.fulfilled:,}"),
        ("rejected, by code", rejected or "none"),
        ("seconds", f"{result.seconds:.3f}"),
        ("packets per second", f"{result.packetsPerSecond:,.0f}"),
        ("bytes sent", f"{result.bytesSent:,}"),
        ("bytes received", f"{result.bytesReceived:,}"),
        ("SHA-256 sent", result.sha256Sent),
        ("SHA-256 received", result.sha256Received),
        ("SHA-256 echoed back", result.sha256Echoed),
    ]
    return "\n".join(f"{name:<24}{value}" for name, value in rows)
