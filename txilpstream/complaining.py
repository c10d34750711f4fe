"""
How a command says what is wrong: in one place, and never with what could be a secret.
"""

from __future__ import annotations

import re
from typing import Final, TextIO

__all__ = ["complain", "withoutSecrets"]

_LIKE_A_SECRET: Final = re.compile(r"(?=[a-z+/_-]*[0-9A-Z])[0-9A-Za-z+/_-]{20,}={0,2}")
"""A word as long as half a secret, in hex or in base64; names and sentences have none."""


def withoutSecrets(text: str) -> str:
    """A text with whatever looks like a secret left out."""
    return _LIKE_A_SECRET.sub("[not shown]", text)


def complain(stderr: TextIO, command: str, text: object) -> None:
    """Say what is wrong."""
    print(f"txilpstream {command}: {withoutSecrets(str(text))}", file=stderr)
