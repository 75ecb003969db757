"""H3: what only `finally`, `atexit` or close() writes is never written by a process that is killed."""

from collections.abc import Iterator

from crashlab.gallery.exhibit import Exhibit
from crashlab.gallery.mechanisms._app import CLOCK_S, SOUND
from crashlab.gallery.stage.actor_child import Self
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass

_TABLE = "CREATE TABLE sessions(name TEXT PRIMARY KEY, started_at INTEGER, ended_at INTEGER, how TEXT)"


def run(stage: Stage) -> None:
    """A session is killed, the next one starts and ends well."""
    stage.has_rows = False
    rng = stage.rng("clock")
    now = CLOCK_S
    first = stage.opener("P")
    first.sql(_TABLE)
    first.call(begin, "s1", now, stage.control)
    stage.step("P opens session s1; a finally clause is to write the end of it")
    now += 1 + rng.randrange(3600)
    first.kill()
    stage.step(f"P is killed {now - CLOCK_S} s later: no finally, no atexit, no close()")
    second = stage.opener("Q")
    second.call(begin, "s2", now + 5, stage.control)
    second.call(end, now + 60)
    told = "closes what earlier processes left open, then opens s2" if stage.control else "opens s2"
    left = second.sql("SELECT count(*) FROM sessions WHERE ended_at IS NULL")[0][0]
    second.close()
    stage.observe("app.open_sessions", "some" if left else "none")
    stage.step(f"Q, started next, {told}, and ends it in good order; sessions without an end: {left}")


def begin(actor: Self, name: str, now: int, reconcile: bool) -> None:
    """The start-up path, and the begin of a session; runs in the program's process."""
    if reconcile:
        actor.execute("UPDATE sessions SET ended_at = ?, how = 'crashed' WHERE ended_at IS NULL", (now,))
    actor.state["session"] = _session(actor, name, now)
    next(actor.state["session"])


def end(actor: Self, now: int) -> None:
    """Leave the session in good order; runs in the program's process."""
    actor.state["now"] = now
    actor.state.pop("session").close()


def _session(actor: Self, name: str, now: int) -> Iterator[None]:
    actor.execute("INSERT INTO sessions(name, started_at) VALUES(?, ?)", (name, now))
    try:
        yield
    finally:
        actor.execute("UPDATE sessions SET ended_at = ?, how = 'ended' WHERE name = ?", (actor.state["now"], name))


EXHIBITS = (
    Exhibit(
        id="h3",
        title="work that only finally, atexit or close() does: a killed session is open for ever",
        fault_class=FaultClass.PROCESS_DEATH,
        happens=(
            "The end of a session, a final flush, the release of a claim stand in a finally clause or in close(). "
            "SIGKILL, TerminateProcess and the end of a console's grace run none of it."
        ),
        control="the next start closes what earlier processes left open",
        run=run,
        picture={**SOUND, "app.open_sessions": "some"},
        clean={**SOUND, "app.open_sessions": "none"},
        symptom="rows without an end (ended_at is empty), claims that nobody holds; more with every crash",
        advice=(
            "let the start-up path do it: whatever is open and not ours was left by a crash",
            "write what matters when it happens, not at the end",
            "prove it: kill at every step, then run the start-up path (crashlab run, the restart oracle)",
        ),
        mistaken_for=("lost rows", "the kill"),
    ),
)
