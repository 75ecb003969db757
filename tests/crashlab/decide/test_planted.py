"""Planted bugs on both roads: caught, not caught, twins accused, and a program that breaks."""

from pathlib import Path

import pytest

from crashlab.decide.config import load_config
from crashlab.decide.planted import Planted, Road, Told, controls_of, run_planted
from crashlab.engine.workspace import Workspace
from crashlab.errors import ConfigError, UsageError

HERE = str(Path(__file__).parent)
LOST = ("durability", "acked-row-lost")


@pytest.fixture(scope="module")
def workspace():
    with Workspace() as made:
        yield made


def planted(module, oracle="durability", invariant="acked-row-lost", **more):
    name = module.rpartition(":")[0] or module
    return Planted(name, "a bug", "b", oracle, invariant, module, **{"trials": 2, **more})


def results(workspace, *bugs):
    return [each.told for each in run_planted(bugs, workspace, path=(HERE,), seconds=30.0)]


def test_each_end_has_its_name(workspace):
    early = planted("planted_early", fault="kill@ack#6", trials=4)
    assert results(
        workspace,
        early,
        planted("planted_early", invariant="no-such-thing", fault="kill@ack#6"),
        planted("planted_swapped", fault="kill@ack#6", trials=4),
        planted("planted_nowhere"),
    ) == [Told.CAUGHT, Told.NOT_CAUGHT, Told.TWIN_NOT_CLEAN, Told.ERROR]


def test_what_only_a_power_loss_shows_is_found_on_the_trace_road(workspace):
    assert results(
        workspace,
        planted("planted_off", "durability", "acked-row-lost", road=Road.POWER_LOSS),
        planted("planted_off", "durability", "acked-row-lost", road=Road.KILL),
    ) == [Told.CAUGHT, Told.NOT_CAUGHT]


def config(tmp_path, text):
    (tmp_path / "crashlab.toml").write_text(text)
    return load_config(tmp_path / "crashlab.toml")


def test_a_subject_s_controls_are_found_among_the_registered(tmp_path):
    subject = '[subjects.app]\nworkload = "a:b"\ncontrols = ["early"]\n'
    text = f'path = ["{HERE}"]\n{subject}[planted]\nmine = "planted_early:PLANTED"\n'
    assert [each.id for each in controls_of(config(tmp_path, text), "app")] == ["early"]
    with pytest.raises(ConfigError, match=r"names 'erly', which nothing in \[planted\] has; did you mean 'early'"):
        controls_of(config(tmp_path, text.replace('["early"]', '["erly"]')), "app")
    with pytest.raises(UsageError, match="expected a tuple"):
        controls_of(config(tmp_path, text.replace(":PLANTED", ":workload")), "app")
