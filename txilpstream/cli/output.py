"""
What a command that goes on says on standard output: where it listens, what has come, what it was.

Each announcement is a few lines for people or one JSON object in a line. This module knows words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from txilpstream.service.settings import hasBTP

if TYPE_CHECKING:
    from txilpstream.hub.accounts import HubAccount
    from txilpstream.service.settings import Settings
    from txilpstream.transport.account import Account

__all__ = ["Announcements", "pluginOptions"]

_USUAL = "127.0.0.1:7768"
"""Where commands look for a hub by themselves, by BTP."""

_NAMES = {"spsp": "payment pointers", "http": "ILP over HTTP", "btp": "BTP"}


def pluginOptions(ports: Mapping[str, str], isOpen: bool = True) -> str:
    """The words that lead a command to a hub on these ports; empty for the usual one."""
    token = "any-token" if isOpen else "TOKEN"
    if "btp" in ports:
        where = ports["btp"]
        return "" if where == _USUAL and isOpen else f" --plugin btp+ws://:{token}@{where}"
    return f" --plugin http://:{token}@{ports['http']}/" if "http" in ports else ""


class Announcements:
    """Says things."""

    def __init__(self, stdout: TextIO, *, isJSON: bool) -> None:
        self._stdout = stdout
        self._isJSON = isJSON
        self._isClosed = False

    def say(self, event: str, text: str, **values: Any) -> None:
        """Say one thing."""
        line = json.dumps({"event": event, **values}) if self._isJSON else text
        if not self._isClosed:
            try:
                print(line, file=self._stdout, flush=True)
            except BrokenPipeError:
                self._isClosed = True  # whoever read has had enough; what is done goes on

    def listening(self, account: Account, ports: Mapping[str, str], settings: Settings) -> None:
        """It can be paid."""
        lines = [f"{account.address} can be paid", *self._where(ports)]
        if not settings.plugin and not hasBTP():
            lines.append("  BTP is left out: it needs the extra 'btp'")
        spsp = ports.get("spsp", "unix:")
        if not spsp.startswith("unix:"):
            who = next(iter(settings.accounts or {"alice": None}))
            words = "1000" if settings.own == settings.made else "1000 --deliver"
            words += pluginOptions(ports, settings.isOpen)
            if settings.plugin:
                words += " --plugin YOUR-PLUGIN"
            url = f"http://{spsp}/{'' if who == 'default' else who}"
            lines += [
                "from another terminal:",
                f"  txilpstream pay {url} {words}",
                f"  txilpstream quote {url} {words}",
            ]
        text = "\n".join(lines)
        self.say("listening", text, address=account.address, ports=dict(ports))

    def _where(self, ports: Mapping[str, str]) -> list[str]:
        """What listens where."""
        return [f"  {_NAMES[kind]:<18}{where}" for kind, where in ports.items()]

    def hub(self, address: str, ports: Mapping[str, str], isOpen: bool) -> None:
        """A hub can be used."""
        who = "any token" if isOpen else "the tokens of its peers"
        words = pluginOptions(ports, isOpen)
        command = "receive" if "btp" in ports else "pay DESTINATION AMOUNT"
        lines = [f"the hub {address} is open to {who}", *self._where(ports)]
        lines += ["from other terminals:", f"  txilpstream {command}{words}"]
        self.say("listening", "\n".join(lines), address=address, ports=dict(ports))

    def received(self, account: str, total: int, size: int) -> None:
        """Something came."""
        text = f"{account}: {total:,} units and {size:,} bytes in all"
        self.say("received", text, account=account, total=total, bytes=size)

    def credentials(self, credentials: Mapping[str, Any]) -> None:
        """Who has these can pay; they are JSON for people, too: commands take them as they are."""
        self.say("credentials", json.dumps(credentials), credentials=dict(credentials))

    def ended(self, total: int, size: int, data: str = "") -> None:
        """
        Nothing will come any more.

        @param data: what came, in base64.
        """
        text = f"received {total:,} units and {size:,} bytes in all"
        self.say("ended", text, total=total, bytes=size, data=data)

    def accounts(self, accounts: Iterable[HubAccount]) -> None:
        """What each account of a hub came to."""
        for account in accounts:
            code = account.options.assetCode
            self.say(
                "account",
                f"{account.name:<24}{account.balance:>+20,} {code}",
                name=account.name,
                assetCode=code,
                assetScale=account.options.assetScale,
                balance=account.balance,
                totalSent=account.totalSent,
                totalReceived=account.totalReceived,
            )
