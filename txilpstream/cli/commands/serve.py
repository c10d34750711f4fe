"""
The subcommand C{serve}: receives in the foreground, and says how it can be paid.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TextIO

from twisted.internet.address import UNIXAddress

from txilpstream.cli.run import runChecked
from txilpstream.service.settings import OPTIONS, Settings

if TYPE_CHECKING:
    from txilpstream.cli.run import Running
    from txilpstream.hub.server import LocalHub
    from txilpstream.service.receiver import Received
    from txilpstream.service.service import ReceiverService

__all__ = [
    "SUMMARY",
    "addArguments",
    "addSettings",
    "main",
    "portOf",
    "portsOf",
    "readSettings",
    "run",
]

SUMMARY: Final = "receive payments, with a hub inside if there is no plugin"


def addSettings(parser: ArgumentParser, isWanted: Callable[[Any], bool]) -> None:
    """Say which settings there are."""
    for option in OPTIONS:
        if isWanted(option):
            default = f" ({option.default})" if option.default else ""
            parser.add_argument(
                f"--{option.name}",
                metavar=option.metavar,
                action="append" if option.isList else "store",
                help=option.help + default,
            )


def readSettings(options: Namespace) -> Settings:
    """
    @raise LocalError: if one is not valid.
    """
    texts = {
        option.name: getattr(options, option.name.replace("-", "_"), None) for option in OPTIONS
    }
    return Settings.fromTexts(texts)


def addArguments(parser: ArgumentParser) -> None:
    """Say which options there are."""
    addSettings(parser, lambda option: True)
    parser.add_argument("--json", action="store_true", help="print JSON objects, one a line")


def portOf(port: Any) -> str:
    """Where a port listens, as a URL has it."""
    host = port.getHost()
    if isinstance(host, UNIXAddress):
        return f"unix:{os.fsdecode(host.name or b'')}"
    name = getattr(host, "host", "127.0.0.1")
    name = f"[{name}]" if ":" in name else name
    return f"{'127.0.0.1' if name == '0.0.0.0' else name}:{host.port}"


def portsOf(local: LocalHub) -> dict[str, str]:
    """Where a hub listens, by the kind of plugin that goes there."""
    ports = {"http": local.httpPort, "btp": local.btpPort}
    return {kind: portOf(port) for kind, port in ports.items() if port is not None}


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
    from txilpstream.service.service import ReceiverService

    say = Announcements(stdout, isJSON=options.json)

    def told(account: str, received: Received) -> None:
        say.received(account, received.total, received.size)

    service = ReceiverService(reactor, readSettings(options))
    service.accounts.told = told
    ready = service.whenReady()
    service.startService()
    enough: Deferred[None] = Deferred()
    try:
        await ready
        _announce(service, say)
        running.onInterrupt = lambda: enough.callback(None)
        await enough
    finally:
        await service.stopService()
    say.ended(service.accounts.total, service.accounts.size)
    return 0


def _announce(service: ReceiverService, say: Any) -> None:
    """Say where it listens and how to pay it."""
    account, local, spsp = service.account, service.local, service.spsp
    assert account is not None
    ports = {} if spsp is None else {"spsp": portOf(spsp.port)}
    if local is not None:
        ports |= portsOf(local)
    say.listening(account, ports, service.settings)


run: Final = partial(runChecked, "serve", readSettings, main, isTalkative=True)
"""Receive until somebody has had enough: 0, or 1 if it cannot start, 2 for bad options."""
