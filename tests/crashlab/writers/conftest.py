"""Launching orders of the test workloads, and looking at what they left."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from crashlab.engine.workspace import Workspace
from crashlab.faults.fault import parse_fault
from crashlab.log.history import build_history
from crashlab.log.reader import log_bases, merge, read_log
from crashlab.model.history import Ended, History
from crashlab.writers.launcher import Launcher, make_launcher
from crashlab.writers.order import Order

HERE = str(Path(__file__).parent)
PLAIN = "plain_workload:plain"


class Ran:
    """One finished run: how it ended and its history."""

    def __init__(self, order: Order, ended: Ended, fault: str) -> None:
        self.order = order
        self.ended = ended
        logs = [list(read_log(base)) for base in log_bases(order.directory)]
        self.history: History = build_history("test", merge(logs), ended)
        self.firing = parse_fault(fault).fired(ended, self.history, "")
        self.acked = [step.seq for step in self.history.acked]


class Writers:
    """Launchers by workload, and a fresh directory for each run."""

    def __init__(self, root: Path, make: Callable[[str, tuple[str, ...]], Launcher]) -> None:
        self.root = root
        self._make = make
        self._launchers: dict[str, Launcher] = {}
        self._runs = 0

    def launcher(self, workload: str) -> Launcher:
        if workload not in self._launchers:
            self._launchers[workload] = self._make(workload, (HERE,))
        return self._launchers[workload]

    def order(self, workload: str, fault: str = "none", **more: object) -> Order:
        self._runs += 1
        directory = self.root / f"run{self._runs}"
        directory.mkdir()
        parsed = parse_fault(fault)
        params = {"steps": 50, "checkpoint_every": 0, **more.pop("params", {})}
        return Order(
            str(directory), str(directory / "state.db"), workload, 1, params, parsed.trigger(), parsed.hangup(), **more
        )

    def run(self, workload: str, fault: str = "none", **more: object) -> Ran:
        order = self.order(workload, fault, **more)
        return Ran(order, self.launcher(workload).launch(order), fault)

    def pids(self) -> list[int]:
        """The processes that a workload told of."""
        file = self.root / "pids"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def forget_pids(self) -> None:
        (self.root / "pids").unlink(missing_ok=True)

    def close(self) -> None:
        for launcher in self._launchers.values():
            launcher.close()


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    with Workspace() as workspace:  # on tmpfs where there is one: what is tested is not the disk
        writers = Writers(workspace.root, make_launcher)
        yield writers
        writers.close()


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait for a condition, at most some seconds."""

    def wait(condition: Callable[[], bool], seconds: float = 15.0) -> None:
        limit = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < limit, "it did not come to pass in time"
            time.sleep(0.01)

    return wait


@pytest.fixture
def all_gone(until: Callable[..., None]) -> Callable[[list[int]], None]:
    """Assert that processes are gone, soon."""

    def check(pids: list[int]) -> None:
        assert pids
        until(lambda: all(gone(pid) for pid in pids))

    return check
