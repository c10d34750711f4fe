"""One STREAM connection without input, output, clocks or randomness of its own."""
