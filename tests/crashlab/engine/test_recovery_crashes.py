"""Recoveries that are crashed come to the same content; start-ups that don't repair idempotently are caught."""

import sys
from pathlib import Path

import pytest

from crashlab.engine.explore import ExploreOrder
from crashlab.engine.recording import record
from crashlab.engine.recovery_crashes import RecoveryCrashes, RecoveryMismatch
from crashlab.engine.recovery_crashes.counts import EVERY_POINT
from crashlab.engine.slots import Slots
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError
from crashlab.model.case import Case
from crashlab.states.models import Model, Policy
from crashlab.states.state import parse_state

HERE = Path(__file__).parent
PATH = (str(HERE), str(HERE.parent / "writers"))
KILLS = (Model(Policy.KILL, states_max=120, direct_max=12),)
POWER_LOSSES = (Model(Policy.TORN, states_max=120, direct_max=12),)

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="calls the C library's own file functions")


@pytest.fixture(scope="module")
def explore():
    """Explore a workload; processes and equal explorations are shared between the tests."""
    slots, found = {}, {}
    with Workspace() as workspace:

        def run(workload, models=KILLS, *, recovery=4, params=None, fresh=False):
            key = (workload, models, recovery, str(params))
            if fresh or key not in found:
                mine = slots.setdefault(workload, Slots(Subject("recovering", workload, PATH)))
                case = Case("recovering", 5, "none", params or {"steps": 5})
                recording = record(mine, workspace, case)
                scratch = str(workspace.make_run() / "explore")
                with mine.use() as slot:
                    order = ExploreOrder(case, recording.order, recording.directory, models, scratch, recovery=recovery)
                    found[key] = slot.judge.explore(order, 160)
            return found[key]

        yield run
        for mine in slots.values():
            mine.close()


def test_sqlites_own_recovery_converges(explore):
    explored = explore("plain_workload:plain", (*KILLS, *POWER_LOSSES), params={"steps": 8, "checkpoint_every": 3})
    crashed = explored.recovery
    assert explored.failures == crashed.mismatches == crashed.unsound == 0
    assert crashed.representatives == 8
    assert crashed.exist > 8
    assert crashed.stop.endswith("representatives, evenly spread")
    # One recording of each representative, and of two points of its recovery where it had two.
    assert 8 < crashed.recordings <= 24
    assert crashed.points > 100
    assert crashed.points_deeper > 30
    assert 20 < crashed.disks < crashed.points + crashed.points_deeper
    assert crashed.restarts >= crashed.disks
    assert "did not converge" in str(crashed)


@pytest.mark.parametrize("journal", ["delete", pytest.param("persist", marks=pytest.mark.slow)])
def test_the_rollback_of_a_hot_journal_converges(explore, journal):
    models = (*KILLS, *POWER_LOSSES)
    crashed = explore("crossing_workloads:Rollback", models, params={"steps": 3, "journal": journal}).recovery
    assert crashed.representatives == 8
    assert crashed.operations > 8
    assert crashed.points > crashed.operations
    assert not crashed.mismatches, crashed.witnesses[0]


@pytest.mark.parametrize(
    ("defect", "twin", "models", "found"),
    [
        ("DoublesRows", "Mover", KILLS, "doubled"),
        ("DoublesRows", "Mover", POWER_LOSSES, "doubled"),
        ("LosesRows", "Mover", KILLS, "0 rows"),
        ("ForgetsTheWalAside", "LooksAtMainAlone", KILLS, "rows"),
        ("ForgetsTheWalAside", "LooksAtMainAlone", POWER_LOSSES, "rows"),
        ("RefusesAfterACrash", "MarksAndGoesOn", KILLS, "refused with RuntimeError"),
    ],
)
def test_a_start_up_that_a_crash_of_itself_spoils_is_caught(explore, defect, twin, models, found):
    broken = explore(f"recovering_workloads:{defect}", models)
    assert broken.failures > 0
    assert broken.recovery.mismatches > 0
    assert any(found in witness.found for witness in broken.recovery.witnesses), broken.recovery.witnesses[0]
    assert [identity.partition(" ")[0] for identity in broken.identities] == ["recovery/converges"]
    witness = broken.recovery.witnesses[0]
    assert parse_state(witness.representative)
    assert parse_state(witness.crashes[0])
    assert broken.outcomes[0].case.fault == witness.representative
    assert witness.crashes[0] in broken.outcomes[0].findings[0].message
    sound = explore(f"recovering_workloads:{twin}", models)
    assert not sound.recovery.mismatches, sound.recovery.witnesses[0]
    assert sound.failures == 0
    assert sound.recovery.points > 20


def test_what_only_a_second_crash_shows_is_caught_at_depth_two(explore):
    crashed = explore("recovering_workloads:LosesRowsTheSecondTime", recovery=12).recovery
    assert crashed.mismatches
    assert {len(witness.crashes) for witness in crashed.witnesses} == {2}


def test_without_recovery_crashes_the_same_defect_is_not_seen(explore):
    explored = explore("recovering_workloads:DoublesRows", recovery=0)
    assert explored.recovery is None
    assert explored.failures == 0


def test_the_same_case_gives_the_same_crashes(explore):
    once, again = (explore("recovering_workloads:DoublesRows", fresh=True).recovery for _ in range(2))
    assert once == again


def test_a_program_that_refuses_goes_on_refusing_and_belongs_to_the_oracles(explore):
    explored = explore("recovering_workloads:NeverComesUp")
    assert explored.failures > 0
    assert explored.recovery.mismatches == 0


@POSIX
def test_a_start_up_that_writes_past_the_tap_is_an_error(explore):
    with pytest.raises(LabError, match="past the tap"):
        explore("recovering_workloads:WritesPastTheTap", params={"steps": 8, "checkpoint_every": 2})


@POSIX
def test_a_file_that_no_record_knows_is_told_of(explore):
    crashed = explore("recovering_workloads:LeavesANote", recovery=2).recovery
    assert crashed.unseen == ("started.txt",)
    assert str(crashed).endswith("; not seen: started.txt")
    assert explore("plain_workload:plain").recovery.unseen == ()


def test_every_representative_is_taken_where_the_limit_allows(explore):
    crashed = explore("plain_workload:plain", recovery=10_000, params={"steps": 1}).recovery
    assert crashed.representatives + crashed.unsound == crashed.exist
    assert crashed.stop == EVERY_POINT


def test_counts_add_up():
    witness = RecoveryMismatch("kill@op=1", "process death", ("kill@op=2",), ("#2 write a 0+1",), "1", "2")
    one = RecoveryCrashes(exist=1, points=2, mismatches=1, witnesses=(witness,), stops=("a",))
    both = one.plus(RecoveryCrashes(exist=10, points=20, stops=("a", "b")))
    assert (both.exist, both.points, both.mismatches, both.witnesses) == (11, 22, 1, (witness,))
    assert both.stop == "a; b"
    assert "crashed at kill@op=2 (#2 write a 0+1)" in str(witness)


def test_a_start_up_that_writes_files_of_its_own_is_crashed_in_them_too(explore):
    crashed = explore("recovering_workloads:KeepsACount", recovery=4).recovery
    assert crashed.points > 0
    assert crashed.mismatches == 0
    assert crashed.unseen == ()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("workload", "params"),
    [
        ("plain_workload:plain", {"steps": 40, "checkpoint_every": 7}),
        ("crossing_workloads:Rollback", {"steps": 10, "journal": "delete"}),
        ("recovering_workloads:Mover", {"steps": 30}),
    ],
)
def test_hundreds_of_recoveries_converge(explore, workload, params):
    models = (Model(Policy.KILL, states_max=5000, direct_max=500), Model(Policy.TORN, states_max=5000, direct_max=500))
    crashed = explore(workload, models, recovery=120, params=params).recovery
    print(crashed)
    assert crashed.points > 5000
    assert not crashed.mismatches, crashed.witnesses[0]
