"""The gate's settings in layers: what a subject has of its own, and what a profile lays over it."""

import pytest

from crashlab.decide.config import load_config
from crashlab.errors import ConfigError, UsageError

LAYERED = """
[subjects.plain]
workload = "app:plain"
[subjects.own]
workload = "app:own"
[subjects.own.gate]
trials = 7
[subjects.own.gate.grid]
workers = [1, 2]
[subjects.own.gate.trace]
steps_max = 5
[subjects.own.gate.profiles.nightly]
budget = "3h"
[gate]
subjects = ["plain", "own"]
trials = 100
rows_by = ["reader"]
[gate.grid]
reader = ["none", "pinned"]
[gate.weights]
reader = [1, 2]
[gate.unreachable]
checkpoint = { reader = "pinned" }
[gate.trace]
io_steps = 9
[gate.profiles.nightly]
budget = "2h"
policy = { trials_min = 5000 }
trace = { power_states = 1000000 }
"""


@pytest.fixture
def layered(tmp_path):
    def load(text=LAYERED):
        (tmp_path / "crashlab.toml").write_text(text)
        return load_config(tmp_path / "crashlab.toml")

    return load


def test_a_subject_without_settings_has_the_gate_s(layered):
    gate = layered().gate_for("plain")
    assert (gate.trials, gate.grid, gate.weights) == (100, {"reader": ["none", "pinned"]}, {"reader": [1, 2]})


def test_a_grid_of_its_own_leaves_behind_what_belonged_to_the_other(layered):
    gate = layered().gate_for("own")
    assert (gate.trials, gate.grid) == (7, {"workers": [1, 2]})
    assert (gate.weights, gate.rows_by, gate.unreachable) == ({}, [], {})
    assert (gate.trace.steps_max, gate.trace.io_steps) == (5, 9)  # merged key by key


def test_a_profile_lies_over_both_and_the_subject_s_own_comes_last(layered):
    config = layered()
    plain, own = config.gate_for("plain", "nightly"), config.gate_for("own", "nightly")
    assert (plain.budget, own.budget) == ("2h", "3h")
    assert plain.policy.trials_min == own.policy.trials_min == 5000
    assert (own.trace.power_states, own.trace.steps_max, own.trials) == (1_000_000, 5, 7)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("trials = 7", "trails = 7", r"unknown key 'trails' in \[gate\]; .*trials"),
        ("trials = 7", "trials = 'many'", "gate.trials"),
        ("budget = \"3h\"", "budget = \"soon\"", "budget"),
        ("workers = [1, 2]", "workers = []", "gate.grid.workers is empty"),
        ('subjects = ["plain", "own"]', 'subjects = ["plain", "won"]', "'won' is no subject; did you mean 'own'"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused_when_the_file_is_read(layered, before, after, said):
    assert before in LAYERED
    with pytest.raises(UsageError, match=said):
        layered(LAYERED.replace(before, after))


def test_an_unknown_profile_names_those_there_are(layered):
    with pytest.raises(ConfigError, match="no profile 'nigthly'; there are: nightly; did you mean 'nightly'"):
        layered().gate_for("plain", "nigthly")
