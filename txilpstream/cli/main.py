"""
The command C{txilpstream}: finds the subcommand and gives it what was asked.

Each subcommand is a module that offers what L{Command} lists; to add one is to name it in
L{COMMANDS}. No reactor is imported here, and neither may a subcommand import one before it runs.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn, Protocol, TextIO

from txilpstream._version import __version__
from txilpstream.cli.commands import decode, demo, hub, pay, ping, plot, quote, receive, serve
from txilpstream.logs import withoutSecrets

__all__ = ["COMMANDS", "Command", "main"]


class Command(Protocol):
    """What a subcommand's module offers."""

    SUMMARY: str
    """What it does, in one line for the help."""

    def addArguments(self, parser: ArgumentParser) -> None:
        """Say which options there are."""

    def run(self, options: Namespace, stdout: TextIO, stderr: TextIO) -> int:
        """
        Do what the options say.

        @return: the exit status.
        """


COMMANDS: Final[Mapping[str, Command]] = {
    "decode": decode,
    "demo": demo,
    "hub": hub,
    "pay": pay,
    "ping": ping,
    "plot": plot,
    "quote": quote,
    "receive": receive,
    "serve": serve,
}
"""The subcommands by name."""

_INTERRUPTED: Final = 130
"""The exit status of a command that SIGINT ended, by the custom of shells."""


class _Parser(ArgumentParser):
    """Says what is wrong in one line, and never repeats what could be a secret."""

    def error(self, message: str) -> NoReturn:
        message = withoutSecrets(message.replace("\n", " "))
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _makeParser() -> _Parser:
    # Options are not abbreviated: a mistyped --secret would else be taken for another one.
    parser = _Parser(
        prog="txilpstream", description="Interledger STREAM for Twisted.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"txilpstream {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=command.SUMMARY, description=command.SUMMARY, allow_abbrev=False
        )
        command.addArguments(subparser)
        subparser.set_defaults(parser=subparser)
    return parser


def _parse(argv: Sequence[str] | None) -> Namespace:
    parser = _makeParser()
    options, unknown = parser.parse_known_args(argv)
    if unknown:
        # Only names are repeated: the word after an unknown option may be the secret.
        names = [word.partition("=")[0] for word in unknown if word.startswith("-")]
        options.parser.error(
            f"there is no option {' or '.join(names)}" if names else "there are too many arguments"
        )
    return options


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """
    Run the command and exit: 0 if it did what was asked, 2 if it was asked wrongly.

    @param argv: the words after the command's name; those of the process by default.
    @raise SystemExit: always.
    """
    options = _parse(argv)
    try:
        status = COMMANDS[options.command].run(options, sys.stdout, sys.stderr)
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has had enough. What is left must go somewhere, or Python
        # complains about it on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)
