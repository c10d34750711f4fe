"""
Each program in C{examples/} runs alone, does what it says and is short.
"""

from __future__ import annotations

import re
import subprocess
import sys
from os import environ, pathsep
from pathlib import Path

import txilpstream
from txilpstream.test.support.virtual import VirtualTestCase

CHECKOUT = Path(txilpstream.__file__).resolve().parents[1]
EXAMPLES = CHECKOUT / "examples"

LONGEST = 60
"""Lines that an example may have."""

EXPECTED = {
    "amp": r"19 \+ 23 = 42",
    "echo": r"the echo: Hello, Interledger!",
    "lines": r"Good day, Alice\nGood day, and Bob",
    "payperkilobyte": r"at 40 units a KiB: 16384 bytes",
    "policy": r"invoice-1: yes to 100\ninvoice-1: paid, 100 sent\n"
    r"(invoice-2: no to 100\n)+invoice-2: given up, 0 sent",
    "receivemoney": r"alice gave 250, 250 in all\nalice gave 300, 550 in all\n"
    r"alice gave 450, 1000 in all",
    "sendmoney": r"sent 1000000 units of USD in \d+ packets\n"
    r"delivered at least 9[12]\d{4} units of EUR",
    "streamfile": r"sent everything, sha256 (\w{64})\nreceived \d+ bytes, sha256 \1",
}
"""What each prints, as a pattern."""


class ExamplesTests(VirtualTestCase):
    """The programs as somebody would run them who has just cloned the repository."""

    if not EXAMPLES.is_dir():
        skip = f"there is no {EXAMPLES}: the examples are in the checkout, not in the wheel"

    def check(self, name: str) -> None:
        """Run an example in a process of its own and compare what it prints."""
        path = str(CHECKOUT)
        if environ.get("PYTHONPATH"):
            path += pathsep + environ["PYTHONPATH"]
        done = subprocess.run(
            [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**environ, "PYTHONPATH": path},
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        printed = done.stdout.strip()
        self.assertIsNotNone(re.fullmatch(EXPECTED[name], printed), printed)

    def test_all(self) -> None:
        """Every example is run by a test of this class."""
        self.assertEqual(sorted(path.stem for path in EXAMPLES.glob("*.py")), sorted(EXPECTED))

    def test_length(self) -> None:
        """An example can be read at a glance, and opens with what it shows."""
        for path in EXAMPLES.glob("*.py"):
            lines = path.read_text(encoding="utf-8").splitlines()
            self.assertLessEqual(len(lines), LONGEST, path.name)
            self.assertTrue(lines[0].startswith('"""'), path.name)

    def test_amp(self) -> None:
        """Remote calls over a stream."""
        self.check("amp")

    def test_echo(self) -> None:
        """Data comes back."""
        self.check("echo")

    def test_lines(self) -> None:
        """A protocol that knows nothing of money."""
        self.check("lines")

    def test_payPerKilobyte(self) -> None:
        """No more is sent than was paid for."""
        self.check("payperkilobyte")

    def test_policy(self) -> None:
        """Money that the policy refuses is never sent."""
        self.check("policy")

    def test_receiveMoney(self) -> None:
        """The payer is known by his tag."""
        self.check("receivemoney")

    def test_sendMoney(self) -> None:
        """Everything leaves, and arrives in another currency."""
        self.check("sendmoney")

    def test_streamFile(self) -> None:
        """What arrives is what was sent."""
        self.check("streamfile")
