"""The advice is a function of the figures alone."""

import msgspec
import pytest

from crashlab.decide.study.axes import find_axes
from crashlab.decide.study.distribution import Distribution, Quantile, measured
from crashlab.decide.study.grid import default_grid, full_grid, latency_grid
from crashlab.decide.study.recommend import recommend
from crashlab.decide.study.results import CellResult, Killed, LatencyResult
from crashlab.decide.study.settings import StudyConfig
from crashlab.errors import UsageError

DECLARED = {
    "checkpoint_interval_s": 60.0,
    "checkpoint_every": 0,
    "wal_autocheckpoint": 1000,
    "checkpoint_mode": "PASSIVE",
    "synchronous": "FULL",
    "reader": "none",
    "preload_rows": 0,
    "steps": 9,
}


@pytest.fixture
def axes():
    return find_axes("app", DECLARED, StudyConfig())


def flat(value, unit="s"):
    return Distribution(
        unit, "stepped", 100, "100 moments of rest, 20 cycles", value, *[Quantile(value, value, value)] * 4
    )


def cell(axes, bounded="yes", seconds=0.0, checkpoints=10, **values):
    return CellResult(
        axes.cell(**values), ("base",), "stepped", 6000.0, 1500, 3000, 9000, checkpoints, checkpoints, {}, bounded,
        12.0,
        flat(2 * seconds, "frames"), flat(seconds / 4, "rows"), flat(seconds), flat(0.0, "rows"), 1 << 20, 100,
        {"readable": 40}, {"malformed": 30, "readable": 10}, None, Killed(40, 0, 0), None, 0, (),
    )  # fmt: skip


def latency(axes, ms, **values):
    of = measured([ms] * 50, "ms", "checkpoints")
    return LatencyResult(axes.cell(rate="200", **values), (), "real", 3, 4.5, 900, of, of, of, 0.01, 1 << 20)


def row(axes):
    return [
        cell(axes, "yes", 1600.0, checkpoints=0, cadence="off"),
        cell(axes, "yes", 0.8, checkpoints=6000, cadence="1"),
        cell(axes, "yes", 4.0, checkpoints=1200, cadence="5"),
        cell(axes, "yes", 57.0, checkpoints=100, cadence="60"),
    ]


def test_the_least_exposure_that_is_affordable(axes):
    cheap = recommend(axes, row(axes), [latency(axes, 1.0, cadence="0.1")], ())
    assert cheap.says == "Take cadence 1 s instead of 60 s."  # 1 ms a second
    dear = recommend(axes, row(axes), [latency(axes, 20.0, cadence="0.1")], ())
    assert dear.says == "Take cadence 5 s instead of 60 s."  # 20 ms a second would be 2 %
    assert any("20 ms a checkpoint (mean of 50 in real time" in reason for reason in dear.reasons)
    assert any("p95 exposure 57 s (95 % 57 to 57), 14.2 rows" in reason for reason in dear.reasons)


def test_of_cadences_below_the_tick_the_longest(axes):
    cells = [*row(axes), cell(axes, "yes", 0.05, checkpoints=80_000, cadence="0.05")]
    assert recommend(axes, cells, [], ()).choice.axes["cadence"] == "1"


def test_nothing_bounded_nothing_advised(axes):
    cells = [cell(axes, "no", 300.0, cadence=cadence) for cadence in ("off", "60")]
    found = recommend(axes, cells, [], ())
    assert found.choice is None
    assert "nothing can be recommended" in found.says
    assert "unbounded, 12 frames an hour" in found.reasons[0]


def test_limits_name_the_reader_power_loss_and_what_was_not_measured(axes):
    pinned = cell(axes, "no", 300.0, cadence="60", reader="pinned")
    pinned = msgspec.structs.replace(pinned, alone_resting={"malformed": 40})
    normal = msgspec.structs.replace(cell(axes, "yes", 57.0, cadence="60", synchronous="NORMAL"), power_rows=flat(21.0))
    limits = recommend(axes, [*row(axes), pinned, normal], [], ()).limits
    assert any(
        "pinned makes it unbounded" in line and "malformed in 40/40, 95 % lower bound" in line for line in limits
    )
    assert any(line.startswith("At synchronous=NORMAL a power loss may take acked rows: p95 21") for line in limits)
    assert any("No latencies were measured" in line for line in limits)
    assert any("an acked row in 0/240, 95 % upper bound 1.3 %" in line for line in limits)


def test_the_default_grid_has_each_axis_and_the_pairs_that_matter(axes):
    planned = default_grid(axes)
    assert len({str(each.cell) for each in planned}) == len(planned) < 100
    designs = {name for each in planned for name in each.designs}
    assert {"base", "cadence by reader", "cadence by autocheckpoint", "mode by reader", "cadence by rate"} <= designs
    for name, values in axes.values.items():
        assert {each.cell.axes[name] for each in planned} == set(values)
    every = next(each.cell for each in planned if each.cell.axes["cadence"] == "every-50")
    assert (every.params["checkpoint_every"], every.params["checkpoint_interval_s"]) == (50, 0)
    assert all(each.cell.tick_s == 1 / 200 for each in latency_grid(axes, chosen=None))


def test_a_chosen_grid_is_the_product_and_has_a_limit(axes):
    chosen = {"cadence": ("off", "60"), "reader": ("none", "pinned")}
    assert len(full_grid(axes, chosen, all_axes=False)) == 4
    everything = full_grid(axes, chosen, all_axes=True)
    assert len(everything) == 4 * 2 * 2 * 3 * 2 * 2
    with pytest.raises(UsageError, match="cells, expected at most 20000"):
        full_grid(axes, {"cadence": tuple(map(str, range(1, 9999)))}, all_axes=True)
