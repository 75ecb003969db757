"""A6: a connection carried across fork(): the child has the descriptors and SQLite's memory, but not the locks."""

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass


def _played(stage: Stage, *, own: bool) -> None:
    parent = stage.opener("W")
    stage.create(parent)
    stage.insert(parent, "pre", 5 + stage.rng("pre").randrange(10))
    stage.step("W opens the database and commits rows")
    if stage.control:
        parent.close()
        child = stage.forked("C", parent)
        parent.open(str(stage.main), "journal_mode=WAL")
        child.open(str(stage.main), "journal_mode=WAL", on="own")
        stage.step("W closes, then forks a child C; each opens a connection of its own")
    else:
        child = stage.forked("C", parent)
        if own:
            child.open(str(stage.main), "journal_mode=WAL", on="own")
        stage.step("W forks a child C" + (", which opens a connection of its own" if own else ""))
    on = "own" if own or stage.control else "main"
    parent.close()
    stage.step("W closes its connection")
    stage.insert(child, "child", 5 + stage.rng("child").randrange(20), on=on)
    stage.step("C commits rows, each acknowledged")
    newcomer = stage.opener("Y")
    seen = newcomer.sql("SELECT count(*) FROM t WHERE who LIKE 'child%'")[0][0]
    stage.observe("newcomer.sees_new_rows", "yes" if seen else "no")
    stage.step(f"Y opens and sees {seen} of C's rows")
    child.kill()
    newcomer.close()
    stage.step("C is killed, then Y closes")


def carried(stage: Stage) -> None:
    """The child uses its parent's connection."""
    _played(stage, own=False)


def own(stage: Stage) -> None:
    """The child opens a connection of its own, and leaves its parent's alone."""
    _played(stage, own=True)


_PICTURE = {
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
    "newcomer.sees_new_rows": "no",
    "main": "SQLite database",
    "wal": "missing",
}
_CLEAN = {**CLEAN, "live.unlinked": "none", "live.main_locks": "held", "newcomer.sees_new_rows": "yes"}
_CONTROL = "the connection is closed before the fork, and each process opens one afterwards"
_ADVICE = (
    "close every connection before a fork, or open the first one after it (gunicorn: in post_fork, not with preload)",
    "multiprocessing: use the start method spawn or forkserver",
    "keep os.getpid() with a connection and refuse to use it in another process",
)
_LINKS = (
    "https://sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_",
    "https://github.com/rails/solid_queue/issues/324",
)

EXHIBITS = (
    Exhibit(
        id="a6-carried",
        title="connection carried across fork(): the parent's close deletes the WAL that the child goes on writing",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "A child that was forked has the parent's descriptors, but locks are not inherited. When the parent "
            "closes, it finds no lock but its own, believes itself the last, and deletes -wal and -shm. The child "
            "goes on committing into files without a name."
        ),
        control=_CONTROL,
        run=carried,
        picture=_PICTURE,
        clean=_CLEAN,
        symptom="what a worker process wrote is missing after it ended; both checks say ok",
        advice=_ADVICE,
        mistaken_for=("the worker's end", "a missing commit"),
        links=_LINKS,
    ),
    Exhibit(
        id="a6-own",
        title="a connection of its own in a forked child has no locks either, if the parent's was open at the fork",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "The child leaves its parent's connection alone and opens one of its own. But SQLite keeps a list of the "
            "files that its process has locked, the list was copied by the fork, and so the child's SQLite takes the "
            "parent's locks for its own and asks for none."
        ),
        control=_CONTROL,
        run=own,
        picture=_PICTURE,
        clean=_CLEAN,
        symptom="as a6-carried, although the worker never touches the inherited connection",
        advice=_ADVICE,
        mistaken_for=("the worker's end", "a missing commit"),
        links=_LINKS,
    ),
)
