``txilpstream demo`` shows progress bars on a terminal where the extra ``cli`` (rich) is installed, and takes every amount that is worth a unit at the other end.
