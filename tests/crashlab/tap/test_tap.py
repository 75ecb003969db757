"""Installing, removing, and what happens when something goes wrong inside."""

import contextlib
import ctypes
import functools
import signal
import sqlite3
import sys
import threading
import time
import types

import pytest

from crashlab.errors import LabError, TapUnavailableError, UsageError
from crashlab.log.operations import read_trace
from crashlab.log.reader import read_log
from crashlab.log.trace import Role
from crashlab.log.writer import LogWriter
from crashlab.sqlite.tap import Counter, Listener, Operation, Recorder, Seed, Tap, tap_problem
from crashlab.sqlite.tap import library as library_module
from crashlab.sqlite.tap.layout import Vfs
from crashlab.sqlite.tap.library import find_bindings


def pointers():
    """Every pointer of every VFS that opens files."""
    return {
        address: bytes((ctypes.c_char * ctypes.sizeof(Vfs)).from_address(address))
        for address in find_bindings().file_vfses()
    }


def rows(connection):
    return connection.execute("SELECT count(*) FROM t").fetchone()[0]


def test_removing_leaves_the_vfs_as_it_was_and_open_connections_working(tmp_path, tap_tools):
    before = pointers()
    counter = Counter()
    tap = Tap(counter, Seed(1), recorder=Recorder(LogWriter(str(tmp_path / "log")), tmp_path))
    tap.install()
    assert pointers() != before
    wal, journal = tap_tools.connect(tmp_path / "a.db"), tap_tools.connect(tmp_path / "b.db", "delete")
    for connection in (wal, journal):
        connection.execute("CREATE TABLE t(v)")
        connection.execute("BEGIN")
        connection.execute("INSERT INTO t VALUES(1)")
    heard, recorded = counter.counts, len(list(read_log(str(tmp_path / "log"))))
    assert recorded
    tap.uninstall()
    assert pointers() == before
    for connection in (wal, journal):
        connection.execute("COMMIT")
        connection.execute("INSERT INTO t VALUES(2)")
        assert rows(connection) == 2
        connection.close()
    assert counter.counts == heard, "something still passed through the tap"
    assert len(list(read_log(str(tmp_path / "log")))) == recorded
    tap.uninstall()  # a second time does nothing


def test_installing_again_and_again(tmp_path, tap_tools):
    before = pointers()
    kept = []
    for number in range(5):
        counter = Counter([Operation.WRITE])
        with Tap(counter):
            kept.append(tap_tools.connect(tmp_path / f"{number}.db"))
            kept[-1].execute("CREATE TABLE t(v)")
        assert counter.count(Operation.WRITE) > 0
    assert pointers() == before
    for connection in kept:
        connection.execute("INSERT INTO t VALUES(1)")
        connection.close()


def test_every_vfs_of_the_family_is_tapped(tmp_path):
    counter = Counter([Operation.OPEN])
    with Tap(counter):
        vfs = "win32-none" if sys.platform == "win32" else "unix-none"
        sqlite3.connect(f"file:{(tmp_path / 'a.db').as_posix()}?vfs={vfs}", uri=True).execute(
            "CREATE TABLE t(v)"
        ).connection.close()
    assert counter.count(Operation.OPEN) >= 1


def test_only_what_was_asked_for_is_hooked(tmp_path, tap_tools):
    before = pointers()
    with Tap(Seed(1)):
        changed = {
            name
            for address, old in before.items()
            for name, _ in Vfs._fields_
            if getattr(Vfs.from_buffer_copy(old), name) != getattr(Vfs.from_address(address), name)
        }
    assert changed == {"xRandomness"}


class Exploding(Listener):
    def __init__(self, operation, *, late=False):
        self.operations = frozenset({operation})
        self.late = late
        self.armed = True

    def before(self, call):
        if self.armed and not self.late:
            raise ValueError(f"boom in {call.operation}")

    def after(self, call, rc):
        if self.armed and self.late:
            raise ValueError(f"late boom in {call.operation}")


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "operation", [Operation.WRITE, Operation.SYNC, Operation.OPEN, Operation.DELETE, Operation.READ, Operation.LOCK]
)
def test_an_exploding_listener_surfaces(tmp_path, tap_tools, operation, late):
    def body(directory):
        connection = tap_tools.work("delete")(directory)
        connection.close()

    with (
        pytest.raises(LabError, match=f"boom in {operation}") as caught,
        Tap(Exploding(operation, late=late)),
        pytest.raises(sqlite3.OperationalError),
    ):
        body(tmp_path)
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "operation", [Operation.CLOSE, Operation.SHM_BARRIER, Operation.SHM_UNMAP, Operation.FILE_CONTROL]
)
def test_one_that_explodes_where_sqlite_takes_no_error_surfaces_too(tmp_path, tap_tools, operation, late):
    with pytest.raises(LabError, match=f"boom in {operation}"), Tap(Exploding(operation, late=late)):
        tap_tools.work("wal")(tmp_path).close()
    again = sqlite3.connect(tmp_path / "a.db")
    assert again.execute("PRAGMA quick_check").fetchone() == ("ok",)
    again.close()


def test_a_files_descriptor_is_closed_even_if_the_listener_explodes(tmp_path, tap_tools):
    if not sys.platform.startswith("linux"):
        pytest.skip("counts descriptors in /proc")
    import os

    def descriptors():
        return sum(
            str(tmp_path) in os.readlink(f"/proc/self/fd/{fd}")
            for fd in os.listdir("/proc/self/fd")
            if os.path.lexists(f"/proc/self/fd/{fd}")
        )

    with pytest.raises(LabError, match="boom in close"), Tap(Exploding(Operation.CLOSE)):
        tap_tools.work("wal")(tmp_path).close()
    assert descriptors() == 0


def test_an_error_of_the_program_is_not_hidden_by_a_quiet_tap():
    with pytest.raises(KeyError, match="the program's own"), Tap(Counter()):
        raise KeyError("the program's own")


def sleep_until_interrupted():
    for _ in range(5000):
        time.sleep(0.001)


def test_a_signal_handlers_exception_reaches_the_program_and_the_call_is_done(tmp_path, tap_tools, monkeypatch):
    monkeypatch.setattr("crashlab.sqlite.tap.redelivery.DELAY_S", 0.3)  # when SQLite is surely done

    class Interrupting(Listener):
        operations = frozenset({Operation.SYNC})
        fired = False

        def before(self, call):
            if call.role == "wal" and not self.fired:
                self.fired = True
                signal.raise_signal(signal.SIGINT)

    counter = Counter([Operation.SYNC])
    with Tap(Interrupting(), counter):
        connection = tap_tools.connect(tmp_path / "a.db")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("CREATE TABLE t(v)")

        def body():
            connection.execute("PRAGMA wal_checkpoint")
            sleep_until_interrupted()

        with pytest.raises(KeyboardInterrupt):
            body()
        assert rows(connection) == 0
        connection.close()
    assert counter.count(Operation.SYNC, Role.WAL) >= 1


@pytest.mark.skipif("sys.platform == 'win32'", reason="needs raise() of the C library")
def test_an_exception_at_the_edge_of_a_call_is_an_error_and_still_reaches_the_program(tmp_path, tap_tools, monkeypatch):
    class SlowToStart(threading.Thread):  # on a busy machine the tap may still be waiting for it
        def start(self):
            super().start()
            for _ in range(20):
                time.sleep(0.001)

    monkeypatch.setattr(threading, "Thread", SlowToStart)

    # A function of C as SQL function: the signal is pending when SQLite calls the tap next, whose first
    # instruction is where Python then runs the handler.
    interrupt = functools.partial(getattr(ctypes.CDLL(None), "raise"), signal.SIGINT)

    def body(connection):
        with contextlib.suppress(sqlite3.Error):
            connection.execute("INSERT INTO t VALUES(f())")
        sleep_until_interrupted()

    tap = Tap(Counter([Operation.WRITE, Operation.SHM_LOCK]))
    tap.install()
    hook = sys.unraisablehook
    connection = tap_tools.connect(tmp_path / "a.db")
    connection.create_function("f", 0, interrupt)
    connection.execute("CREATE TABLE t(v)")
    try:
        with pytest.raises(KeyboardInterrupt):
            body(connection)
    finally:
        with pytest.raises(LabError, match="KeyboardInterrupt struck at the edge of a call, which was lost"):
            tap.uninstall()
    assert sys.unraisablehook != hook
    connection.close()


def test_one_tap_at_a_time():
    with Tap(Counter()), pytest.raises(UsageError, match="installed in this process already"):
        Tap(Counter()).install()
    with Tap(Counter()):
        pass


def test_threads_and_connections_under_every_listener(tmp_path, tap_tools):
    log = LogWriter(str(tmp_path / "log"), segment_bytes=1 << 16)
    counter = Counter()
    with Tap(counter, recorder=Recorder(log, tmp_path)):
        tap_tools.connect(tmp_path / "a.db").execute("CREATE TABLE t(v)").connection.close()
        failures = []

        def lane():
            try:
                for _ in range(5):
                    connection = tap_tools.connect(tmp_path / "a.db")
                    for _ in range(5):
                        connection.execute("INSERT INTO t VALUES(randomblob(500))")
                    connection.close()
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=lane) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        connection = sqlite3.connect(tmp_path / "a.db")
        assert rows(connection) == 100
        connection.close()
    assert counter.count(Operation.WRITE) > 200
    files = tap_tools.replay(read_trace(read_log(str(tmp_path / "log"))))
    assert files == {"a.db": (tmp_path / "a.db").read_bytes()}


def test_this_sqlite_can_be_tapped():
    assert tap_problem() is None
    assert find_bindings().version == sqlite3.sqlite_version


def module(**changes):
    double = types.ModuleType("other_sqlite")
    for name in ("sqlite_version", "Error", "connect"):
        setattr(double, name, changes.get(name, getattr(sqlite3, name)))
    return double


def test_another_library_is_not_taken_for_the_right_one(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise sqlite3.OperationalError("no such vfs")

    monkeypatch.setattr(library_module, "_found", {})
    with pytest.raises(TapUnavailableError, match="not the one that other_sqlite uses"):
        find_bindings(module(connect=refuse))
    with pytest.raises(TapUnavailableError, match=r"SQLite .*, expected 9\.9\.9"):
        find_bindings(module(sqlite_version="9.9.9"))


def test_what_has_no_symbols_is_refused_by_name(monkeypatch):
    import zlib

    monkeypatch.setattr(library_module, "_found", {})
    monkeypatch.setattr(
        library_module, "_candidates", lambda _module: [("libz", ctypes.CDLL(getattr(zlib, "__file__", None)))]
    )
    problem = tap_problem()
    assert problem is not None
    assert f"SQLite {sqlite3.sqlite_version} behind sqlite3 can't be tapped" in problem
    assert "no SQLite symbols" in problem


def test_pypy_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(library_module, "_found", {})
    monkeypatch.setattr(sys, "implementation", types.SimpleNamespace(name="pypy"))
    with pytest.raises(TapUnavailableError, match="pypy"):
        Tap(Counter()).install()
    monkeypatch.undo()
    with Tap(Counter()):
        pass
