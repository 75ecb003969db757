"""A9: immutable=1 on a file that changes, and nolock=1 beside an opener that locks."""

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.driver import Problem
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass

SMALL = 20


def _reader(stage: Stage) -> Actor:
    """A reader with `immutable=1`; in the control with `mode=ro`."""
    reader = stage.actor("R")
    how = "mode=ro" if stage.control else "immutable=1"
    reader.open(f"file:{stage.main}?{how}", uri=True)
    return reader


def _seen(stage: Stage, actor: Actor, feature: str) -> int:
    rows = actor.sql("SELECT who FROM t")
    missing = len(stage.ledger.acked.keys() - {who for (who,) in rows})
    stage.observe(feature, "missing" if missing else "all")
    return missing


def immutable(stage: Stage) -> None:
    """The reader looks at the main file alone; what is in the WAL it does not see."""
    writer = stage.opener("W")
    stage.create(writer)
    stage.insert(writer, "pre", 5 + stage.rng("pre").randrange(10))
    writer.sql("PRAGMA wal_checkpoint(PASSIVE)")
    stage.insert(writer, "W", 5 + stage.rng("W").randrange(30))
    stage.step("W commits rows, checkpoints, and commits more: they are in the WAL")
    missing = _seen(stage, _reader(stage), "reader.rows")
    stage.step(f"R opens with {'mode=ro' if stage.control else 'immutable=1'}: {missing} acked rows are missing")
    fresh = stage.opener("F", "query_only=ON")
    missing = _seen(stage, fresh, "fresh.rows")
    stage.step(f"F opens as usual: {missing} acked rows are missing")
    writer.kill()
    stage.step("W is killed")


def changed(stage: Stage) -> None:
    """The reader keeps pages of a file that was rebuilt since, and mixes them with new ones."""
    writer = stage.opener("W")
    stage.create(writer)
    stage.insert(writer, "pre", 60 + stage.rng("pre").randrange(40), size=400)
    writer.sql("CREATE TABLE old(x)")
    writer.sql("INSERT INTO old SELECT zeroblob(3000) FROM t")
    writer.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    stage.step("W commits rows and checkpoints: the WAL is empty, the main file has everything")
    reader = _reader(stage)
    reader.sql("SELECT count(*) FROM sqlite_master")
    stage.step(f"R opens with {'mode=ro' if stage.control else 'immutable=1'} and reads the schema")
    for statement in ("DROP INDEX tv", "DROP TABLE old", "VACUUM", "CREATE INDEX tv ON t(v)"):
        writer.sql(statement)
    writer.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    stage.step("W drops a table, rebuilds an index, compacts the file, and checkpoints: pages change places")
    stage.observe("reader.error", stage.attempt(reader, "SELECT sum(length(v)) FROM t INDEXED BY tv"))
    stage.step(f"R reads the rows by the index: {stage.features['reader.error']}")
    fresh = stage.opener("F", "query_only=ON")
    lines = fresh.sql("PRAGMA quick_check")
    stage.observe("fresh.quick_check", "ok" if lines == [["ok"]] else "fails")
    stage.step(f"F opens as usual and runs quick_check: {lines[0][0]}")
    writer.kill()
    stage.step("W is killed")


def nolock(stage: Stage) -> None:
    """An opener that takes no locks commits in the middle of another one's transaction."""
    mode = ("journal_mode=DELETE", "synchronous=FULL")
    maker = stage.opener("M", *mode)
    stage.create(maker)
    stage.insert(maker, "pre", 5 + stage.rng("pre").randrange(10), size=SMALL)
    maker.close()
    writer = stage.opener("W", *mode)
    writer.sql("BEGIN IMMEDIATE")
    writer.sql("SELECT count(*) FROM t NOT INDEXED")
    stage.step("W opens, begins a transaction to write, and reads the table first")
    other = stage.actor("N")
    other.open(str(stage.main) if stage.control else f"file:{stage.main}?nolock=1", *mode, uri=not stage.control)
    problem = stage.insert(other, "N", 1 + stage.rng("N").randrange(5), size=SMALL)
    stage.observe("intruder.answer", problem.name if problem else "acked")
    other.leave()
    how = "as usual" if stage.control else "with nolock=1"
    stage.step(f"N opens {how} and inserts rows: {problem.name if problem else 'each acknowledged'}")
    row = stage.rows("W", 1, SMALL)[0]
    try:
        writer.sql("INSERT INTO t(who, v) VALUES(?, ?)", (row[0], row[1]))
        writer.sql("COMMIT")
    except Problem as refused:
        stage.observe("writer.answer", refused.name)
    else:
        stage.ledger.ack(*row)
        stage.observe("writer.answer", "acked")
    writer.leave()
    stage.step(f"W inserts a row and commits: {stage.features['writer.answer']}")


_INTACT = {**CLEAN, "live.unlinked": "none", "main": "SQLite database", "main.pages": "whole"}
_READ_ONLY = (
    "read only: open with mode=ro; it takes locks and sees the WAL",
    "immutable=1 is for files on media that cannot change while they are open",
)
_CONTROL = "the reader opens with mode=ro"
_IMMUTABLE = (
    "https://sqlite.org/uri.html#uriimmutable",
    "https://sqlite.org/howtocorrupt.html#_two_processes_using_different_locking_protocols",
)

EXHIBITS = (
    Exhibit(
        id="a9-immutable",
        title="a reader with immutable=1 does not see the WAL",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "immutable=1 tells SQLite that nobody will change the file, so it takes no lock and looks for no WAL. All "
            "that was committed since the last checkpoint is not there for this reader, without an error."
        ),
        control=_CONTROL,
        run=immutable,
        picture={**_INTACT, "reader.rows": "missing", "fresh.rows": "all", "wal": "commits"},
        clean={**CLEAN, "reader.rows": "all", "fresh.rows": "all"},
        symptom="a dashboard, an export or a backup shows fewer rows than the program; nothing is damaged",
        advice=_READ_ONLY,
        mistaken_for=("lost commits", "replication lag"),
        links=_IMMUTABLE,
    ),
    Exhibit(
        id="a9-changed",
        title="a reader with immutable=1 sees a malformed database while the file changes; nobody else does",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "A reader with immutable=1 keeps its schema and its pages for ever. When another process rebuilds the file "
            "meanwhile, the reader follows old page numbers into new pages."
        ),
        control=_CONTROL,
        run=changed,
        picture={**_INTACT, "reader.error": "SQLITE_CORRUPT", "fresh.quick_check": "ok"},
        clean={**CLEAN, "reader.error": "none", "fresh.quick_check": "ok"},
        symptom="'database disk image is malformed' from one reader only; quick_check elsewhere says ok",
        advice=_READ_ONLY,
        mistaken_for=("a damaged file", "the disk"),
        links=_IMMUTABLE,
    ),
    Exhibit(
        id="a9-nolock",
        title="an opener with nolock=1 commits in the middle of another one's transaction",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "nolock=1 neither takes locks nor asks for them. Its commit goes between the reading and the writing of "
            "another process, which then writes the page it had read over the newer one. The index page it reads only "
            "later, and keeps."
        ),
        control="the second process opens as usual, and is told that the database is locked",
        run=nolock,
        picture={
            "intruder.answer": "acked",
            "writer.answer": "acked",
            "open.error": "none",
            "rows.lost": "gap",
            "rows.unacked": "none",
            "integrity_check": "fails",  # quick_check too from some version between 3.40.1 and 3.50.4 on
            "main": "SQLite database",
            "wal": "missing",
            "journal": "missing",
        },
        clean={**CLEAN, "intruder.answer": "SQLITE_BUSY", "writer.answer": "acked"},
        symptom="acknowledged rows are missing, their index entries are there ('wrong # of entries in index')",
        advice=(
            "never open a database with nolock=1 that anybody else may open; the same for the VFS unix-none",
            "on a file system whose locks don't work, one process at a time, or none",
        ),
        mistaken_for=("the WAL-reset bug", "the file system"),
        links=("https://sqlite.org/uri.html#urinolock", _IMMUTABLE[1]),
    ),
)
