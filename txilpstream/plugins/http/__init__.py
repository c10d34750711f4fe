"""ILP over HTTP (RFC 35): the client, the server, and the plugin made of both."""
