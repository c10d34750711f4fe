``StreamServer`` and ``StreamClient`` take a plugin as well as an ``Account``; a stream has the greatest ``receipt`` it was given; ``StreamConnection.close`` takes a ``timeout``.
