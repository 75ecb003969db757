import sqlite3
from contextlib import closing

import pytest
from generated_databases import build
from real_databases import wal_database

from crashlab.sqlite.buffers import MemoryBuffer
from crashlab.sqlite.compare import commits, compare, place
from crashlab.sqlite.pages import database
from crashlab.sqlite.wal import parse_wal


@pytest.fixture
def story(tmp_path):
    """A WAL of 12 commits with a backup after each; (main before, WAL, backups by commit)."""
    main, _, connection = wal_database(tmp_path, 1024, commits=2)
    backups = {}
    for number in range(3, 12):
        connection.execute("begin")
        connection.execute("insert into t(b) values(?)", ("y" * 700,))
        connection.execute("update t set b = b || ? where a <= 3", (f"{number}",))
        connection.execute("commit")
        with closing(sqlite3.connect(tmp_path / f"backup{number}.db")) as copy:
            connection.backup(copy)
        wal = (tmp_path / "a.db-wal").read_bytes()
        backups[len(parse_wal(wal).commits)] = (tmp_path / f"backup{number}.db").read_bytes()
    connection.close()
    return main, wal, backups


def source(data):
    return database(MemoryBuffer(data))


def placed(file, main, wal):
    return place(source(file), MemoryBuffer(main), MemoryBuffer(wal), parse_wal(wal))


def test_pages_that_differ_are_named(tmp_path):
    build(tmp_path / "a.db", 3, page_size=1024)
    data = (tmp_path / "a.db").read_bytes()
    pages = len(data) // 1024
    other = bytearray(data)
    other[5 * 1024 + 3] ^= 1
    other[9 * 1024 - 1] ^= 1
    diff = compare(source(data), source(bytes(other)))
    assert diff.differing.tolist() == [6, 9]
    assert (diff.same, diff.first_only, diff.second_only, diff.equal) == (pages - 2, 0, 0, False)
    assert compare(source(data), source(data)).equal
    cut = compare(source(data), source(data[:-2048]))
    assert (cut.same, cut.first_only, cut.second_only, cut.equal) == (pages - 2, 2, 0, False)
    build(tmp_path / "b.db", 3, page_size=512)
    with pytest.raises(ValueError, match="can't be compared"):
        compare(source(data), source((tmp_path / "b.db").read_bytes()))


def test_the_commits_of_a_wal_say_what_they_wrote_and_what_main_has(story, tmp_path):
    main, wal, _ = story
    parsed = parse_wal(wal)
    before = list(commits(MemoryBuffer(main), MemoryBuffer(wal), parsed))
    assert [commit.number for commit in before] == list(range(1, len(parsed.commits) + 1))
    for last in (0, 1, 3, 99):
        some = list(commits(MemoryBuffer(main), MemoryBuffer(wal), parsed, last=last))
        assert some == before[max(0, len(before) - last) :]
    assert [commit.frames for commit in before] == list(parsed.commits)
    assert sum(commit.written for commit in before) == parsed.committed
    assert before[-1].database_pages == parsed.database_pages
    assert before[0].change_counter is not None
    assert before[0].schema_cookie == 1
    assert [commit.in_main for commit in before[1:]] == [0] * (len(before) - 1)
    after = list(commits(MemoryBuffer((tmp_path / "a.db").read_bytes()), MemoryBuffer(wal), parsed))
    assert after[-1].in_main == len(after[-1].pages)  # closing checkpointed everything


def test_a_backup_is_placed_at_its_commit(story):
    main, wal, backups = story
    for commit, backup in backups.items():
        # The backup's page 1 differs from the WAL's: the copy has its own change counter.
        found = placed(backup[:24] + database_page_one(wal, main, commit)[24:100] + backup[100:], main, wal)
        assert found.agree == ((commit, commit),)
        assert (found.best, found.unknown) == (commit, 0)


def database_page_one(wal, main, commit):
    parsed = parse_wal(wal)
    return database(MemoryBuffer(main), MemoryBuffer(wal), frames=parsed.commits[commit - 1]).page(1)


def test_a_copy_of_two_moments_agrees_with_no_commit(story):
    main, wal, _ = story
    parsed = parse_wal(wal)
    early = database(MemoryBuffer(main), MemoryBuffer(wal), frames=parsed.commits[4])
    late = database(MemoryBuffer(main), MemoryBuffer(wal), frames=parsed.commits[10])
    split = early.pages // 2
    torn = b"".join((early if page <= split else late).page(page) for page in range(1, late.pages + 1))
    mixed = placed(torn, main, wal)
    assert mixed.agree == ()
    assert mixed.possible[0][0] == 0
    assert 0 < mixed.best_pages < mixed.pages
    whole = b"".join(late.page(page) for page in range(1, late.pages + 1))
    assert placed(whole, main, wal).agree == ((11, 11),)


def test_main_is_placed_before_its_wal_or_after_its_checkpoint(story, tmp_path):
    main, wal, _ = story
    last = len(parse_wal(wal).commits)
    assert placed(main, main, wal).agree == ((0, 0),)
    checkpointed = (tmp_path / "a.db").read_bytes()
    assert placed(checkpointed, checkpointed, wal).agree == ((last, last),)


def test_a_page_written_unchanged_does_not_move_the_main_file(tmp_path):
    """``update`` of a row to what it is writes its page as it was."""
    main, _, connection = wal_database(tmp_path, 1024, commits=30)
    connection.execute("pragma wal_checkpoint(full)")
    connection.execute("update t set b = b where a = 50")
    connection.execute("insert into t(b) values('new')")
    main, wal = (tmp_path / "a.db").read_bytes(), (tmp_path / "a.db-wal").read_bytes()
    connection.close()
    found = placed(main, main, wal)
    assert found.possible[0][0] == 0
    assert found.agree in ((), ((0, 0),))
    assert (found.best, found.unknown) == (0, 0)


def test_pages_of_something_else_are_unknown(story):
    main, wal, _ = story
    found = placed(b"\x55" * len(main) * 6, main, wal)
    assert found.pages == 0  # no database at all: its page size is not known
    other = bytearray(database_page_one(wal, main, 3) + b"\x55" * 1024 * 5)
    other[28:32] = (6).to_bytes(4)
    assert placed(bytes(other), main, wal).unknown == 5 - (parse_wal(wal).database_pages < 6)
