"""An actor as the director sees it: a process with connections of its own, told what to do step by step."""

import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from crashlab.errors import LabError, LimitError
from crashlab.gallery.stage.actor_child import Self, live
from crashlab.gallery.stage.driver import Driver, Problem

__all__ = ["ANSWER_S", "Actor", "Gone"]

ANSWER_S = 10.0


class Gone(Exception):  # noqa: N818 - what happened, which an exhibit may be waiting for
    """The actor's process ended instead of answering; `signal` is the name of what ended it, or empty."""

    def __init__(self, actor: str, signal_name: str) -> None:
        super().__init__(f"{actor} ended by {signal_name or 'an exit'} instead of answering")
        self.signal = signal_name


class Actor:
    """One process. Every method that asks waits for the answer; `send` and `receive` do it in two halves.

    Raises, from all of them: Problem when SQLite (or Python) answers with an error, Gone when the process
    ended, LimitError when no answer came in time.
    """

    def __init__(self, name: str, driver: Driver, inherited: "list[Actor]") -> None:
        self.name = name
        self.main_path = ""
        self.ended = ""
        own, child = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            own.close()
            for other in inherited:
                other.hang_up()
            self._live(child, driver)
        child.close()
        self._socket = own
        self._pending = b""
        self._reaped = False

    def _live(self, child: socket.socket, driver: Driver) -> None:
        """The child's whole life."""
        code = 1
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup a hang-up would do nothing
            actor = Self(driver)  # held until the end: a connection that nobody holds closes itself
            live(actor, child)
            code = 0
        finally:
            os._exit(code)

    # -- asking -----------------------------------------------------------------------------------------

    def send(self, order: str, *arguments: Any, **keywords: Any) -> None:
        """Give an order without waiting."""
        try:
            self._socket.sendall(json.dumps([order, arguments, keywords]).encode() + b"\n")
        except OSError:
            self._reap()
            raise Gone(self.name, self.ended) from None

    def receive(self, seconds: float = ANSWER_S) -> Any:
        """Wait for the answer to the oldest order."""
        end = time.monotonic() + seconds
        while b"\n" not in self._pending:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._socket], [], [], left)[0]:
                raise LimitError(f"{self.name} gave no answer in {seconds} s")
            try:
                data = self._socket.recv(1 << 20)
            except OSError:
                data = b""
            if not data:
                self._reap()
                raise Gone(self.name, self.ended)
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        answer = json.loads(line)
        if "error" in answer:
            raise Problem(*answer["error"])
        return answer["ok"]

    def ask(self, order: str, *arguments: Any, **keywords: Any) -> Any:
        """Give an order and wait for its answer."""
        self.send(order, *arguments, **keywords)
        return self.receive()

    def open(self, path: str, *pragmas: str, on: str = "main", busy_s: float = 0.0, uri: bool = False) -> None:
        """Open a connection, set pragmas (``"journal_mode=WAL"``) and read once."""
        self.main_path = self.main_path or path
        self.ask("open", path, on, pragmas, busy_s, uri=uri)

    def sql(self, text: str, parameters: tuple[Any, ...] = (), on: str = "main") -> list[list[Any]]:
        """Run one statement and return its rows."""
        rows: list[list[Any]] = self.ask("sql", text, list(parameters), on)
        return rows

    def close(self, on: str = "main") -> None:
        """Close a connection, as a program does that ends well."""
        self.ask("close", on)

    def probe(self, path: str) -> None:
        """Let the actor open and close a file outside SQLite."""
        self.ask("probe", path)

    def call(self, function: Callable[..., Any], *arguments: Any, seconds: float = ANSWER_S) -> Any:
        """Run a module-level function in the actor's process; it gets the actor's `Self`, then the arguments."""
        self.begin(function, *arguments)
        return self.receive(seconds)

    def begin(self, function: Callable[..., Any], *arguments: Any) -> None:
        """As `call`, without waiting for the answer: `receive` it later."""
        self.send("call", f"{function.__module__}:{function.__qualname__}", arguments)

    # -- ending -----------------------------------------------------------------------------------------

    def kill(self, by: signal.Signals = signal.SIGKILL) -> None:
        """End the process with a signal that it does not handle, and wait until it has ended.

        Raises:
            LabError: it had ended before, so that the kill did nothing.
        """
        if self._reaped:
            raise LabError(f"{self.name} had ended already ({self.ended or 'by itself'}): the kill did not fire")
        os.kill(self.pid, by)
        self._reap()
        if self.ended != by.name:
            raise LabError(f"{self.name} ended by {self.ended or 'itself'}, not by the kill")

    def leave(self) -> None:
        """End the process without closing what is open: no SQLite code runs any more."""
        self.hang_up()
        self._reap()

    def hang_up(self) -> None:
        """Close this end of the line."""
        self._socket.close()

    def _reap(self) -> None:
        if self._reaped:
            return
        end = time.monotonic() + ANSWER_S
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                _, status = os.waitpid(self.pid, 0)
                break
            time.sleep(0.0005)
        self._reaped = True
        if os.WIFSIGNALED(status):
            self.ended = signal.Signals(os.WTERMSIG(status)).name
        self.hang_up()

    @property
    def alive(self) -> bool:
        """Whether it has not been seen to end."""
        return not self._reaped
