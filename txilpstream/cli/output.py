"""
What a command that goes on says on standard output: where it listens, what has come, what it was.

Each announcement is a few lines for people or one JSON object in a line. Who stops reading stops
nothing else.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO

from txilpstream.service.settings import hasBTP

if TYPE_CHECKING:
    from txilpstream.crypto.credentials import Credentials
    from txilpstream.hub.accounts import HubAccount
    from txilpstream.service.settings import Settings
    from txilpstream.transport.account import Account

__all__ = [
    "LINE_INTERVAL",
    "TERMINAL_INTERVAL",
    "Amount",
    "Announcements",
    "Progress",
    "pluginOptions",
    "progressFor",
]

TERMINAL_INTERVAL: Final = 0.2
"""Seconds between two looks on a terminal."""

LINE_INTERVAL: Final = 2.0
"""Seconds between two lines where nothing can be written over."""

_USUAL = "127.0.0.1:7768"
"""Where commands look for a hub by themselves, by BTP."""

_NAMES = {"spsp": "payment pointers", "http": "ILP over HTTP", "btp": "BTP"}


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

    def credentials(self, credentials: Credentials) -> None:
        """Who has these can pay; they are JSON for people, too: commands take them as they are."""
        text = credentials.toJSON()
        self.say("credentials", text, credentials=json.loads(text))

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


def pluginOptions(ports: Mapping[str, str], isOpen: bool = True) -> str:
    """The words that lead a command to a hub on these ports; empty for the usual one."""
    token = "any-token" if isOpen else "TOKEN"
    if "btp" in ports:
        where = ports["btp"]
        return "" if where == _USUAL and isOpen else f" --plugin btp+ws://:{token}@{where}"
    return f" --plugin http://:{token}@{ports['http']}/" if "http" in ports else ""


@dataclass(slots=True)
class Amount:
    """
    Something that grows.

    @ivar name: what it is.
    @ivar done: how much there is by now.
    @ivar total: how much there will be; None if nobody knows.
    """

    name: str
    done: int
    total: int | None

    def __str__(self) -> str:
        if not self.total:
            return f"{self.name} {self.done:,}"
        return f"{self.name} {self.done * 100 // self.total} % {self.done:,}"


class Progress(Protocol):
    """
    One way to show it.

    @ivar interval: seconds between two calls of L{show} that make sense.
    """

    interval: float

    def show(self, amounts: list[Amount], note: str) -> None:
        """Show how far each has come; the note says what else is of interest."""

    def close(self) -> None:
        """Nothing more will be shown; what is written next begins on a line of its own."""


def progressFor(stream: TextIO) -> Progress:
    """The best way to show progress on this stream."""
    if not stream.isatty():
        return _Lines(stream)
    try:
        return _Bars(stream)
    except ImportError:
        return _OneLine(stream)


class _Lines:
    """A line each time."""

    interval = LINE_INTERVAL

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, amounts: list[Amount], note: str) -> None:
        """Write a line."""
        self._stream.write(", ".join([str(amount) for amount in amounts] + [note]) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """There is nothing to be tidied."""


class _OneLine:
    """One line of a terminal, written over each time and no wider than the terminal."""

    interval = TERMINAL_INTERVAL

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, amounts: list[Amount], note: str) -> None:
        """Write over the last line."""
        line = ", ".join([str(amount) for amount in amounts] + [note])
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(f"\r{line[:width]}\x1b[K")
        self._stream.flush()

    def close(self) -> None:
        """Clear the line."""
        self._stream.write("\r\x1b[K")
        self._stream.flush()


class _Bars:
    """A bar for each amount, by rich."""

    interval = TERMINAL_INTERVAL

    def __init__(self, stream: TextIO) -> None:
        """
        @raise ImportError: if rich is not installed.
        """
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._progress = RichProgress(
            TextColumn("{task.description:<8}"),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            console=Console(file=stream),
            transient=True,
            auto_refresh=False,
        )
        self._tasks: dict[str, Any] = {}

    def show(self, amounts: list[Amount], note: str) -> None:
        """Move the bars."""
        progress = self._progress
        if not self._tasks:
            progress.start()
        for amount in amounts:
            task = self._tasks.get(amount.name)
            if task is None:
                task = self._tasks[amount.name] = progress.add_task(amount.name, text="")
            progress.update(
                task, total=amount.total, completed=amount.done, text=f"{amount.done:,}"
            )
        task = self._tasks.get("")
        if task is None:
            task = self._tasks[""] = progress.add_task("", text="", total=1)
        progress.update(task, text=note)
        progress.refresh()

    def close(self) -> None:
        """Take the bars away."""
        self._progress.stop()
