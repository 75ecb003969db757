"""Any bytes end in a database that passes SQLite's check, or in an error of crashlab's own; quickly."""

import sqlite3
import time

import pytest

from crashlab.diagnosis.salvage.choose import default_choice, listed
from crashlab.diagnosis.salvage.generations import Sources
from crashlab.diagnosis.salvage.make import Wish, make
from crashlab.diagnosis.salvage.mend import mend
from crashlab.errors import CrashlabError
from crashlab.model.seed import rng_for
from crashlab.sqlite.buffers import MemoryBuffer
from crashlab.sqlite.pages import database

SECONDS_MAX = 5.0


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Main file and WAL of a database that is open."""
    path = tmp_path_factory.mktemp("hostile") / "a.db"
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in (
        "pragma page_size=512",
        "pragma auto_vacuum=full",
        "pragma journal_mode=wal",
        "pragma wal_autocheckpoint=0",
        "create table t(a integer primary key, b text unique, c blob)",
        "create table u(a text primary key, b) without rowid",
        "create virtual table f using fts5(x)",
        "create trigger r after insert on u begin delete from t; end",
    ):
        connection.execute(statement)
    for number in range(30):
        connection.execute("insert into t values (?, ?, zeroblob(900))", (number, f"row {number}"))
        connection.execute("insert into u values (?, ?)", (f"key {number}", number))
        connection.execute("insert into f values (?)", (f"words of {number}",))
        if number == 15:
            connection.execute("pragma wal_checkpoint")
    found = path.read_bytes(), path.with_name("a.db-wal").read_bytes()
    connection.close()
    return found


def mutated(rng, data):
    made = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 3, 20))):
        at = rng.randrange(len(made)) if rng.random() < 0.5 else rng.randrange(min(len(made), 1500))
        made[at] = rng.choice((0, 1, 255, 128, rng.randrange(256)))
    how = rng.random()
    if how < 0.1:
        del made[rng.randrange(len(made)) :]
    elif how < 0.25:
        start, other = (rng.randrange(len(made)) // 512 * 512 for _ in range(2))
        made[start : start + 512] = made[other : other + 512]
    return bytes(made)


@pytest.mark.parametrize("mutations", [12, pytest.param(600, marks=pytest.mark.nightly)])
def test_no_bytes_break_it(files, tmp_path, mutations):
    rng = rng_for(8, "hostile salvage", mutations)
    slowest, made = 0.0, 0
    wal, new = tmp_path / "wal", tmp_path / "new.db"
    for number in range(mutations):
        main = MemoryBuffer(mutated(rng, files[0]))
        wal.write_bytes(mutated(rng, files[1]))
        new.unlink(missing_ok=True)
        began = time.process_time()  # of this process: the machine may be busy
        try:
            mend(wal, "wal", main, database(main).page_size)
            sources = Sources(main, [("wal", MemoryBuffer(wal.read_bytes()))])
            best, _ = default_choice(sources)
            if number % 10 == 0:
                listed(sources)
            done = make(sources, Wish(best.id, merge=("main",), renumber=True, orphans=True, rows_max=100_000), new)
        except CrashlabError:
            continue
        finally:
            slowest = max(slowest, time.process_time() - began)
        assert not done.checks["integrity_check"], (number, done)
        made += 1
    assert made > mutations // 2
    assert slowest < SECONDS_MAX


def test_a_schema_of_a_thousand_names_for_one_tree_is_read_once(tmp_path):
    """Each entry points to the same root; every row would come a thousand times."""
    path = tmp_path / "a.db"
    connection = sqlite3.connect(path)
    connection.execute("create table t(a)")
    connection.executemany("insert into t values (?)", [(number,) for number in range(500)])
    connection.execute("pragma writable_schema=on")
    for number in range(1000):
        sql = "insert into sqlite_master select type, ?1, ?1, rootpage, 'create table ' || ?1 || '(a)'"
        connection.execute(f"{sql} from sqlite_master where name = 't'", (f"t{number}",))
    connection.commit()
    connection.close()
    began = time.process_time()
    made = make(Sources(MemoryBuffer(path.read_bytes()), []), Wish("main"), tmp_path / "b.db")
    assert sum(table.rows for table in made.tables) == 500
    assert time.process_time() - began < 30
