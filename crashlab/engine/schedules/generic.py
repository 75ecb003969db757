"""The generic workload: inserts, reads, checkpoints and reopened connections, in an order drawn from a seed.

It knows nothing of any defect. Each lane has a connection of its own; its operations are letters of the parameter
`programs`, one word a lane, parted by `|`:

    I   inserts one row, a transaction of its own
    R   reads the table, a transaction of its own
    C   PRAGMA wal_checkpoint(PASSIVE)
    O   closes its connection, opens another and reads
"""

import random
import sqlite3
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from crashlab.errors import UsageError
from crashlab.model.case import Param
from crashlab.model.contract import Contract
from crashlab.model.schedule import ACTORS_MAX, Actor, Script
from crashlab.model.step import Effect, Lane, Step, Table
from crashlab.model.workload import Check, Context

__all__ = ["GENERIC", "GenericWorkload", "Opened", "draw_generic", "generic_script"]

GENERIC = "generic"
OPERATIONS = "IRCO"
DRAWN = "IIRCC"
"""What is drawn, uniformly, but for the last step of each lane; reopening is asked for by `--param mix=IIRCCO`."""

AUTOCHECKPOINTS = (1, 4, 1000)
PAYLOAD = "x" * 100
TRIES_MAX = 25
FRAMES_BEFORE = 3
"""Frames in the WAL when a schedule begins: each row of `before` fills a page."""

_BUSY = frozenset({5, 6, 15})  # BUSY, LOCKED, PROTOCOL: https://sqlite.org/rescode.html


class Opened:
    """The connections, by lane."""

    def __init__(self, connections: dict[str, sqlite3.Connection]) -> None:
        self.connections = connections

    def close(self) -> None:
        """Close them."""
        for connection in self.connections.values():
            connection.close()


class GenericWorkload:
    """Several connections on one database in WAL mode."""

    contract = Contract()
    tables = (Table("t", ("id",), ("v",)),)
    checks: tuple[Check, ...] = ()
    params: Mapping[str, Param] = {"programs": "I|C|I", "autocheckpoint": 1000, "mix": DRAWN}

    def prepare(self, ctx: Context) -> None:
        """Make what each schedule starts from: a database in WAL mode with the table, and one to write a few frames."""
        connection = ctx.connect(ctx.database, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
        connection.execute("CREATE TABLE before(n, filler)")
        for _ in range(FRAMES_BEFORE):
            connection.execute("INSERT INTO before VALUES(0, zeroblob(3000))")
        connection.close()

    def open(self, ctx: Context) -> Opened:
        """Open the lanes' connections; the first begins the WAL, and all have read once."""
        found = {lane.name: self.connect(ctx) for lane in self.lanes(ctx)}
        self.begin_wal(next(iter(found.values())))
        for connection in found.values():
            connection.execute("SELECT id FROM t").fetchall()
        return Opened(found)

    def restart(self, ctx: Context) -> Opened:
        """Open one connection."""
        return Opened({"a": self.connect(ctx)})

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        """One lane a word."""
        return tuple(Lane(chr(97 + number)) for number in range(len(_programs(ctx.params))))

    def steps(self, lane: Lane, instance: Opened, ctx: Context) -> Iterator[Step]:
        """One step a letter."""
        number = ord(lane.name) - 97
        for place, letter in enumerate(_programs(ctx.params)[number]):
            yield self._step(letter, place, (number + 1) * 1000 + place, lane.name, instance, ctx)

    def label(self, lane: str, place: int, params: Mapping[str, Param]) -> str:
        """The letter of a step."""
        return _programs(params)[ord(lane) - 97][place]

    def begin_wal(self, connection: sqlite3.Connection) -> None:
        """Leave a few frames that nobody has checkpointed."""
        connection.execute("UPDATE before SET n = n + 1")

    def connect(self, ctx: Context) -> sqlite3.Connection:
        """Return a lane's connection."""
        connection = ctx.connect(ctx.database, isolation_level=None, timeout=0, check_same_thread=False)
        connection.execute(f"PRAGMA wal_autocheckpoint={int(ctx.params['autocheckpoint'])}")
        return connection

    def _step(self, letter: str, place: int, key: int, lane: str, instance: Opened, ctx: Context) -> Step:
        effect = Effect("t", (key,), (PAYLOAD,))
        held = instance.connections

        def insert() -> None:
            _until_done(lambda: held[lane].execute("INSERT INTO t VALUES(?, ?)", (key, PAYLOAD)))

        def read() -> list[Effect]:
            rows = _until_done(lambda: held[lane].execute("SELECT id, v FROM t").fetchall())
            return [Effect("t", (found,), (value,)) for found, value in rows]

        def checkpoint() -> None:
            _until_done(lambda: held[lane].execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall())

        def reopen() -> list[Effect]:
            held[lane].close()
            held[lane] = _until_done(lambda: self.connect(ctx))
            return read()

        if letter == "I":
            return Step(place, (effect,), insert)
        if letter == "C":
            return Step(place, (), checkpoint)
        return Step(place, (), read if letter == "R" else reopen, reads=("t",))


def _until_done(call: Any) -> Any:
    """Call again while it is busy: a sleep lets the others of the schedule run."""
    for _ in range(TRIES_MAX - 1):
        try:
            return call()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _BUSY:
                raise
        time.sleep(0)
    return call()


def _programs(params: Mapping[str, Param]) -> list[str]:
    return _words(str(params["programs"]))


@lru_cache(16)
def _words(programs: str) -> list[str]:
    words = programs.split("|")
    if not 1 <= len(words) <= ACTORS_MAX or any(set(word) - set(OPERATIONS) for word in words):
        raise UsageError(f"programs={programs!r}: expected 1 to {ACTORS_MAX} words of {OPERATIONS}, parted by |")
    return words


def generic_script(programs: str, autocheckpoint: int = 1000) -> Script:
    """Return the script of these programs, as `IC|CI|I`."""
    words = programs.split("|")
    actors = tuple(Actor(chr(97 + n), tuple(range(len(word)))) for n, word in enumerate(words))
    return Script(GENERIC, 0, actors, {"programs": programs, "autocheckpoint": autocheckpoint})


def draw_generic(
    rng: random.Random,
    mix: str = DRAWN,
    *,
    actors: tuple[int, int] = (2, 4),
    steps: tuple[int, int] = (1, 4),
    autocheckpoints: tuple[int, ...] = AUTOCHECKPOINTS,
) -> Script:
    """Draw a script: how many actors, how many steps each, which, and when SQLite checkpoints by itself.

    Each actor's last step is an insert, if `mix` has any: what a schedule has broken in a WAL is seen in what is
    written after it.
    """
    if not mix or set(mix) - set(OPERATIONS):
        raise UsageError(f"mix={mix!r}: expected letters of {OPERATIONS}")
    drawn = rng.random  # a quarter of the cost of `choice` and `randint`, for every letter of every schedule
    auto = autocheckpoints[int(drawn() * len(autocheckpoints))]
    words = []
    for _ in range(actors[0] + int(drawn() * (actors[1] - actors[0] + 1))):
        count = steps[0] + int(drawn() * (steps[1] - steps[0] + 1))
        letters = [mix[int(drawn() * len(mix))] for _ in range(count)]
        if "I" in mix:
            letters[-1] = "I"
        words.append("".join(letters))
    return generic_script("|".join(words), auto)


workload = GenericWorkload()
