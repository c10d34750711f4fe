"""What a connection did, written down and drawn."""
