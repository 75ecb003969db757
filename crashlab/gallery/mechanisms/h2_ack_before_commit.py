"""H2: the acknowledgement is given when a row is queued, the commit comes with the batch."""

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.mechanisms._app import SOUND
from crashlab.gallery.stage.actor_child import Self
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass

_BATCH = 10


def run(stage: Stage) -> None:
    """A writer with a queue is killed with part of a batch in it."""
    writer = stage.opener("W")
    stage.create(writer)
    rng = stage.rng("rows")
    rows = stage.rows("row", _BATCH * (1 + rng.randrange(3)) + 1 + rng.randrange(_BATCH - 1))
    acked = writer.call(submit, rows, _BATCH, stage.control)
    for key, value in rows[:acked]:
        stage.ledger.ack(key, value)
    when = "after their batch is committed" if stage.control else "as they are queued"
    stage.step(
        f"W takes {len(rows)} rows, commits them in batches of {_BATCH}, and acknowledges {acked} of them, {when}"
    )
    writer.kill()
    stage.step("W is killed; the batch that was not full had not been written")


def submit(actor: Self, rows: list[list[str]], batch: int, wait: bool) -> int:
    """Queue rows, commit full batches, and return how many were acknowledged; runs in the writer's process."""
    queue: list[list[str]] = []
    written = 0
    for row in rows:
        queue.append(row)
        if len(queue) == batch:
            actor.execute("BEGIN IMMEDIATE")
            for each in queue:
                actor.execute("INSERT INTO t(who, v) VALUES(?, ?)", each)
            actor.execute("COMMIT")
            written += len(queue)
            queue.clear()
    actor.state["queue"] = queue
    return written if wait else len(rows)


EXHIBITS = (
    Exhibit(
        id="h2",
        title="acknowledged before committed: what was in the writer's queue dies with the process",
        fault_class=FaultClass.PROCESS_DEATH,
        happens=(
            "A handler puts a row into a queue and answers 'accepted'; a writer commits the queue in batches. A kill "
            "takes the queue, and nothing in the database can show that there was one."
        ),
        control="a row is acknowledged when its batch has been committed",
        run=run,
        picture={"rows.lost": "suffix", "rows.unacked": "none", "rows.changed": "none", **SOUND, "wal": "commits"},
        clean={**CLEAN, "rows.unacked": "none"},
        symptom="clients hold receipts for rows that do not exist; always the last ones before a restart",
        advice=(
            "answer after COMMIT returned: let the handler wait for its batch",
            "or write the queue first to a table or file that is synced",
            "prove it: crashlab run with a kill between acknowledgement and commit",
        ),
        mistaken_for=("synchronous=NORMAL", "the kill", "a lost WAL"),
    ),
)
