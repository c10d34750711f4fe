"""Tests of C{txilpstream.session.events}."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

from twisted.trial.unittest import SynchronousTestCase

from txilpstream.session import events


class EventTests(SynchronousTestCase):
    """What a session tells its driver."""

    def test_union(self) -> None:
        """Every public class of the module is an event, and an event is nothing else."""
        classes = get_args(events.Event)
        names = [kind.__name__ for kind in classes]
        self.assertEqual(sorted([*names, "Event"]), events.__all__)
        for name, kind in zip(names, classes, strict=True):
            self.assertIs(getattr(events, name), kind)

    def test_values(self) -> None:
        """An event is equal to one of its kind with the same particulars, and shows them."""
        for kind in get_args(events.Event):
            names = [one.name for one in fields(kind)]
            event = kind(*names)
            self.assertEqual(event, kind(*names))
            shown = ", ".join(f"{name}={name!r}" for name in names)
            self.assertEqual(repr(event), f"{kind.__name__}({shown})")

    def test_kinds(self) -> None:
        """Events of different kinds differ, even with the same particulars."""
        self.assertNotEqual(events.StreamOpened(1), events.StreamEnded(1))
        self.assertNotEqual(events.StreamOpened(1), events.StreamOpened(2))

    def test_complete(self) -> None:
        """An event is built complete, and nothing can be hung onto it."""
        for kind in get_args(events.Event):
            names = [one.name for one in fields(kind)]
            if names:
                self.assertRaises(TypeError, kind)
            self.assertRaises(AttributeError, setattr, kind(*names), "other", 1)
