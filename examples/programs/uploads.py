"""Keeps files in a directory and their names in SQLite. `--broken`: the row comes before the file."""

import os
import sqlite3
import sys

FILES = 12


def store(path, data):
    """Write a file so that it is there wholly or not at all, also after a power loss."""
    with open(path + ".tmp", "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".tmp", path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def main():
    os.makedirs("blobs", exist_ok=True)
    db = sqlite3.connect("uploads.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE IF NOT EXISTS uploads(id INTEGER PRIMARY KEY, path TEXT)")
    for number in range(FILES):
        path, data = f"blobs/{number:03}.bin", bytes([number]) * 3000
        if "--broken" in sys.argv:
            db.execute("INSERT INTO uploads(path) VALUES(?)", (path,))
            store(path, data)
        else:
            store(path, data)
            db.execute("INSERT INTO uploads(path) VALUES(?)", (path,))
    db.close()


if __name__ == "__main__":
    main()
