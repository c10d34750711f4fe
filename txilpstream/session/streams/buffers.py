"""
The bytes of one stream, going out and coming in.

Going out, a fragment that was sent once keeps its offset and its length for ever (RFC 29 section
5.3.11): it is sent again as it was. Coming in, fragments may be doubled, may overlap and may come
in any order: peers cut anew what they send again.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

__all__ = ["MAX_SEGMENTS", "Reassembler", "SendQueue"]

MAX_SEGMENTS: Final = 4096
"""Pieces that may wait for a gap before them. Each costs some 150 bytes beyond its own, so that a
peer that sends every second byte cannot take more than its window and this."""


class SendQueue:
    """
    Bytes that the application wrote, until they are delivered.

    Written = unsent + outstanding + delivered.

    @ivar unsent: bytes that have not left for the first time.
    @ivar offset: bytes that have left; the offset of the next new fragment.
    @ivar outstanding: bytes that left and are not known to have been delivered.
    """

    __slots__ = (
        "_chunks",
        "_fragments",
        "_lost",
        "_taken",
        "_unsure",
        "offset",
        "outstanding",
        "unsent",
    )

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._taken = 0
        self._fragments: dict[int, bytes] = {}
        self._lost: dict[int, None] = {}
        self._unsure: set[int] = set()
        self.unsent = 0
        self.offset = 0
        self.outstanding = 0

    def write(self, data: bytes) -> None:
        """Append bytes; they are kept, not copied."""
        if data:
            self._chunks.append(data)
            self.unsent += len(data)

    def nextNew(self, room: int) -> tuple[int, bytes]:
        """
        Cut the next new fragment.

        @param room: the most bytes that it may have, at least 1; something must be unsent.
        @return: its offset and its bytes, which stay outstanding until they are acknowledged.
        """
        chunks = self._chunks
        parts = []
        wanted = size = min(room, self.unsent)
        index = 0
        while wanted:
            chunk = chunks[index]
            start = self._taken
            left = len(chunk) - start
            if left > wanted:
                parts.append(chunk[start : start + wanted])
                self._taken = start + wanted
                break
            parts.append(chunk[start:] if start else chunk)
            wanted -= left
            self._taken = 0
            index += 1
        del chunks[:index]
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        offset = self.offset
        self._fragments[offset] = data
        self.offset += size
        self.unsent -= size
        self.outstanding += size
        return offset, data

    @property
    def hasLost(self) -> bool:
        """Whether a fragment waits to be sent again."""
        return bool(self._lost)

    def peekLost(self) -> tuple[int, bytes]:
        """The fragment that is to be sent again first, as it was sent before."""
        offset = next(iter(self._lost))
        return offset, self._fragments[offset]

    def resend(self, offset: int) -> None:
        """A lost fragment is on its way again."""
        self._lost.pop(offset, None)

    def acknowledge(self, offset: int) -> None:
        """A fragment was delivered; hearing so twice does no harm."""
        data = self._fragments.pop(offset, None)
        if data is not None:
            self.outstanding -= len(data)
            self._lost.pop(offset, None)
            self._unsure.discard(offset)

    def lose(self, offset: int, *, isSure: bool = True) -> bool:
        """
        A fragment was not delivered, as far as is known; it will be sent again.

        @param isSure: whether it certainly was not.
        @return: whether there is such a fragment still.
        """
        if offset not in self._fragments:
            return False
        self._lost[offset] = None
        if not isSure:
            self._unsure.add(offset)
        return True

    def isSure(self, offset: int) -> bool:
        """Whether no copy of a fragment can have been delivered without our knowing."""
        return offset not in self._unsure

    @property
    def isEmpty(self) -> bool:
        """Whether everything that was written has been delivered."""
        return not self.unsent and not self._fragments

    def clear(self) -> int:
        """Forget all that is not delivered; gives how many bytes left and certainly came back."""
        back = sum(len(self._fragments[offset]) for offset in self._lost if self.isSure(offset))
        self._chunks.clear()
        self._fragments.clear()
        self._lost.clear()
        self._unsure.clear()
        self._taken = self.unsent = self.outstanding = 0
        return back


class Reassembler:
    """
    Bytes that the peer sent, until the application takes them in their order.

    @ivar offset: where the contiguous bytes end.
    @ivar highest: where the bytes received end, gaps before them or not.
    @ivar waiting: contiguous bytes that the application has not taken.
    @ivar held: bytes that are kept in all.
    """

    __slots__ = ("_ready", "_segments", "_starts", "held", "highest", "offset", "waiting")

    def __init__(self) -> None:
        self._ready: list[bytes] = []
        self._starts: list[int] = []
        self._segments: dict[int, bytes] = {}
        self.offset = 0
        self.highest = 0
        self.waiting = 0
        self.held = 0

    @property
    def isCrowded(self) -> bool:
        """Whether so many pieces wait for gaps that no further one is kept."""
        return len(self._starts) >= MAX_SEGMENTS

    def receive(self, offset: int, data: bytes) -> None:
        """Keep what is new of a fragment."""
        end = offset + len(data)
        if end > self.highest:
            self.highest = end
        if offset == self.offset and not self._starts:
            if data:
                self._append(data)
            return
        if offset < self.offset:
            data = data[self.offset - offset :]
            offset = self.offset
        if data:
            self._insert(offset, data)
            self._join()

    def _append(self, data: bytes) -> None:
        self._ready.append(data)
        size = len(data)
        self.offset += size
        self.waiting += size
        self.held += size

    def _insert(self, offset: int, data: bytes) -> None:
        """Keep the parts of a fragment that no kept piece covers."""
        starts, segments = self._starts, self._segments
        index = bisect_right(starts, offset)
        if index:
            before = starts[index - 1]
            covered = before + len(segments[before]) - offset
            if covered > 0:
                data = data[covered:]
                offset += covered
        while data:
            room = starts[index] - offset if index < len(starts) else len(data)
            piece = data[:room]
            if piece:
                starts.insert(index, offset)
                segments[offset] = piece
                self.held += len(piece)
                index += 1
            if index >= len(starts):
                return
            covered = starts[index] + len(segments[starts[index]]) - offset
            data = data[covered:]
            offset += covered
            index += 1

    def _join(self) -> None:
        """Move what has become contiguous."""
        starts = self._starts
        count = 0
        while count < len(starts) and starts[count] == self.offset:
            data = self._segments.pop(starts[count])
            self.held -= len(data)
            self._append(data)
            count += 1
        if count:
            del starts[:count]

    def take(self, count: int) -> bytes:
        """
        Give contiguous bytes to the application: whole pieces, as they came, if one fits.

        @param count: the most bytes to give.
        """
        ready = self._ready
        if count >= self.waiting:
            data = ready[0] if len(ready) == 1 else b"".join(ready)
            ready.clear()
        elif len(ready[0]) > count:
            data, ready[0] = ready[0][:count], ready[0][count:]
        else:
            left, pieces = count, 0
            while len(ready[pieces]) <= left:  # there is more than that in all
                left -= len(ready[pieces])
                pieces += 1
            data = b"".join(ready[:pieces])
            del ready[:pieces]
        self.waiting -= len(data)
        self.held -= len(data)
        return data

    def clear(self) -> None:
        """Forget all that the application has not taken."""
        self._ready.clear()
        self._starts.clear()
        self._segments.clear()
        self.waiting = self.held = 0
