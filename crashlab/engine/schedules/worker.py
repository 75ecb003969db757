"""The process that runs schedules: never the user's own, because a schedule that sticks takes its process with it."""

import contextlib
import logging
import os
import sqlite3
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from crashlab.engine.owner import die_with_owner
from crashlab.engine.schedules.calibrate import Costs, calibrate
from crashlab.engine.schedules.explore import Failure, explore
from crashlab.engine.schedules.faults_foreign import Neighboured, foreign_actors
from crashlab.engine.schedules.memory import keep_memory
from crashlab.engine.schedules.orders import STEPS_MAX, Explore, Greeting, Order, Ready, Replay, Says, Shrink, Tell
from crashlab.engine.schedules.processes.programs import ProgramsWorkload
from crashlab.engine.schedules.processes.road import ProcessesRoad, process_turns
from crashlab.engine.schedules.ran import Road, StuckError
from crashlab.engine.schedules.replay import Segments, replay
from crashlab.engine.schedules.road import ThreadsRoad
from crashlab.engine.schedules.shrink import shrink
from crashlab.engine.schedules.sources import GenericSource, LanesSource, Source
from crashlab.engine.schedules.strategies import parse_strategy
from crashlab.errors import CrashlabError, SubjectError
from crashlab.model.schedule import ACTORS_MAX
from crashlab.sqlite.apsw_module import load_apsw
from crashlab.writers.frames import read_frame, send_frame
from crashlab.writers.load import extend_path, load_workload
from crashlab.writers.schedule.connections import patched_connect
from crashlab.writers.schedule.locks import patched_threading
from crashlab.writers.schedule.support import told
from crashlab.writers.schedule.turns import Turns

GENERIC_WORKLOADS = {
    "threads": "crashlab.engine.schedules.generic:workload",
    "processes": "crashlab.engine.schedules.processes.generic:workload",
}
EXIT_STUCK = 75


def main() -> int:
    """Do what the owner orders until standard input ends."""
    out = os.fdopen(os.dup(1), "wb")
    die_with_owner()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)  # what the program prints is not ours
    logging.lastResort = None
    greeting = read_frame(sys.stdin.buffer, Greeting)
    if greeting is None:
        return 0
    keep_memory()
    try:
        turns: Any = process_turns(greeting.limits) if greeting.road == ProcessesRoad.name else Turns()
        with patched_threading(turns), patched_connect(turns):
            return _serve(greeting, turns, out)
    except CrashlabError as error:
        send_frame(out, Ready(error=str(error), kind=type(error).__name__))
        return 2


def _serve(greeting: Greeting, turns: Any, out: Any) -> int:
    extend_path(greeting.path)
    module: ModuleType = load_apsw(greeting.apsw) if greeting.apsw else sqlite3
    workload: Any
    if greeting.programs is not None:
        workload = ProgramsWorkload(greeting.programs)
    else:
        workload = load_workload(greeting.workload or GENERIC_WORKLOADS[greeting.road])
        if greeting.foreign:
            workload = Neighboured(workload, greeting.foreign)
    root = Path(greeting.root)
    make = ProcessesRoad if greeting.road == ProcessesRoad.name else ThreadsRoad
    with make(workload, greeting.subject, root, module=module, limits=greeting.limits, turns=turns) as road:
        try:
            source, costs, actors = _prepared(greeting, road)
        except StuckError as error:
            send_frame(
                out, Ready(error=f"subject {greeting.subject!r} cannot be scheduled: {error}", kind="StuckError")
            )
            os._exit(EXIT_STUCK)
        except CrashlabError:
            raise
        except Exception as error:  # the program's own, when it opens for the template
            raise SubjectError(f"subject {greeting.subject!r} does not open: {told(error)}") from None
        send_frame(out, Ready(road.engine, actors))

        def says(word: Says) -> None:
            send_frame(out, word)

        while (order := read_frame(sys.stdin.buffer, Order)) is not None:  # type: ignore[arg-type]
            try:
                _carry_out(order, road, source, costs, says)
                says(Says(done=True))
            except StuckError as error:
                says(Says(stuck=str(error), kind=error.kind, done=True))
                os._exit(EXIT_STUCK)  # its threads will never end
            except CrashlabError as error:
                says(Says(error=str(error), kind=type(error).__name__, done=True))
            except Exception:
                says(Says(error=f"a defect of crashlab: {traceback.format_exc(limit=-4)}", kind="LabError", done=True))
    return 0


def _prepared(greeting: Greeting, road: ThreadsRoad | ProcessesRoad) -> tuple[Source, Costs, int]:
    source: Source
    if isinstance(road.workload, ProgramsWorkload):
        why = road.workload.measure(road.run)
        if why:
            raise SubjectError(f"the programs cannot be judged by what they leave one after another: {why}")
    if greeting.workload:
        lanes = road.lanes(greeting.params)
        if not lanes:
            raise SubjectError(f"subject {greeting.subject!r} has no lane in its own process: nothing to interleave")
        if len(lanes) > ACTORS_MAX:
            raise SubjectError(
                f"subject {greeting.subject!r} has {len(lanes)} lanes, at most {ACTORS_MAX} are scheduled"
            )
        source = LanesSource(greeting.subject, lanes, greeting.params, greeting.steps_max)
    else:
        source = GenericSource(
            greeting.mix,
            actors=greeting.lanes,
            steps=(1, greeting.steps_max or STEPS_MAX),
            foreign=foreign_actors(greeting.foreign),
        )
    if not greeting.calibrate:
        return source, Costs(source.label), 0
    costs, runs = calibrate(road, source.measured(), source.label)
    problem = next((ran.problem for ran in runs if ran.problem), "")
    if problem:
        hint = "" if greeting.road == "processes" else "; lanes of other processes come with --actors processes"
        raise SubjectError(f"subject {greeting.subject!r} cannot be scheduled: {problem}{hint}")
    actors = max(ran.actors for ran in runs)
    if actors < 2:
        raise SubjectError(
            f"subject {greeting.subject!r} has one lane in its own process and starts no threads: nothing to interleave"
        )
    return source, costs, actors


def _carry_out(order: Order, road: Road, source: Source, costs: Costs, says: Callable[[Says], None]) -> None:
    if isinstance(order, Explore):
        strategy = parse_strategy(order.strategy)
        found = explore(
            road,
            source,
            costs,
            strategy,
            order.seed,
            order.budget,
            first=order.first,
            faults=order.faults,
            told=lambda counted: says(Says(counted=counted)),
        )
        for word in found:
            says(Says(failure=word) if isinstance(word, Failure) else Says(counted=word))
    elif isinstance(order, Replay):
        says(Says(replayed=replay(road, order.schedule, order.times)))
    elif isinstance(order, Shrink):
        says(Says(shrunk=shrink(road, order.schedule, source, order.limits)))
    elif isinstance(order, Tell):
        schedule = order.schedule
        keep = Path(order.keep) if order.keep else None
        says(Says(told=road.run(schedule.script, Segments(schedule.segments), tell=True, keep=keep)))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        sys.exit(main())
