"""The processes of a crew, as their coordinator has them: forked, given the token, waited for, killed."""

import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence

from crashlab.errors import SubjectError, UsageError
from crashlab.writers.schedule.processes.member import Command, Part, Reply, live
from crashlab.writers.schedule.processes.memory import Shared, Word
from crashlab.writers.schedule.processes.stuck import StackFile, look
from crashlab.writers.schedule.processes.token import Token
from crashlab.writers.schedule.processes.turns import ProcessTurns

__all__ = ["GAVE_UP", "Members"]

GAVE_UP = "gave up: "
"""How the end of an actor begins that did not hand the token back in time."""

OPEN_S = 20.0


class Members:
    """`homes[a]`: the process that actor `a` lives in, numbered from 0."""

    def __init__(
        self,
        homes: Sequence[int],
        make_part: Callable[[ProcessTurns, Shared, Sequence[int]], Part],
        shared: Shared,
        grant_s: float,
    ) -> None:
        if not (hasattr(os, "fork") and hasattr(os, "pidfd_open")):
            raise UsageError("schedules of processes need Linux; here the actors can be threads")
        self.homes = tuple(homes)
        self.lanes = [[a for a, home in enumerate(homes) if home == process] for process in range(max(homes) + 1)]
        self._make_part = make_part
        self._shared = shared
        self._grant_s = grant_s
        self._home = Token()
        self._go = [Token() for _ in homes]
        self._stacks = [StackFile() for _ in self.lanes]
        self.pids = [0] * len(self.lanes)
        self._pidfds = [-1] * len(self.lanes)

    def fork_missing(self) -> None:
        """Fork those that are not there: never made, or killed."""
        for process, pid in enumerate(self.pids):
            if not pid:
                self._fork(process)

    def tell(self, process: int, command: Command) -> None:
        """Let a process do something alone, no part of a schedule.

        Raises:
            SubjectError: it raised, ended, or did not come back.
        """
        self._shared.words[Word.COMMAND] = command
        ended = self.hand_to(self.lanes[process][0], OPEN_S)
        if ended:
            raise SubjectError(f"process {process}, {'opening' if command == Command.OPEN else 'closing'}: {ended}")

    def hand_to(self, actor: int, seconds: float = 0.0) -> str:
        """Give an actor the token and wait until it is back; return "", or how its process ended, or what it raised."""
        process = self.homes[actor]
        self._go[actor].give()
        poller = select.poll()
        poller.register(self._home.descriptor, select.POLLIN)
        poller.register(self._pidfds[process], select.POLLIN)
        ready = poller.poll((seconds or self._grant_s) * 1000)
        if not ready:
            stuck = look(self.pids[process], self._stacks[process])
            self.kill(process)
            return f"{GAVE_UP}{stuck.how}: actor {actor}" + (f" at {stuck.where}" if stuck.where else "")
        if any(descriptor == self._home.descriptor for descriptor, _ in ready):
            self._home.take()
            if self._shared.words[Word.WHY] == Reply.RAISED:
                return f"raised: {self._shared.mail().decode('utf-8', 'replace')}"
            return ""
        pid, self.pids[process] = self.pids[process], 0
        _, status = os.waitpid(pid, 0)
        os.close(self._pidfds[process])
        if os.WIFSIGNALED(status):
            return f"died: signal {os.WTERMSIG(status)}"
        return f"died: exit code {os.WEXITSTATUS(status)}"

    def kill(self, process: int) -> None:
        """End a process with SIGKILL, and wait until it is gone and its locks with it."""
        pid, self.pids[process] = self.pids[process], 0
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(self._pidfds[process])

    def kill_all(self) -> None:
        """End all of them; tokens that are under way are taken in."""
        for process in range(len(self.lanes)):
            self.kill(process)
        for token in (self._home, *self._go):
            while select.select([token.descriptor], [], [], 0)[0]:
                token.take()

    def close(self) -> None:
        """End all of them and release everything."""
        self.kill_all()
        for token in (self._home, *self._go):
            token.close()
        for stack in self._stacks:
            stack.close()

    def _fork(self, process: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        owner = os.getpid()
        pid = os.fork()
        if not pid:
            live(owner, self.lanes[process], self._shared, self._go, self._home, self._stacks[process], self._make_part)
        self.pids[process] = pid
        self._pidfds[process] = os.pidfd_open(pid)
