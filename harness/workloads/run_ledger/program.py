"""The run ledger at work: processes that own runs, cancel each other's, reap and adopt them, on one file.

One process an owner, which the fault hits, one a rival, further workers, and a reaper. They play the scenes of
`scenes`, each of which a broken ledger is known to lose, in an order drawn from the seed.
"""

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from crashlab.model.case import Param
from crashlab.model.contract import Contract, Durability, Promise
from crashlab.model.seed import rng_for
from crashlab.model.step import Lane, Step
from crashlab.model.workload import Context
from harness.workloads.run_ledger.clock import SharedClock
from harness.workloads.run_ledger.invariants import CHECKS, REQUIREMENTS
from harness.workloads.run_ledger.journal import keep_journal
from harness.workloads.run_ledger.model import TABLES
from harness.workloads.run_ledger.old_file import make_old_file
from harness.workloads.run_ledger.pause import tell_pid
from harness.workloads.run_ledger.plan import Cast, make_cast
from harness.workloads.run_ledger.role import STARTS_TOGETHER, Role
from harness.workloads.run_ledger.scenes import CAP, SCENES, make_plan
from harness.workloads.run_ledger.stage import Stage
from harness.workloads.run_ledger.wires import Wires
from store import RunLedger, StoreError

OPENED, OLD_FILE, HERE = "opened", "old-file", "here"
START_S: Final = 10.0
STARTS_MAX, AGAIN_S = 5, 0.01
ALONE_BUSY_S: Final = 0.05
"""In one thread nobody else can release a lock while a ledger waits for it."""

_WORKERS_MAX: Final = 8

DEFAULTS: Final[Mapping[str, Param]] = {
    "workers": 2,
    "reaper": True,
    "scenes": len(SCENES),
    "old_file": False,
    "wal_autocheckpoint": 1000,
    "synchronous": "FULL",
}
"""What a case may vary.

`workers` processes, 1 for all roles in one thread (owner, rival and reaper, each with a ledger of its own: the
same operations in the same order each time, and nothing but process 0 writes); `reaper` a process of its own, or
the rival reaps; `scenes` of the plan; `old_file` starts from a file of the first release, which all processes
migrate at once; `wal_autocheckpoint` frames, 0 for off; `synchronous` OFF, NORMAL, FULL or EXTRA.
"""

_CHOICES: Final[Mapping[str, tuple[Param, ...]]] = {
    "synchronous": ("OFF", "NORMAL", "FULL", "EXTRA"),
    "workers": tuple(range(1, _WORKERS_MAX + 1)),
}


class LedgerProcess:
    """One process's handle: the roles that it plays."""

    def __init__(self, roles: Sequence[Role]) -> None:
        self.roles = {role.name: role for role in roles}

    @property
    def ledger(self) -> RunLedger:
        """The ledger of the first role."""
        return next(iter(self.roles.values())).ledger

    def close(self) -> None:
        """Close the ledgers; all of them even if one raises."""
        errors: list[Exception] = []
        for role in self.roles.values():
            try:
                role.ledger.close()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]


class RunLedgers:
    """The workload over any class of run ledgers; `params` override the defaults for this subject.

    Contract: a process death loses nothing that was acked, at any `synchronous`. A power loss under NORMAL may
    take the last acked steps, under OFF anything. Interference: damage that the start-up check can see is
    refused. A restart of the ledger fails no run by itself: that is the reaper's business.
    """

    contract = Contract(interference=Promise(Durability.ALL, may_refuse=True))
    tables = TABLES
    checks = CHECKS
    requirements = REQUIREMENTS

    def __init__(self, ledger_class: type[RunLedger] = RunLedger, **params: Param) -> None:
        unknown = params.keys() - DEFAULTS.keys()
        if unknown:
            raise ValueError(f"unknown parameters {sorted(unknown)}; known: {sorted(DEFAULTS)}")
        self._ledger_class = ledger_class
        self.params: Mapping[str, Param] = {**DEFAULTS, **params}

    def open(self, ctx: Context) -> LedgerProcess:
        """Start the roles of this process; an old file is opened and migrated by all processes at once."""
        _check(ctx.params)
        cast = _cast(ctx)
        clock = _clock(ctx, cast)
        mine = [role for role in cast.roles if cast.process(role) == ctx.process]
        if ctx.params["old_file"]:
            self._meet_at_old_file(ctx, cast, clock)
        elif ctx.process:
            ctx.await_signal(OPENED, START_S)
        first = Role(ctx, mine[0], clock, self._start)
        if not cast.alone:
            tell_pid(ctx)
        if ctx.process == 0:
            keep_journal(first.connection)
            ctx.signal(OPENED)
        else:
            ctx.await_signal(OPENED, START_S)
        return LedgerProcess([first, *(Role(ctx, name, clock, self._start) for name in mine[1:])])

    def restart(self, ctx: Context) -> LedgerProcess:
        """The ledger's own start-up path: check, open, migrate."""
        return LedgerProcess([Role(ctx, "restarted", _clock(ctx, _cast(ctx)), self._opened)])

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        """One lane a process; the others outlive the owner's close, so its WAL may, too."""
        cast = _cast(ctx)
        if cast.alone:
            return (Lane("main"),)
        return tuple(Lane(role, cast.process(role), pins=cast.process(role) > 0) for role in cast.roles)

    def steps(self, lane: Lane, instance: Any, ctx: Context) -> Iterator[Step]:
        """The steps of one process."""
        cast = _cast(ctx)
        plan = make_plan(cast, rng_for(ctx.seed, "plan"), int(ctx.params["scenes"]))
        roles: dict[str, Role] = instance.roles
        yield from Stage(ctx, cast, plan, roles).steps()

    def _meet_at_old_file(self, ctx: Context, cast: Cast, clock: SharedClock) -> None:
        """Process 0 writes the file when all others are there; then all go on at once."""
        if ctx.process:
            ctx.signal(f"{HERE}.{ctx.process}")
            ctx.await_signal(OLD_FILE, START_S)
            return
        make_old_file(self._ledger_class, ctx.database, connect=Wires(ctx, "first release"), clock=clock)
        for process in {cast.process(role) for role in cast.roles} - {0}:
            ctx.await_signal(f"{HERE}.{process}", START_S)
        ctx.signal(OLD_FILE)

    def _start(self, role: Role) -> RunLedger:
        """Start a role's program; one that does not come up is started again, as its operator would."""
        for _ in range(STARTS_MAX - 1):
            try:
                return self._opened(role)
            except (StoreError, sqlite3.Error) as error:
                role.complain(STARTS_TOGETHER, f"its start raised {type(error).__name__}: {error}")
                time.sleep(AGAIN_S)
        return self._opened(role)

    def _opened(self, role: Role) -> RunLedger:
        ctx = role.ctx
        role.lives += 1
        role.wires = Wires(
            ctx, f"{role.name}.{role.lives}", stretched=bool(ctx.params["old_file"]) and ctx.params["workers"] != 1
        )
        ledger = self._ledger_class(
            ctx.database, connect=role.wires, clock=role.now, instance=role.name, max_active_per_agent=CAP
        )
        if ctx.params["workers"] == 1:
            ledger.BUSY_TIMEOUT_S = ALONE_BUSY_S  # type: ignore[misc]
        role.ledger = ledger  # before it opens anything: whatever interrupts it, the role's close() closes it
        ledger.initialize_database()
        role.wires.at_full_speed()
        return ledger


def _cast(ctx: Context) -> Cast:
    return make_cast(int(ctx.params["workers"]), reaper=bool(ctx.params["reaper"]))


def _clock(ctx: Context, cast: Cast) -> SharedClock:
    return SharedClock(ctx, len({cast.process(role) for role in cast.roles}))


def _check(params: Mapping[str, Param]) -> None:
    for name, choices in _CHOICES.items():
        if params[name] not in choices:
            raise ValueError(f"{name}={params[name]!r}, expected one of {', '.join(map(str, choices))}")
    if not int(params["scenes"]) > 0:
        raise ValueError(f"scenes={params['scenes']!r}, expected at least 1")


workload = RunLedgers()
