"""C{python -m txilpstream} is the command C{txilpstream}."""

from txilpstream.cli.main import main

if __name__ == "__main__":
    main()
