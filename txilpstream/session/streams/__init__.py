"""The streams of one connection: their money, their bytes and their limits."""
