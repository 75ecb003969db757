"""Classes against real SQLite: members of one class recover to the same content, and what is outside is named."""

import random
import sqlite3

import pytest
from recordings import PROBE, after_set_up, commits, first_op, record

from crashlab.errors import LabError
from crashlab.log.trace import TraceKind
from crashlab.states import explore as explore_module
from crashlab.states.classes import Classifier
from crashlab.states.coverage import StopReason
from crashlab.states.explore import explore
from crashlab.states.materialise import Materialiser
from crashlab.states.models import Model, Policy, crash_states
from crashlab.states.pending import epochs
from crashlab.states.recover import can_read_only, recover


def run(trace, model, scratch, *, sample=1.0, **options):
    return explore(trace, model, random.Random(7), probe=PROBE, scratch=scratch / "x", sample=sample, **options)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return record(tmp_path_factory.mktemp("full"), commits(14, autocheckpoint=12)).trace


@pytest.fixture(scope="module")
def normal(tmp_path_factory):
    return record(tmp_path_factory.mktemp("normal"), commits(14, synchronous="normal", autocheckpoint=12)).trace


@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize("name", ["full", "normal"])
def test_every_member_of_a_class_recovers_alike(request, name, policy, scratch):
    trace = request.getfixturevalue(name)
    found = run(trace, Model(policy, states_max=700, direct_max=40), scratch)
    coverage = found.coverage
    found.require_sound()
    assert coverage.mismatches == ()
    assert coverage.distinct == sum(seen.states for seen in found.seen)
    assert coverage.classes + coverage.disks == len(found.seen)
    in_classes = coverage.distinct - sum(coverage.outside.values())
    assert coverage.cross_checked == in_classes - coverage.classes  # sample=1.0: everybody was recovered
    assert coverage.second_members == coverage.classes - coverage.lone
    assert coverage.classes >= (3 if policy is Policy.SYNCED_ONLY and name == "normal" else 15)
    assert not (scratch / "x").exists()


def test_the_direct_way_agrees_with_the_classes(normal, scratch):
    model = Model(Policy.TORN, states_max=500, direct_max=500, first=after_set_up(normal))
    by_class = run(normal, model, scratch)
    direct = run(normal, model, scratch, classes=False)
    assert direct.coverage.classes == 0
    assert direct.coverage.disks == len(direct.seen) > by_class.coverage.classes > 5
    assert direct.coverage.exist == by_class.coverage.exist
    assert {seen.digest for seen in by_class.seen} >= {seen.digest for seen in direct.seen if seen.states > 3}


def test_few_states_are_all_covered(full, scratch):
    first = after_set_up(full)
    coverage = run(full, Model(Policy.SUBSET, states_max=10_000, first=first, last=first + 6), scratch).coverage
    assert coverage.stop is StopReason.EXHAUSTED
    assert int(coverage.exist) == coverage.generated == coverage.distinct
    assert coverage.moments_sampled == 0
    assert str(coverage).startswith(f"subset: {coverage.exist} states exist, ")


def test_many_states_are_sampled_and_it_says_so(normal, scratch):
    coverage = run(normal, Model(Policy.TORN, states_max=200, direct_max=20), scratch, sample=0.0).coverage
    assert coverage.stop is StopReason.BUDGET
    assert coverage.moments_sampled > 0
    assert int(coverage.exist) > 10**20
    assert "about 10^" in str(coverage)


def test_it_can_be_told_to_stop(normal, scratch):
    coverage = run(normal, Model(Policy.TORN, states_max=200), scratch, stop=lambda: True).coverage
    assert coverage.stop is StopReason.STOPPED


def test_the_same_seed_gives_the_same_exploration(normal, scratch):
    model = Model(Policy.TORN, states_max=300, direct_max=20)
    assert run(normal, model, scratch) == run(normal, model, scratch)


def broken_commits(self, number, real=Classifier._commits_of):
    """A classifier that thinks that every second commit is none."""
    return real(self, number)[::2]


def broken_changes(self, *arguments):
    """A classifier that thinks that no write to the WAL changes a byte."""


@pytest.mark.parametrize(
    ("where", "method", "broken"),
    [
        (Classifier, "_commits_of", broken_commits),
        (explore_module.Classifier.__init__.__globals__["_View"], "_wal_pieces", broken_changes),
    ],
)
def test_a_wrong_classifier_is_found_by_the_cross_check(normal, scratch, monkeypatch, where, method, broken):
    monkeypatch.setattr(where, method, broken)
    found = run(normal, Model(Policy.SUBSET, states_max=600, direct_max=0), scratch, sample=0.02)
    assert found.coverage.mismatches
    assert found.coverage.stop is StopReason.MISMATCH
    with pytest.raises(LabError, match="recovered otherwise than others of their class"):
        found.require_sound()


def reasons_of(trace):
    classifier = Classifier(trace, "a.db")
    return [reason for epoch in epochs(trace) for reason in classifier.enter(epoch)]


def test_what_is_outside_the_classes_has_a_name(full, scratch):
    reasons = reasons_of(full)
    assert len(reasons) == len(full) + 1
    assert "a rollback journal" in reasons or "directory entries of the database are not synced" in reasons
    assert reasons.count("") > 0.8 * len(reasons)


def spill(connection, number):
    """A transaction larger than the cache that changes pages again after they were spilled."""
    connection.execute("pragma cache_size=2")
    connection.execute("begin")
    for again in range(3):
        connection.execute("update t set c = ?", (f"{again}" * 900,))
    connection.execute("rollback" if number % 2 else "commit")


def truncate(connection, number):
    connection.execute("pragma wal_checkpoint(truncate)").fetchall()


def attach(connection, number):
    if number == 1:
        other = connection.execute("pragma database_list").fetchone()[2] + ".other"
        connection.execute("attach ? as other", (other,))
        connection.execute("create table other.o(x)")


def vacuum(connection, number):
    connection.execute("delete from t where id < 2")
    connection.execute("insert into t values(1, 'a', 'b')")
    connection.execute("vacuum")


@pytest.mark.parametrize(
    ("reason", "work"),
    [
        ("synchronous=OFF", commits(8, synchronous="off")),
        ("synchronous=OFF", commits(8, synchronous="off", autocheckpoint=6)),
        ("a rollback journal", commits(4, journal="delete")),
        ("a rollback journal", commits(4, journal="persist")),
        ("a frame was written twice", commits(8, each=spill)),
        ("a frame was written twice", commits(8, each=spill, synchronous="normal", autocheckpoint=9)),
        ("a truncation of the WAL is not synced", commits(5, each=truncate, synchronous="normal")),
        ("several databases", commits(4, each=attach)),
        ("", commits(5, each=vacuum, autocheckpoint=8)),
    ],
)
def test_other_traces_take_the_direct_way_and_pass(scratch, reason, work):
    trace = record(scratch / "r", work).trace
    assert any(reason in each for each in reasons_of(trace))
    for policy in (Policy.TORN, Policy.KILL):
        found = run(trace, Model(policy, states_max=250, direct_max=250), scratch)
        assert found.coverage.mismatches == ()
        if reason:
            assert any(reason in name for name in found.coverage.outside) or policy is Policy.KILL
        assert found.coverage.distinct == sum(seen.states for seen in found.seen)


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir() if not path.name.endswith("-shm")}


def test_recovering_without_changing_files_is_recovering(normal, scratch):
    """The same states, read-only in memory and read-write with SQLite's ordinary VFS."""
    compared = 0
    with Materialiser(normal, scratch / "m") as materialiser:
        for policy in (Policy.TORN, Policy.KILL):
            for state in crash_states(normal, Model(policy, states_max=300), random.Random(1)):
                work = materialiser.show(state)
                if not can_read_only(materialiser.sizes(), "a.db"):
                    continue
                before = contents(work)
                one = recover(work, PROBE, read_only=True)
                assert contents(work) == before
                assert one == recover(work, PROBE, read_only=False)
                materialiser.clear()
                compared += 1
    assert compared > 200


def test_a_frame_that_was_there_already_is_reachable_though_lost(scratch):
    """A page written again with the same bytes, at the same place of the next generation."""

    def work(database, log):
        connection = sqlite3.connect(database, isolation_level=None)
        connection.execute("pragma journal_mode=wal")
        connection.execute("create table t(id integer primary key, b, c)")
        connection.execute("create table m(n)")
        connection.execute("insert into m values(7)")
        connection.execute("pragma wal_checkpoint(restart)").fetchall()
        for number in range(6):
            connection.execute("update m set n=1")
            connection.execute("update m set n=0")
            connection.execute("pragma wal_checkpoint(restart)").fetchall()
            log.ack("lane", number, None)
        connection.close()

    trace = record(scratch / "r", work).trace
    generations = Classifier(trace, "a.db").generations
    same = [
        op
        for op in range(len(trace))
        if generations.of[op] >= 0
        and generations.below[op] >= 0
        and trace.data(op) == trace.data(generations.below[op])
    ]
    assert same, "the workload no longer writes the same page twice: the test tests nothing"
    for policy in (Policy.TORN, Policy.SUBSET, Policy.KILL):
        first = first_op(trace, TraceKind.WRITE, "wal")
        found = run(trace, Model(policy, states_max=1500, direct_max=50, first=first), scratch)
        assert found.coverage.mismatches == ()
        assert found.coverage.cross_checked > 200
