"""I: a console that is closed, with its grace and the kill behind it, takes only what was not committed."""

import os
import signal

from crashlab.errors import LabError
from crashlab.gallery.exhibit import CLEAN, Exhibit, Kind, Need
from crashlab.gallery.mechanisms.i_kill import LOST_WAL, lose_wal
from crashlab.gallery.stage.actor import Actor, Gone
from crashlab.gallery.stage.actor_child import Self
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass


def run(stage: Stage) -> None:
    """One writer dies of the hang-up, the next one handles it and is killed when its grace is over."""
    maker = stage.opener("M")
    stage.create(maker)
    stage.insert(maker, "pre", 5 + stage.rng("pre").randrange(5))
    maker.close()
    stage.step("rows are committed and closed: they are in the main file")
    for name, handles in (("W", False), ("V", True)):
        writer, console = _on_a_console(stage, name, handles=handles)
        writer.open(str(stage.main), "journal_mode=WAL", "synchronous=FULL")
        stage.insert(writer, name, 5 + stage.rng(name).randrange(15))
        writer.sql("BEGIN IMMEDIATE")
        writer.sql("INSERT INTO t(who, v) VALUES(?, 'not committed')", (f"{name}-uncommitted",))
        os.close(console)
        if handles:
            _grace(stage, writer)
            stage.step("V's console is closed; V handles that, commits one more row, begins another, and is killed")
        else:
            _hung_up(writer)
            stage.step("W's console is closed in the middle of a transaction: W dies of SIGHUP")
    lose_wal(stage)


def _on_a_console(stage: Stage, name: str, *, handles: bool) -> tuple[Actor, int]:
    """Start an actor whose controlling terminal is a new one; returns it and the terminal's other end."""
    console, terminal = os.openpty()
    writer = stage.actor(name)
    writer.call(take, terminal, console, handles)
    os.close(terminal)
    return writer, console


def take(actor: Self, terminal: int, console: int, handles: bool) -> None:
    """Make a terminal one's own, alone; runs in the actor's process."""
    import fcntl  # not on Windows, where this exhibit is listed and skipped
    import termios

    os.close(console)
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    if handles:
        actor.state["hung up"] = 0

        def on_hang_up(_number: int, _frame: object) -> None:
            actor.state["hung up"] += 1

        signal.signal(signal.SIGHUP, on_hang_up)


def hung_up(actor: Self) -> int:
    """How many hang-ups were handled; runs in the actor's process."""
    return int(actor.state["hung up"])


def _hung_up(writer: Actor) -> None:
    try:
        writer.receive()
    except Gone as gone:
        if gone.signal == "SIGHUP":
            return
        raise
    raise LabError(f"{writer.name} answered without being asked")


def _grace(stage: Stage, writer: Actor) -> None:
    if not writer.call(hung_up):
        raise LabError("the hang-up did not reach the writer")
    writer.sql("ROLLBACK")
    stage.insert(writer, "grace", 1)
    writer.sql("BEGIN IMMEDIATE")
    writer.sql("INSERT INTO t(who, v) VALUES('V-late', 'not committed')")
    writer.kill()


EXHIBITS = (
    Exhibit(
        id="i-close",
        title="acquitted: the console is closed, a grace, and then the kill",
        kind=Kind.ACQUITTAL,
        fault_class=FaultClass.PROCESS_DEATH,
        happens=(
            "Closing a console ends its programs by a hang-up (CTRL_CLOSE_EVENT on Windows); what handles it gets "
            "some seconds and is then ended. For the database both are a kill: what was committed is there, what "
            "was not is not."
        ),
        control="positive control: the same, and then the -wal is deleted",
        run=run,
        picture=LOST_WAL,
        clean={**CLEAN, "rows.unacked": "none", "rows.changed": "none", "wal": "commits"},
        symptom="after a console was closed rows are missing, or the file is malformed: something else happened, too",
        advice=(
            "crashlab repro s38 shows which candidates can, and which cannot, make a file malformed there",
            "write what must be there when it happens, not in the handler: the grace may be over first",
        ),
        links=("https://github.com/NousResearch/hermes-agent/issues/31618", "https://sqlite.org/atomiccommit.html"),
        needs=(Need.FORK, Need.PROC, Need.PTY),
    ),
)
