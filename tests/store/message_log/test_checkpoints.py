"""The write counter and its checkpoints: when, in which mode, and never in silence."""
# ruff: noqa: PT012 - the exception under test leaves a transaction block of several statements

import logging
import sqlite3

import pytest

from store import MessageLog


@pytest.fixture
def refusing():
    """A connect() whose connections fail every checkpoint while `refusing.on`, and the statements they saw."""

    class Refusing:
        on = True
        modes: list[str]

        def __init__(self):
            self.modes = []

        def __call__(self, *args, **options):
            outer = self

            class Connection(sqlite3.Connection):
                def execute(self, sql, *args):
                    if "wal_checkpoint" in sql:
                        outer.modes.append(sql)
                        if outer.on:
                            raise sqlite3.OperationalError("disk I/O error")
                    return super().execute(sql, *args)

            return sqlite3.connect(*args, factory=Connection, **options)

    return Refusing()


def write(log, n, session=1):
    for i in range(n):
        log.append(session, "user", f"text {i}")


@pytest.mark.parametrize("mode", ["PASSIVE", "TRUNCATE"])
def test_every_fiftieth_commit_checkpoints_and_close_truncates(make, logged, wal, mode):
    log = make(cls=MessageLog, checkpoint_mode=mode)
    log.create_session()
    write(log, 48)
    assert logged("wal_checkpoint") == []
    with log.transaction():  # one commit
        write(log, 10)
    write(log, 50)
    assert [(record.mode, record.busy) for record in logged("wal_checkpoint")] == [(mode, 0), (mode, 0)]
    assert log.writes == 100
    log.close()
    assert logged("wal_checkpoint")[-1].mode == "TRUNCATE"
    assert not wal.exists() or wal.stat().st_size == 0


def test_no_checkpoint_for_a_cadence_of_zero_nor_for_what_was_rolled_back(make, logged):
    log = make(cls=MessageLog, checkpoint_every=0)
    log.create_session()
    write(log, 60)
    assert logged("wal_checkpoint") == []
    with pytest.raises(RuntimeError), log.transaction():
        write(log, 1)
        raise RuntimeError
    assert log.writes == 61


def test_truncate_comes_before_vacuum(make, logged, refusing):
    refusing.on = False
    log = make(cls=MessageLog, connect=refusing)
    write(log, 5, log.create_session())
    log.vacuum()
    assert refusing.modes == ["PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA wal_checkpoint(PASSIVE)"]


def test_a_failed_checkpoint_is_logged_and_the_write_before_it_stands(make, path, logged, refusing, query):
    log = make(cls=MessageLog, connect=refusing, checkpoint_every=2)
    write(log, 3, log.create_session())
    log.vacuum()
    log.close()
    said = [record.getMessage() for record in logged("wal_checkpoint failed", logging.WARNING)]
    assert [text.split("(")[1].split(",")[0] for text in said] == [
        "periodic", "periodic", "before VACUUM", "after VACUUM", "close",
    ]  # fmt: skip
    assert query(path, "SELECT count(*) FROM messages") == [(3,)]


def test_what_a_reader_blocks_is_said(make, logged, pinned):
    hasty = type("Hasty", (MessageLog,), {"BUSY_TIMEOUT_S": 0.05, "CLOSE_WAIT_S": 0.1})
    log = make(cls=hasty, checkpoint_every=2)
    session = log.create_session()
    write(log, 1, session)
    pinned()
    write(log, 8, session)
    stalled = logged("wal_checkpoint incomplete", logging.WARNING)
    assert [record.backlog_frames > 0 for record in stalled] == [True]
    assert log.checkpoint("TRUNCATE").busy == 1
    log.close()
    blocked = logged("wal_checkpoint was blocked", logging.WARNING)
    assert ["on request" in blocked[0].getMessage(), "close" in blocked[1].getMessage()] == [True, True]
    assert blocked[1].backlog_frames > 0


def test_memory_has_nothing_to_checkpoint(make, logged):
    log = make(":memory:", cls=MessageLog, checkpoint_every=1)
    write(log, 3, log.create_session())
    assert len(log.search("text")) == 3
    log.close()
    assert logged("wal_checkpoint") == []
