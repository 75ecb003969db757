"""How many states exist, and which are generated."""

import random
from itertools import product

import pytest
from recordings import after_set_up, commits, first_op, record

from crashlab.errors import UsageError
from crashlab.log.trace import TraceKind
from crashlab.states.models import Model, Policy, crash_states, make_plan
from crashlab.states.pending import ENTRY_KINDS, epochs
from crashlab.states.state import parse_state, resolve, sectors


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return record(tmp_path_factory.mktemp("models"), commits(3, synchronous="normal"))


@pytest.fixture(scope="module")
def synced(tmp_path_factory):
    return record(tmp_path_factory.mktemp("synced"), commits(2))


def by_moment(trace):
    return {moment: epoch for epoch in epochs(trace) for moment in range(epoch.first, epoch.last + 1)}


def pending_at(trace, epoch, moment):
    ops = epoch.pending[: epoch.count(moment)]
    data = [op for op in ops if trace.kinds[op] not in ENTRY_KINDS]
    return data, [op for op in ops if trace.kinds[op] in ENTRY_KINDS]


def pieces_of(trace, op):
    return sectors(trace.offsets[op], trace.lengths[op]) if trace.kinds[op] == TraceKind.WRITE else 1


def test_every_moment_is_in_one_epoch(recording):
    moments = [m for epoch in epochs(recording.trace) for m in range(epoch.first, epoch.last + 1)]
    assert moments == list(range(len(recording.trace) + 1))


@pytest.mark.parametrize("policy", list(Policy))
def test_the_number_of_states_is_exact(recording, policy):
    trace = recording.trace
    expected = 0
    for moment, epoch in by_moment(trace).items():
        data, entries = pending_at(trace, epoch, moment)
        match policy:
            case Policy.KILL:
                write = moment < len(trace) and trace.kinds[moment] == TraceKind.WRITE
                expected += 1 + (trace.lengths[moment] - 1 if write else 0)
            case Policy.SYNCED_ONLY:
                expected += 1
            case Policy.SUBSET:
                expected += 1 << (len(data) + len(entries))
            case Policy.TORN:
                expected += 1 << (sum(pieces_of(trace, op) for op in data) + len(entries))
            case Policy.PREFIX:
                count = 1 + len(entries)
                for inode in {trace.inodes[op] for op in data}:
                    count *= 1 + sum(pieces_of(trace, op) for op in data if trace.inodes[op] == inode)
                expected += count
    assert make_plan(trace, Model(policy)).exist == expected


@pytest.mark.parametrize("policy", list(Policy))
def test_what_fits_the_budget_is_generated_once_each(synced, policy):
    trace = synced.trace
    first = after_set_up(trace)
    model = Model(policy, states_max=20_000, first=first, last=first + 2)
    plan = make_plan(trace, model)
    states = list(crash_states(trace, model, random.Random(1)))
    assert len(states) == len(set(states)) == plan.exist
    for state in states:
        resolve(trace, by_moment(trace)[state.op], state)  # fits
        assert parse_state(str(state)) == state


def test_subsets_are_all_subsets(recording):
    trace = recording.trace
    moments = by_moment(trace)
    moment, (data, entries) = next(
        (m, found) for m, epoch in moments.items() if all(found := pending_at(trace, epoch, m))
    )
    found = {
        (state.keep, state.entries)
        for state in crash_states(trace, Model(Policy.SUBSET, first=moment, last=moment), random.Random(0))
    }
    assert found == set(product(range(1 << len(data)), range(1 << len(entries))))


def test_directory_entries_can_be_left_alone(recording):
    trace = recording.trace
    moment = next(m for m, epoch in by_moment(trace).items() if all(pending_at(trace, epoch, m)))
    for policy in (Policy.SUBSET, Policy.TORN, Policy.PREFIX):
        model = Model(policy, entries=False, first=moment, last=moment, states_max=1000)
        _, entries = pending_at(trace, by_moment(trace)[moment], moment)
        states = list(crash_states(trace, model, random.Random(0)))
        assert {state.entries for state in states} == {(1 << len(entries)) - 1}
        assert len(states) == make_plan(trace, model).exist


@pytest.mark.parametrize("policy", [Policy.PREFIX, Policy.SUBSET, Policy.TORN, Policy.KILL])
def test_a_sample_is_the_same_for_the_same_seed(recording, policy):
    trace = recording.trace
    model = Model(policy, states_max=700)
    one = list(crash_states(trace, model, random.Random(5)))
    assert one == list(crash_states(trace, model, random.Random(5)))
    assert len(one) >= 700
    assert {state.op for state in one} == set(range(len(trace) + 1))
    epoch_of = by_moment(trace)
    for state in one:
        resolve(trace, epoch_of[state.op], state)
    if policy is not Policy.KILL:
        assert one != list(crash_states(trace, model, random.Random(6)))


def test_samples_hold_nothing_all_and_torn_writes(recording):
    trace = recording.trace
    first = first_op(trace, TraceKind.WRITE, "wal") + 10
    states = list(
        crash_states(trace, Model(Policy.TORN, states_max=400, first=first, last=first + 3), random.Random(2))
    )
    assert any(state.torn for state in states)
    assert any(not state.keep and not state.torn for state in states)
    data, _ = pending_at(trace, by_moment(trace)[first], first)
    assert any(state.keep == (1 << len(data)) - 1 for state in states if state.op == first)


def test_moments_that_are_not_there_are_refused(recording):
    with pytest.raises(UsageError, match="expected 0 to"):
        make_plan(recording.trace, Model(Policy.KILL, first=10**6))
