"""Kills under each policy: on `agent_memory` with all its checks, and on a database that is too large for those."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Final

import msgspec

from crashlab.engine.road import RealRoad
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError
from crashlab.faults.kill import Kill
from crashlab.model.case import Case, Param
from crashlab.model.finding import Verdict
from crashlab.model.phase import Phase
from crashlab.model.seed import rng_for, subseed
from crashlab.writers.order import Moment
from harness.memory_policies.children import CHECKPOINT, quiet, write_until_killed
from store import MessageLog, StoreDamaged

MEMORY: Final = Subject("memory", "harness.workloads.agent_memory:workload")
SLOTS: Final = 3
_ROWS: Final = ("durability", "order", "atomicity")
_ACKS_MAX: Final = 110
_ANSWER_S: Final = 60.0


class Kills(msgspec.Struct, frozen=True):
    """What kills did: those that hit, with acked rows lost, with a damaged file or index, with anything else."""

    hit: int = 0
    lost: int = 0
    malformed: int = 0
    other: int = 0
    in_checkpoint: int = 0


def kill_memory(mode: str, readers: int, count: int, seed: int) -> Kills:
    """Kill the workload `agent_memory` at drawn acks and, as often, in its checkpoints every 50 writes.

    Raises:
        LabError: a trial broke.
    """
    params: dict[str, Param] = {"checkpoint_mode": mode, "reader": "process" if readers else "none"}
    cases = [Case(MEMORY.name, subseed(seed, number), _fault(subseed(seed, number)), params) for number in range(count)]
    with Workspace() as workspace, ThreadPoolExecutor(SLOTS) as executor:
        road = RealRoad(MEMORY, workspace)
        try:
            outcomes = list(executor.map(lambda case: road.run(case, case.case_id, keep=False), cases))
        finally:
            road.close()
    if broken := [outcome.error for outcome in outcomes if outcome.verdict is Verdict.ERROR]:
        raise LabError(f"{len(broken)} of {count} trials broke, first: {broken[0]}")
    hit = [outcome for outcome in outcomes if outcome.verdict in (Verdict.PASS, Verdict.FAIL)]
    found = [{(f.identity.oracle, f.identity.invariant) for f in outcome.findings} for outcome in hit]
    lost = sum(any(oracle in _ROWS for oracle, _ in each) for each in found)
    malformed = sum(any(o == "integrity" or i == "fts-agrees" for o, i in each) for each in found)
    other = sum(bool(each) for each in found) - sum(
        any(o in (*_ROWS, "integrity") or i == "fts-agrees" for o, i in each) for each in found
    )
    return Kills(len(hit), lost, malformed, other, sum(Phase.CHECKPOINT in o.phase.split(",") for o in hit))


def _fault(seed: int) -> str:
    rng = rng_for(seed, "kill")
    if rng.random() < 0.5:
        return str(Kill(Moment.ACK, n=rng.randint(1, _ACKS_MAX), delay_us=rng.randint(0, 300)))
    return str(Kill(Moment.PHASE, Phase.CHECKPOINT, 1, rng.randint(1, 400)))


def kill_on(context: SpawnContext, path: Path, mode: str, count: int, seed: int, *, window_s: float) -> Kills:
    """Kill a writer in or after a drawn checkpoint, restart, look, `count` times on one file; damage would stay.

    Each kill comes up to `window_s` after the checkpoint began. After each the restart's own check, the acked rows and
    `quick_check`; at the end `integrity_check` and both indexes.

    Raises:
        LabError: a writer ended by itself.
    """
    quiet()
    lost = malformed = inside = 0
    for number in range(count):
        rng = rng_for(seed, "trial", number)
        acked, died_inside = _one_kill(
            context, path, mode, f"{seed}-{number}", rng.randint(1, 2), rng.uniform(0, window_s)
        )
        inside += died_inside
        try:
            with MessageLog(path) as log:
                here = dict(
                    log._read("SELECT message_key, 1 FROM messages WHERE message_key LIKE ?", (f"{seed}-{number}-%",))
                )
                lost += any(key not in here for key in acked)
        except StoreDamaged:
            return Kills(number + 1, lost, malformed + 1, 0, inside)
        malformed += _problem(path, "quick_check")
    with MessageLog(path) as log:
        disagree = bool(log.fts_disagreements(thorough=False))
    return Kills(count, lost, min(malformed + (disagree or _problem(path, "integrity_check")), count), 0, inside)


def _one_kill(
    context: SpawnContext, path: Path, mode: str, name: str, checkpoint: int, delay_s: float
) -> tuple[list[str], bool]:
    """The keys that were acked, and whether the writer died in a checkpoint."""
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=write_until_killed, args=(str(path), mode, name, subseed(0, name), sender), daemon=True
    )
    process.start()
    sender.close()
    told: list[str] = []
    try:
        while told.count(CHECKPOINT) < checkpoint:
            if not receiver.poll(_ANSWER_S):
                raise LabError(f"the writer said nothing for {_ANSWER_S:g} s")
            told.append(receiver.recv())
        time.sleep(delay_s)
        process.kill()
        told += _rest(receiver)
    except EOFError:
        process.join()
        raise LabError(f"the writer ended by itself with {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
        receiver.close()
    return [key for key in told if key != CHECKPOINT], told[-1] == CHECKPOINT


def _rest(receiver: Connection) -> list[str]:
    rest = []
    while True:
        try:
            rest.append(receiver.recv())
        except (EOFError, OSError):  # the last word may be half a word
            return rest


def _problem(path: Path, check: str) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        try:
            return bool(connection.execute(f"PRAGMA {check}(1)").fetchone()[0] != "ok")
        except sqlite3.DatabaseError:
            return True
