"""Published packages, unmodified, under kills and power losses: what packages.toml says of each is what is found."""

import os
import subprocess
import sys

import pytest
from external_lab import ACKS, STATES_ENOUGH, check, check_control, load_cases, put_under_lab

pytestmark = [pytest.mark.external, pytest.mark.timeout(600)]
CASES = load_cases()
STATES = int(os.environ.get("CRASHLAB_EXTERNAL_STATES", STATES_ENOUGH))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("repeat", range(int(os.environ.get("CRASHLAB_EXTERNAL_REPEATS", "1"))))
def test_a_package_loses_what_its_settings_allow_and_nothing_else(installed, name, repeat):
    case = CASES[name]
    check(case, put_under_lab(case.text(), installed(case), states=STATES), states=STATES)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.control])
def test_the_same_package_with_syncs_off_is_caught(installed, name):
    case = CASES[name]
    states = max(STATES, STATES_ENOUGH)
    check_control(case, put_under_lab(case.text(control=True), installed(case), states=states))


def test_a_power_loss_tells_two_versions_apart_on_the_command_line(installed, tmp_path):
    """As a stranger has it: an empty directory, a program of ten lines, one command."""
    (tmp_path / "app.py").write_text(CASES["huey-3.2.1"].text())
    told = {}
    for name in ("huey-3.2.1", "huey-3.3.0"):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "crashlab",
                "run",
                "--states",
                "1000",
                "--ack-on",
                ACKS,
                "--",
                sys.executable,
                "app.py",
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(installed(CASES[name]))},
            capture_output=True,
            text=True,
            timeout=120,
        )
        told[name] = (done.returncode, done.stdout)
    assert [code for code, _ in told.values()] == [1, 0], told
    assert "FAIL history/well-formed" in told["huey-3.2.1"][1]
    assert "a legal power loss took up to 0" in told["huey-3.3.0"][1]
