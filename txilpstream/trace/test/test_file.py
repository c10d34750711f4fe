"""Tests of C{txilpstream.trace.file}."""

from __future__ import annotations

import builtins
import errno
import json
import subprocess
import sys
from enum import IntEnum
from io import StringIO
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

import txilpstream
from txilpstream.amounts import Ratio
from txilpstream.errors import LocalError
from txilpstream.session.configuration import SessionConfiguration, configure
from txilpstream.trace import file
from txilpstream.trace.file import FORMAT, VERSION, TraceEvent, TraceWriter, readHeader, readTrace

START = 1_785_500_000.25
HEADER = json.dumps({"format": FORMAT, "version": VERSION}).encode() + b"\n"
EVENT = b'{"time":1.5,"name":"lateAnswer","data":{"sequence":1}}\n'


class FullDisk(StringIO):
    """A file that takes no more than some characters; how often it was asked is counted."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        if len(self.getvalue()) + len(text) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


class BrokenFile(FullDisk):
    """One that cannot even be closed."""

    def close(self) -> None:
        raise OSError(errno.EIO, "Input/output error")


class Color(IntEnum):
    """A number with a name."""

    RED = 7


class WriterTests(SynchronousTestCase):
    """L{TraceWriter}."""

    def lines(self, *events: tuple[str, dict[str, object]]) -> list[dict[str, Any]]:
        """What is written for these events."""
        file = StringIO()
        with TraceWriter(file) as writer:
            for name, particulars in events:
                writer(name, particulars)
        self.assertIsNone(writer.failure)
        return [json.loads(line) for line in file.getvalue().splitlines()]

    def plain(self, value: object) -> object:
        """What becomes of a particular."""
        return self.lines(("event", {"time": 1.0, "value": value}))[1]["data"]["value"]

    def test_file(self) -> None:
        """A header, then a line for each event, with times from the first event on."""
        path = Path(self.mktemp())
        with TraceWriter(path, vantage="server", title="a try") as writer:
            writer("packetSent", {"time": START, "sequence": 1, "amount": 2**64 - 1})
            writer("slept", {"time": START + 0.5, "until": START + 0.75, "reason": "pacing"})
            writer("slept", {"time": START + 0.5, "until": None})
        self.assertEqual(
            [json.loads(line) for line in path.read_text().splitlines()],
            [
                {
                    "format": "txilpstream-trace",
                    "version": 1,
                    "vantage": "server",
                    "title": "a try",
                    "startedAt": START,
                },
                {"time": 0.0, "name": "packetSent", "data": {"sequence": 1, "amount": 2**64 - 1}},
                {"time": 0.5, "name": "slept", "data": {"until": 0.75, "reason": "pacing"}},
                {"time": 0.5, "name": "slept", "data": {"until": None}},
            ],
        )

    def test_roundTrip(self) -> None:
        """What was written can be read."""
        path = Path(self.mktemp())
        with TraceWriter(str(path), title="a try") as writer:
            writer("packetSent", {"time": START, "sequence": 1})
            writer("new", {"time": START + 2})
        header = readHeader(path)
        self.assertEqual(
            (header.vantage, header.title, header.startedAt), ("client", "a try", START)
        )
        self.assertEqual(
            list(readTrace(path)),
            [TraceEvent(0.0, "packetSent", {"sequence": 1}), TraceEvent(2.0, "new", {})],
        )

    def test_empty(self) -> None:
        """Without any event there is the header all the same."""
        path = Path(self.mktemp())
        TraceWriter(path).close()
        self.assertIsNone(readHeader(path).startedAt)
        self.assertEqual(list(readTrace(path)), [])

    def test_vantage(self) -> None:
        """A trace is that of a client or of a server, and nothing is opened for another."""
        path = Path(self.mktemp())
        self.assertRaises(LocalError, TraceWriter, path, vantage="moon")
        self.assertFalse(path.exists())

    def test_unwritable(self) -> None:
        """Whoever asks for a trace hears at once that there can be none."""
        self.assertRaises(OSError, TraceWriter, self.mktemp() + "/no/such/folder")

    def test_buffered(self) -> None:
        """Many events are one writing, but none waits for long in a trace's own time."""
        file = FullDisk(1 << 30)
        writer = TraceWriter(file)
        for index in range(100):
            writer("packetSent", {"time": START + index / 1000})
        self.assertEqual(file.writes, 0)
        writer("packetSent", {"time": START + 1.1})
        self.assertEqual((file.writes, file.getvalue().count("\n")), (1, 102))
        writer("packetSent", {"time": START + 0.5})
        self.assertEqual((file.writes, file.getvalue().count("\n")), (2, 103))
        for _ in range(1000):
            writer("packetSent", {"time": START + 0.6, "text": "abcde " * 16})
        self.assertEqual(file.writes, 4)
        writer.close()
        writer.close()
        self.assertEqual((file.writes, file.getvalue().count("\n")), (5, 1103))

    def test_givenFile(self) -> None:
        """A file that was given is left open; one of ours is closed."""
        file = StringIO()
        TraceWriter(file).close()
        self.assertFalse(file.closed)

    def test_closed(self) -> None:
        """A connection may live longer than its trace."""
        file = StringIO()
        writer = TraceWriter(file)
        writer.close()
        written = file.getvalue()
        writer("packetSent", {"time": START})
        self.assertEqual((file.getvalue(), writer.failure), (written, None))

    def test_fullDisk(self) -> None:
        """A full disk ends the trace, is told once, and the session goes on."""
        disk = FullDisk(400)
        writer = TraceWriter(disk)
        for index in range(50):
            writer("packetSent", {"time": START + index, "sequence": index})
        writer.close()
        self.assertIn("No space left on device", str(writer.failure))
        said = self.flushLoggedErrors()
        self.assertEqual(said, [])  # a warning with a sentence, not a traceback
        writes = disk.writes
        writer("packetSent", {"time": START + 99})
        self.assertEqual(disk.writes, writes)
        path = Path(self.mktemp())
        path.write_text(disk.getvalue())
        self.assertEqual(next(readTrace(path)).data, {"sequence": 0})

    def test_logged(self) -> None:
        """The failure is logged, once."""
        said: list[str] = []

        class Log:
            def warn(self, text: str, **values: object) -> None:
                said.append(text.format(**values))

        self.patch(file, "_log", Log())
        with TraceWriter(FullDisk(10)) as writer:
            writer("packetSent", {"time": START})
            writer("packetSent", {"time": START + 5})
        self.assertEqual(len(said), 1)
        self.assertIn("OSError: [Errno 28] No space left", said[0])

    def test_fullAtTheEnd(self) -> None:
        """The disk may be full when the trace is closed, and the closing may fail again."""
        broken = BrokenFile(10)
        self.patch(builtins, "open", lambda *args, **kwargs: broken)
        with TraceWriter("a path") as writer:
            writer("packetSent", {"time": START})
        self.assertIn("No space left", str(writer.failure))
        self.patch(builtins, "open", lambda *args, **kwargs: BrokenFile(1000))
        with TraceWriter("a path") as writer:
            writer("packetSent", {"time": START})
        self.assertIn("Input/output error", str(writer.failure))

    def test_nonsense(self) -> None:
        """Whatever it is told, it does not raise."""
        loop: list[object] = []
        loop.append(loop)
        for particulars in ({}, {"time": None}, {"time": float("nan")}, {"time": 1.0, "x": loop}):
            writer = TraceWriter(StringIO())
            writer("event", particulars)
            writer.close()
            self.assertIsNotNone(writer.failure, particulars)

    def test_values(self) -> None:
        """What is no JSON is written as what comes next to it."""
        for value, expected in (
            (None, None),
            (True, True),
            (2**64, 2**64),
            (Color.RED, 7),
            (0.25, 0.25),
            (float("inf"), None),
            (float("nan"), None),
            ("T04", "T04"),
            (Ratio(6, 4), "3/2"),
            ((1, "a"), [1, "a"]),
            ({1: [None]}, {"1": [None]}),
            (set[int](), "[set not shown]"),
        ):
            self.assertEqual(self.plain(value), expected)

    def test_noSecrets(self) -> None:
        """Octets are not written, nor words that could be a key or a token."""
        secret = bytes(range(100, 132))
        token = "qDvQ5m3ZyJp0TtBvHk2sQ6w8Lr4uYx1nCfEoGiKl"
        for value in (secret, bytearray(secret), memoryview(secret)):
            self.assertEqual(self.plain(value), "[32 octets not shown]")
        self.assertEqual(self.plain(f"key {secret.hex()} is"), "key [not shown] is")
        self.assertEqual(self.plain(f"g.bob.{token}.x"), "g.bob.[not shown].x")
        self.assertNotIn("ab" * 8, str(self.plain("x" * 499 + "ab" * 20)))
        self.assertEqual(self.plain("word " * 200), "word " * 100 + "...")
        for text in (
            "18446744073709551615/18446744073709551614",
            "example.demo.server",
            "the peer closed the connection",
        ):
            self.assertEqual(self.plain(text), text)

    def test_configuration(self) -> None:
        """It is what a configuration takes, and what an application may say."""
        writer = TraceWriter(StringIO())
        self.assertIs(SessionConfiguration(trace=writer).trace, writer)
        self.assertIs(configure({"trace": writer}).trace, writer)


class ReaderTests(SynchronousTestCase):
    """L{readTrace} and L{readHeader}."""

    def fileOf(self, octets: bytes) -> str:
        """A file that holds these octets."""
        path = Path(self.mktemp())
        path.write_bytes(octets)
        return str(path)

    def test_tolerant(self) -> None:
        """Unknown names and fields, in the header too, are no matter."""
        header = HEADER.replace(b"}", b',"more":[1],"title":5,"startedAt":"x"}')
        path = self.fileOf(header + b'{"time":1,"name":"?","data":{"a":{"b":[null]}},"more":1}\r\n')
        self.assertEqual(readHeader(path).title, "5")
        self.assertIsNone(readHeader(path).startedAt)
        self.assertEqual(list(readTrace(path)), [TraceEvent(1.0, "?", {"a": {"b": [None]}})])

    def test_interrupted(self) -> None:
        """A last line without its end is passed over, wherever it ends."""
        first = HEADER + EVENT
        for length in range(1, len(EVENT) - 1):
            events = list(readTrace(self.fileOf(first + EVENT[:length])))
            self.assertEqual(len(events), 1, EVENT[:length])
        self.assertEqual(len(list(readTrace(self.fileOf(first + EVENT[:-1])))), 2)

    def test_noTrace(self) -> None:
        """A file that is no trace is named, and so is the line."""
        for octets in (
            b"",
            b"nonsense\n",
            b"\x89PNG\r\n\x1a\n\xff",
            b"[]\n",
            b"[" * 100_000,
            b"{}\n",
            EVENT,
            b'{"format":"qlog","version":1}\n',
            b"x" * (1 << 21),
            HEADER[:-5],
        ):
            path = self.fileOf(octets)
            for read in (readHeader, lambda name: next(readTrace(name))):
                error = self.assertRaises(LocalError, read, path)
                self.assertTrue(str(error).startswith(f"{path!r}, line 1: this is no trace"), error)

    def test_otherVersion(self) -> None:
        """A trace of another version is not guessed at."""
        for version in (b"2", b'"one"', b"null"):
            path = self.fileOf(HEADER.replace(b": 1", b": " + version))
            error = self.assertRaises(LocalError, readHeader, path)
            self.assertIn("line 1: the trace is of version ", str(error))
            self.assertIn("reads version 1", str(error))

    def test_noEvent(self) -> None:
        """A line in the middle that is no event is named."""
        for line in (
            b"nonsense\n",
            b"\n",
            b"\xff\n",
            b"[1]\n",
            b'{"time":"1","name":"x","data":{}}\n',
            b'{"time":1,"data":{}}\n',
            b'{"time":1,"name":"x","data":[]}\n',
            b'{"time":NaN,"name":"x","data":{}}\n',
            b'{"time":1e999,"name":"x","data":{}}\n',
            b'{"time":1,"name":"x","data":{"amount":' + b"1" * 5000 + b"}}\n",
            b'{"time":1,"name":"' + b"x" * (1 << 20) + b'","data":{}}\n',
        ):
            path = self.fileOf(HEADER + EVENT + line + EVENT)
            events = readTrace(path)
            self.assertEqual(next(events).name, "lateAnswer")
            error = self.assertRaises(LocalError, next, events)
            self.assertTrue(str(error).startswith(f"{path!r}, line 3: this is no event"), error)

    def test_unreadable(self) -> None:
        """A file that cannot be read."""
        self.assertRaises(OSError, readHeader, "no such file")
        self.assertRaises(OSError, list, readTrace("no such file"))

    @given(st.binary(max_size=200))
    def test_anything(self, octets: bytes) -> None:
        """Whatever follows the header, there are events or there is a L{LocalError}."""
        path = self.fileOf(HEADER + EVENT + octets)
        try:
            self.assertGreaterEqual(len(list(readTrace(path))), 1)
        except LocalError as error:
            self.assertIn(", line ", str(error))


class ImportTests(SynchronousTestCase):
    """What comes with the module."""

    def test_noReactor(self) -> None:
        """No reactor."""
        code = (
            "import sys, txilpstream.trace.file\n"
            "sys.exit('twisted.internet.reactor' in sys.modules)"
        )
        root = str(Path(txilpstream.__file__).parents[1])
        done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": root}, check=False)
        self.assertEqual(done.returncode, 0)

    def test_public(self) -> None:
        """All names are there."""
        for name in file.__all__:
            self.assertTrue(hasattr(file, name), name)
