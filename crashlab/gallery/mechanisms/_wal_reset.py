"""What the exhibits of the WAL-reset bug share: the window inside a checkpoint, and the four connections."""

import threading
from collections.abc import Callable
from typing import Any

from crashlab.errors import LabError
from crashlab.gallery.mechanisms._file_methods import connect, replace
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.actor_child import Self
from crashlab.gallery.stage.stage import WAL, Stage
from crashlab.sqlite.tap.operation import Operation

__all__ = ["BEAT", "PASSIVE", "Cast", "checkpoint_while", "hold", "release"]

LIMIT_S = 5.0
PRAGMAS = (*WAL, "wal_autocheckpoint=0")
BEAT = "UPDATE heart SET beat = beat + 1"
"""A commit of one frame. Another one's pages could be copied in part by the checkpoint that is in its window."""
PASSIVE = "PRAGMA wal_checkpoint(PASSIVE)"

# -- in the actor's process: the window, between a checkpoint's look at the wal-index and its use of what it saw ------


def open_checkpointer(actor: Self, path: str, on: str) -> None:
    """Open B, whose checkpoints can be met in the window: `xUnfetch` is the one call of SQLite there."""
    address = connect(actor, path, on)
    actor.state["in_window"] = None

    def make(real: Callable[..., int]) -> Callable[..., int]:
        def unfetch(*arguments: Any) -> int:
            meet, actor.state["in_window"] = actor.state["in_window"], None
            if meet is not None:
                meet()
            return real(*arguments)

        return unfetch

    replace(address, Operation.UNFETCH, make)
    for pragma in PRAGMAS:
        actor.execute(f"PRAGMA {pragma}", on=on)


def checkpoint_while(actor: Self, on: str, sql: str, other: str) -> None:
    """Checkpoint on B; in the window the same thread commits something on another connection."""
    met: list[bool] = []

    def meet() -> None:
        actor.execute(sql, on=other)
        met.append(True)

    actor.state["in_window"] = meet
    actor.execute(PASSIVE, on=on)
    if not met:
        raise LabError("the checkpoint made no xUnfetch call, or the commit in it failed: the window was not met")


def hold(actor: Self, on: str) -> None:
    """Begin a checkpoint on B in a thread; returns when it stands in the window, where it waits for `release`."""
    reached, released = threading.Event(), threading.Event()

    def meet() -> None:
        reached.set()
        released.wait(LIMIT_S)

    actor.state["in_window"] = meet
    rows: list[Any] = []
    thread = threading.Thread(target=lambda: rows.extend(actor.execute(PASSIVE, on=on)))
    actor.state["held"] = thread, released, rows
    thread.start()
    if not reached.wait(LIMIT_S):
        raise LabError("the checkpoint made no xUnfetch call: the window was not met")


def release(actor: Self) -> None:
    """Let the checkpoint go on, and wait for its end."""
    thread, released, rows = actor.state.pop("held")
    released.set()
    thread.join(LIMIT_S)
    if not rows:
        raise LabError(f"the checkpoint did not end well within {LIMIT_S} s")


# -- on the stage ---------------------------------------------------------------------------------------------------


class Cast:
    """Connections A, B, C, D: each in a process of its own, or all in one process P."""

    def __init__(self, stage: Stage, *, processes: bool) -> None:
        self.stage = stage
        self.made = 0
        self.end_read = 0
        one = None if processes else stage.actor("P")
        self.of: dict[str, tuple[Actor, str]] = {}
        for name in "ABCD":
            self.of[name] = (one, name) if one else (stage.actor(name), "main")

    def open(self, name: str) -> None:
        """Open one of them, B with its window, and let it read."""
        actor, on = self.of[name]
        if name == "B":
            actor.main_path = str(self.stage.main)
            actor.call(open_checkpointer, str(self.stage.main), on)
            actor.sql("SELECT count(*) FROM t", on=on)
        else:
            actor.open(str(self.stage.main), *PRAGMAS, on=on)

    def rows(self, who: str, count: int, size: int) -> list[list[str]]:
        """Rows that go to the right edge of table and index: no page is split that an older commit wrote."""
        rows = []
        for key, value in self.stage.rows(who, count, size):
            self.made += 1
            rows.append([key, f"{self.made:06d} {value}"])
        return rows

    def insert(self, name: str, who: str, count: int, *, together: bool = True, size: int = 800) -> None:
        """Let one of them commit rows; nobody should see an error."""
        actor, on = self.of[name]
        rows = self.rows(who, count, size)
        answer = actor.ask("insert", rows, on, together=together)
        for row in rows[: answer["acked"]]:
            self.stage.ledger.ack(*row)
        if answer["error"]:
            self.stage.observe("victim.error", answer["error"][0])

    def sql(self, name: str, text: str) -> bool:
        """Let one of them run a statement; whether it worked."""
        actor, on = self.of[name]
        error = self.stage.attempt(actor, text, on)
        if error != "none":
            self.stage.observe("victim.error", error)
        return error == "none"

    def end(self) -> None:
        """Checkpoint, and close all in an orderly way."""
        self.sql("A", "PRAGMA wal_checkpoint(TRUNCATE)")
        for actor, on in self.of.values():
            actor.close(on)
        self.stage.step("a last checkpoint; all connections close in an orderly way")
