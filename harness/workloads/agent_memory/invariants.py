"""What must hold of the agent's memory beside its rows; judged after the restart, from the files and the log.

Each of these has a planted bug in `harness.planted.memory` that breaks it.
"""

import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from crashlab.model.contract import FaultClass
from crashlab.model.history import History, PhaseRecord, StepRecord, StepState
from crashlab.model.phase import MARK_CHECKPOINT, MARK_CLOSE, MARK_COMMIT
from crashlab.model.workload import Check
from harness.workloads.agent_memory.activity import RETRY_NOTE, SEARCH_NOTE
from harness.workloads.agent_memory.lanes import MAIN, TORN_NOTE
from harness.workloads.agent_memory.texts import MESSAGES, SESSIONS, token
from harness.workloads.io_errors import io_error_surfaces as io_error_surfaces_there
from harness.workloads.watch import Round, rounds, said
from store.checkpoint import TRUNCATE
from store.message_log import fts_disagreements
from store.message_log.records import SUMMARY
from store.message_log.schema import APPLICATION_ID, INDEXES, triggers

if TYPE_CHECKING:
    from harness.workloads.agent_memory.program import AgentProcess

OPENED_NOTE: Final = "memory: opened"
CLOSED_NOTE: Final = "closed: wal bytes "
SPECIAL_NOTE: Final = "special step "
VACUUM: Final = "vacuum"
UPGRADE: Final = "upgrade"
SEARCHED: Final = 4  # acked messages that are searched for after the restart

_NAMED: Final = frozenset(
    {SESSIONS, MESSAGES, "messages_session"}
    | {index.table for index in INDEXES}
    | {f"{index.table}_{event}" for index in INDEXES for event in triggers(index.table)}
)


def fts_agrees(_agent: "AgentProcess", connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """Both indexes hold the words of every message and no others, after the restart and in every snapshot."""
    for found in fts_disagreements(connection):
        yield f"{found.table}: message {found.message_id}: {found.problem}"
    yield from _noted(history, TORN_NOTE)


def search_finds_acked(agent: "AgentProcess", _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """A search that begins after the ack of a message finds it, through either index; so after the restart."""
    yield from _noted(history, SEARCH_NOTE)
    for number, content in _certain_messages(history)[-SEARCHED:]:
        row = agent.store.get_message(number)
        if row is None or row.content != content:
            continue  # durability has it
        for trigram, query in ((False, token(content)), (True, token(content)[1:-1])):
            if number not in {hit.message.message_id for hit in agent.store.search(query, trigram=trigram, limit=1000)}:
                yield f"message {number} is in the table and a search does not find it, trigram={trigram}"


def messages_have_sessions(_agent: "AgentProcess", connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    """No message without its session."""
    orphans = connection.execute(
        "SELECT count(*), min(message_id) FROM messages WHERE session_id NOT IN (SELECT session_id FROM sessions)"
    ).fetchone()
    if orphans[0]:
        yield f"{orphans[0]} messages without their session, first {orphans[1]}"


def compaction_atomic(_agent: "AgentProcess", connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """The summary is there if and only if the messages that it stands for are gone."""
    later: set[int] = set()
    for step in sorted(_main_steps(history), key=lambda step: -step.begin_seq):
        effects = [effect for effect in step.effects if effect.table == MESSAGES]
        numbers = {effect.key[0] for effect in effects}
        summary = next((effect for effect in effects if effect.value and effect.value[1] == SUMMARY), None)
        if summary is not None and len(effects) > 1 and not numbers & later:
            rows = {number: _message(connection, number) for number in numbers}
            summed = rows[summary.key[0]] == (SUMMARY, summary.value[2] if summary.value else None)
            left = [number for number, row in rows.items() if row is not None and number != summary.key[0]]
            gone = len(numbers) - 1 - len(left)
            if summed and left:
                yield f"message {summary.key[0]} is a summary, and {len(left)} of the messages it stands for are there"
            if not summed and gone:
                yield f"{gone} messages were compacted away, and message {summary.key[0]} is not their summary"
        later |= numbers


def idempotent(agent: "AgentProcess", connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """A step that is repeated answers as before and changes nothing, in the run and by a restarted program."""
    yield from _noted(history, RETRY_NOTE)
    for number, content in _certain_messages(history)[-1:]:
        row = agent.store.get_message(number)
        if row is None or row.content != content or row.message_key is None:
            continue
        session = agent.store.get_session(row.session_id)
        if session is None or session.ended_at is not None:
            continue
        (before,) = connection.execute("SELECT count(*) FROM messages").fetchone()
        again = agent.store.append(row.session_id, row.role, content, key=row.message_key)
        (after,) = connection.execute("SELECT count(*) FROM messages").fetchone()
        if (again, after) != (number, before):
            yield f"message {number}, appended again after the restart, became {again}; {before} rows became {after}"


def cadence(agent: "AgentProcess", _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """The write counter counts every commit: a checkpoint after each `checkpoint_every` of them, no other."""
    every = int(agent.params["checkpoint_every"])
    counted = 0
    for phase in _periodic(history):
        if phase.name == MARK_COMMIT:
            if every and counted >= every:
                yield f"a commit after {counted} others without a checkpoint, expected one every {every}"
                return
            counted += 1
        elif not every or counted != every:
            yield f"a checkpoint after {counted} commits, expected one every {every}"
            return
        else:
            counted = 0


def checkpoint_modes(agent: "AgentProcess", _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """The periodic checkpoints are of the mode that was asked for, and TRUNCATE comes before VACUUM."""
    wanted = agent.params["checkpoint_mode"]
    for phase in _periodic(history):
        if phase.name == MARK_CHECKPOINT and phase.detail != wanted:
            yield f"a periodic wal_checkpoint({phase.detail}), expected {wanted}"
            return
    for step in _special_steps(history, VACUUM):
        first = next((phase for phase in _writers_phases(history) if phase.enter_seq > step.begin_seq), None)
        if first is not None and (first.name, first.detail) != (MARK_CHECKPOINT, TRUNCATE):
            yield f"VACUUM began with {first.name} {first.detail}".rstrip() + f", expected {MARK_CHECKPOINT} {TRUNCATE}"


def checkpoint_failures_surface(
    _agent: "AgentProcess", _connection: sqlite3.Connection, history: History
) -> Iterator[str]:
    """A checkpoint that raises, or that another connection blocks, is logged: busy=1 raises nothing."""
    closing = _closing_ns(history)
    done = list(rounds(history))
    for step in _special_steps(history, UPGRADE):  # it closes a log: close() retries, and reports the last outcome
        inside = [each for each in done if step.begin_ns < each.ns and not 0 < step.end_ns < each.ns]
        done = [each for each in done if each not in inside[:-1]]
    failed = [each for each in done if each.raised or each.busy]
    told = [each for each in said(history) if each.text.startswith(("wal_checkpoint failed", "wal_checkpoint was b"))]
    # The record follows the failure by some instructions, in which a kill may come, or what a handler raises.
    running = [each for each in failed if each.ns < closing and _followed(history, each)]
    if len(running) > sum(each.ns < closing for each in told):
        yield f"{len(running)} checkpoints failed in the run, {len(told)} records were logged"
    at_close = [each for each in done if each.ns >= closing]
    if at_close and at_close[-1] in failed and _closed(history) is not None and not told:
        yield f"the last {at_close[-1].mode} checkpoint failed and nothing was logged"


def close_truncates(agent: "AgentProcess", _connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """After a clean close with no other reader the WAL is absent or empty."""
    left = _closed(history)
    last = next(reversed(list(rounds(history))), None)
    beside = agent.params["reader"] in ("process", "pinned") or agent.params["rival"]
    if left and not beside and not (last is not None and last.raised):
        yield f"the -wal holds {left} bytes after close()"


def schema_version(agent: "AgentProcess", connection: sqlite3.Connection, _history: History) -> Iterator[str]:
    """The restarted database is a message log of the newest version, with everything that version has."""
    expected = agent.store.migrations[-1].version
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    missing = _NAMED - {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if version != expected:
        yield f"schema version {version}, expected {expected}"
    if application != APPLICATION_ID:
        yield f"application_id {application}, expected {APPLICATION_ID}"
    if missing:
        yield f"version {version} without {', '.join(sorted(missing))}"


def io_error_surfaces(agent: "AgentProcess", connection: sqlite3.Connection, history: History) -> Iterator[str]:
    """An I/O error surfaces: as an exception of the step that met it, or as a record."""
    yield from io_error_surfaces_there(agent, connection, history)  # type: ignore[arg-type]


def _noted(history: History, start: str) -> Iterator[str]:
    return (note.text[len(start) :] for note in history.notes if note.text.startswith(start))


def _main_steps(history: History) -> list[StepRecord]:
    return [step for step in history.steps if step.process == 0 and step.lane == MAIN.name]


def _certain_messages(history: History) -> list[tuple[int, str]]:
    """Messages as acked steps left them, not touched by any other, the oldest first."""
    certain: dict[int, str] = {}
    for step in sorted(_main_steps(history), key=lambda step: step.begin_seq):
        for effect in step.effects:
            if effect.table == MESSAGES:
                certain.pop(effect.key[0], None)
                if step.state is StepState.ACKED and effect.value is not None:
                    certain[effect.key[0]] = effect.value[2]
    return list(certain.items())


def _message(connection: sqlite3.Connection, number: int) -> tuple[str, str] | None:
    row: tuple[str, str] | None = connection.execute(
        "SELECT role, content FROM messages WHERE message_id = ?", (number,)
    ).fetchone()
    return row


def _writers_phases(history: History) -> Iterator[PhaseRecord]:
    """The writer's commits and checkpoints before its close, in order."""
    closing = _closing_ns(history)
    for phase in sorted(history.phases, key=lambda phase: phase.enter_seq):
        if phase.name in (MARK_COMMIT, MARK_CHECKPOINT) and not phase.process and phase.enter_ns < closing:
            yield phase


def _special_steps(history: History, kind: str = "") -> list[StepRecord]:
    """The steps that a note says are special, of one kind or all."""
    kinds = {int(number): what for number, _, what in (note.partition(" ") for note in _noted(history, SPECIAL_NOTE))}
    return [step for step in _main_steps(history) if step.seq in kinds and kind in ("", kinds[step.seq])]


def _periodic(history: History) -> Iterator[PhaseRecord]:
    """What the write counter of the log that was opened last is answerable for, in order."""
    opened = next((note.ns for note in reversed(history.notes) if note.text == OPENED_NOTE), None)
    special = _special_steps(history)
    for phase in _writers_phases(history) if opened is not None else ():
        inside = any(s.begin_seq < phase.enter_seq and not 0 < s.end_seq < phase.enter_seq for s in special)
        if phase.enter_ns > (opened or 0) and not inside:
            yield phase


def _closing_ns(history: History) -> float:
    return next((p.enter_ns for p in history.phases if p.name == MARK_CLOSE and not p.process), float("inf"))


def _closed(history: History) -> int | None:
    """The size of the WAL after close() returned, None if it did not."""
    return next((int(text) for text in _noted(history, CLOSED_NOTE)), None)


def _followed(history: History, done: Round) -> bool:
    """Whether the program went on after the checkpoint: its step ended, or came to its close outside any."""
    steps = _main_steps(history)
    if any(step.begin_ns < done.ns and not step.end_ns for step in steps):
        return False
    return any(step.begin_ns > done.ns for step in steps) or _closing_ns(history) < float("inf")


_ALL: Final = (
    fts_agrees,
    search_finds_acked,
    messages_have_sessions,
    compaction_atomic,
    cadence,
    checkpoint_modes,
    checkpoint_failures_surface,
    close_truncates,
    schema_version,
    io_error_surfaces,
    idempotent,  # last: it writes
)

# A disk may make a checkpoint or a commit fail; what the log then does is for the other checks to judge.
_NOT_WITH_BAD_DISKS: Final = {close_truncates, cadence}

CHECKS: Final = tuple(
    Check(
        check.__name__.replace("_", "-"),
        check,
        (FaultClass.IO_ERROR, FaultClass.INTERFERENCE) if check in _NOT_WITH_BAD_DISKS else (),
    )
    for check in _ALL
)
