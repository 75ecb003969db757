"""Roads over the writers' test workloads, in a workspace of the test's own."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from crashlab.engine.road import RealRoad
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace

WORKLOADS = str(Path(__file__).parents[1] / "writers")

MakeRoad = Callable[..., RealRoad]


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with Workspace() as workspace:  # on tmpfs where there is one: what is tested is not the disk
        yield workspace


@pytest.fixture
def make_road(workspace: Workspace) -> Iterator[MakeRoad]:
    roads: list[RealRoad] = []

    def make(workload: str = "plain_workload:plain", name: str = "plain", params: dict | None = None, **more: object):
        roads.append(RealRoad(Subject(name, workload, (WORKLOADS,), params or {}), workspace, **more))
        return roads[-1]

    yield make
    for road in roads:
        road.close()


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as executor:
        yield executor


@pytest.fixture
def told_pids(workspace: Workspace) -> Callable[[], list[int]]:
    """The processes that a workload told of, next to its run's directory."""

    def read() -> list[int]:
        return [int(line) for line in (workspace.root / "pids").read_text().split()]

    return read


@pytest.fixture
def our_processes() -> Callable[[], set[int]]:
    """The processes that this one has started and that still run."""

    def look() -> set[int]:
        return {p.pid for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE}

    return look
