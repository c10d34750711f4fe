"""What a service is told, whoever says it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.errors import LocalError
from txilpstream.settings import OPTIONS, Settings, endpointFor, readAmount, readSecretFile


class TextTests(SynchronousTestCase):
    """Texts become settings, or are refused in a sentence that names the option."""

    def test_defaults(self) -> None:
        settings = Settings.fromTexts({}, {})
        self.assertEqual(settings.plugin, "")
        self.assertEqual(settings.spsp, "tcp:7770:interface=127.0.0.1")
        self.assertEqual(settings.http, "tcp:7771:interface=127.0.0.1")
        self.assertEqual(settings.btp, "tcp:7768:interface=127.0.0.1")
        self.assertEqual(settings.made.asset, ("USD", 9))
        self.assertIsNone(settings.accounts)
        self.assertIsNone(settings.limit)

    def test_words(self) -> None:
        texts = {
            "plugin": "memory:x",
            "account": ["alice=100", "bob", "shop/till"],
            "limit": "7",
            "spsp": "none",
            "asset": "EUR/6",
            "secret-file": "/x",
        }
        settings = Settings.fromTexts(texts, {})
        self.assertEqual(settings.accounts, {"alice": 100, "bob": None, "shop/till": None})
        self.assertEqual((settings.plugin, settings.limit, settings.spsp), ("memory:x", 7, ""))
        self.assertEqual((settings.made.asset, settings.secretFile), (("EUR", 6), "/x"))

    def test_environment(self) -> None:
        """The environment speaks where the words are silent, one variable for each option."""
        environ = {"TXILPSTREAM_ACCOUNT": "alice bob=5", "TXILPSTREAM_LIMIT": "9"}
        settings = Settings.fromTexts({"limit": "3", "account": []}, environ)
        self.assertEqual(settings.accounts, {"alice": None, "bob": 5})
        self.assertEqual(settings.limit, 3)
        self.assertEqual(Settings.fromTexts({}, {"ILP_PLUGIN": "memory:y"}).plugin, "memory:y")
        self.assertEqual(
            {option.variable for option in OPTIONS if "-" in option.name},
            {"TXILPSTREAM_SECRET_FILE"},
        )

    def test_bad(self) -> None:
        bad = {
            "spsp": ["x", "65536", "-1", ""],
            "http": ["8.5"],
            "btp": ["7_7"],
            "account": [["a b"], ["=5"], ["alice=x"], ["alice=-1"], ["x" * 101], ["a//b"]],
            "limit": ["-1", "1.5", "many", "9" * 21],
            "address": ["nowhere", "test."],
            "asset": ["USD", "USD/", "/9", "USD/256", "U D/2"],
        }
        for name, texts in bad.items():
            for text in texts:
                with self.assertRaises(LocalError, msg=f"{name} {text}"):
                    Settings.fromTexts({name: text}, {})

    def test_amounts(self) -> None:
        self.assertEqual(readAmount("x", "12"), 12)
        with self.assertRaisesRegex(LocalError, "--n is '0x1'"):
            readAmount("--n", "0x1")
        with self.assertRaisesRegex(LocalError, "from 1"):
            readAmount("--n", "0", minimum=1)

    def test_endpoints(self) -> None:
        self.assertEqual(endpointFor("x", "0"), "tcp:0:interface=127.0.0.1")
        self.assertEqual(endpointFor("x", "unix:/run/x"), "unix:/run/x")
        self.assertEqual(endpointFor("x", "none"), "")


class SecretTests(SynchronousTestCase):
    """The file of a secret."""

    def test_made(self) -> None:
        """It is made once, for its owner's eyes only, and is the same from then on."""
        path = Path(self.mktemp())
        secret = readSecretFile(str(path))
        self.assertEqual(len(secret), 32)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual(readSecretFile(str(path)), secret)
        self.assertNotEqual(readSecretFile(self.mktemp()), secret)

    def test_ownPlace(self) -> None:
        folder = self.mktemp()
        self.patch(os, "environ", {**os.environ, "XDG_STATE_HOME": folder})
        secret = readSecretFile("")
        self.assertEqual(readSecretFile(str(Path(folder) / "txilpstream" / "secret")), secret)
        self.patch(os, "environ", {"HOME": folder})
        other = readSecretFile("")
        self.assertNotEqual(other, secret)
        place = Path(folder) / ".local" / "state" / "txilpstream" / "secret"
        self.assertEqual(readSecretFile(str(place)), other)

    def test_bad(self) -> None:
        """What is no secret is not shown, and nothing is written over."""
        path = Path(self.mktemp())
        for text in ("", "short", "z" * 64):
            path.write_text(text)
            with self.assertRaises(LocalError) as caught:
                readSecretFile(str(path))
            self.assertNotIn("z" * 64, str(caught.exception))
            self.assertEqual(path.read_text(), text)

    def test_unreachable(self) -> None:
        with self.assertRaisesRegex(LocalError, "cannot be read or made.*--secret-file"):
            readSecretFile("/there/is/none")
        with self.assertRaisesRegex(LocalError, "cannot be read"):
            readSecretFile("/")
