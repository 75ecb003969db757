"""What the owner and the process that runs schedules say to each other, as plain data."""

import msgspec

from crashlab.engine.schedules.explore import Budget, Counted, Failure
from crashlab.engine.schedules.generic import DRAWN
from crashlab.engine.schedules.processes.programs import Programs
from crashlab.engine.schedules.ran import Ran
from crashlab.engine.schedules.replay import Replayed
from crashlab.engine.schedules.shrink import DEFAULT_SHRINK, ShrinkLimits, Shrunk
from crashlab.engine.schedules.watchdog import DEFAULT_LIMITS, RunLimits
from crashlab.model.case import Param
from crashlab.model.schedule import Schedule

__all__ = ["Explore", "Greeting", "Order", "Ready", "Replay", "Says", "Shrink", "Tell"]

STEPS_MAX = 4


class Greeting(msgspec.Struct, frozen=True):
    """Which subject. `workload`: `module:attr`, "" for the generic one. `apsw`: the directory of another SQLite.

    `params` override the workload's own; `mix`: the letters that the generic workload draws, `lanes`: how many lanes it
    has, from and to; `steps_max`: of each lane. `road`: threads or processes. `programs`: commands, in the place of a
    workload. `foreign`: actors beside the workload's own. `calibrate`: whether explorations will be ordered at all.
    """

    subject: str
    workload: str
    root: str
    path: tuple[str, ...] = ()
    params: dict[str, Param] = {}
    mix: str = DRAWN
    lanes: tuple[int, int] = (2, 4)
    steps_max: int = STEPS_MAX
    apsw: str = ""
    road: str = "threads"
    limits: RunLimits = DEFAULT_LIMITS
    calibrate: bool = True
    programs: Programs | None = None
    foreign: tuple[str, ...] = ()


class Ready(msgspec.Struct, frozen=True):
    """The first answer: the engine, or why there will be none. `kind`: the error's class."""

    engine: str = ""
    actors: int = 0
    error: str = ""
    kind: str = ""


class Explore(msgspec.Struct, frozen=True, tag=True):
    """Explore from schedule number `first` on."""

    strategy: str
    seed: int
    budget: Budget
    first: int = 0
    faults: tuple[str, ...] = ()


class Replay(msgspec.Struct, frozen=True, tag=True):
    """Run a schedule again, `times` times."""

    schedule: Schedule
    times: int


class Shrink(msgspec.Struct, frozen=True, tag=True):
    """Make a schedule smaller."""

    schedule: Schedule
    limits: ShrinkLimits = DEFAULT_SHRINK


class Tell(msgspec.Struct, frozen=True, tag=True):
    """Run a schedule once and tell its course; the files as it leaves them go to `keep`, if that is not empty."""

    schedule: Schedule
    keep: str = ""


Order = Explore | Replay | Shrink | Tell


class Says(msgspec.Struct, frozen=True):
    """One word of an answer; the last has `done`. `stuck`: why the process is of no more use."""

    counted: Counted | None = None
    failure: Failure | None = None
    replayed: Replayed | None = None
    shrunk: Shrunk | None = None
    told: Ran | None = None
    stuck: str = ""
    error: str = ""
    kind: str = ""
    done: bool = False
