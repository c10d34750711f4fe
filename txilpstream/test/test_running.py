"""
How commands end: wrong words, signals, and what goes wrong underneath, as processes.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from os import environ
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import txilpstream
from txilpstream import cli
from txilpstream.running import Running, atMost

ROOT = str(Path(txilpstream.__file__).resolve().parents[1])

CREDENTIALS = json.dumps({"destination_account": "test.x", "shared_secret": "x" * 10})

WRONG = """
pay
pay $alice.example
pay $alice.example 0
pay $alice.example -5
pay $alice.example 1.5
pay $alice.example 1e9
pay $alice.example 18446744073709551616
pay alice.example 5
pay $alice.example:80 5
pay ftp://alice.example 5
pay http://alice.example/ 5
pay {} 5
pay {"a" 5
pay $alice.example 5 --max-source 4 --colour red
pay $alice.example 5 --max-source 0
pay $alice.example 5 --slippage 2
pay $alice.example 5 --slippage -1
pay $alice.example 5 --timeout 0
pay $alice.example 5 --data /there/is/none
pay $alice.example 5 --data /
pay http://127.0.0.1:1/ 5 --plugin nothing
pay http://127.0.0.1:1/ 5 --plugin memory
quote
quote $alice.example 0
quote $alice.example 5 --slippage x
ping
ping nowhere
ping test.x --count 0
ping test.x --timeout soon
ping test.x --plugin btp+ws://192.0.2.1
ping test.x --plugin http://192.0.2.1/
ping test.x --plugin http:colour=red
receive --limit 0
receive --limit many
receive --secret-file /
serve --spsp x
serve --http 65536
serve --account a=x
serve --asset USD
serve --peer x
serve --plugin nothing
serve --secret-file /there/is/none
hub --btp none --http none
hub --address nowhere
hub --price EUR=0
hub --open maybe
hub --spsp 80
"""
"""Each line is wrong in its own way."""


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "txilpstream", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**environ, "PYTHONPATH": ROOT, "ILP_PLUGIN": "", **variables},
    )


class WrongWordsTests(SynchronousTestCase):
    """Every command with everything that is wrong."""

    def atOnce(self, words: list[str]) -> tuple[int, str, str]:
        """What the command does before it runs the reactor; status -1 if it would."""
        stdout, stderr = StringIO(), StringIO()
        with redirect_stdout(stdout), redirect_stderr(stderr):
            status = self.assertRaises(SystemExit, cli.main, words).code
        return int(status or 0), stdout.getvalue(), stderr.getvalue()

    def test_oneLine(self) -> None:
        """One clear line, status 2, and nothing on standard output."""
        self.patch(Running, "run", lambda self, main: -1)
        lines = [line.split(" ") for line in WRONG.strip().splitlines()]
        lines.append(["pay", CREDENTIALS, "5"])
        said = [(words, *self.atOnce(words)) for words in lines]
        late = [words for words, status, _, _ in said if status == -1]
        said = [each for each in said if each[1] != -1]
        with ThreadPoolExecutor(2) as pool:
            for words, done in zip(late, pool.map(lambda words: run(*words), late), strict=True):
                said.append((words, done.returncode, done.stdout, done.stderr))
        self.assertEqual(len(said), len(lines))
        for words, status, stdout, stderr in said:
            where = f"{words}: {stderr!r}"
            self.assertEqual((status, stdout), (2, ""), where)
            self.assertEqual(stderr.count("\n"), 1, where)
            self.assertTrue(stderr.startswith("txilpstream "), where)
            self.assertNotIn("Traceback", stderr, where)

    def test_unreachable(self) -> None:
        """What is right and cannot be done is status 1, in a line too."""
        for words in (
            ("pay", "http://127.0.0.1:1/", "5"),
            ("receive", "--plugin", "btp+ws://:x@127.0.0.1:1"),
            ("ping", "test.x", "--count", "1", "--plugin", "http://127.0.0.1:1/"),
        ):
            done = run(*words)
            self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)


class SignalTests(SynchronousTestCase):
    """Ctrl-C."""

    def test_serve(self) -> None:
        """A receiver ends in good order; so does one that nobody waited for."""
        words = ["--spsp=0", "--http=0", "--btp=none", f"--secret-file={self.mktemp()}", "--json"]
        for number in (signal.SIGINT, signal.SIGTERM):
            process = subprocess.Popen(
                [sys.executable, "-m", "txilpstream", "serve", *words],
                stdout=subprocess.PIPE,
                text=True,
                env={**environ, "PYTHONPATH": ROOT, "ILP_PLUGIN": ""},
            )
            self.addCleanup(process.kill)
            assert process.stdout is not None
            self.addCleanup(process.stdout.close)
            self.assertEqual(json.loads(process.stdout.readline())["event"], "listening")
            process.send_signal(number)
            self.assertEqual(process.wait(30), 0)
            self.assertEqual(json.loads(process.stdout.readline())["event"], "ended")


class WaitTests(SynchronousTestCase):
    """What is not waited for longer than need be."""

    def test_atMost(self) -> None:
        clock = Clock()
        waiting: Deferred[None] = Deferred()
        waited = atMost(5, waiting, clock)
        clock.advance(5)
        self.successResultOf(waited)

    def test_nobodyAsks(self) -> None:
        self.assertIsNone(Running("x", StringIO()).onInterrupt)
