"""The ledger's roles as lanes of one process, each with a ledger and a connection of its own: for schedules.

What the scenes set up by waiting for each other, a schedule finds by itself: so these lanes simply do what owners,
rivals and a reaper do with the same runs, and nobody waits for anybody.
"""

from collections.abc import Iterator
from typing import Any

from crashlab.model.step import Effect, Lane, Step
from crashlab.model.workload import Context
from harness.workloads.run_ledger.clock import SharedClock
from harness.workloads.run_ledger.journal import keep_journal
from harness.workloads.run_ledger.plan import OWNER, REAPER, RIVAL, Act, Job, Move
from harness.workloads.run_ledger.player import Player
from harness.workloads.run_ledger.program import LedgerProcess, RunLedgers
from harness.workloads.run_ledger.role import Role
from harness.workloads.run_ledger.scenes import PATIENCE_S

_AGENT = "agent"
_FIRST, _SECOND, _THIRD = (Job(f"run-{number}", _AGENT) for number in range(3))


def _moves(role: str) -> Iterator[Move]:
    """What a role does; the agent may have two active runs, and three are wanted."""
    match role:
        case "owner":
            yield Move(role, Act.START, _FIRST)
            yield Move(role, Act.RUN, _FIRST)
            yield Move(role, Act.ADVANCE, _FIRST, step=1)
            yield Move(role, Act.COMPLETE, _FIRST)
            yield Move(role, Act.LOOK)
        case "rival":
            yield Move(role, Act.START, _SECOND)
            yield Move(role, Act.COUNT, _SECOND)
            yield Move(role, Act.CANCEL, _FIRST)
            yield Move(role, Act.FAIL, _SECOND)
        case _:
            yield Move(role, Act.START, _THIRD)
            yield Move(role, Act.JUMP, seconds=1.5 * PATIENCE_S)
            yield Move(role, Act.REAP)
            yield Move(role, Act.ADOPT, _FIRST)


class LedgerLanes(RunLedgers):
    """The workload with a lane for each role, all of them in process 0."""

    def open(self, ctx: Context) -> LedgerProcess:
        """Start the roles, each with a ledger of its own over the same file."""
        clock = SharedClock(ctx, 1)
        roles = [Role(ctx, name, clock, self._opened) for name in (OWNER, RIVAL, REAPER)]
        keep_journal(roles[0].connection)
        return LedgerProcess(roles)

    def restart(self, ctx: Context) -> LedgerProcess:
        """The ledger's own start-up path."""
        return LedgerProcess([Role(ctx, "restarted", SharedClock(ctx, 1), self._opened)])

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        """A lane for each role."""
        return tuple(Lane(name) for name in (OWNER, RIVAL, REAPER))

    def steps(self, lane: Lane, instance: Any, ctx: Context) -> Iterator[Step]:
        """The role's moves."""
        role: Role = instance.roles[lane.name]
        player = Player(role, _nothing, _nothing)
        number = 0
        for move in _moves(lane.name):
            for deed in player.deeds(move):
                yield Step(number, deed.effects, deed.do)
                number += 1


def _nothing(_job: Job) -> tuple[Effect, ...]:
    return ()


workload = LedgerLanes(workers=1, reaper=True)
