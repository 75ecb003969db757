"""G1: the journal mode that a program believes in is not the one in force: changed by a tool, or never obtained."""

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass

BELIEVED = "wal"


def _write_beside_a_reader(stage: Stage, writer: Actor, reader: Actor) -> None:
    """What WAL mode is chosen for: a writer commits while somebody reads."""
    stage.observe("mode.believed", BELIEVED)
    stage.observe("mode.in_force", writer.sql("PRAGMA journal_mode")[0][0])
    reader.sql("BEGIN")
    reader.sql("SELECT count(*) FROM t")
    problem = stage.insert(writer, "late", 3 + stage.rng("late").randrange(5))
    stage.observe("writer.error", problem.name if problem else "none")
    how = f"gets {problem.name}" if problem else "commits"
    stage.step(f"R reads in a transaction; W wants to commit, and {how}")


def downgraded(stage: Stage) -> None:
    """The mode is kept in the file: a tool changes it for everybody."""
    first = stage.opener("W1")
    stage.create(first)
    stage.insert(first, "pre", 10 + stage.rng("pre").randrange(10))
    first.close()
    stage.step("W sets WAL mode when it creates the database, commits rows, and ends")
    tool = stage.actor("T")
    tool.open(str(stage.main), *(("synchronous=FULL",) if stage.control else ("journal_mode=DELETE",)))
    tool.sql("SELECT count(*) FROM t")
    tool.close()
    stage.step("T, a tool, opens the database" + ("" if stage.control else " with journal_mode=DELETE, its default"))
    writer, reader = stage.opener("W", "synchronous=NORMAL"), stage.opener("R", "synchronous=NORMAL")
    _write_beside_a_reader(stage, writer, reader)


def ignored(stage: Stage) -> None:
    """Where there is no shared memory, the answer to `journal_mode=WAL` is `delete`: a row, not an error."""
    writer, reader = stage.actor("W"), stage.actor("R")
    text = str(stage.main) if stage.control else f"file:{stage.main}?vfs=unix-dotfile"
    answers = set()
    for actor in (writer, reader):
        actor.open(text, "synchronous=FULL", uri=not stage.control)
        answers.add(actor.sql("PRAGMA journal_mode=WAL")[0][0])
        if actor is writer:
            stage.create(writer)
            stage.insert(writer, "pre", 10 + stage.rng("pre").randrange(10))
    stage.step(f"W and R ask for journal_mode=WAL; the answer is {' and '.join(sorted(answers))}, without an error")
    _write_beside_a_reader(stage, writer, reader)
    for actor in (reader, writer):
        actor.close()  # the lock of unix-dotfile is a directory, which a process that just ends leaves behind


ADVICE = (
    "read the row that PRAGMA journal_mode returns, at every start, and refuse to go on if it is another mode",
    "set the mode in every program that opens the file, in one shared function",
    "in a matrix of tests assert the mode in force: otherwise all its legs test the same one",
)
LINKS = (
    "https://github.com/NousResearch/hermes-agent/issues/85608",
    "https://github.com/NousResearch/hermes-agent/issues/89293",
    "https://github.com/NousResearch/hermes-agent/issues/93794",
)
_PICTURE = {
    "mode.believed": "wal",
    "mode.in_force": "delete",
    "main.mode": "rollback",
    "writer.error": "SQLITE_BUSY",
    "rows.lost": "none",
    "quick_check": "ok",
    "integrity_check": "ok",
}
_CLEAN = {**CLEAN, "mode.believed": "wal", "mode.in_force": "wal", "main.mode": "wal", "writer.error": "none"}

EXHIBITS = (
    Exhibit(
        id="g1",
        title="journal mode changed by a tool between two runs: writers meet 'database is locked' beside readers",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "WAL mode is kept in the file's header. A tool that sets journal_mode=DELETE while nobody else has it "
            "open changes it for everybody, for ever, without a message. The program set WAL when it created the file, "
            "and never asked again."
        ),
        control="the tool sets no journal mode",
        run=downgraded,
        picture=_PICTURE,
        clean=_CLEAN,
        symptom="'database is locked' where it never was; commits that somebody swallows with it; no -wal any more",
        advice=ADVICE,
        mistaken_for=("too short a busy timeout", "load", "a stale lock"),
        links=LINKS,
    ),
    Exhibit(
        id="g1-ignored",
        title="journal_mode=WAL not available: SQLite answers 'delete' and no error",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "WAL mode needs shared memory. Where the VFS has none (unix-dotfile here, nolock=1, some file systems) "
            "PRAGMA journal_mode=WAL is answered with the mode that stays in force. That is a row; no exception is "
            "raised, and few programs read it. A misspelt mode is answered in the same way."
        ),
        control="the database is opened with the default VFS",
        run=ignored,
        picture=_PICTURE,
        clean=_CLEAN,
        symptom="a program that is configured for WAL has no -wal file, and its writers are locked out by readers",
        advice=ADVICE,
        mistaken_for=("too short a busy timeout", "load"),
        links=LINKS,
    ),
)
