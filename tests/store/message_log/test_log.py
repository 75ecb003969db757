"""Sessions and messages: order, retries, compaction, VACUUM, opening, and input that is refused."""
# ruff: noqa: PT012 - the exception under test leaves a transaction block of several statements

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from store import MessageLog, StoreClosed, StoreDamaged, StoreError, StoreIdentity, StoreSchemaTooNew, StoreValidation
from store.message_log.schema import MIGRATIONS
from store.schema import Migration

ROOT = Path(__file__).parents[3]


class VersionOne(MessageLog):
    """The release before the trigram index."""

    migrations = MIGRATIONS[:1]


def contents(log, session):
    return [(message.role, message.content) for message in log.messages(session)]


def test_messages_come_back_in_order_whatever_the_clock_does(make):
    times = iter([9, 9, 5, 7, 6, 1])  # the clock goes backwards
    log = make(cls=MessageLog, clock=lambda: next(times))
    session = log.create_session()
    for content in ("a", "b", ""):
        log.append(session, "user", content)
    assert contents(log, session) == [("user", "a"), ("user", "b"), ("user", "")]
    assert log.close_session(session)
    ended = log.get_session(session)
    assert ended.ended_at == ended.started_at == 9


def test_every_write_can_be_repeated(log):
    session = log.create_session("chat")
    assert log.create_session("chat") == session
    message = log.append(session, "user", "hello", key="turn-1")
    assert log.append(session, "user", "hello", key="turn-1") == message
    with pytest.raises(StoreValidation, match="belongs to another message"):
        log.append(session, "user", "other", key="turn-1")
    assert log.edit_message(message, "hallo")
    assert not log.edit_message(message, "hallo")
    assert log.delete_message(message)
    assert not log.delete_message(message)
    assert log.close_session(session)
    assert not log.close_session(session)
    assert log.append(log.create_session("next"), "user", "x") > message  # numbers are not given out twice


def test_a_key_still_answers_after_the_session_is_closed(log, talk):
    message = log.append(talk, "user", "hello", key="k")
    log.close_session(talk)
    assert log.append(talk, "user", "hello", key="k") == message
    with pytest.raises(StoreValidation, match="is closed"):
        log.append(talk, "user", "more")


def test_compaction_puts_one_summary_before_what_is_kept(log, talk):
    other = log.create_session()
    log.append_many(talk, [("user", f"word{i}") for i in range(10)])
    log.append(other, "user", "word3 elsewhere")
    assert log.compact(talk, "in short", keep_last=3) == 7
    assert contents(log, talk) == [("summary", "in short"), ("user", "word7"), ("user", "word8"), ("user", "word9")]
    assert log.compact(talk, "in short", keep_last=3) == 0
    assert [hit.message.session_id for hit in log.search("word3")] == [other]
    assert [hit.message.content for hit in log.search("n shor", trigram=True)] == ["in short"]
    assert log.compact(talk, "all", keep_last=0) == 4
    assert contents(log, talk) == [("summary", "all")]
    assert log.fts_disagreements() == []


def test_vacuum_after_deletes_shrinks_the_file_and_keeps_the_indexes_true(log, path, talk):
    kept = log.create_session()
    for i in range(40):
        log.append_many(talk, [("user", f"filler {i} " + "lorem ipsum " * 200)] * 5)
        log.append(kept, "user", f"needle{i}")
    log.checkpoint()
    before = path.stat().st_size
    assert log.delete_session(talk) == 200
    assert log.delete_session(talk) == 0
    log.vacuum()
    assert path.stat().st_size < before / 2
    assert [hit.message.content for hit in log.search("needle7")] == ["needle7"]
    assert log.fts_disagreements() == []
    with pytest.raises(StoreError, match="inside a transaction"), log.transaction():
        log.vacuum()


def test_a_transaction_takes_text_and_indexes_back_together(log, talk):
    log.append(talk, "user", "before")
    with pytest.raises(RuntimeError), log.transaction():
        log.append(talk, "user", "never said")
        log.edit_message(1, "changed")
        raise RuntimeError
    assert contents(log, talk) == [("user", "before")]
    assert log.search("said") == []
    assert log.fts_disagreements() == []


def test_the_trigram_index_is_added_to_an_older_log(make):
    old = make(cls=VersionOne)
    old.append(old.create_session(), "user", "streichholzschachtel")
    old.close()
    log = make(cls=MessageLog)
    assert len(log.search("holzsch", trigram=True)) == 1
    assert log.fts_disagreements() == []


def test_several_processes_may_make_the_same_log(path):
    code = (
        "import sys; from store import MessageLog\n"
        "sys.stdin.readline()\n"
        "with MessageLog(sys.argv[1]) as log:\n"
        "    session = log.create_session('shared')\n"
        "    for i in range(20): log.append(session, 'user', f'{sys.argv[2]} {i}', key=f'{sys.argv[2]}-{i}')\n"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(path), str(n)], stdin=subprocess.PIPE, cwd=ROOT)
        for n in range(3)
    ]
    for child in children:
        child.stdin.write(b"\n")
        child.stdin.close()
    assert [child.wait(60) for child in children] == [0, 0, 0]
    with MessageLog(path) as log:
        assert log.count_messages() == 60
        assert len(log.sessions()) == 1
        assert log.fts_disagreements() == []


def test_what_is_refused_is_left_as_it_was(make, path, tmp_path):
    foreign = tmp_path / "foreign.db"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    newer = tmp_path / "newer.db"
    make(newer, cls=type("Newer", (MessageLog,), {"migrations": (*MIGRATIONS, Migration(3, "next", ()))})).close()
    damaged = tmp_path / "damaged.db"
    with make(damaged, cls=MessageLog) as log:
        log.append_many(log.create_session(), [("user", "x " * 500)] * 50)
    with damaged.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(bytes(4096 * (damaged.stat().st_size // 4096 - 3)))
    orphan = tmp_path / "orphan.db"
    orphan.with_name("orphan.db-wal").write_bytes(b"x" * 100)
    for file, error in (
        (foreign, StoreIdentity),
        (newer, StoreSchemaTooNew),
        (damaged, StoreDamaged),
        (orphan, StoreDamaged),
    ):
        before = file.read_bytes() if file.exists() else None
        with pytest.raises(error):
            make(file, cls=MessageLog)
        assert (file.read_bytes() if file.exists() else None) == before
    assert orphan.with_name("orphan.db-wal").exists()
    with pytest.raises(StoreValidation, match="directory"):
        make(tmp_path, cls=MessageLog)


def test_closing_twice_and_use_after_close(log, talk):
    log.search("x")
    log.close()
    log.close()
    for use in (
        lambda: log.append(talk, "user", "x"),
        lambda: log.search("x"),
        lambda: log.messages(talk),
        log.vacuum,
        log.checkpoint,
        log.fts_disagreements,
        log.initialize_database,
    ):
        with pytest.raises(StoreClosed):
            use()
    with pytest.raises(StoreClosed, match="initialize_database"):
        MessageLog(os.devnull + "x").create_session()


REFUSED = {
    "session that is not there": lambda log: log.append(99, "user", "x"),
    "session as text": lambda log: log.append("1", "user", "x"),
    "role": lambda log: log.append(1, "usr", "x"),
    "role that is no text": lambda log: log.append(1, ["user"], "x"),
    "NUL in a message": lambda log: log.append(1, "user", "a\0b"),
    "surrogate in a message": lambda log: log.append(1, "user", "\ud800"),
    "bytes for a message": lambda log: log.append(1, "user", b"x"),
    "message too long": lambda log: log.append(1, "user", "x" * 1_000_001),
    "blank key": lambda log: log.append(1, "user", "x", key=" "),
    "key with NUL": lambda log: log.create_session("a\0"),
    "negative time": lambda log: log.append(1, "user", "x", ts=-1),
    "time as float": lambda log: log.append(1, "user", "x", ts=1.5),
    "one bad message of many": lambda log: log.append_many(1, [("user", "good"), ("user", "\0")]),
    "many to an unknown session": lambda log: log.append_many(99, [("user", "good")]),
    "message that is not there": lambda log: log.edit_message(99, "x"),
    "edit to NUL": lambda log: log.edit_message(1, "\0"),
    "closing an unknown session": lambda log: log.close_session(99),
    "messages of an unknown session": lambda log: log.messages(99),
    "limit of zero": lambda log: log.messages(1, limit=0),
    "compacting an unknown session": lambda log: log.compact(99, "s", keep_last=1),
    "keeping a negative number": lambda log: log.compact(1, "s", keep_last=-1),
    "surrogate in a summary": lambda log: log.compact(1, "\udfff", keep_last=0),
    "blank query": lambda log: log.search(" \n"),
    "NUL in a query": lambda log: log.search("a\0b"),
    "surrogate in a query": lambda log: log.search("\ud800abc", trigram=True),
    "query too long": lambda log: log.search("x" * 1001),
    "substring too short": lambda log: log.search("ab", trigram=True),
    "checkpoint mode": lambda log: log.checkpoint("RESTART"),
    "policy": lambda log: MessageLog(log.path, checkpoint_mode="passive"),
    "cadence": lambda log: MessageLog(log.path, checkpoint_every=-1),
    "no readers": lambda log: MessageLog(log.path, readers=0),
    "too many readers": lambda log: MessageLog(log.path, readers=65),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused_and_nothing_is_written(log, talk, what):
    log.append(talk, "user", "there")
    with pytest.raises(StoreValidation):
        REFUSED[what](log)
    assert contents(log, talk) == [("user", "there")]
    assert len(log.sessions()) == 1
    assert log.append(talk, "user", "goes on") == 2


def test_a_clock_that_is_none_writes_nothing(make, path, query):
    log = make(cls=MessageLog)
    talk = log.create_session()
    log._clock = lambda: 1.5
    with pytest.raises(StoreValidation, match="clock"):
        log.append(talk, "user", "x")
    assert log.count_messages() == 0
    assert query(path, "SELECT count(*) FROM messages_fts_docsize") == [(0,)]
