"""
A trace: everything that one end of a connection decided, as one JSON object a line.

What its events mean is told in the manual's page on traces. A trace that cannot be written ends,
and never the connection.

What L{TraceWriter} is given is not trusted to be free of secrets: it writes numbers, booleans and
text, never octets and never an object whose text it does not know, and of a text no part that is
as long as a key or a token.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO, Final, TextIO

from twisted.logger import Logger

from txilpstream.amounts import Ratio
from txilpstream.errors import LocalError
from txilpstream.logs import withoutSecrets

__all__ = [
    "FORMAT",
    "VERSION",
    "TraceEvent",
    "TraceHeader",
    "TraceWriter",
    "readHeader",
    "readTrace",
]

FORMAT: Final = "txilpstream-trace"
"""What a trace's first line says that it is."""

VERSION: Final = 1
"""The version of the event schema."""

VANTAGES: Final = ("client", "server")

_BUFFERED: Final = 1 << 16
"""Characters after which they are written."""

_BUFFERED_TIME: Final = 1.0
"""Seconds after which they are written all the same: what a crash may take from a trace."""

_LONGEST_LINE: Final = 1 << 20
"""Octets: a thousand times the longest event."""

_LONGEST_TEXT: Final = 500
"""Characters of one text; what others wrote could be longer."""

_FRACTION: Final = re.compile(r"[0-9]+(/[0-9]+)?")
"""A number as text, which may be as long."""

_MOST_DIGITS: Final = 300
"""Digits that a whole number may have: more are beyond a floating-point number."""

_SHORT: Final = 16
"""Characters: a shorter text can hold nothing that is like a secret."""

_TIMES: Final = frozenset(("until",))
"""Particulars that are a point in time, besides the event's own."""

_log = Logger()


class TraceWriter:
    """
    Writes what a session tells it; to be given as C{trace} to
    L{txilpstream.session.configuration.SessionConfiguration}, one to each connection.

    The first line is a header: C{format}, C{version}, C{vantage}, C{title} and C{startedAt}, the
    time of the first event in seconds since the epoch, None if there was no event. Each further
    line is one event: C{time} in seconds since the first event, C{name} and C{data}.

    Lines are written when there are 64 KiB of them or when a second has gone by in the trace, and
    on L{close}. A failure to write ends the trace, never the connection.

    @ivar failure: why the trace ended too early, or None.
    """

    def __init__(
        self, file: str | os.PathLike[str] | TextIO, *, vantage: str = "client", title: str = ""
    ) -> None:
        """
        @param file: a path, at which a new file is made, or a text file open for writing, which
            is left open by L{close}.
        @param vantage: whose trace it is: C{"client"} or C{"server"}.
        @param title: for people, such as what is being tried.
        @raise LocalError: if the vantage is another one.
        @raise OSError: if there is no writing at the path.
        """
        if vantage not in VANTAGES:
            raise LocalError(f"vantage is {vantage!r}: it must be one of {', '.join(VANTAGES)}")
        self.failure: str | None = None
        self._vantage = vantage
        self._title = title
        self._isOwn = isinstance(file, str | os.PathLike)
        self._file: TextIO = (
            open(file, "w", encoding="utf-8", newline="\n")  # noqa: SIM115 - close() closes it
            if isinstance(file, str | os.PathLike)
            else file
        )
        self._isOver = False
        self._startedAt: float | None = None
        self._lines: list[str] = []
        self._size = 0
        self._writtenAt = 0.0

    def __call__(self, name: str, particulars: Mapping[str, object]) -> None:
        """
        Note one event; nothing is noted after L{close} or a failure.

        @param name: what happened.
        @param particulars: about it; C{time}, in seconds since the epoch, must be among them.
        """
        if self._isOver:
            return
        try:
            self._add(name, particulars)
        except Exception as error:  # whatever it is, the session must go on
            self._fail(error)

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what is left, and close the file if it was opened here; it may be called again."""
        if not self._isOver:
            self._isOver = True
            try:
                if self._startedAt is None:
                    self._lines.append(self._header())
                self._write()
            except Exception as error:
                self._fail(error)
        if self._isOwn:
            try:
                self._file.close()
            except OSError as error:  # closed it is all the same
                self._fail(error)

    def _add(self, name: str, particulars: Mapping[str, object]) -> None:
        time: Any = particulars["time"]
        if self._startedAt is None:
            self._startedAt = self._writtenAt = float(time)
            self._put(self._header())
        start = self._startedAt
        data = {key: _plain(value) for key, value in particulars.items() if key != "time"}
        for key in _TIMES & data.keys():
            value = data[key]
            if isinstance(value, int | float):
                data[key] = round(value - start, 6)
        self._put(_encode({"time": round(time - start, 6), "name": name, "data": data}))
        if self._size >= _BUFFERED or not 0 <= time - self._writtenAt < _BUFFERED_TIME:
            self._write()
            self._writtenAt = time

    def _header(self) -> str:
        return _encode(
            {
                "format": FORMAT,
                "version": VERSION,
                "vantage": self._vantage,
                "title": self._title,
                "startedAt": self._startedAt,
            }
        )

    def _put(self, line: str) -> None:
        self._lines.append(line)
        self._size += len(line)

    def _write(self) -> None:
        lines, self._lines, self._size = self._lines, [], 0
        self._file.write("".join(lines))
        self._file.flush()

    def _fail(self, error: Exception) -> None:
        """It is said once: a second failure is a consequence of the first."""
        self._isOver = True
        self._lines.clear()
        if self.failure is None:
            self.failure = f"{type(error).__name__}: {error}"
            _log.warn("a trace ends here, it cannot be written: {why}", why=self.failure)


_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def _encode(line: dict[str, object]) -> str:
    return _encoder.encode(line) + "\n"


def _plain(value: object) -> object:
    """What may stand in a trace for a value."""
    kind = type(value)
    if kind is int or kind is bool or value is None:
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return value if len(value) < _SHORT else _shortened(value)
    if isinstance(value, int):  # an IntEnum is written as its number
        return int(value)
    if isinstance(value, Ratio):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} octets not shown]"
    return f"[{kind.__name__} not shown]"


def _shortened(text: str) -> str:
    if _FRACTION.fullmatch(text):
        return text
    if len(text) > _LONGEST_TEXT:
        text = text[:_LONGEST_TEXT] + "..."
    return withoutSecrets(text, isKept=True)


@dataclass(slots=True)
class TraceHeader:
    """
    The first line of a trace.

    @ivar vantage: whose trace it is.
    @ivar title: for people; may be empty.
    @ivar startedAt: the time of the first event in seconds since the epoch, if there was one.
    """

    vantage: str
    title: str
    startedAt: float | None


@dataclass(slots=True)
class TraceEvent:
    """
    One event.

    @ivar time: seconds since the first event; smaller than its predecessor's if the clock was set
        back.
    @ivar name: what happened; there may be names that this release does not know.
    @ivar data: the particulars, as JSON has them; any may be missing, and there may be more.
    """

    time: float
    name: str
    data: dict[str, Any]


def readHeader(path: str | os.PathLike[str]) -> TraceHeader:
    """
    Read the first line of a trace.

    @raise LocalError: if it is no trace, or one of another version.
    @raise OSError: if it cannot be read.
    """
    with open(path, "rb") as file:
        return _readHeader(file, os.fspath(path))


def readTrace(path: str | os.PathLike[str]) -> Iterator[TraceEvent]:
    """
    Read the events of a trace, one after the other.

    A last line that was not written to its end is passed over: whoever wrote it was interrupted.

    @raise LocalError: if it is no trace, or one of another version; says in which line.
    @raise OSError: if it cannot be read.
    """
    name = os.fspath(path)
    with open(path, "rb") as file:
        _readHeader(file, name)
        number = 1
        while line := file.readline(_LONGEST_LINE + 1):
            number += 1
            tree = _decode(line)
            if tree is None and not line.endswith(b"\n") and len(line) <= _LONGEST_LINE:
                return
            match tree:
                case {"time": int() | float() as time, "name": str() as what, "data": {} as data}:
                    yield TraceEvent(float(time), what, data)
                case _:
                    raise LocalError(
                        f"{name!r}, line {number}: this is no event of a trace; each line must be"
                        " a JSON object with time, name and data"
                    )


def _readHeader(file: BinaryIO, name: str) -> TraceHeader:
    """
    @raise LocalError: if there is none.
    """
    tree = _decode(file.readline(_LONGEST_LINE + 1))
    if tree is None or tree.get("format") != FORMAT:
        raise LocalError(
            f"{name!r}, line 1: this is no trace; the first line of one says that its format is"
            f" {FORMAT}"
        )
    if tree.get("version") != VERSION:
        raise LocalError(
            f"{name!r}, line 1: the trace is of version {str(tree.get('version'))[:20]}; this"
            f" release reads version {VERSION}"
        )
    startedAt = tree.get("startedAt")
    return TraceHeader(
        str(tree.get("vantage", "")),
        str(tree.get("title", "")),
        float(startedAt) if isinstance(startedAt, int | float) else None,
    )


def _decode(line: bytes) -> dict[str, Any] | None:
    """A line's JSON object, or None if there is none in it."""
    try:
        tree = _decoder.decode(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return tree if isinstance(tree, dict) else None


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


def _parseFloat(text: str) -> float:
    """
    @raise ValueError: if it is too large for a floating-point number.
    """
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _parseInt(digits: str) -> int:
    """
    @raise ValueError: if it is so long that it would be no floating-point number either.
    """
    if len(digits) > _MOST_DIGITS:
        raise ValueError("no number of a trace is so long")
    return int(digits)


_decoder = json.JSONDecoder(parse_constant=_refuse, parse_float=_parseFloat, parse_int=_parseInt)
