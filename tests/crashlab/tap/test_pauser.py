"""Holding one connection inside a call while another goes on."""

import sqlite3
import threading

import pytest

from crashlab.errors import LabError
from crashlab.sqlite.tap import Pauser, Selector, Tap


def insert(connection):
    connection.execute("INSERT INTO t VALUES(1)")


def count(connection):
    return connection.execute("SELECT count(*) FROM t").fetchone()[0]


@pytest.mark.parametrize(("text", "seen"), [("wal.write#4", 0), ("wal.sync.after#3", 0)])
def test_a_writer_is_held_in_its_commit_with_its_locks(tmp_path, tap_tools, text, seen):
    held = tap_tools.connect(tmp_path / "a.db")
    held.execute("CREATE TABLE t(v)")
    held.close()
    pauser = Pauser(Selector.parse(text))
    with Tap(pauser):
        writer, reader = tap_tools.connect(tmp_path / "a.db"), tap_tools.connect(tmp_path / "a.db")
        reader.execute("PRAGMA busy_timeout=0")
        thread = threading.Thread(target=lambda: [insert(writer) for _ in range(5)])
        thread.start()
        assert pauser.wait_reached()
        before = count(reader)
        assert seen <= before < 5
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            insert(reader)
        assert count(reader) == before
        pauser.release()
        thread.join(10)
        assert not thread.is_alive()
        insert(reader)
        assert count(reader) == 6
        writer.close()
        reader.close()


def test_only_the_chosen_thread_is_held(tmp_path, tap_tools):
    chosen = []
    pauser = Pauser(Selector.parse("wal.write"), only=lambda call: call.thread in chosen)
    with Tap(pauser):
        free, slow = tap_tools.connect(tmp_path / "a.db"), tap_tools.connect(tmp_path / "a.db")
        free.execute("CREATE TABLE t(v)")

        def work():
            chosen.append(threading.get_ident())
            insert(slow)

        thread = threading.Thread(target=work)
        insert(free)
        assert not pauser.wait_reached(0)
        thread.start()
        assert pauser.wait_reached()
        pauser.release()
        thread.join(10)
        assert count(free) == 2
        free.close()
        slow.close()


def test_one_who_is_never_released_goes_on_and_it_is_reported(tmp_path, tap_tools):
    tap = Tap(Pauser(Selector.parse("wal.write#3"), seconds_max=0.05))
    tap.install()
    connection = tap_tools.connect(tmp_path / "a.db")
    with pytest.raises(sqlite3.OperationalError):
        connection.execute("CREATE TABLE t(v)")
    connection.close()
    with pytest.raises(Exception, match=r"not released within 0.05 s") as caught:
        tap.uninstall()
    assert type(caught.value).__name__ == "LimitError"


def test_removing_the_tap_releases_everybody(tmp_path, tap_tools):
    connection = tap_tools.connect(tmp_path / "a.db")
    connection.execute("CREATE TABLE t(v)")
    connection.close()
    pauser = Pauser(Selector.parse("wal.write"))
    tap = Tap(pauser)
    tap.install()
    writer = tap_tools.connect(tmp_path / "a.db")
    thread = threading.Thread(target=insert, args=(writer,))
    thread.start()
    assert pauser.wait_reached()
    tap.uninstall()
    thread.join(10)
    assert count(writer) == 1
    writer.close()
    assert not isinstance(tap.errors, LabError)
    assert tap.errors == []
