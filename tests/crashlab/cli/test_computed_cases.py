"""Computed crash states from the command line: run, replay, reduce; and what is refused."""

import json
import shutil
from pathlib import Path

import pytest

from crashlab.gallery.controls.off_power_loss import Broken
from crashlab.model.case import Case
from crashlab.strategies import InProcess

SEED = ("--seed", 5)
LOST = "durability/acked-row-lost · off · power loss"


@pytest.fixture
def off(project):
    """The project with the control that syncs nothing, and its twin."""
    control = "crashlab.gallery.controls.off_power_loss"
    project.replace(
        "[gate]",
        f'off = {{ workload = "{control}:Broken", params = {{ steps = 4 }} }}\n'
        f'synced = {{ workload = "{control}:Twin", params = {{ steps = 4 }} }}\n\n[gate]',
    )
    return project


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A failing case directory, made without starting a process."""
    with InProcess(Broken()) as road:
        outcome = road.run(Case("off", 5, "power-loss@op=30 keep=0x0", {"steps": 4}), keep=tmp_path_factory.mktemp("c"))
    return outcome.case_dir


@pytest.fixture
def case(off, made):
    """A failing case directory of the project's own."""
    return Path(shutil.copytree(made, off.directory / "cases" / "c"))


def commands(text):
    return [line.split("crashlab ", 1)[1].split() for line in text.splitlines() if " crashlab re" in line]


def files(directory):
    return {path: path.read_bytes() for path in Path(directory).rglob("*") if path.is_file()}


def test_run_judges_computed_states_of_one_run_and_prints_commands(crashlab, off):
    answer = crashlab(
        "run", "--subject", "off", "--fault", "power-loss@op=30 keep=0x0", "--fault", "kill@op=16+10", *SEED
    )
    assert answer.code == 1, answer
    assert answer.out.startswith("1/2")
    assert LOST in answer.out
    replay, reduce = commands(answer.out)
    assert (replay[0], reduce[0]) == ("replay", "reduce")
    assert {"timeline.txt", "persisted.txt", "trace"} <= {path.name for path in Path(replay[1]).iterdir()}


def test_the_twin_passes_and_a_computed_state_may_stand_beside_a_real_kill(crashlab, off):
    computed = ("--fault", "power-loss@op=30 keep=0x0")
    answer = crashlab("run", "--subject", "synced", "--fault", "power-loss@op=29 keep=0x0", *SEED)
    assert answer.code == 0, answer
    assert answer.out.startswith("0/1,")
    answer = crashlab("run", "--subject", "off", *computed, "--fault", "kill@ack#2", "--trials", 2, *SEED)
    assert answer.code == 1, answer
    assert answer.out.startswith("1/2")


def test_the_printed_commands_work_and_nothing_is_overwritten(crashlab, case):
    before = files(case)
    assert {"timeline.txt", "persisted.txt", "trace"} <= {path.name for path in case.iterdir()}
    answer = crashlab("replay", case)
    assert answer.code == 1, answer
    assert "reproduced 1/1" in answer.out
    assert LOST in answer.out
    reduced = crashlab("reduce", case)
    assert reduced.code == 0, reduced
    assert f"keeps  {LOST}" in reduced.out
    assert "1 operation lost" in reduced.out
    (replay, reduce) = commands(reduced.out)
    again = crashlab(*replay)
    assert again.code == 1, again
    assert LOST in again.out
    once_more = crashlab(*reduce)
    assert once_more.code == 0
    assert "it is minimal already; no new case was written" in once_more.out
    assert files(case) == before
    small = Path(replay[1])
    assert small.parent == case.parent
    assert json.loads((small / "case.json").read_bytes())["steps_max"] < 4
    assert len(list(case.parent.iterdir())) == 2


def test_without_its_trace_a_case_is_recorded_again_and_that_is_said(crashlab, case):
    shutil.rmtree(case / "trace")
    answer = crashlab("replay", case / "case.json")
    assert answer.code == 1, answer
    assert "carries no trace: its run is recorded again from its seed" in answer.err
    assert "reproduced 1/1" in answer.out
    answer = crashlab("reduce", case)
    assert answer.code == 0, answer
    assert "carries no trace" in answer.err


def test_a_case_that_passes_is_not_reduced(crashlab, case):
    path = case / "case.json"
    path.write_bytes(path.read_bytes().replace(b"power-loss@op=30 keep=0x0", b"kill@op=30"))
    assert crashlab("replay", case).code == 0
    answer = crashlab("reduce", case)
    assert answer.code == 3
    assert "does not fail here (PASS), so there is nothing to reduce" in answer.err


@pytest.mark.parametrize("command", ["replay", "reduce"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda log: log[:5000], "the log is truncated"),
        (lambda log: b"garbage " + log[8:], "not a log"),
        (lambda log: log[:8] + b"\x63" + log[9:], "log version 99, this crashlab reads up to 1"),
        (lambda log: log[:-9] + bytes([log[-9] ^ 4]) + log[-8:], "damaged or was changed"),
    ],
)
def test_a_damaged_trace_is_one_line_and_nothing_of_it_runs(refused, case, monkeypatch, command, damage, said):
    log = case / "trace" / "log.0.0000"
    log.write_bytes(damage(log.read_bytes()))
    before = files(case)

    def runs(*_args, **_kwargs):
        raise AssertionError("something of the case was run")

    monkeypatch.setattr("crashlab.engine.trace_road.Slots", runs)
    assert said in refused(command, case)
    assert files(case) == before


@pytest.mark.parametrize(
    "fault",
    ["power-loss@op=99999 keep=0x0", "power-loss@op=3 keep=0xffff", "kill@op=3+1000", "power-loss@op=0 keep=0x1"],
)
def test_a_state_of_another_run_is_refused(refused, case, fault):
    path = case / "case.json"
    path.write_bytes(path.read_bytes().replace(b"power-loss@op=30 keep=0x0", fault.encode()))
    assert f"fault '{fault}' is no state of the recorded run: " in refused("replay", case)
    assert "is no state of the recorded run" in refused("reduce", case)


def test_run_refuses_a_state_that_does_not_fit(refused, off):
    assert "is no state of the recorded run: op=99999: the recorded run has" in refused(
        "run", "--subject", "off", "--fault", "kill@op=99999"
    )


def test_a_real_kill_is_nothing_to_reduce(refused, off):
    path = off.directory / "case.json"
    path.write_text('{"subject": "good", "seed": 1, "fault": "kill@ack#3", "format_version": 1}')
    assert "hits a real process and leaves nothing to reduce; expected a computed crash state" in refused(
        "reduce", path
    )
    assert "expected a case directory or its case.json" in refused("reduce", "nowhere")
    assert "--budget" in refused("reduce", path, "--budget", "soon")
