"""A lab whose processes stay warm between runs of trials."""

import json
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from crashlab.engine.subject import Subject
from crashlab.errors import (
    UsageError,
)
from crashlab.faults.fault import parse_fault
from crashlab.model.case import Case, Param
from crashlab.model.finding import Verdict
from crashlab.model.outcome import Outcome
from crashlab.model.seed import subseed

if TYPE_CHECKING:
    from crashlab.engine.road import RealRoad
from crashlab.api.trials import Trials

TRIALS_MAX = 1_000_000
ROADS_MAX = 4
"""Workloads whose processes are kept warm at once."""

OVERDUE = "the time given to these trials was up"
"""A stop reason of `Lab.run` with `give_up_s`."""

_REPLAY_CONFIG = "crashlab.toml"
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9_.:-]")


class Lab:
    """Runs trials of workloads and keeps their processes warm between runs. A context manager.

    `results` is where records go, in a numbered directory made at the first run (`name-0001`); it is removed
    again at the end if nothing failed. None keeps no files, and then nothing can be replayed. `slots` trials are
    in flight at once (0: cores + 1). Not for use by several threads at once.
    """

    def __init__(self, results: Path | None = None, *, name: str = "trials", slots: int = 0) -> None:
        self._results = results
        self._name = name
        self._slots = slots or (os.cpu_count() or 2) + 1
        self._stack = ExitStack()
        self._roads: dict[tuple[str, str, tuple[str, ...]], RealRoad] = {}
        self._subjects: dict[str, Subject] = {}
        self._directory: Path | None = None
        self._failed = False
        self._started = False
        self._closed = False
        self._number = 0

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.close()

    def _start(self) -> None:
        from crashlab.engine.environment import environment_stamp
        from crashlab.engine.events import Emitter
        from crashlab.engine.rundir import make_run_directory
        from crashlab.engine.workspace import Workspace
        from crashlab.report.ndjson import NdjsonWriter, open_records

        if self._closed:
            raise UsageError("this lab is closed; make another")
        if self._started:
            return
        self._emitter = Emitter()
        if self._results is not None:
            self._directory = make_run_directory(self._results.absolute(), self._name)
            self._emitter.add(NdjsonWriter(self._stack.enter_context(open_records(self._directory))))
        self._workspace = self._stack.enter_context(Workspace())
        self._executor = self._stack.enter_context(ThreadPoolExecutor(self._slots, thread_name_prefix="trial"))
        self._environment = environment_stamp(self._workspace.root)
        self._started = True

    def run(
        self,
        workload: str,
        *,
        fault: str | Sequence[str] = "kill@ack#10",
        trials: int = 20,
        params: Mapping[str, Param] | None = None,
        seed: int = 1,
        seconds: float = 60.0,
        path: Sequence[str | os.PathLike[str]] = (),
        name: str = "",
        give_up_s: float | None = None,
    ) -> Trials:
        """Run trials of the workload `module:attr` and return what they showed.

        Several faults are taken in turn. `path` holds directories that go in front of the import path of the
        processes that import the workload. No trial starts after `seconds`; `give_up_s` ends even those in
        flight, as errors of the lab. `name` names the subject in records (default: the workload's).

        Raises:
            UsageError: a value out of range, an unknown fault or parameter.
            SubjectError: the workload does not import.
            LimitError: the lab's own disk is full.
        """
        __tracebackhide__ = True
        called = time.monotonic()
        from crashlab.engine.campaign import Limits, Tally, run_campaign
        from crashlab.model.event import EventKind

        if not isinstance(workload, str) or ":" not in workload:
            raise UsageError(f"workload {workload!r}: expected its name 'module:attr', e.g. 'myapp.lab:workload'")
        faults = tuple(str(parse_fault(text)) for text in ((fault,) if isinstance(fault, str) else fault))
        if not faults:
            raise UsageError("fault: an empty sequence, expected at least one, e.g. 'kill@ack#10'")
        _whole("trials", trials, 1, TRIALS_MAX)
        _whole("seed", seed, 0, 2**63 - 1)
        if not seconds > 0:
            raise UsageError(f"seconds={seconds!r}, expected more than 0")
        self._start()
        subject = Subject(
            _UNNAMEABLE.sub("-", name or workload)[:128], workload, tuple(str(Path(p).absolute()) for p in path)
        )
        key = (subject.name, workload, subject.path)
        road = self._road(key, subject)
        self._number += 1
        case_s = 20.0 if give_up_s is None else max(1.0, min(20.0, give_up_s))
        tally = Tally()
        spent = time.monotonic() - called  # a first run loads the engine, which a busy machine does slowly
        guard = _Guard(road, None if give_up_s is None else give_up_s - spent)
        try:
            with guard:
                road.declared_params()
                self._emitter.emit(
                    EventKind.RUN_STARTED,
                    command="lab",
                    subject=subject.name,
                    seed=seed,
                    faults=list(faults),
                    params=dict(params or {}),
                    trials=trials,
                    seconds=seconds,
                    environment=self._environment,
                )
                run_campaign(
                    guard,
                    (
                        Case(
                            subject.name,
                            subseed(seed, "case", number),
                            faults[number % len(faults)],
                            dict(params or {}),
                            case_s,
                        )
                        for number in range(trials)
                    ),
                    self._executor,
                    Limits(seconds=max(0.0, seconds - (time.monotonic() - called)), slots=self._slots),
                    self._emitter,
                    name=f"run{self._number}",
                    check_room=self._workspace.check_room,
                    tally=tally,
                )
        except BaseException:
            self._drop(key)
            raise
        if guard.overdue:
            self._drop(key)
        outcomes = tuple(sorted(tally.outcomes, key=lambda outcome: outcome.trial_id))
        failed = any(outcome.verdict is Verdict.FAIL for outcome in outcomes)
        self._failed = self._failed or failed
        return Trials(
            subject.name,
            faults,
            seed,
            trials,
            outcomes,
            OVERDUE if guard.overdue else tally.stop.value,
            tally.seconds,
            self._environment,
            self._directory,
            self._write_config(subject) if failed else None,
        )

    def _road(self, key: tuple[str, str, tuple[str, ...]], subject: Subject) -> "RealRoad":
        from crashlab.engine.road import RealRoad

        road = self._roads.pop(key, None)
        if road is None:
            while len(self._roads) >= ROADS_MAX:
                self._drop(next(iter(self._roads)))
            keep = None if self._directory is None else self._directory / "cases"
            road = RealRoad(subject, self._workspace, keep=keep, environment=self._environment)
        self._roads[key] = road  # the most recently used is the last
        return road

    def _drop(self, key: tuple[str, str, tuple[str, ...]]) -> None:
        road = self._roads.pop(key, None)
        if road is not None:
            road.close()

    def _write_config(self, subject: Subject) -> Path | None:
        """Write the configuration that lets `crashlab replay` find every subject that has failed here."""
        from crashlab.engine.casedir import write_atomically

        if self._directory is None:
            return None
        self._subjects[subject.name] = subject
        paths = dict.fromkeys(entry for known in self._subjects.values() for entry in known.path)
        lines = [f"path = [{', '.join(map(_toml, paths))}]"]
        for known in self._subjects.values():
            lines += ["", f"[subjects.{_toml(known.name)}]", f"workload = {_toml(known.workload)}"]
        file = self._directory / _REPLAY_CONFIG
        write_atomically(file, "\n".join([*lines, ""]).encode())
        return file

    def close(self) -> None:
        """End every process; remove the scratch files, and the records if nothing failed."""
        if self._closed:
            return
        self._closed = True
        for key in list(self._roads):
            self._drop(key)
        self._stack.close()
        if self._directory is not None and not self._failed:
            shutil.rmtree(self._directory, ignore_errors=True)


class _Guard:
    """A road that is closed when time is up: whatever is in flight then is ended, and no finding."""

    def __init__(self, road: "RealRoad", give_up_s: float | None) -> None:
        self._road = road
        self._timer = None if give_up_s is None else threading.Timer(max(0.0, give_up_s), self._give_up)
        self.overdue = False

    def _give_up(self) -> None:
        self.overdue = True
        self._road.close()

    def __enter__(self) -> "_Guard":
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()

    def run(self, case: Case, trial_id: str, *, keep: bool = True) -> Outcome:
        """Run one trial; one that was ended from outside says nothing about the subject."""
        outcome = self._road.run(case, trial_id, keep=keep)
        # A judge that got as far as writing a case directory had its say in time.
        if self.overdue and outcome.verdict in (Verdict.FAIL, Verdict.ERROR) and not outcome.case_dir:
            return msgspec.structs.replace(
                outcome, verdict=Verdict.ERROR, findings=(), error="ended in mid-trial: the run's time was up"
            )
        return outcome

    def close(self) -> None:
        """End every process of the road."""
        self._road.close()


def run_trials(
    workload: str,
    *,
    fault: str | Sequence[str] = "kill@ack#10",
    trials: int = 20,
    params: Mapping[str, Param] | None = None,
    seed: int = 1,
    seconds: float = 60.0,
    path: Sequence[str | os.PathLike[str]] = (),
    results: Path | None = None,
    slots: int = 0,
) -> Trials:
    """Run trials of one workload; see `Lab.run`. In pytest, take the fixture `crashlab` instead.

    `path` defaults to this process's own import path, so that what imports here imports there.
    """
    with Lab(results, slots=slots) as lab:
        return lab.run(
            workload,
            fault=fault,
            trials=trials,
            params=params,
            seed=seed,
            seconds=seconds,
            path=path or [entry or Path.cwd() for entry in sys.path],
        )


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UsageError(f"{name}={value!r}, expected a whole number {low} to {high}")


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # JSON's strings are TOML's, but for U+007F, which no path has
