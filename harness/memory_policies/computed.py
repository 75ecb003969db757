"""Both policies on the trace road: every kill, and power losses, computed from one recorded run of each."""

from typing import Final

import msgspec

from crashlab.engine.trace_road import TraceRoad
from crashlab.engine.workspace import Workspace
from crashlab.model.case import Case, Param
from crashlab.states.models import Model, Policy
from harness.memory_policies.kills import MEMORY

_STEPS: Final = 60  # one periodic checkpoint, and that of close()
_DIRECT_MAX: Final = 60
_SECONDS: Final = 300.0
_POLICIES: Final = (Policy.KILL, Policy.SUBSET, Policy.TORN)


class Computed(msgspec.Struct, frozen=True):
    """Crash states of one recorded run under `synchronous=FULL`: how many, and in how many something failed."""

    mode: str
    states: int
    failed: int
    found: tuple[str, ...] = ()

    def __str__(self) -> str:
        found = f": {', '.join(self.found)}" if self.found else ""
        return (
            f"{self.mode}: of {self.states:,} computed crash states (a kill at any operation, a power loss at "
            f"synchronous=FULL) {self.failed} failed{found}"
        )


def compute(mode: str, states: int, seed: int) -> Computed:
    """Compute up to `states` crash states under each of three models, and judge them with all checks of the workload.

    Raises:
        LabError: the run cannot be recorded here.
    """
    params: dict[str, Param] = {"checkpoint_mode": mode, "vacuum_every": 0, "synchronous": "FULL"}
    case = Case(MEMORY.name, seed, "none", params, steps_max=_STEPS)
    models = tuple(Model(policy, states_max=states, direct_max=_DIRECT_MAX) for policy in _POLICIES)
    with Workspace() as workspace:
        road = TraceRoad(MEMORY, workspace)
        try:
            explored = road.explore(case, models, seconds=_SECONDS, keep=False)
        finally:
            road.close()
    looked_at = sum(coverage.generated for coverage in explored.coverage)
    return Computed(mode, looked_at, explored.states_failed, tuple(sorted(explored.identities)))
