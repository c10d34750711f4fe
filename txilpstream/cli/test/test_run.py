"""
Tests of C{txilpstream.cli.run}: how commands end: wrong words, signals, and what goes wrong
underneath, as processes.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from os import environ
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import txilpstream
from txilpstream.cli.main import main
from txilpstream.cli.run import Running

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


MANY = """
import gc, json, os, sys
from twisted.plugins import txilpstream_dropin
from txilpstream.cli import destination, main
from txilpstream.plugins.btp import plugin
from txilpstream.plugins.http import plugin
from txilpstream.service import receiver, service
from txilpstream.spsp import client, server
from txilpstream.transport import endpointstrings

gc.freeze()
assert "twisted.internet.reactor" not in sys.modules
commands, children = json.loads(sys.argv[1]), []
for number, words in enumerate(commands):
    child = os.fork()
    if not child:
        for stream, kind in ((1, "out"), (2, "err")):
            file = os.open(f"{number}.{kind}", os.O_WRONLY | os.O_CREAT)
            os.dup2(file, stream)
            os.close(file)
        main.main(words)
    children.append(child)
print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]))
"""
"""
Runs commands at the same time, each in a process and with a reactor of its own.

What commands import takes most of the time of one that is wrong, so it is imported once.
"""


def runAll(folder: str, commands: list[list[str]]) -> list[tuple[int, str, str]]:
    """
    Run commands to their ends.

    @param folder: is made, for what they print.
    @return: exit status, standard output and standard error of each.
    """
    where = Path(folder)
    where.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", MANY, json.dumps(commands)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=where,
        env={**environ, "PYTHONPATH": ROOT, "ILP_PLUGIN": ""},
    )
    if done.returncode or done.stderr:
        raise AssertionError(done.stderr)
    return [
        (status, *((where / f"{number}.{kind}").read_text("utf-8") for kind in ("out", "err")))
        for number, status in enumerate(json.loads(done.stdout))
    ]


class WrongWordsTests(SynchronousTestCase):
    """Every command with everything that is wrong."""

    def atOnce(self, words: list[str]) -> tuple[int, str, str]:
        """What the command does before it runs the reactor; status -1 if it would."""
        stdout, stderr = StringIO(), StringIO()
        with redirect_stdout(stdout), redirect_stderr(stderr):
            status = self.assertRaises(SystemExit, main, words).code
        return int(status or 0), stdout.getvalue(), stderr.getvalue()

    def test_oneLine(self) -> None:
        """One clear line, status 2, and nothing on standard output."""
        self.patch(Running, "run", lambda self, main: -1)
        lines = [line.split(" ") for line in WRONG.strip().splitlines()]
        lines.append(["pay", CREDENTIALS, "5"])
        said = [(words, *self.atOnce(words)) for words in lines]
        late = [words for words, status, _, _ in said if status == -1]
        said = [each for each in said if each[1] != -1]
        for words, done in zip(late, runAll(self.mktemp(), late), strict=True):
            said.append((words, *done))
        self.assertEqual(len(said), len(lines))
        for words, status, stdout, stderr in said:
            where = f"{words}: {stderr!r}"
            self.assertEqual((status, stdout), (2, ""), where)
            self.assertEqual(stderr.count("\n"), 1, where)
            self.assertTrue(stderr.startswith("txilpstream "), where)
            self.assertNotIn("Traceback", stderr, where)

    def test_unreachable(self) -> None:
        """What is right and cannot be done is status 1, in a line too."""
        commands = [
            ["pay", "http://127.0.0.1:1/", "5"],
            ["receive", "--plugin", "btp+ws://:x@127.0.0.1:1"],
            ["ping", "test.x", "--count", "1", "--plugin", "http://127.0.0.1:1/"],
        ]
        for status, stdout, stderr in runAll(self.mktemp(), commands):
            self.assertEqual((status, stdout), (1, ""), stderr)
            self.assertEqual(stderr.count("\n"), 1, stderr)


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

    def test_nobodyAsks(self) -> None:
        self.assertIsNone(Running("x", StringIO()).onInterrupt)
