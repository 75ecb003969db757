"""The cadence study of the store: its parameters are axes, and a dead checkpoint loop shows at every cadence."""

from pathlib import Path

import msgspec
import pytest

from crashlab.decide.config import load_config
from crashlab.decide.study.run import Study, StudyOptions
from crashlab.engine.events import Emitter

ROOT = Path(__file__).resolve().parents[2]
CONFIG = load_config(ROOT / "crashlab.toml")


def studied(tmp_path, subject, writes=150, rounds=0, **chosen):
    settings = msgspec.structs.replace(CONFIG.study_for(subject), writes=writes, latency_s=0.5)
    options = StudyOptions(seconds=150, workers=2, chosen=chosen, rounds=rounds)
    with Study(CONFIG.subject(subject), settings, options) as study:
        study.plan()
        return study.axes, study.run(Emitter(), str(tmp_path))


@pytest.mark.slow
def test_a_dead_loop_is_unbounded_at_every_cadence_and_the_store_is_not(tmp_path):
    cadences = ("1", "15", "60")
    chosen = {"cadence": cadences, "autocheckpoint": ("0",)}
    _, dead = studied(tmp_path, "planted-loop-never-runs", **chosen)
    _, live = studied(tmp_path, "store", **chosen)
    assert [cell.bounded for cell in dead.cells] == ["no"] * 3
    assert [cell.bounded for cell in live.cells] == ["yes"] * 3
    p95 = [cell.seconds.p95.value for cell in live.cells]
    assert p95 == pytest.approx([0.8, 13, 57], abs=0.5)


@pytest.mark.slow
def test_readers_modes_sizes_and_writes_are_axes_of_the_store(tmp_path):
    axes, found = studied(
        tmp_path, "store", cadence=("every-20",), reader=("none", "polling", "pinned"), mode=("PASSIVE", "TRUNCATE")
    )
    assert {"cadence", "autocheckpoint", "mode", "synchronous", "reader", "size", "rate"} <= set(axes.base)
    assert not found.left_out
    assert not any(cell.remarks for cell in found.cells)
    bounded = {(cell.cell.axes["reader"], cell.cell.axes["mode"]): cell.bounded for cell in found.cells}
    assert bounded == {
        (reader, mode): "no" if reader == "pinned" else "yes"
        for reader in ("none", "polling", "pinned")
        for mode in ("PASSIVE", "TRUNCATE")
    }
    pinned = next(cell for cell in found.cells if cell.cell.axes["reader"] == "pinned")
    # PASSIVE wrote those pages that had no newer frame behind the reader's snapshot: half of a database.
    assert pinned.alone_resting.get("malformed", 0) > 20
    _, large = studied(tmp_path, "store", writes=60, cadence=("60",), size=("0", "3000"))
    small, large_cell = large.cells
    assert large_cell.rows_acked == small.rows_acked
    assert large_cell.crash_points >= small.crash_points


@pytest.mark.slow
def test_the_agent_s_memory_compares_passive_and_truncate(tmp_path):
    _, found = studied(tmp_path, "memory", rounds=2, cadence=("every-5",), mode=("PASSIVE", "TRUNCATE"))
    compared = {(effect.measure, effect.statistic): effect for effect in found.effects if effect.differs == "mode"}
    assert compared["exposure in rows", "p95"].value == 0
    assert compared["checkpoint", "p50"].n_a >= 8
    assert compared["checkpoint", "p50"].low < compared["checkpoint", "p50"].value < compared["checkpoint", "p50"].high
    lost = compared["states of a process death that miss an acked row", "share"]
    assert (lost.value, lost.low < 0 < lost.high) == (0, True)
