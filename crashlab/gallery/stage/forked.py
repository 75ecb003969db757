"""An actor whose process is a fork of another actor's, with all that the other had open."""

import os
import select
import signal
import socket

from crashlab.errors import LabError, LimitError
from crashlab.gallery.stage.actor import ANSWER_S, Actor

__all__ = ["Forked"]


class Forked(Actor):
    """The child of another actor's `fork`. It is the other's child, so only its death can be seen, not its status.

    Its connections are those of the other, under the same names: carried across the fork.
    """

    def __init__(self, name: str, parent: Actor) -> None:
        self.name = name
        self.main_path = parent.main_path
        self.ended = ""
        address = f"\0crashlab-{os.getpid()}-{parent.pid}-{name}"  # Linux's own name space: no file, no path limit
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen(1)
            listener.settimeout(ANSWER_S)
            self.pid = int(parent.ask("fork", address))
            self._process = os.pidfd_open(self.pid)
            try:
                self._socket, _ = listener.accept()
            except TimeoutError:
                os.close(self._process)
                raise LimitError(f"{name}, a fork of {parent.name}, did not call in {ANSWER_S} s") from None
        self._socket.settimeout(None)
        self._pending = b""
        self._reaped = False

    def kill(self, by: signal.Signals = signal.SIGKILL) -> None:
        """End the process with a signal that it does not handle, and wait until it has ended.

        Raises:
            LabError: it had ended before, so that the kill did nothing.
        """
        if self._reaped or select.select([self._process], [], [], 0)[0]:
            raise LabError(f"{self.name} had ended already: the kill did not fire")
        signal.pidfd_send_signal(self._process, by)
        self.ended = by.name
        self._reap()

    def _reap(self) -> None:
        if self._reaped:
            return
        if not select.select([self._process], [], [], ANSWER_S)[0]:
            signal.pidfd_send_signal(self._process, signal.SIGKILL)
            select.select([self._process], [], [], ANSWER_S)
        os.close(self._process)
        self._reaped = True
        self.hang_up()
