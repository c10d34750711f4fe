A packet of data carries up to 31,000 bytes instead of 16,384, and data moves half as fast again; with ``padTo`` fragments are cut so that all packets keep one size.
