"""C{python -m txilpstream} is the command C{txilpstream}."""

from txilpstream.cli import main

if __name__ == "__main__":
    main()
