"""How fast crash states are covered on this machine: for benches, which print it."""

import time
from pathlib import Path
from random import Random

import msgspec

from crashlab.states.explore import explore
from crashlab.states.materialise import Materialiser
from crashlab.states.models import Model, Policy, crash_states
from crashlab.states.recover import Probe, can_read_only, recover
from crashlab.states.trace import Trace

__all__ = ["Speed", "measure_states"]


class Speed(msgspec.Struct, frozen=True):
    """One way of covering states. `states`: distinct ones; `seconds` by the clock, `cpu_seconds` of this process.

    `recoveries`: by real SQLite, each with quick_check and the probe's queries. `mismatches`: of the
    cross-check; more than none make the figure void.
    """

    way: str
    states: int
    classes: int
    recoveries: int
    mismatches: int
    seconds: float
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        """Distinct states a second and core."""
        return self.states / self.seconds

    @property
    def per_cpu_second(self) -> float:
        """Distinct states a second of processor time: for a machine that others use too."""
        return self.states / self.cpu_seconds


def measure_states(
    trace: Trace, probe: Probe, scratch: Path, *, seed: int, first: int = 0, states: int = 300_000, direct: int = 3_000
) -> tuple[Speed, ...]:
    """Cover torn power losses of a trace three ways: by class, by class with the cross-check, each by itself.

    `scratch`: a directory that does not exist yet, in memory where possible. `first`: the moment to begin
    at. `states`: generated for the first two, `direct`: recovered for the third. One core is used.
    """
    model = Model(Policy.TORN, states_max=states, direct_max=min(states, 2_000), first=first)
    found: list[Speed] = []
    for way, cross_check in (("by class", False), ("by class, cross-checked", True)):
        clock, cpu = time.perf_counter(), time.process_time()
        coverage = explore(trace, model, Random(seed), probe=probe, scratch=scratch, cross_check=cross_check).coverage
        found.append(
            Speed(
                way,
                coverage.distinct,
                coverage.classes,
                coverage.recoveries,
                len(coverage.mismatches),
                time.perf_counter() - clock,
                time.process_time() - cpu,
            )
        )
    found.append(_measure_direct(trace, probe, scratch, Random(seed), first, direct))
    return tuple(found)


def _measure_direct(trace: Trace, probe: Probe, scratch: Path, rng: Random, first: int, many: int) -> Speed:
    drawn = sorted(set(crash_states(trace, Model(Policy.TORN, states_max=many * 8, first=first), rng)))
    chosen = sorted(rng.sample(drawn, min(many, len(drawn))), key=lambda state: state.op)
    with Materialiser(trace, scratch) as materialiser:
        clock, cpu = time.perf_counter(), time.process_time()
        for state in chosen:
            work = materialiser.show(state)
            read_only = can_read_only(materialiser.sizes(), probe.database)
            recover(work, probe, read_only=read_only)
            if not read_only:
                materialiser.clear()
        seconds, cpu_seconds = time.perf_counter() - clock, time.process_time() - cpu
    return Speed("each by itself", len(chosen), 0, len(chosen), 0, seconds, cpu_seconds)
