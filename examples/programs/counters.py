"""Keeps counters in SQLite and checkpoints now and then. `--broken`: with synchronous=OFF."""

import sqlite3
import sys

STEPS = 30


def open_database():
    db = sqlite3.connect("counters.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=" + ("OFF" if "--broken" in sys.argv else "FULL"))
    db.execute("CREATE TABLE IF NOT EXISTS counters(name TEXT PRIMARY KEY, value INTEGER, note TEXT)")
    return db


def main():
    db = open_database()
    if "--check" in sys.argv:
        print(db.execute("SELECT count(*), total(value) FROM counters").fetchone())
        return
    for step in range(STEPS):
        db.execute("BEGIN IMMEDIATE")
        for name in ("seen", "sent", f"day-{step % 7}"):
            db.execute(
                "INSERT INTO counters VALUES(?, 1, ?) ON CONFLICT(name) DO UPDATE SET value = value + 1, note = ?",
                (name, f"first in step {step}", f"last in step {step} " * 20),
            )
        db.execute("COMMIT")
        if step % 10 == 9:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


if __name__ == "__main__":
    main()
