"""
The one WebSocket frame that is sent all the time: a whole binary message (RFC 6455 section 5.2).

This module writes it as C{wsproto} does, at a quarter of the cost; all other frames, and all that
are received, are C{wsproto}'s.
"""

from __future__ import annotations

from typing import Final

__all__ = ["encodeBinary"]

_XOR: Final = [bytes(octet ^ key for octet in range(256)) for key in range(256)]
"""For each octet of a masking key, what becomes of every octet."""


def encodeBinary(data: bytes, maskingKey: bytes = b"") -> bytes:
    """
    Write a whole binary message as one frame.

    @param maskingKey: four octets, unpredictable and used once, from a client; from a server none.
    """
    length = len(data)
    bit = 128 if maskingKey else 0
    if length < 126:
        head = b"\x82%c" % (bit | length)
    elif length < 65536:
        head = b"\x82%c%c%c" % (bit | 126, length >> 8, length & 255)
    else:
        head = b"\x82%c%b" % (bit | 127, length.to_bytes(8, "big"))
    if not maskingKey:
        return head + data
    masked = bytearray(data)
    for offset, key in enumerate(maskingKey):
        masked[offset::4] = masked[offset::4].translate(_XOR[key])
    return head + maskingKey + masked
