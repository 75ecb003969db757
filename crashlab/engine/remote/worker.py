"""A worker's side: runs one trial of any subject, with roads that stay warm for as long as the process lives."""

import atexit
import os
import platform
import threading
import traceback

import msgspec

from crashlab.engine.environment import environment_stamp
from crashlab.engine.remote.carry import pack
from crashlab.engine.remote.order import TrialAnswer, TrialOrder, Versions, own_versions
from crashlab.engine.roads import BothRoads
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.errors import CrashlabError

SUBJECTS_MAX = 4
"""Roads that one process keeps warm; a worker of a cluster outlives many campaigns."""

_lock = threading.Lock()
_workspace: Workspace | None = None
_roads: dict[bytes, tuple[BothRoads, Versions]] = {}
_busy: dict[bytes, int] = {}


def run_order(data: bytes) -> bytes:
    """Run one trial; called by name in a process pool or on a cluster. Takes a TrialOrder and returns a TrialAnswer.

    Running an order twice does no harm: nothing outlives it but what it returns.
    """
    order = msgspec.msgpack.decode(data, type=TrialOrder)
    return msgspec.msgpack.encode(_run(order))


def own_versions_bytes() -> bytes:
    """Return this process's versions; the subject's code is compared with each order."""
    return msgspec.msgpack.encode(own_versions())


def _run(order: TrialOrder) -> TrialAnswer:
    answer = TrialAnswer(order.trial_id, where())
    differ = order.versions.differences(own_versions())
    if differ:
        return msgspec.structs.replace(answer, refused="; ".join(differ))
    key = msgspec.msgpack.encode(order.subject)
    try:
        road, versions = _take(order.subject, key)
    except (CrashlabError, OSError) as error:
        return msgspec.structs.replace(answer, broke=str(error))
    try:
        differ = order.versions.differences(versions)
        if differ:
            return msgspec.structs.replace(answer, refused="; ".join(differ))
        outcome, files = pack(road.run(order.case, order.trial_id, keep=order.keep))
        return msgspec.structs.replace(answer, outcome=outcome, files=files)
    except CrashlabError as error:
        return msgspec.structs.replace(answer, broke=str(error))
    except Exception:  # told to the lab, which may be far away
        return msgspec.structs.replace(answer, broke=f"a defect of crashlab: {traceback.format_exc(limit=-4)}")
    finally:
        _give_back(key)


def where() -> str:
    """Return host and process, for messages."""
    return f"{platform.node()}, process {os.getpid()}"


def _take(subject: Subject, key: bytes) -> tuple[BothRoads, Versions]:
    global _workspace
    with _lock:
        if key not in _roads:
            if _workspace is None:
                _workspace = Workspace()
                atexit.register(close)
            for idle in [one for one in _roads if not _busy.get(one)][: max(0, len(_roads) - SUBJECTS_MAX + 1)]:
                _roads.pop(idle)[0].close()
            stamp = environment_stamp(_workspace.root)
            road = BothRoads(subject, _workspace, keep=_workspace.root / "cases", environment=stamp)
            try:
                code = road.real.code()
            except BaseException:
                road.close()
                raise
            _roads[key] = road, own_versions(code)
        _busy[key] = _busy.get(key, 0) + 1
        return _roads[key]


def _give_back(key: bytes) -> None:
    with _lock:
        _busy[key] -= 1


def close() -> None:
    """End every road of this process and remove its workspace."""
    global _workspace
    with _lock:
        while _roads:
            _roads.popitem()[1][0].close()
        if _workspace is not None:
            _workspace.close()
            _workspace = None
