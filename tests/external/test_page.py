"""docs/external.md says what was recorded, and what was recorded is what packages.toml expects."""

import runpy
from pathlib import Path

import msgspec
import pytest
from external_lab import RECORDED, STATES_ENOUGH, Recorded, check, check_control, load_cases

PAGE = Path(__file__).parents[2] / "docs" / "external.md"
LINES_MAX = 10
SECONDS_MAX = 60
CASES = load_cases()


@pytest.fixture(scope="module")
def recorded():
    return msgspec.json.decode(RECORDED.read_bytes(), type=Recorded)


def test_every_case_was_recorded_and_is_as_expected(recorded):
    assert [record.name for record in recorded.records] == list(CASES)
    assert recorded.states >= STATES_ENOUGH
    for record in recorded.records:
        case = CASES[record.name]
        check(case, record.verdict, states=recorded.states)
        assert (record.control is None) == (case.control is None)
        if record.control:
            check_control(case, record.control)
        else:
            assert case.lost[0] > 0, f"{record.name} shows no loss and has no control"


def test_a_first_verdict_takes_ten_lines_and_a_minute(recorded):
    for case in CASES.values():
        lines = [line for line in case.text().splitlines() if line.strip()]
        assert len(lines) <= LINES_MAX, case.program
    for record in recorded.records:
        assert record.install_s + record.verdict_s <= SECONDS_MAX, record.name


def test_the_page_is_what_its_script_makes_of_it():
    made = runpy.run_path(str(PAGE.with_name("update_external.py")))["page"]()
    assert made == PAGE.read_text(encoding="utf-8"), "run: python docs/update_external.py"
