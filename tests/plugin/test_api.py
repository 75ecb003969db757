"""`crashlab.run_trials` and `crashlab.Lab`: trials from plain Python."""

from pathlib import Path

import pytest

import crashlab

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with crashlab.Lab(tmp_path_factory.mktemp("results"), slots=2) as lab:
        yield lab


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"workload": "small_workload"}, "expected its name 'module:attr'"),
        ({"fault": "kil@ack#3"}, "did you mean 'kill'?"),
        ({"fault": ()}, "an empty sequence"),
        ({"trials": 0}, "trials=0, expected a whole number 1 to 1000000"),
        ({"trials": True}, "trials=True, expected a whole number"),
        ({"seed": -1}, "seed=-1, expected a whole number 0 to"),
        ({"seconds": 0}, "seconds=0, expected more than 0"),
        ({"params": {"step": 3}}, "did you mean 'steps'?"),
    ],
)
def test_bad_values_are_usage_errors(lab, arguments, text):
    with pytest.raises(crashlab.UsageError) as caught:
        lab.run(**{"workload": "small_workload:Good", "path": [HERE], **arguments})
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_same_seed_gives_the_same_cases_and_faults_take_turns(lab):
    faults = ("kill@ack#3", "kill@ack#5 delay=100us")

    def cases(seed):
        trials = lab.run("small_workload:Good", path=[HERE], fault=faults, trials=4, seed=seed)
        trials.assert_passed(judged_min=4)
        return [outcome.case for outcome in trials.outcomes]

    assert cases(5) == cases(5)
    assert [case.fault for case in cases(6)] == [*faults, *faults]
    assert {case.seed for case in cases(5)}.isdisjoint(case.seed for case in cases(6))


def test_a_failure_is_told_and_its_files_are_kept(lab):
    trials = lab.run("small_workload:Broken", path=[HERE], fault="kill@ack#6", trials=2)
    assert set(trials.invariants) == {"durability/acked-row-lost"}
    with pytest.raises(crashlab.TrialsFailedError, match="durability/acked-row-lost, violated in 2 of 2"):
        trials.assert_passed()
    kept = trials.failures[0].case_dir
    assert (Path(kept) / "case.json").is_file()
    assert trials.config is not None
    assert trials.config.is_file()
    assert str(trials.config) in trials.replay_command(trials.failures[0])


def test_run_trials_without_results_keeps_nothing():
    trials = crashlab.run_trials("small_workload:Broken", path=[HERE], fault="kill@ack#6", trials=1, slots=1)
    assert len(trials.failures) == 1
    assert trials.records is None
    assert trials.replay_command(trials.failures[0]) == ""
    assert "replay" not in trials.explain()


def test_a_closed_lab_says_so():
    lab = crashlab.Lab()
    lab.close()
    lab.close()
    with pytest.raises(crashlab.UsageError, match="closed"):
        lab.run("small_workload:Good")
