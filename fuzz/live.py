"""
The layers that live: a session, a server, a socket of BTP, made anew for each input.

What they may raise is nothing. What they credit is what they fulfilled, with a preimage that fits.
"""

from __future__ import annotations

from typing import Final

from fuzzing import require
from hostile import amountFulfilled
from layers import ADDRESS, BTP, FRAMES, ILP, KEYS, NOW, PLAIN, SECRET, Layer
from tokenlayers import READER
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from wsproto import ConnectionType, WSConnection
from wsproto.events import BytesMessage, Ping, Request, TextMessage

from txilpstream.crypto.keys import SessionKeys, conditionOf
from txilpstream.plugins.btp.link import BTPLink
from txilpstream.plugins.btp.websocket import ServerWebSocket
from txilpstream.plugins.memory import memoryPair
from txilpstream.session.configuration import SessionConfiguration
from txilpstream.session.events import MoneyReceived, StreamOpened
from txilpstream.session.session import Session
from txilpstream.test.support.connected import Recorder, Recorders
from txilpstream.test.support.sockets import Owner, RawTransport
from txilpstream.transport.account import Account
from txilpstream.transport.server import StreamServer
from txilpstream.wire.ilp import (
    Fulfill,
    Prepare,
    decodePrepare,
    decodeReply,
    encodeFulfill,
    encodePrepare,
    encodeReject,
    encodeTimestamp,
)
from txilpstream.wire.packet import FULFILL, REJECT, encodePacket

CONFIGURATION: Final = SessionConfiguration(isServer=True, sourceAddress=ADDRESS)
_LATER: Final = encodeTimestamp(NOW + 30)


def checkSession(octets: bytes) -> None:
    """A peer that has the key says anything; money is credited as it is fulfilled."""
    session = Session(CONFIGURATION, KEYS, bytes)
    data = KEYS.seal(octets, bytes(12))
    condition = conditionOf(KEYS.fulfillment(data))
    prepare = Prepare(100, _LATER, condition, ADDRESS, data)
    credited = fulfilled = 0
    for isAsked in (False, True):  # the second time it finds what the first has left
        incoming = session.receivePrepare(prepare, now=NOW)
        for event in session.nextEvents():
            if isinstance(event, StreamOpened):
                session.startStream(event.streamID, 150)
        if isAsked:
            session.judge(incoming, now=NOW)
        fulfilled += amountFulfilled(prepare, session.answer(incoming, True, now=NOW))
        events = session.nextEvents()
        credited += sum(event.amount for event in events if isinstance(event, MoneyReceived))
        require(credited == fulfilled, f"{credited} are credited, {fulfilled} fulfilled")
    require(credited <= 152, "more than its limit was credited to a stream")
    for _ in range(100):
        if session.nextPacket(now=NOW) is None:
            return
    require(False, "it sends without end")


def checkReplies(octets: bytes) -> None:
    """A peer that has the key answers anything; what was refused is not counted as sent."""
    session = Session(SessionConfiguration(destinationAddress=ADDRESS), KEYS, bytes)
    streamID = session.openStream()
    session.startStream(streamID, None)
    session.sendMoney(streamID, 1000)
    session.sendData(streamID, b"abc")
    money = session.stream(streamID).moneyOut
    took = 0
    for turn in range(4):
        packet = session.nextPacket(now=NOW + turn)
        if packet is None:
            break
        prepare = decodePrepare(packet.data)
        fulfillment = KEYS.fulfillment(prepare.data)
        isFulfilled = turn % 2 == 1 and conditionOf(fulfillment) == prepare.executionCondition
        # The header is right, so that what follows is heard at all.
        kind = FULFILL if isFulfilled else REJECT
        plain = encodePacket(packet.sequence, kind, prepare.amount, [])[:-2] + octets
        data = KEYS.seal(plain, bytes(12))
        if isFulfilled:
            took += prepare.amount
            answer = encodeFulfill(fulfillment, data)
        else:
            answer = encodeReject("F99", "", "", data)
        session.receiveReply(packet.sequence, answer, now=NOW + turn)
        session.nextEvents()
        open_ = money.held + money.unanswered
        require(money.sent <= took <= money.sent + open_, f"{money.sent} sent, {took} taken")
    session.receiveTimeout(now=NOW + 100)
    session.nextEvents()


# --- A server ----------------------------------------------------------------------------------

_CREDENTIALS: Final = READER.generateCredentials(ADDRESS, connectionTag="tag")
_CLIENT: Final = SessionKeys(_CREDENTIALS.sharedSecret)


def prepareFor(plain: bytes, amount: int) -> bytes:
    """A Prepare of the client of a server that has the secret."""
    data = _CLIENT.seal(plain, bytes(12))
    condition = conditionOf(_CLIENT.fulfillment(data))
    return encodePrepare(amount, _LATER, condition, _CREDENTIALS.destinationAddress, data)


def checkAccount(octets: bytes) -> None:
    """Whoever sends anything to a server's account has an answer at once, and pays for it."""
    clock = Clock()
    clock.advance(NOW)
    left, right = memoryPair(clock)
    account = Account(
        clock, right, address=ADDRESS, assetCode="USD", assetScale=9, wallClock=clock.seconds
    )
    recorders = Recorders(Recorder)
    server = StreamServer(account, SECRET)
    server.listen(recorders)
    left.connect()
    replies: list[bytes] = []
    left.sendData(octets).addCallback(replies.append)
    clock.pump([0, 0, 0.01])
    require(len(replies) == 1, "no answer at once")
    credited = sum(sum(each.amounts) for each in recorders.made)
    reply = decodeReply(replies[0])
    fulfilled = 0
    if isinstance(reply, Fulfill):
        fulfilled = amountFulfilled(decodePrepare(octets), replies[0])
    require(credited == fulfilled, f"{credited} are credited, {fulfilled} fulfilled")
    for call in clock.getDelayedCalls():
        call.cancel()


# --- Sockets -----------------------------------------------------------------------------------


def _frames(*messages: BytesMessage | TextMessage | Ping) -> bytes:
    """What a client of BTP says: its handshake, and these."""
    client = WSConnection(ConnectionType.CLIENT)
    hello: bytes = client.send(Request(host="localhost", target="/"))
    # The key that wsproto draws would make every run another one.
    head, _, rest = hello.partition(b"Sec-WebSocket-Key: ")
    hello = head + b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==" + rest[rest.index(b"\r\n") :]
    parts = [hello]
    for message in messages:
        if isinstance(message, BytesMessage):
            parts.append(_masked(2, bytes(message.data)))
        elif isinstance(message, Ping):
            parts.append(_masked(9, bytes(message.payload)))
        else:
            parts.append(_masked(1, message.data.encode()))
    return b"".join(parts)


def _masked(opcode: int, payload: bytes) -> bytes:
    """One frame under a mask of zeros."""
    size = len(payload)
    length = bytes([128 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes([128 | opcode]) + length + bytes(4) + payload


def checkWebSocket(octets: bytes) -> None:
    """A client of BTP says anything; the socket answers or closes, and keeps nothing."""
    clock = Clock()
    link = BTPLink(clock, randomBytes=bytes, wallClock=lambda: NOW)
    link.registerDataHandler(lambda data: data)
    owner = Owner()
    socket = ServerWebSocket(clock, owner)
    transport = RawTransport()
    socket.makeConnection(transport)
    middle = len(octets) // 2
    for part in (octets[:middle], octets[middle:]):
        socket.dataReceived(part)
        if socket.isOpen and socket.owner is owner:
            link.attach(socket)
    require(len(transport.value()) < 20 * len(octets) + 2000, "it answers with much more")
    clock.advance(100)
    socket.connectionLost(Failure(ConnectionDone()))
    require(not clock.getDelayedCalls(), "a timer is left")


_HEARD: Final = (FRAMES[:7], FRAMES[7:11], FRAMES[11:], FRAMES[1:7] + FRAMES[8:])
"""The frames of answers."""

LIVE: Final = (
    Layer("session", PLAIN, checkSession, ()),
    Layer("replies", [encodePacket(0, 13, 0, each)[6:] for each in _HEARD], checkReplies, ()),
    Layer("server", [prepareFor(plain, 100) for plain in PLAIN] + [*ILP], checkAccount, ()),
    Layer(
        "websocket",
        [
            _frames(BytesMessage(BTP[0]), Ping(b"a")),
            _frames(*[BytesMessage(octets) for octets in BTP]),
            _frames(TextMessage("text")),
        ],
        checkWebSocket,
        (),
    ),
)
"""The layers that live."""
