"""The one WebSocket frame that is sent all the time."""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage

from txilpstream.plugins.binaryframe import encodeBinary
from txilpstream.test.support import forAll

datas = st.one_of(
    st.binary(max_size=300),
    st.sampled_from([0, 125, 126, 255, 256, 65535, 65536, 70001]).map(lambda size: b"ab" * size),
)


class BinaryTests(SynchronousTestCase):
    """It is what C{wsproto} writes and reads."""

    @forAll(datas)
    def test_server(self, data: bytes) -> None:
        written = Connection(ConnectionType.SERVER).send(BytesMessage(data))
        self.assertEqual(encodeBinary(data), bytes(written))

    @forAll(datas, st.binary(min_size=4, max_size=4))
    def test_client(self, data: bytes, key: bytes) -> None:
        reader = Connection(ConnectionType.SERVER)
        reader.receive_data(encodeBinary(data, key) + encodeBinary(b"next", key))
        joined: list[bytes] = [b""]
        for event in reader.events():
            assert isinstance(event, BytesMessage)
            joined[-1] += event.data
            if event.message_finished:
                joined.append(b"")
        self.assertEqual(joined, [data, b"next", b""])
