"""H8: a flag that belonged to a process outlives it in the database, and the next process believes it."""

from crashlab.gallery.exhibit import Exhibit
from crashlab.gallery.mechanisms._app import SOUND
from crashlab.gallery.stage.actor_child import Self
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass

_REASONS = ("drawdown", "feed lost", "manual stop", "clock skew")


def run(stage: Stage) -> None:
    """A halted process is killed; the next one is asked whether it is halted."""
    stage.has_rows = False
    first = stage.opener("P")
    rng = stage.rng("reason")
    reason = _REASONS[rng.randrange(len(_REASONS))]
    first.sql("CREATE TABLE state(name TEXT PRIMARY KEY, value TEXT)")
    first.sql("INSERT INTO state VALUES('halt.reason', ?)", (reason,))
    stage.step(f"P halts and writes why: {reason}; its own end would take that away")
    first.kill()
    stage.step("P is killed")
    second = stage.opener("Q")
    believed = second.call(start, stage.control)
    second.close()
    stage.observe("app.halted_by", "a dead process" if believed else "nobody")
    told = "takes away what belonged to an earlier process" if stage.control else "believes what it reads"
    stage.step(f"Q starts, {told}, and is {f'halted: {believed}' if believed else 'running'}")


def start(actor: Self, reset: bool) -> str:
    """The start-up path: why it is halted, or empty; runs in the program's process."""
    if reset:
        actor.execute("DELETE FROM state WHERE name LIKE 'halt.%'")
    rows = actor.execute("SELECT value FROM state WHERE name = 'halt.reason'")
    return str(rows[0][0]) if rows else ""


EXHIBITS = (
    Exhibit(
        id="h8",
        title="stale flag: what belonged to a dead process is believed at the next start",
        fault_class=FaultClass.PROCESS_DEATH,
        happens=(
            "A flag in a table (halted, locked, running, leader) is taken away by the code that ends the process in "
            "good order. After a kill it stays, durable as everything else, and means nothing any more."
        ),
        control="the start takes away what belonged to an earlier process before it reads anything",
        run=run,
        picture={**SOUND, "app.halted_by": "a dead process"},
        clean={**SOUND, "app.halted_by": "nobody"},
        symptom="after a restart the program is halted, locked or 'already running', for a reason of yesterday",
        advice=(
            "store with every such flag whose it is (a boot id and a process start), and compare at the start",
            "reset what is of the process at the start, not at the end",
            "prove it: kill with every flag set, start, and look (crashlab run, the restart oracle)",
        ),
        mistaken_for=("a restored backup", "a second instance"),
    ),
)
