"""The gate's rows of schedules: a planted order is found and kept, its twin passes, one lane is told by name."""

import sys
from pathlib import Path

import pytest

from crashlab.decide.config import load_config
from crashlab.decide.evidence import CONTROLS, RowResult
from crashlab.decide.schedule_rows import GROUP, ROW, ScheduleRows, wal_reset_row
from crashlab.decide.schedule_settings import SchedulesConfig
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.errors import ConfigError, UsageError
from crashlab.sqlite.advisories import advisories_for
from crashlab.sqlite.library import find_library

LANES = "crashlab.gallery.controls.lanes"
AFFECTED = any(advisory.name == "wal-reset" for advisory in advisories_for(find_library()))
linux = pytest.mark.skipif(sys.platform != "linux", reason="schedules need the tap")


def rows(workload, tmp_path, seconds=3.0):
    with Workspace() as workspace:
        made = ScheduleRows(
            Subject("s", workload), SchedulesConfig(), workspace, seed=1, seconds=seconds, keep=tmp_path / "cases"
        )
        return list(made.rows()), made.case_dirs


@linux
def test_a_subject_of_one_lane_is_left_out_by_name(tmp_path):
    (row,), kept = rows("crashlab.gallery.controls.two_transactions:Twin", tmp_path)
    assert (row.group, row.name, row.result) == (GROUP, ROW, RowResult.SKIPPED)
    assert "one lane" in row.detail
    assert not kept


@linux
@pytest.mark.slow
def test_a_planted_order_fails_with_a_case_and_its_twin_passes_with_a_bound(tmp_path):
    (row, *controls), kept = rows(f"{LANES}.read_modify_write:Broken", tmp_path)
    assert row.result is RowResult.FAIL, row
    assert row.invariants == ("books/balance-adds-up",)
    assert [Path(case, "schedule.json").is_file() for case in kept] == [True]
    assert all(control.result is RowResult.OK for control in controls), controls
    assert {control.group for control in controls} == {CONTROLS}
    assert len(controls) == 1 + AFFECTED
    (row, *_), kept = rows(f"{LANES}.read_modify_write:Twin", tmp_path)
    assert row.result is RowResult.OK, row
    assert row.judged > 0
    assert "at 95 % fewer than" in row.detail
    assert not kept


@linux
@pytest.mark.slow
@pytest.mark.skipif(not AFFECTED, reason="this SQLite has the fix")
def test_a_control_that_finds_nothing_in_its_time_is_inconclusive(tmp_path):
    row = wal_reset_row(tmp_path / "x", 1, 0.001)
    assert row.result is RowResult.INCONCLUSIVE
    assert "control_seconds" in row.detail


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('budget = "soon"', "gate.schedules.budget"),
        ('strategy = "stiky:4"', "did you mean 'sticky'"),
        ("steps = 0", "expected 1 to 100"),
        ('strategy = "exhaustive"', "generic workload only"),
        ("control_seconds = 0.0", "more than 0"),
        ('subject = "nobody"', "unknown subject 'nobody'"),
        ("budjet = 1", "unknown key 'budjet'"),
    ],
)
def test_bad_settings_are_told(tmp_path, line, said):
    file = tmp_path / "crashlab.toml"
    file.write_text(f'[subjects.app]\nworkload = "app:workload"\n[gate.schedules]\n{line}\n', encoding="utf-8")
    with pytest.raises((ConfigError, UsageError)) as caught:
        load_config(file)
    assert said in str(caught.value)
