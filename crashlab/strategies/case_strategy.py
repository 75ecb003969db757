"""Drawing cases: the plain data that every road takes."""

from collections.abc import Mapping

import msgspec
from hypothesis import strategies as st

from crashlab.model.case import Case, Param
from crashlab.states.models import Policy
from crashlab.strategies.fault_strategy import fault_texts
from crashlab.strategies.inprocess import InProcess
from crashlab.strategies.plan import Plan
from crashlab.strategies.plan_strategy import plans
from crashlab.strategies.state_strategy import crash_states

PLAN_SUBJECT = "plan"
SEED_MAX = 2**32 - 1


def cases(
    subject: str,
    *,
    faults: st.SearchStrategy[str] | None = None,
    params: Mapping[str, st.SearchStrategy[Param]] | None = None,
    seeds: st.SearchStrategy[int] | None = None,
    steps_max: int = 100_000,
) -> st.SearchStrategy[Case]:
    """Return a strategy for cases of a subject. `params`: parameter → strategy for its values.

    For a recorded run's crash states draw from `crashes`, where a state always fits its run.
    """
    return st.builds(
        Case,
        subject=st.just(subject),
        seed=st.integers(0, SEED_MAX) if seeds is None else seeds,
        fault=fault_texts() if faults is None else faults,
        params=st.fixed_dictionaries(dict(params or {})),
        steps_max=st.just(steps_max),
    )


def crashes(
    road: InProcess,
    *,
    recorded: st.SearchStrategy[Case] | None = None,
    policies: tuple[Policy, ...] = tuple(Policy),
    entries: bool = True,
) -> st.SearchStrategy[Case]:
    """Return a strategy for a run and a crash state of it, as a case.

    `recorded`: strategy for the runs (the fault is put in here); by default one of `plans()`. Each run drawn
    is recorded at once. Shrinks the run first, then the state.
    """
    runs = plan_cases(plans()) if recorded is None else recorded

    def with_state(case: Case) -> st.SearchStrategy[Case]:
        states = crash_states(road.trace(case), policies=policies, entries=entries)
        return states.map(lambda state: msgspec.structs.replace(case, fault=str(state)))

    return runs.flatmap(with_state)


def plan_cases(
    drawn: st.SearchStrategy[Plan], *, subject: str = PLAN_SUBJECT, seed: int = 0
) -> st.SearchStrategy[Case]:
    """Return a strategy for the fault-free cases of plans."""
    return drawn.map(lambda plan: Case(subject, seed, "none", {"plan": str(plan)}))
