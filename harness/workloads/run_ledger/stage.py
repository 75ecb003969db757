"""The run of one process: its part of the plan, in time with the others.

Alone, all roles are played by one thread, move after move in the plan's order, which is the same each time. With
several processes each plays one role and waits for the moment before to be over.
"""

import itertools
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from crashlab.model.step import Step
from crashlab.model.workload import Context
from harness.workloads.run_ledger import model
from harness.workloads.run_ledger.pause import Pause
from harness.workloads.run_ledger.plan import OWNER, RIVAL, Act, Cast, How, Job, Moment, Move
from harness.workloads.run_ledger.player import Effects, Player
from harness.workloads.run_ledger.role import CANCEL_IS_PROMPT, Deed, Role

FINALISE_PATIENCE_S: Final = 2.0
"""Real seconds for which a finalise waits for the cancel that must not wait for it."""

STOPPED, GOES_ON = "stopped: ", "goes on: "
_TURN_S: Final = 10.0


class Stage:
    """Plays the roles of one process; the steps are numbered in the order in which they are made."""

    def __init__(self, ctx: Context, cast: Cast, plan: Sequence[Moment], roles: Mapping[str, Role]) -> None:
        self._ctx = ctx
        self._cast = cast
        self._plan = plan
        self._roles = roles
        self._players = {name: Player(role, self._interrupt, self._interrupts) for name, role in roles.items()}
        self._numbers = itertools.count()
        self._now = 0
        self._paused: Pause | None = None

    def steps(self) -> Iterator[Step]:
        """The steps of this process, until the plan is at its end."""
        try:
            for number, moment in enumerate(self._plan):
                self._now = number
                mine = [move for move in moment.moves if move.role in self._roles]
                if not mine:
                    continue
                self._wait_for_turn(moment)
                for move in mine:
                    for deed in self._deeds(move):
                        yield Step(next(self._numbers), deed.effects, self._paced(move, deed.do, tight=moment.tight))
                if self._others(self._plan[number + 1].roles if number + 1 < len(self._plan) else (OWNER,)):
                    self._signal("over")
            if OWNER in self._roles:
                self._await("over", len(self._plan) - 1, self._plan[-1].roles)
        finally:
            self._go_on()

    def _deeds(self, move: Move) -> Iterator[Deed]:
        inside = move.how is How.INSIDE
        if move.act is Act.STOP:
            yield Deed((), lambda: self._stop(move.seconds))
        elif move.act is Act.CONTINUE:
            yield Deed((), self._go_on)
        elif inside and move.role == RIVAL and self._cast.alone:
            return  # it is played inside the owner's
        else:
            if inside and move.role == RIVAL:
                self._await("inside", self._now, (OWNER,))
            yield from self._players[move.role].deeds(move)
            if inside:
                self._signal("inside" if move.role == OWNER else "cancelled")  # also if it never came to the finalise

    def _paced(self, move: Move, do: Callable[[], Effects], *, tight: bool) -> Callable[[], Effects]:
        def slow() -> Effects:
            with self._roles[move.role].wires.stretched(move.seconds):
                return do()

        return slow if tight and not self._cast.alone else do

    def _wait_for_turn(self, moment: Moment) -> None:
        if self._now:
            self._await("over", self._now - 1, self._plan[self._now - 1].roles)
        if moment.tight:
            self._signal("ready")
            self._await("ready", self._now, moment.roles)

    def _others(self, roles: Sequence[str]) -> list[str]:
        """Those of the roles that another process plays."""
        return [] if self._cast.alone else [role for role in roles if role not in self._roles]

    def _signal(self, what: str) -> None:
        if not self._cast.alone:
            (role,) = self._roles
            self._ctx.signal(f"{what}.{self._now}.{role}")

    def _await(self, what: str, moment: int, roles: Sequence[str]) -> None:
        for role in self._others(roles):
            self._ctx.await_signal(f"{what}.{moment}.{role}", _TURN_S)

    def _interrupts(self, job: Job) -> Effects:
        """What this process itself may do inside an owner's finalise."""
        return (model.outcome(job.run_id, "closed"),) if self._cast.alone else ()

    def _interrupt(self, job: Job) -> Effects:
        """Inside an owner's finalise: the rival cancels the run, and must not have to wait for it."""
        waited = f"a cancel of {job.run_id} waited for its finalise"
        if self._cast.alone:
            try:
                cancelled = self._roles[RIVAL].ledger.cancel_run(job.run_id, "while it was finalising")
            except sqlite3.OperationalError as error:
                if "locked" in str(error):
                    self._roles[OWNER].complain(CANCEL_IS_PROMPT, f"{waited}: {error}")
                    return ()
                raise
            return self._interrupts(job) if cancelled else ()
        self._signal("inside")
        try:
            self._ctx.await_signal(f"cancelled.{self._now}.{RIVAL}", FINALISE_PATIENCE_S)
        except TimeoutError:
            self._roles[OWNER].complain(CANCEL_IS_PROMPT, waited)
        return ()

    def _stop(self, after_s: float) -> Effects:
        pause = Pause(self._ctx, self._cast.process(OWNER))
        pause.begin(after_s)
        self._paused = pause
        self._ctx.note(f"{STOPPED}{OWNER}")
        return ()

    def _go_on(self) -> Effects:
        paused, self._paused = self._paused, None
        if paused is not None:
            self._ctx.note(f"{GOES_ON}{OWNER}")
            paused.end()
        return ()
