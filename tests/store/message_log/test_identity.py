"""Files replaced under an open message log: it stops, searches too, and saves what it had acked."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from store import MessageLog, StoreIdentity
from store.identity import OpenFiles

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows refuses to delete or rename an open database")

USES = {
    "append": lambda log: log.append(1, "user", "one more"),
    "checkpoint": MessageLog.checkpoint,
    "vacuum": MessageLog.vacuum,
    "first search": lambda log: log.search("text"),
    "close": MessageLog.close,
}


@pytest.mark.parametrize("use", USES)
def test_it_stops_and_what_was_acked_is_saved(make, path, wal, monkeypatch, logged, use):
    monkeypatch.setattr(OpenFiles, "WRITES_MAX", 1)
    log = make(cls=MessageLog)
    session = log.create_session()
    for number in range(20):
        log.append(session, "user", f"text {number}")
    wal.unlink()
    before = path.read_bytes()
    with pytest.raises(StoreIdentity, match="-wal is gone"):
        USES[use](log)
    assert not log.is_open
    if use != "close":
        with pytest.raises(StoreIdentity, match="-wal is gone"):
            log.search("text")
    log.close()
    assert logged("wal_checkpoint") == []
    assert path.read_bytes() == before
    (copy,) = path.parent.glob("*.retired-*-0")
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (20,)
    with pytest.raises(StoreIdentity, match="still holds a connection"):
        make(cls=MessageLog)


def test_the_write_that_finds_it_out_at_its_checkpoint_is_not_acked(make, wal, monkeypatch):
    monkeypatch.setattr(OpenFiles, "AGE_MAX_NS", 1 << 62)
    log = make(cls=MessageLog, checkpoint_every=2)
    log.create_session()
    wal.unlink()
    with pytest.raises(StoreIdentity):
        log.append(1, "user", "lost")


def test_what_sqlite_does_to_its_own_files_is_no_alarm(make, path, monkeypatch):
    monkeypatch.setattr(OpenFiles, "WRITES_MAX", 1)
    log = make(cls=MessageLog, checkpoint_every=2)
    session = log.create_session()
    code = (
        "import sys; from store import MessageLog\nwith MessageLog(sys.argv[1]) as log: log.append(1, 'user', 'other')"
    )
    for number in range(3):
        log.append(session, "user", f"text {number}")
        subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=60)
        log.vacuum()
        assert len(log.search("other")) == number + 1
    log.close()
