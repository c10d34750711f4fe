"""A STREAM connection on Twisted: accounts, clients, servers and streams."""
