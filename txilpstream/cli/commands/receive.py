"""
The subcommand C{receive}: prints credentials, and waits for whoever has them.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from base64 import b64encode
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TextIO

from txilpstream.cli.options import addPluginArguments
from txilpstream.cli.run import runChecked
from txilpstream.service.settings import readAmount, readSecretFile

if TYPE_CHECKING:
    from txilpstream.cli.run import Running
    from txilpstream.service.receiver import Received

__all__ = ["SUMMARY", "addArguments", "main", "run"]

SUMMARY: Final = "print credentials and wait for money"

TAG: Final = "receive"

MOST_DATA: Final = 1 << 16
"""Bytes of data that are kept to be shown."""

CLOSE_TIMEOUT: Final = 5.0


def addArguments(parser: ArgumentParser) -> None:
    """Say which options there are."""
    parser.add_argument("--limit", metavar="N", help="take so many base units, and end then")
    parser.add_argument("--json", action="store_true", help="print JSON objects, one a line")
    parser.add_argument(
        "--secret-file", metavar="PATH", help="the secret of addresses that outlive this command"
    )
    addPluginArguments(parser)


def _readLimit(options: Namespace) -> int | None:
    """
    @raise LocalError: if it is no amount.
    """
    if options.limit is None:
        return None
    return readAmount("--limit", options.limit, minimum=1)


async def main(
    reactor: Any, options: Namespace, running: Running, stdout: TextIO, stderr: TextIO
) -> int:
    """
    Do it.

    @param running: its C{onInterrupt} is set to what ends it in good order.
    @return: the exit status.
    """
    from twisted.internet.defer import Deferred, maybeDeferred

    from txilpstream.cli.destination import makePlugin, openAccount
    from txilpstream.cli.output import Announcements
    from txilpstream.service.receiver import Accounts, ReceivingFactory
    from txilpstream.transport.server import StreamServer
    from txilpstream.waiters import atMost

    limit = _readLimit(options)
    say = Announcements(stdout, isJSON=options.json)
    enough: Deferred[None] = Deferred()
    kept = bytearray()

    def told(account: str, received: Received) -> None:
        if limit is not None and received.total >= limit and not enough.called:
            enough.callback(None)
        say.received(account, received.total, received.size)

    def keep(data: bytes) -> None:
        kept.extend(data[: MOST_DATA - len(kept)])

    secret = readSecretFile(options.secret_file) if options.secret_file else None
    account = await openAccount(reactor, makePlugin(reactor, options, mustReceive=True))
    accounts = Accounts(reactor, limit=limit, told=told)
    server = StreamServer(account, secret, policy=None if limit is None else accounts)
    try:
        port = await server.listen(ReceivingFactory(accounts, keep))
        say.credentials(server.generateCredentials(connectionTag=TAG))
        running.onInterrupt = lambda: None if enough.called else enough.callback(None)
        await enough
        await atMost(CLOSE_TIMEOUT, maybeDeferred(port.stopListening), reactor)
    finally:
        accounts.tell()
        await account.close()
    say.ended(accounts.total, accounts.size, b64encode(kept).decode("ascii"))
    return 0


run: Final = partial(runChecked, "receive", _readLimit, main)
"""Receive until the limit is reached: 0, or 1 if it cannot start, 2 for bad options."""
