"""`crashlab bench program`."""

import pytest

from crashlab.decide import bench_program as module


@pytest.mark.slow
def test_recording_is_told_beside_the_program_untouched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "_PROGRAM", module._PROGRAM.replace(str(module.COMMITS), "50"))
    figures = list(module.bench_program(rounds=1))
    assert len(figures) in (2, 4)  # one file system or two
    assert all(0 < figure.ratio < 20 for figure in figures)
    assert {figure.name.split(", ")[1] for figure in figures} == {"NORMAL", "FULL"}
    assert list(tmp_path.iterdir()) == []
