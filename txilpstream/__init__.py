"""STREAM for Twisted: encrypted, multiplexed streams of money and data over Interledger."""

from txilpstream._version import __version__

__all__ = ["__version__"]
