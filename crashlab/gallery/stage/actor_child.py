"""An actor's own process: it obeys one order a line, and never does anything unasked.

Orders and answers are JSON. An answer is ``{"ok": value}`` or ``{"error": [name, message]}``, where the name
is SQLite's (``SQLITE_BUSY``) or an exception's.
"""

import importlib
import json
import os
import socket
from collections.abc import Callable
from typing import IO, Any

from crashlab.gallery.stage.driver import Driver, Problem

__all__ = ["Self", "live"]


class Self:
    """An actor seen from inside its process: what functions that an exhibit sends here get as first argument.

    `connections`: by name, ``main`` when not told. `state`: whatever they want to keep. `hang_up` closes this
    process's end of the line to the director.
    """

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.connections: dict[str, Any] = {}
        self.state: dict[str, Any] = {}
        self.hang_up: Callable[[], None] = lambda: None

    def execute(self, sql: str, parameters: Any = (), on: str = "main") -> list[tuple[Any, ...]]:
        """Run one statement on a connection."""
        return self.driver.execute(self.connections[on], sql, parameters)

    # -- what can be ordered ----------------------------------------------------------------------------

    def do_open(self, path: str, on: str, pragmas: list[str], busy_s: float, *, uri: bool) -> None:
        """Open a connection and read once, so that it holds the locks of an opener."""
        self.connections[on] = self.driver.connect(path, uri=uri, busy_s=busy_s)
        for pragma in pragmas:
            self.execute(f"PRAGMA {pragma}", on=on)
        self.execute("SELECT count(*) FROM sqlite_master", on=on)

    def do_sql(self, sql: str, parameters: list[Any], on: str) -> list[tuple[Any, ...]]:
        """Run one statement."""
        return self.execute(sql, parameters, on)

    def do_insert(self, rows: list[list[Any]], on: str, *, together: bool) -> dict[str, Any]:
        """Insert rows, each in a transaction of its own or all `together`; how many were acked, and the error."""
        acked = 0
        try:
            if together:
                self.execute("BEGIN IMMEDIATE", on=on)
            for row in rows:
                self.execute("INSERT INTO t(who, v) VALUES(?, ?)", row, on)
                acked += not together
            if together:
                self.execute("COMMIT", on=on)
                acked = len(rows)
        except Problem as problem:
            return {"acked": acked, "error": [problem.name, problem.message]}
        return {"acked": acked, "error": None}

    def do_close(self, on: str) -> None:
        """Close a connection."""
        self.driver.close(self.connections.pop(on))

    def do_probe(self, path: str) -> None:
        """Open and close a file, as any tool that looks at it does: the bug of many exhibits."""
        os.close(os.open(path, os.O_RDONLY))

    def do_call(self, target: str, arguments: list[Any]) -> Any:
        """Call a function ``module:name`` of an exhibit with this actor and its arguments."""
        module, _, name = target.partition(":")
        return getattr(importlib.import_module(module), name)(self, *arguments)

    def do_fork(self, address: str) -> int:
        """Fork. The child keeps all that this process has open, and takes its orders from `address`."""
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            self.hang_up()
            line = socket.socket(socket.AF_UNIX)
            line.connect(address)
            live(self, line)
            code = 0
        finally:
            os._exit(code)


def live(actor: Self, line: socket.socket) -> None:
    """Serve on a line, which belongs to this process from now on."""
    with line, line.makefile("r", encoding="utf-8") as reader, line.makefile("w", encoding="utf-8") as writer:

        def hang_up() -> None:
            for each in (reader, writer, line):
                each.close()

        actor.hang_up = hang_up
        serve(reader, writer, actor)


def serve(reader: IO[str], writer: IO[str], actor: Self) -> None:
    """Obey orders until there are no more."""
    for line in reader:
        name, arguments, keywords = json.loads(line)
        try:
            answer: dict[str, Any] = {"ok": getattr(actor, f"do_{name}")(*arguments, **keywords)}
        except Problem as problem:
            answer = {"error": [problem.name, problem.message]}
        except Exception as error:
            answer = {"error": [type(error).__name__, str(error)]}
        writer.write(json.dumps(answer) + "\n")
        writer.flush()
