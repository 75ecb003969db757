"""H5: two processes end the same job, and the later one writes over a state that was final."""

from crashlab.gallery.exhibit import Exhibit
from crashlab.gallery.mechanisms._app import SOUND
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass


def run(stage: Stage) -> None:
    """A worker completes a job that somebody is about to cancel."""
    stage.has_rows = False
    worker, canceller = stage.opener("W"), stage.opener("C")
    job = 1 + stage.rng("job").randrange(1000)
    worker.sql("CREATE TABLE jobs(number INTEGER PRIMARY KEY, status TEXT, result TEXT)")
    worker.sql("INSERT INTO jobs VALUES(?, 'running', NULL)", (job,))
    read = canceller.sql("SELECT status FROM jobs WHERE number = ?", (job,))[0][0]
    stage.step(f"C is asked to cancel job {job} and reads its status: {read}")
    worker.sql("UPDATE jobs SET status = 'completed', result = 'filled' WHERE number = ?", (job,))
    stage.step(f"W completes job {job}: the order has been filled")
    only = " AND status = 'running'" if stage.control else ""
    canceller.sql(f"UPDATE jobs SET status = 'cancelled' WHERE number = ?{only}", (job,))
    changed = canceller.sql("SELECT changes()")[0][0]
    status = worker.sql("SELECT status FROM jobs WHERE number = ?", (job,))[0][0]
    told = "C writes 'cancelled' where the job is still running" if stage.control else "C writes 'cancelled'"
    stage.step(f"{told}: {changed} rows changed; the job is now {status}")
    stage.observe("app.final_state", "kept" if status == "completed" else "overwritten")


EXHIBITS = (
    Exhibit(
        id="h5",
        title="a late cancel writes over a completed job: lost update by read, decide, write",
        fault_class=FaultClass.NONE,
        happens=(
            "Reading the status and writing the new one are two transactions. What happened between them is written "
            "over; every single statement was correct and committed."
        ),
        control="the cancel changes the row only while it is still running, and looks whether it did",
        run=run,
        picture={**SOUND, "app.final_state": "overwritten"},
        clean={**SOUND, "app.final_state": "kept"},
        symptom="a job that was completed is cancelled, with a result; reports disagree about one row",
        advice=(
            "compare and set: UPDATE ... WHERE number = ? AND status = 'running', then look at the count of changes",
            "or read and write inside one BEGIN IMMEDIATE",
            "test the interleaving, not the two halves",
        ),
        mistaken_for=("lost rows", "two databases"),
    ),
)
