"""The processes of a crew, as their coordinator has them: forked, given the token, waited for, killed."""

import contextlib
import os
import select
import signal
import sys
from collections.abc import Sequence

from crashlab.errors import SubjectError, UsageError
from crashlab.model.schedule import ACTORS_MAX
from crashlab.writers.schedule.processes.member import Command, Part, Reply, live
from crashlab.writers.schedule.processes.memory import Word
from crashlab.writers.schedule.processes.stuck import StackFile, look
from crashlab.writers.schedule.processes.token import Token
from crashlab.writers.schedule.processes.turns import ProcessTurns

__all__ = ["GAVE_UP", "Members"]

GAVE_UP = "gave up: "
"""How the end of an actor begins that did not hand the token back in time."""

OPEN_S = 20.0


class Members:
    """At most one process an actor, forked when it is needed first. `homes[a]`: the process of actor `a`, from 0."""

    def __init__(self, turns: ProcessTurns, part: Part, grant_s: float) -> None:
        if not (hasattr(os, "fork") and hasattr(os, "pidfd_open")):
            raise UsageError("schedules of processes need Linux; here the actors can be threads")
        self.homes: tuple[int, ...] = ()
        self.pids = [0] * ACTORS_MAX
        self._turns, self._part, self._grant_s = turns, part, grant_s
        self._control = [Token() for _ in range(ACTORS_MAX)]
        self._stacks = [StackFile() for _ in range(ACTORS_MAX)]
        self._pidfds = [-1] * ACTORS_MAX
        self._begun: set[int] = set()

    def open(self, homes: Sequence[int], orders: Sequence[bytes]) -> None:
        """Let the processes open, in their order; `orders[p]` is that of process `p`."""
        self.homes = tuple(homes)
        self._begun.clear()
        for process, order in enumerate(orders):
            if not self.pids[process]:
                self._fork(process)
            actors = bytes(actor for actor, home in enumerate(homes) if home == process)
            self._turns.shared.post(bytes([len(actors)]) + actors + order)
            self._tell(process, Command.OPEN, "opening")

    def close_open(self) -> None:
        """Let the processes that are left close, in their order."""
        for process in range(max(self.homes) + 1):
            if self.pids[process]:
                self._tell(process, Command.CLOSE, "closing")

    def has(self, actor: int) -> bool:
        """Whether an actor's process is there."""
        return bool(self.pids[self.homes[actor]])

    def hand_to(self, actor: int) -> str:
        """Give an actor the token and wait until it is back; return "", or how its process ended, or what it raised."""
        process, words = self.homes[actor], self._turns.shared.words
        token = self._turns.go[actor]
        if actor not in self._begun:
            self._begun.add(actor)
            if actor == self.homes.index(process):  # its process's main thread
                words[Word.COMMAND], words[Word.ACTOR] = Command.PLAY, actor
                token = self._control[process]
        return self._hand(process, token, self._grant_s, f"actor {chr(97 + actor)}")

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
        for process in range(ACTORS_MAX):
            self.kill(process)
        for token in (self._turns.home, *self._turns.go, *self._control):
            while select.select([token.descriptor], [], [], 0)[0]:
                token.take()

    def close(self) -> None:
        """End all of them and release everything that is the coordinator's."""
        self.kill_all()
        for token in self._control:
            token.close()
        for stack in self._stacks:
            stack.close()

    def _tell(self, process: int, command: Command, doing: str) -> None:
        self._turns.shared.words[Word.COMMAND] = command
        ended = self._hand(process, self._control[process], OPEN_S, f"process {process}")
        if ended:
            raise SubjectError(f"process {process}, {doing}: {ended}")

    def _hand(self, process: int, token: Token, seconds: float, who: str) -> str:
        home, shared = self._turns.home, self._turns.shared
        token.give()
        poller = select.poll()
        poller.register(home.descriptor, select.POLLIN)
        poller.register(self._pidfds[process], select.POLLIN)
        ready = poller.poll(seconds * 1000)
        if not ready:
            stuck = look(self.pids[process], self._stacks[process])
            self.kill(process)
            return f"{GAVE_UP}{stuck.how}: {who}" + (f" at {stuck.where}" if stuck.where else "")
        if any(descriptor == home.descriptor for descriptor, _ in ready):
            home.take()
            if shared.words[Word.WHY] == Reply.RAISED:
                return f"raised: {shared.mail().decode('utf-8', 'replace')}"
            return ""
        pid, self.pids[process] = self.pids[process], 0
        _, status = os.waitpid(pid, 0)
        os.close(self._pidfds[process])
        if os.WIFSIGNALED(status):
            return f"died: signal {os.WTERMSIG(status)}"
        return f"died: exit code {os.WEXITSTATUS(status)}"

    def _fork(self, process: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        owner = os.getpid()
        pid = os.fork()
        if not pid:
            live(owner, self._control[process], self._turns, self._stacks[process], self._part)
        self.pids[process] = pid
        self._pidfds[process] = os.pidfd_open(pid)
