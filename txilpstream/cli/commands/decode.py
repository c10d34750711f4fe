"""
The command C{txilpstream decode}: shows what is in an ILP packet and in the STREAM packet in it.

An input is binary, hex or base64, and a packet that is wrong is shown as far as it can be read.
What a terminal could take for a command is escaped, and no secret is repeated in an error.
"""

from __future__ import annotations

import binascii
import json
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import fields
from typing import Final, TextIO

from txilpstream.cli.run import complain
from txilpstream.crypto.keys import SECRET_LENGTH, SessionKeys, conditionOf
from txilpstream.crypto.receipts import decodeReceipt
from txilpstream.errors import DecodeError, ErrorCode
from txilpstream.logs import withoutSecrets
from txilpstream.wire import ilp
from txilpstream.wire.frames import FRAME_TYPES, Frame, StreamReceipt, decodeFrames
from txilpstream.wire.oer import readVarOctets, readVarUInt
from txilpstream.wire.packet import (
    FULFILL,
    PREPARE,
    REJECT,
    VERSION,
    StreamPacket,
    decodeHeader,
    decodePacket,
)

__all__ = [
    "SUMMARY",
    "Tree",
    "addArguments",
    "asLines",
    "asPlain",
    "inspectPacket",
    "inspectStreamPacket",
    "readPacket",
    "readStreamPacket",
    "run",
]

SUMMARY: str = "show what is in an ILP packet and in the STREAM packet that it carries"

_MAX_INPUT: Final = 1 << 20
"""Octets: many times the largest packet (33 kB), however it is written."""

Tree = Mapping[str, object]
"""Names and values in the order to show them; a value is a leaf, a tree, or a list of trees."""

_PACKET_TYPES: Final = {PREPARE: "Prepare", FULFILL: "Fulfill", REJECT: "Reject"}

_FRAME_NAMES: Final = {
    number: frame.__name__.replace("ID", "Id") for number, frame in FRAME_TYPES.items()
}
"""The frames as RFC 29 and RFC 39 call them."""

_HEX: Final = re.compile(rb"(?:0[xX])?([0-9A-Fa-f]+)")
_BASE64: Final = re.compile(rb"([A-Za-z0-9+/_-]+)={0,2}")

_SHOWN_OCTETS: Final = 32
"""How many octets of a long field stand in the text for people; JSON has them all."""


def addArguments(parser: ArgumentParser) -> None:
    """Say which options there are."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--secret",
        type=_secret,
        metavar="HEX",
        help="the connection's shared secret, 64 hex digits, which opens the STREAM packet",
    )
    kind.add_argument(
        "--stream", action="store_true", help="the input is a STREAM packet that is not encrypted"
    )
    parser.add_argument(
        "file",
        nargs="?",
        default="-",
        metavar="FILE",
        help="one packet, binary or as hex or base64; '-', the default, is standard input",
    )


def _secret(text: str) -> bytes:
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        raise ArgumentTypeError("the secret is not made of hex digits") from None
    if len(secret) != SECRET_LENGTH:
        raise ArgumentTypeError(
            f"the secret has {len(secret)} octets: it must have {SECRET_LENGTH}, in hex"
        )
    return secret


def run(options: Namespace, stdout: TextIO, stderr: TextIO) -> int:
    """
    Do what the options say.

    @return: the exit status: 0, 1 if the input is no packet, 2 if it cannot be read.
    """
    try:
        octets = _readInput(options.file)
    except OSError as error:
        name = "standard input" if options.file == "-" else repr(options.file)
        if withoutSecrets(name, isPath=True) != name:  # nor does what is like a packet stand here
            name = "the file; packets and secrets are no file names"
        stderr.write(f"txilpstream decode: cannot read {name}: {error.strerror or error}\n")
        return 2
    try:
        tree = _inspect(octets, options)
    except DecodeError as error:
        complain(stderr, "decode", error)
        return 1
    if options.json:
        stdout.write(json.dumps(asPlain(tree)) + "\n")
        return 0
    # What the output's encoding cannot write is escaped instead of ending the command.
    encoding = stdout.encoding or "utf-8"
    for line in asLines(tree):
        stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    return 0


def _readInput(name: str) -> bytes:
    if name == "-":
        if sys.stdin is None:
            raise OSError("it is closed")
        return sys.stdin.buffer.read(_MAX_INPUT + 1)
    with open(name, "rb") as file:
        return file.read(_MAX_INPUT + 1)


def _inspect(octets: bytes, options: Namespace) -> Tree:
    if len(octets) > _MAX_INPUT:
        raise DecodeError(f"the input is longer than {_MAX_INPUT} octets: no packet is so long")
    if options.stream:
        return inspectStreamPacket(readStreamPacket(octets))
    return inspectPacket(readPacket(octets), options.secret)


# --- Reading ---------------------------------------------------------------------------------


def readPacket(octets: bytes) -> bytes:
    """
    Find the ILP packet in an input that is binary, hex or base64.

    Hex may have white space in it and C{0x} before it; base64 may be the URL's, with padding or
    without. They are told apart by the packet's first octet, which in hex is C{0c}, C{0d} or
    C{0e} and in base64 always a C{D}: no text can be both. Only what is no such text is binary.

    @raise DecodeError: if no reading begins as an ILP packet does.
    """
    return _read(octets, "an ILP packet", (PREPARE, FULFILL, REJECT))


def readStreamPacket(octets: bytes) -> bytes:
    """
    The same for a STREAM packet that is not encrypted.

    @raise DecodeError: if no reading begins as a STREAM packet does.
    """
    return _read(octets, "a STREAM packet", (VERSION,))


def _readings(octets: bytes) -> dict[str, bytes]:
    """Every way to read an input, the surest first."""
    readings = {}
    text = b"".join(octets.split())
    found = _HEX.fullmatch(text)
    if found and len(found[1]) % 2 == 0:
        readings["hex"] = bytes.fromhex(found[1].decode("ascii"))
    found = _BASE64.fullmatch(text)
    if found:
        standard = found[1].translate(bytes.maketrans(b"-_", b"+/"))
        try:
            readings["base64"] = b64decode(standard + b"=" * (-len(standard) % 4))
        except binascii.Error:  # one character more than a multiple of four
            pass
    readings["binary"] = octets
    return readings


def _read(octets: bytes, kind: str, first: tuple[int, ...]) -> bytes:
    readings = _readings(octets)
    for packet in readings.values():
        if packet and packet[0] in first:
            return packet
    if not octets.strip():
        raise DecodeError("the input is empty")
    expected = " or ".join(f"{octet:02x}" for octet in first)
    raise DecodeError(
        f"the input, read as {' or '.join(readings)}, is not {kind}: that begins with {expected}"
    )


# --- Taking apart ----------------------------------------------------------------------------


def inspectPacket(octets: bytes, sharedSecret: bytes | None = None) -> Tree:
    """
    Take an ILP packet apart.

    @param sharedSecret: 32 octets, to open the STREAM packet in the data.
    @raise DecodeError: if the octets are no ILP packet. A STREAM packet in it that is not valid
        is shown as such.
    @raise LocalError: if the secret has not 32 octets.
    """
    packet = ilp.decode(octets)
    keys = None if sharedSecret is None else SessionKeys(sharedSecret)
    tree: dict[str, object]
    if isinstance(packet, ilp.Prepare):
        packetType = PREPARE
        tree = {
            "amount": packet.amount,
            "expiresAt": _isoTime(packet.timestamp),
            "executionCondition": packet.executionCondition,
            "destination": packet.destination,
            "data": packet.data,
        }
        if keys:
            condition = conditionOf(keys.fulfillment(packet.data))
            tree["isFulfillable"] = condition == packet.executionCondition
    elif isinstance(packet, ilp.Fulfill):
        packetType = FULFILL
        tree = {
            "fulfillment": packet.fulfillment,
            "fulfilledCondition": conditionOf(packet.fulfillment),
            "data": packet.data,
        }
    else:
        packetType = REJECT
        tree = _inspectReject(packet)
    if keys:
        plain = keys.open(packet.data)
        tree["isOpened"] = plain is not None
        if plain is not None:
            tree["streamPacket"] = _inspectOpened(plain, packetType)
    return {"type": _PACKET_TYPES[packetType], **tree}


def _isoTime(timestamp: bytes) -> str:
    """The 17 digits of the wire in the form of ISO 8601, leap seconds included."""
    digits = timestamp.decode("ascii")
    date = f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}"
    return f"{date}T{digits[8:10]}:{digits[10:12]}:{digits[12:14]}.{digits[14:]}Z"


def _inspectReject(packet: ilp.Reject) -> dict[str, object]:
    tree: dict[str, object] = {
        "code": packet.code,
        "name": ilp.ERROR_NAMES.get(packet.code, ""),
        "triggeredBy": packet.triggeredBy,
        "message": packet.message,
        "data": packet.data,
    }
    amounts = ilp.decodeAmountTooLarge(packet.data) if packet.code == "F08" else None
    if amounts is not None:
        tree["receivedAmount"] = amounts.receivedAmount
        tree["maximumAmount"] = amounts.maximumAmount
    return tree


def _inspectOpened(plain: bytes, packetType: int) -> Tree:
    try:
        header = decodeHeader(plain)
    except DecodeError as error:
        return {"error": str(error), "octets": plain}
    # RFC 29 section 5.2: what travels in a packet of another type is to be discarded.
    fits = {"isInRightPacket": header.packetType == packetType}
    try:
        return {**_inspectStream(plain), **fits}
    except DecodeError as error:
        return {**_inspectHeader(header), **fits, "error": str(error), "octets": plain}


def _inspectHeader(packet: StreamPacket) -> dict[str, object]:
    return {
        "version": VERSION,
        "sequence": packet.sequence,
        "packetType": _PACKET_TYPES[packet.packetType],
        "prepareAmount": packet.prepareAmount,
    }


def inspectStreamPacket(octets: bytes) -> Tree:
    """
    Take an unencrypted STREAM packet apart; frames of unknown type and junk data are shown too.

    @raise DecodeError: if the octets are none.
    """
    return {"type": "StreamPacket", **_inspectStream(octets)}


def _inspectStream(octets: bytes) -> dict[str, object]:
    tree = _inspectHeader(decodePacket(octets))
    end = len(octets)
    _, pos = readVarUInt(octets, 2, end)
    _, pos = readVarUInt(octets, pos, end)
    count, pos = readVarUInt(octets, pos, end)
    trees = []
    for _ in range(count):
        known, after = decodeFrames(octets, pos, 1)
        if known:
            trees.append(_inspectFrame(known[0]))
        else:
            contents, _ = readVarOctets(octets, pos + 1, end)
            trees.append({"type": f"Unknown 0x{octets[pos]:02x}", "contents": contents})
        pos = after
    tree["frames"] = trees
    if pos < end:
        tree["junkData"] = octets[pos:]
    return tree


def _inspectFrame(frame: Frame) -> dict[str, object]:
    tree: dict[str, object] = {"type": _FRAME_NAMES[frame.type]}
    for field in fields(frame):
        value = getattr(frame, field.name)
        tree[field.name] = value
        if field.name == "errorCode":
            tree["errorName"] = ErrorCode.NAMES.get(value, "")
    if isinstance(frame, StreamReceipt):
        try:
            receipt = decodeReceipt(frame.receipt)
        except DecodeError as error:
            tree["error"] = str(error)
        else:
            tree["receiptNonce"] = receipt.nonce
            tree["receiptStreamID"] = receipt.streamID
            tree["totalReceived"] = receipt.totalReceived
    return tree


# --- Showing ---------------------------------------------------------------------------------


def asPlain(value: object) -> object:
    """A tree as JSON can write it: octets become hex, numbers stay whole numbers."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {name: asPlain(child) for name, child in value.items()}
    if isinstance(value, list):
        return [asPlain(child) for child in value]
    return value


def asLines(tree: Tree) -> list[str]:
    """
    A tree as lines for people, branches drawn with ASCII characters.

    Long octets are shortened, and what a terminal could take for a command is escaped.
    """
    title = tree.get("type")
    children = [(name, value) for name, value in tree.items() if name != "type"]
    lines = [] if title is None else [str(title)]
    for index, (name, value) in enumerate(children):
        isLast = index == len(children) - 1
        first, *rest = _asBranch(name, value)
        lines.append(("`-- " if isLast else "|-- ") + first)
        lines.extend(("    " if isLast else "|   ") + line for line in rest)
    return lines


def _asBranch(name: str, value: object) -> list[str]:
    if isinstance(value, Mapping):
        title = value.get("type")
        rest = asLines(value)
        return [name, *rest] if title is None else [f"{name}: {rest[0]}", *rest[1:]]
    if isinstance(value, list):
        branches = {str(index): tree for index, tree in enumerate(value, 1)}
        return [f"{name}: {len(value)}", *asLines(branches)]
    return [f"{name}: {_asText(value)}".rstrip()]


def _asText(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, bytes):
        head = value[:_SHOWN_OCTETS]
        more = "..." if len(value) > _SHOWN_OCTETS else ""
        text = head.decode("ascii", "replace")
        quoted = f' "{text}{more}"' if head.isascii() and head and text.isprintable() else ""
        return f"{len(value)} octet{'' if len(value) == 1 else 's'} {head.hex()}{more}{quoted}"
    text = str(value)
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
