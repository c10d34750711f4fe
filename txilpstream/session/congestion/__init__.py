"""How fast, how much at once and how large: the controls of a path."""
