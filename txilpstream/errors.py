"""
The errors of STREAM, each of which says whose fault it is.

What is raised at a caller tells him what to do next. It never shows a secret: an argument that is
of the wrong type may be one, and is only described. A refusal that is part of the protocol's
ordinary life (a reject, a full window) is a value and never one of these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Final, cast

__all__ = [
    "ConnectionEnded",
    "DecodeError",
    "ErrorCode",
    "LocalError",
    "PeerError",
    "RejectSeen",
    "StreamError",
]


class ErrorCode:
    """The codes of StreamClose and ConnectionClose frames (RFC 29 section 5.4)."""

    NO_ERROR = 0x01
    INTERNAL_ERROR = 0x02
    ENDPOINT_BUSY = 0x03
    FLOW_CONTROL_ERROR = 0x04
    STREAM_ID_ERROR = 0x05
    STREAM_STATE_ERROR = 0x06
    FRAME_FORMAT_ERROR = 0x07
    PROTOCOL_VIOLATION = 0x08
    APPLICATION_ERROR = 0x09

    NAMES: Mapping[int, str] = {
        NO_ERROR: "NoError",
        INTERNAL_ERROR: "InternalError",
        ENDPOINT_BUSY: "EndpointBusy",
        FLOW_CONTROL_ERROR: "FlowControlError",
        STREAM_ID_ERROR: "StreamIdError",
        STREAM_STATE_ERROR: "StreamStateError",
        FRAME_FORMAT_ERROR: "FrameFormatError",
        PROTOCOL_VIOLATION: "ProtocolViolation",
        APPLICATION_ERROR: "ApplicationError",
    }


class StreamError(Exception):
    """The root of every error that txilpstream raises on purpose."""


class LocalError(StreamError, ValueError):
    """The caller asked for what STREAM forbids; nothing was changed."""


class DecodeError(StreamError):
    """Bytes are not what they should be; raised only by decoders, most in C{txilpstream.wire}."""


class PeerError(StreamError):
    """
    The peer broke the protocol, or closed with an error of its own.

    @ivar code: the code for the StreamClose or ConnectionClose frame, see L{ErrorCode}.
    """

    def __init__(self, code: int, message: str) -> None:
        name = ErrorCode.NAMES.get(code, f"error 0x{code:02x}")
        super().__init__(f"{name}: {message}" if message else name)
        self.code = code
        self.message = message


@dataclass(slots=True, frozen=True)
class RejectSeen:
    """
    One kind of reject that a sender met, with how often it met it.

    @ivar code: the three-character ILP code, such as C{"T04"}.
    @ivar name: the code's name in RFC 27, or an empty string for an unknown code.
    @ivar triggeredBy: the ILP address that made the reject, as it says itself.
    @ivar message: the reject's message, as the node that made it wrote it.
    @ivar sourceAmount: the amount of the last packet that was answered so, in source units.
    @ivar count: how many packets were answered so.
    """

    code: str
    name: str
    triggeredBy: str
    message: str
    sourceAmount: int
    count: int

    def __str__(self) -> str:
        return (
            f"{self.code} {self.name} x{self.count} by {self.triggeredBy or 'an unnamed node'}"
            f" at amount {self.sourceAmount}: {self.message or 'no message'}"
        )


class ConnectionEnded(StreamError):
    """
    The connection is over: closed by the peer, idle, expired, or its plugin is gone.

    @ivar rejects: every kind of reject that was met, in the order of the first of each.
    """

    def __init__(self, message: str, rejects: tuple[RejectSeen, ...] = ()) -> None:
        lines = "".join(f"\n  {reject}" for reject in rejects)
        super().__init__(f"{message}; rejects met:{lines}" if rejects else message)
        self.message = message
        self.rejects = rejects


_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z+-]{0,15}:")
"""What a plugin's description or a URL begins with; what follows may be a secret."""


def wrongType(name: str, value: object, wanted: str) -> LocalError:
    """
    Make the error for an argument that is of the wrong type.

    @param name: of the argument.
    @param value: what was given; it is described, and shown only where it cannot be a secret.
    @param wanted: what it takes and what to do, as a clause that begins with "it takes".
    """
    if value is None or isinstance(value, bool | int | float):
        given = repr(value)
    elif isinstance(value, str):
        scheme = _SCHEME.match(value)
        given = f"the string '{scheme[0]}...'" if scheme else f"a string of {len(value)} characters"
    elif isinstance(value, bytes | bytearray):
        given = f"{len(value)} octets"
    elif isinstance(value, type):
        given = f"the class {value.__name__}"
    else:
        given = f"of type {type(value).__name__}"
    return LocalError(f"{name} is {given}: {wanted}")


def checkKind(name: str, value: object, kind: Any, wanted: str) -> None:
    """
    @param kind: a class, or several joined by a bar; a bool is no number.
    @raise LocalError: if a value is of another kind; no secret in it is shown.
    """
    if not isinstance(value, kind) or (type(value) is bool and kind is not bool):
        raise wrongType(name, value, f"it takes {wanted}")


def checkSeconds(name: str, seconds: object, most: float = 1e9) -> float:
    """
    @raise LocalError: if it is no number of seconds from 0 to below the most.
    """
    checkKind(name, seconds, Real, "a number of seconds")
    if not 0 <= cast("float", seconds) < most:  # a NaN is refused
        raise LocalError(f"{name} is {seconds}: it must be a number of seconds from 0 to {most:g}")
    return cast("float", seconds)
