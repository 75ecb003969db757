"""A trace road over this directory's workloads."""

from pathlib import Path

import pytest

from crashlab.engine.subject import Subject
from crashlab.engine.trace_road import TraceRoad
from crashlab.engine.workspace import Workspace
from crashlab.model.case import Case


@pytest.fixture(scope="session")
def workspace():
    with Workspace() as workspace:
        yield workspace


@pytest.fixture(scope="session")
def explore(workspace):
    """Explore a workload's recorded run under models; exploring the same twice gives the same."""

    def explore(workload, *models, params=None, plan=None, seconds=60.0):
        subject = Subject(workload, workload, (str(Path(__file__).parent),))
        road = TraceRoad(subject, workspace, plan=plan)
        try:
            return road.explore(Case(workload, 7, "none", params or {}), models, seconds=seconds, keep=False)
        finally:
            road.close()

    return explore
