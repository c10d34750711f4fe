"""
The subcommand C{pay}: makes one payment and says what became of it.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TextIO

from txilpstream.amounts import Asset
from txilpstream.cli.options import (
    addTermArguments,
    asPlain,
    checkTerms,
    inUnits,
    readStandardInput,
    readTerms,
)
from txilpstream.cli.output import Amount, Progress, progressFor
from txilpstream.cli.run import complain, runChecked
from txilpstream.errors import LocalError
from txilpstream.interfaces import PaymentError, PaymentResult
from txilpstream.payments.terms import MOST_DATA

if TYPE_CHECKING:
    from txilpstream.cli.run import Running
    from txilpstream.crypto.credentials import Credentials
    from txilpstream.payments.payment import Payment
    from txilpstream.transport.account import Account

__all__ = ["SUMMARY", "addArguments", "main", "run"]

SUMMARY: Final = "pay a payment pointer, a URL or credentials"


def addArguments(parser: ArgumentParser) -> None:
    """Say which options there are."""
    addTermArguments(parser)
    parser.add_argument("--data", metavar="FILE", help="what goes with the first money")


def _readData(path: str | bytes | None) -> bytes:
    """
    What goes with the money: a pipe can be read only once, so what was read is given back.

    @raise LocalError: if the file cannot be read or is too large.
    """
    if path is None:
        return b""
    if isinstance(path, bytes):
        return path
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_DATA + 1)
    except OSError as error:
        raise LocalError(f"--data: {path!r} cannot be read: {error.strerror}") from None
    if len(data) > MOST_DATA:
        raise LocalError(
            f"--data: {path!r} has more than {MOST_DATA} bytes, which are the most that go with a "
            "payment's first money"
        )
    return data


def _check(options: Namespace) -> None:
    """Read what can be read before anything runs."""
    checkTerms(options)
    readStandardInput(options)
    options.data = _readData(options.data)


async def main(
    reactor: Any, options: Namespace, running: Running, stdout: TextIO, stderr: TextIO
) -> int:
    """
    Do it.

    @param running: its C{onInterrupt} is set to what ends it in good order.
    @return: the exit status.
    """
    from txilpstream.cli.destination import makePlugin, reach
    from txilpstream.cli.run import within

    _, timeout = checkTerms(options)
    until = None if timeout is None else reactor.seconds() + timeout
    work = reach(reactor, makePlugin(reactor, options), options)
    account, credentials, asset = await within(timeout, work, reactor)
    try:
        return await _payFrom(account, credentials, asset, options, until, running, stdout, stderr)
    finally:
        await account.close()


async def _payFrom(
    account: Account,
    credentials: Credentials,
    asset: Asset | None,
    options: Namespace,
    until: float | None,
    running: Running,
    stdout: TextIO,
    stderr: TextIO,
) -> int:
    from txilpstream.payments.payment import Payment

    terms = readTerms(options, account.asset, asset)
    timeout = None if until is None else max(0.0, until - account.reactor.seconds())
    progress = None if options.json else progressFor(stderr)
    payment = Payment(
        account,
        credentials,
        timeout=timeout,
        data=_readData(options.data),
        progress=None if progress is None else _shower(account.reactor, progress, terms),
        **terms,
    )
    running.onInterrupt = payment.stop
    reason, status = "", 0
    try:
        result = await payment.start()
    except PaymentError as error:
        result, reason, status = error.result, error.message, 1
    finally:
        if progress is not None:
            progress.close()
    _print(result, payment, account.asset, asset, options, stdout)
    if status:
        _complain(result, reason, stderr)
    return status


def _shower(reactor: Any, progress: Progress, terms: dict[str, Any]) -> Any:
    """Shows a result so far, not too often."""
    shown = [reactor.seconds()]
    isDelivery = "destinationAmount" in terms

    def show(result: PaymentResult) -> None:
        now = reactor.seconds()
        if now - shown[0] < progress.interval:
            return
        shown[0] = now
        if isDelivery:
            amount = Amount("delivered", result.deliveredClaimed, result.destinationAmount)
        else:
            amount = Amount("sent", result.sent, result.sourceAmount)
        progress.show([amount], f"{result.inDoubt:,} under way or in doubt")

    return show


def _print(
    result: PaymentResult,
    payment: Payment,
    source: Asset | None,
    destination: Asset | None,
    options: Namespace,
    stdout: TextIO,
) -> None:
    if options.json:
        print(json.dumps(asPlain(result)), file=stdout)
        return
    connection = payment.connection
    asset = destination or (None if connection is None else connection.session.peerAsset)
    rows = [
        ("sent", inUnits(result.sent, source)),
        ("delivered at least", inUnits(result.deliveredMinimum, asset)),
        ("delivered, as claimed", inUnits(result.deliveredClaimed, asset)),
        ("in doubt", inUnits(result.inDoubt, source)),
    ]
    for name, value in rows:
        print(f"{name:<24}{value}", file=stdout)


def _complain(result: PaymentResult, reason: str, stderr: TextIO) -> None:
    """Say what is missing, and every reject that was met."""
    wanted, done = result.sourceAmount, result.sent
    what = "sent"
    if result.destinationAmount is not None:
        wanted, done, what = result.destinationAmount, result.deliveredClaimed, "delivered"
    complain(stderr, "pay", f"{done:,} of {wanted:,} {what}: {reason}")
    if result.inDoubt:
        print(f"  {result.inDoubt:,} in doubt: no answer ever came for them", file=stderr)
    for reject in result.rejects:
        print(f"  {reject}", file=stderr)


run: Final = partial(runChecked, "pay", _check, main)
"""Make the payment: 0 if it is paid in full, 1 if not, 2 for options that are not valid."""
