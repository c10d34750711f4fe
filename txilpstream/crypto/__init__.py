"""Keys of a connection, the tokens and credentials that carry its secret, and receipts."""
