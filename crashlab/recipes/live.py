"""A process that keeps committing to a recipe's database: `python live.py PATH FIRST LEDGER`, until its input ends."""

import os
import select
import sys
import time
from pathlib import Path

ROWS_MAX = 60
PAUSE_S = 0.005


def main() -> None:
    """Commit numbered rows, one by one; say when the first is there."""
    path, first, here = sys.argv[1:]
    sys.path.insert(0, here)
    from crashlab.recipes.ledger import add, open_database

    connection = open_database(Path(path))
    for number in range(int(first), int(first) + ROWS_MAX):
        add(connection, number)
        if number == int(first):
            os.write(1, b"live\n")
        if select.select([0], [], [], PAUSE_S)[0]:
            break
    while not select.select([0], [], [], 1.0)[0]:
        time.sleep(PAUSE_S)
    connection.close()


if __name__ == "__main__":
    main()
