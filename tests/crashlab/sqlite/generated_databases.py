"""Databases of every make from a seed: page sizes, encodings, auto-vacuum, WITHOUT ROWID, overflow, FTS5, freelists."""

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

PAGE_SIZES = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
ENCODINGS = ("UTF-8", "UTF-16le", "UTF-16be")
SCHEMA = """
create table plain(a integer primary key, b text unique, c real, d blob);
create index plain_c on plain(c, b);
create index plain_some on plain(d) where a > 5;
create table keyed(x int, y text, z, primary key(y, x)) without rowid;
create index keyed_z on keyed(z);
create table "odd ""name"(u, v as (u + 1) virtual, w as (u + 2) stored, "select" integer default 3, r real);
create table counted(a integer primary key autoincrement, b varchar(10) collate nocase);
create view looks as select a from plain;
create trigger fires after delete on keyed begin delete from counted where a = old.x; end;
"""


def text(random, longest):
    letters = random.choice(("abc xyz", "äöüß€", "日本語テ", "\U0001f600 a"))
    return "".join(random.choices(letters, k=random.randrange(longest)))


def value(random, longest):
    return random.choice(
        (
            None,
            0,
            1,
            random.randrange(-300, 300),
            random.randrange(-(1 << 63), 1 << 63),
            random.randrange(-(1 << 40), 1 << 40),
            random.random() * 1e9,
            float("inf"),
            text(random, longest),
            random.randbytes(random.randrange(longest)),
        )
    )


def change(connection, random, longest, *, fts, times):
    """Insert, update and delete at random."""
    for _ in range(times):
        key = random.choice((random.randrange(400), random.randrange(-(1 << 63), 1 << 63)))
        small = random.randrange(3 * longest // 2)
        row = (key, text(random, small + 1) + str(key), random.choice((key, 0.5, None, 7)), value(random, longest))
        connection.execute("insert or replace into plain values(?,?,?,?)", row)
        row = (random.randrange(50), text(random, 30), value(random, longest))
        connection.execute("insert or replace into keyed values(?,?,?)", row)
        connection.execute('insert into "odd ""name"(u, r) values(?,?)', (value(random, 20), random.randrange(9)))
        connection.execute("insert into counted(b) values(?)", (text(random, 9),))
        if fts:
            connection.execute("insert into words values(?,?)", (text(random, 60) + " common", text(random, 9)))
    keys = {"plain": "a", "keyed": "x", '"odd ""name"': "rowid", "counted": "a", "words": "rowid"}
    for table, key in keys.items():
        drawn, share = random.random(), random.randrange(9)
        if drawn < 0.7 and (fts or table != "words"):
            connection.execute(f"delete from {table} where abs({key} % 10) < ?", (share,))


def build(path, seed, *, changes=40, journal="delete", page_size=None, longest=None):
    """Make the database of a seed at ``path`` and leave it closed; returns its pragmas."""
    random = Random(f"{seed}")
    drawn = random.choice(PAGE_SIZES)
    page_size = page_size or drawn
    encoding, vacuum = random.choice(ENCODINGS), random.choice((0, 0, 1, 2))
    fts = random.random() < 0.6
    drawn = random.choice((20, 300, 3000))
    longest = longest or drawn
    Path(path).unlink(missing_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in (f"page_size={page_size}", f"encoding='{encoding}'", f"auto_vacuum={vacuum}", "synchronous=off"):
            connection.execute(f"pragma {pragma}")
        connection.execute(f"pragma journal_mode={journal}")
        connection.executescript(SCHEMA)
        if fts:
            connection.execute("create virtual table words using fts5(body, title)")
        for _ in range(random.randrange(1, 4)):
            connection.execute("begin")
            change(connection, random, longest, fts=fts, times=random.randrange(changes))
            connection.execute("commit")
        connection.execute('alter table "odd ""name" add column late real default 5')
        connection.execute("alter table counted add column note text default 'it''s'")
        connection.execute("begin")
        change(connection, random, longest, fts=fts, times=random.randrange(changes // 4 + 1))
        connection.execute("commit")
        if random.random() < 0.4:
            connection.execute("drop index plain_c")
        if random.random() < 0.3:
            connection.execute("delete from plain")
        if vacuum == 2 and random.random() < 0.5:
            connection.execute("pragma incremental_vacuum(3)")
        if random.random() < 0.2:
            connection.execute("analyze")
    return {"page_size": page_size, "encoding": encoding, "auto_vacuum": vacuum, "fts": fts}


def tables(connection):
    """Name of every table that has rows of its own, in the schema's order."""
    query = "select name from sqlite_master where type='table' and rootpage > 0"
    return [name for (name,) in connection.execute(query)]
