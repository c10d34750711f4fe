"""BTP 2.0 over WebSockets: the client, the server, and the link that both become."""
