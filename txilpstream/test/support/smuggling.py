"""
Requests that two readers may read differently, so that one of them finds a second request where
the other sees a body (request smuggling); and answers of that kind.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ANSWERS", "REQUESTS"]

_HEAD: Final = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\n"
_CHUNK: Final = b"1\r\nx\r\n0\r\n\r\n"
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"

_BODIES: Final = (
    b"2\nhi\r\n0\r\n\r\n",
    b"2\r\nhi\n0\r\n\r\n",
    b"2\r\nhi!\r\n0\r\n\r\n",
    b"0x2\r\nhi\r\n0\r\n\r\n",
    b"+2\r\nhi\r\n0\r\n\r\n",
    b"-1\r\nhi\r\n0\r\n\r\n",
    b"2 \r\nhi\r\n0\r\n\r\n",
    b"g\r\n",
    b"\r\n0\r\n\r\n",
    b"2;\n\r\nhi\r\n0\r\n\r\n",
    b"10000000000000002\r\nhi\r\n0\r\n\r\n",
)

REQUESTS: Final = (
    # Two lengths, or a length beside chunks.
    _HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    _HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
    _HEAD + b"Content-Length: 1, 1\r\n\r\nx",
    _HEAD + b"Content-Length: 11\r\n" + _CHUNKED + b"\r\n" + _CHUNK,
    _HEAD + _CHUNKED + b"Content-Length: 11\r\n\r\n" + _CHUNK,
    _HEAD + _CHUNKED + b"content-length: 1\r\n\r\n" + _CHUNK,
    # Lengths that are none.
    _HEAD + b"Content-Length: +1\r\n\r\nx",
    _HEAD + b"Content-Length: -1\r\n\r\nx",
    _HEAD + b"Content-Length: 0x1\r\n\r\nx",
    _HEAD + b"Content-Length: 1 1\r\n\r\nx",
    _HEAD + b"Content-Length: 1;\r\n\r\nx",
    _HEAD + b"Content-Length: 1.0\r\n\r\nx",
    _HEAD + b"Content-Length:\r\n\r\n",
    _HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    _HEAD + b"Content-Length: 18446744073709551617\r\n\r\nx",
    # Transfer codings that one knows and another does not.
    _HEAD + b"Transfer-Encoding: identity\r\n\r\n" + _CHUNK,
    _HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n" + _CHUNK,
    _HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + _CHUNK,
    _HEAD + b"Transfer-Encoding: xchunked\r\n\r\n" + _CHUNK,
    _HEAD + b"Transfer-Encoding: chunked;a=b\r\n\r\n" + _CHUNK,
    _HEAD + b'Transfer-Encoding: "chunked"\r\n\r\n' + _CHUNK,
    _HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + _CHUNK,
    _HEAD + _CHUNKED + b"Transfer-Encoding: identity\r\n\r\n" + _CHUNK,
    # Names and lines that one repairs.
    _HEAD + b"Transfer-Encoding : chunked\r\n\r\n" + _CHUNK,
    _HEAD + b"Content-Length : 1\r\n\r\nx",
    _HEAD + b" Content-Length: 1\r\n\r\nx",
    _HEAD + b"\tContent-Length: 1\r\n\r\nx",
    _HEAD + b"X: a\r\n Content-Length: 1\r\n\r\nx",
    _HEAD + b"X: a\r\n\tfolded\r\n\r\n",
    _HEAD + b"X: a\nContent-Length: 1\r\n\r\nx",
    _HEAD + b"X: a\rContent-Length: 1\r\n\r\nx",
    _HEAD + b"X: a\x00b\r\n\r\n",
    _HEAD + b"Content\x00-Length: 1\r\n\r\nx",
    _HEAD + b"Content-Length\r\n\r\n",
    _HEAD + b": 1\r\n\r\n",
    b"POST /a HTTP/1.1\nHost: a\nContent-Length: 1\n\nx",
    _HEAD + b"Content-Length: 1\r\n\nx",
    # Hosts, request lines and versions.
    _HEAD + b"Host: b\r\n\r\n",
    b"POST /a HTTP/1.1\r\n\r\n",
    b"POST /a HTTP/1.1\r\n Host: a\r\n\r\n",
    b"post /a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /a HTTP/3.1\r\nHost: a\r\n\r\n",
    b"POST /a HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /a\r\nHost: a\r\n\r\n",
    b"POST /a HTTP/0.9\r\nHost: a\r\n\r\n",
    b"POST /a HTTP/2.0\r\nHost: a\r\n\r\n",
    b"POST /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST \x01/a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01",
    *(_HEAD + _CHUNKED + b"\r\n" + body for body in _BODIES),
)
"""Each must end its connection and be seen by nobody, nor what comes after it."""

_OK: Final = b"HTTP/1.1 200 OK\r\n"

ANSWERS: Final = (
    _OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
    _OK + b"Content-Length: 11\r\n" + _CHUNKED + b"\r\n" + _CHUNK,
    _OK + b"Content-Length: -1\r\n\r\nx",
    _OK + b"Content-Length: 1 1\r\n\r\nx",
    _OK + b"Content-Length: 18446744073709551617\r\n\r\nx",
    _OK + b"X: a\r\n folded\r\nContent-Length: 1\r\n\r\nx",
    _OK + b"Content-Length : 1\r\n\r\nx",
    b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
    b"HTTP/1.1 20 OK\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/3.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    b"ICY 200 OK\r\nContent-Length: 1\r\n\r\nx",
    *(_OK + _CHUNKED + b"\r\n" + body for body in _BODIES),
)
"""None of them is an answer."""
