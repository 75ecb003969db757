"""Many computed crash states of one recorded run as one fault: a batch for long campaigns and clusters.

`states@torn#20000` looks at up to 20,000 of the power losses that the model `torn` allows (see
`crashlab.states.models`); the same with `subset`, `prefix` and `synced-only`, and `states@kill#5000` with kills.
`recovery=4`: of so many classes the recovery itself is crashed, too. Must survive a kill: every acked step. A power
loss: what the contract says for the effective `synchronous`. The states are computed, so it always fires; each one
that fails is a crash state of its own (`crashlab.faults.crash_state`), by which it is replayed.
"""

from crashlab.errors import UsageError, did_you_mean
from crashlab.faults.base import FaultBase
from crashlab.faults.firing import Firing
from crashlab.faults.text import FaultText
from crashlab.model.contract import FaultClass
from crashlab.model.history import Ended, History
from crashlab.states.policy import Model, Policy

STATES = 20_000
STATES_MAX = 10_000_000
RECOVERY_MAX = 100
POLICIES = tuple(policy.value for policy in Policy)


class StatesFault(FaultBase, frozen=True):
    """`states@torn#20000 recovery=4`."""

    policy: str
    n: int = STATES
    recovery: int = 0

    @classmethod
    def parse(cls, text: FaultText) -> "StatesFault":
        """Parse the options of a batch of states."""
        text.allow("recovery")
        if text.selector not in POLICIES:
            raise UsageError(
                f"fault {text.source!r}: unknown model {text.selector!r}; known: {', '.join(POLICIES)}"
                f"{did_you_mean(text.selector, POLICIES)}"
            )
        if text.offset is not None:
            raise UsageError(f"fault {text.source!r}: '+bytes' needs a write to tear, such as kill@wal.write#5+1024")
        n = STATES if text.n is None else text.n
        if not 1 <= n <= STATES_MAX:
            raise UsageError(f"fault {text.source!r}: #{n}, expected 1 to {STATES_MAX} states")
        return cls(text.selector, n, text.number("recovery", 0, low=0, high=RECOVERY_MAX))

    def __str__(self) -> str:
        return f"states@{self.policy}#{self.n}" + (f" recovery={self.recovery}" if self.recovery else "")

    @property
    def fault_class(self) -> FaultClass:
        """Process death or power loss."""
        return FaultClass.PROCESS_DEATH if self.policy == Policy.KILL else FaultClass.POWER_LOSS

    @property
    def model(self) -> Model:
        """The states looked at. One in 400 may be such as no class covers: each of these is recovered by itself."""
        return Model(Policy(self.policy), states_max=self.n, direct_max=max(10, self.n // 400))

    def fired(self, ended: Ended, history: History, applied: str) -> Firing:
        """Computed states need no luck."""
        return Firing(fired=True, how="computed from a recording")
