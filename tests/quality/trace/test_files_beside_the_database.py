"""Planted bugs between a database and the files beside it: only the trace road sees them, and it blames no twin."""

import pytest

from crashlab.errors import LabError
from crashlab.sqlite.tap import tap_problem
from crashlab.states.models import Model, Policy

pytestmark = pytest.mark.skipif(tap_problem() is not None, reason=f"no tap here: {tap_problem()}")

POWER = Model(Policy.SUBSET, states_max=2000, direct_max=150)
TORN = Model(Policy.TORN, states_max=2000, direct_max=150)
KILL = Model(Policy.KILL, states_max=2000, direct_max=150)

BLOB = "books/blob-there"
INDEX = "books/index-not-behind"
LOST = "durability/acked-row-lost"


def found(explored):
    """Invariant → fault classes it was found under."""
    names = {}
    for identity in explored.identities:
        name, _subject, fault_class = identity.split(" · ")
        names.setdefault(name, set()).add(fault_class)
    return names


PLANTED = [
    ("BlobAfterRow", {BLOB: {"process death", "power loss"}}),
    ("BlobNotSynced", {BLOB: {"power loss"}}),
    ("BlobsDirectoryNotSynced", {BLOB: {"power loss"}}),
    ("IndexDirectoryNotSynced", {INDEX: {"power loss"}}),
    ("IndexReplacedUnsynced", {INDEX: {"power loss"}}),
    ("IndexInPlace", {INDEX: {"process death", "power loss"}}),
    ("NormalPromised", {LOST: {"power loss"}}),
    ("OffPromised", {LOST: {"power loss"}}),
]


@pytest.mark.parametrize(("workload", "expected"), PLANTED)
def test_a_planted_bug_is_caught_under_the_faults_that_show_it_and_no_other(explore, workload, expected):
    explored = explore(f"file_workloads:{workload}", POWER, KILL)
    names = found(explored)
    for name, fault_classes in expected.items():
        assert names.get(name) == fault_classes, names
    # Without synchronous=FULL more may be wrong than the planted bug; with it nothing else is.
    assert "Off" in workload or names.keys() == expected.keys()


@pytest.mark.parametrize("workload", ["Blobs", "Index", "FullPromised"])
def test_the_correct_twins_are_left_in_peace(explore, workload):
    explored = explore(f"file_workloads:{workload}", POWER, TORN, KILL)
    assert explored.identities == {}
    assert explored.failures == 0
    assert min(coverage.distinct for coverage in explored.coverage) > 50
    assert explored.steps_acked == 4


def test_a_file_written_over_in_place_is_torn_at_a_sector(explore):
    whole = explore("file_workloads:IndexOverwritten", POWER)
    assert found(whole) == {}
    torn = explore("file_workloads:IndexOverwritten", TORN)
    assert found(torn) == {INDEX: {"power loss"}}
    assert any("half of" in line for outcome in torn.outcomes for line in outcome.findings[0].evidence["lines"])


@pytest.mark.parametrize(
    ("workload", "named"),
    [("WritesElsewhere", r"index\.json.*past the tap"), ("MapsItsIndex", r"index\.json' was mapped for writing")],
)
def test_a_program_whose_files_cannot_be_recorded_is_an_error_not_a_pass(explore, workload, named):
    with pytest.raises(LabError, match=named):
        explore(f"file_workloads:{workload}", KILL)
