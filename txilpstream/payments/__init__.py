"""Whole payments: quoted, paid within limits, and gone on with after a crash."""
