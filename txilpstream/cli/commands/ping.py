"""
The subcommand C{ping}: finds out whether packets reach an address, and how long they take.

What is sent is a packet without money that nobody can fulfill; who refuses it, and how, says how
far it came.
"""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any, Final, TextIO

from txilpstream.cli.options import addPluginArguments, readSeconds
from txilpstream.cli.run import runChecked
from txilpstream.errors import StreamError
from txilpstream.service.settings import readAmount
from txilpstream.wire.address import checkAddress
from txilpstream.wire.ilp import (
    ERROR_NAMES,
    Reject,
    decodeReply,
    encodePrepare,
    encodeTimestamp,
    isTemporary,
)

if TYPE_CHECKING:
    from txilpstream.cli.run import Running
    from txilpstream.transport.account import Account

__all__ = ["SUMMARY", "addArguments", "main", "run"]

SUMMARY: Final = "find out whether packets reach an ILP address"

DEFAULT_TIMEOUT: Final = 10.0

INTERVAL: Final = 1.0
"""Seconds between two packets."""

_ON_THE_WAY: Final = ("F01", "F02", "F08", "R00", "R01", "R02")
"""Codes that a node on the way gives; so are all that are temporary."""


@dataclass(slots=True)
class Echo:
    """
    What became of one packet.

    @ivar code: of the reject; empty if there was no answer.
    @ivar name: what the code means, or why there was no answer.
    @ivar triggeredBy: who rejected it, as he says.
    @ivar milliseconds: until the answer.
    @ivar isReached: whether the packet came to its address.
    """

    code: str
    name: str
    triggeredBy: str
    milliseconds: float
    isReached: bool


def addArguments(parser: ArgumentParser) -> None:
    """Say which options there are."""
    parser.add_argument("address", metavar="ADDRESS", help="an ILP address")
    parser.add_argument("--count", metavar="N", default="3", help="packets (%(default)s)")
    parser.add_argument("--timeout", metavar="SECONDS", help="for each answer (10)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and no more")
    addPluginArguments(parser)


def _read(options: Namespace) -> tuple[str, int, float]:
    """
    Address, count and time limit.

    @raise LocalError: if one is not valid.
    """
    address = checkAddress(options.address)
    count = readAmount("--count", options.count, minimum=1)
    return address, count, readSeconds("--timeout", options.timeout) or DEFAULT_TIMEOUT


async def main(
    reactor: Any, options: Namespace, running: Running, stdout: TextIO, stderr: TextIO
) -> int:
    """Do it, and give the exit status."""
    address, count, timeout = _read(options)
    from twisted.internet.task import deferLater

    from txilpstream.cli.destination import makePlugin, openAccount
    from txilpstream.cli.run import within

    opening = openAccount(reactor, makePlugin(reactor, options))
    account = await within(max(timeout, DEFAULT_TIMEOUT), opening, reactor)
    echoes: list[Echo] = []
    try:
        for number in range(count):
            if number:
                await deferLater(reactor, INTERVAL)
            echo = await _send(account, address, timeout)
            echoes.append(echo)
            if not options.json:
                by = echo.triggeredBy or "a node without a name"
                what = "reached" if echo.isReached else "not reached"
                why = f"{echo.code} {echo.name}, by {by}"
                print(f"{what} in {echo.milliseconds:.1f} ms ({why})", file=stdout)
    finally:
        await account.close()
    reached = [echo for echo in echoes if echo.isReached]
    if options.json:
        times = sorted(echo.milliseconds for echo in reached)
        plain = {
            "address": address,
            "sent": len(echoes),
            "reached": len(reached),
            "milliseconds": median(times) if times else None,
            "codes": sorted({echo.code for echo in echoes}),
        }
        print(json.dumps(plain), file=stdout)
    return 0 if reached else 1


async def _send(account: Account, address: str, timeout: float) -> Echo:
    """Send one packet and judge its answer."""
    from twisted.internet.defer import CancelledError

    reactor = account.reactor
    expiresAt = encodeTimestamp(account.now() + max(timeout, DEFAULT_TIMEOUT))
    packet = encodePrepare(0, expiresAt, os.urandom(32), address, b"")
    began = reactor.seconds()
    try:
        sent: Any = account.plugin.sendData(packet)
        reply = decodeReply(await sent.addTimeout(timeout, reactor))
    except CancelledError:
        raise
    except Exception as error:
        name = str(error) if isinstance(error, StreamError) else "no answer"
        return Echo("---", name, "", (reactor.seconds() - began) * 1000, False)
    milliseconds = (reactor.seconds() - began) * 1000
    if not isinstance(reply, Reject):
        return Echo("---", "a fulfillment that is none", "", milliseconds, False)
    code = reply.code
    # A node on the way says who it is; at the address itself somebody without a name may be at home
    # who has no use for a packet like this.
    isThere = code == "F02" and reply.triggeredBy in ("", address)
    isReached = isThere or (not isTemporary(code) and code not in _ON_THE_WAY)
    name = ERROR_NAMES.get(code, "")
    return Echo(code, name, reply.triggeredBy, milliseconds, isReached)


run: Final = partial(runChecked, "ping", _read, main)
"""Send packets: 0 if one came to the address, 1 if not, 2 for options that are not valid."""
