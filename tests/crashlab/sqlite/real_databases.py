"""Real databases for the tests, and the WAL checksum as SQLite's document writes it: a plain loop, the oracle."""

import sqlite3
import struct
from contextlib import closing
from pathlib import Path

MASK = 0xFFFFFFFF


def loop_checksum(data, seed, big_endian):
    words = struct.unpack(f"{'>' if big_endian else '<'}{len(data) // 4}I", data)
    s0, s1 = seed
    for x, y in zip(words[::2], words[1::2], strict=True):
        s0 = (s0 + x + s1) & MASK
        s1 = (s1 + y + s0) & MASK
    return s0, s1


def rechecksummed(wal, big_endian=None):
    """The same WAL with every checksum computed afresh by the loop; ``big_endian`` also sets the magic number."""
    out = bytearray(wal)
    if big_endian is not None:
        struct.pack_into(">I", out, 0, 0x377F0682 | big_endian)
    big = bool(out[3] & 1)
    page_size = struct.unpack_from(">I", out, 8)[0]
    sums = loop_checksum(bytes(out[:24]), (0, 0), big)
    struct.pack_into(">2I", out, 24, *sums)
    stride = 24 + page_size
    for at in range(32, len(out) - stride + 1, stride):
        covered = bytes(out[at : at + 8]) + bytes(out[at + 24 : at + stride])
        sums = loop_checksum(covered, sums, big)
        struct.pack_into(">2I", out, at + 16, *sums)
    return bytes(out)


def wal_database(directory, page_size=4096, commits=5, rows=3, name="a.db", keep=()):
    """A WAL database whose commits live in the WAL alone; returns (main bytes, wal bytes, connection).

    The connection stays open (closing the last one would checkpoint). The files are read while it is open, which
    costs it its locks: harmless here, where nobody else opens them.
    """
    path = Path(directory) / name
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"pragma page_size={page_size}")
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma wal_autocheckpoint=0")
    connection.execute("create table t(a integer primary key, b text)")
    for commit in range(commits):
        connection.execute("begin")
        for row in range(rows):
            connection.execute("insert into t(b) values(?)", (f"{commit}/{row} " + "x" * 100,))
        connection.execute("commit")
    return path.read_bytes(), Path(f"{path}-wal").read_bytes(), connection


def rows_read(directory, main, wal, query="select a, b from t order by a"):
    """What SQLite itself makes of these bytes: the rows, or the exception's text."""
    directory = Path(directory)
    directory.mkdir(exist_ok=True, parents=True)
    (directory / "x.db").write_bytes(main)
    for side in ("x.db-wal", "x.db-shm"):
        (directory / side).unlink(missing_ok=True)
    if wal is not None:
        (directory / "x.db-wal").write_bytes(wal)
    with closing(sqlite3.connect(directory / "x.db")) as connection:
        try:
            return connection.execute(query).fetchall()
        except sqlite3.Error as error:
            return str(error)
