"""A bench: what the watch for hazards costs a program that commits."""

import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing

from crashlab.decide.bench import Figure, compare
from crashlab.diagnosis.hazards import watch
from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError

COMMITS = 10_000


def bench_hazards(*, rounds: int, workspace: str | None = None) -> Iterator[Figure]:
    """Commits per second under `crashlab.hazards.watch()`, beside the same without; WAL and NORMAL, in processor time.

    10 000 commits through one connection, then through one connection for every hundred of them.
    """
    with Workspace(workspace) as space:
        for name, each in (("one connection", COMMITS), ("a connection for every 100", 100)):
            yield compare(
                f"commits under the watch for hazards, {name}",
                lambda each=each: _watched(str(space.root), each),  # type: ignore[misc]
                lambda each=each: _commits(str(space.root), each),  # type: ignore[misc]
                rounds=rounds,
                unit="commits/s",
                wanted="at least 0.90x",
            )


def _watched(directory: str, each: int) -> float:
    with watch() as seen:
        rate = _commits(directory, each)
    if seen.hazards or seen.gaps:
        raise LabError(f"the bench's own program showed {seen.hazards or seen.gaps}; expected nothing")
    return rate


def _commits(directory: str, each: int) -> float:
    with tempfile.TemporaryDirectory(dir=directory) as inside:
        path = f"{inside}/bench.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE t(x)")
        started = time.process_time()
        for _ in range(COMMITS // each):
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA synchronous=NORMAL")
                for number in range(each):
                    with connection:
                        connection.execute("INSERT INTO t VALUES (?)", (number,))
        return COMMITS / (time.process_time() - started)
