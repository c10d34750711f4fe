"""Our own processes, killed in the middle of a payment and started again."""

from __future__ import annotations

import json
import time
from pathlib import Path

from processes import InteropTestCase, Process, freePort

PACKET = 1000
PACKETS = 12_000
AMOUNT = PACKET * PACKETS

BEFORE = 1.5
"""Seconds of a payment before somebody is killed."""

AWAY = 0.7
"""Seconds until he is there again."""


class RestartTests(InteropTestCase):
    """A hub, a receiver, and a payer whose packets are small."""

    def setUp(self) -> None:
        super().setUp()
        self.port = freePort()
        self.secret = str(Path(self.mktemp()).resolve())

    def startHub(self) -> Process:
        """The hub, always on the same port."""
        peer = f"payer:token=payer:most={PACKET}"
        return self.hub("--http", "none", "--btp", str(self.port), "--peer", peer)

    def startReceiver(self) -> tuple[Process, str]:
        """The receiver, always with the same secret; gives its credentials."""
        where = f"btp+ws://:receiver@127.0.0.1:{self.port}"
        words = ("receive", "--json", "--plugin", where, "--secret-file", self.secret)
        receiver = self.command(*words)
        return receiver, json.dumps(receiver.hear("credentials")["credentials"])

    def startPayer(self, credentials: str) -> Process:
        """The payer."""
        where = f"btp+ws://:payer@127.0.0.1:{self.port}"
        return self.command("pay", credentials, str(AMOUNT), "--json", "--plugin", where)

    def result(self, payer: Process) -> dict[str, int]:
        """What the payer says in the end."""
        payer.process.wait(120)
        while True:
            line = payer.lines.get(timeout=10)
            if line.startswith("{"):
                result: dict[str, int] = json.loads(line)
                return result

    def test_hub(self) -> None:
        """The payer comes back and finishes; what it sent or doubts covers what arrived."""
        hub = self.startHub()
        receiver, credentials = self.startReceiver()
        payer = self.startPayer(credentials)
        receiver.hear("received")
        time.sleep(BEFORE)
        hub.end(isKilled=True)
        time.sleep(AWAY)
        self.startHub()
        result = self.result(payer)
        receiver.process.terminate()
        received = receiver.hear("ended")["total"]
        print(f"sent {result['sent']}, in doubt {result['inDoubt']}, received {received}")
        self.assertEqual(result["sent"] + result["inDoubt"], AMOUNT)
        self.assertLessEqual(result["sent"], received)
        self.assertLessEqual(received, result["sent"] + result["inDoubt"])
        self.assertEqual(payer.process.returncode, 1 if result["inDoubt"] else 0)

    def test_receiver(self) -> None:
        """The payment goes on after it; the hub credits no more than is sent or in doubt."""
        hub = self.startHub()
        receiver, credentials = self.startReceiver()
        payer = self.startPayer(credentials)
        receiver.hear("received")
        time.sleep(BEFORE)
        receiver.end(isKilled=True)
        time.sleep(AWAY)
        self.startReceiver()
        result = self.result(payer)
        hub.process.terminate()
        accounts = [hub.hear("account") for _ in range(2)]
        balances = {account["name"]: account["balance"] for account in accounts}
        credited = balances.pop("payer") and next(iter(balances.values()))
        print(f"sent {result['sent']}, in doubt {result['inDoubt']}, credited {credited}")
        self.assertEqual(result["sent"] + result["inDoubt"], AMOUNT)
        self.assertGreater(credited, AMOUNT // 2)
        self.assertLessEqual(result["sent"], credited)
        self.assertLessEqual(credited, result["sent"] + result["inDoubt"])
