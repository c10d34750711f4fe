"""The command line: C{txilpstream} and what its commands share."""
