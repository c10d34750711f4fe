"""Tests of C{txilpstream.trace.figure}."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

import txilpstream
from txilpstream.errors import LocalError
from txilpstream.trace.figure import SUFFIXES, checkSuffix, render
from txilpstream.trace.series import TraceData
from txilpstream.trace.test.test_series import gather, sent

NO_MATPLOTLIB = (
    None
    if importlib.util.find_spec("matplotlib")
    else "matplotlib is not installed: pip install 'txilpstream[plot]'"
)
"""Why what draws cannot be tested, if so."""


def everything() -> TraceData:
    """A short trace in which everything happens."""
    events: list[Any] = [
        (0.0, "pacingChanged", {"rate": 100.0, "roundTrip": None}),
        sent(0.0, 0, 5_000_000, isProbe=True, inFlight=1),
        (0.05, "packetRejected", {"sequence": 0, "code": "F08", "inFlight": 0}),
        (0.05, "packetAmountChanged", {"limit": 10_000}),
        (0.05, "liquidityChanged", {"rate": 1e6, "cap": 30_000}),
        (0.06, "slept", {"until": 0.3, "reason": "pacing"}),
    ]
    answers = ("packetFulfilled", "packetRejected", "packetDoubted", "packetFulfilled")
    for number in range(1, 60):
        more = {"amount": 10_000, "code": "T04", "delivered": 9_000, "bytes": 4000}
        more |= {"isByPeer": number % 3 == 1, "roundTrip": 0.05, "inFlight": 2}
        events.append(sent(0.3 + number / 50, number, 10_000 * (number % 5 > 0), inFlight=3))
        if number < 58:
            name = answers[number % 4]
            events.append((0.35 + number / 50, name, {"sequence": number, **more}))
    return gather(*events, (2.0, "connectionClosed", {"error": None}))


@cache
def picture(suffix: str) -> bytes:
    """The picture of L{everything}, drawn once for all tests that only look at it."""
    return render(everything(), suffix)


def withoutMatplotlib(case: SynchronousTestCase) -> None:
    """For the rest of a test matplotlib cannot be imported, wherever it was imported before."""
    names = [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]
    kept = {name: sys.modules.pop(name) for name in names}

    def restore() -> None:
        sys.modules.pop("matplotlib", None)
        sys.modules.update(kept)

    case.addCleanup(restore)
    missing: Any = None
    sys.modules["matplotlib"] = missing


class SuffixTests(SynchronousTestCase):
    """L{checkSuffix}."""

    def test_known(self) -> None:
        """Upper case is no other suffix."""
        for suffix in SUFFIXES:
            self.assertEqual(checkSuffix(f"a.b/picture{suffix.upper()}"), suffix)

    def test_unknown(self) -> None:
        """What is asked for is named, and what there is."""
        for path, expected in (
            ("a.jpg", "not with '.jpg'"),
            ("a.svg/b", "not without a suffix"),
            (".png", "not without a suffix"),
        ):
            error = self.assertRaises(LocalError, checkSuffix, path)
            self.assertIn(expected, str(error))
            self.assertIn(".svg, .png, .pdf or .html", str(error))


class MissingTests(SynchronousTestCase):
    """Without matplotlib."""

    def test_missing(self) -> None:
        """It is said how to get it."""
        withoutMatplotlib(self)
        error = self.assertRaises(ImportError, render, gather(), ".svg")
        self.assertEqual(str(error), "drawing needs matplotlib: pip install 'txilpstream[plot]'")

    def test_broken(self) -> None:
        """One that is there and cannot be imported says why."""
        folder = Path(self.mktemp())
        folder.mkdir()
        folder.joinpath("matplotlib.py").write_text("raise ImportError('no such symbol')")
        self.patch(sys, "path", [str(folder), *sys.path])
        withoutMatplotlib(self)
        del sys.modules["matplotlib"]
        error = self.assertRaises(ImportError, render, gather(), ".svg")
        self.assertIn("'txilpstream[plot]' (no such symbol)", str(error))

    def test_notImported(self) -> None:
        """The command line imports neither matplotlib nor a reactor."""
        code = (
            "import sys, txilpstream.cli.main, txilpstream.trace.panels\n"
            "found = {'matplotlib', 'numpy', 'twisted.internet.reactor'} & set(sys.modules)\n"
            "sys.exit(str(found) if found else 0)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(Path(txilpstream.__file__).parents[1])},
            capture_output=True,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, b""))


class RenderTests(SynchronousTestCase):
    """L{render}."""

    skip = NO_MATPLOTLIB

    def test_kinds(self) -> None:
        """Each suffix gives a file of its kind."""
        for suffix, beginning in (
            (".svg", b"<?xml"),
            (".png", b"\x89PNG"),
            (".pdf", b"%PDF"),
            (".html", b"<!DOCTYPE html>"),
        ):
            octets = picture(suffix)
            self.assertEqual(octets[: len(beginning)], beginning)
        self.assertEqual(octets.count(b"<svg"), 1)
        self.assertIn(b"How to read this", octets)

    def test_deterministic(self) -> None:
        """The same trace gives the same picture, whatever was drawn before."""
        first = {suffix: picture(suffix) for suffix in (".svg", ".pdf")}
        render(gather(), ".png")
        for suffix, octets in first.items():
            self.assertEqual(render(everything(), suffix), octets)
        self.assertNotIn(b"<dc:date>", first[".svg"])

    def test_settings(self) -> None:
        """Settings of an application that draws too are neither used nor changed."""
        import matplotlib

        usual = picture(".svg")
        with matplotlib.rc_context({"font.size": 30.0, "axes.facecolor": "red"}):
            self.assertEqual(render(everything(), ".svg"), usual)
            self.assertEqual(matplotlib.rcParams["font.size"], 30.0)

    def test_strangeText(self) -> None:
        """No formula, no XML and no script of others stands in the way."""
        data = gather((0.0, "packetRejected", {"code": "$\\x^"}), sent(0.0, 1))
        data.header.title = "$\\frac{<&> \u65e5\u672c \x00\ud800 " + "long " * 100
        data.header.vantage = "<svg>"
        ElementTree.fromstring(render(data, ".svg"))
        self.assertNotIn(b"<svg>", render(data, ".html"))

    def test_nothing(self) -> None:
        """A trace without events, and one whose events are all at once."""
        for data in (gather(), gather(sent(0.0, 1, 1, inFlight=1)), gather((0.0, "x", {}))):
            self.assertGreater(len(render(data, ".png")), 1000)

    def test_large(self) -> None:
        """A hundred thousand packets are a picture of ordinary size."""
        data = gather()
        for number in range(100_000):
            data.holdPacket(number, number / 1000, number * 7919 % 10007, isProbe=False)
            data.inFlight.add(number / 1000, number * 31 % 101)
        data.end = 100.0
        self.assertLess(len(render(data, ".svg")), 3_000_000)

    def test_size(self) -> None:
        """A PNG is wide enough to be read."""
        from matplotlib.image import imread

        height, width = imread(BytesIO(picture(".png"))).shape[:2]
        self.assertEqual((width, height), (1500, 1560))
