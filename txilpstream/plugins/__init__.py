"""Ways to an Interledger peer: each module here is one, and C{registry} finds them by name."""
