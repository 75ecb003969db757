"""The bench of campaigns: what handling costs is measured where it happens."""

import importlib.util
import time

import pytest

from crashlab.engine.road import RealRoad
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.model.case import Case
from crashlab.report import bench_campaign

WORKLOAD = "crashlab.decide.bench_workload:ledger"


def test_an_emitter_knows_what_its_listeners_cost():
    emitter = bench_campaign._Timed(lambda event: time.sleep(0.02))
    for _ in range(3):
        emitter.emit("note")
    assert 0.06 <= emitter.seconds < 5
    assert emitter.cpu_seconds < emitter.seconds


def test_the_share_is_of_all_that_was_used():
    figure = bench_campaign.HandlingFigure("a campaign", 10, 20.0, 0.1, 50.0, 1.0)
    assert (figure.share, figure.cpu_share) == (0.005, 0.02)
    assert "0.50 % of the time, 2.00 % of the processor time" in str(figure)


@pytest.mark.slow
def test_handling_costs_little():
    with Workspace() as space:
        cases = (Case("bench", number, "kill@ack#5") for number in range(60))
        figure = bench_campaign._handling("kills", RealRoad(Subject("bench", WORKLOAD), space), cases, 60, space)
    assert figure.trials == 60
    assert 0 < figure.cpu_share < bench_campaign.SHARE_MAX


@pytest.mark.nightly
@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="distributed is not installed")
def test_two_workers_beside_one(monkeypatch):
    monkeypatch.setattr(bench_campaign, "STATES", 4000)
    monkeypatch.setattr(bench_campaign, "BATCHES", 1)
    figure = bench_campaign._workers(1, 1)
    assert figure.rounds == 1
    assert figure.ratio > 0.3  # small batches, and a machine that others use: that it runs at all
