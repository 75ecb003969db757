"""An agent's memory at work: chat turns, edits, compactions, searches, VACUUM, with readers beside the writer.

One lane writes through one `MessageLog`, whose write counter brings on the checkpoints. Beside it, if the case
wants them: threads that search through the log's pool, a process with a pool of its own that reads snapshot
after snapshot or pins one, and a process that takes the write lock now and then.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from crashlab.model.case import Param
from crashlab.model.contract import Contract, Durability, Promise
from crashlab.model.step import Effect, Lane, Row, Step
from crashlab.model.workload import Context
from harness.workloads.agent_memory.activity import Activity, Now, steps
from harness.workloads.agent_memory.invariants import CHECKS, CLOSED_NOTE, OPENED_NOTE, SPECIAL_NOTE, UPGRADE, VACUUM
from harness.workloads.agent_memory.lanes import (
    MAIN,
    OPENED,
    READER,
    READING,
    RIVAL,
    SEARCHERS,
    Beside,
    hold_snapshot,
    hold_write_lock,
    read_on,
    searcher,
)
from harness.workloads.agent_memory.model import Memory
from harness.workloads.agent_memory.restore import back_up, restore
from harness.workloads.agent_memory.texts import MESSAGES, SESSIONS, TABLES
from harness.workloads.agent_memory.watch import CheckpointWatch, WatchedLog, watched
from harness.workloads.studied import PollingReader
from harness.workloads.watch import StoreNotes
from store import MessageLog
from store.message_log.schema import INDEXES, Index

DEFAULTS: Final[Mapping[str, Param]] = {
    "steps": 120,
    "checkpoint_mode": "PASSIVE",
    "checkpoint_every": 50,
    "wal_autocheckpoint": 1000,
    "synchronous": "FULL",
    "reader": "none",
    "poll_s": 1.0,
    "poll_hold_s": 0.05,
    "searches": 20,
    "rival": False,
    "second_connection": False,
    "vacuum_every": 45,
    "upgrade_at": 0,
    "restore_at": 0,
    "fail_checkpoint": 0,
    "busy_s": 0.05,
    "close_wait_s": 0.02,
}
"""What a case may vary.

`steps` of the writing lane; `checkpoint_mode` PASSIVE or TRUNCATE, every `checkpoint_every` writes, 0 for
never; `wal_autocheckpoint` frames, 0 for off; `synchronous` OFF, NORMAL, FULL or EXTRA; `reader` none, threads
(two that make `searches` each), process (snapshot after snapshot), polling (a thread that reads every `poll_s` or
so for `poll_hold_s`, both of the clock) or pinned (one snapshot throughout); `rival` another process that takes the
write lock; `second_connection` keeps an idle one open beyond close(), so that
SQLite's own clean-up at the last close does not hide a missing one; `vacuum_every` so many steps, 0 for never;
`upgrade_at` the step at which a log of schema version 1 is closed and opened by the newest, 0 for new from the
start; `restore_at` the step at which the backup made half-way there is restored, 0 for never; `fail_checkpoint`
which checkpoint runs inside an open transaction, which SQLite refuses, 0 for none; `busy_s` how long SQLite waits
for locks, `close_wait_s` how long close() does.
"""

BACKUP: Final = "backup.db"

_CHOICES: Final[Mapping[str, tuple[Param, ...]]] = {
    "synchronous": ("OFF", "NORMAL", "FULL", "EXTRA"),
    "reader": ("none", "threads", "process", "polling", "pinned"),
}


class AgentProcess:
    """The program's handle: the log, what the agent knows to be in it, and what the lab needs beside it."""

    def __init__(self, store: WatchedLog, now: Now, ctx: Context, notes: StoreNotes | None) -> None:
        self.store: MessageLog = store
        self.memory = Memory()
        self.now = now
        self.params = ctx.params
        self.saved: Memory | None = None  # what the backup holds
        self.second_connection: sqlite3.Connection | None = None
        self.polling: PollingReader | None = None
        self._ctx = ctx
        self._notes = notes

    @property
    def indexes(self) -> tuple[Index, ...]:
        """The indexes that the log of this version has."""
        return INDEXES[: self.store.migrations[-1].version]

    def note(self, text: str) -> None:
        """Put a remark in the run's log."""
        self._ctx.note(text)

    def close(self) -> None:
        """Close the log the way the agent does, and note what it left beside the database."""
        if self.polling is not None:
            self.polling.close()
        try:
            self.store.close()
        finally:
            if self._notes is not None:
                self._notes.detach()
        wal = Path(f"{self._ctx.database}-wal")
        self._ctx.note(f"{CLOSED_NOTE}{wal.stat().st_size if wal.exists() else 0}")


class AgentMemory:
    """The workload over any class of message logs; `params` override the defaults for this subject.

    Contract: a process death loses nothing that was acked, at any `synchronous`. A power loss under NORMAL may
    take the last acked steps, under OFF anything. Interference: damage that the start-up check can see is
    refused; it reads no index of its own accord, so damage inside one is for `fts_disagreements` to find.
    """

    contract = Contract(interference=Promise(Durability.ALL, may_refuse=True))
    tables = TABLES
    checks = CHECKS
    requirements: Mapping[str, tuple[str, ...]] = {
        "the indexes agree with their table": ("fts-agrees", "search-finds-acked", "schema-version"),
        "a conversation is whole": ("messages-have-sessions", "compaction-atomic", "idempotent"),
        "checkpoint hardening": ("cadence", "checkpoint-modes", "close-truncates"),
        "no silent failures": ("checkpoint-failures-surface", "io-error-surfaces"),
    }

    def __init__(self, log_class: type[MessageLog] = MessageLog, **params: Param) -> None:
        unknown = params.keys() - DEFAULTS.keys()
        if unknown:
            raise ValueError(f"unknown parameters {sorted(unknown)}; known: {sorted(DEFAULTS)}")
        self._log_class = log_class
        self.params: Mapping[str, Param] = {**DEFAULTS, **params}

    def open(self, ctx: Context) -> AgentProcess | Beside:
        """Start the agent (process 0), or one of the others once it is up."""
        if ctx.process:
            return Beside(ctx)
        _check(ctx.params)
        notes = StoreNotes(ctx)
        now = Now(ctx.clock)
        log_class = self._log_class
        if ctx.params["upgrade_at"]:
            log_class = type(f"First{log_class.__name__}", (log_class,), {"migrations": log_class.migrations[:1]})
        agent = AgentProcess(self._open_log(ctx, log_class, now, CheckpointWatch(ctx)), now, ctx, notes)
        if ctx.params["second_connection"]:
            agent.second_connection = _idle_connection(ctx)
        if ctx.params["reader"] == "polling":
            poll_s, hold_s = float(ctx.params["poll_s"]), float(ctx.params["poll_hold_s"])
            agent.polling = PollingReader(ctx, f"SELECT count(*) FROM {MESSAGES}", poll_s, hold_s)
        ctx.note(OPENED_NOTE)
        ctx.signal(OPENED)
        return agent

    def restart(self, ctx: Context) -> AgentProcess:
        """The log's own start-up path: check, open, migrate."""
        now = Now(ctx.clock)
        return AgentProcess(self._open_log(ctx, self._log_class, now, None), now, ctx, None)

    def _open_log(
        self, ctx: Context, log_class: type[MessageLog], now: Now, watch: CheckpointWatch | None
    ) -> WatchedLog:
        log = watched(log_class)(
            ctx.database,
            connect=_Connect(ctx),
            clock=now,
            checkpoint_mode=str(ctx.params["checkpoint_mode"]),
            checkpoint_every=int(ctx.params["checkpoint_every"]),
        )
        if watch is not None:
            log.BUSY_TIMEOUT_S = float(ctx.params["busy_s"])  # type: ignore[misc]
        log.CLOSE_WAIT_S = float(ctx.params["close_wait_s"])  # type: ignore[misc]
        log.watch = watch
        log.initialize_database()
        return log

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        """The writing lane and those beside it."""
        reader = ctx.params["reader"]
        lanes = [MAIN]
        if reader == "threads":
            lanes += SEARCHERS
        elif reader in ("process", "pinned"):
            lanes.append(READER)
        if ctx.params["rival"]:
            lanes.append(RIVAL)
        return tuple(lanes)

    def steps(self, lane: Lane, instance: Any, ctx: Context) -> Iterator[Step]:
        """The steps of one lane; the lanes of other processes have none, they only read or hold a lock."""
        if lane.name == RIVAL.name:
            hold_write_lock(ctx)
        elif lane.process:
            (hold_snapshot if ctx.params["reader"] == "pinned" else read_on)(instance, ctx)
        elif lane.name != MAIN.name:
            yield from searcher(lane, instance, ctx)
        else:
            if ctx.params["reader"] in ("process", "pinned"):
                ctx.await_signal(READING)
            activity = Activity(instance, ctx.seed)
            yield from steps(activity, int(ctx.params["steps"]), partial(self._special, instance, ctx, activity))

    def _special(self, agent: AgentProcess, ctx: Context, activity: Activity, number: int) -> Step | None:
        """The step that the parameters put at this place, if any."""
        vacuum_every, restore_at = int(ctx.params["vacuum_every"]), int(ctx.params["restore_at"])
        act: Callable[[], object]
        effects: tuple[Effect, ...] = ()
        if number and number == ctx.params["upgrade_at"]:
            kind, act = UPGRADE, partial(self._upgrade, agent, ctx)
        elif restore_at and number == restore_at // 2:
            kind, act = "backup", partial(self._back_up, agent, ctx)
        elif restore_at and number == restore_at and agent.saved is not None:
            effects = tuple(_differences(agent.memory, agent.saved))
            kind, act = "restore", partial(self._restore, agent, ctx)
        elif vacuum_every and number % vacuum_every == vacuum_every - 1:
            kind, act = VACUUM, agent.store.vacuum
        else:
            return None
        ctx.note(f"{SPECIAL_NOTE}{number} {kind}")
        return activity.special(number, act, effects)

    def _upgrade(self, agent: AgentProcess, ctx: Context) -> None:
        """The program is replaced by its newest version, which migrates the file."""
        watch = agent.store.watch if isinstance(agent.store, WatchedLog) else None
        agent.store.close()
        agent.store = self._open_log(ctx, self._log_class, agent.now, watch)
        ctx.note(OPENED_NOTE)

    def _back_up(self, agent: AgentProcess, ctx: Context) -> None:
        back_up(agent.store, ctx.directory / BACKUP)
        agent.saved = agent.memory.copy()

    def _restore(self, agent: AgentProcess, ctx: Context) -> None:
        self._put_back(agent, ctx, ctx.directory / BACKUP)
        assert agent.saved is not None
        agent.memory.last_message, agent.memory.last_session = agent.saved.last_message, agent.saved.last_session

    def _put_back(self, agent: AgentProcess, _ctx: Context, copy: Path) -> None:
        """How this program restores a backup."""
        restore(agent.store, copy)


def _differences(now: Memory, then: Memory) -> Iterator[Effect]:
    for table, here, there in ((MESSAGES, now.messages, then.messages), (SESSIONS, now.sessions, then.sessions)):
        rows: Mapping[int, Row] = there
        yield from (
            Effect(table, (number,), rows.get(number))
            for number in sorted(here.keys() | rows.keys())
            if here.get(number) != rows.get(number)
        )


class _Connect:
    """The lab's `connect` with the case's settings on every connection that writes."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def __call__(self, *args: Any, **options: Any) -> sqlite3.Connection:
        connection = self._ctx.connect(*args, **options)
        if not options.get("uri"):  # the log's read-only ones look at files that may be damaged
            connection.execute(f"PRAGMA synchronous = {self._ctx.params['synchronous']}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {int(self._ctx.params['wal_autocheckpoint'])}")
        return connection


def _idle_connection(ctx: Context) -> sqlite3.Connection:
    # Not the lab's connect: its close must not look like the log's.
    connection = sqlite3.connect(ctx.database, isolation_level=None, check_same_thread=False)
    connection.execute("SELECT count(*) FROM sessions").fetchall()
    return connection


def _check(params: Mapping[str, Param]) -> None:
    for name, choices in _CHOICES.items():
        if params[name] not in choices:
            raise ValueError(f"{name}={params[name]!r}, expected one of {', '.join(map(str, choices))}")


workload = AgentMemory()
