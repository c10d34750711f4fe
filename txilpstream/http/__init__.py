"""Bounded HTTP in both directions, for whoever needs it."""
