"""A5: two copies of SQLite in one process: each cancels the other's locks, and doesn't know that the other is there."""

import importlib
from pathlib import Path

from crashlab.gallery.exhibit import CLEAN, Exhibit, Need
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.actor_child import Self
from crashlab.gallery.stage.driver import ApswDriver, Driver
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass


def open_beside(actor: Self, path: str, same_library: bool) -> int:
    """Open a second connection in the actor's process and read; in another library unless told otherwise."""
    driver = actor.driver
    if not same_library:
        driver = Driver() if isinstance(driver, ApswDriver) else ApswDriver(importlib.import_module("apsw"))
    connection = driver.connect(path)
    actor.state["beside"] = driver, connection
    return int(driver.execute(connection, "SELECT count(*) FROM t")[0][0])


def close_beside(actor: Self) -> None:
    """Close the second connection."""
    driver, connection = actor.state.pop("beside")
    driver.close(connection)


def _mappings(actor: Actor, path: str) -> int:
    """How often the process has the start of a file mapped."""
    rows = (line.split(maxsplit=5) for line in Path(f"/proc/{actor.pid}/maps").read_text().splitlines())
    return sum(len(row) == 6 and row[5] == path and int(row[2], 16) == 0 for row in rows)


def run(stage: Stage) -> None:
    """The second library opens, reads and closes; then the first one commits on."""
    writer = stage.opener("W")
    stage.create(writer)
    stage.insert(writer, "pre", 5 + stage.rng("pre").randrange(10))
    stage.step("W opens the database with one SQLite library and commits rows")
    writer.call(open_beside, str(stage.main), stage.control)
    times = _mappings(writer, f"{stage.main}-shm")
    stage.observe("app.shm_mapped", {1: "once", 2: "twice"}.get(times, times))
    which = "the same library" if stage.control else "another SQLite library"
    stage.step(f"in W's process {which} opens it too and reads: -shm is mapped {stage.features['app.shm_mapped']}")
    writer.call(close_beside)
    stage.step("the second connection is closed")
    stage.insert(writer, "post", 3 + stage.rng("post").randrange(10))
    stage.step("W commits more rows, each acknowledged")
    newcomer = stage.opener("Y")
    seen = newcomer.sql("SELECT count(*) FROM t WHERE who LIKE 'post%'")[0][0]
    stage.observe("newcomer.sees_new_rows", "yes" if seen else "no")
    stage.step(f"Y opens and sees {seen} of W's later rows")
    writer.kill()
    newcomer.close()
    stage.step("W is killed, then Y closes")


EXHIBITS = (
    Exhibit(
        id="a5",
        title="two SQLite libraries in one process: one's close cancels the other's locks and deletes its live WAL",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "Each copy of SQLite keeps its own list of what the process has locked, but the kernel keeps one. When one "
            "copy closes, the locks of the other are gone; and since a process never meets its own locks, the closing "
            "copy believes itself the last, checkpoints, and deletes -wal and -shm under the other."
        ),
        control="the second connection is opened with the same library",
        run=run,
        picture={
            "app.shm_mapped": "twice",
            "newcomer.sees_new_rows": "no",
            "open.error": "none",
            "quick_check": "ok",
            "integrity_check": "ok",
            "rows.lost": "suffix",
            "rows.unacked": "none",
            "rows.changed": "none",
            "live.unlinked": "shm+wal",
            "live.ghost_wal": "commits",
            "live.main_locks": "lost",
            "live.shm_locks": "lost",
            "main": "SQLite database",
            "wal": "missing",
        },
        clean={
            **CLEAN,
            "app.shm_mapped": "once",
            "newcomer.sees_new_rows": "yes",
            "live.unlinked": "none",
            "live.main_locks": "held",
        },
        symptom="after a plugin or a vector store was loaded, one process's later commits are missing; checks say ok",
        advice=(
            "one SQLite library a process and file: the other copy belongs into a process of its own",
            "find out: /proc/PID/maps has -shm twice at offset 0, and two libsqlite3 or extension objects",
            "wheels with a SQLite inside: apsw, pysqlite3, many vector stores and machine-learning packages",
        ),
        needs=(Need.FORK, Need.PROC, Need.POSIX_LOCKS, Need.APSW),
        mistaken_for=("the kill", "concurrency", "the plugin's own writes"),
        links=(
            "https://sqlite.org/howtocorrupt.html#multiple_copies_of_sqlite_linked_into_the_same_application",
            "https://github.com/yantrikos/yantrikdb/issues/225",
            "https://github.com/kh0pper/crow/issues/264",
        ),
    ),
)
