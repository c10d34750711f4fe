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
"""Seconds between two lines that say the same."""


class RareLog:
    """
    Says each thing at most once per L{INTERVAL}, with how often it happened.

    What a thing is called, its format, is a constant of the caller's: a peer must not choose it.
    """

    def __init__(self, reactor: IReactorTime, log: Logger) -> None:
        """
        @param log: where the lines go; its namespace says who speaks.
        """
        self._reactor = reactor
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
        self._said[format] = (now + INTERVAL, 0)
        self._log.warn(format + " [{count} since the last such line]", count=count + 1, **values)


_LIKE_A_SECRET: Final = re.compile(r"(?=[a-z+/_-]*[0-9A-Z])[0-9A-Za-z+/_-]{20,}={0,2}")
"""A word as long as half a secret, in hex or in base64; names and sentences have none."""


def withoutSecrets(text: str) -> str:
    """A text with whatever looks like a secret left out."""
    return _LIKE_A_SECRET.sub("[not shown]", text)
