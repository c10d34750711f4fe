A protocol that closes its sending half hears with ``writeConnectionLost`` when the peer has everything.
