"""The listener's loop: one call after the other, until the whole tree has ended or must."""

import contextlib
import errno
import os
import select
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from crashlab.errors import LimitError
from crashlab.writers.record.seccomp.answers import Answers
from crashlab.writers.record.seccomp.bytes_calls import WRITE_BYTES_MAX
from crashlab.writers.record.seccomp.files import Files, KillReached
from crashlab.writers.record.seccomp.guard import Guard
from crashlab.writers.record.seccomp.kernel import GuardedError, Listener, Memory
from crashlab.writers.record.seccomp.numbers import Machine
from crashlab.writers.record.seccomp.quick import Quick
from crashlab.writers.record.seccomp.reply import CONTINUE, Continue, Give, Later, Reply
from crashlab.writers.record.seccomp.tasks import Tasks

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from crashlab.writers.record.seccomp.acks import Acks

__all__ = ["STOPPED_BYTES", "STOPPED_DISK", "STOPPED_FOREIGN", "STOPPED_KILL", "Loop"]

STOPPED_KILL, STOPPED_BYTES, STOPPED_FOREIGN, STOPPED_DISK = "kill point", "bytes", "32-bit program", "disk"
_SYNCS_AT_ONCE = 16


class Loop:
    """Serves one tree.

    `stopped`: why the tree has to be killed, empty while it need not. `look_soon`: set by the process's signal
    handlers; a busy tree never lets a wait be interrupted.
    """

    def __init__(
        self, descriptor: int, machine: Machine, files: Files, guard: Guard, acks: "Acks | None" = None
    ) -> None:
        self._listener = Listener(descriptor)
        self._audit = machine.audit
        self._files = files
        self._tasks = Tasks(Memory(WRITE_BYTES_MAX))
        self._quick = quick = Quick(self._listener, files, self._tasks)
        self.answers = Answers(machine, files, self._tasks, guard, quick, acks)
        numbers = machine.numbers
        self._quickly: dict[int, Callable[[tuple[int, ...]], bool]] = {
            numbers["pwrite64"]: quick.write,
            numbers["fsync"]: lambda call: quick.sync(call, data_only=False),
            numbers["fdatasync"]: lambda call: quick.sync(call, data_only=True),
        }
        self._pool: ThreadPoolExecutor | None = None
        self.stopped = ""
        self.calls = 0
        self.look_soon = False

    @property
    def processes(self) -> int:
        """How many processes have had a call stopped."""
        return self._tasks.processes

    def run(self, look: Callable[[], bool]) -> bool:
        """Serve until nobody is left, until `stopped`, or until `look`, asked after each signal, says so.

        Return whether nobody is left.
        """
        receive, audit = self._listener.receive, self._audit
        poll = select.poll()
        poll.register(self._listener.descriptor, select.POLLIN)
        try:
            while not self.stopped:
                if self.look_soon:
                    self.look_soon = False
                    if look():
                        return False
                    if any(what & select.POLLHUP and not what & select.POLLIN for _, what in poll.poll(0)):
                        return True
                call = receive()
                if call is None:
                    self.look_soon = True
                    continue
                self.calls += 1
                if call[4] != audit:
                    self._files.problem("a program of another architecture (32-bit) was started")
                    self.stopped = STOPPED_FOREIGN
                    return False
                self._serve(call)
            return False
        finally:
            if self._pool is not None:
                self._pool.shutdown()
            self._quick.close()
            self._tasks.close()

    def _serve(self, call: tuple[int, ...]) -> None:
        quickly = self._quickly.get(call[3])
        reply: Reply
        try:
            if quickly is not None and quickly(call):
                return
            handler = self.answers.by_number[call[3]][1]
            reply = handler(self._tasks.find(call[1]), call[6:])
        except KillReached:
            self.stopped = STOPPED_KILL
            return
        except LimitError:
            self.stopped = STOPPED_BYTES
            return
        except GuardedError as error:
            name = self.answers.by_number[call[3]][0]
            self._files.problem(f"{name}: {error.strerror}; the process guards its memory or descriptors")
            reply = CONTINUE
        except OSError as error:
            if error.errno == errno.ESRCH:
                self._tasks.forget(call[1])
                reply = CONTINUE
            else:
                reply = -(error.errno or errno.EIO)
        self._reply(call[0], reply)

    def _reply(self, call: int, reply: Reply) -> None:
        if isinstance(reply, int):
            self._listener.answer(call, reply)
        elif isinstance(reply, Continue):
            self._listener.go_on(call)
        elif isinstance(reply, Give):
            self._listener.answer_with(call, reply.descriptor, close_on_exec=reply.close_on_exec)
            os.close(reply.descriptor)
        elif len(self._tasks) <= 1:
            self._sync(call, reply)
        else:
            if self._pool is None:
                from concurrent.futures import ThreadPoolExecutor  # slow to load, and seldom needed

                self._pool = ThreadPoolExecutor(_SYNCS_AT_ONCE, initializer=_take_no_signals)
            self._pool.submit(self._sync, call, reply)

    def _sync(self, call: int, sync: Later) -> None:
        """Sync, record that, and only then let the caller go on."""
        result = 0
        try:
            (os.fdatasync if sync.data_only else os.fsync)(sync.descriptor)
        except OSError as error:
            result = -(error.errno or errno.EIO)
        finally:
            os.close(sync.descriptor)
        try:
            self._files.done(sync.start, -result)
        except LimitError:
            self.stopped = STOPPED_BYTES
            return
        with contextlib.suppress(OSError):  # the listener is closed when the tree is being killed
            self._listener.answer_from_thread(call, result)


def _take_no_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
