"""A program that comes and goes: `python newcomer.py PATH FIRST LEDGER` opens a database, adds three rows, closes it.

With FIRST 0 it only reads. It prints the numbers that it has committed.
"""

import sys
from pathlib import Path

MANY = 3


def main() -> None:
    """Open, add, close."""
    path, first, here = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    sys.path.insert(0, here)
    from crashlab.recipes.ledger import add, create, open_database

    connection = open_database(path)
    if first:
        create(connection)
        for number in range(first, first + MANY):
            add(connection, number)
            sys.stdout.write(f"{number}\n")
    else:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    connection.close()


if __name__ == "__main__":
    main()
