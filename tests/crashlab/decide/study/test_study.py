"""Whole studies of a small program: what they must see, and that they see it each time."""

import msgspec
import pytest

from crashlab.decide.study.settings import StudyConfig
from crashlab.errors import UsageError
from crashlab.report.cadence import study_from_events, study_json, study_markdown

FAST = StudyConfig(
    tick_s=1.0, writes=60, latency_rate=200, latency_s=0.3, base={"cadence": 0.02}, values={"cadence": [0.02]}
)


def of(result):
    return {cell.cell.axes["cadence"]: cell for cell in result.cells}


@pytest.mark.slow
def test_a_dead_loop_is_unbounded_at_every_cadence_and_its_twin_is_not(study):
    cadences = ("0.5", "2", "10")
    dead, _ = study("DeadLoop", cadence=cadences)
    live, _ = study("App", cadence=cadences)
    assert {name: cell.bounded for name, cell in of(dead).items()} == dict.fromkeys(cadences, "no")
    assert {name: cell.bounded for name, cell in of(live).items()} == dict.fromkeys(cadences, "yes")
    assert all(cell.frames.max.value >= cell.steps and cell.frames_per_hour > 0 for cell in dead.cells)
    assert [of(live)[name].seconds.max.value for name in cadences] == [0.5, 2.0, 10.0]
    assert dead.recommendation.choice is None
    assert "unbounded" in dead.recommendation.reasons[0]


@pytest.mark.slow
def test_a_pinned_reader_makes_it_grow(study):
    result, _ = study(cadence=("10",), reader=("none", "pinned"))
    free, pinned = result.cells
    assert (free.bounded, pinned.bounded) == ("yes", "no")
    assert pinned.frames.max.value > 3 * free.frames.max.value
    assert pinned.wal_bytes_max > 3 * free.wal_bytes_max
    assert any("reader that is pinned makes it unbounded" in line for line in result.recommendation.limits)


@pytest.mark.slow
def test_what_the_main_file_lacks_is_what_was_exposed(study):
    cell = study(cadence=("10",))[0].cells[0]
    # Between checkpoints the main file is as the last one left it, so what SQLite misses in it was exposed.
    assert cell.alone_resting["readable"] == 40 - cell.alone_resting.get("no-schema", 0)
    assert cell.rows_lost.max.value == cell.rows.max.value == 10
    assert cell.killed.states > 20
    assert (cell.killed.lost, cell.killed.malformed) == (0, 0)
    assert cell.alone_backfill.get("malformed", 0) > 0  # pages of a table and of its index go over one by one


@pytest.mark.slow
def test_the_same_seed_gives_the_same_figures_byte_for_byte(study):
    def stepped():
        result, _ = study(cadence=("0.5", "10"), mode=("PASSIVE", "TRUNCATE"), synchronous=("NORMAL",))
        return [msgspec.json.encode(msgspec.structs.replace(cell, recovery_ms=None)) for cell in result.cells]

    assert stepped() == stepped()


@pytest.mark.slow
def test_the_report_is_made_again_from_the_records_alone(study):
    result, events = study(cadence=("2", "10"), mode=("PASSIVE", "TRUNCATE"), rounds=2, settings=FAST)
    again = study_from_events(events)
    assert study_json(again) == study_json(result)
    assert study_markdown(again) == study_markdown(result)
    timed = result.latencies
    assert {latency.cell.axes["mode"] for latency in timed} == {"PASSIVE", "TRUNCATE"}
    assert all(latency.checkpoint_ms.n > 5 and latency.stall_ms.n == 120 for latency in timed)
    assert any(effect.clock == "real" and effect.differs == "mode" and effect.low > 0 for effect in result.effects)
    cut = study_from_events(events[:3])
    assert (len(cut.cells), cut.stop) == (2, "interrupted")


@pytest.mark.slow
def test_any_declared_parameter_can_be_an_axis(study):
    result, _ = study(cadence=("10",), vacuum_at=("0", "31"), also=("vacuum_at",))
    plain, vacuumed = result.cells
    assert (plain.cell.params["vacuum_at"], vacuumed.cell.params["vacuum_at"]) == (0, 31)
    assert vacuumed.crash_points > plain.crash_points


@pytest.mark.slow
def test_a_value_that_the_program_refuses_is_left_out_with_its_reason(study):
    result, _ = study(cadence=("10",), synchronous=("FULL", "SOMETIMES("))
    assert len(result.cells) == 1
    assert "syntax error" in result.left_out[0] or "SOMETIMES" in result.left_out[0]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"workload": "NoAxes"}, "declares: colour, steps"),
        ({"cadense": ("1",)}, "did you mean 'cadence'"),
        ({"cadence": ("often",)}, "'often' is no number"),
        ({"cadence": ("every-50",)}, "expected off, or seconds"),
        ({"rate": ("0",)}, "writes a second"),
        ({"settings": StudyConfig(params={"steps": 1, "stepps": 2})}, "'stepps'"),
    ],
)
def test_bad_input_is_named(study, asked, said):
    with pytest.raises(UsageError, match=said.replace("(", r"\(")):
        study(**asked)
