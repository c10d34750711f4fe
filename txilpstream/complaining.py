"""
How a command checks its words before anything runs, and says what is wrong.

It says that in one place, and never with what could be a secret. Nothing of Twisted is imported
before the words are right.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TextIO

from txilpstream.errors import LocalError

if TYPE_CHECKING:
    from txilpstream.running import Main

__all__ = ["complain", "runChecked", "withoutSecrets"]

_LIKE_A_SECRET: Final = re.compile(r"(?=[a-z+/_-]*[0-9A-Z])[0-9A-Za-z+/_-]{20,}={0,2}")
"""A word as long as half a secret, in hex or in base64; names and sentences have none."""


def withoutSecrets(text: str) -> str:
    """A text with whatever looks like a secret left out."""
    return _LIKE_A_SECRET.sub("[not shown]", text)


def complain(stderr: TextIO, command: str, text: object) -> None:
    """Say what is wrong."""
    print(f"txilpstream {command}: {withoutSecrets(str(text))}", file=stderr)


def runChecked(
    command: str,
    check: Callable[[Namespace], object],
    main: Callable[..., Any],
    options: Namespace,
    stdout: TextIO,
    stderr: TextIO,
    *,
    isTalkative: bool = False,
) -> int:
    """
    Run a command's coroutine function if its words are right.

    @param check: raises L{LocalError} if they are not.
    @param main: takes the reactor, the options, a L{Running <txilpstream.running.Running>} and both
        streams.
    @param isTalkative: whether warnings are logged, and not errors only.
    @return: the exit status; 2 if the words are wrong.
    """
    try:
        check(options)
    except LocalError as error:
        complain(stderr, command, error)
        return 2
    from twisted.logger import LogLevel

    from txilpstream.running import Running

    running = Running(command, stderr, LogLevel.warn if isTalkative else LogLevel.error)
    work: Main = lambda reactor: main(reactor, options, running, stdout, stderr)  # noqa: E731
    return running.run(work)
