from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_databases import wal_database

from crashlab.sqlite.buffers import MemoryBuffer
from crashlab.sqlite.generations import generations, laid_over_remnant
from crashlab.sqlite.pages import database
from crashlab.sqlite.rows import rows
from crashlab.sqlite.wal import parse_wal
from crashlab.sqlite.walk import walk


def restarted(directory, page_size=1024, restarts=1):
    """A WAL written over from its beginning; returns main and WAL before the first restart, and both after."""
    main, wal, connection = wal_database(directory, page_size, commits=40)
    for restart in range(restarts):
        connection.execute("pragma wal_checkpoint(full)")
        for row in range(3 - restart):
            connection.execute("insert into t(b) values(?)", (f"generation {restart} row {row}",))
    after = (directory / "a.db").read_bytes(), (directory / "a.db-wal").read_bytes()
    connection.close()
    return (main, wal), after


def found_in(wal):
    return generations(MemoryBuffer(wal), parse_wal(wal))


def a_rows(source):
    schema = walk(source).schema
    return [row.rowid for row in rows(source, schema.tree("t")) if not row.problem]


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_an_earlier_generation_is_proven_frame_by_frame(tmp_path, page_size):
    (_, old), (_, wal) = restarted(tmp_path, page_size)
    before, after = parse_wal(old), parse_wal(wal)
    (generation,) = found_in(wal).found
    (remnant,) = generation.remnants
    assert (generation.salts, generation.current) == (before.header.salts, False)
    assert (remnant.first, remnant.frames) == (after.valid, before.valid - after.valid)
    assert remnant.pages == before.pages[after.valid :]
    assert remnant.commits == tuple(end - after.valid for end in before.commits if end > after.valid)
    assert not remnant.first_proven  # the frame before it is written over


def test_two_restarts_leave_two_generations(tmp_path):
    _, (_, wal) = restarted(tmp_path, restarts=2)
    found = found_in(wal).found
    assert len(found) == 2
    assert [generation.current for generation in found] == [False, False]
    assert sum(generation.frames for generation in found) == parse_wal(wal).tail_frames


def test_no_tail_no_generations(tmp_path):
    (_, wal), _ = restarted(tmp_path)
    assert found_in(wal) == found_in(b"") == found_in(wal[:40])


def test_commits_of_an_earlier_generation_over_the_main_file_of_its_time(tmp_path):
    """Time travel: all rows of each commit, where the main file has not moved on."""
    (main, old), (_, wal) = restarted(tmp_path)
    parsed = parse_wal(wal)
    (remnant,) = found_in(wal).found[0].remnants
    whole = database(MemoryBuffer(main), MemoryBuffer(old))
    last = laid_over_remnant(MemoryBuffer(main), MemoryBuffer(wal), parsed, remnant, remnant.commits[-1])
    kept = set(remnant.pages)
    assert all(last.page(page) == whole.page(page) for page in kept)
    with pytest.raises(ValueError, match="no commit ends at frame count"):
        laid_over_remnant(MemoryBuffer(main), MemoryBuffer(wal), parsed, remnant, remnant.frames + 1)


def test_frames_behind_a_tear_are_intact_and_can_be_read(tmp_path):
    """SQLite drops everything behind a torn frame; here only the torn commit is missing its page."""
    main, wal, connection = wal_database(tmp_path, 1024, commits=40)
    everything = [a for (a,) in connection.execute("select a from t order by a")]
    connection.close()
    whole = parse_wal(wal)
    torn = bytearray(wal)
    at = whole.offset(whole.commits[10]) + 24
    torn[at + 500 : at + 1024] = bytes(524)
    parsed = parse_wal(bytes(torn))
    (generation,) = found_in(bytes(torn)).found
    assert generation.current
    assert parsed.valid == whole.commits[10]
    (behind,) = [remnant for remnant in generation.remnants if remnant.commits]
    assert (behind.first, behind.frames) == (parsed.valid, whole.valid - parsed.valid)
    assert not behind.first_proven  # the torn frame itself: its stored checksum proves the next one
    base = database(MemoryBuffer(main), MemoryBuffer(bytes(torn)), parsed=parsed)
    lifted = laid_over_remnant(MemoryBuffer(main), MemoryBuffer(bytes(torn)), parsed, behind, behind.commits[-1])
    assert len(a_rows(base)) < len(everything)
    assert set(a_rows(lifted)) <= set(everything)
    assert max(a_rows(lifted)) == everything[-1]


def test_a_changed_byte_in_the_tail_breaks_the_remnant_there_and_only_there(tmp_path):
    _, (_, wal) = restarted(tmp_path)
    (twin,) = found_in(wal).found[0].remnants
    broken = bytearray(wal)
    hit = twin.first + twin.frames // 2
    broken[32 + hit * 1048 + 24 + 7] ^= 1
    first, second = found_in(bytes(broken)).found[0].remnants
    assert (first.first, first.frames) == (twin.first, hit - twin.first)
    assert second.first == hit  # its own content is in doubt, and what follows it is proven
    assert first.frames + second.frames == twin.frames


def test_remnants_are_capped_and_counted(tmp_path):
    _, (_, wal) = restarted(tmp_path, 512)
    parsed = parse_wal(wal)
    broken = bytearray(wal)
    frames = range(parsed.valid, (len(wal) - 32) // 536)
    for frame in frames[::2]:
        broken[32 + frame * 536 + 24] ^= 1
    many = generations(MemoryBuffer(bytes(broken) + bytes(broken[32:]) * 3), parse_wal(bytes(broken)))
    found = generations(MemoryBuffer(bytes(broken)), parse_wal(bytes(broken)))
    kept = sum(len(generation.remnants) for generation in found.found)
    assert kept <= 64
    assert kept + found.more + found.lone == len(frames[::2]) or found.more
    assert many.found[0].frames <= len(frames)


@pytest.fixture(scope="module")
def a_tail(tmp_path_factory):
    return restarted(tmp_path_factory.mktemp("wal"), 512)[1][1]


@given(st.integers(0, 1 << 32))
def test_mutated_tails_never_raise(a_tail, seed):
    random = Random(seed)
    data = bytearray(a_tail)
    for _ in range(random.randrange(1, 30)):
        data[random.randrange(len(data))] = random.randrange(256)
    found_in(bytes(data[: random.randrange(len(data))]))
    found = found_in(bytes(data))
    frames = sum(generation.frames for generation in found.found)
    assert frames <= parse_wal(bytes(data)).tail_frames
