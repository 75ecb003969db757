"""H6: a paused owner is declared dead by its heartbeat, replaced, and then comes back and writes."""

import os
import signal

from crashlab.gallery.exhibit import Exhibit
from crashlab.gallery.mechanisms._app import CLOCK_S, SOUND
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass

_CUTOFF_S = 30
_TABLE = "CREATE TABLE jobs(number INTEGER PRIMARY KEY, token INTEGER, heartbeat INTEGER, status TEXT, result TEXT)"


def run(stage: Stage) -> None:
    """The owner is stopped for longer than the reaper's cut-off."""
    stage.has_rows = False
    owner, other = stage.opener("O"), stage.opener("R")
    owner.sql(_TABLE)
    owner.sql("INSERT INTO jobs VALUES(1, 1, ?, 'running', NULL)", (CLOCK_S,))
    stage.step("O owns job 1, with token 1, and writes its heartbeat")
    os.kill(owner.pid, signal.SIGSTOP)
    os.waitpid(owner.pid, os.WUNTRACED)
    fence = " AND token = 1" if stage.control else ""
    finish = f"UPDATE jobs SET status = 'completed', result = 'by O' WHERE number = 1{fence}"
    owner.send("sql", finish, [], "main")  # the result is there; O will write it as soon as it runs again
    now = CLOCK_S + _CUTOFF_S + 1 + stage.rng("pause").randrange(600)
    stage.note(f"O is paused (SIGSTOP, a laptop's sleep, a long collection of garbage) for {now - CLOCK_S} s")
    other.sql("UPDATE jobs SET token = token + 1, status = 'failed' WHERE heartbeat < ?", (now - _CUTOFF_S,))
    stage.step(f"R finds a heartbeat older than {_CUTOFF_S} s, declares the job's owner dead, and takes the job")
    other.sql("UPDATE jobs SET status = 'completed', result = 'by R' WHERE number = 1 AND token = 2")
    stage.step("R does the job and completes it")
    os.kill(owner.pid, signal.SIGCONT)
    owner.receive()
    changed = owner.sql("SELECT changes()")[0][0]
    result = other.sql("SELECT result FROM jobs WHERE number = 1")[0][0]
    stage.step(f"O runs again and completes the job too: {changed} rows changed; the result is now {result}")
    stage.observe("app.owner_was", "paused")
    stage.observe("app.result", "overwritten" if result == "by O" else "kept")


EXHIBITS = (
    Exhibit(
        id="h6",
        title="heartbeat false death: a paused owner comes back and writes over its successor",
        fault_class=FaultClass.NONE,
        happens=(
            "A heartbeat that is late says that its writer did not run, not that it has ended. The reaper gives the "
            "job away; when the owner runs again it knows nothing of that and goes on where it was."
        ),
        control="the owner's writes carry the token that it was given, and change nothing when it is another's",
        run=run,
        picture={**SOUND, "app.owner_was": "paused", "app.result": "overwritten"},
        clean={**SOUND, "app.owner_was": "paused", "app.result": "kept"},
        symptom="a run that had failed is completed later; work is done twice after a sleep of the machine",
        advice=(
            "a fencing token: raise it with every change of owner, and put it into the WHERE of every write",
            "compare monotonic seconds of one clock, never texts of wall-clock time",
            "test it with SIGSTOP and a clock that is told, not read",
        ),
        mistaken_for=("lost rows", "a second instance"),
    ),
)
