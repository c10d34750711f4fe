"""
Frames that are said again until they were heard.

A control frame is known by its type and its stream. It is built with the values of the moment when
it leaves, and it is done when a packet that carried its latest version was answered with authentic
data (RFC 29 section 3.6). Versions are counted over all frames and never used twice: an answer that
comes late does not count for what was said anew meanwhile. Frames in replies are never acknowledged
and do not pass through here.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final

from txilpstream.wire.frames import Frame, encodeFrame

__all__ = ["MAX_CONTROLS", "ControlQueue"]

MAX_CONTROLS: Final = 20
"""Control frames in one packet."""

_STREAM_KINDS: Final = range(0x10, 0x18)
"""The types of all frames that belong to a stream."""

Key = tuple[int, int]


class ControlQueue:
    """
    The control frames of one end.

    @ivar pending: keys of frames that wait to leave.
    @ivar isCrowded: whether the last packet had no room for one that waited.
    """

    __slots__ = ("_build", "_count", "_versions", "isCrowded", "pending")

    def __init__(self, build: Callable[[int, int], Frame | None]) -> None:
        """
        @param build: makes the frame of a type for a stream id; None if it is pointless now.
        """
        self._build = build
        self._count = 0
        self._versions: dict[Key, int] = {}
        self.pending: dict[Key, None] = {}
        self.isCrowded = False

    def add(self, kind: int, streamID: int = 0) -> None:
        """A frame is to be said, or has changed."""
        key = (kind, streamID)
        self._count += 1
        self._versions[key] = self._count
        self.pending[key] = None

    def take(
        self, room: int, *, isAlone: bool = True
    ) -> tuple[list[Frame], tuple[tuple[Key, int], ...]]:
        """
        Build the frames that go into the next packet.

        @param room: octets that they may have.
        @param isAlone: whether nothing else is in the packet, which then takes one of any size.
        @return: the frames, and the keys with versions to be handed back.
        """
        frames: list[Frame] = []
        taken: list[tuple[Key, int]] = []
        self.isCrowded = False
        for key in list(islice(self.pending, MAX_CONTROLS)):
            frame = self._build(*key)
            if frame is not None:
                room -= len(encodeFrame(frame))
                if room < 0 and (frames or not isAlone):
                    self.isCrowded = True
                    break
                frames.append(frame)
                taken.append((key, self._versions[key]))
            else:
                self._versions.pop(key, None)
            del self.pending[key]
        return frames, tuple(taken)

    def heard(self, taken: tuple[tuple[Key, int], ...]) -> list[Key]:
        """
        A packet was answered with authentic data.

        @return: the keys whose latest version was heard.
        """
        done = []
        for key, version in taken:
            if self._versions.get(key) == version:
                del self._versions[key]
                self.pending.pop(key, None)
                done.append(key)
        return done

    def lost(self, taken: tuple[tuple[Key, int], ...]) -> None:
        """A packet was not heard, as far as is known: what is not done is said again."""
        for key, _ in taken:
            if key in self._versions:
                self.pending[key] = None

    def drop(self, streamID: int) -> None:
        """A stream is gone."""
        for kind in _STREAM_KINDS:
            key = (kind, streamID)
            if self._versions.pop(key, None) is not None:
                self.pending.pop(key, None)
