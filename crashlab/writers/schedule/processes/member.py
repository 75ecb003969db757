"""The life of one process of a crew: it opens, plays its actors and closes, as the coordinator tells it."""

import contextlib
import ctypes
import os
import signal
import sys
from _thread import allocate_lock, start_new_thread
from enum import IntEnum
from typing import NoReturn, Protocol

from crashlab.writers.schedule.processes.memory import Shared, Word
from crashlab.writers.schedule.processes.stuck import StackFile
from crashlab.writers.schedule.processes.token import Token
from crashlab.writers.schedule.processes.turns import ProcessTurns

__all__ = ["Command", "Part", "Reply", "live"]

_PR_SET_PDEATHSIG = 1
_EXIT = 70
MESSAGE_CHARS_MAX = 1000


class Part(Protocol):
    """What a process of a crew does. Made before the fork, so each process has a copy, for all its schedules."""

    def open(self, actors: tuple[int, ...], order: bytes) -> None:
        """Make ready to play these actors; alone, and no part of the schedule."""

    def play(self, actor: int) -> None:
        """Do an actor's steps, on a thread of its own (the process's first actor: on the main thread)."""

    def close(self) -> None:
        """Clear away; alone, and no part of the schedule."""


class Command(IntEnum):
    """What a process is told with the token."""

    OPEN = 1
    PLAY = 2
    CLOSE = 3


class Reply(IntEnum):
    """Why the token comes back, beside `decide.Why`."""

    DONE = 10
    RAISED = 11


def live(owner: int, control: Token, turns: ProcessTurns, stack: StackFile, part: Part) -> NoReturn:
    """Be a process of a crew until the owner is gone; never returns."""
    try:
        if sys.platform.startswith("linux"):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != owner:
            os._exit(_EXIT)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        stack.listen()
        while True:
            control.take()
            _obey(turns, part)
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(_EXIT)


def _obey(turns: ProcessTurns, part: Part) -> None:
    shared = turns.shared
    words = shared.words
    if words[Word.COMMAND] == Command.PLAY:
        _play(turns, part, words[Word.ACTOR])
        return
    try:
        if words[Word.COMMAND] == Command.OPEN:
            mail = shared.mail()
            actors, order = mail[1 : 1 + mail[0]], mail[1 + mail[0] :]
            part.open(tuple(actors), order)
            turns.expect(len(actors))
            for actor in actors[1:]:
                _start(turns, part, actor)
        else:
            part.close()
    except BaseException as error:
        turns.on = False
        _raised(error, shared)
    else:
        words[Word.WHY] = Reply.DONE
    turns.home.give()


def _start(turns: ProcessTurns, part: Part, actor: int) -> None:
    """Start the thread of an actor that is not its process's first; it waits for its turn."""
    there = allocate_lock()
    there.acquire()

    def work() -> None:
        there.release()
        turns.go[actor].take()
        _play(turns, part, actor)

    start_new_thread(work, ())
    there.acquire()


def _play(turns: ProcessTurns, part: Part, actor: int) -> None:
    turns.enter(actor)
    try:
        part.play(actor)
    except BaseException as error:
        turns.finish(told=_raised(error, turns.shared))
    else:
        turns.finish()


def _raised(error: BaseException, shared: Shared) -> Reply:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" (at {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})" if trace else ""
    shared.post(f"{type(error).__name__}: {error}{where}"[:MESSAGE_CHARS_MAX].encode("utf-8", "replace"))
    shared.words[Word.WHY] = Reply.RAISED
    return Reply.RAISED
