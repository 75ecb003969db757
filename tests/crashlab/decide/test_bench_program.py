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
    monkeypatch.setattr(module, "_PROGRAM", module._PROGRAM.replace(str(module.COMMITS), "50"))
    figures = list(bench(rounds=1))
    assert len(figures) in (2, 6)  # one file system, or two and one beside the other
    assert all(0 < figure.ratio < 20 for figure in figures)
    assert {figure.name.split(", ")[-3] for figure in figures} == {"NORMAL", "FULL"}
    assert list(tmp_path.iterdir()) == []
