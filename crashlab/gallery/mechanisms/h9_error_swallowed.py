"""H9: 'database is locked' is caught and logged, and the row is never written."""

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.mechanisms._app import SOUND
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass

LINKS = ("https://github.com/freqtrade/freqtrade/issues/7184",)


def run(stage: Stage) -> None:
    """Another process holds the write lock for longer than the busy timeout."""
    writer, other = stage.opener("W"), stage.opener("X")
    stage.create(writer)
    stage.insert(writer, "pre", 3 + stage.rng("pre").randrange(10))
    stage.step("W commits rows")
    other.sql("BEGIN IMMEDIATE")
    problem = stage.insert(writer, "fill", 1)
    error = problem.name if problem else "none"
    stage.observe("victim.error", error)
    if stage.control:
        stage.step(f"X holds the write lock; W's insert of a fill fails: {error}; W keeps the fill")
    else:
        [(key, value)] = stage.rows("fill", 1)
        stage.ledger.ack(key, value)  # what the program believes
        stage.step(f"X holds the write lock; W's insert of a fill fails: {error}; W logs it and goes on")
    other.sql("COMMIT")
    if stage.control:
        stage.insert(writer, "fill", 1)
    stage.insert(writer, "post", 3 + stage.rng("post").randrange(10))
    again = "W inserts the fill again, and commits more rows" if stage.control else "W commits more rows"
    stage.step(f"X is done; {again}")
    writer.kill()
    stage.step("W is killed")


EXHIBITS = (
    Exhibit(
        id="h9",
        title="'database is locked' swallowed: a single row is missing, in the middle",
        fault_class=FaultClass.NONE,
        happens=(
            "A writer waits its busy timeout for another process, gets SQLITE_BUSY, and an 'except' around the call "
            "logs it. Nothing was written, and the program goes on as if it had been."
        ),
        control="the error is not swallowed: the row is kept and inserted again",
        run=run,
        picture={"rows.lost": "gap", "rows.unacked": "none", **SOUND, "victim.error": "SQLITE_BUSY"},
        clean={**CLEAN, "rows.unacked": "none", "victim.error": "SQLITE_BUSY"},
        symptom="single rows are missing here and there, under load; both checks say ok",
        advice=(
            "let the error out, or keep the row and try again until it is in; never only log it",
            "keep write transactions short: the holder is often one's own, around slow work",
            "hold the write lock in a test and look whether the caller hears of it",
        ),
        mistaken_for=("the WAL-reset bug", "corruption", "a lost WAL"),
        links=LINKS,
    ),
)
