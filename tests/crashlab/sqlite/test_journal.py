"""Rollback journals: what SQLite's own rollback makes of the same files is the oracle."""

import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import pytest
from generated_databases import build, change
from hypothesis import given
from hypothesis import strategies as st

from crashlab.sqlite.buffers import MemoryBuffer
from crashlab.sqlite.journal import MAGIC, JournalState, parse_journal, rolled_back, super_journal_names
from crashlab.sqlite.walk import walk


def interrupted(directory, seed, *, page_size=1024, pragmas=(), times=60):
    """Main file and journal of a database in the middle of a transaction that has spilled to the file."""
    random = Random(f"journal {seed}")
    path = Path(directory) / "a.db"
    build(path, seed, page_size=page_size, changes=120, longest=300)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("cache_size=5", *pragmas):
            connection.execute(f"pragma {pragma}")
        connection.execute("begin immediate")
        for _ in range(3):
            change(connection, random, 300, fts=False, times=times)
        found = path.read_bytes(), Path(f"{path}-journal").read_bytes()
        connection.execute("rollback")
    return found


def by_sqlite(directory, main, journal):
    """The main file after SQLite opened it beside the journal, and whether the journal is still there."""
    directory = Path(directory)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / "x.db").write_bytes(main)
    (directory / "x.db-journal").write_bytes(journal)
    with closing(sqlite3.connect(directory / "x.db")) as connection, suppress(sqlite3.DatabaseError):
        connection.execute("select count(*) from sqlite_master").fetchall()
    return (directory / "x.db").read_bytes(), (directory / "x.db-journal").exists()


def by_us(main, journal):
    source = rolled_back(MemoryBuffer(main), MemoryBuffer(journal), parse_journal(MemoryBuffer(journal)))
    return b"".join(source.page(number) for number in range(1, source.pages + 1))


@pytest.mark.parametrize("pragmas", [(), ("synchronous=off",), ("journal_mode=persist",), ("journal_mode=truncate",)])
@pytest.mark.parametrize("seed", range(6))
def test_a_hot_journal_rolls_back_to_what_sqlite_makes_of_it(tmp_path, seed, pragmas):
    page_size = (512, 1024, 2048, 4096, 16384, 65536)[seed]
    main, journal = interrupted(tmp_path, seed, page_size=page_size, pragmas=pragmas)
    parsed = parse_journal(MemoryBuffer(journal))
    assert (parsed.state, parsed.problem, parsed.page_size) == (JournalState.HOT, "", page_size)
    assert parsed.records >= len(parsed.pages) > 0
    expected, _ = by_sqlite(tmp_path / "sqlite", main, journal)
    assert by_us(main, journal) == expected
    assert expected != main
    source = rolled_back(MemoryBuffer(main), MemoryBuffer(journal), parsed)
    assert not walk(source).problems


def test_several_syncs_leave_several_segments(tmp_path):
    _, journal = interrupted(tmp_path, 2, page_size=512, times=150)
    parsed = parse_journal(MemoryBuffer(journal))
    assert len(parsed.segments) > 2
    assert len({segment.nonce for segment in parsed.segments}) > 1
    assert all(segment.offset % parsed.sector_size == 0 for segment in parsed.segments)


@pytest.fixture(scope="module")
def interruptions(tmp_path_factory):
    return [interrupted(tmp_path_factory.mktemp("journal"), seed, page_size=512) for seed in range(4)]


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_journal_is_followed_as_far_as_sqlite_follows_it(tmp_path, interruptions, seed):
    random = Random(seed)
    main, journal = interruptions[seed % 4]
    data = bytearray(journal)
    parsed = parse_journal(MemoryBuffer(journal))
    how = random.choice(("flip", "cut", "zero", "count", "record"))
    if how == "flip":
        data[random.randrange(28, len(data))] ^= 1 << random.randrange(8)
    elif how == "cut":
        del data[random.randrange(parsed.sector_size, len(data)) :]
    elif how == "zero":
        at = random.randrange(parsed.sector_size, len(data))
        data[at : at + 2000] = bytes(len(data[at : at + 2000]))
    elif how == "count":
        data[8:12] = random.choice((0, 1, 3, 0xFFFFFFFF)).to_bytes(4)
    else:
        at = parsed.sector_size + random.randrange(parsed.segments[0].records) * 520
        data[at : at + 4] = random.choice((0, 1, 2, 99999)).to_bytes(4)
    expected, _ = by_sqlite(tmp_path / "sqlite", main, bytes(data))
    assert by_us(main, bytes(data)) == expected, how


def test_a_wrong_checksum_is_a_problem_and_the_twin_has_none(tmp_path):
    main, journal = interrupted(tmp_path, 1)
    twin = parse_journal(MemoryBuffer(journal))
    data = bytearray(journal)
    data[twin.sector_size + 2 * (1024 + 8) + 4 + 1024 - 200] ^= 1  # a byte of the third record that is summed
    parsed = parse_journal(MemoryBuffer(bytes(data)))
    assert (twin.problem, parsed.segments[0].records) == ("", 2)
    assert "record 2 of" in parsed.problem
    assert "wrong checksum" in parsed.problem
    assert by_us(main, bytes(data)) != by_us(main, journal)


def test_states_of_a_journal_that_is_done(tmp_path):
    main, journal = interrupted(tmp_path, 3)
    assert parse_journal(MemoryBuffer(b"")).state is JournalState.EMPTY
    assert parse_journal(MemoryBuffer(b"hello, world" * 9)).state is JournalState.FOREIGN
    finished = bytes(28) + journal[28:]
    assert parse_journal(MemoryBuffer(finished)).state is JournalState.FINISHED
    assert by_sqlite(tmp_path / "sqlite", main, finished)[0] == main
    assert main.startswith(by_us(main, finished))  # the header's size is still that before the transaction
    path = tmp_path / "p.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in ("pragma journal_mode=persist", "create table t(a)", "insert into t values(1)"):
            connection.execute(statement)
        assert parse_journal(MemoryBuffer(Path(f"{path}-journal").read_bytes())).state is JournalState.FINISHED
        connection.execute("begin immediate")
        connection.execute("insert into t values(2)")  # nothing is synced or counted yet
        early = Path(f"{path}-journal").read_bytes()
        connection.execute("rollback")
    assert parse_journal(MemoryBuffer(early)).state is JournalState.UNSYNCED


@pytest.mark.parametrize("there", [True, False])
def test_a_super_journal_is_named_and_sqlite_understands_the_name_too(tmp_path, there):
    """A transaction over two files is finished when the super-journal is deleted: then nothing is rolled back."""
    main, journal = interrupted(tmp_path, 4, times=20)
    name = str(tmp_path / "x.db-mj123456789").encode()
    lock_page = (1 << 30) // 1024 + 1
    record = lock_page.to_bytes(4) + name + len(name).to_bytes(4) + (sum(name) & 0xFFFFFFFF).to_bytes(4) + MAGIC
    named = journal + record
    if there:
        # a journal with a super-journal is rolled back while that is there and names it
        journals = str(tmp_path / "sqlite" / "x.db-journal").encode() + b"\0other.db-journal\0"
        Path(name.decode()).write_bytes(journals)
        names = super_journal_names(MemoryBuffer(journals))
        assert names == (str(tmp_path / "sqlite" / "x.db-journal"), "other.db-journal")
    parsed = parse_journal(MemoryBuffer(named))
    assert parsed.super_journal == name.decode()
    assert parse_journal(MemoryBuffer(journal)).super_journal == ""
    expected, _ = by_sqlite(tmp_path / "sqlite", main, named)
    assert expected == (by_us(main, named) if there else main)


@given(st.binary(max_size=3000), st.sampled_from([0, 1, 40, 0xFFFFFFFF]), st.sampled_from([32, 512, 4096, 7]))
def test_any_bytes_are_accepted(data, count, sector):
    parse_journal(MemoryBuffer(data))
    header = MAGIC + b"".join(field.to_bytes(4) for field in (count, 1, 5, sector, 512))
    parsed = parse_journal(MemoryBuffer(header + data))
    assert parsed.state in JournalState
    assert parsed.records * 520 <= len(data)
