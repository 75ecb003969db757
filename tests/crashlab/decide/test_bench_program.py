"""`crashlab bench program`."""

import pytest

from crashlab.decide import bench_program as module
from crashlab.decide.bench_seccomp import bench_seccomp
from crashlab.writers.record.seccomp import seccomp_problem


@pytest.mark.slow
@pytest.mark.parametrize("bench", [module.bench_program, bench_seccomp])
def test_recording_is_told_beside_the_program_untouched(tmp_path, monkeypatch, bench):
    if bench is bench_seccomp and seccomp_problem() is not None:
        pytest.skip(f"no seccomp recording: {seccomp_problem()}")
    monkeypatch.chdir(tmp_path)
    for program, many in (("_COMMITS", module.COMMITS), ("_WRITES", module.WRITES), ("_REPLACES", module.REPLACES)):
        monkeypatch.setattr(module, program, getattr(module, program).replace(str(many), "50"))
    figures = list(bench(rounds=1))
    commits = [figure for figure in figures if "commits" in figure.name]
    assert len(commits) in (2, 6)  # one file system, or two and one beside the other
    assert len(figures) - len(commits) == (2 if bench is module.bench_program else 0)  # writes, and replacements
    assert all(0 < figure.ratio < 20 for figure in figures)
    assert {figure.name.split(", ")[-3] for figure in commits} == {"NORMAL", "FULL"}
    assert list(tmp_path.iterdir()) == []
