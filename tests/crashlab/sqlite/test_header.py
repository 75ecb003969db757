import random
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crashlab.sqlite.header import FileKind, read_header


def make(path, *pragmas, rows=10):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in pragmas:
            connection.execute(f"pragma {pragma}")
        connection.execute("create table t(a)")
        connection.execute("begin")
        connection.executemany("insert into t values(?)", [("x" * 100,)] * rows)
        connection.execute("commit")
    return path.read_bytes()


@pytest.mark.parametrize("page_size", [512, 1024, 4096, 65536])
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
def test_fields_agree_with_what_sqlite_says(tmp_path, page_size, encoding):
    path = tmp_path / "a.db"
    data = make(
        path,
        f"page_size={page_size}",
        f"encoding='{encoding}'",
        "auto_vacuum=incremental",
        "user_version=-7",
        "application_id=123456",
    )
    report = read_header(data)
    assert (report.kind, report.detail) == (FileKind.DATABASE, "")
    header = report.header
    with closing(sqlite3.connect(path)) as connection:

        def pragma(name):
            return connection.execute(f"pragma {name}").fetchone()[0]

        assert header.page_size == pragma("page_size") == page_size
        assert header.encoding == pragma("encoding") == encoding
        assert header.user_version == pragma("user_version") == -7
        assert header.application_id == pragma("application_id")
        assert header.schema_cookie == pragma("schema_version")
        assert header.size_pages == pragma("page_count")
        assert header.freelist_pages == pragma("freelist_count")
    assert header.auto_vacuum == "incremental"
    assert header.library == sqlite3.sqlite_version
    assert header.size_is_valid
    assert not header.wal_mode
    assert header.reserved_bytes == 0


def test_wal_mode_freelist_and_full_auto_vacuum(tmp_path):
    path = tmp_path / "a.db"
    make(path, "journal_mode=wal", rows=500)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("delete from t")
    header = read_header(path.read_bytes()).header
    assert header.wal_mode
    assert header.freelist_pages > 5
    assert header.auto_vacuum == "none"
    assert read_header(make(tmp_path / "b.db", "auto_vacuum=full")).header.auto_vacuum == "full"


def test_missing_pages_are_counted(tmp_path):
    data = make(tmp_path / "a.db", rows=500)
    report = read_header(data[: len(data) - 8192])
    assert report.kind is FileKind.DATABASE
    assert report.missing_pages == 2
    assert "of the" in report.detail


@pytest.mark.parametrize(
    ("data", "kind", "detail"),
    [
        (b"", FileKind.ZERO_LENGTH, "0 bytes"),
        (b"SQLite", FileKind.TRUNCATED, "6 bytes, a database header has 100"),
        (b"SQLite format 3\0" + bytes(83), FileKind.TRUNCATED, "99 bytes"),
        (b"SQLite format 3\0\x10\0" + bytes(982), FileKind.TRUNCATED, "less than one page of 4096"),
        (b"SQLite format 3\0\0\x07" + bytes(8000), FileKind.NOT_A_DATABASE, "page size 7 is no power of two"),
        (b"hello, world\n" * 100, FileKind.NOT_A_DATABASE, "begins with b'hello"),
        (bytes(4096), FileKind.NOT_A_DATABASE, "begins with"),
        (random.Random(1).randbytes(4096), FileKind.ENCRYPTED_LOOKING, "random-looking"),
        (random.Random(1).randbytes(4097), FileKind.NOT_A_DATABASE, "begins with"),
    ],
)
def test_what_is_no_database_is_named(data, kind, detail):
    report = read_header(data)
    assert report.kind is kind
    assert detail in report.detail


def test_random_pages_never_pass_for_text_nor_the_other_way_round():
    randomness = random.Random(7)
    kinds = {read_header(randomness.randbytes(4096)).kind for _ in range(500)}
    assert kinds == {FileKind.ENCRYPTED_LOOKING}


@given(st.binary(max_size=700), st.integers(0, 1 << 40))
def test_any_bytes_and_size_are_accepted(data, size):
    for start in (b"", b"SQLite format 3\0", b"SQLite format 3\0\x02\x00"):
        assert read_header(start + data, size).kind in FileKind
