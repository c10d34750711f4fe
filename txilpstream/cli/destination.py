"""
How a command reaches the network, and whom it deals with there.

Without a word about a plugin it is the hub of this machine, as C{txilpstream serve} or
C{txilpstream hub} run it, and as other implementations run theirs.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any, Final

from txilpstream.amounts import Asset
from txilpstream.crypto.credentials import Credentials
from txilpstream.errors import DecodeError, LocalError
from txilpstream.payments.quote import quote
from txilpstream.plugins.registry import ENVIRONMENT_VARIABLE, pluginFromString
from txilpstream.service.settings import hasBTP
from txilpstream.transport.account import Account

__all__ = [
    "destinationAsset",
    "localPlugin",
    "makePlugin",
    "openAccount",
    "reach",
    "readDestination",
]

BTP_PORT: Final = 7768
HTTP_PORT: Final = 7771


def localPlugin(
    mustReceive: bool = False, *, randomBytes: Callable[[int], bytes] = os.urandom
) -> str:
    """
    The description of a plugin to the hub of this machine, with an account of its own.

    It is by BTP if the extra C{btp} is there, else by ILP over HTTP, which can only send.

    @param randomBytes: gives so many random octets, for the account's token.
    @raise LocalError: if it must receive and cannot.
    """
    token = randomBytes(16).hex()
    if hasBTP():
        return f"btp+ws://:{token}@127.0.0.1:{BTP_PORT}"
    if mustReceive:
        raise LocalError(
            "to receive from the hub of this machine needs the extra 'btp': install "
            "'txilpstream[btp]', or give --plugin"
        )
    return f"http://:{token}@127.0.0.1:{HTTP_PORT}/"


def makePlugin(
    reactor: Any,
    options: Namespace,
    environ: Mapping[str, str] = os.environ,
    *,
    mustReceive: bool = False,
) -> Any:
    """
    Make the plugin that the options name; it is not connected yet.

    @param mustReceive: whether packets must come back on it.
    @raise LocalError: if it is not described well, or an extra is missing.
    """
    description = options.plugin or environ.get(ENVIRONMENT_VARIABLE, "")
    description = description or localPlugin(mustReceive)
    return pluginFromString(reactor, description, isInsecure=options.insecure)


async def openAccount(reactor: Any, plugin: Any) -> Account:
    """
    Open an account on a plugin; the plugin is given up if that fails.

    @raise ConnectionEnded: if it cannot connect.
    """
    try:
        return await Account.open(reactor, plugin)
    except BaseException:
        await plugin.disconnect()
        raise


async def readDestination(reactor: Any, text: str, options: Namespace) -> Credentials:
    """
    Whom the words of a command mean.

    @param text: a payment pointer, a URL, or credentials as JSON.
    @raise LocalError: if it is nothing of that.
    @raise ConnectionEnded: if a pointer or URL cannot be asked.
    """
    if text.lstrip().startswith("{"):
        try:
            return Credentials.fromJSON(text)
        except DecodeError as error:
            raise LocalError(f"the credentials are none: {error}") from None
    from txilpstream.spsp.client import resolve

    return await resolve(reactor, text, isInsecure=options.insecure)


async def reach(
    reactor: Any, plugin: Any, options: Namespace
) -> tuple[Account, Credentials, Asset | None]:
    """
    Find out whom the words of a command mean, and open an account to pay him from.

    @return: with the receiver's asset, if it is known.
    """
    credentials = await readDestination(reactor, options.destination, options)
    account = await openAccount(reactor, plugin)
    try:
        return account, credentials, await destinationAsset(account, credentials, options)
    except BaseException:
        await account.close()
        raise


async def destinationAsset(
    account: Account, credentials: Credentials, options: Namespace
) -> Asset | None:
    """The receiver's asset; it is asked for where the amount is in its units."""
    if credentials.assetCode is not None and credentials.assetScale is not None:
        return credentials.assetCode, credentials.assetScale
    if not (options.units and options.deliver):
        return None
    asked = await quote(account, credentials, sourceAmount=1, acceptAnyRate=True)
    return asked.destinationAsset
