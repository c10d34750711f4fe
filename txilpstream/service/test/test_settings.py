"""Tests of C{txilpstream.service.settings}: what a service is told, whoever says it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from txilpstream.errors import LocalError
from txilpstream.service import settings
from txilpstream.service.settings import (
    OPTIONS,
    Settings,
    endpointFor,
    isPlainOutside,
    readAmount,
    readSecretFile,
)
from txilpstream.test.support.virtual import VirtualTestCase


class TextTests(VirtualTestCase):
    """Texts become settings, or are refused in a sentence that names the option."""

    def test_defaults(self) -> None:
        read = Settings.fromTexts({}, {})
        self.assertEqual(read.plugin, "")
        self.assertEqual(read.spsp, "tcp:7770:interface=127.0.0.1")
        self.assertEqual(read.http, "tcp:7771:interface=127.0.0.1")
        self.assertEqual(read.btp, "tcp:7768:interface=127.0.0.1")
        self.assertEqual(read.made.asset, ("USD", 9))
        self.assertIsNone(read.accounts)
        self.assertIsNone(read.limit)

    def test_words(self) -> None:
        texts = {
            "plugin": "memory:x",
            "account": ["alice=100", "bob", "shop/till"],
            "limit": "7",
            "spsp": "none",
            "asset": "EUR/6",
            "secret-file": "/x",
        }
        read = Settings.fromTexts(texts, {})
        self.assertEqual(read.accounts, {"alice": 100, "bob": None, "shop/till": None})
        self.assertEqual((read.plugin, read.limit, read.spsp), ("memory:x", 7, ""))
        self.assertEqual((read.made.asset, read.secretFile), (("EUR", 6), "/x"))

    def test_environment(self) -> None:
        """The environment speaks where the words are silent, one variable for each option."""
        environ = {"TXILPSTREAM_ACCOUNT": "alice bob=5", "TXILPSTREAM_LIMIT": "9"}
        read = Settings.fromTexts({"limit": "3", "account": []}, environ)
        self.assertEqual(read.accounts, {"alice": None, "bob": 5})
        self.assertEqual(read.limit, 3)
        self.assertEqual(Settings.fromTexts({}, {"ILP_PLUGIN": "memory:y"}).plugin, "memory:y")
        self.assertEqual(
            {option.variable for option in OPTIONS if "-" in option.name},
            {"TXILPSTREAM_SECRET_FILE", "TXILPSTREAM_OWN_ASSET"},
        )

    def test_withoutBTP(self) -> None:
        """Without the extra there is no BTP, and who asks for it hears why."""
        self.patch(settings, "hasBTP", lambda: False)
        self.assertEqual(Settings.fromTexts({}, {}).btp, "")
        for texts, environ in (({"btp": "7768"}, {}), ({}, {"TXILPSTREAM_BTP": "0"})):
            with self.assertRaisesRegex(LocalError, r"txilpstream\[btp\]"):
                Settings.fromTexts(texts, environ)

    def test_bad(self) -> None:
        bad: dict[str, list[Any]] = {
            "spsp": ["x", "65536", "-1", ""],
            "http": ["8.5"],
            "btp": ["7_7"],
            "account": [["a b"], ["=5"], ["alice=x"], ["alice=-1"], ["x" * 101], ["a//b"]],
            "limit": ["-1", "1.5", "many", "9" * 21],
            "address": ["nowhere", "test."],
            "asset": ["USD", "USD/", "/9", "USD/256", "U D/2"],
            "own-asset": ["EUR"],
            "price": [["EUR"], ["=1"], ["EUR=0"], ["EUR=x"]],
            "open": ["maybe"],
            "peer": [
                ["a"],
                ["a:b:token=x"],
                ["a b:token=x"],
                ["a:token=x:colour=red"],
                ["a:token=x:minimum=low"],
                ["a:token=x:most=0"],
                ["a:token=x:per-minute=-1"],
                ["a:token=x:asset=EUR"],
            ],
        }
        cases = [(name, text) for name, texts in bad.items() for text in texts]
        for name, text in cases:
            with self.assertRaises(LocalError, msg=f"{name} {text}"):
                Settings.fromTexts({name: text}, {})

    def test_peers(self) -> None:
        """Accounts of the hub's with names; a backslash takes a colon's meaning away."""
        text = "bob:token=s3:asset=EUR/2:minimum=-500:most=9:per-minute=60:routes=g.a,g.b"
        other = r"carol:plugin=memory\:x:minimum=0"
        peers = Settings.fromTexts({"peer": [text, other]}, {}).peers
        self.assertEqual([peer.name for peer in peers], ["bob", "carol"])
        options = peers[0].options
        self.assertEqual((options.asset, options.minimumBalance), (("EUR", 2), -500))
        self.assertEqual((options.maximumPacketAmount, options.packetsPerMinute), (9, 60))
        self.assertEqual((peers[0].token, peers[0].routes), ("s3", ("g.a", "g.b")))
        self.assertEqual((peers[1].plugin, peers[1].options.asset), ("memory:x", ("USD", 9)))

    def test_tokenIsNotShown(self) -> None:
        with self.assertRaises(LocalError) as caught:
            Settings.fromTexts({"peer": ["a:token=s3cr3t:x=y"]}, {})
        self.assertNotIn("s3cr3t", str(caught.exception))

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

    def test_openDoors(self) -> None:
        """A hub for everybody is not open to other machines in plain text unless that is wanted."""
        for endpoint, isRefused in (
            ("tcp:80", True),
            ("tcp:80:interface=0.0.0.0", True),
            ("tcp:80:10.0.0.1", True),
            ("tcp6:80:interface=\\:\\:", True),
            ("haproxy:tcp:80", True),
            ("systemd:domain=INET:index=0", True),
            ("tcp:80:interface=127.0.0.1", False),
            ("tcp:interface=localhost:port=80", False),
            ("tcp6:80:interface=\\:\\:1", False),
            ("ssl:443:privateKey=x", False),
            ("unix:/run/x", False),
        ):
            self.assertEqual(isPlainOutside(endpoint), isRefused, endpoint)
            for name in ("http", "btp"):
                texts = {"http": "none", "btp": "none", name: endpoint}
                if isRefused:
                    with self.assertRaises(LocalError) as caught:
                        Settings.fromTexts(texts, {})
                    self.assertIn(f"--{name} is", str(caught.exception))
                for more in ({"open": "no"}, {"insecure": "yes"}, {"plugin": "memory:x"}):
                    Settings.fromTexts({**texts, **more}, {})
        with self.assertRaises(LocalError):
            Settings.fromTexts({"http": "tcp:80"}, {"ILP_PLUGIN": "memory:x"}).checkDoors()


class SecretTests(VirtualTestCase):
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
