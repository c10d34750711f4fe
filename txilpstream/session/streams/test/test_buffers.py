"""Tests of C{txilpstream.session.streams.buffers}."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txilpstream.session.streams.buffers import MAX_SEGMENTS, Reassembler, SendQueue
from txilpstream.test.support.strategies import forAll


def numbered(size: int) -> bytes:
    """So many bytes, of which any two near each other differ."""
    return bytes(index * 7 % 251 for index in range(size))


class SendQueueTests(SynchronousTestCase):
    """Bytes going out."""

    def test_cut(self) -> None:
        """Fragments follow each other, however the bytes were written."""
        queue = SendQueue()
        for data in (b"ab", b"", b"cdefgh", b"i"):
            queue.write(data)
        self.assertEqual(queue.unsent, 9)
        self.assertEqual(queue.nextNew(1), (0, b"a"))
        self.assertEqual(queue.nextNew(3), (1, b"bcd"))
        self.assertEqual(queue.nextNew(4), (4, b"efgh"))
        self.assertEqual(queue.nextNew(100), (8, b"i"))
        self.assertEqual((queue.unsent, queue.offset, queue.outstanding), (0, 9, 9))

    def test_notCopied(self) -> None:
        """What is sent in one piece as it was written is not copied."""
        queue = SendQueue()
        data = numbered(1000)
        queue.write(data)
        self.assertIs(queue.nextNew(1000)[1], data)

    def test_nothingWritten(self) -> None:
        """Writing nothing leaves the queue empty."""
        queue = SendQueue()
        self.assertTrue(queue.isEmpty)
        queue.write(b"")
        self.assertTrue(queue.isEmpty)
        self.assertEqual(queue.unsent, 0)

    def test_resend(self) -> None:
        """What is lost is sent again as it was, the first lost first, until it is delivered."""
        queue = SendQueue()
        queue.write(b"abcdef")
        queue.nextNew(4)
        queue.nextNew(4)
        self.assertFalse(queue.hasLost)
        queue.lose(4)
        queue.lose(0)
        queue.lose(4)
        self.assertTrue(queue.hasLost)
        self.assertEqual(queue.peekLost(), (4, b"ef"))
        queue.resend(4)
        self.assertEqual(queue.peekLost(), (0, b"abcd"))
        queue.resend(0)
        queue.resend(0)
        self.assertFalse(queue.hasLost)
        self.assertEqual((queue.offset, queue.outstanding), (6, 6))

    def test_acknowledge(self) -> None:
        """What is delivered is not sent again; hearing so twice does no harm."""
        queue = SendQueue()
        queue.write(b"abcdef")
        queue.nextNew(4)
        queue.nextNew(4)
        queue.lose(0)
        for _ in range(2):
            queue.acknowledge(0)
            self.assertFalse(queue.hasLost)
            self.assertEqual(queue.outstanding, 2)
        queue.lose(0)
        self.assertFalse(queue.hasLost)
        self.assertFalse(queue.isEmpty)
        queue.acknowledge(4)
        self.assertTrue(queue.isEmpty)
        self.assertEqual(queue.offset, 6)

    def test_isEmpty(self) -> None:
        """A queue is not empty while something is unsent or not delivered."""
        queue = SendQueue()
        queue.write(b"ab")
        self.assertFalse(queue.isEmpty)
        queue.nextNew(1)
        queue.acknowledge(0)
        self.assertFalse(queue.isEmpty)
        queue.nextNew(1)
        self.assertFalse(queue.isEmpty)
        queue.acknowledge(1)
        self.assertTrue(queue.isEmpty)

    def test_clear(self) -> None:
        """What is forgotten is not sent; answers to it do no harm; offsets go on."""
        queue = SendQueue()
        queue.write(b"abcdef")
        queue.nextNew(2)
        queue.nextNew(2)
        queue.lose(0)
        queue.clear()
        self.assertTrue(queue.isEmpty)
        self.assertFalse(queue.hasLost)
        queue.acknowledge(0)
        queue.lose(2)
        self.assertEqual((queue.unsent, queue.outstanding, queue.hasLost), (0, 0, False))
        queue.write(b"xyz")
        self.assertEqual(queue.nextNew(9), (4, b"xyz"))

    @forAll(st.data(), examples=200)
    def test_conserved(self, data: st.DataObject) -> None:
        """
        Written = unsent + outstanding + delivered, whatever happens; a fragment is sent again as
        it was sent first; the fragments together are what was written.
        """
        queue = SendQueue()
        written = b""
        sent: dict[int, bytes] = {}
        delivered: set[int] = set()
        lost: list[int] = []
        actions = ["write", "new", "acknowledge", "lose", "resend"]
        for action in data.draw(st.lists(st.sampled_from(actions), max_size=60)):
            if action == "write":
                octets = data.draw(st.binary(max_size=20))
                queue.write(octets)
                written += octets
            elif action == "new" and queue.unsent:
                room = data.draw(st.integers(1, 30))
                offset, octets = queue.nextNew(room)
                self.assertEqual(offset, sum(map(len, sent.values())))
                self.assertTrue(0 < len(octets) <= room)
                sent[offset] = octets
            elif action in ("acknowledge", "lose") and sent:
                offset = data.draw(st.sampled_from(sorted(sent)))
                if action == "acknowledge":
                    queue.acknowledge(offset)
                    delivered.add(offset)
                    lost = [other for other in lost if other != offset]
                else:
                    queue.lose(offset)
                    if offset not in delivered and offset not in lost:
                        lost.append(offset)
            elif action == "resend" and lost:
                offset, octets = queue.peekLost()
                self.assertEqual((offset, octets), (lost.pop(0), sent[offset]))
                queue.resend(offset)
            arrived = sum(len(sent[offset]) for offset in delivered)
            self.assertEqual(len(written), queue.unsent + queue.outstanding + arrived)
            self.assertEqual(queue.hasLost, bool(lost))
            self.assertEqual(b"".join(sent.values()), written[: queue.offset])
            self.assertEqual(queue.isEmpty, arrived == len(written))


class ReassemblerTests(SynchronousTestCase):
    """Bytes coming in."""

    def test_inOrder(self) -> None:
        """What comes in order can be taken at once, and is not copied."""
        buffer = Reassembler()
        data = numbered(100)
        buffer.receive(0, data)
        self.assertEqual(
            (buffer.offset, buffer.highest, buffer.waiting, buffer.held), (100, 100, 100, 100)
        )
        self.assertIs(buffer.take(100), data)
        self.assertEqual((buffer.offset, buffer.waiting, buffer.held), (100, 0, 0))

    def test_gap(self) -> None:
        """What comes after a gap waits until the gap is filled."""
        buffer = Reassembler()
        buffer.receive(2, b"cd")
        self.assertEqual((buffer.offset, buffer.highest, buffer.waiting), (0, 4, 0))
        self.assertEqual(buffer.held, 2)
        self.assertEqual(buffer.take(10), b"")
        buffer.receive(6, b"gh")
        buffer.receive(0, b"ab")
        self.assertEqual((buffer.offset, buffer.highest, buffer.waiting), (4, 8, 4))
        self.assertEqual(buffer.held, 6)
        buffer.receive(4, b"ef")
        self.assertEqual(buffer.take(10), b"abcdefgh")
        self.assertEqual(buffer.held, 0)

    def test_overlaps(self) -> None:
        """Of a fragment that overlaps others what is new is kept, and what is not is not."""
        buffer = Reassembler()
        buffer.receive(2, b"CD")
        buffer.receive(6, b"GH")
        buffer.receive(3, b"d")
        buffer.receive(2, b"cd")
        buffer.receive(3, b"def")
        self.assertEqual(buffer.held, 6)
        buffer.receive(1, b"bcdefghij")
        self.assertEqual((buffer.held, buffer.highest, buffer.waiting), (9, 10, 0))
        buffer.receive(0, b"ab")
        buffer.receive(0, b"abc")
        self.assertEqual((buffer.held, buffer.offset), (10, 10))
        buffer.receive(8, b"ijk")
        self.assertEqual(buffer.take(100), b"abCDefGHijk")

    def test_empty(self) -> None:
        """A fragment without bytes changes nothing but where the bytes end."""
        buffer = Reassembler()
        for offset in (0, 5, 0):
            buffer.receive(offset, b"")
        self.assertEqual((buffer.offset, buffer.highest, buffer.held), (0, 5, 0))
        self.assertEqual(buffer.take(5), b"")

    def test_take(self) -> None:
        """No more is given than is asked for."""
        buffer = Reassembler()
        buffer.receive(0, b"abc")
        buffer.receive(3, b"def")
        self.assertEqual(buffer.take(0), b"")
        self.assertEqual(buffer.take(1), b"a")
        self.assertEqual((buffer.waiting, buffer.held, buffer.offset), (5, 5, 6))
        self.assertEqual(buffer.take(4), b"bc")
        self.assertEqual((buffer.waiting, buffer.held, buffer.offset), (3, 3, 6))
        buffer.receive(6, b"g")
        buffer.receive(7, b"hi")
        self.assertEqual(buffer.take(5), b"defg")
        self.assertEqual(buffer.take(9), b"hi")
        self.assertEqual((buffer.waiting, buffer.held), (0, 0))

    @forAll(st.lists(st.integers(1, 9), max_size=20), st.lists(st.integers(1, 12), max_size=40))
    def test_takeAll(self, sizes: list[int], counts: list[int]) -> None:
        """Whatever is asked for, bytes come once and in order, and some come if there are any."""
        buffer = Reassembler()
        whole = bytes(range(sum(sizes)))
        for size in sizes:
            buffer.receive(buffer.offset, whole[buffer.offset : buffer.offset + size])
        taken = b""
        for count in [*counts, *[1] * len(whole)]:
            data = buffer.take(count)
            self.assertLessEqual(len(data), count)
            self.assertEqual(bool(data), len(taken) < len(whole))
            taken += data
            self.assertEqual(buffer.waiting, len(whole) - len(taken))
        self.assertEqual(taken, whole)

    def test_crowded(self) -> None:
        """A peer that sends every second byte is noticed; filling the first gap relieves it."""
        buffer = Reassembler()
        for index in range(MAX_SEGMENTS):
            self.assertFalse(buffer.isCrowded)
            buffer.receive(2 * index + 1, b"x")
        self.assertTrue(buffer.isCrowded)
        buffer.receive(0, b"y")
        self.assertFalse(buffer.isCrowded)
        buffer.receive(0, b"y" * 2 * MAX_SEGMENTS)
        self.assertEqual(buffer.take(1 << 20), b"yx" * MAX_SEGMENTS)

    def test_clear(self) -> None:
        """What is forgotten is not held any more."""
        buffer = Reassembler()
        buffer.receive(0, b"ab")
        buffer.receive(5, b"fg")
        buffer.clear()
        self.assertEqual((buffer.waiting, buffer.held, buffer.take(9)), (0, 0, b""))
        self.assertEqual((buffer.offset, buffer.highest), (2, 7))
        buffer.receive(2, b"c")
        self.assertEqual(buffer.take(9), b"c")

    @forAll(st.data(), st.integers(0, 120), examples=300)
    def test_reassembled(self, data: st.DataObject, size: int) -> None:
        """
        Fragments that are doubled, overlap and come in any order give exactly the bytes that were
        sent, each as soon as nothing before it is missing.
        """
        whole = numbered(size)
        cuts = [0, *sorted(data.draw(st.sets(st.integers(0, size), max_size=12))), size]
        ranges = list(pairwise(cuts))
        position = st.integers(0, size)
        ranges += data.draw(
            st.lists(st.tuples(position, position).map(lambda pair: (min(pair), max(pair))))
        )
        buffer = Reassembler()
        known: set[int] = set()
        taken = b""
        for start, end in data.draw(st.permutations(ranges)):
            buffer.receive(start, whole[start:end])
            known.update(range(start, end))
            contiguous = next(index for index in range(size + 1) if index not in known)
            self.assertEqual(buffer.offset, contiguous)
            self.assertEqual(buffer.waiting, contiguous - len(taken))
            self.assertEqual(buffer.held, len(known) - len(taken))
            taken += buffer.take(data.draw(st.integers(0, 40)))
            self.assertEqual(taken, whole[: len(taken)])
            self.assertEqual(buffer.held, len(known) - len(taken))
        taken += buffer.take(size)
        self.assertEqual(taken, whole)
        self.assertEqual((buffer.held, buffer.highest), (0, size))
