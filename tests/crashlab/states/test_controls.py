"""What a crash may take, by `synchronous` and journal mode; and broken syncs, which must be found.

The counter in `m` equals the number of rows in `t` after every commit, so a state is whole exactly when it
has n rows and the counter n.
"""

import random

import pytest
from recordings import PROBE, Recording, after_set_up, commits, end_of_work, first_op, record

from crashlab.log.trace import TraceKind
from crashlab.states.explore import explore
from crashlab.states.models import Model, Policy
from crashlab.states.pending import DATA_KINDS
from crashlab.states.recover import Logical

POWER_LOSSES = (Policy.SYNCED_ONLY, Policy.PREFIX, Policy.SUBSET, Policy.TORN)


def whole(logical: Logical):
    """The number of commits that a state has; None if it is no state of the program's."""
    rows, counter = logical.results if len(logical.results) == 2 else ("", "")
    if not logical.sound or isinstance(counter, str):
        return 0 if logical.sound and "no such table" in counter else None
    if isinstance(rows, str) or counter != (rows[0],):
        return None
    return rows[0][0]


def outcomes(recording: Recording, scratch, policies, *, states=1200, first=0, last=-1):
    """Every class and disk of some models: (commits in it or None, acked at its last moment, reason, state)."""
    found = []
    for policy in policies:
        explored = explore(
            recording.trace,
            Model(policy, states_max=states, direct_max=min(states, 500), first=first, last=last),
            random.Random(11),
            probe=PROBE,
            scratch=scratch / "x",
            on_recovered=lambda state, logical, _: whole(logical),
        )
        explored.require_sound()
        found += [(seen.value, recording.acked(seen.last), seen) for seen in explored.seen]
    return found


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return record(tmp_path_factory.mktemp("full"), commits(12, autocheckpoint=10))


@pytest.fixture(scope="module")
def normal(tmp_path_factory):
    return record(tmp_path_factory.mktemp("normal"), commits(12, synchronous="normal", autocheckpoint=10))


@pytest.mark.parametrize("name", ["full", "normal"])
def test_a_kill_takes_nothing(request, name, scratch):
    recording = request.getfixturevalue(name)
    for got, acked, seen in outcomes(recording, scratch, [Policy.KILL], states=8000):
        assert got is not None, seen.representative
        assert got >= acked, seen.representative


def test_under_full_every_acked_commit_survives_every_power_loss(full, scratch):
    found = outcomes(full, scratch, POWER_LOSSES)
    assert len(found) > 100
    for got, acked, seen in found:
        assert got is not None, seen.representative
        assert got >= acked, seen.representative


def test_under_normal_only_suffixes_go(normal, scratch):
    found = outcomes(normal, scratch, POWER_LOSSES, first=after_set_up(normal.trace))
    for got, _acked, seen in found:
        assert got is not None, seen.representative  # whole(): neither malformed nor a gap
    assert any(got < acked for got, acked, _ in found), "NORMAL lost nothing: the model doesn't lose enough"


def test_in_delete_mode_under_full_the_last_commit_may_come_back_undone(scratch):
    recording = record(scratch / "r", commits(6, journal="delete"))
    found = outcomes(recording, scratch, POWER_LOSSES)
    lost = {acked - got for got, acked, seen in found if got is not None and got < acked}
    assert all(got is not None for got, _, _ in found)
    assert lost == {1}
    undone = [seen for got, acked, seen in found if got is not None and got < acked]
    assert all(seen.representative.entries == 0 for seen in undone)  # the journal's deletion was lost


def test_extra_closes_that(scratch):
    recording = record(scratch / "r", commits(6, journal="delete", synchronous="extra"))
    for got, acked, seen in outcomes(recording, scratch, POWER_LOSSES):
        assert got is not None, seen.representative
        assert got >= acked, seen.representative


def test_without_any_sync_states_are_malformed_or_wrong(scratch):
    recording = record(scratch / "r", commits(12, synchronous="off", autocheckpoint=10))
    # From after the set-up: there is nothing that an unlucky start could explain.
    first = first_op(recording.trace, TraceKind.WRITE, "wal") + 60
    found = outcomes(recording, scratch, [Policy.SUBSET, Policy.TORN], first=first)
    malformed = [seen for got, _, seen in found if got is None]
    assert len(malformed) > 20
    assert any(got is not None and got < acked - 1 for got, acked, _ in found)
    for got, acked, seen in outcomes(recording, scratch, [Policy.KILL]):
        assert got is not None
        assert got >= acked, f"a kill lost something under OFF: {seen.representative}"


def drop(trace, kind, role):
    """Let the trace's syncs of a kind of files not have happened."""
    dropped = 0
    for op in range(len(trace)):
        if trace.kinds[op] == kind and trace.inodes[op] >= 0 and trace.files[trace.inodes[op]].role == role:
            trace.kinds[op] = 0
            dropped += 1
    return dropped


def test_a_checkpoint_that_does_not_sync_the_main_file_damages(scratch):
    recording = record(scratch / "r", commits(14, autocheckpoint=8))
    whole_run = outcomes(recording, scratch, [Policy.SUBSET, Policy.SYNCED_ONLY], first=after_set_up(recording.trace))
    assert all(got is not None and got >= acked for got, acked, _ in whole_run)
    # The set-up's own syncs stay, so that only the checkpoints are broken.
    trace, first = recording.trace, after_set_up(recording.trace)
    syncs = [
        op
        for op in range(first, len(trace))
        if trace.kinds[op] == TraceKind.SYNC and trace.files[trace.inodes[op]].role == "main"
    ]
    assert syncs
    for op in syncs:
        trace.kinds[op] = 0
    broken = outcomes(recording, scratch, [Policy.SUBSET, Policy.SYNCED_ONLY], first=first)
    assert any(got is None for got, _, _ in broken)
    assert any(got is not None and got < acked for got, acked, _ in broken)


def test_a_directory_that_is_not_synced_loses_a_file(scratch):
    recording = record(scratch / "r", commits(6))
    trace = recording.trace
    last = end_of_work(recording)
    assert all(
        got is not None and got >= acked
        for got, acked, _ in outcomes(recording, scratch, [Policy.SYNCED_ONLY, Policy.SUBSET], last=last)
    )
    for op in range(len(trace)):
        if trace.kinds[op] == TraceKind.SYNC:
            trace.synced_dirs[op] = -1
    found = outcomes(recording, scratch, [Policy.SYNCED_ONLY, Policy.SUBSET], last=last)
    lost = [(acked, seen) for got, acked, seen in found if got is None or got < acked]
    assert any(acked == 6 for acked, _ in lost)
    assert all("directory entr" in seen.reason for _, seen in lost)


def test_a_wal_that_is_not_synced_at_a_checkpoint_damages(scratch):
    """Under NORMAL the one sync that matters: the WAL before its frames go to the main file."""
    recording = record(scratch / "r", commits(14, synchronous="normal", autocheckpoint=8))
    trace, first = recording.trace, after_set_up(recording.trace)
    for op in range(first, len(trace)):
        if trace.kinds[op] == TraceKind.SYNC and trace.files[trace.inodes[op]].role == "wal":
            trace.kinds[op] = 0
    assert any(trace.kinds[op] in DATA_KINDS for op in range(first, len(trace)))
    found = outcomes(recording, scratch, [Policy.SUBSET, Policy.TORN], first=first)
    assert any(got is None for got, _, _ in found)


PAGE_SIZES_SLOW = [1024, 2048, 8192, 16384, 32768]


@pytest.mark.parametrize(
    "page_size", [512, 65536, *(pytest.param(size, marks=pytest.mark.slow) for size in PAGE_SIZES_SLOW)]
)
def test_sqlites_claims_hold_for_every_page_size(scratch, page_size):
    for synchronous in ("full", "normal"):
        work = commits(10, synchronous=synchronous, autocheckpoint=9, page_size=page_size)
        recording = record(scratch / synchronous, work)
        first = after_set_up(recording.trace)
        found = outcomes(recording, scratch, [Policy.TORN, Policy.PREFIX, Policy.KILL], states=600, first=first)
        for got, acked, seen in found:
            assert got is not None, seen.representative
            if synchronous == "full" or seen.representative.kind == "kill":
                assert got >= acked, seen.representative
