import sqlite3
import struct
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_databases import rechecksummed, rows_read, wal_database

from crashlab.sqlite.wal import ChainEnd, Wal, latest_pages, parse_wal


def stride(page_size):
    return page_size + 24


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("page_size", [512, 1024, 4096, 32768, 65536])
def test_a_wal_made_by_sqlite_is_read_whole(tmp_path, page_size, big_endian):
    main, wal, connection = wal_database(tmp_path, page_size)
    expected = connection.execute("select a, b from t order by a").fetchall()
    pages = connection.execute("pragma page_count").fetchone()[0]
    connection.close()
    wal = rechecksummed(wal, big_endian)
    parsed = parse_wal(wal)
    frames = (len(wal) - 32) // stride(page_size)
    assert (parsed.problem, parsed.end) == ("", ChainEnd.END_OF_FILE)
    assert parsed.header.big_endian is big_endian
    assert (parsed.page_size, parsed.header.version) == (page_size, 3007000)
    assert parsed.valid == parsed.committed == frames
    assert parsed.uncommitted == parsed.tail_frames == parsed.trailing_bytes == 0
    assert len(parsed.commits) == 6  # one for the table, five of rows
    assert parsed.database_pages == pages
    assert rows_read(tmp_path / "sqlite", main, wal) == expected  # SQLite believes this WAL too


def test_the_file_as_sqlite_left_it_carries_right_checksums(tmp_path):
    _, wal, connection = wal_database(tmp_path)
    connection.close()
    assert rechecksummed(wal) == wal
    assert parse_wal(wal).valid == (len(wal) - 32) // 4120


def test_frames_name_their_pages_and_offsets(tmp_path):
    _, wal, connection = wal_database(tmp_path, 1024)
    connection.close()
    parsed = parse_wal(wal)
    for index, frame in enumerate(parsed.frames):
        assert frame.offset == parsed.offset(index) == 32 + index * 1048
        assert struct.unpack_from(">2I", wal, frame.offset) == (frame.page, frame.commit_size)


def test_replaying_the_latest_pages_gives_the_database_that_sqlite_checkpoints(tmp_path):
    main, wal, connection = wal_database(tmp_path, 1024, commits=30)
    connection.execute("pragma wal_checkpoint(truncate)")
    checkpointed = (tmp_path / "a.db").read_bytes()
    connection.close()
    parsed = parse_wal(wal)
    replayed = bytearray(parsed.database_pages * 1024)
    replayed[: len(main)] = main
    for page, frame in latest_pages(parsed).items():
        at = parsed.offset(frame) + 24
        replayed[(page - 1) * 1024 : page * 1024] = wal[at : at + 1024]
    assert bytes(replayed) == checkpointed


def test_every_commit_is_a_state_that_can_be_asked_for(tmp_path):
    _, wal, connection = wal_database(tmp_path, commits=8)
    connection.close()
    parsed = parse_wal(wal)
    earlier = latest_pages(parsed, parsed.commits[2])
    assert max(earlier.values()) < parsed.commits[2]
    assert latest_pages(parsed, parsed.commits[-1]) == latest_pages(parsed)
    assert latest_pages(parsed, 0) == {}
    with pytest.raises(ValueError, match="no commit ends at frame count"):
        latest_pages(parsed, parsed.committed + 1)


def test_pages_cut_off_by_a_vacuum_are_left_out(tmp_path):
    _, _, connection = wal_database(tmp_path, 512, commits=40)
    before = connection.execute("pragma page_count").fetchone()[0]
    connection.execute("delete from t where a > 3")
    connection.execute("vacuum")
    wal = (tmp_path / "a.db-wal").read_bytes()
    after = connection.execute("pragma page_count").fetchone()[0]
    connection.close()
    parsed = parse_wal(wal)
    assert parsed.database_pages == after < before
    assert max(latest_pages(parsed)) == after
    assert max(parsed.pages) > after


def test_a_spilled_transaction_counts_as_valid_but_uncommitted(tmp_path):
    _, _, connection = wal_database(tmp_path)
    connection.execute("pragma cache_size=2")
    connection.execute("begin")
    for _ in range(400):
        connection.execute("insert into t(b) values(?)", ("y" * 500,))
    wal = (tmp_path / "a.db-wal").read_bytes()
    connection.execute("rollback")
    connection.close()
    parsed = parse_wal(wal)
    assert parsed.uncommitted > 10
    assert parsed.committed == parsed.commits[-1]
    assert parsed.valid == parsed.committed + parsed.uncommitted
    assert parsed.end is ChainEnd.END_OF_FILE
    assert max(latest_pages(parsed).values()) < parsed.committed


@pytest.mark.parametrize("kept", [1, 23, 24, 25, 4119])
def test_a_last_frame_cut_short_is_a_partial_frame(tmp_path, kept):
    _, wal, connection = wal_database(tmp_path)
    connection.close()
    whole = parse_wal(wal)
    cut = parse_wal(wal[: whole.offset(whole.valid - 1) + kept])
    assert cut.end is ChainEnd.PARTIAL_FRAME
    assert cut.trailing_bytes == kept
    assert cut.pages == whole.pages[:-1]
    assert cut.committed == whole.commits[-2]


def test_a_torn_frame_ends_the_chain_and_hides_the_frames_behind_it(tmp_path):
    main, wal, connection = wal_database(tmp_path, commits=10)
    connection.close()
    whole = parse_wal(wal)
    torn_at = whole.commits[3]
    torn = bytearray(wal)
    torn[whole.offset(torn_at) + 24 + 2000 : whole.offset(torn_at + 1)] = bytes(2096)
    parsed = parse_wal(torn)
    assert parsed.end is ChainEnd.CHECKSUM
    assert parsed.valid == torn_at
    assert parsed.committed == whole.commits[3]
    assert parsed.tail_frames == whole.valid - torn_at
    assert [(run.first_frame, run.frames, run.current) for run in parsed.tail] == [
        (torn_at, whole.valid - torn_at, True)
    ]
    assert len(rows_read(tmp_path / "sqlite", main, bytes(torn))) == 9  # SQLite's own recovery agrees: 3 x 3 rows


def test_frames_of_an_earlier_generation_are_told_apart(tmp_path):
    _, _, connection = wal_database(tmp_path, commits=20)
    old = parse_wal((tmp_path / "a.db-wal").read_bytes())
    connection.execute("pragma wal_checkpoint(full)")
    connection.execute("insert into t(b) values('new')")  # restarts the WAL from its beginning
    wal = (tmp_path / "a.db-wal").read_bytes()
    connection.close()
    parsed = parse_wal(wal)
    assert parsed.end is ChainEnd.SALT
    assert parsed.header.checkpoint_seq == old.header.checkpoint_seq + 1
    assert parsed.valid == parsed.committed < 5
    assert [(run.salts, run.first_frame, run.frames, run.current) for run in parsed.tail] == [
        (old.header.salts, parsed.valid, old.valid - parsed.valid, False)
    ]
    assert parsed.tail_frames == old.valid - parsed.valid


def test_page_number_zero_ends_the_chain(tmp_path):
    _, wal, connection = wal_database(tmp_path)
    connection.close()
    whole = parse_wal(wal)
    zeroed = bytearray(wal)
    struct.pack_into(">I", zeroed, whole.offset(4), 0)
    parsed = parse_wal(rechecksummed(bytes(zeroed)))
    assert (parsed.end, parsed.valid) == (ChainEnd.PAGE_ZERO, 4)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda wal: b"", "zero length"),
        (lambda wal: wal[:31], "31 bytes, a WAL header has 32"),
        (lambda wal: b"\0" * len(wal), "magic number 0x00000000"),
        (lambda wal: wal[:8] + struct.pack(">I", 1000) + wal[12:], "page size 1000 is no power of two"),
        (lambda wal: wal[:8] + struct.pack(">I", 0) + wal[12:], "page size 0 is no power of two"),
        (lambda wal: wal[:8] + struct.pack(">I", 1 << 31) + wal[12:], "page size 2147483648"),
        (lambda wal: wal[:17] + bytes([wal[17] ^ 1]) + wal[18:], "header checksum mismatch"),
        (lambda wal: rechecksummed(wal[:4] + struct.pack(">I", 3007001) + wal[8:]), "format version 3007001"),
    ],
)
def test_a_header_that_sqlite_would_not_take_is_named(tmp_path, spoil, problem):
    _, wal, connection = wal_database(tmp_path)
    connection.close()
    parsed = parse_wal(spoil(wal))
    assert problem in parsed.problem
    assert parsed.end in (ChainEnd.HEADER, ChainEnd.EMPTY)
    assert parsed.frames == () == parsed.commits
    assert parsed.page_size == parsed.committed == parsed.database_pages == 0


def test_a_header_alone_is_a_sound_empty_wal(tmp_path):
    _, wal, connection = wal_database(tmp_path)
    connection.close()
    parsed = parse_wal(wal[:32])
    assert (parsed.problem, parsed.end, parsed.valid) == ("", ChainEnd.END_OF_FILE, 0)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sample")
    main, wal, connection = wal_database(directory, 512, commits=12)
    connection.close()
    return directory, main, wal


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_recovery_by_sqlite_and_the_parser_agree_on_damaged_wals(sample, data):
    """For any cut and any few flipped bytes: SQLite recovers exactly the commits that the parser counts."""
    directory, main, wal = sample
    spoiled = bytearray(wal[: data.draw(st.integers(0, len(wal)), label="length")])
    for at in data.draw(st.lists(st.integers(0, max(0, len(spoiled) - 1)), max_size=3), label="flips"):
        if spoiled:
            spoiled[at] ^= data.draw(st.integers(1, 255))
    parsed = parse_wal(bytes(spoiled))
    got = rows_read(directory / "hyp", main, bytes(spoiled), "select count(*) from t")
    if "format version" in parsed.problem:
        assert got == "unable to open database file"
    else:
        commits = len(parsed.commits)
        assert got == ([((commits - 1) * 3,)] if commits else "no such table: t")


@given(st.binary(max_size=3000))
def test_any_bytes_are_accepted(data):
    parsed = parse_wal(data)
    assert isinstance(parsed, Wal)
    assert parse_wal(memoryview(data)) == parsed


@given(page_size=st.sampled_from([512, 1024, 65536]), body=st.binary(max_size=5000))
def test_hostile_frames_behind_a_sound_header(page_size, body):
    header = struct.pack(">6I", 0x377F0683, 3007000, page_size, 0, 1, 2) + bytes(8)
    parsed = parse_wal(rechecksummed(header)[:32] + body)
    assert parsed.problem == ""
    whole, trailing = divmod(len(body), stride(page_size))
    assert (parsed.valid + parsed.tail_frames, parsed.trailing_bytes) == (whole, trailing)


def test_a_frame_with_salts_of_its_own_each_is_bounded():
    header = rechecksummed(struct.pack(">6I", 0x377F0682, 3007000, 512, 0, 1, 2) + bytes(8))
    frames = b"".join(struct.pack(">6I", 1, 0, salt, salt, 0, 0) + bytes(512) for salt in range(9, 2009))
    parsed = parse_wal(header + frames)
    assert (parsed.tail_frames, len(parsed.tail)) == (2000, 64)


def test_max_frame_of_the_index_equals_committed(tmp_path):
    _, wal, connection = wal_database(tmp_path)
    with closing(sqlite3.connect(tmp_path / "a.db")) as second:
        busy, log, _ = second.execute("pragma wal_checkpoint(passive)").fetchone()
    connection.close()
    assert busy == 0
    assert log == parse_wal(wal).committed
