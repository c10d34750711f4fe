"""
How a command runs the reactor: until it is done, or somebody has had enough.

The first SIGINT or SIGTERM asks the command to come to an end, the second does not ask any more.
What goes wrong is said in one line without secrets, and is the exit status.
"""

from __future__ import annotations

import signal
from argparse import Namespace
from collections.abc import Callable, Coroutine, Generator
from types import FrameType
from typing import Any, TextIO

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python.failure import Failure

from txilpstream.errors import ConnectionEnded, LocalError, StreamError
from txilpstream.interfaces import NotSent
from txilpstream.logs import withoutSecrets

__all__ = ["INTERRUPTED", "Running", "complain", "runChecked", "within"]


INTERRUPTED = 130
"""The exit status of a command that was ended by a signal before it was done."""

Main = Callable[[Any], Coroutine[Deferred[Any], Any, int] | Generator[Deferred[Any], Any, int]]


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
    @param main: takes the reactor, the options, a L{Running} and both streams.
    @param isTalkative: whether warnings are logged, and not errors only.
    @return: the exit status; 2 if the words are wrong.
    """
    try:
        check(options)
    except LocalError as error:
        complain(stderr, command, error)
        return 2
    running = Running(command, stderr, LogLevel.warn if isTalkative else LogLevel.error)
    return running.run(lambda reactor: main(reactor, options, running, stdout, stderr))


class Running:
    """
    One run of the reactor.

    @ivar onInterrupt: called at the first signal; None to give the command up at once.
    """

    def __init__(self, name: str, stderr: TextIO, level: LogLevel = LogLevel.error) -> None:
        """
        @param name: of the command, which stands before what goes wrong.
        @param level: of what is logged to standard error.
        """
        self.onInterrupt: Callable[[], object] | None = None
        self._name = name
        self._stderr = stderr
        self._level = level
        self._status = 1
        self._task: Deferred[int] | None = None
        self._reactor: Any = None

    def run(self, main: Main) -> int:
        """
        Run a coroutine function to its end.

        @param main: takes the reactor and gives the exit status. A L{LocalError} that it raises is
            said in a line and is status 2, any other L{StreamError} is status 1.
        """
        from twisted.internet import reactor

        self._reactor = reactor
        self._beginLogging()
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        self._reactor.callWhenRunning(self._start, main)
        self._reactor.run()
        for number, action in before.items():
            signal.signal(number, action)
        return self._status

    def _beginLogging(self) -> None:
        predicate = LogLevelFilterPredicate(defaultLogLevel=self._level)
        observer = FilteringLogObserver(textFileLogObserver(self._stderr), [predicate])
        globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False, discardBuffer=True)

    def _start(self, main: Main) -> None:
        # The reactor's own actions are replaced only now: it sets them when it begins to run.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._signalled)
        self._task = Deferred.fromCoroutine(main(self._reactor))
        self._task.addCallbacks(self._cbDone, self._ebDone)
        self._task.addBoth(lambda _: self._reactor.callLater(0, self._reactor.stop))

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self._interrupt)

    def _interrupt(self) -> None:
        asked, self.onInterrupt = self.onInterrupt, None
        if asked is not None:
            asked()
        elif self._task is not None:
            self._task.cancel()

    def _cbDone(self, status: int) -> None:
        self._status = status

    def _ebDone(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, CancelledError):
            self._status = INTERRUPTED
            return
        self._status = 2 if isinstance(error, LocalError) else 1
        if isinstance(error, (StreamError, CannotListenError, NotSent)):
            text = str(error)
        else:
            text = f"{type(error).__name__}: {error}"
        complain(self._stderr, self._name, text)


def within(seconds: float | None, work: Coroutine[Any, Any, Any], reactor: Any) -> Deferred[Any]:
    """
    Do something within so many seconds, None for no limit.

    @return: fails with ConnectionEnded if it takes longer.
    """
    done = Deferred.fromCoroutine(work)
    if seconds is not None:

        def late(_: object, limit: float) -> Any:
            raise ConnectionEnded(f"nobody was reached within {limit:g} s")

        done.addTimeout(seconds, reactor, onTimeoutCancel=late)
    return done


def complain(stderr: TextIO, command: str, text: object) -> None:
    """Say what is wrong."""
    print(f"txilpstream {command}: {withoutSecrets(str(text))}", file=stderr)
