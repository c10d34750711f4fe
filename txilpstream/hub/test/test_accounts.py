"""Tests of C{txilpstream.hub.accounts}: what may be said of a hub's account."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.errors import LocalError
from txilpstream.hub.accounts import AccountOptions, HubAccount


class OptionsTests(SynchronousTestCase):
    """Each limit names what it got and what it takes."""

    def test_bad(self) -> None:
        bad: list[dict[str, Any]] = [
            {"assetCode": ""},
            {"assetCode": "x" * 101},
            {"assetCode": "a\nb"},
            {"assetCode": 5},
            {"assetScale": 256},
            {"assetScale": 1.0},
            {"maximumPacketAmount": 0},
            {"minimumBalance": 0.5},
            {"minimumBalance": 1},
            {"packetsPerMinute": 0},
        ]
        for options in bad:
            with self.assertRaisesRegex(LocalError, next(iter(options))):
                AccountOptions(**options)

    def test_names(self) -> None:
        for name in ("", "a.b", "a b", "x" * 101):
            with self.assertRaisesRegex(LocalError, "no name"):
                HubAccount(name, "test.hub.x", AccountOptions())
