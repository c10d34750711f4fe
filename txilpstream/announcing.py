"""
What a command that goes on says on standard output: where it listens, what has come, what it was.

Each announcement is a few lines for people or one JSON object in a line. This module knows words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from txilpstream.account import Account
    from txilpstream.hub.accounts import HubAccount
    from txilpstream.settings import Settings

__all__ = ["Announcements", "pluginOptions"]

_DEFAULTS = {"http": 7771, "btp": 7768}


def pluginOptions(ports: Mapping[str, str]) -> str:
    """The words that lead a command to a hub on these ports; empty for the usual ones."""
    for kind, form in (("btp", "btp+ws://{}"), ("http", "http://:any-token@{}/")):
        where = ports.get(kind)
        if where is not None:
            return (
                "" if where == f"127.0.0.1:{_DEFAULTS[kind]}" else f" --plugin {form.format(where)}"
            )
    return ""


class Announcements:
    """Says things."""

    def __init__(self, stdout: TextIO, *, isJSON: bool) -> None:
        self._stdout = stdout
        self._isJSON = isJSON

    def say(self, event: str, text: str, **values: Any) -> None:
        """Say one thing."""
        line = json.dumps({"event": event, **values}) if self._isJSON else text
        print(line, file=self._stdout, flush=True)

    def listening(self, account: Account, ports: Mapping[str, str], settings: Settings) -> None:
        """It can be paid."""
        lines = [f"{account.address} can be paid"]
        names = {"spsp": "payment pointers", "http": "ILP over HTTP", "btp": "BTP"}
        lines += [f"  {names[kind]:<18}{where}" for kind, where in ports.items()]
        spsp = ports.get("spsp")
        if spsp is not None:
            who = next(iter(settings.accounts or {"alice": None}))
            words = pluginOptions(ports)
            plugin = "" if not settings.plugin else " --plugin PLUGIN"
            url = f"http://{spsp}/{'' if who == 'default' else who}"
            lines += [
                "from another terminal:",
                f"  txilpstream pay {url} 1000{words}{plugin}",
                f"  txilpstream quote {url} 1000{words}{plugin}",
            ]
        text = "\n".join(lines)
        self.say("listening", text, address=account.address, ports=dict(ports))

    def hub(self, address: str, ports: Mapping[str, str]) -> None:
        """A hub can be used."""
        lines = [f"the hub {address} is open to any token"]
        lines += [f"  {kind:<18}{where}" for kind, where in ports.items()]
        lines += ["from other terminals:", f"  txilpstream receive{pluginOptions(ports)}"]
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
