"""Every case directory here is judged again; see README.md."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crashlab.decide.config import load_config
from crashlab.engine.carried import carried_trace
from crashlab.engine.casedir import CASE_FILE, load_case
from crashlab.engine.moments import require_fit
from crashlab.engine.reduce import parsed_state
from crashlab.engine.road import RealRoad
from crashlab.engine.trace_road import TraceRoad
from crashlab.engine.workspace import Workspace
from crashlab.model.finding import Verdict
from crashlab.model.outcome import Outcome

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in HERE.glob(f"*/{CASE_FILE}"))
REAL_TRIALS = 3


def expectation(directory: Path) -> str:
    """The identity that must be found, '' for none."""
    path = directory / "expect.txt"
    text = path.read_text(encoding="utf-8").strip() if path.exists() else "PASS"
    assert text == "PASS" or text.startswith("FAIL "), f"{path}: {text!r}, expected PASS or FAIL and an identity"
    return text.removeprefix("PASS").removeprefix("FAIL ")


def trials(directory: Path) -> Iterator[Outcome]:
    case = load_case(directory)
    subject = load_config(HERE / "crashlab.toml").subject(case.subject)
    state = parsed_state(case)
    recording, trace = carried_trace(directory)
    with Workspace() as space:
        road: RealRoad | TraceRoad
        if state is None:
            road, times = RealRoad(subject, space), REAL_TRIALS
        else:
            assert trace is not None, f"{directory}: a computed crash state needs the trace that it is a state of"
            require_fit(trace, state)
            road, times = TraceRoad(subject, space, recording=recording), 1
        try:
            for number in range(times):
                yield road.run(case, f"regression-{number}", keep=False)
        finally:
            road.close()


@pytest.mark.parametrize("directory", CASES, ids=lambda path: path.name)
def test_case(directory: Path) -> None:
    wanted = expectation(directory)
    for outcome in trials(directory):
        assert outcome.verdict not in (Verdict.ERROR, Verdict.MISSED), outcome.error or outcome.fired
        found = [str(finding.identity) for finding in outcome.findings]
        if wanted:
            assert wanted in found
        else:
            assert not outcome.findings, [finding.message for finding in outcome.findings]


def test_there_are_cases_of_both_kinds() -> None:
    wanted = [expectation(directory) for directory in CASES]
    assert any(wanted)
    assert not all(wanted)


def test_cases_are_small_and_hold_no_path_of_a_machine() -> None:
    for directory in CASES:
        files = [path for path in directory.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) < 512 << 10, directory
        assert not any(b'case_dir": "/' in path.read_bytes() for path in files), directory
