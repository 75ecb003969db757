"""A program that keeps a database open: `python holder.py PATH LEDGER` commits the row of each number that it reads."""

import os
import sys
from pathlib import Path


def main() -> None:
    """Commit rows as told, each answered by its number."""
    path, here = Path(sys.argv[1]), sys.argv[2]
    sys.path.insert(0, here)
    from crashlab.recipes.ledger import add, create, open_database

    connection = open_database(path)
    create(connection)
    for line in sys.stdin:
        add(connection, int(line))
        os.write(1, line.encode())


if __name__ == "__main__":
    main()
