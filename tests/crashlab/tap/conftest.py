"""Runs under the tap in forked children, and a replay of their logs that is written for these tests alone."""

import os
import signal
import sqlite3
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import LambdaType, SimpleNamespace

import pytest

from crashlab.log.operations import Op, read_trace
from crashlab.log.reader import read_log
from crashlab.log.trace import TraceKind
from crashlab.log.writer import LogWriter
from crashlab.sqlite.tap import Recorder, Tap, tap_problem

if tap_problem() is not None:
    collect_ignore_glob = ["test_*.py"]

FAILED = 99


def run_in_child(body: Callable[[], object]) -> int:
    """Run in a forked child that never closes anything; return its wait status."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    pid = os.fork()
    if pid == 0:
        try:
            body()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(FAILED)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def replay(ops: Iterable[Op]) -> dict[str, bytes]:
    """Return the files that operations leave, by name; an unfinished one counts as whole, a failed one not."""
    files: dict[str, bytearray] = {}
    for op in ops:
        if op.rc:
            continue
        match op.kind:
            case TraceKind.CREATE:
                files[op.path] = bytearray()
            case TraceKind.WRITE:
                file = files[op.path]
                if len(file) < op.offset:
                    file.extend(bytes(op.offset - len(file)))
                file[op.offset : op.offset + len(op.data)] = op.data
            case TraceKind.TRUNCATE:
                file = files[op.path]
                file[:] = file[: op.offset] + bytes(max(0, op.offset - len(file)))
            case TraceKind.DELETE:
                del files[op.path]
    return {name: bytes(data) for name, data in files.items()}


def disk(directory: Path) -> dict[str, bytes]:
    """Return what is in a directory; the shared memory is volatile and left out."""
    return {path.name: path.read_bytes() for path in directory.iterdir() if not path.name.endswith("-shm")}


def read_ops(base: Path) -> list[Op]:
    return list(read_trace(read_log(str(base))))


def make_run(tmp_path: Path) -> Callable[..., SimpleNamespace]:
    def run(name: str, body: Callable[[Path], object], *listeners, recorded: bool = True) -> SimpleNamespace:
        """Run `body(directory)` under a tap in a child; what it left, its log and how it ended.

        A listener may be given as a lambda that makes it from the log.
        """
        directory = tmp_path / name
        directory.mkdir()
        base = tmp_path / f"{name}.log"

        def child() -> None:
            log = LogWriter(str(base))
            made = [listener(log) if isinstance(listener, LambdaType) else listener for listener in listeners]
            with Tap(*made, recorder=Recorder(log, directory) if recorded else None):
                body(directory)
                os._exit(0)  # nothing is closed, as after a crash

        status = run_in_child(child)
        return SimpleNamespace(
            directory=directory,
            killed=os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
            clean=status == 0,
            disk=disk(directory),
            ops=read_ops(base) if recorded else [],
            base=base,
        )

    return run


@pytest.fixture
def tmp_path():
    """A directory in memory where there is one: these tests sync thousands of times."""
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    with tempfile.TemporaryDirectory(prefix="crashlab-tap-", dir=memory if usable else None) as directory:
        yield Path(directory)


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def tap_tools():
    return SimpleNamespace(
        replay=replay, disk=disk, read_ops=read_ops, run_in_child=run_in_child, connect=connect, work=work
    )


def connect(path: Path, mode: str = "wal", page_size: int = 4096) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=20)
    connection.execute(f"PRAGMA page_size={page_size}")
    connection.execute(f"PRAGMA journal_mode={mode}")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def work(mode: str = "wal", page_size: int = 4096, commits: int = 12) -> Callable[[Path], sqlite3.Connection]:
    """Return a body that commits rows, with updates, deletes, a rollback and (in WAL mode) checkpoints."""

    def body(directory: Path) -> sqlite3.Connection:
        connection = connect(directory / "a.db", mode, page_size)
        connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
        connection.execute("CREATE INDEX tv ON t(v)")
        for number in range(commits):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO t VALUES(?, randomblob(300))", (number,))
            connection.execute("UPDATE t SET v = randomblob(700) WHERE id = ?", (number // 2,))
            connection.execute("ROLLBACK" if number % 5 == 4 else "COMMIT")
            if number == commits // 2:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        connection.execute("DELETE FROM t WHERE id % 3 = 0")
        return connection

    return body
