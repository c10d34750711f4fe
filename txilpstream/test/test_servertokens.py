"""Whose credentials a server takes, and for how long."""

from __future__ import annotations

from base64 import urlsafe_b64encode

from txilpstream.crypto.credentials import Credentials
from txilpstream.crypto.tokens import TokenFormats
from txilpstream.errors import ConnectionEnded
from txilpstream.test.connected import ConnectedTestCase, Recorders

SECRET = bytes(range(32))


class FormatTests(ConnectedTestCase):
    """A server secret that comes from another implementation."""

    def test_otherFormat(self) -> None:
        """Credentials that interledger-rs gave out are good here."""
        self.listen(secret=SECRET, tokenFormats=("stream-receiver", "interledger-rs"))
        text = urlsafe_b64encode(b"q" * 18).decode()
        secret = TokenFormats(SECRET, ("interledger-rs",)).read(text)[1]
        credentials = Credentials(f"test.right.{text}", secret)
        connection = self.after(self.client.connect(credentials), 5)
        near = self.successResultOf(connection.openStream(Recorders()))
        self.assertTrue(self.after(near.transport.sendMoney(10), 5).isComplete)

    def test_notAsked(self) -> None:
        """Unless they are asked for, only our own are."""
        self.listen(secret=SECRET)
        text = urlsafe_b64encode(b"q" * 18).decode()
        secret = TokenFormats(SECRET, ("interledger-rs",)).read(text)[1]
        refused = self.client.connect(Credentials(f"test.right.{text}", secret), timeout=5)
        self.run_(10)
        self.failureResultOf(refused, ConnectionEnded)


class ExpiryTests(ConnectedTestCase):
    """Credentials that expire."""

    def test_expired(self) -> None:
        """No connection begins with them then, and one that began goes on."""
        self.listen()
        now = int(self.right.now())
        credentials = self.server.generateCredentials(expiresAt=now + 3)
        connection = self.after(self.client.connect(credentials), 1)
        near = self.successResultOf(connection.openStream(Recorders()))
        self.run_(5)
        self.assertTrue(self.after(near.transport.sendMoney(10), 5).isComplete)
        late = self.server.generateCredentials(expiresAt=now)
        refused = self.client.connect(late, timeout=5)
        self.run_(10)
        self.failureResultOf(refused, ConnectionEnded)
