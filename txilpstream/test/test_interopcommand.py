"""
The command that runs the tests against other implementations, where they cannot be run.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which

from twisted.trial.unittest import SynchronousTestCase

import txilpstream

COMMAND = Path(txilpstream.__file__).resolve().parents[1] / "interop" / "run"

SENTENCE = "interop: node, npm and curl are needed and not all found; nothing was tested\n"


class InteropCommandTests(SynchronousTestCase):
    """A machine without Node is told so; it never sees a success of tests that did not run."""

    if not COMMAND.is_file():
        skip = f"there is no {COMMAND}: the command is in the checkout, not in the wheel"
    elif which("bash") is None:
        skip = "there is no bash on this machine, which the command needs"

    def check(self, *present: str) -> None:
        """
        Run the command where of all programs there are few, and see it fail.

        @param present: which of those it needs are there nevertheless.
        """
        programs = Path(self.mktemp()).resolve()
        programs.mkdir()
        dirname, bash = which("dirname"), which("bash")
        assert dirname is not None and bash is not None
        (programs / "dirname").symlink_to(dirname)
        for name in present:
            (programs / name).write_text("#!/bin/sh\nexit 0\n", encoding="ascii")
            (programs / name).chmod(0o700)
        ended = subprocess.run(
            [bash, str(COMMAND), "test_vectors"],
            env={"PATH": str(programs)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (1, "", SENTENCE))

    def test_neither(self) -> None:
        """Neither node nor npm is there."""
        self.check()

    def test_nodeAlone(self) -> None:
        """Without npm the peers could not be installed."""
        self.check("node")

    def test_npmAlone(self) -> None:
        """Without node they could not be run."""
        self.check("npm")

    def test_noCurl(self) -> None:
        """Without curl the doors could not be called."""
        self.check("node", "npm")
