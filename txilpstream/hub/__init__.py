"""
An embedded connector, for development, tests and small installations.

L{Hub <txilpstream.hub.connector.Hub>} forwards packets between accounts, L{LocalHub
<txilpstream.hub.server.LocalHub>} listens for them.
"""
