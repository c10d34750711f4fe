"""The manual's page on traces: its code is run, and its lines are read as a trace."""

from __future__ import annotations

import os
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

import txilpstream
from txilpstream.session.configuration import configure
from txilpstream.trace.file import readHeader, readTrace

MANUAL = Path(txilpstream.__file__).resolve().parents[1] / "docs" / "trace.rst"


class TraceTests(SynchronousTestCase):
    """The page on traces."""

    if not MANUAL.is_file():
        skip = f"there is no {MANUAL}: the manual is in the checkout, not in the wheel"

    def blocks(self, language: str) -> list[str]:
        """The page's code of one language."""
        found = re.findall(
            rf"^\.\. code-block:: {language}\n\n((?:(?: {{4}}.*)?\n)+)",
            MANUAL.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
        return [dedent(block) for block in found]

    def test_code(self) -> None:
        """The code makes a connection with a trace."""

        class Client:
            async def connect(self, credentials: object, **options: Any) -> object:
                configure(options)
                return credentials, options["trace"]

        folder = Path(self.mktemp())
        folder.mkdir()
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(folder)
        (code,) = self.blocks("python")
        names: dict[str, Any] = {}
        exec(code, names)  # the manual's own
        made = names["connectTraced"](Client(), "credentials")
        ((credentials, given), writer) = self.successResultOf(Deferred.fromCoroutine(made))
        self.assertEqual((credentials, given), ("credentials", writer))
        writer.close()
        self.assertEqual(readHeader("t.jsonl").title, "slow on Mondays")

    def test_lines(self) -> None:
        """The lines of the format are lines of a trace."""
        path = Path(self.mktemp())
        path.write_text("".join(line.strip() + "\n" for line in self.blocks("json")))
        self.assertEqual(readHeader(path).startedAt, 1_785_580_000.25)
        self.assertEqual([event.name for event in readTrace(path)], ["packetSent"])
