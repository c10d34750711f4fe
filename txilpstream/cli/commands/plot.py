"""
The subcommand C{plot}: draws a trace.

A file that was there before is replaced by a finished picture only.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from typing import Final, TextIO

from txilpstream.errors import LocalError
from txilpstream.trace.figure import checkSuffix, render
from txilpstream.trace.series import readTraceData

__all__ = ["SUMMARY", "addArguments", "run"]

SUMMARY: Final = "draw a trace: packet amounts, packets in flight, rejects, what was delivered"


def addArguments(parser: ArgumentParser) -> None:
    """Say which options there are."""
    parser.add_argument(
        "trace", metavar="TRACE", help="a trace, as --trace of other commands makes"
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="the picture; its suffix says what it is: .svg, .png, .pdf, or .html for a page with"
        " the picture, the totals and how to read them",
    )


def run(options: Namespace, stdout: TextIO, stderr: TextIO) -> int:
    """
    Do what the options say. A file that was there is replaced only by a finished picture.

    @return: the exit status: 0, 1 if there is no matplotlib, 2 if the trace cannot be read or the
        picture not written.
    """
    try:
        suffix = checkSuffix(options.output)
        data = readTraceData(options.trace)
        if os.path.exists(options.output) and os.path.samefile(options.trace, options.output):
            raise LocalError(f"{options.output!r} is the trace itself: name another file for -o")
        picture = render(data, suffix)
        with open(options.output, "wb") as file:
            file.write(picture)
    except ImportError as error:
        return _fail(stderr, error, 1)
    except OSError as error:
        name = error.filename if error.filename is not None else options.output
        return _fail(stderr, f"{name!r}: {error.strerror or error}", 2)
    except ValueError as error:  # a LocalError, or a path with a null character in it
        return _fail(stderr, error, 2)
    return 0


def _fail(stderr: TextIO, problem: object, status: int) -> int:
    stderr.write(f"txilpstream plot: {' '.join(str(problem).split())}\n")
    return status
