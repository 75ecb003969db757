"""A process that dies with its rows in the WAL: `python killed.py PATH ROWS LEDGER`."""

import os
import sys
from pathlib import Path


def main() -> None:
    """Commit rows, checkpoint, commit as many again, and leave without closing."""
    path, rows, here = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    sys.path.insert(0, here)
    from crashlab.recipes.ledger import add, create, open_database

    connection = open_database(path)
    create(connection)
    for number in range(1, 2 * rows + 1):
        if number == rows + 1:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        add(connection, number, "old")
    os._exit(0)


if __name__ == "__main__":
    main()
