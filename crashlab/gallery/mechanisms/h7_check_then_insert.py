"""H7: a limit is checked under a lock of the process, and another process inserts meanwhile."""

from crashlab.gallery.exhibit import Exhibit
from crashlab.gallery.mechanisms._app import SOUND
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass


def run(stage: Stage) -> None:
    """Two processes find room for one more."""
    stage.has_rows = False
    first, second = stage.opener("P"), stage.opener("Q")
    cap = 2 + stage.rng("cap").randrange(8)
    first.sql("CREATE TABLE positions(number INTEGER PRIMARY KEY, owner TEXT)")
    for _ in range(cap - 1):
        first.sql("INSERT INTO positions(owner) VALUES('P')")
    stage.step(f"{cap - 1} of {cap} positions are open")
    if stage.control:
        first.sql("BEGIN IMMEDIATE")
        begun = stage.attempt(second, "BEGIN IMMEDIATE")
        seen = [_count(first)]
        stage.step(f"P begins, and counts {seen[0]}; Q has to wait to begin ({begun})")
    else:
        seen = [_count(first), _count(second)]
        stage.step(f"P counts {seen[0]}, Q counts {seen[1]}, each under a lock of its own process")
    first.sql("INSERT INTO positions(owner) VALUES('P')")
    if stage.control:
        first.sql("COMMIT")
        second.sql("BEGIN IMMEDIATE")
        seen.append(_count(second))
    if seen[1] < cap:
        second.sql("INSERT INTO positions(owner) VALUES('Q')")
    if stage.control:
        second.sql("COMMIT")
    count = _count(first)
    stage.observe("app.limit", "exceeded" if count > cap else "kept")
    stage.step(f"P inserts; Q, which counted {seen[1]}, {'inserts' if seen[1] < cap else 'refuses'}: {count} of {cap}")


def _count(actor: Actor) -> int:
    return int(actor.sql("SELECT count(*) FROM positions")[0][0])


EXHIBITS = (
    Exhibit(
        id="h7",
        title="check then insert across processes: a limit is exceeded",
        fault_class=FaultClass.NONE,
        happens=(
            "A threading.Lock around 'count, then insert' holds off the threads of one process. Two processes count "
            "the same number and both insert."
        ),
        control="count and insert are one BEGIN IMMEDIATE transaction",
        run=run,
        picture={**SOUND, "app.limit": "exceeded"},
        clean={**SOUND, "app.limit": "kept"},
        symptom="one row more than allowed, rarely, and only with several workers",
        advice=(
            "put the check and the insert into one BEGIN IMMEDIATE; in WAL mode a plain BEGIN reads an old count",
            "or let the database check: a UNIQUE slot number, a CHECK, a trigger",
        ),
        mistaken_for=("WAL mode", "a bug in the count"),
    ),
)
