"""
Random sequences of frames, against live sessions.

    python fuzz/sequences.py --count 100000 --seed 1

Half of them are put between the two ends of a session pair, of which one pays the other: packets
are added on their way, and answers changed, lost or told twice. One of four is a client of a
StreamServer over the memory plugin, and one of four a payer of a StatelessReceiver. All the while
the books are compared: what is credited is what was fulfilled, what is said to be sent was taken,
what was taken is sent or in doubt. Any exception, any error in the log, any packet without an
answer, and memory that grows are findings; the first one ends the run with status 1, and with all
that the peer has said.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from fuzzing import Log, Memory, Watch, parserFor, playAll, report, require
from hostile import U64, Hostile, amountFulfilled
from twisted.internet.task import Clock
from withoutstate import EXPECTED, Payers

from txilpstream.crypto.keys import SessionKeys
from txilpstream.errors import LocalError
from txilpstream.interfaces import PaymentError
from txilpstream.plugins.memory import memoryPair
from txilpstream.test.support.connected import Recorder, Recorders, run
from txilpstream.test.support.sessions import LOST, End, Pair
from txilpstream.transport.account import Account
from txilpstream.transport.server import StreamServer
from txilpstream.wire.ildcp import AccountDetails
from txilpstream.wire.ilp import decodePrepare, encodePrepare, encodeReject

NOW: Final = 1_700_000_000.0
BATCH: Final = 20
"""Sequences against one server, each of a client of its own."""


# --- A pair of sessions --------------------------------------------------------------------------


class PairSequence:
    """One sequence between two ends."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.pair = pair = Pair()
        self.hostile = Hostile(rng, pair.keys, "test.server")
        for end, _ in pair.ends:
            end.receiveMax = rng.choice((0, 100, 5000, 1 << 60, U64))
            end.isReading = rng.random() < 0.8
            end.back = self._back

    def _back(self, answer: bytes) -> bytes:
        return self.hostile.twisted(answer) or LOST

    def play(self) -> int:
        """
        Do it.

        @return: how many packets were added.
        """
        rng, pair = self.rng, self.pair
        streamID = pair.client.open(rng.choice((None, 500)))
        pair.client.session.sendMoney(streamID, rng.choice((1, 500, 10**6)))
        pair.client.session.sendData(streamID, bytes(rng.choice((0, 10, 5000))))
        count = rng.randrange(1, 8)
        for _ in range(count):
            pair.run(rng.choice((0, 0.03, 0.06)), mostSteps=5000)
            end = pair.client if rng.random() < 0.15 else pair.server
            self.hostile.isServer = end is pair.client
            prepare = self.hostile.prepare(pair.now)
            answer = pair.deliver(end, prepare)
            end.credited += amountFulfilled(prepare, answer)
            self.check()
            self._repeat(end)
            if rng.random() < 0.1:
                self._command(end)
            self.check()
        pair.run(rng.choice((0.1, 0.1, 0.1, 50)), mostSteps=5000)
        self.check()
        return count

    def _repeat(self, end: End) -> None:
        """An answer comes once more, or another one to a packet that has its answer."""
        if end.replies and self.rng.random() < 0.3:
            sequence, reply = self.rng.choice(end.replies)
            if self.rng.random() < 0.5:
                reply = encodeReject("T00", "", "", b"")
            self.hostile.script.append(f"again {sequence} {reply.hex()}")
            end.session.receiveReply(sequence, reply, now=self.pair.now)
            end.collect()

    def _command(self, end: End) -> None:
        """The application does something too."""
        self.hostile.script.append("command")
        if self.rng.random() < 0.3:
            end.session.close()
        elif not end.session.isClosed:
            for streamID, stream in end.streams.items():
                if stream.moneyIn.receiveMax and self.rng.random() < 0.5:
                    end.session.closeStream(streamID)
        end.collect()

    def check(self) -> None:
        """
        Compare the books of both ends.

        @raise FindingError: if they differ.
        """
        for end, _ in self.pair.ends:
            end.check()
            credited = 0
            for stream in end.streams.values():
                total, most = stream.moneyIn.totalReceived, stream.moneyIn.receiveMax
                credited += total
                require(total <= most + most // 100 + 1, f"{total} are credited of {most}")
            require(
                credited == end.credited, f"{credited} are credited, {end.credited} were fulfilled"
            )


# --- A server --------------------------------------------------------------------------------


class Spender(Recorder):
    """
    Takes money, and sends some.

    @ivar rng: decides how much.
    @ivar sent: what it was told that it has sent.
    """

    rng: random.Random

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0

    def connectionMade(self) -> None:
        """Set limits, and offer money and data."""
        super().connectionMade()
        transport: Any = self.transport
        transport.setReceiveMax(self.rng.choice((0, 1000, 1 << 50, U64)))
        if self.rng.random() < 0.5:
            transport.write(bytes(self.rng.choice((1, 3000))))
        if self.rng.random() < 0.5:
            try:
                sending = transport.sendMoney(self.rng.choice((1, 1000, 10**9)))
            except LocalError:
                return  # what else is in the packet has closed the connection already
            sending.addCallbacks(self._cbSent, self._ebSent)

    def _cbSent(self, result: Any) -> None:
        self.sent += result.sent

    def _ebSent(self, failure: Any) -> None:
        if failure.check(PaymentError):
            self.sent += failure.value.result.sent


class Served:
    """
    A server, for a batch of sequences.

    @ivar hostile: the client of the sequence that is played.
    """

    hostile: Hostile

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.clock = clock = Clock()
        clock.advance(NOW)
        left = AccountDetails("test.left", 9, "USD")
        self.left, right = memoryPair(clock, left=left, right=left)
        self.left.connect()
        self.left.registerDataHandler(self._answer)
        self.took = self.fulfilled = 0
        self._isOver = False
        self.recorders = Recorders(self._spender)
        account = Account(
            clock,
            right,
            address="test.server",
            assetCode="USD",
            assetScale=9,
            randomBytes=rng.randbytes,
            wallClock=clock.seconds,
        )
        self.server = StreamServer(account, bytes(32), maximumConnections=BATCH // 2)
        self.server.listen(self.recorders)

    def _spender(self) -> Spender:
        spender = Spender()
        spender.rng = self.rng
        return spender

    def _answer(self, data: bytes) -> bytes:
        if self._isOver:
            return encodeReject("T01")
        answer, taken = self.hostile.answerTo(decodePrepare(data))
        self.took += taken
        return answer

    def play(self) -> int:
        """
        Play one sequence.

        @return: how many packets were sent.
        """
        rng = self.rng
        credentials = self._credentials()
        keys = SessionKeys(credentials.sharedSecret)
        self.hostile = Hostile(rng, keys, credentials.destinationAddress)
        count = rng.randrange(1, 10)
        for _ in range(count):
            prepare = self.hostile.prepare(self.clock.seconds())
            octets = encodePrepare(
                prepare.amount,
                prepare.timestamp,
                prepare.executionCondition,
                prepare.destination,
                prepare.data,
            )
            answers: list[bytes] = []
            self.left.sendData(octets).addCallback(answers.append)
            run(self.clock, rng.choice((0.001, 0.001, 0.1)))
            require(len(answers) == 1, f"{len(answers)} answers to a packet")
            self.fulfilled += amountFulfilled(prepare, answers[0])
            self.check()
        return count

    def _credentials(self) -> Any:
        if self.rng.random() < 0.5:
            return self.server.generateCredentials(connectionTag="tag")
        return self.server.generateCredentials(receiptNonce=bytes(16), receiptSecret=bytes(32))

    def check(self) -> None:
        """
        Compare the books.

        @raise FindingError: if they differ.
        """
        made: list[Spender] = self.recorders.made
        credited = sum([sum(each.amounts) for each in made])
        require(credited == self.fulfilled, f"{credited} credited, {self.fulfilled} fulfilled")
        sent = sum([each.sent for each in made])
        require(sent <= self.took, f"{sent} are said to be sent, {self.took} were taken")

    def end(self) -> None:
        """
        Let time pass until nothing goes on any more; a client that answered would keep it up.

        @raise FindingError: if a connection or a timer is kept for ever.
        """
        self._isOver = True
        run(self.clock, 400)
        self.check()
        kept = len(self.server.connections)
        require(not kept, f"{kept} connections are kept long after their last packet")
        calls = self.clock.getDelayedCalls()
        require(not calls, f"timers are left: {calls}")


# --- All of them -----------------------------------------------------------------------------


def playPairs(first: int, count: int, seed: int, log: Log) -> int:
    """Play sequences between pairs; gives how many packets were added."""
    packets = 0
    for index in range(first, first + count):
        sequence = PairSequence(random.Random(f"{seed} pair {index}"))
        try:
            packets += sequence.play()
            log.check()
        except Exception as error:
            again = f"python fuzz/sequences.py --only pair --seed {seed} --first {index} --count 1"
            report(f"in sequence {index}", error, sequence.hostile.script, again)
    return packets


class _Batches:
    """
    Plays sequences against one that answers, who is made anew for each batch.

    @ivar make: makes one.
    """

    def __init__(self, kind: str, make: Callable[[random.Random], Served | Payers]) -> None:
        self._kind = kind
        self._make = make

    def __call__(self, first: int, count: int, seed: int, log: Log) -> int:
        """Play so many; gives how many packets were sent."""
        packets = 0
        for begin in range(first, first + count, BATCH):
            batch = self._make(random.Random(f"{seed} {self._kind} {begin}"))
            size = min(BATCH, first + count - begin)
            try:
                for _ in range(size):
                    packets += batch.play()
                    log.check()
                batch.end()
                log.check()
            except Exception as error:
                options = f"--seed {seed} --first {begin} --count {size}"
                again = f"python fuzz/sequences.py --only {self._kind} {options}"
                report(f"in the batch from {begin}", error, batch.hostile.script, again)
        return packets


_KINDS: Final[dict[str, Callable[[int, int, int, Log], int]]] = {
    "pair": playPairs,
    "server": _Batches("server", Served),
    "stateless": _Batches("stateless", Payers),
}

_WEIGHTS: Final = {"pair": 2, "server": 1, "stateless": 1}


def playKind(kind: str, first: int, count: int, seed: int, log: Log) -> None:
    """
    Play so many sequences of a kind, and print what it was.

    @raise SystemExit: with status 1 at a finding.
    """
    play, memory, watch = _KINDS[kind], Memory(), Watch()
    log.expected = set(EXPECTED) if kind == "stateless" else set()
    # Memory is counted in the last tenth, where nothing is warmed up any more.
    counted = count // 10 // BATCH * BATCH
    packets = play(first, count - counted, seed, log)
    if counted:
        memory.begin()
        packets += play(first + count - counted, counted, seed, log)
    try:
        memory.check()
    except Exception as error:
        again = f"python fuzz/sequences.py --only {kind} --seed {seed} --count {count}"
        report(f"in {kind}", error, [], again)
    print(
        f"{kind:9} {count:8} sequences of {packets} packets, memory {memory.growth:+7} octets, "
        f"peak {memory.peak:8}, in {watch}",
        flush=True,
    )


def main() -> None:
    """Do what the command line says."""
    parser = parserFor(__doc__ or "", 5000, list(_KINDS))
    parser.add_argument(
        "--first", type=int, default=0, help="begin with this one, to play it again"
    )
    options = parser.parse_args()
    playAll(
        options,
        _WEIGHTS,
        "sequences",
        lambda kind, count, log: playKind(kind, options.first, count, options.seed, log),
    )


if __name__ == "__main__":
    main()
