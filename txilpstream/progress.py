"""
How a command shows what goes on: bars on a terminal, a line now and then anywhere else.

Bars need rich, which the extra C{cli} brings; without it a terminal gets one line that is written
over. This module knows numbers and where to show them, and nothing of what they are of.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any, Final, Protocol, TextIO

__all__ = ["LINE_INTERVAL", "TERMINAL_INTERVAL", "Amount", "Progress", "progressFor"]

TERMINAL_INTERVAL: Final = 0.2
"""Seconds between two looks on a terminal."""

LINE_INTERVAL: Final = 2.0
"""Seconds between two lines where nothing can be written over."""


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


class Lines:
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


class OneLine:
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


class Bars:
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


def progressFor(stream: TextIO) -> Progress:
    """The best way to show progress on this stream."""
    if not stream.isatty():
        return Lines(stream)
    try:
        return Bars(stream)
    except ImportError:
        return OneLine(stream)
