"""
The command C{txilpstream decode}: shows what is in a packet.

This module knows options, files and how a tree is printed; what a packet holds is found out by
L{txilpstream.inspection}.
"""

from __future__ import annotations

import json
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Final, TextIO

from txilpstream.crypto.keys import SECRET_LENGTH
from txilpstream.errors import DecodeError
from txilpstream.inspection import (
    Tree,
    asLines,
    asPlain,
    inspectPacket,
    inspectStreamPacket,
    readPacket,
    readStreamPacket,
)

__all__ = ["SUMMARY", "addArguments", "run"]

SUMMARY: str = "show what is in an ILP packet and in the STREAM packet that it carries"

_MAX_INPUT: Final = 1 << 20
"""Octets: many times the largest packet (33 kB), however it is written."""

_LIKE_A_SECRET: Final = re.compile(r"[0-9A-Fa-f]{16}")


def addArguments(parser: ArgumentParser) -> None:
    """Say which options there are."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--secret",
        type=_secret,
        metavar="HEX",
        help="the connection's shared secret, 64 hex digits, which opens the STREAM packet",
    )
    kind.add_argument(
        "--stream", action="store_true", help="the input is a STREAM packet that is not encrypted"
    )
    parser.add_argument(
        "file",
        nargs="?",
        default="-",
        metavar="FILE",
        help="one packet, binary or as hex or base64; '-', the default, is standard input",
    )


def _secret(text: str) -> bytes:
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        raise ArgumentTypeError("the secret is not made of hex digits") from None
    if len(secret) != SECRET_LENGTH:
        raise ArgumentTypeError(
            f"the secret has {len(secret)} octets: it must have {SECRET_LENGTH}, in hex"
        )
    return secret


def run(options: Namespace, stdout: TextIO, stderr: TextIO) -> int:
    """
    Do what the options say.

    @return: the exit status: 0, 1 if the input is no packet, 2 if it cannot be read.
    """
    try:
        octets = _readInput(options.file)
    except OSError as error:
        name = "standard input" if options.file == "-" else repr(options.file)
        if _LIKE_A_SECRET.search(name):  # or like a packet, which does not stand here either
            name = "the file; packets and secrets are no file names"
        stderr.write(f"txilpstream decode: cannot read {name}: {error.strerror or error}\n")
        return 2
    try:
        tree = _inspect(octets, options)
    except DecodeError as error:
        stderr.write(f"txilpstream decode: {error}\n")
        return 1
    if options.json:
        stdout.write(json.dumps(asPlain(tree)) + "\n")
        return 0
    # What the output's encoding cannot write is escaped instead of ending the command.
    encoding = stdout.encoding or "utf-8"
    for line in asLines(tree):
        stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    return 0


def _readInput(name: str) -> bytes:
    if name == "-":
        if sys.stdin is None:
            raise OSError("it is closed")
        return sys.stdin.buffer.read(_MAX_INPUT + 1)
    with open(name, "rb") as file:
        return file.read(_MAX_INPUT + 1)


def _inspect(octets: bytes, options: Namespace) -> Tree:
    if len(octets) > _MAX_INPUT:
        raise DecodeError(f"the input is longer than {_MAX_INPUT} octets: no packet is so long")
    if options.stream:
        return inspectStreamPacket(readStreamPacket(octets))
    return inspectPacket(readPacket(octets), options.secret)
