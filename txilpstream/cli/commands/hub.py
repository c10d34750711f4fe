"""
The subcommand C{hub}: runs a connector for this machine, and says in the end what it came to.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TextIO

from txilpstream.cli.commands.serve import addSettings, portsOf, readSettings
from txilpstream.cli.run import runChecked
from txilpstream.errors import LocalError

if TYPE_CHECKING:
    from txilpstream.cli.run import Running

__all__ = ["SUMMARY", "addArguments", "main", "run"]

SUMMARY: Final = "run a connector that anybody on this machine can use"


def addArguments(parser: ArgumentParser) -> None:
    """Say which options there are."""
    addSettings(parser, lambda option: option.isHub)
    parser.add_argument("--json", action="store_true", help="print JSON objects, one a line")


def _check(options: Namespace) -> None:
    """
    @raise LocalError: if an option is not valid, or nobody could come.
    """
    settings = readSettings(options)
    settings.checkDoors()  # whatever plugin the environment names: a hub has none
    if not (settings.btp or settings.http):
        raise LocalError("neither --btp nor --http says where to listen: nobody could come")


async def main(
    reactor: Any, options: Namespace, running: Running, stdout: TextIO, stderr: TextIO
) -> int:
    """
    Do it.

    @param running: its C{onInterrupt} is set to what ends it in good order.
    @return: the exit status.
    """
    from twisted.internet.defer import Deferred

    from txilpstream.cli.output import Announcements
    from txilpstream.http.listener import raiseDescriptorLimit
    from txilpstream.service.service import localHubFor

    say = Announcements(stdout, isJSON=options.json)
    settings = readSettings(options)
    raiseDescriptorLimit()
    local = localHubFor(reactor, settings)
    await local.start()
    say.hub(local.hub.address, portsOf(local), settings.isOpen)
    enough: Deferred[None] = Deferred()
    running.onInterrupt = lambda: enough.callback(None)
    await enough
    await local.stop()
    say.accounts(local.hub.accounts.values())
    return 0


run: Final = partial(runChecked, "hub", _check, main, isTalkative=True)
"""Forward packets until somebody has had enough: 0, or 1 if it cannot start, 2 for bad options."""
