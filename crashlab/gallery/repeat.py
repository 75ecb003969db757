"""Playing exhibits many times, each with its control, on a few hosts at once."""

import queue
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import msgspec

from crashlab.engine.environment import environment_stamp
from crashlab.engine.workspace import Workspace
from crashlab.gallery.exhibit import Exhibit, Kind
from crashlab.gallery.host import Host
from crashlab.gallery.stage.driver import STDLIB
from crashlab.gallery.telling import Result, Telling
from crashlab.model.seed import subseed

__all__ = ["RUNS_MAX", "Gallery", "Tally", "play_all"]

RUNS_MAX = 1000


class Tally(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All runs of one exhibit and of its control, in the order of their seeds.

    `shown` and `control_shown`: runs in which the damage's picture was there.
    """

    exhibit: str
    title: str
    kind: Kind
    runs: tuple[Telling, ...]
    controls: tuple[Telling, ...]

    @property
    def shown(self) -> int:
        """Runs that showed the picture."""
        return sum(run.showed for run in self.runs)

    @property
    def control_shown(self) -> int:
        """Runs of the control that showed the picture."""
        return sum(run.showed for run in self.controls)

    def count(self, result: Result) -> int:
        """How many runs, of both sides, ended so."""
        return sum(run.result is result for run in (*self.runs, *self.controls))

    def first(self, result: Result) -> Telling | None:
        """The first run that ended so."""
        return next((run for run in (*self.runs, *self.controls) if run.result is result), None)

    @property
    def result(self) -> Result:
        """The worst of all runs: unexpected, then error, then skipped."""
        for result in (Result.UNEXPECTED, Result.ERROR, Result.SKIPPED):
            if self.count(result):
                return result
        return Result.AS_EXPECTED


class Gallery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a visit to the gallery showed. `stopped`: why there is less than was wanted, or empty."""

    seed: int
    wanted: int
    sqlite: str
    tallies: tuple[Tally, ...]
    stopped: str
    environment: dict[str, str]
    seconds: float
    format_version: int = 1

    @property
    def exit_code(self) -> int:
        """1 when any run was unexpected, 3 when any broke, was not made, or nothing could run at all, else 0."""
        results = {tally.result for tally in self.tallies}
        if Result.UNEXPECTED in results:
            return 1
        broken = self.stopped or Result.ERROR in results
        return 3 if broken or results <= {Result.SKIPPED} else 0


def run_seed(seed: int, run: int) -> int:
    """The seed of one run: the first has the visit's own, so that it can be named."""
    return seed if run == 0 else subseed(seed, "run", run)


def play_all(
    exhibits: Sequence[Exhibit],
    *,
    seed: int = 0,
    runs: int = 1,
    sqlite: str = STDLIB,
    jobs: int = 2,
    deadline_s: float = 600.0,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Gallery:
    """Play every exhibit and its control `runs` times on `jobs` hosts.

    No run begins after `deadline_s`, and `stopped` says so. `progress(done, of)` is called after each run.

    Raises:
        LabError: a host ended.
        UsageError: `sqlite` names nothing.
    """
    began = time.monotonic()
    wanted = [(exhibit, number, control) for exhibit in exhibits for number in range(runs) for control in (False, True)]
    results: dict[tuple[str, bool], list[Telling]] = {}
    stopped = ""
    with ExitStack() as stack:
        workspace = Workspace()
        stack.callback(workspace.close)
        environment = environment_stamp(workspace.root)
        hosts: queue.SimpleQueue[Host] = queue.SimpleQueue()
        for _ in range(min(jobs, len(wanted))):
            hosts.put(stack.enter_context(Host(sqlite, workspace=workspace)))

        def play(exhibit: Exhibit, number: int, control: bool) -> Telling | None:
            if time.monotonic() - began > deadline_s:
                return None
            host = hosts.get()
            try:
                return host.play(exhibit, run_seed(seed, number), control=control)
            finally:
                hosts.put(host)

        with ThreadPoolExecutor(min(jobs, len(wanted))) as pool:
            futures: list[Future[Telling | None]] = [pool.submit(play, *each) for each in wanted]
            try:
                for done, ((exhibit, _, control), future) in enumerate(zip(wanted, futures, strict=True), 1):
                    telling = future.result()
                    if telling is None:
                        stopped = f"the deadline of {deadline_s:g} s"
                    else:
                        results.setdefault((exhibit.id, control), []).append(telling)
                    progress(done, len(wanted))
            except BaseException:
                for future in futures:
                    future.cancel()
                raise
    tallies = tuple(
        Tally(
            exhibit.id,
            exhibit.title,
            exhibit.kind,
            tuple(results.get((exhibit.id, False), ())),
            tuple(results.get((exhibit.id, True), ())),
        )
        for exhibit in exhibits
    )
    return Gallery(seed, runs, sqlite, tallies, stopped, environment, time.monotonic() - began)
