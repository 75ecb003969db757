"""H1: Python's sqlite3 opens a transaction by itself, nobody commits it, and close() throws it away."""

import sqlite3

from crashlab.gallery.exhibit import CLEAN, Exhibit, Need
from crashlab.gallery.mechanisms._app import SOUND
from crashlab.gallery.stage.actor_child import Self
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass


def run(stage: Stage) -> None:
    """A program inserts rows, says 'saved', and closes in good order."""
    writer = stage.opener("W")
    stage.create(writer)
    stage.insert(writer, "pre", 5 + stage.rng("pre").randrange(5))
    writer.close()
    stage.step("W commits rows and closes")
    rows = stage.rows("saved", 3 + stage.rng("saved").randrange(10))
    pending = stage.actor("P").call(save, str(stage.main), rows, stage.control)
    for key, value in rows:
        stage.ledger.ack(key, value)
    stage.observe("app.in_transaction_at_close", "yes" if pending else "no")
    committed = "commits" if stage.control else "does not commit"
    stage.step(f"P, with Python's default settings, inserts rows, says 'saved', {committed}, and closes")


def save(_actor: Self, path: str, rows: list[list[str]], commit: bool) -> bool:
    """Insert as a program does that has read no further than execute(); whether a transaction is open at close()."""
    connection = sqlite3.connect(path)
    for row in rows:
        connection.execute("INSERT INTO t(who, v) VALUES(?, ?)", row)
    if commit:
        connection.commit()
    pending = connection.in_transaction
    connection.close()
    return pending


EXHIBITS = (
    Exhibit(
        id="h1",
        title="implicit transaction never committed: close() discards what execute() inserted",
        fault_class=FaultClass.NONE,
        happens=(
            "By default Python's sqlite3 begins a transaction before the first INSERT, UPDATE or DELETE, and only "
            "commit() ends it. The program's own connection sees the rows, so all looks well until close(), which "
            "rolls back without a word."
        ),
        control="the program calls commit() before it closes",
        run=run,
        picture={"rows.lost": "suffix", "rows.unacked": "none", **SOUND, "app.in_transaction_at_close": "yes"},
        clean={**CLEAN, "app.in_transaction_at_close": "no"},
        symptom="rows since the last commit are missing after every restart, also after a clean one",
        advice=(
            "'with connection:' around every unit of work, or isolation_level=None and BEGIN/COMMIT in SQL",
            "assert not connection.in_transaction before close()",
            "look for it while it runs: crashlab hazards",
        ),
        needs=(Need.FORK, Need.PROC, Need.STDLIB),
        mistaken_for=("the kill", "WAL mode", "a lost WAL"),
    ),
)
