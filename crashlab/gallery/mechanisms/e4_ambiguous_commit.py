"""E4: fsync fails at a COMMIT: the program gets an error, and the transaction may be there or not."""

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.mechanisms._failing import arm, disarm, failing
from crashlab.gallery.mechanisms._power import NEEDS
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass
from crashlab.sqlite.files import Triplet
from crashlab.sqlite.tap import Failure

LINKS = ("https://www.usenix.org/conference/atc20/presentation/rebello",)
ADVICE = (
    "count three outcomes of a commit: acknowledged, refused (a constraint, busy at BEGIN), unknown (an I/O error)",
    "after an I/O error at COMMIT: close, open anew, look for the transaction by a key of its own, then decide",
    "make what is repeated idempotent: INSERT ... ON CONFLICT(client_id) DO NOTHING",
)
_ERROR = "SQLITE_IOERR_FSYNC"


def ambiguous(stage: Stage) -> None:
    """The same error twice: one of the transactions is gone, the other is there."""
    writer = failing(stage, "W", "wal.sync", Failure.FSYNC)
    stage.create(writer)
    stage.insert(writer, "pre", 5 + stage.rng("pre").randrange(5))
    stage.step("W commits rows, each acknowledged")
    first = _commit(stage, writer, "first")
    stage.insert(writer, "later", 2 + stage.rng("later").randrange(5))
    stage.step("W goes on: later commits are acknowledged; their frames lie over those of a failed one")
    refused = stage.attempt(writer, "INSERT INTO t(id, who) VALUES(1, 'refused0')")
    second = _commit(stage, writer, "second")
    sees = writer.sql("SELECT count(*) FROM t WHERE who = 'second0'")[0][0]
    stage.note(f"W itself sees {'the' if sees else 'nothing of the'} second one")
    writer.kill()
    stage.step("W is killed")
    there = _rows_of_a_copy(stage)
    stage.observe("victim.error", first if first == second else f"{first} and {second}")
    stage.observe("victim.sees", "yes" if sees else "no")
    stage.observe("victim.refused", f"{refused}, {'present' if 'refused0' in there else 'absent'}")
    stage.observe("victim.first", "present" if "first0" in there else "absent")
    stage.observe("victim.second", "present" if "second0" in there else "absent")


def _commit(stage: Stage, writer: Actor, who: str) -> str:
    """One row whose commit's sync fails, except in the control; returns the error."""
    if not stage.control:
        writer.call(arm)
    problem = stage.insert(writer, who, 1)
    if not stage.control:
        writer.call(disarm)
    error = problem.name if problem else "none"
    stage.step("W commits one row; " + (f"the sync of the WAL fails: {error}" if problem else "it is acknowledged"))
    return error


def _rows_of_a_copy(stage: Stage) -> list[str]:
    """What an opener finds, without touching the evidence."""
    copies = stage.directory.parent / "copy"
    copies.mkdir()
    copy = Triplet.of(stage.main).copy_into(copies)
    reader = stage.opener("a reader of a copy", path=copy.main)
    rows = [who for (who,) in reader.sql("SELECT who FROM t NOT INDEXED")]
    reader.leave()
    return rows


def retried(stage: Stage) -> None:
    """The order whose commit met an error is placed again."""
    writer = failing(stage, "W", "wal.sync", Failure.FSYNC)
    stage.create(writer)
    stage.insert(writer, "pre", 5 + stage.rng("pre").randrange(5))
    writer.sql("CREATE TABLE orders(number INTEGER PRIMARY KEY, client_id TEXT, amount INTEGER)")
    stage.step("W commits rows, each acknowledged")
    client, amount = f"order-{stage.rng('order').randrange(1000)}", 1 + stage.rng("amount").randrange(500)
    insert = f"INSERT INTO orders(client_id, amount) VALUES('{client}', {amount})"
    writer.call(arm)
    error = stage.attempt(writer, insert)
    writer.call(disarm)
    writer.kill()
    stage.step(f"W commits {client}; the sync of the WAL fails: {error}; its process ends")
    again = stage.opener("V")
    known = again.sql("SELECT count(*) FROM orders WHERE client_id = ?", (client,))[0][0] if stage.control else 0
    if not known:
        again.sql(insert)
    stage.step(f"V, started in its place, looks for {client} and finds it" if known else f"V places {client} again")
    count = again.sql("SELECT count(*) FROM orders WHERE client_id = ?", (client,))[0][0]
    again.close()
    stage.observe("victim.error", error)
    stage.observe("app.orders", {0: "none", 1: "once", 2: "twice"}[count])


EXHIBITS = (
    Exhibit(
        id="e4",
        title="fsync fails at COMMIT: an error is returned, and the transaction is there, or is not",
        fault_class=FaultClass.IO_ERROR,
        happens=(
            "The frames were written before the sync that failed. SQLite answers with an error and its own "
            "connection forgets them; if the next commit lies over them they are gone, if the process ends first, "
            "recovery finds them whole. The same error, two outcomes: the transaction is neither acked nor refused."
        ),
        control="no sync fails",
        run=ambiguous,
        picture={
            "rows.lost": "none",
            "rows.unacked": "some",
            "quick_check": "ok",
            "integrity_check": "ok",
            "victim.error": _ERROR,
            "victim.sees": "no",
            "victim.refused": "SQLITE_CONSTRAINT_PRIMARYKEY, absent",
            "victim.first": "absent",
            "victim.second": "present",
            "wal": "commits",
            "shm.frames": "behind",
        },
        clean={
            **CLEAN,
            "shm.frames": "equal",
            "rows.unacked": "none",
            "victim.error": "none",
            "victim.refused": "SQLITE_CONSTRAINT_PRIMARYKEY, absent",
            "victim.first": "present",
            "victim.second": "present",
        },
        symptom="an error was logged for a row, and after the restart the row is there; or it is not",
        advice=ADVICE,
        mistaken_for=("a lost update", "a bug in the retry"),
        links=LINKS,
        needs=NEEDS,
    ),
    Exhibit(
        id="e4-retry",
        title="an I/O error at COMMIT taken for a refusal: the order is placed twice",
        fault_class=FaultClass.IO_ERROR,
        happens=(
            "A commit meets an I/O error, the program takes that for 'not done', and its successor does it again. "
            "Recovery has brought the first one back."
        ),
        control="the successor looks for the order by its own key first",
        run=retried,
        picture={
            "rows.lost": "none",
            "quick_check": "ok",
            "integrity_check": "ok",
            "victim.error": _ERROR,
            "app.orders": "twice",
        },
        clean={**CLEAN, "victim.error": _ERROR, "app.orders": "once"},
        symptom="a payment, an order or a message exists twice, seconds apart, around an I/O error in the log",
        advice=ADVICE,
        mistaken_for=("a double click", "the message queue"),
        links=LINKS,
        needs=NEEDS,
    ),
)
