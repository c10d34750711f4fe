"""
What is logged or shown: kept rare where a peer may cause it, and without secrets.
"""

from __future__ import annotations

import re
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

__all__ = ["INTERVAL", "RareLog", "withoutSecrets"]

INTERVAL: Final = 10.0
"""Seconds between two lines that say the same, by default."""


class RareLog:
    """
    Says each thing at most once per interval, with how often it happened.

    What a thing is called, its format, is a constant of the caller's: a peer must not choose it.
    """

    def __init__(self, reactor: IReactorTime, log: Logger, interval: float = INTERVAL) -> None:
        """
        @param log: where the lines go; its namespace says who speaks.
        @param interval: seconds between two lines that say the same.
        """
        self._reactor = reactor
        self._interval = interval
        self._log = log
        self._said: dict[str, tuple[float, int]] = {}

    def warn(self, format: str, **values: object) -> None:
        """
        Say it, or count it for the next line.

        @param values: what stands in the format; the values of what was counted only are lost.
        """
        now = self._reactor.seconds()
        silentUntil, count = self._said.get(format, (now, 0))
        if now < silentUntil:
            self._said[format] = (silentUntil, count + 1)
            return
        self._said[format] = (now + self._interval, 0)
        self._log.warn(format + " [{count} since the last such line]", count=count + 1, **values)


_WITH_HEX: Final = r"[\w+/=-]*[0-9A-Fa-f]{16}[\w+/=-]*"
"""A word with sixteen hex digits in a row, and what is joined to it, such as an option's name."""

_HALF_A_SECRET: Final = r"(?=[a-z+/_-]*[0-9A-Z])[0-9A-Za-z+/_-]{20,}={0,2}"
"""A word as long as half a secret in base64; names and sentences in small letters are none."""

_LONG: Final = r"[\w+/=-]{32,}"
"""Any word as long as a key in base64, whatever its letters."""

_IN_PATHS: Final = re.compile(_WITH_HEX)
_SHOWN: Final = re.compile(f"{_WITH_HEX}|{_HALF_A_SECRET}")
_KEPT: Final = re.compile(f"{_WITH_HEX}|{_LONG}|{_HALF_A_SECRET}")


def withoutSecrets(text: str, *, isKept: bool = False, isPath: bool = False) -> str:
    """
    A text with whatever looks like a key, a token or a packet left out.

    @param isKept: whether it is written to where it stays, and may be passed on: then long words
        in small letters are left out too. On a terminal those are mostly paths, which whoever
        mistyped one has to see.
    @param isPath: whether it is a path and nothing else, which is one long word to this function:
        then only hex digits are left out.
    """
    return (_IN_PATHS if isPath else _KEPT if isKept else _SHOWN).sub("[not shown]", text)
