"""
The subcommand C{quote}: says what a payment would cost; no money moves.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TextIO

from txilpstream.cli.options import (
    addTermArguments,
    asPlain,
    checkTerms,
    inUnits,
    readStandardInput,
    readTerms,
)
from txilpstream.cli.run import runChecked

if TYPE_CHECKING:
    from txilpstream.amounts import Asset
    from txilpstream.cli.run import Running
    from txilpstream.payments.quote import Quote

__all__ = ["SUMMARY", "addArguments", "main", "run"]

SUMMARY: Final = "say what a payment would cost and deliver"


def addArguments(parser: ArgumentParser) -> None:
    """Say which options there are."""
    addTermArguments(parser)


def _check(options: Namespace) -> None:
    """Read what can be read before anything runs."""
    checkTerms(options)
    readStandardInput(options)


async def main(
    reactor: Any, options: Namespace, running: Running, stdout: TextIO, stderr: TextIO
) -> int:
    """Do it, and give the exit status."""
    from txilpstream.cli.destination import makePlugin, reach
    from txilpstream.cli.run import within
    from txilpstream.payments.quote import QUOTE_TIMEOUT, quote

    _, timeout = checkTerms(options)
    until = reactor.seconds() + (timeout or 1e9)
    work = reach(reactor, makePlugin(reactor, options), options)
    account, credentials, asset = await within(timeout, work, reactor)
    try:
        terms = readTerms(options, account.asset, asset)
        left = min(QUOTE_TIMEOUT, max(0.1, until - reactor.seconds()))
        answer = await quote(account, credentials, timeout=left, **terms)
        if options.json:
            print(json.dumps(asPlain(answer)), file=stdout)
        else:
            _print(answer, account.asset, stdout)
    finally:
        await account.close()
    return 0


def _print(quote: Quote, source: Asset | None, stdout: TextIO) -> None:
    asset = quote.destinationAsset
    rows = [
        ("leaves at most", inUnits(quote.sourceAmount, source)),
        ("arrives at least", inUnits(quote.destinationAmount, asset)),
        ("leaves, as expected", inUnits(quote.expectedSource, source)),
        ("arrives, as expected", inUnits(quote.expectedDelivery, asset)),
        ("rate", f"{quote.low} to {quote.high}, {float(quote.low):.6g} or a little more"),
        ("least rate", str(quote.minimumRate)),
    ]
    for name, value in rows:
        print(f"{name:<24}{value}", file=stdout)


run: Final = partial(runChecked, "quote", _check, main)
"""Ask: 0 if there is an answer, 1 if not, 2 for options that are not valid."""
