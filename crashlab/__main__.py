"""`python -m crashlab`: the command line, for where the script is not on the path."""

from crashlab.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
