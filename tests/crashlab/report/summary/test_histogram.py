"""Histograms: exact where small, within their promise where not, whatever the order and the batches."""

import random

import numpy as np
import pytest

from crashlab.decide.statistics import percentile
from crashlab.report.summary.histogram import CURVE_POINTS, Histogram, Sparse, _top, buckets_of


def filled(values, parts=1):
    sparse = Sparse()
    for part in np.array_split(np.array(values, dtype=np.int64), parts):
        sparse.add(np.zeros(len(part), dtype=np.int64), part)
    return sparse.histograms({0: "all"}).get("all", Histogram())


def test_every_value_lies_in_its_bucket_within_the_promise():
    values = [0, 1, 255, 256, 257, 511, 512, 1000, 10**6, 10**9, 2**40 + 1, 2**61]
    tops = [_top(int(bucket)) for bucket in buckets_of(np.array(values, dtype=np.int64))]
    for value, top in zip(values, tops, strict=True):
        assert value <= top <= value * (1 + 1 / 127)
        assert value >= 256 or top == value


@pytest.mark.parametrize("top", [20, 100_000])
def test_percentiles_are_those_of_the_values(top):
    rng = random.Random(3)
    values = [rng.randrange(top) for _ in range(5000)]
    one = filled(values).distribution("rows")
    assert one == filled(values[::-1], 7).distribution("rows")
    assert one.n == 5000
    assert one.max == max(values)
    assert one.mean == pytest.approx(sum(values) / 5000, rel=1e-5)
    for percent, found in ((50, one.p50), (95, one.p95), (99, one.p99)):
        assert found.value == pytest.approx(percentile(values, percent), rel=0.02, abs=1)
        assert found.low <= found.value <= found.high
    assert len(one.curve) <= CURVE_POINTS + 2
    assert one.curve[-1] == (100.0, one.max)
    assert list(one.curve) == sorted(one.curve)


def test_too_few_values_leave_the_interval_open():
    one = filled([3, 4, 5]).distribution("s", 1e-6)
    assert (one.p50.low, one.p99.high) == (None, None)
    assert one.max == 5e-6
    empty = filled([]).distribution("rows")
    assert (empty.n, empty.curve) == (0, ())


def test_groups_stay_apart_and_can_be_put_together():
    sparse = Sparse()
    sparse.add(np.array([1, 2, 1]), np.array([10, 20, 30]))
    sparse.add(np.array([2, 3]), np.array([40, 1000]))
    apart = sparse.histograms({1: "a", 2: "b"})
    assert (apart["a"].most, apart["a"].total, sum(apart["b"].counts.values())) == (30, 40, 2)
    assert sparse.histograms({1: "x", 2: "x", 3: "x"})["x"].distribution("rows").mean == 220
