"""
The processes of C{compare.py}: how they are started, spoken to in lines of JSON, looked at from
outside, and ended by their own ids.

Processor time and memory of another process come from C{/proc}, so this needs Linux.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

INTEROP = HERE.parent / "interop"
"""Where the peers are installed, and their drivers are."""

PATIENCE = 240.0
"""Seconds within which a process must have said what is waited for."""


class Failed(Exception):
    """Something did not run, and says why."""


def peakOf(process: int | str) -> float:
    """The most memory that a process has had, in MiB."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    if found is None:
        raise Failed(f"process {process} says nothing of its memory")
    return int(found.group(1)) / 1024


def processorTimeOf(process: int) -> float:
    """The processor time of all threads of a process, in seconds."""
    stat = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
    fields = stat.rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Child:
    """A process that speaks JSON in lines."""

    def __init__(self, words: list[str], environ: dict[str, str] | None = None) -> None:
        self.name = " ".join(Path(word).name for word in words[1:3])
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            words,
            cwd=INTEROP,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def hear(self, event: str) -> dict[str, Any]:
        """
        Wait for an event; others are passed over.

        @raise Failed: if it ends or takes too long.
        """
        assert self.process.stdout is not None
        watch = threading.Timer(PATIENCE, self.process.kill)
        watch.daemon = True
        watch.start()
        try:
            for line in self.process.stdout:
                if not line.startswith("{"):
                    continue
                said: dict[str, Any] = json.loads(line)
                if said["event"] == event:
                    return said
                if said["event"] == "error":
                    raise Failed(f"{self.name}: {said['message']}")
        finally:
            watch.cancel()
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        text = " ".join(line.strip() for line in lines[-3:])
        raise Failed(f"{self.name} ended without {event!r}: {text}")

    def ask(self, event: str, **values: Any) -> dict[str, Any]:
        """
        Say one thing, and wait for an event.

        @raise Failed: if it ends or takes too long.
        """
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(values) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # hear() says what it said before it ended
        return self.hear(event)

    def processorTime(self) -> float:
        """What it has used so far, in seconds."""
        return processorTimeOf(self.process.pid)

    def peak(self) -> float:
        """The most memory that it has had, in MiB."""
        return peakOf(self.process.pid)

    def end(self) -> None:
        """End it, if it has not ended."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self._errors):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                pass


def findNode() -> str:
    """
    Where Node is.

    @raise Failed: if there is none, or the peers are not installed.
    """
    found = shutil.which("node")
    if found is None:
        raise Failed("there is no node on this machine: the peers need Node 18 or later")
    if not (INTEROP / "node_modules" / "ilp-protocol-stream").exists():
        raise Failed("the peers are not installed: run npm ci in interop/")
    return found


def node(script: str, *words: str, **environ: str) -> Child:
    """
    A script of C{interop/} in JavaScript.

    @raise Failed: if there is no Node, or the peers are not installed.
    """
    return Child([findNode(), script, *words], environ)


def python(script: str, *words: str) -> Child:
    """A script of this folder."""
    return Child([sys.executable, str(HERE / script), *words])


def once(child: Child) -> dict[str, Any]:
    """
    What a process has to say that does one thing and ends.

    @raise Failed: if it fails.
    """
    try:
        return child.hear("done")
    finally:
        child.end()


def freePort() -> int:
    """A port of this machine that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def waitForPort(port: int) -> None:
    """
    Wait until somebody listens there.

    @raise Failed: if nobody does.
    """
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise Failed(f"nobody listens on port {port}")
