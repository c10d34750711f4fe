A congestion control of one's own, an ``ICongestionControl``, is given as the option ``congestionControl``.
