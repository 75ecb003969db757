"""Every hazard: a program that does it is told, and a twin that differs in one step is not."""

import gc
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crashlab.diagnosis.hazards import KINDS, watch
from crashlab.diagnosis.hazards.detect import place, writers
from crashlab.sqlite.filesystem import parse_mountinfo

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="planted for Linux and its /proc")

Act = Callable[[Path], None]
CASES: list[tuple[str, str, Act, Act]] = []


def case(identity: str, name: str = "") -> Callable[[Callable[[], tuple[Act, Act]]], None]:
    def add(make: Callable[[], tuple[Act, Act]]) -> None:
        planted, twin = make()
        CASES.append((identity, name or make.__name__, planted, twin))

    return add


def wal(path: Path, *, rows: int = 3) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE IF NOT EXISTS t(x)")
    with connection:
        connection.executemany("INSERT INTO t VALUES (?)", [(i,) for i in range(rows)])
    return connection


def side(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def leave_wal(path: Path) -> None:
    """What a killed writer leaves: a main file and a -wal that nobody has open."""
    alive = path.with_name("alive.db")
    connection = wal(alive)
    for suffix in ("", "-wal"):
        # in another process, or the copying would itself be the hazard
        os.spawnvp(os.P_WAIT, "cp", ["cp", f"{alive}{suffix}", f"{path}{suffix}"])
    connection.close()


def while_open(do: Act, suffix: str = "") -> tuple[Act, Act]:
    """Something done to a file while the database is open, and after it was closed."""

    def planted(path: Path) -> None:
        connection = wal(path)
        do(side(path, suffix))
        connection.close()

    def twin(path: Path) -> None:
        connection = wal(path)
        status = os.stat(side(path, suffix))
        connection.close()
        side(path, suffix).write_bytes(b"" if suffix else Path(path).read_bytes())
        do(side(path, suffix))
        assert status.st_size

    return planted, twin


def read(path: Path) -> None:
    path.read_bytes()


def copy(path: Path) -> None:
    shutil.copy(path, f"{path}.bak")


def rename(path: Path) -> None:
    path.rename(f"{path}.old")


CASES += [
    *(("stray-open", f"read{suffix}", *while_open(read, suffix)) for suffix in ("", "-wal", "-shm")),
    ("stray-open", "os.open", *while_open(lambda path: os.close(os.open(path, os.O_RDONLY)))),
    ("copied-while-open", "shutil.copy", *while_open(copy)),
    ("truncated-while-open", "open(w)", *while_open(lambda path: open(path, "wb").close(), "-wal")),
    ("truncated-while-open", "os.truncate", *while_open(lambda path: os.truncate(path, 0), "-wal")),
    ("removed-while-open", "unlink", *while_open(lambda path: path.unlink())),
    ("removed-while-open", "unlink -wal", *while_open(lambda path: path.unlink(), "-wal")),
    ("renamed-while-open", "rename", *while_open(rename)),
]


@case("replaced-while-open")
def replace() -> tuple[Act, Act]:
    def restore(path: Path) -> None:
        backup = path.parent / "elsewhere" / "backup.db"
        backup.parent.mkdir()
        backup.write_bytes(b"x")
        os.replace(backup, path)

    return while_open(restore)


@case("removed-while-open", "a directory thrown away and written to")
def rmtree() -> tuple[Act, Act]:
    def thrown_away(path: Path, *, more: bool) -> None:
        inside = path.parent / "inside" / "app.db"
        inside.parent.mkdir()
        connection, idle = wal(inside), sqlite3.connect(inside)
        shutil.rmtree(inside.parent)
        if more:
            with connection:
                connection.execute("INSERT INTO t VALUES (1)")
        connection.close()
        idle.close()

    return (lambda path: thrown_away(path, more=True)), (lambda path: thrown_away(path, more=False))


@case("stray-open", "a descriptor opened before the connection and closed under it")
def foreign() -> tuple[Act, Act]:
    def both(path: Path, *, under: bool) -> None:
        wal(path).close()
        file = path.open("rb")
        connection = wal(path)
        if under:
            file.close()
        connection.close()
        file.close()

    return (lambda path: both(path, under=True)), (lambda path: both(path, under=False))


@case("used-after-fork")
def fork() -> tuple[Act, Act]:
    def both(path: Path, *, inherit: bool) -> None:
        connection = wal(path)
        child = os.fork()
        if not child:
            used = connection if inherit else sqlite3.connect(path)
            used.execute("SELECT * FROM t").fetchall()
            os._exit(0)
        os.waitpid(child, 0)
        connection.close()

    return (lambda path: both(path, inherit=True)), (lambda path: both(path, inherit=False))


@case("used-after-fork", "closed in the child")
def fork_close() -> tuple[Act, Act]:
    def both(path: Path, *, close: bool) -> None:
        connection = wal(path)
        child = os.fork()
        if not child:
            if close:
                connection.close()
            os._exit(0)
        os.waitpid(child, 0)
        connection.close()

    return (lambda path: both(path, close=True)), (lambda path: both(path, close=False))


def uri(path: Path, flags: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?{flags}", uri=True)


@case("unlocked-uri", "immutable beside a writer")
def immutable() -> tuple[Act, Act]:
    def both(path: Path, flags: str) -> None:
        writer = wal(path)
        uri(path, flags).close()
        writer.close()

    return (lambda path: both(path, "immutable=1")), (lambda path: both(path, "mode=ro"))


@case("unlocked-uri", "immutable and changed by another process")
def immutable_changes() -> tuple[Act, Act]:
    def both(path: Path, *, change: bool) -> None:
        wal(path).close()
        reader = uri(path, "immutable=1")
        if change:
            code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('DELETE FROM t'); c.commit()"
            os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code, str(path)])
        reader.close()

    return (lambda path: both(path, change=True)), (lambda path: both(path, change=False))


@case("unlocked-uri", "nolock beside another connection")
def nolock() -> tuple[Act, Act]:
    def both(path: Path, *, alone: bool) -> None:
        sqlite3.connect(path).execute("CREATE TABLE t(x)").connection.close()
        other = None if alone else sqlite3.connect(path)
        uri(path, "nolock=1").close()
        if other:
            other.close()

    return (lambda path: both(path, alone=False)), (lambda path: both(path, alone=True))


@case("sync-folder", "by its name")
def dropbox() -> tuple[Act, Act]:
    def both(path: Path, name: str) -> None:
        inside = path.parent / name / "app" / "state.db"
        inside.parent.mkdir(parents=True)
        wal(inside).close()

    return (lambda path: both(path, "Dropbox")), (lambda path: both(path, "Dropboxes"))


@case("sync-folder", "by its marker")
def syncthing() -> tuple[Act, Act]:
    def both(path: Path, marker: str) -> None:
        (path.parent / marker).mkdir()
        wal(path).close()

    return (lambda path: both(path, ".stfolder")), (lambda path: both(path, ".folder"))


@case("wal-deleted")
def wal_deleted() -> tuple[Act, Act]:
    def both(path: Path, *, whole: bool) -> None:
        leave_wal(path)
        side(path, "-wal").unlink()
        if whole:
            path.unlink()
        wal(path).close()

    return (lambda path: both(path, whole=False)), (lambda path: both(path, whole=True))


@case("wal-deleted", "a restore that replaces the main file too")
def restored() -> tuple[Act, Act]:
    def both(path: Path, *, restore: bool) -> None:
        leave_wal(path)
        side(path, "-wal").rename(f"{path}.saved")
        if restore:
            shutil.copyfile(path.with_name("alive.db"), path)
        wal(path).close()

    return (lambda path: both(path, restore=False)), (lambda path: both(path, restore=True))


@case("empty-main")
def empty_main() -> tuple[Act, Act]:
    def both(path: Path, *, empty: bool) -> None:
        leave_wal(path)
        if empty:
            os.truncate(path, 0)
        sqlite3.connect(path).close()

    return (lambda path: both(path, empty=True)), (lambda path: both(path, empty=False))


@case("dropped-transaction")
def dropped() -> tuple[Act, Act]:
    def both(path: Path, end: str) -> None:
        connection = wal(path)
        connection.execute("INSERT INTO t VALUES (1)")
        getattr(connection, end)()
        connection.close()

    return (lambda path: both(path, "cursor")), (lambda path: both(path, "rollback"))


@case("dropped-transaction", "collected")
def collected() -> tuple[Act, Act]:
    def both(path: Path, *, read: bool) -> None:
        connection = wal(path)
        connection.execute("BEGIN" if read else "INSERT INTO t VALUES (1)")
        connection.execute("SELECT * FROM t").fetchall()
        del connection
        gc.collect()

    return (lambda path: both(path, read=False)), (lambda path: both(path, read=True))


@case("synchronous-off", "closed")
def off() -> tuple[Act, Act]:
    def both(path: Path, level: str) -> None:
        connection = wal(path)
        connection.set_authorizer(lambda *_: sqlite3.SQLITE_OK)  # which SQLite must not ask when it is closed
        connection.execute(f"PRAGMA synchronous={level}")
        with connection:
            connection.execute("INSERT INTO t VALUES (1)")
        connection.close()

    return (lambda path: both(path, "OFF")), (lambda path: both(path, "NORMAL"))


KEPT: list[sqlite3.Connection] = []


@case("synchronous-off", "left open")
def off_open() -> tuple[Act, Act]:
    def both(path: Path, level: str) -> None:
        KEPT.append(wal(path))
        KEPT[-1].execute(f"PRAGMA synchronous={level}")

    return (lambda path: both(path, "OFF")), (lambda path: both(path, "FULL"))


@case("wal-reset")
def wal_reset() -> tuple[Act, Act]:
    def both(path: Path, *, together: bool) -> None:
        first = wal(path)
        if not together:
            first.close()
        wal(path).close()
        first.close()

    return (lambda path: both(path, together=True)), (lambda path: both(path, together=False))


@case("checkpoint-starved")
def starved() -> tuple[Act, Act]:
    def both(path: Path, *, pinned: bool) -> None:
        writer = wal(path)
        writer.execute("PRAGMA synchronous=OFF")
        reader = sqlite3.connect(path)
        cursor = reader.execute("SELECT x FROM t")
        cursor.fetchone() if pinned else cursor.fetchall()
        for _ in range(4100):
            writer.execute("INSERT INTO t VALUES (1)")
            writer.commit()
        writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        writer.execute("PRAGMA synchronous=NORMAL")
        reader.close()
        writer.close()

    return (lambda path: both(path, pinned=True)), (lambda path: both(path, pinned=False))


@case("unsynced-rename")
def unsynced() -> tuple[Act, Act]:
    def both(path: Path, *, sync: bool) -> None:
        connection = wal(path)
        (path.parent / "blob.tmp").write_bytes(b"x")
        os.replace(path.parent / "blob.tmp", path.parent / "blob")
        if sync:
            directory = os.open(path.parent, os.O_RDONLY)
            os.fsync(directory)
            os.close(directory)
        connection.close()

    return (lambda path: both(path, sync=False)), (lambda path: both(path, sync=True))


@pytest.fixture(autouse=True)
def affected(monkeypatch):
    """As on a SQLite in the affected range, whichever runs here."""
    monkeypatch.setattr(writers.WriterDetector, "affected", True)
    yield
    while KEPT:
        KEPT.pop().close()


def seen_in(act: Act, path: Path) -> set[str]:
    with watch() as seen:
        act(path)
    assert not seen.problems
    assert not seen.gaps
    for hazard in seen.hazards:
        assert hazard.path.startswith(str(path.parent)), hazard
        places = [*hazard.stack[:1], *(frame for each in hazard.related for frame in each.stack[:1])]
        assert any(frame.file == __file__ for frame in places), hazard
    return {hazard.id for hazard in seen.hazards}


@pytest.mark.parametrize(
    ("identity", "planted", "twin"), [(i, p, t) for i, _, p, t in CASES], ids=[f"{i}: {n}" for i, n, _, _ in CASES]
)
def test_a_planted_hazard_is_told_and_its_twin_is_not(tmp_path, identity, planted, twin):
    for name in ("planted", "twin"):
        (tmp_path / name).mkdir()
    assert seen_in(planted, tmp_path / "planted" / "app.db") == {identity}
    assert seen_in(twin, tmp_path / "twin" / "app.db") == set()


@pytest.mark.parametrize(
    ("system", "expected"),
    [("nfs4", True), ("fuse.sshfs", True), ("fuse.other", True), ("ext4", False), ("tmpfs", False)],
)
def test_a_network_file_system_is_told_and_a_local_one_is_not(tmp_path, monkeypatch, system, expected):
    (mount,) = parse_mountinfo(f"36 35 0:99 / {tmp_path} rw - {system} server:/export rw")
    monkeypatch.setattr(place, "filesystem_of", lambda _path: mount)
    found = seen_in(lambda path: wal(path).close(), tmp_path / "app.db")
    assert found == ({"network-file-system"} if expected else set())


SECOND_LIBRARY = """
import ctypes, os, shutil, sqlite3, sys
import crashlab
from crashlab.diagnosis.hazards.proc import libraries

(original,) = libraries()
library = ctypes.CDLL(shutil.copy(original, os.path.abspath("libsqlite3-other.so")))

def other(path):
    handle = ctypes.c_void_p()
    sql = b"PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS t(x)"
    assert library.sqlite3_open(os.fsencode(path), ctypes.byref(handle)) == 0
    assert library.sqlite3_exec(handle, sql, None, None, None) == 0
    return handle

def told(*order):
    with crashlab.hazards.watch() as seen:
        for opens in order:
            opens()
        library.sqlite3_close(kept.pop(0))
        kept.pop().close()
    kept.clear()
    return [hazard.id for hazard in seen.hazards]

kept = []
def ours():
    kept.append(sqlite3.connect("app.db"))
    kept[-1].execute("PRAGMA journal_mode=WAL").fetchall()
    kept[-1].execute("SELECT * FROM sqlite_master").fetchall()
def same():
    kept.insert(0, other("app.db"))
def another():
    kept.insert(0, other("other.db"))
def by_turns():
    sqlite3.connect("third.db").close()

print(told(ours, same, by_turns), told(same, ours), told(ours, another, by_turns), told(another, ours))
"""


def test_a_second_library_on_the_same_file_is_told_and_on_another_is_not(tmp_path):
    """In a process of its own: a library that was loaded stays."""
    done = subprocess.run(
        [sys.executable, "-c", SECOND_LIBRARY], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("['two-libraries'] ['two-libraries'] [] []\n", "")


def test_every_kind_has_a_planted_case():
    assert {identity for identity, *_ in CASES} | {"network-file-system", "two-libraries"} == set(KINDS)


def test_no_alarm_on_sqlite_s_own_removals_and_on_an_ordinary_life(tmp_path):
    def life(path: Path) -> None:
        for mode in ("WAL", "DELETE", "TRUNCATE"):
            connection = sqlite3.connect(path)
            connection.execute(f"PRAGMA journal_mode={mode}")
            connection.execute("CREATE TABLE IF NOT EXISTS t(x)")
            for _ in range(20):
                with connection:
                    connection.execute("INSERT INTO t VALUES (1)")
            with sqlite3.connect(path.with_name("copy.db")) as target:
                connection.backup(target)
            target.close()
            connection.close()
        shutil.copy(path, path.with_name("later.db"))
        path.unlink()

    assert seen_in(life, tmp_path / "app.db") == set()


def test_an_attached_database_is_watched_too(tmp_path):
    def attach(path: Path) -> None:
        wal(path).close()
        main = sqlite3.connect(":memory:")
        main.execute("ATTACH ? AS app", (str(path),))
        main.execute("SELECT * FROM app.t").fetchall()
        path.read_bytes()
        main.close()

    assert seen_in(attach, tmp_path / "app.db") == {"stray-open"}


def test_the_documentation_has_every_kind_with_its_severity():
    page = (Path(__file__).resolve().parents[4] / "docs" / "how-to" / "hazards.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^\| `([\w-]+)` \| (\w+) \|", page, re.MULTILINE))
    assert shown == {name: kind.severity.value for name, kind in KINDS.items()}
