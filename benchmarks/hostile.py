"""
What hostile traffic costs a receiver: its memory, and the payment that runs beside it.

The receiver is C{txilpstream serve} in a process of its own, with closed doors. A payment is made
in peace; then, while attackers of every kind below do their worst for a minute, payments are made
one after the other. What is attacked is on this machine and was started here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attacks import BTP_ATTACKS, HTTP_ATTACKS, Target
from measure import Figure, readOptions, show

PACKET = 1000
MOST_GROWTH = 20.0
"""MiB that the receiver's memory may grow by."""


class Receiver:
    """The process that is attacked."""

    def __init__(self, folder: str) -> None:
        words = ["--spsp=0", "--http=0", "--btp=0", "--open=no", "--json", "--secret-file"]
        words += [str(Path(folder) / "secret"), "--peer", f"payer:token=payer:most={PACKET}"]
        words += ["--peer", "evil:token=evil:minimum=0"]
        self.errors = open(Path(folder) / "errors", "w")  # noqa: SIM115 - it is open to the end
        self.process = subprocess.Popen(
            [sys.executable, "-m", "txilpstream", "serve", *words],
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.total = 0
        self.ports: dict[str, int] = {}
        ready = threading.Event()
        threading.Thread(target=self._read, args=(ready,), daemon=True).start()
        assert ready.wait(60), "the receiver did not start"

    def _read(self, ready: threading.Event) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            if said["event"] == "listening":
                self.ports = {
                    kind: int(where.rpartition(":")[2]) for kind, where in said["ports"].items()
                }
                ready.set()
            elif said["event"] == "ended":
                self.total = said["total"]

    def memory(self) -> float:
        """What it holds, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def files(self) -> int:
        """How many files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(60)
        self.errors.close()


def payOnce(receiver: Receiver, packets: int) -> tuple[float, int]:
    """Make a payment; gives packets per second and what was sent."""
    words = [f"http://127.0.0.1:{receiver.ports['spsp']}/alice", str(PACKET * packets), "--json"]
    words += ["--plugin", f"btp+ws://:payer@127.0.0.1:{receiver.ports['btp']}"]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "txilpstream", "pay", *words], capture_output=True, check=False
    )
    result: dict[str, Any] = json.loads(done.stdout)
    if result["inDoubt"] or not result["isComplete"]:
        raise AssertionError(f"a payment beside the attackers failed: {result}")
    return packets / (time.monotonic() - began), int(result["sent"])


def attack(receiver: Receiver, until: float) -> tuple[list[threading.Thread], dict[str, int]]:
    """Begin every attack, each in a thread that repeats it until its time is over."""
    counts: dict[str, int] = {}
    threads = []

    def repeat(name: str, attack: Callable[[Target], None], target: Target) -> None:
        while time.monotonic() < until:
            try:
                attack(target)
            except OSError:
                pass  # whatever the receiver does to an attacker is well done
            counts[name] = counts.get(name, 0) + 1
            time.sleep(0.02)

    for kind, attacks in (("http", HTTP_ATTACKS), ("btp", BTP_ATTACKS)):
        target = Target(receiver.ports[kind], until)
        for each in attacks:
            name = f"{kind}: {each.__name__}"
            threads.append(threading.Thread(target=repeat, args=(name, each, target)))
            threads[-1].start()
    return threads, counts


def main() -> None:
    """Attack, and say what came of it."""
    options = readOptions(__doc__ or "")
    seconds = options.count(60, 5)
    packets = options.count(10_000, 1000)
    with tempfile.TemporaryDirectory() as folder:
        receiver = Receiver(folder)
        calm, sent = payOnce(receiver, packets)
        before, most = receiver.memory(), 0.0
        threads, counts = attack(receiver, time.monotonic() + seconds)
        speeds = []
        watching = threading.Event()

        def watch() -> None:
            nonlocal most
            while not watching.wait(0.1):
                most = max(most, receiver.memory())

        watcher = threading.Thread(target=watch)
        watcher.start()
        while any(thread.is_alive() for thread in threads):
            speed, amount = payOnce(receiver, packets)
            speeds.append(speed)
            sent += amount
        watching.set()
        watcher.join()
        after = receiver.memory()
        receiver.close()
        logged = (Path(folder) / "errors").stat().st_size
        if receiver.total != sent:
            raise AssertionError(f"{sent} units were sent, {receiver.total} received")
    beside = sorted(speeds)[len(speeds) // 2]
    figures = [
        Figure("seconds of hostile traffic", seconds, "s"),
        Figure("attacks begun", sum(counts.values()), ""),
        Figure("memory in peace", before, "MiB"),
        Figure("growth, at the most", most - before, "MiB", MOST_GROWTH),
        Figure("growth, at the end", after - before, "MiB", MOST_GROWTH),
        Figure("log written", logged / 1024, "KiB"),
        Figure("payment in peace, its process included", calm, "packets/s"),
        Figure("payment beside attackers", beside, "packets/s"),
        Figure("payments beside attackers, none missing a unit", len(speeds), ""),
    ]
    show(figures, options, f"{len(counts)} kinds of attack at once")
    if not all(figure.holds is not False for figure in figures):
        sys.exit(1)


main()
