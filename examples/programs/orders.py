"""Takes orders and says so. `--broken`: it says so before it has committed."""

import sqlite3
import sys

ORDERS = 30


def main():
    db = sqlite3.connect("orders.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE IF NOT EXISTS orders(number INTEGER PRIMARY KEY, item TEXT)")
    for number in range(1, ORDERS + 1):
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO orders VALUES(?, ?)", (number, f"item {number}"))
        if "--broken" in sys.argv:
            print("done", number)
        db.execute("COMMIT")
        if "--broken" not in sys.argv:
            print("done", number)
    db.close()


if __name__ == "__main__":
    main()
