A receiver as a service, ``twistd txilpstream`` and ``txilpstream serve``, with payment pointers and a hub inside; the commands ``pay``, ``quote``, ``receive``, ``ping`` and ``hub``.
