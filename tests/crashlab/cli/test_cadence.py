"""`crashlab cadence` on a user's own subject: its settings, its refusals, its records."""

import json

import pytest

from crashlab.engine.results.read import Records
from crashlab.report.cadence import study_from_events, study_json, study_markdown

STUDY = '\n[study]\nevery = "every"\nwrites = 24\ntick_s = 2.0\n'


@pytest.fixture
def studied(project):
    project.write(project.config.read_text() + STUDY)
    return project


def test_a_subject_without_such_parameters_is_told_which_it_declares(refused):
    said = refused("cadence", "good")
    assert "declares no parameter for its checkpoints" in said
    assert "it declares: every, label, steps; " in said
    assert "[subjects.good.study]" in said


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["gooood"], "unknown subject 'gooood'"),
        (["good", "--cadence", "5"], "cadence '5': expected off, or every-N"),
        (["good", "--cadence", "every-0"], "expected off, or every-N"),
        (["good", "--cadence", "off,,every-5"], "expected values separated by commas"),
        (["good", "--reader", "none"], "has no axis 'reader'; it has: cadence, rate"),
        (["good", "--rate", "fast"], "rate 'fast' is no number"),
        (["good", "--rate", "nan"], "rate 'nan' is no number"),
        (["good", "--rate", "0"], "expected 0.0001 to 10000 writes a second"),
        (["good", "--grid", "label"], "--grid 'label': expected NAME=V1,V2"),
        (["good", "--grid", "lable=a"], "declares no parameter 'lable'"),
        (["good", "--cadence", "off", "--grid", "cadence=off"], "--grid cadence: its values are given twice"),
        (["good", "--format", "html"], "unknown format 'html'; known: text, json, markdown, ndjson"),
        (["good", "--rounds", "-1"], "--rounds"),
    ],
)
def test_a_wrong_command_line(studied, refused, args, said):
    assert said in refused("cadence", *args)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("[study]\ntick_s = 0", "study.tick_s = 0.0, expected 0.0001 to 100000"),
        ("[study]\nwrites = 0", "study.writes = 0, expected 1 to 100000"),
        ("[study]\nreadr = 'x'", "unknown key 'readr' in [study]"),
        ("[subjects.good.study]\nreadr = 'x'", "did you mean 'reader'?"),
        ("[subjects.good.study]\nlatency_rate = 0", "subjects.good.study.latency_rate = 0.0, expected"),
        ("[study]\nevery = 'every'\nbase = { cadence = 'often' }", "cadence 'often' is no number"),
        ("[study]\nevery = 'every'\nparams = { lable = 'x' }", "declares no parameter 'lable'"),
    ],
)
def test_a_wrong_configuration(project, refused, settings, said):
    project.write(f'[subjects.good]\nworkload = "small_app:Good"\n{settings}\n')
    assert said in refused("cadence")


@pytest.mark.slow
def test_a_study_is_told_in_each_format_and_made_again_from_its_records(studied, crashlab):
    page = studied.directory / "study.md"
    hostile = "a|b<i>\x1b[2J"
    answer = crashlab(
        "cadence", "good", "--cadence", "off,every-4", "--grid", f"label=plain,{hostile}", "--rounds", "0",
        "--format", "json", "--format", f"markdown={page}",
    )  # fmt: skip
    assert answer.code == 0, answer
    told = json.loads(answer.out)
    assert [cell["cell"]["axes"]["cadence"] for cell in told["cells"]] == ["off", "off", "every-4", "every-4"]
    assert {cell["cell"]["params"]["every"] for cell in told["cells"]} == {0, 4}
    assert "Take cadence every-4" in answer.err
    assert "\x1b" not in answer.err
    again = study_from_events(Records(studied.runs()[0]).events())
    assert study_json(again).decode() == answer.out
    assert study_markdown(again) == page.read_text()
    assert "<i>" not in page.read_text().replace("\\<i\\>", "")
    assert [each.name for each in studied.runs()] == ["cadence-0001"]
    assert {path.name for path in studied.runs()[0].iterdir()} == {"records.ndjson", "study.json"}


@pytest.mark.slow
def test_a_budget_that_is_too_small_says_what_it_left_out(studied, crashlab):
    answer = crashlab("cadence", "good", "--budget", "1ms")
    assert answer.code == 3, answer
    assert "stopped early (budget)" in answer.out
    assert "budget: " in answer.out
    assert "Nothing was measured." in answer.out
