"""SPSP (RFC 9): payment pointers, asked for and answered."""
