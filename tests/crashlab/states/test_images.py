"""States by what SQLite would make of them: as many as there are databases, and what the check of them would find."""

import random

import pytest
from recordings import PROBE, commits, record

from crashlab.errors import LabError
from crashlab.states.explore import explore
from crashlab.states.images import Images
from crashlab.states.images import chain as chain_module
from crashlab.states.models import Model, Policy


def covered(recording, scratch, policy, *, states=300, **more):
    return explore(
        recording.trace,
        Model(policy, states_max=states, direct_max=states),
        random.Random(3),
        probe=PROBE,
        scratch=scratch / "x",
        classes=False,
        sample=0.3,
        images=Images(recording.trace, "a.db", {}),
        **more,
    )


@pytest.mark.parametrize("policy", [Policy.KILL, Policy.TORN])
@pytest.mark.parametrize(
    ("journal", "synchronous"),
    [("wal", "off"), ("wal", "full"), ("delete", "full"), ("delete", "off"), ("truncate", "full"), ("persist", "full")],
)
def test_states_of_one_image_recover_alike(tmp_path, scratch, journal, synchronous, policy):
    # A small cache spills: frames are written twice, journals have several headers.
    spill = "pragma cache_size=4"
    work = commits(
        12, journal=journal, synchronous=synchronous, autocheckpoint=9, page_size=1024,
        each=lambda connection, number: connection.execute(spill),
    )  # fmt: skip
    coverage = covered(record(tmp_path, work), scratch, policy).coverage
    assert coverage.mismatches == ()
    assert coverage.disks == 0
    assert coverage.image_states == coverage.judged == coverage.distinct
    assert coverage.cross_checked > coverage.distinct // 5
    assert coverage.images < coverage.distinct // 3


def test_a_wrong_idea_of_recovery_voids_the_exploration(tmp_path, scratch, monkeypatch):
    recording = record(tmp_path, commits(8, synchronous="off"))
    monkeypatch.setattr(
        chain_module.Chain, "_step", lambda self, node, frame, real=chain_module.Chain._step: real(self, node, frame)
        if self._nodes[node].parent is None or frame.key[0] % 4 else 0,
    )  # fmt: skip
    with pytest.raises(LabError, match="recovered otherwise"):
        covered(recording, scratch, Policy.KILL, states=2_000).require_sound()


def test_beyond_the_bound_states_are_told_as_unjudged(tmp_path, scratch):
    recording = record(tmp_path, commits(8, synchronous="off"))
    coverage = covered(recording, scratch, Policy.KILL, firsts_max=4).coverage
    assert coverage.images == 4
    assert 0 < coverage.unjudged < coverage.distinct
    assert coverage.judged == coverage.image_states
    assert f"{coverage.unjudged} left unjudged" in str(coverage)
