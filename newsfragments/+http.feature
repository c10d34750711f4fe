``HTTPPlugin`` speaks ILP over HTTP (RFC 35, synchronous), as ``https://:token@host/path`` or with ``http:`` and its parts; ``HTTPServer`` takes packets for many accounts on one port.
