"""The gate's plan: which cases, drawn from one seed; the same seed gives the same plan."""

import random
from collections.abc import Iterator

from crashlab.decide.config import GateConfig
from crashlab.faults.hangup import HangUpFault
from crashlab.faults.kill import Kill
from crashlab.faults.none import NoFault
from crashlab.model.case import Case, Param
from crashlab.model.phase import Phase
from crashlab.model.seed import rng_for, subseed
from crashlab.writers.order import Moment, OnHangUp

REQUIRED_PHASES = (
    Phase.START_UP,
    Phase.COMMIT,
    Phase.COMMIT_ACK,
    Phase.CHECKPOINT,
    Phase.CLOSE_BEFORE,
    Phase.CLOSE_TRUNCATE,
    Phase.CLOSE_AFTER,
)
"""Phases in which a gate wants kills; each needs its share of hits or the gate is INCONCLUSIVE."""

# How long each phase lasts, roughly, in microseconds on a fast disk: delays are drawn up to about twice it.
_DELAY_US = {
    Phase.START_UP: 1500,
    Phase.COMMIT: 60,
    Phase.COMMIT_ACK: 0,
    Phase.CHECKPOINT: 200,
    Phase.CLOSE_BEFORE: 100,
    Phase.CLOSE_TRUNCATE: 250,
    Phase.CLOSE_AFTER: 100,
}
_KINDS = (
    ("ack", 46.0),
    (Phase.COMMIT, 16.0),
    (Phase.COMMIT_ACK, 8.0),
    (Phase.CHECKPOINT, 12.0),
    (Phase.START_UP, 3.0),
    (Phase.CLOSE_BEFORE, 2.0),
    (Phase.CLOSE_TRUNCATE, 3.0),
    (Phase.CLOSE_AFTER, 2.0),
    ("hangup", 6.0),
    ("none", 2.0),
)


def draw_cell(gate: GateConfig, seed: int) -> dict[str, Param]:
    """Draw one cell of the grid; each parameter from a sub-seed of its own."""
    cell: dict[str, Param] = {}
    for name, values in sorted(gate.grid.items()):
        weights = gate.weights.get(name)
        cell[name] = rng_for(seed, "cell", name).choices(values, weights)[0]
    return cell


def reachable(gate: GateConfig, phase: str, cell: dict[str, Param]) -> bool:
    """False if the configuration says that this phase cannot happen in this cell."""
    blocked = gate.unreachable.get(phase, {})
    return not any(cell.get(name) == value for name, value in blocked.items())


def plan_cases(gate: GateConfig, subject: str, seed: int, *, hangup: bool = True) -> Iterator[Case]:
    """Yield the gate's cases in order. `hangup=False` leaves hang-ups out where there is no terminal."""
    kinds = [(kind, weight) for kind, weight in _KINDS if hangup or kind != "hangup"]
    for number in range(gate.trials):
        case_seed = subseed(seed, "case", number)
        cell = draw_cell(gate, case_seed)
        possible = [(kind, weight) for kind, weight in kinds if reachable(gate, kind, cell)]
        kind = rng_for(case_seed, "kind").choices([k for k, _ in possible], [w for _, w in possible])[0]
        yield Case(subject, case_seed, _fault(kind, gate, rng_for(case_seed, "fault")), cell)


def phase_cases(gate: GateConfig, subject: str, seed: int, phase: Phase, tries: int) -> Iterator[Case]:
    """Yield more cases that aim at one phase, for a gate that has not hit it often enough."""
    for number in range(tries):
        case_seed = subseed(seed, "more", phase, number)
        cell = draw_cell(gate, case_seed)
        if reachable(gate, phase, cell):
            yield Case(subject, case_seed, _fault(phase, gate, rng_for(case_seed, "fault")), cell)


def _fault(kind: str, gate: GateConfig, rng: random.Random) -> str:
    if kind == "none":
        return str(NoFault())
    if kind == "ack":
        return str(Kill(Moment.ACK, n=rng.randint(1, gate.acks_max), delay_us=rng.randint(0, 300)))
    if kind == "hangup":
        on = rng.choice(list(OnHangUp))
        return str(HangUpFault(Moment.ACK, n=rng.randint(1, gate.acks_max), on=on, grace_us=rng.randint(1, 20) * 1000))
    phase = Phase(kind)
    many = phase in (Phase.COMMIT, Phase.COMMIT_ACK)
    n = rng.randint(1, gate.acks_max) if many else rng.randint(1, 2) if phase is Phase.CHECKPOINT else 1
    most = _DELAY_US[phase]
    return str(Kill(Moment.PHASE, phase.value, n, rng.randint(1, most) if most else 0))
