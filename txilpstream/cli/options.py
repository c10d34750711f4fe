"""
What the commands that pay have in common: their options, terms, and how amounts are read and shown.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from base64 import b64encode
from dataclasses import fields
from typing import Any, Final

from txilpstream.amounts import Asset, Ratio, checkAmount
from txilpstream.errors import LocalError
from txilpstream.interfaces import PaymentResult
from txilpstream.service.settings import readAmount

__all__ = [
    "addPluginArguments",
    "addTermArguments",
    "asPlain",
    "checkTerms",
    "fromUnits",
    "inUnits",
    "readStandardInput",
    "readTerms",
]

LONGEST_CREDENTIALS: Final = 1 << 16
"""Characters of credentials that are read."""

_LONGEST: Final = 86400.0


def addPluginArguments(parser: ArgumentParser) -> None:
    """Say which options there are for reaching the network."""
    parser.add_argument(
        "--plugin",
        metavar="PLUGIN",
        default="",
        help="what carries packets (ILP_PLUGIN, or else the hub of this machine)",
    )
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="allow connections to other machines without encryption",
    )


def addTermArguments(parser: ArgumentParser) -> None:
    """Say which options there are for what a payment may cost."""
    parser.add_argument(
        "destination",
        metavar="DESTINATION",
        help="a payment pointer, a URL, or credentials as JSON (- reads them from standard input)",
    )
    parser.add_argument("amount", metavar="AMOUNT", help="in base units")
    parser.add_argument(
        "--deliver", action="store_true", help="AMOUNT is what arrives, in the receiver's units"
    )
    parser.add_argument("--max-source", metavar="N", help="the most that may leave")
    parser.add_argument(
        "--slippage", metavar="PART", default="0.01", help="the part of the rate (%(default)s)"
    )
    parser.add_argument(
        "--units", action="store_true", help="amounts are decimals of the asset, such as 1.25"
    )
    parser.add_argument("--timeout", metavar="SECONDS", help="give up after so long")
    parser.add_argument("--json", action="store_true", help="print one JSON object and no more")
    addPluginArguments(parser)


def readSeconds(name: str, text: str | None) -> float | None:
    """
    @raise LocalError: if it is no number of seconds from 0 to a day.
    """
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= _LONGEST:
        raise LocalError(f"{name} is {text[:40]!r}: it must be of more than 0 to 86400 seconds")
    return seconds


def _isPositive(text: str) -> bool:
    try:
        return Ratio.fromString(text).numerator > 0
    except LocalError:
        return False


def fromUnits(name: str, text: str, asset: Asset | None) -> int:
    """
    Read a decimal number of whole units as base units, exactly.

    @param asset: code and scale; None if it is not known.
    @raise LocalError: if it is none, or has more decimals than the asset.
    """
    if asset is None:
        raise LocalError("the asset is not known, so --units cannot be: give base units")
    code, scale = asset
    amount = Ratio.fromString(text) * Ratio(10**scale)
    if amount.denominator != 1:
        raise LocalError(f"{name} is {text[:40]!r}: {code} has {scale} decimals here")
    return checkAmount(name, amount.numerator, minimum=1)


def inUnits(amount: int, asset: Asset | None) -> str:
    """An amount as people read it, with its asset if that is known."""
    if asset is None:
        return f"{amount:,}"
    code, scale = asset
    whole, rest = divmod(amount, 10**scale)
    decimals = f".{rest:0{scale}d}" if scale else ""
    return f"{amount:,} ({whole:,}{decimals} {code})"


def readStandardInput(options: Namespace) -> None:
    """
    Take the destination from standard input if it is C{-}, before anything else runs.

    @raise LocalError: if there are no credentials.
    """
    if options.destination != "-":
        return
    try:
        text = "" if sys.stdin is None else sys.stdin.read(LONGEST_CREDENTIALS)
    except (OSError, UnicodeDecodeError):
        text = ""
    if not text.lstrip().startswith("{"):
        raise LocalError("there are no credentials on standard input: they must be JSON")
    options.destination = text


def checkTerms(options: Namespace) -> tuple[Ratio, float | None]:
    """
    Check what can be checked before anything is reached.

    @return: the slippage and the time limit.
    @raise LocalError: if an option is not valid.
    """
    for name, text in (("AMOUNT", options.amount), ("--max-source", options.max_source)):
        if text is None:
            continue
        if options.units:
            if not _isPositive(text):
                raise LocalError(f"{name} is {text[:40]!r}: it must be like '1.25', more than 0")
        else:
            readAmount(name, text, minimum=1)
    try:
        slippage = Ratio.fromString(options.slippage)
    except LocalError:
        slippage = Ratio(2)
    if Ratio(1) < slippage:
        raise LocalError(f"--slippage is {options.slippage[:40]!r}: it must be from 0 to 1")
    return slippage, readSeconds("--timeout", options.timeout)


def readTerms(
    options: Namespace, source: Asset | None, destination: Asset | None
) -> dict[str, Any]:
    """
    The terms that the options mean, as C{pay} takes them.

    @raise LocalError: if an amount is not valid.
    """
    slippage, _ = checkTerms(options)

    def read(name: str, text: str, asset: Asset | None) -> int:
        if options.units:
            return fromUnits(name, text, asset)
        return readAmount(name, text, minimum=1)

    terms: dict[str, Any] = {"slippage": slippage}
    if options.deliver:
        terms["destinationAmount"] = read("AMOUNT", options.amount, destination)
    else:
        terms["sourceAmount"] = read("AMOUNT", options.amount, source)
    if options.max_source is not None:
        terms["maxSourceAmount"] = read("--max-source", options.max_source, source)
    return terms


def asPlain(value: Any) -> Any:
    """A dataclass of ours in the types of JSON, with the names of its attributes."""
    if isinstance(value, Ratio):
        return str(value)
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    if isinstance(value, (tuple, list)):
        return [asPlain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        plain = {each.name: asPlain(getattr(value, each.name)) for each in fields(value)}
        if isinstance(value, PaymentResult):
            plain["isComplete"] = value.isComplete
        return plain
    return value
