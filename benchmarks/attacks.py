"""
What hostile peers do to a listener, each a function that does it once.

All of it goes to a port of this machine, and each attack ends by itself.
"""

from __future__ import annotations

import base64
import os
import socket
import struct
import time
from dataclasses import dataclass

SHORT = 0.3
"""Seconds that an attacker waits for an answer which he does not want."""


@dataclass
class Target:
    """
    Where to.

    @ivar until: when the attack is over, on the monotonic clock.
    """

    port: int
    until: float

    def connect(self) -> socket.socket:
        """Open a connection."""
        made = socket.create_connection(("127.0.0.1", self.port), 5)
        made.settimeout(SHORT)
        return made

    def send(self, *parts: bytes) -> bytes:
        """Send something on a connection of its own; gives what comes back soon."""
        with self.connect() as made:
            for part in parts:
                made.sendall(part)
            try:
                return made.recv(4096)
            except TimeoutError:
                return b""

    @property
    def isOver(self) -> bool:
        """Whether it is time to go."""
        return time.monotonic() >= self.until


def manyConnections(target: Target) -> None:
    """Open a thousand connections and say nothing."""
    held = []
    try:
        for _ in range(1000):
            if target.isOver:
                break
            held.append(target.connect())
        time.sleep(SHORT)
    finally:
        for made in held:
            made.close()


def noise(target: Target) -> None:
    """Octets without meaning."""
    target.send(os.urandom(20_000))


def slowly(target: Target) -> None:
    """A head that never ends, an octet at a time, on many connections."""
    held = [target.connect() for _ in range(50)]
    try:
        for octet in b"POST / HTTP/1.1\r\nHost: x\r\n":
            for made in held:
                made.sendall(bytes([octet]))
            time.sleep(0.02)
            if target.isOver:
                return
    finally:
        for made in held:
            made.close()


def longHead(target: Target) -> None:
    """A head of megabytes."""
    lines = b"".join(b"X-%d: %b\r\n" % (number, b"y" * 1000) for number in range(2000))
    target.send(b"GET / HTTP/1.1\r\n", lines)


def _post(headers: bytes, body: bytes, token: bytes = b"payer") -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n%b\r\n%b" % (
        token,
        headers,
        body,
    )


_OCTETS = b"Content-Type: application/octet-stream\r\n"


def largeBody(target: Target) -> None:
    """A body of a gigabyte, announced and begun."""
    target.send(_post(_OCTETS + b"Content-Length: 1000000000\r\n", b"x" * 1_000_000))


def largeChunks(target: Target) -> None:
    """The same without saying how long it is."""
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    target.send(_post(_OCTETS + b"Transfer-Encoding: chunked\r\n", chunk * 16))


def wrongType(target: Target) -> None:
    """A body of another kind."""
    target.send(_post(b"Content-Type: text/html\r\nContent-Length: 3\r\n", b"abc"))


def wrongToken(target: Target) -> None:
    """Tokens that are guessed, many on one connection."""
    with target.connect() as made:
        for number in range(50):
            guess = b"guess-%d" % number
            made.sendall(_post(_OCTETS + b"Content-Length: 3\r\n", b"abc", guess))
        made.recv(4096)


def noPacket(target: Target) -> None:
    """A good token, and a body that is no packet."""
    target.send(_post(_OCTETS + b"Content-Length: 300\r\n", os.urandom(300)))


def halfBody(target: Target) -> None:
    """A body that stops half way."""
    target.send(_post(_OCTETS + b"Content-Length: 300\r\n", b"\x0c\x82"))


def _upgrade(more: bytes = b"") -> bytes:
    key = base64.b64encode(os.urandom(16))
    return (
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n%b\r\n" % (key, more)
    )


def _frame(payload: bytes, opcode: int = 2, *, isLast: bool = True, length: int = -1) -> bytes:
    size = len(payload) if length < 0 else length
    first = (0x80 if isLast else 0) | opcode
    if size < 126:
        head = struct.pack(">BB", first, 0x80 | size)
    elif size < 65536:
        head = struct.pack(">BBH", first, 0xFE, size)
    else:
        head = struct.pack(">BBQ", first, 0xFF, size)
    return head + bytes(4) + payload


def _octets(value: bytes) -> bytes:
    size = len(value)
    return (bytes([size]) if size < 128 else struct.pack(">BH", 0x82, size)) + value


def _btp(kind: int, requestID: int, entries: list[tuple[bytes, int, bytes]]) -> bytes:
    data = b"\x01" + bytes([len(entries)])
    for name, contentType, value in entries:
        data += _octets(name) + bytes([contentType]) + _octets(value)
    return struct.pack(">BI", kind, requestID) + _octets(data)


def _login(token: bytes) -> bytes:
    entries = [(b"auth", 0, b""), (b"auth_username", 1, b""), (b"auth_token", 1, token)]
    return _frame(_btp(6, 1, entries))


def withOrigin(target: Target) -> None:
    """A page in a browser."""
    target.send(_upgrade(b"Origin: http://evil.example\r\n"))


def silent(target: Target) -> None:
    """Connections that never say who they are."""
    held = [target.connect() for _ in range(100)]
    try:
        for made in held:
            made.sendall(_upgrade())
        time.sleep(SHORT)
    finally:
        for made in held:
            made.close()


def guess(target: Target) -> None:
    """A token that is none."""
    target.send(_upgrade(), _login(b"guess"))


def packetsFirst(target: Target) -> None:
    """A packet before saying who one is."""
    target.send(_upgrade(), _frame(_btp(6, 2, [(b"ilp", 0, os.urandom(200))])))


def largeFrame(target: Target) -> None:
    """A frame of exabytes, announced and begun."""
    target.send(_upgrade(), _frame(bytes(500_000), length=1 << 62))


def fragments(target: Target) -> None:
    """A message of small fragments without end."""
    piece = _frame(bytes(1000), 0, isLast=False)
    target.send(_upgrade(), _frame(b"x", isLast=False), piece * 1000)


def emptyFragments(target: Target) -> None:
    """Fragments of nothing."""
    piece = _frame(b"", 0, isLast=False)
    target.send(_upgrade(), _frame(b"x", isLast=False), piece * 20_000)


def text(target: Target) -> None:
    """Text."""
    target.send(_upgrade(), _frame(b"hello", 1))


def pings(target: Target) -> None:
    """A flood of pings whose answers nobody reads."""
    with target.connect() as made:
        made.sendall(_upgrade() + _login(b"evil"))
        for _ in range(200):
            made.sendall(_frame(b"x" * 100, 9) * 100)


def unasked(target: Target) -> None:
    """Answers to what was never asked, and Errors, and Transfers, from a peer who may come."""
    answer = [(b"ilp", 0, os.urandom(200))]
    frames = b"".join(
        _frame(_btp(kind, number, answer)) for number in range(100) for kind in (1, 2, 7)
    )
    target.send(_upgrade(), _login(b"evil"), frames)


def sameRequest(target: Target) -> None:
    """One request id a hundred times."""
    frame = _frame(_btp(6, 7, [(b"ilp", 0, os.urandom(200))]))
    target.send(_upgrade(), _login(b"evil"), frame * 100)


def neverReads(target: Target) -> None:
    """Thousands of requests whose answers nobody reads."""
    with target.connect() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.sendall(_upgrade() + _login(b"evil"))
        packet = os.urandom(1000)
        for number in range(5000):
            made.sendall(_frame(_btp(6, number + 10, [(b"ilp", 0, packet)])))
            if target.isOver:
                return


def malformed(target: Target) -> None:
    """BTP that is none, from a peer who may come."""
    target.send(_upgrade(), _login(b"evil"), _frame(os.urandom(300)))


HTTP_ATTACKS = [
    manyConnections,
    noise,
    slowly,
    longHead,
    largeBody,
    largeChunks,
    wrongType,
    wrongToken,
    noPacket,
    halfBody,
]

BTP_ATTACKS = [
    manyConnections,
    noise,
    slowly,
    longHead,
    withOrigin,
    silent,
    guess,
    packetsFirst,
    largeFrame,
    fragments,
    emptyFragments,
    text,
    pings,
    unasked,
    sameRequest,
    neverReads,
    malformed,
]
