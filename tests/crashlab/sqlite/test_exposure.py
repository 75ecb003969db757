import random
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_databases import wal_database

from crashlab.sqlite.exposure import measure_exposure
from crashlab.sqlite.wal import parse_wal


def by_definition(main, wal):
    """The docstring's definition, frame by frame, with no cleverness."""
    parsed = parse_wal(wal)
    size = parsed.page_size
    images = {}
    for index, frame in enumerate(parsed.frames[: parsed.committed]):
        if frame.page <= parsed.database_pages:
            at = frame.offset + 24
            images.setdefault(frame.page, []).append((index, bytes(wal[at : at + size])))
    exposed, pages = set(), 0
    for page, history in images.items():
        there = bytes(main[(page - 1) * size : page * size])
        same = [place for place, (_, image) in enumerate(history) if image == there]
        behind = history[same[-1] + 1 :] if same else history
        exposed.update(index for index, _ in behind)
        pages += bool(behind)
    starts = [0, *parsed.commits]
    commits = sum(
        any(index in exposed for index in range(low, high)) for low, high in zip(starts, parsed.commits, strict=False)
    )
    return len(exposed), pages, commits


def test_everything_is_exposed_before_a_checkpoint_and_nothing_after(tmp_path):
    main, wal, connection = wal_database(tmp_path, commits=10)
    earlier = main
    before = measure_exposure(main, wal)
    connection.execute("pragma wal_checkpoint(full)")
    main = (tmp_path / "a.db").read_bytes()
    wal = (tmp_path / "a.db-wal").read_bytes()
    connection.close()
    after = measure_exposure(main, wal)
    assert (before.frames, before.pages, before.commits) == by_definition(earlier, wal)
    assert before.commits == 11
    assert before.bytes == before.frames * 4096
    assert before.committed_frames == after.committed_frames == parse_wal(wal).committed
    assert (after.frames, after.pages, after.commits, after.bytes) == (0, 0, 0, 0)
    assert after.main_pages == after.database_pages == before.database_pages


def test_only_what_came_after_the_checkpoint_is_exposed(tmp_path):
    _, _, connection = wal_database(tmp_path, commits=10)
    reader_wal = parse_wal((tmp_path / "a.db-wal").read_bytes())
    connection.execute("pragma wal_checkpoint(passive)")
    main = (tmp_path / "a.db").read_bytes()
    # A snapshot keeps the WAL from being restarted, so that new frames are appended.
    reader = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    connection.execute("insert into t(b) values('one more')")
    reader.execute("begin")
    reader.execute("select count(*) from t").fetchone()
    connection.execute("insert into t(b) values('and another')")
    wal = (tmp_path / "a.db-wal").read_bytes()
    reader.close()
    connection.close()
    exposure = measure_exposure(main, wal)
    assert (exposure.frames, exposure.pages, exposure.commits) == by_definition(main, wal)
    assert exposure.frames >= 1
    assert exposure.committed_frames != reader_wal.committed


def test_no_main_file_at_all_exposes_every_committed_frame(tmp_path):
    _, wal, connection = wal_database(tmp_path, commits=4)
    connection.close()
    exposure = measure_exposure(b"", wal)
    assert exposure.frames == exposure.committed_frames == parse_wal(wal).committed
    assert exposure.main_pages == 0


@pytest.mark.parametrize("wal", [b"", b"x" * 20, b"x" * 9000])
def test_a_wal_that_sqlite_ignores_exposes_nothing(wal):
    assert measure_exposure(bytes(8192), wal).frames == 0


@given(seed=st.integers(0, 1 << 32), mixed=st.lists(st.integers(0, 400), max_size=12))
@settings(max_examples=80, deadline=None)
def test_agrees_with_the_definition_on_any_mix_of_old_and_new_pages(sample, seed, mixed):
    """Main files as a checkpoint cut off anywhere (or worse) could leave them: any page from any frame."""
    main, wal = sample
    parsed = parse_wal(wal)
    randomness = random.Random(seed)
    pages = bytearray(parsed.database_pages * 512)
    pages[: len(main)] = main
    for frame in mixed:
        which = frame % parsed.committed
        page = parsed.pages[which]
        at = parsed.offset(which) + 24
        if page <= parsed.database_pages:
            pages[(page - 1) * 512 : page * 512] = wal[at : at + 512]
    cut = randomness.choice([len(pages), len(pages) - 512, 1024])
    exposure = measure_exposure(bytes(pages[:cut]), wal, parsed)
    assert (exposure.frames, exposure.pages, exposure.commits) == by_definition(bytes(pages[:cut]), wal)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    main, wal, connection = wal_database(tmp_path_factory.mktemp("sample"), 512, commits=25)
    connection.close()
    return main, wal
