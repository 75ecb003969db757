"""What a writer process is told to do, as plain data that crosses a socket or a pipe."""

from enum import StrEnum

import msgspec

from crashlab.model.case import Param

TICK_S = 0.004
"""Seconds of the clock per step, where nobody says otherwise."""


class Moment(StrEnum):
    """What the writer counts to find its crash point."""

    START = "start"
    ACK = "ack"
    PHASE = "phase"


class Action(StrEnum):
    """What happens at the crash point."""

    KILL = "kill"
    HANG_UP = "hangup"


class Trigger(msgspec.Struct, frozen=True):
    """A crash point: at the `n`-th moment of the kind, `delay_us` microseconds later, do `action`."""

    moment: Moment
    action: Action = Action.KILL
    phase: str = ""
    n: int = 1
    delay_us: int = 0


class OnHangUp(StrEnum):
    """What the program does about SIGHUP: four kinds seen in the field."""

    DEFAULT = "default"
    IGNORE = "ignore"
    PRINT = "print"
    HANDLE = "handle"


class HangUp(msgspec.Struct, frozen=True):
    """A terminal that goes away: SIGHUP, then `grace_s` seconds, then SIGKILL."""

    on: OnHangUp = OnHangUp.DEFAULT
    grace_s: float = 5.0


class ClockKind(StrEnum):
    """What moves the run's clock: steps, steps with a rendezvous of everybody who waits, or real time."""

    STEPPED = "stepped"
    RENDEZVOUS = "rendezvous"
    REAL = "real"


class TapPlan(msgspec.Struct, frozen=True):
    """What the tap does in process 0: record, seed SQLite's randomness, kill or fail at one selected call.

    `selector` is the text form of `crashlab.sqlite.tap.selector`. `failure` empty with a selector means: kill
    there, torn at `torn_bytes` if that is not negative. `failure` is one of `crashlab.sqlite.tap.Failure`.
    `directory_syncs=False` records as if directories were never synced.
    """

    record: bool = False
    seed: int | None = None
    selector: str = ""
    torn_bytes: int = -1
    failure: str = ""
    persistent: bool = False
    directory_syncs: bool = True


class Order(msgspec.Struct, frozen=True):
    """One run of a workload in `directory`, which exists, is empty and belongs to this run alone.

    `workload` is `module:attr`. `steps_max` bounds each lane; `tick_s` is the stepped clock's seconds per
    step, the real clock's from the beginning of one to the next. `probe` asks for the effective settings of every
    connection in the log.
    """

    directory: str
    database: str
    workload: str
    seed: int
    params: dict[str, Param] = {}
    trigger: Trigger | None = None
    hangup: HangUp | None = None
    deadline_s: float = 20.0
    steps_max: int = 100_000
    tick_s: float = TICK_S
    probe: bool = False
    tap: TapPlan | None = None
    log_bytes_max: int = 64 << 20
    clock: ClockKind = ClockKind.STEPPED


def log_base(directory: str, process: int) -> str:
    """Return the base path of a process's log inside a run's directory."""
    return f"{directory}/log.{process}"
