"""What a stateless receiver counts, kept where it is to be kept."""
