"""What the detectors are given, and what they report to."""

import gc
import os
import sqlite3
from collections import deque
from collections.abc import Callable
from typing import Any

from crashlab.diagnosis.hazards.connections import Connection, Database, Registry
from crashlab.diagnosis.hazards.hazard import Frame, Hazard, Related
from crashlab.diagnosis.hazards.seam import Closing
from crashlab.diagnosis.hazards.stack import user_stack

Handler = Callable[[tuple[Any, ...]], None]


class Scene:
    """The process as far as it is known.

    `context`: the test that runs now. `found`: reported, not yet delivered; `recent`: the last few of all.
    `watch_use`, `synchronous`: what the seam can do with a connection.
    """

    def __init__(self) -> None:
        self.registry = Registry()
        self.context = ""
        self.found: list[Hazard] = []
        self.recent: deque[Hazard] = deque(maxlen=8)
        self.watch_use: Callable[[int], None] | None = None
        self.synchronous: Callable[[int, bool], int | None] = lambda _pointer, _closing: None

    def report(
        self,
        identity: str,
        path: str,
        seen: str,
        *,
        stack: tuple[Frame, ...] | None = None,
        related: tuple[Related, ...] = (),
        context: str | None = None,
    ) -> None:
        """Report a hazard, by default at the place where the program is now."""
        where = user_stack() if stack is None else stack
        of = self.context if context is None else context
        hazard = Hazard(identity, path, seen, where, related, os.getpid(), of)
        self.found.append(hazard)
        self.recent.append(hazard)


class Detector:
    """Base of all detectors: one that sees nothing. Its methods must be quick and must not open any database file."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def audits(self) -> dict[str, Handler]:
        """The interpreter's audit events it wants; the handler runs before what is announced is done."""
        return {}

    def connecting(self, path: str) -> None:
        """Python's `sqlite3` is about to open this path."""

    def opened(self, connection: Connection) -> None:
        """A connection was opened; it has run no statement."""

    def closing(self, connection: Connection, facts: Closing) -> None:
        """A connection is about to be closed; its files are still open, and it still counts as open."""

    def forked(self) -> None:
        """This is a child now: what the parent has pending is not its business."""

    def alive(self, connection: Connection, facts: Closing) -> None:
        """The watch ends, and the connection stays open."""

    def rest(self) -> None:
        """A test is over, or the watch."""

    def end(self) -> None:
        """The watch is over."""


def living(registry: Registry) -> list[Connection]:
    """Return the connections that are open beyond doubt: Python's own objects prove it. Slow."""
    if not registry.by_pointer:
        return []
    alive = {id(each) for each in gc.get_objects() if isinstance(each, sqlite3.Connection) and _is_open(each)}
    return [each for each in registry.by_pointer.values() if each.python_id in alive]


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        return connection.in_transaction or True
    except sqlite3.Error:
        return False


def opened_at(connection: Connection | None) -> tuple[Related, ...]:
    """Say where a connection was opened."""
    if connection is None or not connection.stack:
        return ()
    return (Related("the database was opened at", connection.stack),)


def how_many(database: Database) -> str:
    """Say how many connections a database has here."""
    count = len(database.live)
    if not count:
        return "this process has the database open"
    return f"{count} connection{'s' if count > 1 else ''} of this process {'have' if count > 1 else 'has'} it open"


def text_of(path: Any) -> str | None:
    """Return a path argument as text, None for descriptors and nonsense."""
    if isinstance(path, str):
        return path
    if isinstance(path, bytes):
        return os.fsdecode(path)
    if path is None or isinstance(path, int):
        return None
    try:
        return os.fsdecode(path)
    except TypeError:
        return None
